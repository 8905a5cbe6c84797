"""ArcFace: cross-entropy over angles, with a margin on the angle of the true class (paper, section 3-4)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ArcFace(nn.Module):
    """Equations 1-4: weights and features normalised, no bias, margin m added to the true class's angle, scale s.

    The logits are s * cos(theta + m) for the true class and s * cos(theta) for the others, so that the softmax
    of Eq. 3 and the loss of Eq. 4 are plain cross-entropy on them. Without a target (inference) all are s * cos(theta).

    in_features: D. classes: C.
    scale: s, above 0. margin: m in radians, 0 <= m < pi.
    monotone: Eq. 3 as written (False) rises again where theta > pi - m, so that the worst samples are pulled the wrong
        way. True continues it there with cos(theta) - m * sin(m), as the code of Deng et al. 2019 and libraries do.
    Raises ValueError where a setting is out of its range.
    """

    def __init__(
        self, in_features: int, classes: int = 2, scale: float = 16.0, margin: float = 0.2, monotone: bool = False
    ) -> None:
        super().__init__()
        if in_features < 1 or classes < 2:
            raise ValueError(f"ArcFace needs at least 1 feature and 2 classes, not {in_features} and {classes}")
        if not 0 < scale < math.inf:
            raise ValueError(f"ArcFace's scale must be above 0, not {scale}")
        if not 0 <= margin < math.pi:
            raise ValueError(f"ArcFace's margin is an angle in radians, 0 <= margin < pi, not {margin}")
        self.in_features, self.classes = in_features, classes
        self.scale, self.margin, self.monotone = float(scale), float(margin), bool(monotone)
        self.weight = nn.Parameter(torch.empty(classes, in_features))  # a row is a class centre
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor, target: Tensor | None = None) -> Tensor:
        """x: (B, D), any float type. target: (B,) class indices, int64, or None.

        Returns logits (B, C) in at least float32, computed outside autocast.
        Raises ValueError where the shapes don't fit.
        """
        if x.ndim != 2 or x.shape[1] != self.weight.shape[1]:
            raise ValueError(f"ArcFace takes features (B, {self.weight.shape[1]}), not {tuple(x.shape)}")
        with torch.autocast(x.device.type, enabled=False):
            cosine = _cosines(x, self.weight)  # (B, C)
            if target is None:
                return self.scale * cosine
            if target.shape != x.shape[:1]:
                raise ValueError(f"{len(x)} features have targets of shape {tuple(target.shape)}")
            true = cosine.gather(1, target[:, None])  # (B, 1)
            return self.scale * cosine.scatter(1, target[:, None], self._with_margin(true))

    def _with_margin(self, cosine: Tensor) -> Tensor:
        """cos(theta) -> cos(theta + m), through the addition theorem: acos has an infinite gradient at +-1."""
        if self.margin == 0:
            return cosine
        # the bound under the root keeps the gradient finite where a feature points along its centre or opposite to it
        sine = (1 - cosine.square()).clamp_min(torch.finfo(cosine.dtype).eps).sqrt()
        moved = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        if not self.monotone:
            return moved
        beyond = cosine < math.cos(math.pi - self.margin)  # theta > pi - m
        return torch.where(beyond, cosine - self.margin * math.sin(self.margin), moved)

    def angles(self, x: Tensor) -> Tensor:
        """Angles between features x (B, D) and the class centres: (B, C) radians in 0..pi, without gradient."""
        return angles(x, self.weight)

    def extra_repr(self) -> str:
        classes, features = self.weight.shape
        return f"{features}, {classes}, scale={self.scale}, margin={self.margin}, monotone={self.monotone}"


@torch.no_grad()
def angles(x: Tensor, weight: Tensor) -> Tensor:
    """Angles between features and class centres, the rows of a head's weight (a linear head's too).

    x: (B, D). weight: (C, D). Returns (B, C) radians in 0..pi, in at least float32.
    From the sum and difference of the unit vectors (Kahan), since acos loses half its digits near 0 and pi.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        x = F.normalize(x.to(dtype), dim=1)[:, None]  # (B, 1, D)
        weight = F.normalize(weight.to(dtype), dim=1)[None]  # (1, C, D)
        return 2 * torch.atan2((x - weight).norm(dim=2), (x + weight).norm(dim=2))


def _cosines(x: Tensor, weight: Tensor) -> Tensor:
    """Cosines (B, C) in -1..1 between the rows of x (B, D) and of weight (C, D), in at least float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return F.linear(F.normalize(x.to(dtype), dim=1), F.normalize(weight.to(dtype), dim=1))
