"""What a checkpoint says of itself, and whether it is the end of a training: read without importing torch."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from dfnb.common.errors import UserError

FORMAT = 1  # of checkpoints; raised when an older one could be misread
MAX_BYTES = 4 << 30  # of a file of tensors; it is read into memory whole


def metadata(checkpoint: str | os.PathLike[str]) -> dict[str, Any]:
    """What `network.save` was told of a checkpoint. Raises UserError where the file is no checkpoint of ours."""
    return read_header(Path(checkpoint))["metadata"]


def read_header(path: Path) -> dict[str, Any]:
    """The header of a checkpoint: format, settings, metadata. Raises UserError naming the file and the fault."""
    refuse_other_formats(path)
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})["dfnb"])
        version, settings, about = header["format"], header["settings"], header["metadata"]
    except SafetensorError as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}); copy or train it again") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: safetensors, but no checkpoint of dfnb's; give one that dfnb train wrote") from error
    if version != FORMAT:
        raise UserError(f"{path}: checkpoint format {version}, this version reads {FORMAT}; train it again")
    if not isinstance(settings, dict) or not isinstance(about, dict):
        raise UserError(f"{path}: its header is damaged; copy or train it again")
    return header


def refuse_other_formats(path: Path) -> None:
    """Raises UserError where `path` is no file, or opens as anything but safetensors; pickles are named as such."""
    if path.exists() and not path.is_file():  # a pipe or a device would never end
        raise UserError(f"{path}: can't be read (not an ordinary file); check the path")
    try:
        with open(path, "rb") as file:
            start = file.read(9)
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise UserError(f"{path}: {size >> 20} MiB, more than the {MAX_BYTES >> 20} MiB that are read")
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); check the path") from error
    if start[8:] == b"{":
        return
    if start.startswith(b"PK") or (start[:1] == b"\x80" and start[1:2] <= b"\x05"):
        raise UserError(f"{path}: a pickle, which may run code when opened and so isn't; safetensors is wanted")
    raise UserError(f"{path}: not a safetensors file; check the path")
