"""A short training by `training.fit`; test_gpu calls it, and starts it by torchrun for two GPUs."""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from faces_in_memory import DrawnFaces
from torch import nn

from dfnb import profile, training
from dfnb.common import processes
from dfnb.training import loop


def fit(
    folder: Path,
    variant: str = "proposed",
    head: str = "arcface",
    steps: int = 4,
    precision: str = "no",
    interrupt_at: int | None = None,
    cpu: bool = False,
) -> Path:
    """Train on drawn faces, four a step, a line of history every second step. Returns the checkpoint.

    interrupt_at: which face, counted as they are read, ends in a KeyboardInterrupt. cpu: not on the GPU.
    """
    settings = profile.load("smoke", {
        "model.size": 64, "model.pretrained": False, "train.steps": steps, "train.batch": 4, "train.report_every": 2,
        "train.optimizer": "sgd", "train.lr": 0.01, "train.schedule": "constant_then_linear", "train.workers": 0,
        "train.validation_pairs": 4, "train.mixed_precision": precision,
    })  # fmt: skip
    if processes.count() == 1:  # accelerate keeps device and precision of a process, and each training has its own here
        AcceleratorState._reset_state(reset_partial_state=True)
    torch.backends.cudnn.allow_tf32 = False  # whose rounding would hide mistakes, and which the CPU doesn't have
    accelerator = Accelerator(cpu=True) if cpu else None
    faces, held_out = DrawnFaces(8, 0, interrupt_at), DrawnFaces(4, 1)
    return training.fit(settings, variant, head, 0, faces, held_out, folder, accelerator)


if __name__ == "__main__":
    trained: list[nn.Module] = []
    make_optimizer = loop.make_optimizer

    def make_and_note(net: nn.Module, recipe: profile.Train):
        trained.append(net)
        return make_optimizer(net, recipe)

    loop.make_optimizer = make_and_note
    fit(Path(sys.argv[1]))
    if processes.is_main():
        norms = [part for part in trained[0].modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        shared = sum(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
        device = next(trained[0].parameters()).device.type
        print(f"{processes.count()} processes on {device}, {shared} of {len(norms)} batch norms synchronised")
