"""Tensor files, read without trusting them."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from dfnb.common.errors import UserError
from dfnb.networks.header import refuse_other_formats


def mismatch(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """What is wrong with a state dict's names or shapes, in a few words, or None."""
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing:
        return f"{len(missing)} tensors are missing, first {missing[0]}"
    if extra:
        return f"{len(extra)} tensors too many, first {extra[0]}"
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            return f"{name} is {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}"
    return None


def read(path: Path, expected: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU, finite. expected: a state dict whose names, shapes and types
    they must have. Raises UserError naming the file and the fault."""
    refuse_other_formats(path)
    try:
        tensors = load_tensors(
            path.read_bytes()
        )  # a copy: mapped tensors end the process when the file is cut short later
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}); copy it again") from error
    if expected is not None:
        fault = mismatch(tensors, expected)
        if fault:
            raise UserError(f"{path}: another network's weights: {fault}; give a checkpoint that was not edited")
        for name, tensor in tensors.items():
            if tensor.dtype != expected[name].dtype:
                raise UserError(f"{path}: {name} is {tensor.dtype}, not {expected[name].dtype}; copy or train it again")
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise UserError(f"{path}: {name} is not finite; copy or train it again")
    return tensors
