"""Tensor files (safetensors), read without trusting them. Only `read` imports torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from dfnb.common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

MAX_BYTES = 4 << 30  # of a file; it is read into memory whole


def start_of(path: Path) -> bytes:
    """The first 9 bytes of a file. Raises UserError where it can't be read, is no ordinary file or is too large."""
    if path.exists() and not path.is_file():  # a pipe or a device would never end
        raise UserError(f"{path}: can't be read (not an ordinary file); check the path")
    try:
        with open(path, "rb") as file:
            start = file.read(9)
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise UserError(f"{path}: {size >> 20} MiB, more than the {MAX_BYTES >> 20} MiB that are read")
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); check the path") from error
    return start


def refuse_other_formats(path: Path) -> None:
    """Raises UserError where `path` is no file, or starts as anything but safetensors; pickles are named as such."""
    start = start_of(path)
    if start[8:] == b"{":
        return
    if start.startswith(b"PK") or (start[:1] == b"\x80" and start[1:2] <= b"\x05"):
        raise UserError(f"{path}: a pickle, which may run code when opened and so isn't; safetensors is wanted")
    raise UserError(f"{path}: not a safetensors file; check the path")


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
    """The tensors of a safetensors file, on the CPU, all finite.

    expected: a state dict whose names, shapes and dtypes they must have.
    Raises UserError naming the file and the fault.
    """
    from safetensors.torch import load

    refuse_other_formats(path)
    try:
        # a copy in memory: mapped tensors would end the process when the file is cut short later
        tensors = load(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}); copy it again") from error
    if expected is not None:
        if fault := mismatch(tensors, expected):
            raise UserError(f"{path}: another network's weights: {fault}; give a checkpoint that was not edited")
        for name, tensor in tensors.items():
            if tensor.dtype != expected[name].dtype:
                raise UserError(f"{path}: {name} is {tensor.dtype}, not {expected[name].dtype}; copy or train it again")
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise UserError(f"{path}: {name} is not finite; copy or train it again")
    return tensors
