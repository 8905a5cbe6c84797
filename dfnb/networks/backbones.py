"""Any of timm's models as a backbone: made for a size of input, its Blocks numbered, its last features pooled.

A Block is where a network can be tapped. Of an EfficientNet: one of its groups of MBConvs. Of any other model: an entry
of timm's `feature_info`, in order: of a convolutional network or a hierarchical transformer a stage (and the stem,
where timm lists it), of a ViT one transformer block, whose patch tokens are laid out as a map.
"""

from typing import Literal, NamedTuple

import timm
import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from dfnb.common.errors import UserError

DEPTH_STEPS = 4  # of a backbone of one resolution
LARGEST = 4096  # pixels of a side of the input


class Block(NamedTuple):
    """Channels of a Block's map, and how many pixels of the input a side of one of its cells is."""

    channels: int
    reduction: int


class Features(NamedTuple):
    """What a backbone gives for B images: the maps of the tapped Blocks (B, C, h, w), and its last features.

    final: (B, C, h, w). Of an EfficientNet the last Block's map, to be weighted before the convolution that follows it;
        of any other model what timm's `forward_head` takes, of a ViT the patch tokens after its last norm.
    prefix: (B, P, C), class and register tokens, which have no place in the picture; None where there are none.
    layout: in which timm has the last features: "BCHW", "BHWC" or "tokens" (B, P + h w, C).
    """

    taps: list[Tensor]
    final: Tensor
    prefix: Tensor | None = None
    layout: Literal["BCHW", "BHWC", "tokens"] = "BCHW"


def create(name: str, size: int | None = None, drop_path_rate: float = 0.0) -> nn.Module:
    """One of timm's models by its name, without a classifier, its weights random.

    size: side of the input, pixels, for models whose weights depend on it (ViTs, Swin, ...); timm's own where None.
        The others take any. drop_path_rate: stochastic depth.
    Raises UserError where timm doesn't know the model, or it has no taps, or not this size or drop path.
    """
    # Only names timm itself knows: "hf-hub:" and "local-dir:" names would have it fetch things.
    if not isinstance(name, str) or ":" in name or "/" in name or not timm.is_model(name):
        raise UserError(f"unknown backbone {name!r}; a model of timm's, such as tf_efficientnet_lite0 or resnet18")
    if size is not None and (type(size) is not int or not 1 <= size <= LARGEST):
        raise UserError(f"size {size!r}: the side of the input is a whole number of pixels, at most {LARGEST}")
    try:
        asked = {"img_size": size} if size is not None and has_fixed_size(name) else {}
        try:
            backbone = timm.create_model(name, pretrained=False, num_classes=0, drop_path_rate=drop_path_rate, **asked)
        except TypeError:  # a model without stochastic depth
            if drop_path_rate:
                raise
            backbone = timm.create_model(name, pretrained=False, num_classes=0, **asked)
    except RuntimeError as error:  # a tag the model doesn't have
        raise UserError(f"unknown backbone {name!r}: {error}") from error
    except (TypeError, ValueError, AssertionError) as error:
        how = f"at {size} px with drop path {drop_path_rate:g}"
        raise UserError(f"backbone {name!r} can't be had {how}: {error or 'not that size'}") from error
    if not hasattr(backbone, "forward_intermediates") or len(getattr(backbone, "feature_info", ())) < 3:
        raise UserError(f"backbone {name!r} is a {type(backbone).__name__}, in which timm has no three places to tap")
    if asked and size % (cell := blocks(backbone)[-1].reduction):
        below = size // cell * cell
        raise UserError(
            f"backbone {name!r} takes sides that are multiples of {cell} px, not {size}: "
            f"set model.size to {below} or {below + cell}"
        )
    return backbone


def has_fixed_size(name: str) -> bool:
    """Whether a model's weights depend on the size of its input, as timm says."""
    config = timm.get_pretrained_cfg(name)
    return config is not None and config.fixed_input_size


def side_of(backbone: nn.Module, size: int | None) -> int | None:
    """The only side, pixels, that the inputs of a backbone may have (`create`d for `size`); None: any."""
    if not backbone.pretrained_cfg.get("fixed_input_size"):
        return None
    return backbone.pretrained_cfg["input_size"][-1] if size is None else size


def blocks(backbone: nn.Module) -> list[Block]:
    """All Blocks in order; Block 1 is the first of the list."""
    info = list(backbone.feature_info)
    if not isinstance(backbone, EfficientNet):
        return [Block(stage["num_chs"], stage["reduction"]) for stage in info]
    strides = {stage["stage"]: stage["reduction"] for stage in info}
    return [
        Block(_channels(group), strides[min(stage for stage in strides if stage >= number)])
        for number, group in enumerate(backbone.blocks, start=1)
    ]


def _channels(group: nn.Module) -> int:
    """Channels of a group of MBConvs, read from the batch norm that ends its last one."""
    norms = [part for part in group[-1].modules() if isinstance(part, nn.BatchNorm2d)]
    return norms[-1].num_features


def steps(backbone: nn.Module, reading: str) -> list[int]:
    """The Blocks, numbered from 1, that a variant goes back by, in order; the last Block ends them.

    reading: "block": every Block. "resolution": the last Block of each resolution (EfficientNet-B4: 1, 2, 3, 5, 7).
        A ViT has one resolution: there it is the ends of the quarters of its depth (of 12 blocks: 3, 6, 9, 12), where
        dense prediction taps ViTs (Ranftl et al. 2021, DPT) and where a hierarchical network would change resolution.
    """
    found = blocks(backbone)
    last = len(found)
    if reading == "block":
        return list(range(1, last + 1))
    ends = [k for k in range(1, last + 1) if k == last or found[k].reduction != found[k - 1].reduction]
    if len(ends) == 1:
        ends = sorted({-(-last * quarter // DEPTH_STEPS) for quarter in range(1, DEPTH_STEPS + 1)})
    return ends


def pools_class_token(backbone: nn.Module) -> bool:
    """Whether timm's pooled features are the class token, which a map over the patches can't weight."""
    return getattr(backbone, "global_pool", None) == "token"


def width(backbone: nn.Module, weighted: bool) -> int:
    """Numbers that `pooled` gives for an image; weighted: with a map."""
    patches = backbone.num_features if weighted and pools_class_token(backbone) else 0
    return backbone.head_hidden_size + patches


def features(backbone: nn.Module, images: Tensor, taps: tuple[int, ...]) -> Features:
    """images: (B, 3, H, W). taps: numbers of Blocks, in order, the last Block among them."""
    if isinstance(backbone, EfficientNet):  # timm's index k is Block k, 0 the stem
        maps = backbone.forward_intermediates(images, indices=list(taps), extra_blocks=True, intermediates_only=True)
        return Features(maps, maps[-1])
    final, maps = backbone.forward_intermediates(images, indices=[tap - 1 for tap in taps])
    if final.ndim == 3:
        count = getattr(backbone, "num_prefix_tokens", 0)
        patches = final[:, count:].transpose(1, 2).unflatten(2, maps[-1].shape[2:])
        return Features(maps, patches, final[:, :count] if count else None, "tokens")
    if getattr(backbone, "output_fmt", "NCHW") == "NHWC":
        return Features(maps, final.permute(0, 3, 1, 2), None, "BHWC")
    return Features(maps, final)


def pooled(backbone: nn.Module, given: Features, weighted: bool) -> Tensor:
    """The last features, weighted by a map or as they are -> what a head reads, (B, `width`) in at least float32.

    EfficientNet: 1x1 convolution, batch norm, activation, global average. Any other model: timm's `forward_head` up to
    its classifier (ConvNeXt: average, then LayerNorm; MobileNetV3: average, then 1x1 convolution). Class and register
    tokens are no places of the picture and stay as they are; where timm reads the class token alone, and there is a
    map, the average of the weighted patch tokens is joined to it.
    """
    final = given.final
    if isinstance(backbone, EfficientNet):
        return average(backbone.bn2(backbone.conv_head(final)))  # timm's bn2 holds the activation
    if given.layout == "tokens":
        tokens = final.flatten(2).transpose(1, 2)  # (B, h w, C)
        last = tokens if given.prefix is None else torch.cat([given.prefix, tokens], dim=1)
    else:
        last = final.permute(0, 2, 3, 1) if given.layout == "BHWC" else final
    vector = backbone.forward_head(last, pre_logits=True)
    vector = vector.to(torch.promote_types(vector.dtype, torch.float32))
    return torch.cat([vector, average(final)], dim=1) if weighted and pools_class_token(backbone) else vector


def average(feature: Tensor) -> Tensor:
    """Global average, (B, C, h, w) -> (B, C), summed in at least float32."""
    return feature.mean((2, 3), dtype=torch.promote_types(feature.dtype, torch.float32))
