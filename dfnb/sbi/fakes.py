"""The fakes that are made of real faces alone: each way is an entry of `FAKES`, and a profile mixes them by shares.

All of them take their random choices from the `Draw` of self-blending where it has them (hull, deformation of the mask,
colour, sharpness, ratio), so that they differ in what they are named for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb.sbi import augment, masks
from dfnb.sbi.augment import between
from dfnb.sbi.blend import Blended, Draw, Image, Work, blend_within, change, paste, prepare, source_and_target

if TYPE_CHECKING:
    from dfnb.data.store import StoredFace

_PAD = 4  # pixels around what Poisson blending solves, whose outermost stay the target's
_ENLARGE = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


class Target(NamedTuple):
    """The face that becomes a pair.

    rgb: (H, W, 3) uint8. landmarks: (68, 2) float32, pixels of `rgb`. crop: (2,), width and height of the enlarged crop
    around the face, pixels (`masks.enlarged`). another: draws another person's face whose landmarks are alike; raises
    UserError where the store holds no other person.
    """

    rgb: Image
    landmarks: NDArray[np.float32]
    crop: NDArray[np.float64]
    another: Callable[[np.random.Generator], StoredFace]


@dataclass(frozen=True)
class Edgeless:
    """How strong a change without an edge is: the lowest and the highest of each, of which one kind is drawn.

    resample: share of the size that the face is shrunk to before it is enlarged again, 0.05..1.
    warp: standard deviation of a smooth displacement; smoothness: of the Gaussian that smooths it; fade: of the
        Gaussian that hides where the change ends; all in pixels on a hull 256 px wide.
    smooth: levels below which a difference counts as texture and is removed (bilateral filter).
    sharpen: amount of an unsharp mask.

    Raises UserError where a setting is out of range.
    """

    resample: tuple[float, float] = (0.4, 0.85)
    warp: tuple[float, float] = (1.0, 4.0)
    smoothness: tuple[float, float] = (12.0, 32.0)
    smooth: tuple[float, float] = (10.0, 40.0)
    sharpen: tuple[float, float] = (0.5, 2.0)
    fade: tuple[float, float] = (24.0, 48.0)

    def __post_init__(self) -> None:
        limits = {"resample": (0.05, 1.0), "warp": (0.0, 64.0), "smoothness": (4.0, 256.0), "smooth": (0.0, 255.0)}
        limits |= {"sharpen": (0.0, 10.0), "fade": (8.0, 64.0)}
        augment.check_ranges(self, limits)


def self_blended(target: Target, draw: Draw, how: Edgeless, rng: np.random.Generator) -> Blended:
    """The face blended into itself (Shiohara and Yamasaki 2022), see `blend`."""
    return blend_within(target.rgb, target.landmarks, draw, target.crop)


def poisson(target: Target, draw: Draw, how: Edgeless, rng: np.random.Generator) -> Blended:
    """The same source, but its gradients are blended: no step in colour is left at the edge (Pérez et al. 2003)."""
    work = prepare(target.rgb, target.landmarks, draw, target.crop)
    source, whole = source_and_target(target.rgb, work, draw)
    return _cloned(source, whole, work, draw.ratio)


def other_face(target: Target, draw: Draw, how: Edgeless, rng: np.random.Generator) -> Blended:
    """Another real person's face, laid onto the landmarks, its colours matched (Face X-ray, Li et al. 2020)."""
    # the source lies where its landmarks do, so it isn't moved
    work = prepare(target.rgb, target.landmarks, draw._replace(scale=(1.0, 1.0), shift=(0.0, 0.0)), target.crop)
    x0, y0, x1, y1 = work.window
    face = target.another(rng)
    source = _laid_onto(face.rgb, face.landmarks, target.landmarks - np.float32([x0, y0]), (x1 - x0, y1 - y0))
    source = _colours_matched(source, target.rgb[y0:y1, x0:x1], work.mask)
    if draw.changed == "target":
        return paste(source, change(target.rgb, draw), work, draw.ratio)
    return paste(change(source, draw), target.rgb, work, draw.ratio)


def edgeless(target: Target, draw: Draw, how: Edgeless, rng: np.random.Generator) -> Blended:
    """The whole face resampled, warped, smoothed or sharpened, with a transition so wide that there is no edge.

    Such are the traces of generators that paste nothing; 8 uniform numbers and those of `masks.displacement`.
    """
    u = [float(v) for v in rng.random(8)]
    soft = masks.Deformation(amplitude=0.0, smoothness=32.0, erode=0.0, soften=between(how.fade, u[0]))
    whole = draw._replace(hull="whole", scale=(1.0, 1.0), shift=(0.0, 0.0), deformation=soft)
    work = prepare(target.rgb, target.landmarks, whole, target.crop)
    x0, y0, x1, y1 = work.window
    part = np.ascontiguousarray(target.rgb[y0:y1, x0:x1])
    unit = masks.width(work.hull) / masks.UNIT
    kind = int(u[1] * 4)
    if kind == 0:
        source = _resampled(part, between(how.resample, u[2]), _ENLARGE[int(u[3] * len(_ENLARGE))])
    elif kind == 1:
        lengths = between(how.warp, u[2]) * unit, between(how.smoothness, u[3]) * unit
        source = _warped(part, *lengths, rng)
    elif kind == 2:
        source = cv2.bilateralFilter(part, 7, between(how.smooth, u[2]), max(2.0, 4.0 * unit))
    else:
        source = augment.sharpen(part, between(how.sharpen, u[2]))
    return paste(source, target.rgb, work, 1.0)


Maker = Callable[[Target, Draw, Edgeless, np.random.Generator], Blended]

# Name -> (target, draw, strengths without an edge, generator of further choices) -> the pair.
FAKES: dict[str, Maker] = {
    "self-blended": self_blended,
    "poisson": poisson,
    "other-face": other_face,
    "edgeless": edgeless,
}

# Further fakes go here, as CONTRIBUTING.md shows.


def shape_of(landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """Landmarks without place and size: (..., 68, 2) pixels -> (..., 136) float32, mean 0, root mean square 1."""
    points = np.asarray(landmarks, np.float64)
    points = points - points.mean(-2, keepdims=True)
    size = np.sqrt((points**2).mean((-2, -1), keepdims=True))
    return (points / np.maximum(size, 1e-9)).reshape(*points.shape[:-2], -1).astype(np.float32)


def _cloned(source: Image, target: Image, work: Work, ratio: float) -> Blended:
    """Source (h, w, 3), on the window's pixels, blended into the target (H, W, 3) by its gradients where the mask is
    above a half. A mask too small for that is blended as it is."""
    mask = (work.mask > 0.5).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    if min(width, height) <= 2 * _PAD:  # OpenCV first takes three pixels off the mask
        return paste(source, target, work, ratio)
    x0, y0, x1, y1 = work.window
    pad = (_PAD,) * 4
    grown = [cv2.copyMakeBorder(part, *pad, cv2.BORDER_REPLICATE) for part in (source, target[y0:y1, x0:x1])]
    centre = (left + _PAD + width // 2, top + _PAD + height // 2)  # so that nothing moves
    within = cv2.copyMakeBorder(mask * np.uint8(255), *pad, cv2.BORDER_CONSTANT, value=0)
    cloned = cv2.seamlessClone(*grown, within, centre, cv2.NORMAL_CLONE)[_PAD:-_PAD, _PAD:-_PAD]
    # the equation is solved on the whole window, whose edge stays the target's, so all of it is taken
    made = paste(cloned, target, work._replace(mask=np.ones_like(work.mask)), ratio)
    return made._replace(mask=mask * np.float32(ratio))


def _laid_onto(rgb: Image, landmarks: NDArray[np.floating], onto: NDArray[np.floating], size: tuple[int, int]) -> Image:
    """A face moved so that its landmarks come closest to others (affine, least squares), on `size` (w, h) pixels.

    landmarks: (68, 2), pixels of `rgb`; onto: (68, 2), pixels of the result. Beyond the face's picture its outermost
    pixels are repeated.
    """
    points = np.column_stack([landmarks, np.ones(len(landmarks))])
    matrix = np.linalg.lstsq(points, np.asarray(onto, np.float64), rcond=None)[0].T  # (2, 3)
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < 0.7:  # bilinear interpolation would skip pixels
        small = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
        matrix[:, :2] *= np.array(rgb.shape[1::-1]) / small
        rgb = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA)
    return cv2.warpAffine(rgb, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _colours_matched(source: Image, target: Image, mask: NDArray[np.float32]) -> Image:
    """The source with the target's mean and standard deviation of each channel of Lab, both under the mask.

    source, target: (h, w, 3) uint8; mask: (h, w) float32, weights. Source: Reinhard et al. 2001, with CIE Lab.
    """
    ours, theirs = (cv2.cvtColor(part, cv2.COLOR_RGB2LAB).astype(np.float32) for part in (source, target))
    weights = mask / mask.sum()
    statistics = []
    for part in (ours, theirs):
        mean = np.einsum("hw,hwc->c", weights, part)
        statistics.append((mean, np.sqrt(np.einsum("hw,hwc->c", weights, (part - mean) ** 2))))
    (mean, deviation), (wanted, spread) = statistics
    gain = np.clip(spread / np.maximum(deviation, 1e-3), 0.5, 2.0)  # a flat source has no contrast to be raised
    matched = (ours - mean) * gain + wanted
    return cv2.cvtColor(np.clip(np.rint(matched), 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)


def _resampled(rgb: Image, share: float, enlarge: int) -> Image:
    """Shrunk to a share of its size, then enlarged with an interpolation of OpenCV's."""
    size = rgb.shape[1::-1]
    small = cv2.resize(rgb, tuple(max(1, round(side * share)) for side in size), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, size, interpolation=enlarge)


def _warped(rgb: Image, amplitude: float, smoothness: float, rng: np.random.Generator) -> Image:
    """Displaced smoothly; both lengths in pixels, as in `masks.Deformation`."""
    height, width = rgb.shape[:2]
    nodes = 2.0  # of the field per standard deviation of its smoothing
    lattice = [max(2, round(side * nodes / smoothness)) for side in (height, width)]
    field = cv2.resize(masks.displacement((lattice[0], lattice[1]), nodes, rng), (width, height))
    x = np.arange(width, dtype=np.float32) + np.float32(amplitude) * field[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + np.float32(amplitude) * field[..., 1]
    return cv2.remap(rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
