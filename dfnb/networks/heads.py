"""The heads that are compared: embedding (B, D) -> logits (B, 2). Each is one entry here, used everywhere by its name.

Nothing here imports torch until a head is made, so that the command line can list the names at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Head:
    """One head.

    make: (D, classes, **settings) -> a module with parameters drawn from torch's global generator.
    settings: which settings of `networks.build` (section `arcface` of a profile) it takes, by name.
    needs_target: the module is called as (embedding, target or None), since it uses the true class in training.
    """

    make: Callable[..., nn.Module]
    settings: tuple[str, ...] = ()
    needs_target: bool = False


def linear(features: int, classes: int) -> nn.Module:
    """A linear layer with bias; its loss is plain cross-entropy."""
    from torch import nn

    return nn.Linear(features, classes)


def arcface(features: int, classes: int, scale: float, margin: float, monotone: bool) -> nn.Module:
    """Scaled cosines with a margin on the angle of the true class (paper, equations 1-4)."""
    from dfnb.networks.arcface import ArcFace

    return ArcFace(features, classes, scale=scale, margin=margin, monotone=monotone)


HEADS: dict[str, Head] = {
    "linear": Head(linear),
    "arcface": Head(arcface, settings=("scale", "margin", "monotone"), needs_target=True),
}

# Further heads go here, as CONTRIBUTING.md shows.
