"""All settings of self-blending, and its random choices: a generator -> a `Draw`, which `blend` carries out.

Source: Shiohara and Yamasaki 2022, section 3; crop and augmentation of the pair as a whole are drawn in `pairs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.sbi import augment, masks
from dfnb.sbi.augment import ColourRange, Photometric, between
from dfnb.sbi.blend import Draw, Image, SelfBlend, Steps, blend, explain, fix
from dfnb.sbi.degrade import Degradation
from dfnb.sbi.fakes import FAKES, Edgeless

STORED = 0.35  # margin of a stored face, a share of its box: a crop can't reach farther


@dataclass(frozen=True)
class SelfBlender:
    """Draw and make self-blended images: `SelfBlender()(rgb, landmarks, rng) -> SelfBlend`.

    hull_variation: whether the kind of hull is drawn by `hull_shares`; otherwise it is always the whole face.
    hull_shares: (kind, share) pairs, kinds of `masks.KINDS`, shares relative to their sum.
    landmarks_only: share of whole hulls that leave the forehead out, 0..1.
    change_source: share of images whose source changes, 0..1; in the others the target does.
    colour: range of the colour change.
    frequency: whether the changed one of the two is also made softer or sharper. `downscale_share` of the images (0..1)
        are shrunk by one of `factors` and enlarged again, the others are sharpened by an amount within `sharpen`.
        shrink: how they are shrunk, a key of `augment.SHRINK`; sharpening: what `sharpen` is the amount of, a key of
        `augment.SHARPEN`.
    resize: smallest and largest scale of the source, along x and y alike unless `resize_apart`.
    shift: largest shift of the source either way, as shares of the face box's width and height, or with a `grid`, of
        the enlarged crop's (`masks.enlarged`).
    amplitude, smoothness, erode, soften, erode_kernel, soften_kernel: lowest and highest of each field of
        `masks.Deformation`, which says what they are; kernels are odd. Both `erode` and its kernel (0, 0) leave out the
        first blur and the threshold, both `soften` and its kernel the second blur.
    kept, full: as in `masks.Deformation`.
    grid: None, so that these lengths are pixels on a hull 256 px wide, or the least and the most pixels a side of the
        grid of `masks.Deformation` on the enlarged crop; across and down are drawn separately.
    ratios: the blend ratios, 0..1, of which one is drawn.
    photometric: the augmentation that both images of a pair share, in training.
    margin: lowest and highest margin of a pair's crop in training, drawn for each side, and test_margin: that of
        held-out pairs; as shares of the face box's width and height, up to 0.35, the margin of stored faces.
    mirror: share of pairs that are mirrored in training, 0..1.
    fakes: (kind, share) pairs, how the fakes of pairs are made: keys of `fakes.FAKES`, shares relative to their sum.
    candidates: of how many other faces, drawn at random, the one with the most similar landmarks is taken for the kind
        "other-face". edgeless: strengths of the kind "edgeless".
    degradation: what then happens to both images of a pair, in training.

    All draws are uniform. The defaults are the preset "ours" (`dfnb.sbi.PRESETS`).
    Raises UserError where a setting is out of range.
    """

    hull_variation: bool = True
    hull_shares: tuple[tuple[str, float], ...] = (
        ("whole", 0.5),
        ("nose-to-chin", 0.15),
        ("features", 0.15),
        ("eyes", 0.1),
        ("mouth", 0.1),
    )
    landmarks_only: float = 0.25
    change_source: float = 0.5
    colour: ColourRange = field(default_factory=ColourRange)
    frequency: bool = True
    downscale_share: float = 0.5
    factors: tuple[int, ...] = (2, 4)
    shrink: str = "mean"
    sharpen: tuple[float, float] = (0.5, 1.5)
    sharpening: str = "unsharp"
    resize: tuple[float, float] = (0.95, 1.05)
    resize_apart: bool = False
    shift: tuple[float, float] = (0.03, 0.015)
    amplitude: tuple[float, float] = (1.0, 6.0)
    smoothness: tuple[float, float] = (16.0, 32.0)
    erode: tuple[float, float] = (2.0, 12.0)
    soften: tuple[float, float] = (2.0, 16.0)
    erode_kernel: tuple[int, int] = (0, 0)
    soften_kernel: tuple[int, int] = (0, 0)
    kept: float = 0.99
    full: bool = False
    grid: tuple[int, int] | None = None
    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
    photometric: Photometric = field(default_factory=Photometric)
    margin: tuple[float, float] = (0.05, 0.2)
    test_margin: float = 0.125
    mirror: float = 0.5
    fakes: tuple[tuple[str, float], ...] = (("self-blended", 1.0),)
    candidates: int = 64
    edgeless: Edgeless = field(default_factory=Edgeless)
    degradation: Degradation = field(default_factory=Degradation)

    def __post_init__(self) -> None:
        limits = {"resize": (0.5, 2.0), "amplitude": (0.0, 64.0), "smoothness": (4.0, 256.0)}
        limits |= {"erode": (0.0, 32.0), "soften": (0.0, 64.0), "sharpen": (0.0, 10.0), "margin": (0.0, STORED)}
        limits |= {"grid": (32, 512)} if self.grid else {}
        augment.check_ranges(self, limits)
        for name in ("erode_kernel", "soften_kernel"):
            low, high = getattr(self, name)
            if (low, high) != (0, 0) and not (1 <= low <= high <= 127 and low % 2 == high % 2 == 1):
                raise UserError(f"{name}: give two odd numbers, the lower first, up to 127, or 0, 0: not {low}, {high}")
        for name in ("landmarks_only", "change_source", "downscale_share", "kept", "mirror"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name}: a share is between 0 and 1, not {getattr(self, name)}")
        if not self.ratios or not all(0 <= r <= 1 for r in self.ratios):
            raise UserError(f"ratios: give at least one blend ratio, each between 0 and 1, not {self.ratios}")
        if not self.factors or not all(isinstance(f, int) and 1 <= f <= 16 for f in self.factors):
            raise UserError(f"factors: give at least one whole number between 1 and 16, not {self.factors}")
        if not 0 <= self.test_margin <= STORED:
            raise UserError(f"test_margin: give a share between 0 and {STORED:g}, not {self.test_margin}")
        for name, known in (("shrink", augment.SHRINK), ("sharpening", augment.SHARPEN)):
            if getattr(self, name) not in known:
                raise UserError(f"{name}: {getattr(self, name)!r} is unknown; there are {', '.join(known)}")
        if not all(0 <= s <= 0.5 for s in self.shift):
            raise UserError(f"shift: give shares of the width and the height between 0 and 0.5, not {self.shift}")
        if self.candidates < 1:
            raise UserError(f"candidates: at least one other face is needed, not {self.candidates}")
        for name, known in (("hull_shares", masks.KINDS), ("fakes", FAKES)):
            shares = getattr(self, name)
            if unknown := [kind for kind, _ in shares if kind not in known]:
                raise UserError(f"{name}: {unknown[0]!r} is unknown; there are {', '.join(known)}")
            if min((s for _, s in shares), default=-1) < 0 or sum(s for _, s in shares) <= 0:
                raise UserError(f"{name}: shares must not be negative nor all zero: {shares}")

    def draw(self, rng: np.random.Generator) -> Draw:
        """Make the random choices: 14 uniform numbers, 11 for the colour, a whole number and 5 uniform numbers.

        Always in this order.

        So a change of one setting leaves the other choices of the same generator as they were.
        """
        u = [float(v) for v in rng.random(14)]
        colour = self.colour.draw(rng)
        noise = int(rng.integers(2**62))
        v = [float(value) for value in rng.random(5)]
        factor, sharpness = 1, 0.0
        if self.frequency and u[3] < self.downscale_share:
            factor = self.factors[int(u[4] * len(self.factors))]
        elif self.frequency:
            sharpness = augment.SHARPEN[self.sharpening] * between(self.sharpen, u[5])
        return Draw(
            hull=_which(self.hull_shares, u[0]) if self.hull_variation else "whole",
            forehead=u[1] >= self.landmarks_only,
            changed="source" if u[2] < self.change_source else "target",
            colour=colour,
            factor=factor,
            shrink=self.shrink,
            sharpness=sharpness,
            scale=(between(self.resize, u[6]), between(self.resize, v[0] if self.resize_apart else u[6])),
            shift=(self.shift[0] * (2.0 * u[7] - 1.0), self.shift[1] * (2.0 * u[8] - 1.0)),
            deformation=masks.Deformation(
                amplitude=between(self.amplitude, u[9]),
                smoothness=between(self.smoothness, u[10]),
                erode=between(self.erode, u[11]),
                soften=between(self.soften, u[12]),
                erode_kernel=_odd(self.erode_kernel, v[1]),
                soften_kernel=_odd(self.soften_kernel, v[2]),
                kept=self.kept,
                full=self.full,
                grid=(_whole(self.grid, v[3]), _whole(self.grid, v[4])) if self.grid else None,
            ),
            noise=noise,
            ratio=self.ratios[int(u[13] * len(self.ratios))],
        )

    def kind(self, rng: np.random.Generator) -> str:
        """How a pair's fake is made, a key of `fakes.FAKES`: a uniform number, or none where there is no choice."""
        return self.fakes[0][0] if len(self.fakes) == 1 else _which(self.fakes, float(rng.random()))

    def __call__(self, rgb: Image, landmarks: NDArray[np.floating], rng: np.random.Generator) -> SelfBlend:
        """rgb: (H, W, 3) uint8; landmarks: (68, 2) pixels, some may lie outside. As `blend` of a `draw`."""
        return blend(rgb, landmarks, self.draw(rng))

    def explain(self, rgb: Image, landmarks: NDArray[np.floating], rng: np.random.Generator, **fixed: object) -> Steps:
        """As the call, with every step to look at. fixed: choices to set instead of drawing them, named as for `fix`.

        Such as `explain(..., ratio=0.5, soften=4.0)`. Raises UserError where there is no such choice.
        """
        return explain(rgb, landmarks, fix(self.draw(rng), **fixed))


def _which(shares: tuple[tuple[str, float], ...], u: float) -> str:
    total = sum(share for _, share in shares)
    for kind, share in shares:
        u -= share / total
        if u < 0:
            return kind
    return max(shares, key=lambda pair: pair[1])[0]  # rounding left u above the sum of all shares


def _whole(ends: tuple[int, int], u: float) -> int:
    return ends[0] + int(u * (ends[1] - ends[0] + 1))


def _odd(ends: tuple[int, int], u: float) -> int:
    """An odd number of a range between odd numbers; 0 of (0, 0)."""
    return ends[0] + 2 * int(u * ((ends[1] - ends[0]) // 2 + 1))
