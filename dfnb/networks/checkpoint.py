"""Checkpoints: a trained network as one safetensors file, written and read.

The file's header is one JSON object: format (a version), settings (of `networks.build`) and metadata (of the training).
Only `save` and `load` import torch: commands look at the metadata of many checkpoints, and at once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.networks.tensors import read, refuse_other_formats

if TYPE_CHECKING:
    from dfnb.networks.network import Network

FORMAT = 1  # version of the file; raised when an older one could be misread
SMALLEST, LARGEST = 32, 4096  # pixels of a side of the input
IMPORTED = "imported from "  # how the domain of a network begins that another project trained


def save(network: Network, path: str | os.PathLike[str], metadata: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all; the same network and metadata give the same bytes.

    metadata: anything JSON can write; training puts the profile and the domain of its faces in it.
    Raises UserError where a weight is not finite, so that a training that diverged is not kept as a result.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    bad = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise UserError(f"{path}: not written, {bad[0]} is not finite; lower the learning rate")
    # one entry, since safetensors writes several in no fixed order
    header = {"format": FORMAT, "settings": network.settings, "metadata": metadata}
    with files.replacing(path) as temporary:
        save_file(tensors, temporary, {"dfnb": json.dumps(header, sort_keys=True)})


def load(checkpoint: str | os.PathLike[str]) -> Network:
    """The network of a checkpoint, in eval mode, on the CPU.

    Raises UserError naming the file and the fault: not safetensors (pickles aren't opened), cut short, another
    format version, missing or extra tensors, other shapes or dtypes, weights that aren't finite.
    """
    import torch

    from dfnb.networks.network import assemble

    path = Path(checkpoint)
    header = _header(path)
    try:
        with torch.device("meta"):  # shapes only; the weights come from the file
            network = assemble(header["settings"])
    except (KeyError, TypeError, UserError) as error:
        raise UserError(f"{path}: its settings don't make a network: {error}") from error
    tensors = read(path, expected=network.state_dict())
    network.load_state_dict(tensors, assign=True)
    if any(buffer.is_meta for buffer in network.buffers()):  # tables that timm works out and no file holds
        with torch.random.fork_rng([]):
            network = assemble(header["settings"])
        network.load_state_dict(tensors)
    return network.eval()


def metadata(checkpoint: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata that `save` was given. Raises UserError where the file is no checkpoint of ours."""
    return _header(Path(checkpoint))["metadata"]


def trained_for(checkpoint: str | os.PathLike[str]) -> tuple[int, str]:
    """Side of the input a checkpoint was trained at, pixels, and the domain of its training faces (`train.domain`).

    Raises UserError where its metadata lack them: neither must be guessed.
    """
    about = metadata(checkpoint)
    try:
        size, domain = about["profile"]["model"]["size"], about["domain"]
    except (KeyError, TypeError):
        size, domain = None, None
    if type(size) is not int or not SMALLEST <= size <= LARGEST or not isinstance(domain, str):
        raise UserError(f"{checkpoint}: doesn't say what input and which faces it was trained on; train it again")
    return size, domain


def _header(path: Path) -> dict[str, Any]:
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
