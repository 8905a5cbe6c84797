"""The mask of a fake: a hull of landmarks, deformed elastically and softened.

Masks are computed at low resolution: they are smooth, so nothing is lost, and the cost hardly grows with the face.
Lengths in settings are measured in one of two ways (`Deformation.grid`): as pixels on a hull 256 px wide, so that all
scales with the hull, where the width of a hull is the short side of the smallest rectangle around it; or as in SBI's
protocol, which bends the mask at the picture's resolution and blurs it on a grid over a generous crop around the face.
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

_WORK = 128  # pixels a side at most, where lengths scale with the hull
_CROP = (2.0, 2.4)  # width and height of SBI's enlarged crop around a face, in face boxes
UNIT = 256.0  # pixels, the width of hull for which settings are given
_NODES = 2.0  # nodes of the displacement lattice per standard deviation of its smoothing
_WEAKEST = 0.2  # a mask that is weaker everywhere would leave the face as good as real
_ROUNDING = 1e-5  # of float32 sums, where only a mask's maximum is kept
_REACH = 0.25  # how far the lattice goes beyond the hull, in hull widths


class Deformation(NamedTuple):
    """How a hull becomes a mask; lengths in pixels on a hull 256 px wide, or as `grid` says.

    amplitude: standard deviation of the displacement along each axis.
    smoothness: standard deviation of the Gaussian that smooths the displacement field.
    erode, soften: standard deviations of the blurs before and after the threshold; 0 for what OpenCV takes by the
        kernel, or for no blur where the kernel is 0, too (then no threshold either).
    erode_kernel, soften_kernel: sides of these blurs' kernels, odd; 0 for one that holds the whole Gaussian.
    kept: the threshold, a share of the blurred mask's maximum; 1 keeps the maximum alone.
    full: whether the mask is scaled to a maximum of 1 at the end.
    grid: None, or the pixels across and down to which the `enlarged` crop around the face is resized: the blurs are in
        pixels of this grid, and the displacement in the picture's.
    """

    amplitude: float
    smoothness: float
    erode: float
    soften: float
    erode_kernel: int = 0
    soften_kernel: int = 0
    kept: float = 0.99
    full: bool = False
    grid: tuple[int, int] | None = None


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


def enlarged(
    low: NDArray[np.floating], high: NDArray[np.floating], shape: tuple[int, ...], margin: float | None = None
) -> NDArray[np.float64]:
    """Width and height, (2,) pixels, of SBI's enlarged crop around a face: `_CROP` boxes, cut where the frame ends.

    low, high: (2,), corners of the face box in the picture; shape: (H, W[, 3]) of the picture. margin: where the
    picture is itself a crop of the frame, its margin as a share of the box: where it has that, the frame goes on.
    """
    size = np.asarray(high, np.float64) - low
    most = (np.asarray(_CROP) - 1.0) / 2.0 * size
    whole = np.inf if margin is None else margin * size - 1.0
    span = size
    for room in (low, np.asarray(shape[1::-1]) - high):
        span = span + np.where(room >= whole, most, np.minimum(room, most))
    return np.maximum(span, 1.0)


def units(
    hull: NDArray[np.floating], crop: NDArray[np.floating], how: Deformation
) -> tuple[float, NDArray[np.float64]]:
    """Picture pixels in a pixel of the settings: of the displacement, and (2,) of the blurs along x and along y.

    crop: (2,), width and height of the enlarged crop, pixels.
    """
    if how.grid is None:
        unit = width(hull) / UNIT
        return unit, np.array([unit, unit])
    return 1.0, crop / np.asarray(how.grid)


def reach(hull: NDArray[np.floating], crop: NDArray[np.floating], how: Deformation) -> NDArray[np.float64]:
    """How far beyond the hull its mask may go, (2,) pixels; further out it would change no level. crop: see `units`."""
    bent, blurred = units(hull, crop, how)
    spread = how.soften_kernel // 2 or 3.0 * how.soften
    return blurred * spread + bent * 3.0 * how.amplitude + 2.0


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
    hull: NDArray[np.floating],
    shape: tuple[int, ...],
    how: Deformation,
    rng: np.random.Generator,
    crop: NDArray[np.floating] | None = None,
) -> tuple[SoftMask, SoftMask] | None:
    """The hull's mask deformed elastically, and then blurred, thresholded and blurred again.

    After the first blur only what is (nearly) 1 is kept, which erodes the mask, by about 2.3 times `erode` or by half
    its kernel; the second blur widens and softens it again (Shiohara and Yamasaki 2022, section 3.2): the edge both
    moves and softens.

    hull: (N, 2) pixels, wider than 0; shape: (H, W[, 3]) of the picture; crop: (2,), width and height of the enlarged
    crop, pixels, by default around the hull.
    Returns (deformed, softened), on a window clipped to the picture; where the picture cuts the hull, the mask has no
    edge. None where next to nothing of the mask is in the picture. Draws as `displacement`, whose lattice depends on
    the hull and on `smoothness` alone.
    """
    low, high = hull.min(0), hull.max(0)
    crop = enlarged(low, high, shape) if crop is None else crop
    bent, blurred = units(hull, crop, how)
    pad = reach(hull, crop, how)
    start = [max(0, math.floor(v)) for v in low - pad]
    end = [min(side, math.ceil(v) + 1) for v, side in zip(high + pad, shape[1::-1], strict=True)]
    spans = [b - a for a, b in zip(start, end, strict=True)]
    if min(spans) <= 0:
        return None
    if how.grid is None:
        scale = min(1.0, _WORK / max(spans))
        w, h = (max(1, round(scale * span)) for span in spans)
    else:
        w, h = (max(1, round(span / unit)) for span, unit in zip(spans, blurred, strict=True))
    steps = np.array([w / spans[0], h / spans[1]])  # low-resolution pixels in an image pixel
    flat = faces.fill((hull - start + 0.5) * steps - 0.5, (h, w))
    field = _elastic((h, w), steps, low - start, high - start, how, bent, _REACH * width(hull), rng)
    if how.amplitude > 0:
        flat = cv2.remap(flat, *field, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if flat.max() < 0.5:
        return None
    per = 1.0 if how.grid else float(blurred[0]) * float(np.sqrt(steps.prod()))  # mask pixels in one of the blurs
    soft = flat
    if how.erode > 0 or how.erode_kernel:
        soft = _blur(soft, how.erode, how.erode_kernel, per)
        least = np.float32(min(how.kept, 1.0 - _ROUNDING)) * soft.max()
        soft = np.where(soft >= least, np.float32(1), np.float32(0))
    if how.soften > 0 or how.soften_kernel:
        soft = _blur(soft, how.soften, how.soften_kernel, per)
    if how.full:
        soft = soft / soft.max()
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
    border: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Elastic deformation at low resolution: the x and the y, (h, w) float32 each, of the pixel that each pixel shows.

    shape: (h, w). steps: low-resolution pixels in an image pixel, along x and y. low, high: the hull's box within the
    window, image pixels; the lattice of displacements is tied to it and goes `border` image pixels beyond. unit: image
    pixels in a pixel of the settings.
    """
    spacing = how.smoothness * unit / _NODES  # of the lattice's nodes, in image pixels
    first = low - border
    nodes = np.ceil((high - low + 2.0 * border) / spacing).astype(int) + 1
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


def _blur(mask: NDArray[np.float32], sigma: float, kernel: int, per: float) -> NDArray[np.float32]:
    """Gaussian blur; beyond the edge the outermost pixels are repeated.

    sigma, kernel: as in `Deformation`. per: pixels of the mask in a pixel of the settings.
    """
    side = 2 * round(kernel // 2 * per) + 1 if kernel else 0
    sigma = max(sigma * per, 1e-3) if sigma > 0 else 0.0
    return cv2.GaussianBlur(mask, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
