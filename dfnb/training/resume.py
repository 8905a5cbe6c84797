"""An unfinished training on disk: weights, optimizer state and position, as tensors; nothing is pickled."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.networks.tensors import refuse_other_formats

log = logging.getLogger(__name__)


@dataclass
class Position:
    """Where a training stands: the next step and the lines of its history so far."""

    step: int
    history: list[dict[str, float]]


def keep(
    path: Path,
    key: str,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    position: Position,
    average: nn.Module | None = None,
) -> None:
    """Write everything the training needs to go on, whole or not at all.

    key: tells this training from others (`train.training_key`). average: the network of averaged weights, if there is.
    """
    tensors = {
        f"{part}.{name}": value.detach().cpu().contiguous()
        for part, module in _parts(net, average).items()
        for name, value in module.state_dict().items()
    }
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if value is not None:  # SGD's momentum buffer before the first step
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    about = {"training": key, "step": str(position.step), "history": json.dumps(position.history)}
    with files.replacing(path) as temporary:
        save_file(tensors, temporary, about)


def _parts(net: nn.Module, average: nn.Module | None) -> dict[str, nn.Module]:
    return {"net": net} if average is None else {"net": net, "average": average}


def restore(
    path: Path, key: str, net: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None = None
) -> Position:
    """Take up what `keep` wrote where it is of the same training; otherwise start at step 0.

    Raises UserError naming a damaged file.
    """
    if not path.exists():
        return Position(0, [])
    try:
        refuse_other_formats(path)
    except UserError as error:
        raise UserError(f"{error}, or remove it to start this training anew") from None
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            if about.get("training") != key:
                log.warning("%s belongs to other settings or data: this training starts anew", path)
                return Position(0, [])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if odd := [name for name, value in tensors.items() if not bool(value.isfinite().all())]:
            raise ValueError(f"{odd[0]} is not finite")
        position = Position(int(about["step"]), json.loads(about["history"]))
        if position.step < 0 or not all(isinstance(line, dict) for line in position.history):
            raise ValueError("its place in the training")
        for part, module in _parts(net, average).items():
            prefix = f"{part}."
            module.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, field = name.split(".", 2)
                state.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: damaged ({reason}); remove it to start this training anew") from error
    log.info("%s: going on after step %d", path, position.step)
    return position
