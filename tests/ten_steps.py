"""Ten steps of training in float64, as one process or several; started by test_processes, alone or by torchrun.

The very functions of `train.fit` in its order: network, share of the batches, step. Batch norm keeps its statistics.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from faces_in_memory import DrawnFaces
from safetensors.torch import save_file
from torch import nn

from dfnb import profile, training
from dfnb.common import processes
from dfnb.sbi import PairDataset
from dfnb.training import loop

SETTINGS = {
    "model.size": 64, "train.batch": 4, "train.optimizer": "sam", "train.schedule": "constant_then_linear",
    "train.lr": 0.01, "train.steps": 10, "train.workers": 0, "train.ema_decay": 0.5,
}  # fmt: skip


class Noted(PairDataset):
    """Writes down which pairs were asked for."""

    def __getitem__(self, index: Any):
        self.__dict__.setdefault("seen", []).append(index)
        return super().__getitem__(index)


def ten_steps() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Returns the loss of every step (mean over all processes) and the pairs seen; the weights and their average."""
    settings = profile.load("smoke", SETTINGS)
    recipe, accelerator = settings.train, processes.accelerator()
    net = training.initial_network(settings, "proposed", "arcface", seed=0).double()
    average = loop.average_of(net, recipe)
    model = accelerator.prepare(net)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    optimizer = training.make_optimizer(net, recipe)
    pairs = Noted(DrawnFaces(10, 0), size=32, mean=net.mean, std=net.std)
    losses = []
    for step, pair in enumerate(loop.make_loader(pairs, recipe, 0, recipe.steps, accelerator)):
        batch = loop.as_batch(*pair, like=next(net.parameters()))
        rate = training.learning_rate(step, recipe.steps, recipe)
        value = loop.optimise(model, optimizer, accelerator, batch, rate, recipe).total.detach()
        average.update(net, step=step + 1)
        losses.append(accelerator.reduce(value, reduction="mean").item())
    weights = net.state_dict() | {f"average.{name}": value for name, value in average.module.state_dict().items()}
    return {"loss": losses, "seen": pairs.seen, "processes": accelerator.num_processes}, weights


if __name__ == "__main__":
    out = Path(sys.argv[1])
    with processes.main_first():
        order = len(list(out.glob("ready-*")))
        (out / f"ready-{order}").touch()
    said, weights = ten_steps()
    rank = 0 if processes.is_main() else 1
    save_file(weights, out / f"weights-{rank}.safetensors")
    (out / f"said-{rank}.json").write_text(json.dumps(said | {"entered": order}))
