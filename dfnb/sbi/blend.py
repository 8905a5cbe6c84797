"""Self-blending: one real face becomes a real and a fake image (Shiohara and Yamasaki 2022, section 3).

The same image serves as source and as target. One of the two changes colour and loses or gains sharpness; the source is
resized and shifted a little; then it is blended into the target through a soft mask made from the landmarks' hull
(`masks`). So a fake holds what manipulations leave behind (seams, two textures, two colour statistics), nothing else.

Nothing is random here: a `Draw` holds all choices. `dfnb.sbi.SelfBlender` draws them; `fix` replaces some by name.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.data import faces
from dfnb.sbi import augment, masks
from dfnb.sbi.augment import Colour, Window

Image = NDArray[np.uint8]

_THINNEST = 2.0  # pixels: a narrower hull has no inside
_SLENDEREST = 1 / 20  # width to length: a flatter hull is a line
_FAINTEST = 1 / 512  # a smaller mask value rounds to 0 of 256
_TRIED = 9  # sizes of the moved source that are compared, see `_whole_pixels`


class SelfBlend(NamedTuple):
    """A real face, and the fake made of it."""

    real: Image  # (H, W, 3)
    fake: Image  # (H, W, 3)
    mask: NDArray[np.float32]  # (H, W) in 0..1, whole 256ths: the source's share in the fake, the ratio included


class Draw(NamedTuple):
    """All random choices of one self-blended image.

    hull: a key of `masks.KINDS`; forehead: whether the whole hull includes it.
    changed: which of the two, source or target, changes by `colour`, `factor` and `sharpness`.
    factor: whole number to shrink by and enlarge again, 1 for not at all; sharpness: of the unsharp mask, 0 for none.
    shrink: how it is shrunk, a key of `augment.SHRINK`.
    scale: of the source along x and y; shift: of it along x and y, as shares of the face box's width and height, or
        where `deformation.grid` is given, of the enlarged crop's (`masks.enlarged`).
    deformation: of the mask; noise: seed of its displacement field; ratio: what the mask is multiplied by, 0..1.
    """

    hull: str
    forehead: bool
    changed: Literal["source", "target"]
    colour: Colour
    factor: int
    shrink: str
    sharpness: float
    scale: tuple[float, float]
    shift: tuple[float, float]
    deformation: masks.Deformation
    noise: int
    ratio: float


class Steps(NamedTuple):
    """Every step of one self-blended image, in order: images (H, W, 3) uint8, masks (H, W) float32 in 0..1.

    hull: the hull that is blended (the drawn one or the whole face, see `blend`), before any deformation.
    source, target: after colour and sharpness changed in one of them; warped: the source resized and shifted.
    deformed: the hull after elastic deformation, moved with the source; softened: after both blurs and the threshold.
    mask: softened times ratio, rounded to 256ths; real, fake: the result of `blend`.
    """

    draw: Draw
    hull: NDArray[np.float32]
    source: Image
    target: Image
    warped: Image
    deformed: NDArray[np.float32]
    softened: NDArray[np.float32]
    mask: NDArray[np.float32]
    real: Image
    fake: Image


def fix(draw: Draw, **fixed: object) -> Draw:
    """Replace choices by name: fields of `Draw`, of `masks.Deformation` or of `Colour`.

    Raises UserError where there is no such choice.
    """
    for name, value in fixed.items():
        if name in Draw._fields:
            draw = draw._replace(**{name: value})
        elif name in masks.Deformation._fields:
            draw = draw._replace(deformation=draw.deformation._replace(**{name: value}))
        elif name in (names := [f.name for f in fields(Colour)]):
            values = {n: getattr(draw.colour, n) for n in names}
            draw = draw._replace(colour=Colour(**values | {name: value}))
        else:
            raise UserError(
                f"{name}: no such choice; there are {', '.join((*Draw._fields, *masks.Deformation._fields, *names))}"
            )
    return draw


def change(rgb: Image, draw: Draw) -> Image:
    """A draw's change of colour and sharpness, on (H, W, 3) uint8; the input itself where there is none."""
    rgb = augment.recolour(rgb, draw.colour)
    if draw.factor > 1:
        rgb = augment.downscale(rgb, draw.factor, draw.shrink)
    return augment.sharpen(rgb, draw.sharpness) if draw.sharpness else rgb


def blend(rgb: Image, landmarks: NDArray[np.floating], draw: Draw) -> SelfBlend:
    """Carry out a draw: fake = m * source + (1 - m) * target, real = target, with m the mask times the ratio.

    Where m is 0 the two are equal to the bit. The whole face is blended where the drawn hull is thinner than 2 px or
    outside the picture (a mouth below its edge).
    rgb: (H, W, 3) uint8; landmarks: (68, 2) pixels, some may lie outside. Returns new arrays.
    Raises UserError where the whole face is too thin or outside the picture, and for landmarks that aren't finite.
    """
    real, fake, mask, window, _ = blend_within(rgb, landmarks, draw)
    return SelfBlend(real, fake, canvas(mask, window, rgb.shape))


class Blended(NamedTuple):
    """As `SelfBlend`, with the mask inside a window alone, outside of which it is 0."""

    real: Image  # (H, W, 3)
    fake: Image  # (H, W, 3)
    mask: NDArray[np.float32]  # (h, w) in 0..1, on the pixels of the window
    window: Window
    face: NDArray[np.float32]  # (N, 2) pixels, the hull of the whole face


def blend_within(
    rgb: Image, landmarks: NDArray[np.floating], draw: Draw, crop: NDArray[np.floating] | None = None
) -> Blended:
    """As `blend`; only the window's pixels are computed (all where the target changes), so a part hull costs little.

    crop: (2,), width and height of the enlarged crop, pixels, where `rgb` isn't the whole frame.
    """
    rgb = np.ascontiguousarray(rgb)
    work = prepare(rgb, landmarks, draw, crop)
    return paste(*source_and_target(rgb, work, draw), work, draw.ratio)


def source_and_target(rgb: Image, work: Work, draw: Draw) -> tuple[Image, Image]:
    """The source, resized and shifted, on the window's pixels (h, w, 3), and the target (H, W, 3); one is changed."""
    if draw.changed == "target":
        return _move(rgb, work), change(rgb, draw)
    return _changed_and_moved(rgb, work, draw), rgb


def paste(source: Image, target: Image, work: Work, ratio: float) -> Blended:
    """Mix a source (h, w, 3), on the pixels of `work.window`, into a target (H, W, 3) by `work.mask` times the ratio.

    Returns new arrays: real = target.
    """
    x0, y0, x1, y1 = work.window
    shares = (work.mask * np.float32(256 * ratio) + np.float32(0.5)).astype(np.uint16)
    fake = target.copy()
    fake[y0:y1, x0:x1] = mix(source, target[y0:y1, x0:x1], shares)
    return Blended(target.copy(), fake, shares * np.float32(1 / 256), work.window, work.face)


def mix(source: Image, target: Image, shares: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """(shares * source + (256 - shares) * target) / 256, rounded: (h, w, 3) uint16 in 0..255.

    source, target: (h, w, 3) uint8; shares: (h, w) uint16 in 0..256. Integers of 16 bits suffice (255 * 256 + 128 is
    the largest) and take a third of the time of OpenCV's `blendLinear`.
    """
    share = cv2.merge([shares] * 3)
    mixed = source * share
    mixed += target * (256 - share)
    mixed += 128
    mixed >>= 8
    return mixed


def explain(rgb: Image, landmarks: NDArray[np.floating], draw: Draw) -> Steps:
    """Carry out a draw and keep every step; arguments, result and errors as for `blend`."""
    rgb = np.ascontiguousarray(rgb)
    work = prepare(rgb, landmarks, draw)
    changed = change(rgb, draw)
    source, target = (changed, rgb) if draw.changed == "source" else (rgb, changed)
    result = blend(rgb, landmarks, draw)
    return Steps(
        draw=draw,
        hull=faces.fill(work.hull, rgb.shape),
        source=source,
        target=target,
        warped=_move_all(source, work),
        deformed=canvas(work.deformed.at_full_size(), work.deformed.window, rgb.shape),
        softened=canvas(work.mask, work.window, rgb.shape),
        mask=result.mask,
        real=result.real,
        fake=result.fake,
    )


class Work(NamedTuple):
    """A draw's geometry on one image, points as (x, y): target pixel p shows source pixel a * p + b.

    In whole pixels: the rectangle of size `taken` at `first` in the source becomes the one of size `made` at `corner`
    in the target, which holds `window`. face: hull of the whole face; hull: the one that is blended; mask: (h, w)
    float32 on the pixels of `window`, before the ratio.
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    first: tuple[int, ...]
    taken: tuple[int, ...]
    corner: tuple[int, ...]
    made: tuple[int, ...]
    face: NDArray[np.float32]
    hull: NDArray[np.float32]
    deformed: masks.SoftMask
    window: Window
    mask: NDArray[np.float32]


def prepare(rgb: Image, landmarks: NDArray[np.floating], draw: Draw, crop: NDArray[np.floating] | None = None) -> Work:
    """Which hull is blended, where the source goes, and the mask; arguments and errors as for `blend_within`."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"an image must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
    landmarks = np.asarray(landmarks, np.float32)
    if landmarks.shape != (68, 2):
        raise ValueError(f"landmarks must be (68, 2), not {landmarks.shape}")
    if not np.isfinite(landmarks).all():
        raise UserError("a face's landmarks are not all finite numbers; prepare the face anew, or leave it out")
    face = faces.hull_with_forehead(landmarks)
    low, high = face.min(0), face.max(0)
    crop = masks.enlarged(low, high, rgb.shape) if crop is None else crop
    a = 1.0 / np.asarray(draw.scale)
    across = crop if draw.deformation.grid else high - low
    b = (low + high) / 2.0 * (1.0 - a).astype(np.float32) - a * np.asarray(draw.shift) * across
    drawn = (
        face if (draw.hull, draw.forehead) == ("whole", True) else masks.polygon(landmarks, draw.hull, draw.forehead)
    )
    for hull in (drawn, face):
        width, length = masks.width(hull), float((hull.max(0) - hull.min(0)).max())
        if width < max(_THINNEST, _SLENDEREST * length):
            continue
        # put one corner on whole source pixels: it changes the shift by half a pixel at most
        grown = np.minimum(a, 1.0) if draw.deformation.grid else a  # blurs on a grid don't scale with the source
        corner = np.floor((hull.min(0) - b) / a - masks.reach(hull, crop, draw.deformation) / grown).astype(int) - 1
        falls = a * (corner - 0.5) + b + 0.5
        b = b + np.rint(falls) - falls
        # the mask moves with the source: p = (source pixel - b) / a
        rng = np.random.default_rng(draw.noise)
        soft = masks.soft_mask((hull - b) / a, rgb.shape, draw.deformation, rng, crop)
        if soft is not None:
            window, mask = _trim(soft[1])
            return Work(*_whole_pixels(a, b, corner, window), face, hull, soft[0], window, mask)
    raise UserError(
        f"a face has no usable hull in its picture of {rgb.shape[1]} x {rgb.shape[0]} px (box: {low[0]:.0f}, "
        f"{low[1]:.0f} to {high[0]:.0f}, {high[1]:.0f}); its landmarks are wrong: leave the face out"
    )


def _whole_pixels(a: NDArray[np.float64], b: NDArray[np.float64], corner: NDArray[np.int64], window: Window) -> tuple:
    """The fields of `Work` from `a` to `made`, with the far corner on whole pixels too.

    Of the next few sizes of the rectangle the one closest to whole source pixels is taken. That moves the source by
    half a pixel at most, at the far corner, and by as much only where the scale is next to 1.
    """
    sizes = np.asarray(window[2:]) - corner + np.arange(_TRIED)[:, None]
    made = sizes[np.abs(a * sizes - np.rint(a * sizes)).argmin(0), (0, 1)]
    taken = np.rint(a * made)
    first = np.rint(a * (corner - 0.5) + b + 0.5)
    a = taken / made
    b = first - 0.5 - a * (corner - 0.5)
    return a, b, *(tuple(v.astype(int).tolist()) for v in (first, taken, corner, made))


def _trim(soft: masks.SoftMask) -> tuple[Window, NDArray[np.float32]]:
    """Crop the empty border off a mask: the window that is left, and the mask on its pixels."""
    full = soft.at_full_size()
    ends = []
    for axis in (1, 0):
        inside = np.flatnonzero(soft.values.max(1 - axis) > _FAINTEST)
        per = full.shape[axis] / soft.values.shape[axis]  # image pixels in one of the low resolution
        ends.append((max(0, int((inside[0] - 0.5) * per)), min(full.shape[axis], math.ceil((inside[-1] + 1.5) * per))))
    (x0, x1), (y0, y1) = ends
    left, top = soft.window[:2]
    return (left + x0, top + y0, left + x1, top + y1), full[y0:y1, x0:x1]


def canvas(part: NDArray[np.float32], window: Window, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The values of a window, (h, w), on a picture (H, W) float32 that is 0 elsewhere. shape: (H, W[, 3])."""
    x0, y0, x1, y1 = window
    whole = np.zeros(shape[:2], np.float32)
    whole[y0:y1, x0:x1] = part
    return whole


def _changed_and_moved(rgb: Image, work: Work, draw: Draw) -> Image:
    """`_move(change(rgb))`, with `change` computed only on the pixels that the window needs."""
    need = []
    for low, span, size in zip(work.first, work.taken, rgb.shape[1::-1], strict=True):
        block, high = draw.factor, low + span
        # whole blocks of the picture's grid, a block and a pixel more on each side for interpolation and sharpening
        low = min(max(0, (low - 1) // block - 1), (size - 1) // block) * block
        high = max(min(size, (-(-(high + 1) // block) + 1) * block), low + 1)
        need.append((low, high))
    (x0, x1), (y0, y1) = need
    return _move(change(np.ascontiguousarray(rgb[y0:y1, x0:x1]), draw), work, (x0, y0))


def _move(source: Image, work: Work, origin: tuple[int, int] = (0, 0)) -> Image:
    """The source resized and shifted, on the pixels of the window. origin: (x, y) of its first pixel in the picture.

    Bilinear, by OpenCV's `resize`, which takes less than half the time of its `warpAffine` but needs whole pixels.
    Beyond the source's edge its outermost pixels are repeated.
    """
    cut, beyond = [], []
    for first, span, start, size in zip(work.first, work.taken, origin, source.shape[1::-1], strict=True):
        low = min(max(first - start, 0), size - 1)
        high = max(min(first + span - start, size), low + 1)
        before = min(max(start - first, 0), span - 1)
        cut.append(slice(low, high))
        beyond.append((before, span - before - (high - low)))
    part = source[cut[1], cut[0]]
    (left, right), (above, below) = beyond
    if left or right or above or below:
        part = cv2.copyMakeBorder(part, above, below, left, right, cv2.BORDER_REPLICATE)
    moved = cv2.resize(part, work.made, interpolation=cv2.INTER_LINEAR)
    x0, y0, x1, y1 = work.window
    left, top = x0 - work.corner[0], y0 - work.corner[1]
    return moved[top : top + y1 - y0, left : left + x1 - x0]


def _move_all(source: Image, work: Work) -> Image:
    """The same on the whole picture, by `warpAffine`."""
    matrix = np.array([[work.a[0], 0.0, work.b[0]], [0.0, work.a[1], work.b[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(source, matrix, source.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
