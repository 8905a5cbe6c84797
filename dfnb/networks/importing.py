"""Networks of other projects as checkpoints of ours: the variant "plain" with their own mean and standard deviation.

Each source is one entry of `SOURCES`. What is known of them:

SBI (Shiohara and Yamasaki 2022): a torch file with a dictionary "model"; EfficientNet-B4 of the package
efficientnet_pytorch under "net.", class 1 is fake; RGB in 0..1 at 380 px, not normalised. For research only.

DeepfakeBench (Yan et al. 2023, arXiv:2307.01426; github.com/SCLBD/DeepfakeBench, CC BY-NC 4.0): size, mean and standard
deviation from training/config/detector/efficientnetb4.yaml; names, class 1 as fake and the layers from
training/detectors/efficientnetb4_detector.py and training/networks/efficientnetb4.py. There the first convolution has
no padding, and the others are padded as at 380 px although the input has 256: the strided one of Block 2 then meets 127
rows, and the one padded beside them is never read. These two are unpadded here; all others pad as timm's do.

timm: the state dict of a classifier with two classes, everything else stated by whoever imports it.
"""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.networks import backbones
from dfnb.networks import checkpoint as checkpoints
from dfnb.networks import tensors as tensor_files
from dfnb.networks.network import Network, build
from dfnb.networks.pretrained import original_names

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Source:
    """A project whose networks can be imported.

    title, licence: for every output of the network. backbone: timm's name. size: side of the input, pixels. mean, std:
    that images in 0..1 are normalised by. fake: index of this class.
    entry: of the file, that holds the state dict; None where that is the file. original: whether names are those of
    the original architecture (`pretrained.original_names`). prefix: of all names; classifier: of the last layer's,
    instead of prefix and its name. unpadded: see `networks.build`.
    """

    title: str
    licence: str
    backbone: str = ""
    size: int = 0
    mean: Colour | None = None
    std: Colour | None = None
    fake: int = 1
    entry: str | None = None
    original: bool = True
    prefix: str = ""
    classifier: str | None = None
    unpadded: tuple[str, ...] = ()


B4 = "tf_efficientnet_b4"  # pads as TensorFlow does, and its batch norms have TensorFlow's epsilon
SOURCES: dict[str, Source] = {
    "sbi": Source("SBI's release", "research only", B4, 380, (0, 0, 0), (1, 1, 1), entry="model", prefix="net."),
    "deepfakebench": Source(
        "DeepfakeBench's EfficientNet-B4", "CC BY-NC 4.0: not commercial", B4, 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5),
        prefix="backbone.efficientnet.", classifier="backbone.last_layer", unpadded=("conv_stem", "blocks.1.0.conv_dw"),
    ),
    "timm": Source("a timm network from elsewhere", "licence not stated", original=False),
}  # fmt: skip


def convert(file: Path, checkpoint: Path, source: str, **stated: Any) -> str:
    """Write another project's network as a checkpoint of ours, whole or not at all; returns its domain, in words.

    source: of `SOURCES`. stated: fields of `Source` for "timm", all of backbone, size, mean, std and fake; licence.
    The checkpoint's metadata say where it is from: domain ("imported from ..."), imported (source, licence, file and
    its SHA-256) and the size of the input.
    Raises UserError naming the file and the fault, such as a tensor that is missing, too many or of another shape.
    """
    if source not in SOURCES:
        raise UserError(f"unknown source {source!r}; one of {', '.join(SOURCES)}")
    known, asked = SOURCES[source], {"backbone", "size", "mean", "std", "fake"}
    if known.original and stated:
        raise UserError(f"{source}: its {min(stated)} is known; leave that out")
    if not known.original and (missing := asked - stated.keys()):
        raise UserError(f"{source}: state its {', '.join(sorted(missing))} too; nothing in the file says them")
    known = replace(known, **stated)
    if known.fake not in (0, 1) or not checkpoints.SMALLEST <= known.size <= checkpoints.LARGEST:
        sizes = f"{checkpoints.SMALLEST} to {checkpoints.LARGEST} px"
        raise UserError(f"{source}: fake is class 0 or 1 and size {sizes}, not {known.fake} and {known.size}")
    tensor_files.start_of(file)
    digest = files.sha256(file)
    network = _network(known, _state_dict(file, known), str(file))
    domain = f"{checkpoints.IMPORTED}{known.title} ({known.licence})"
    about = {"source": source, "licence": known.licence, "file": file.name, "sha256": digest}
    checkpoints.save(
        network, checkpoint, {"domain": domain, "profile": {"model": {"size": known.size}}, "imported": about}
    )
    return domain


def _state_dict(file: Path, source: Source) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of torch's, by their names there. Nothing in the file is run."""
    start = tensor_files.start_of(file)
    if start[8:] == b"{":
        return tensor_files.read(file)
    try:
        if start.startswith(b"PK"):
            with zipfile.ZipFile(file) as archive:  # torch's are not compressed; others could grow without bound
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ValueError("compressed")
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a stranger's pickle fails in any way it likes
        raise UserError(
            f"{file}: not opened ({type(error).__name__}): no file of torch's, damaged, or it holds code; give a state "
            "dict, tensors and plain values alone"
        ) from error
    found = content.get(source.entry) if isinstance(content, dict) and source.entry else content
    if not isinstance(found, dict):
        where = f"entry {source.entry!r}" if source.entry else "state dict"
        raise UserError(f"{file}: no {where} in it, so not {source.title}; check the source")
    for name, tensor in found.items():
        if not (isinstance(name, str) and isinstance(tensor, Tensor)):
            raise UserError(f"{file}: {name!r} is no tensor with a name, so not {source.title}; check the source")
    return found


def _network(source: Source, tensors: dict[str, Tensor], file: str) -> Network:
    """The network that these tensors make. Raises UserError naming the tensor that doesn't fit."""
    settings = {"normalise": [list(map(float, source.mean)), list(map(float, source.std))], "unpadded": source.unpadded}
    network = build("plain", "linear", source.backbone, pretrained=False, seed=0, size=source.size, **settings).eval()
    theirs = backbones.create(source.backbone, source.size).eval()
    theirs.reset_classifier(2)
    last, expected = theirs.pretrained_cfg["classifier"], theirs.state_dict()
    names = original_names(expected) if source.original else {name: name for name in expected}
    for name, original in names.items():
        own = f"{source.classifier}.{name.rpartition('.')[2]}"
        names[name] = own if source.classifier and name.startswith(f"{last}.") else source.prefix + original
    # some files leave out the counters of batch norm
    counters = {names[name]: t for name, t in expected.items() if name.endswith("num_batches_tracked")}
    whole = counters | tensors
    if fault := tensor_files.mismatch(whole, {names[name]: tensor for name, tensor in expected.items()}):
        raise UserError(f"{file}: not {source.title}: {fault}; check the source")
    for name, tensor in expected.items():
        given = whole[names[name]]
        if given.dtype != tensor.dtype or given.layout != torch.strided or given.is_meta or not given.isfinite().all():
            raise UserError(f"{file}: {names[name]} is not finite or not {tensor.dtype}; give it as it was trained")
    theirs.load_state_dict({name: whole[original] for name, original in names.items()})
    state = {name: tensor for name, tensor in theirs.state_dict().items() if not name.startswith(f"{last}.")}
    network.backbone.load_state_dict(state)
    order = [1 - source.fake, source.fake]  # class 1 is fake
    head = theirs.get_submodule(last)
    if not isinstance(head, torch.nn.Linear):
        raise UserError(f"backbone {source.backbone!r}: its last layer isn't linear, so it can't be imported")
    network.head.load_state_dict({"weight": head.weight[order], "bias": head.bias[order]})
    if not source.original:
        _compare(network, theirs, order, source)
    return network


def _compare(network: Network, theirs: torch.nn.Module, order: list[int], source: Source) -> None:
    """Raises UserError where ours gives other logits than timm's network: a backbone that isn't taken as it is."""
    count = 2 * 3 * source.size**2
    images = torch.sin(torch.arange(count) % 9973).view(2, 3, source.size, source.size)
    with torch.inference_mode():
        ours, wanted = network(images).logits, theirs(images)[:, order]
    if not torch.allclose(ours, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max())):
        raise UserError(f"backbone {source.backbone!r}: our plain network isn't timm's here, so it can't be imported")
