"""The mask of a fake: a hull of landmarks, deformed elastically and softened.

Masks are computed at low resolution (at most `_WORK` pixels a side): they are smooth, so nothing is lost, and the cost
doesn't grow with the face. Lengths in settings are pixels on a hull 256 px wide and scale with the hull, where the
width of a hull is the short side of the smallest rectangle around it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb.data import faces
from dfnb.sbi.augment import Window

# Landmarks of each kind of hull (iBUG order), after the random hulls of Face X-ray (Li et al. 2020) and the regions
# that manipulations replace.
KINDS: dict[str, tuple[int, ...]] = {
    "whole": tuple(range(68)),
    "nose-to-chin": (*range(2, 15), *range(29, 36), *range(48, 68)),  # the face below the eyes
    "eyes": (*range(17, 30), *range(36, 48)),  # brows, eyes and the bridge of the nose
    "features": tuple(range(17, 68)),  # all but the jaw
    "mouth": tuple(range(48, 68)),
}
_GROWN = {"mouth": 1.3, "eyes": 1.1}  # manipulations' seams lie in the skin around lips and lids

_WORK = 128  # pixels
_UNIT = 256.0  # pixels, the width of hull for which settings are given
_NODES = 2.0  # nodes of the displacement lattice per standard deviation of its smoothing
_WEAKEST = 0.2  # a mask that is weaker everywhere would leave the face as good as real
_REACH = 0.25  # how far the lattice goes beyond the hull, in hull widths


class Deformation(NamedTuple):
    """How a hull becomes a mask; pixels on a hull 256 px wide.

    amplitude: standard deviation of the displacement along each axis.
    smoothness: standard deviation of the Gaussian that smooths the displacement field.
    erode, soften: standard deviations of the blurs before and after the threshold.
    """

    amplitude: float
    smoothness: float
    erode: float
    soften: float


class SoftMask(NamedTuple):
    """A mask at low resolution: values (h, w) float32 in 0..1, spread over the pixels of `window`."""

    values: NDArray[np.float32]
    window: Window

    def at_full_size(self) -> NDArray[np.float32]:
        """The mask on all pixels of its window, bilinear."""
        x0, y0, x1, y1 = self.window
        return cv2.resize(self.values, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)


def polygon(landmarks: NDArray[np.floating], kind: str, forehead: bool = False) -> NDArray[np.float32]:
    """The convex hull of one kind: (N, 2) float32 pixels, in order.

    landmarks: (68, 2) pixels; kind: a key of `KINDS`; forehead: whether a whole hull includes the hairline's points.
    """
    points = np.asarray(landmarks, np.float32)[list(KINDS[kind])]
    if forehead and kind == "whole":
        points = np.concatenate([points, faces.forehead(landmarks)])
    hull = cv2.convexHull(points)[:, 0]
    if kind in _GROWN:
        centre = (hull.min(0) + hull.max(0)) / 2
        hull = centre + (hull - centre) * np.float32(_GROWN[kind])
    return hull


def width(hull: NDArray[np.floating]) -> float:
    """The short side of the smallest rectangle around a hull, pixels; 0 where all points lie on a line."""
    return float(min(cv2.minAreaRect(np.asarray(hull, np.float32))[1]))


def reach(hull: NDArray[np.floating], how: Deformation) -> float:
    """How far beyond the hull its mask may go, pixels; further out it would change no level."""
    return width(hull) / _UNIT * (3.0 * how.soften + 3.0 * how.amplitude) + 2.0


def displacement(shape: tuple[int, int], smoothness: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth random field of displacements: (h, w, 2) float32, mean 0, standard deviation 1 along x and along y.

    White Gaussian noise smoothed by a Gaussian (elastic deformation, Simard et al. 2003): two points at a distance d
    have the correlation exp(-(d / (2 smoothness))^2), where d and `smoothness` are in nodes of the lattice.
    Draws (h + 2 p) x (w + 2 p) x 2 normal numbers, p = ceil(3 smoothness).
    """
    pad = math.ceil(3 * smoothness)
    noise = rng.standard_normal((shape[0] + 2 * pad, shape[1] + 2 * pad, 2), dtype=np.float32)
    kernel = np.exp(-0.5 * (np.arange(-pad, pad + 1) / smoothness) ** 2)
    kernel /= np.sqrt(np.sum(kernel**2))  # along each axis the variance stays 1
    smooth = cv2.sepFilter2D(noise, -1, kernel, kernel)
    return smooth[pad : pad + shape[0], pad : pad + shape[1]]


def soft_mask(
    hull: NDArray[np.floating], shape: tuple[int, ...], how: Deformation, rng: np.random.Generator
) -> tuple[SoftMask, SoftMask] | None:
    """The hull's mask deformed elastically, and then blurred, thresholded and blurred again.

    After the first blur only what is (nearly) 1 is kept, which erodes the mask by about 2.3 times `erode`; the second
    blur widens and softens it again (Shiohara and Yamasaki 2022, section 3.2): the edge both moves and softens.

    hull: (N, 2) pixels, wider than 0; shape: (H, W[, 3]) of the picture.
    Returns (deformed, softened), on a window clipped to the picture; where the picture cuts the hull, the mask has no
    edge. None where next to nothing of the mask is in the picture. Draws as `displacement`, whose lattice depends on
    the hull and on `smoothness` alone.
    """
    unit = width(hull) / _UNIT  # image pixels in one pixel of the settings
    low, high = hull.min(0), hull.max(0)
    pad = reach(hull, how)
    start = [max(0, math.floor(v)) for v in low - pad]
    end = [min(side, math.ceil(v) + 1) for v, side in zip(high + pad, shape[1::-1], strict=True)]
    spans = [b - a for a, b in zip(start, end, strict=True)]
    if min(spans) <= 0:
        return None
    scale = min(1.0, _WORK / max(spans))
    w, h = (max(1, round(scale * span)) for span in spans)
    steps = np.array([w / spans[0], h / spans[1]])  # low-resolution pixels in an image pixel
    flat = faces.fill((hull - start + 0.5) * steps - 0.5, (h, w))
    field = _elastic((h, w), steps, low - start, high - start, how, unit, rng)
    if how.amplitude > 0:
        flat = cv2.remap(flat, *field, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if flat.max() < 0.5:
        return None
    scale = float(np.sqrt(steps.prod()))
    soft = flat
    if how.erode > 0:
        soft = _blur(soft, how.erode * unit * scale)
        soft = np.where(soft >= np.float32(0.99) * soft.max(), np.float32(1), np.float32(0))
    if how.soften > 0:
        soft = _blur(soft, how.soften * unit * scale)
    if soft.max() < _WEAKEST:
        return None
    window = (start[0], start[1], end[0], end[1])
    return SoftMask(flat, window), SoftMask(np.clip(soft, 0.0, 1.0), window)


def _elastic(
    shape: tuple[int, int],
    steps: NDArray[np.float64],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    how: Deformation,
    unit: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Elastic deformation at low resolution: the x and the y, (h, w) float32 each, of the pixel that each pixel shows.

    shape: (h, w). steps: low-resolution pixels in an image pixel, along x and y. low, high: the hull's box within the
    window, image pixels; the lattice of displacements is tied to it. unit: image pixels in a pixel of the settings.
    """
    spacing = how.smoothness * unit / _NODES  # of the lattice's nodes, in image pixels
    first = low - _REACH * unit * _UNIT
    nodes = np.ceil((high - low + 2.0 * _REACH * unit * _UNIT) / spacing).astype(int) + 1
    lattice = displacement((int(nodes[1]), int(nodes[0])), _NODES, rng)
    step = 1.0 / (steps * spacing)
    offset = (0.5 / steps - 0.5 - first) / spacing
    matrix = np.array([[step[0], 0.0, offset[0]], [0.0, step[1], offset[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    field = cv2.warpAffine(lattice, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    x, y = cv2.split(field)
    across, down = (how.amplitude * unit * steps).astype(np.float32)
    x *= across
    y *= down
    x += np.arange(shape[1], dtype=np.float32)
    y += np.arange(shape[0], dtype=np.float32)[:, None]
    return x, y


def _blur(mask: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian blur; beyond the edge the outermost pixels are repeated. sigma: pixels."""
    return cv2.GaussianBlur(mask, (0, 0), max(sigma, 1e-3), borderType=cv2.BORDER_REPLICATE)
