"""Checkpoints: a trained network as one safetensors file, written and read."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.networks.header import FORMAT, metadata, read_header
from dfnb.networks.network import MAX_SIZE, Network, assemble
from dfnb.networks.tensors import read


def save(network: Network, path: str | os.PathLike[str], metadata: dict[str, Any]) -> None:
    """Write a checkpoint (safetensors), whole or not at all; the same network and metadata give the same bytes.

    metadata: anything JSON can write; training puts the profile and the training domain in it.
    Raises UserError where a weight is not finite, so that a training gone astray is not kept as a result.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    bad = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise UserError(f"{path}: not written, {bad[0]} is not finite; lower the learning rate")
    # One entry, since safetensors writes several in no fixed order.
    header = {"format": FORMAT, "settings": network.settings, "metadata": metadata}
    with files.replacing(path) as temporary:
        save_file(tensors, temporary, {"dfnb": json.dumps(header, sort_keys=True)})


def trained_for(checkpoint: str | os.PathLike[str]) -> tuple[int, str]:
    """Side of the input a checkpoint was trained at, pixels, and the domain of its training faces (`train.domain`).

    Raises UserError where it doesn't say so: what isn't known must not be guessed.
    """
    about = metadata(checkpoint)
    try:
        size, domain = about["profile"]["model"]["size"], about["domain"]
    except (KeyError, TypeError):
        size, domain = None, None
    if type(size) is not int or not 32 <= size <= MAX_SIZE or not isinstance(domain, str):
        raise UserError(f"{checkpoint}: doesn't say what input and which faces it was trained on; train it again")
    return size, domain


def load(checkpoint: str | os.PathLike[str]) -> Network:
    """The network of a checkpoint, in eval mode, on the CPU.

    Raises UserError naming the file and the fault: not safetensors (pickles aren't opened), cut short, another
    format version, missing or extra tensors, other shapes or types, weights that aren't finite.
    """
    path = Path(checkpoint)
    said = read_header(path)
    try:
        with torch.device("meta"):  # shapes only; the weights come from the file
            network = assemble(said["settings"])
    except (KeyError, TypeError, UserError) as error:
        raise UserError(f"{path}: its settings don't make a network: {error}") from error
    network.load_state_dict(read(path, expected=network.state_dict()), assign=True)
    return network.eval()
