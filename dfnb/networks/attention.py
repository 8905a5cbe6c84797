"""The attention branch: a map of where the face is, trained with a mask of the face (paper, section 3-3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttentionBranch(nn.Module):
    """Feature map before the last 1x1 convolution -> attention map.

    The paper lists two 3x3 convolutions, batch norm, ReLU, a 1x1 convolution to one channel and a sigmoid. We read
    batch norm and ReLU as following each of the two 3x3 convolutions, as everywhere else in the backbone; convolutions
    before a batch norm have no bias, since the norm would cancel it.

    channels: channels of the feature map (Block 7: 448 in EfficientNet-B4).
    width: channels between the two convolutions; a quarter of `channels` where not given.
    Raises ValueError where either is below 1.
    """

    def __init__(self, channels: int, width: int | None = None) -> None:
        super().__init__()
        width = max(channels // 4, 1) if width is None else width
        if channels < 1 or width < 1:
            raise ValueError(f"an attention branch needs at least one channel, not {channels} and {width}")
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 1, 1)

    def logits(self, x: Tensor) -> Tensor:
        """The map before the sigmoid, for `attention_loss`. x: (B, C, h, w). Returns (B, 1, h, w), any real number."""
        x = F.relu(self.norm1(self.conv1(x)))  # (B, width, h, w)
        x = F.relu(self.norm2(self.conv2(x)))
        return self.conv3(x)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, h, w). Returns the attention map, (B, 1, h, w) in 0..1, in at least float32."""
        return attention_map(self.logits(x))


def attention_map(logits: Tensor) -> Tensor:
    """The sigmoid of logits (any shape), in at least float32: near 1 bfloat16 would have steps of 0.004."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid()


def attention_loss(logits: Tensor, face_mask: Tensor) -> Tensor:
    """Binary cross-entropy between the attention map and the mask of the face, mean over the map's cells.

    logits: (B, 1, h, w), the map before its sigmoid: from the map itself the loss would be infinite where the
    sigmoid rounds to 0 or 1.
    face_mask: (B, 1, H, W) in 0..1, resized to (h, w) by area, so that a cell's target is the share of it that is face.
    Returns a scalar in nats, in at least float32 and outside autocast.
    Raises ValueError where the shapes don't agree.
    """
    if face_mask.ndim != 4 or logits.shape[:2] != face_mask.shape[:2] or face_mask.shape[1] != 1:
        raise ValueError(
            f"an attention map {tuple(logits.shape)} and face masks {tuple(face_mask.shape)} don't go together"
        )
    dtype = torch.promote_types(logits.dtype, torch.float32)
    with torch.autocast(logits.device.type, enabled=False):
        share = F.interpolate(face_mask.to(dtype), size=logits.shape[-2:], mode="area")  # (B, 1, h, w)
        return F.binary_cross_entropy_with_logits(logits.to(dtype), share)
