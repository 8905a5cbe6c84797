"""The networks of the paper: a backbone, taps at several resolutions, an attention map, a head.

    images -> stem -> Block 1 ... Block 7 -> attention branch -> attention map
    Block 7 x map                                -> 1x1 convolution, batch norm, activation -> global average
    each earlier tap x map, resized to the tap's                                            -> global average
    the averages, joined -> batch norm -> embedding -> drop-out (in training) -> head -> logits

network1, network2 and proposed differ in their taps alone. "plain" is SBI's baseline: the backbone as timm publishes
it, its pooled features, and the head; no taps but the last, no attention map, no batch norm on the embedding.
"plain-norm" has that batch norm besides, which makes it network1 without its attention.

That is EfficientNet, the paper's backbone. Any other of timm's models takes its place so (`backbones`):

    images -> Block 1 ... Block n (stages; in a ViT blocks) -> attention branch -> attention map
    last features x map -> timm's own pooling up to its classifier
    earlier taps and what follows as above

The last features are timm's after the model's last norm, not Block n's: a LayerNorm of each token alone would undo its
weight. A ViT's class and register tokens aren't weighted; where timm pools the class token, the average of the weighted
patch tokens is joined to it. "plain" and "plain-norm" read what timm pools and nothing else.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

import timm
import torch
import torch.nn.functional as F
from timm.layers import RmsNorm, RmsNorm2d, SimpleNorm
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from dfnb.common.errors import UserError
from dfnb.networks import backbones
from dfnb.networks import pretrained as imagenet
from dfnb.networks.attention import AttentionBranch, attention_map
from dfnb.networks.backbones import average
from dfnb.networks.heads import HEADS
from dfnb.networks.variants import VARIANTS, check

TapReading = Literal["resolution", "block"]
Normalise = Literal["timm", "none"]
Tune = Literal["all", "norms", "head"]

CLASSES = ("real", "fake")  # class 1 is fake
# settings that older checkpoints lack
LATER = {"drop_rate": 0.0, "drop_path_rate": 0.0, "normalise": "timm", "unpadded": [], "size": None}

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, RmsNorm, RmsNorm2d, SimpleNorm)


class Output(NamedTuple):
    """What a network gives for B images. Logits and embedding are float32 or wider, also under autocast."""

    logits: Tensor  # (B, 2); softmax(logits)[:, 1] is the score; with a target they hold ArcFace's margin
    attention: Tensor | None  # (B, 1, h, w) in 0..1, the size of the last Block; None where there is no branch
    embedding: Tensor  # (B, D), the head's input, before drop-out
    attention_logits: Tensor | None  # the map before its sigmoid, for `dfnb.networks.attention.attention_loss`


class Network(nn.Module):
    """One network of the comparison; `build` makes it.

    taps: the tapped Blocks, in order. settings: of `build`, as checkpoints keep them. mean, std: of the input, 3 each.
    origin: where the weights before training are from, in words. smallest: shortest side of an input, pixels.
    side: the only side that inputs may have, pixels; None: any. Modules: backbone, attention (None without a branch),
    norm (of the embedding), head; but with an EfficientNet, weighted (the last features x map, as they are passed on).
    """

    def __init__(self, backbone: nn.Module, settings: dict[str, Any]) -> None:
        super().__init__()
        self.settings = settings
        self.origin = "random"
        self.mean, self.std = _normalisation(backbone, settings["normalise"])
        self.taps = taps_of(backbone, settings["variant"], settings["tap_reading"])
        channels = [channels_of(backbone, tap) for tap in self.taps]
        self.smallest = max(block.reduction for block in backbones.blocks(backbone))  # one cell of the last Block
        self.side = backbones.side_of(backbone, settings["size"])
        self.frozen = False  # see `learn`
        self.backbone = backbone
        self.attention = AttentionBranch(channels[-1]) if settings["attention"] else None
        if not isinstance(backbone, EfficientNet):
            self.weighted = nn.Identity()
        width = backbones.width(backbone, self.attention is not None) + sum(channels[:-1])
        self.norm = nn.BatchNorm1d(width) if VARIANTS[settings["variant"]].norm else nn.Identity()
        self.drop_rate: float = settings["drop_rate"]
        head = HEADS[settings["head"]]
        self.head = head.make(width, len(CLASSES), **{name: settings[name] for name in head.settings})
        self.head_needs_target = head.needs_target

    def forward(self, images: Tensor, target: Tensor | None = None) -> Output:
        """images: (B, 3, H, W) floating, RGB / 255 normalised with .mean and .std; H, W at least 32 pixels.

        target: (B,) int64 or None; 1 is fake. ArcFace adds its margin to the angle of this class.
        Raises ValueError on another shape, and on a single image in training: batch norm has no statistics of one.
        """
        self._check(images)
        found = backbones.features(self.backbone, images, self.taps)
        *earlier, last = found.taps
        attention_logits = attention = None
        if self.attention is not None:
            attention_logits = self.attention.logits(last)  # (B, 1, h, w)
            attention = attention_map(attention_logits)
            found = found._replace(final=found.final * resize(attention, found.final).to(found.final.dtype))
            earlier = [tap * resize(attention, tap).to(tap.dtype) for tap in earlier]
        if not isinstance(self.backbone, EfficientNet):
            found = found._replace(final=self.weighted(found.final))
        pooled = backbones.pooled(self.backbone, found, attention is not None)
        with torch.autocast(images.device.type, enabled=False):
            embedding = self.norm(torch.cat([*map(average, earlier), pooled], dim=1))  # (B, D)
            kept = F.dropout(embedding, self.drop_rate, self.training)  # timm's own is in a part that isn't used here
            logits = self.head(kept, target) if self.head_needs_target else self.head(kept)  # (B, 2)
        return Output(logits, attention, embedding, attention_logits)

    def _check(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"a network takes floating (B, 3, H, W), not {images.dtype} {tuple(images.shape)}")
        height, width = images.shape[2:]
        if self.side is not None and (height, width) != (self.side, self.side):
            raise ValueError(f"images of {height} x {width} px don't fit: the backbone takes {self.side} px alone")
        if min(height, width) < self.smallest:
            raise ValueError(f"images of {height} x {width} px are too small: a side needs {self.smallest} px")
        if len(images) == 0:
            raise ValueError("a batch without images")
        if len(images) == 1 and isinstance(self.norm, nn.BatchNorm1d) and self.norm.training:
            raise ValueError("batch norm needs at least 2 images in training; use a larger batch, or .eval()")

    def learn(self, tune: Tune) -> None:
        """Which weights have gradients from now on; the attention branch, the embedding's norm and the head always.

        "all": the backbone's, too. "norms": of the backbone only the scales and shifts of its norms, whose running
        statistics go on, too. "head": none of it; it stays in eval mode, with its statistics and without drop path.
        Raises UserError where the backbone has no norms to learn.
        """
        if tune not in get_args(Tune):
            raise UserError(f"unknown tune {tune!r}; one of {', '.join(get_args(Tune))}")
        self.backbone.requires_grad_(tune == "all")
        norms = [module for module in self.backbone.modules() if isinstance(module, NORMS)]
        for module in norms if tune == "norms" else []:
            module.requires_grad_(True)
        if tune == "norms" and not any(p.requires_grad for p in self.backbone.parameters()):
            raise UserError(f"train.tune is norms, and {self.settings['backbone']} has none; use head or all")
        self.frozen = tune == "head"
        self.train(self.training)

    def train(self, mode: bool = True) -> "Network":
        """As of any module, but a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self


def resize(attention: Tensor, feature: Tensor) -> Tensor:
    """The attention map (B, 1, h, w) at the resolution of a tap (B, C, h', w'), h' >= h: (B, 1, h', w'), bilinear."""
    if attention.shape[2:] == feature.shape[2:]:
        return attention
    return F.interpolate(attention, size=feature.shape[2:], mode="bilinear", align_corners=False)


def taps_of(backbone: nn.Module, variant: str, reading: str) -> tuple[int, ...]:
    """The tapped Blocks, in order, numbered from 1; the last Block always.

    A variant says how many steps back its earlier taps are (`variants`; paper, section 4: network1 taps the last alone,
    "proposed" the one before it too, network2 the one two before it). reading: what a step is. "resolution": from the
    last Block of one resolution to that of the next finer one (EfficientNet-B4: 7, 5, 3, 2, 1); in a ViT, which has
    one resolution, a quarter of its depth (12, 9, 6, 3). "block": from one Block to the one before it (7, 6, 5, ...).
    Raises ValueError where the backbone has fewer.
    """
    steps = backbones.steps(backbone, reading)
    back = VARIANTS[variant].back
    if max(back, default=0) >= len(steps):
        raise ValueError(f"{variant} goes {max(back)} steps back, and this backbone has {len(steps)} by {reading}")
    return tuple(sorted({steps[-1], *(steps[-1 - step] for step in back)}))


@lru_cache
def taps(backbone: str, variant: str, reading: str) -> tuple[int, ...]:
    """`taps_of` for the name of a backbone."""
    with torch.device("meta"):  # shapes alone
        return taps_of(backbones.create(backbone), variant, reading)


def channels_of(backbone: nn.Module, block: int) -> int:
    """Channels of Block `block` (1 is the first)."""
    return backbones.blocks(backbone)[block - 1].channels


def normalisation(backbone: str, normalise: Normalise = "timm") -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, by channel, that images in 0..1 are normalised by for a backbone of this name.

    normalise: as in `build`.
    """
    return _normalisation(timm.create_model(backbone, pretrained=False, num_classes=0), normalise)


def _normalisation(backbone: nn.Module, normalise: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if normalise == "none":
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if normalise != "timm":
        return tuple(normalise[0]), tuple(normalise[1])
    return tuple(backbone.pretrained_cfg["mean"]), tuple(backbone.pretrained_cfg["std"])


def describe(network: Network) -> str:
    """Such as "Blocks 5, 7 with 160, 448 channels, 19,012,345 parameters"."""
    channels = ", ".join(str(channels_of(network.backbone, tap)) for tap in network.taps)
    parameters = sum(p.numel() for p in network.parameters())
    return f"Blocks {', '.join(map(str, network.taps))} with {channels} channels, {parameters:,} parameters"


def build(
    variant: str = "proposed",
    head: str = "arcface",
    backbone: str = "tf_efficientnet_b4.ap_in1k",
    pretrained: bool = True,
    tap_reading: TapReading = "resolution",
    attention: bool = True,
    scale: float = 16.0,
    margin: float = 0.2,
    monotone: bool = False,
    weights: str | os.PathLike[str] | None = None,
    weights_sha256: str | None = None,
    seed: int | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    normalise: Normalise | Sequence[Sequence[float]] = "timm",
    unpadded: Sequence[str] = (),
    size: int | None = None,
) -> Network:
    """Build a network.

    variant: of `VARIANTS`: "network1", "network2", "proposed", or "plain" and "plain-norm" (which leave attention out
        whatever `attention` says).
    head: of `HEADS`: "arcface" (scale, margin in radians, monotone: see `dfnb.networks.ArcFace`) or "linear".
    backbone: any of timm's models that has three places to tap, by its name.
    pretrained: start from published weights: the file `weights`, or what `pretrained.find` finds. weights_sha256: what
        that file must be. `.origin` then says where the weights are from.
    seed: of the layers that start at random. With the same seed all variants start with the same backbone and attention
        branch. None draws from torch's global generator.
    drop_rate: share of the embedding's numbers that are set to 0 before the head in training (the others grow by
        1 / (1 - drop_rate)); in 0..1, below 1. timm's recipe for B4 has 0.4.
    drop_path_rate: stochastic depth (Huang et al. 2016): in training an image skips the residual of MBConv k of n, k
        from 0, with chance drop_path_rate * k / n; in 0..1, below 1. timm's recipe for B4 has 0.2.
    normalise: "timm" (images in 0..1 minus the backbone's mean, over its standard deviation), "none" (0..1 as it is),
        or a mean and a standard deviation, [[r, g, b], [r, g, b]].
    unpadded: names of the backbone's convolutions that have no padding, whatever timm gives them (see `importing`).
    size: side of the input, pixels, which ViTs and the like are made for (their weights are resampled to it), a
        multiple of a patch; timm's own size where None. Convolutional networks take any size whatever it says.
    Raises UserError where a setting is unknown or the weights can't be had: random weights never stand in for them.
    """
    plain = variant in VARIANTS and VARIANTS[variant].plain
    settings = {
        "variant": variant, "head": head, "backbone": backbone, "tap_reading": tap_reading,
        "attention": bool(attention) and not plain, "scale": scale, "margin": margin, "monotone": monotone,
        "drop_rate": drop_rate, "drop_path_rate": drop_path_rate,
        "normalise": normalise if isinstance(normalise, str) else [list(numbers) for numbers in normalise],
        "unpadded": list(unpadded), "size": size,
    }  # fmt: skip
    if weights is not None and not pretrained:
        raise UserError(f"weights {os.fspath(weights)!r} are given but pretrained is off; set pretrained to true")
    # the CPU's generator alone: after a notebook has touched a GPU's it can't start a process for each GPU any more
    with torch.random.fork_rng([], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        network = assemble(settings)
    if pretrained:
        found = imagenet.find(backbone, weights, weights_sha256)
        imagenet.fill(network.backbone, found)
        network.origin = found.source
    return network


def assemble(settings: dict[str, Any]) -> Network:
    """The network of these settings (those of `LATER` may be missing), its weights random.

    Raises UserError where a setting is unknown.
    """
    settings = LATER | settings
    check(settings["variant"], settings["head"])
    if settings["tap_reading"] not in get_args(TapReading):
        raise UserError(f"unknown tap_reading {settings['tap_reading']!r}; one of {', '.join(get_args(TapReading))}")
    if settings["normalise"] not in get_args(Normalise) and not _is_mean_and_std(settings["normalise"]):
        known = f"{', '.join(get_args(Normalise))}, or [[r, g, b], [r, g, b]], a mean and a standard deviation above 0"
        raise UserError(f"unknown normalise {settings['normalise']!r}; one of {known}")
    for rate in ("drop_rate", "drop_path_rate"):
        if not 0 <= settings[rate] < 1:
            raise UserError(f"{rate} {settings[rate]!r} must lie in 0..1, below 1")
    backbone = backbones.create(settings["backbone"], settings["size"], settings["drop_path_rate"])
    for part in settings["unpadded"]:
        _unpad(backbone, part)
    try:
        return Network(backbone, settings)
    except ValueError as error:
        raise UserError(str(error)) from error


def _is_mean_and_std(value: Any) -> bool:
    """Whether it is two lists of three ordinary numbers each, those of the second above 0."""
    if not (isinstance(value, list) and [type(part) for part in value] == [list, list]):
        return False
    mean, std = value
    sound = all(type(number) in (int, float) and abs(number) < 1e6 for number in (*mean, *std))  # no NaN is below it
    return sound and len(mean) == len(std) == 3 and min(std) > 0


def _unpad(backbone: nn.Module, name: str) -> None:
    """Replace a convolution by one without padding, in place. Raises UserError where there is none of this name."""
    try:
        old = backbone.get_submodule(name)
    except (AttributeError, TypeError):
        old = None
    if not isinstance(old, nn.Conv2d):
        raise UserError(f"unpadded {name!r}: no convolution of the backbone")
    shape = (old.in_channels, old.out_channels, old.kernel_size, old.stride, 0, old.dilation, old.groups)
    backbone.set_submodule(name, nn.Conv2d(*shape, bias=old.bias is not None))
