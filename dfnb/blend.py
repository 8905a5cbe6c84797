"""Self-blending: one real face becomes a real and a fake one (Shiohara and Yamasaki 2022; steps 2-6 of our reading).

The same image serves twice. One of the two, source or target, changes colour and loses or gains sharpness; the
source is resized and shifted a little; then it is blended into the target through a soft mask made from the
landmarks' hull. So a fake holds what manipulations leave behind (seams, two textures, two statistics) and nothing else.

Nothing is random here: a `Draw` holds all choices (`dfnb.sbi.SelfBlender` makes them), and whoever wants to fix one
of them, a slider for one, replaces it with `fix`.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb import augment, faces, hulls
from dfnb.augment import Colour
from dfnb.errors import UserError

Image = NDArray[np.uint8]
Window = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels, ends excluded

_THINNEST = 2.0  # pixels: a narrower hull has no inside
_SLENDEREST = 1 / 20  # width to length: a flatter hull is a line
_FAINTEST = 1 / 512  # smaller mask values change no level


class SelfBlend(NamedTuple):
    """real, fake: (H, W, 3) uint8; mask: (H, W) float32 in 0..1, the source's share in the fake (ratio included)."""

    real: Image
    fake: Image
    mask: NDArray[np.float32]


class Draw(NamedTuple):
    """All random choices of one self-blended image; each can be fixed by `draw._replace(ratio=0.5)`.

    hull: a key of `hulls.KINDS`; forehead: whether the whole hull includes it.
    changed: which of the two copies changes by `colour`, `factor` and `sharpness`.
    factor: whole number to shrink by and enlarge again, 1 for not at all; sharpness: of the unsharp mask, 0 for none.
    scale: size of the moved source; shift: its way (x, y) as a share of the face box's width and height.
    deformation: of the mask; noise: seed of the displacement field; ratio: the mask's highest value.
    """

    hull: str
    forehead: bool
    changed: Literal["source", "target"]
    colour: Colour
    factor: int
    sharpness: float
    scale: float
    shift: tuple[float, float]
    deformation: hulls.Deformation
    noise: int
    ratio: float


class Steps(NamedTuple):
    """What `explain` shows, in the order of the work: images (H, W, 3) uint8, masks (H, W) float32 in 0..1.

    hull: the hull taken (the drawn one, or the whole face, see `blend`) before any deformation.
    source, target: after colour and frequency changed on one of them; warped: the source resized and shifted.
    deformed: the hull after elastic deformation, moved with the source; softened: after both blurs and the threshold.
    mask: softened times ratio; real, fake: the result, the same as the call's.
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
    """Replace choices by name: fields of `Draw`, of `hulls.Deformation` (for the mask) or of `Colour`."""
    for name, value in fixed.items():
        if name in Draw._fields:
            draw = draw._replace(**{name: value})
        elif name in hulls.Deformation._fields:
            draw = draw._replace(deformation=draw.deformation._replace(**{name: value}))
        elif name in (names := [f.name for f in fields(Colour)]):
            values = {n: getattr(draw.colour, n) for n in names}
            draw = draw._replace(colour=Colour(**values | {name: value}))
        else:
            raise UserError(
                f"{name}: no such choice; there are {', '.join((*Draw._fields, *hulls.Deformation._fields, *names))}"
            )
    return draw


def change(rgb: Image, draw: Draw) -> Image:
    """The colour and the frequency change of a draw, on (H, W, 3) uint8; the input itself where there is none."""
    rgb = augment.recolour(rgb, draw.colour)
    if draw.factor > 1:
        rgb = augment.downscale(rgb, draw.factor)
    return augment.sharpen(rgb, draw.sharpness) if draw.sharpness else rgb


def blend(rgb: Image, landmarks: NDArray[np.floating], draw: Draw) -> SelfBlend:
    """Carry out a draw: fake = m * source + (1 - m) * target, real = target, with m the mask times the ratio.

    Only pixels under the mask are worked on (all of them where the target changes), so a part hull costs little.
    Where m is 0 the fake equals the real to the bit. A part hull that is thinner than 2 px or not in the picture (a
    mouth below its edge) gives way to the whole face.
    rgb: (H, W, 3) uint8; landmarks: (68, 2) pixels, some may lie outside. Returns new arrays.
    Raises UserError where the whole face is too thin or not in the picture.
    """
    rgb = np.ascontiguousarray(rgb)
    work = _prepare(rgb, landmarks, draw)
    x0, y0, x1, y1 = window = work.window
    if draw.changed == "target":
        target = change(rgb, draw)
        source = _move(rgb, work, window)
    else:
        target = rgb
        source = _changed_and_moved(rgb, work, window, draw)
    part = work.mask if draw.ratio == 1 else work.mask * np.float32(draw.ratio)
    real = target.copy() if target is rgb else target
    fake = target.copy()
    fake[y0:y1, x0:x1] = cv2.blendLinear(source, target[y0:y1, x0:x1], part, 1.0 - part)
    mask = np.zeros(rgb.shape[:2], np.float32)
    mask[y0:y1, x0:x1] = part
    return SelfBlend(real, fake, mask)


def explain(rgb: Image, landmarks: NDArray[np.floating], draw: Draw) -> Steps:
    """Carry out a draw and keep every step; arguments and errors as for `blend`, whose result it holds."""
    rgb = np.ascontiguousarray(rgb)
    work = _prepare(rgb, landmarks, draw)
    done = blend(rgb, landmarks, draw)
    changed = change(rgb, draw)
    source, target = (changed, rgb) if draw.changed == "source" else (rgb, changed)
    everything = (0, 0, rgb.shape[1], rgb.shape[0])
    softened = np.zeros(rgb.shape[:2], np.float32)
    x0, y0, x1, y1 = work.window
    softened[y0:y1, x0:x1] = work.mask
    return Steps(
        draw=draw,
        hull=faces.fill(work.hull, rgb.shape),
        source=source,
        target=target,
        warped=_move(source, work, everything),
        deformed=_place(work.deformed, work, everything),
        softened=softened,
        mask=done.mask,
        real=done.real,
        fake=done.fake,
    )


class _Work(NamedTuple):
    """A draw's geometry on one image. Target pixel p shows source pixel a * p + b; `mask` covers `window`, without ratio."""

    hull: NDArray[np.float32]
    deformed: hulls.SoftMask
    a: float
    b: NDArray[np.float64]
    window: Window
    mask: NDArray[np.float32]


def _prepare(rgb: Image, landmarks: NDArray[np.floating], draw: Draw) -> _Work:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"an image must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
    landmarks = np.asarray(landmarks, np.float32)
    if landmarks.shape != (68, 2):
        raise ValueError(f"landmarks must be (68, 2), not {landmarks.shape}")
    if not np.isfinite(landmarks).all():
        raise UserError("a face's landmarks are not all finite numbers; prepare the face anew, or leave it out")
    bx0, by0, bx1, by1 = faces.box(landmarks)
    centre = np.array([bx0 + bx1, by0 + by1]) / 2
    move = np.array([draw.shift[0] * (bx1 - bx0), draw.shift[1] * (by1 - by0)])
    a = 1.0 / draw.scale
    b = centre - a * (centre + move)
    for kind, forehead in dict.fromkeys([(draw.hull, draw.forehead), ("whole", True)]):
        hull = hulls.polygon(landmarks, kind, forehead)
        width, length = hulls.width(hull), float((hull.max(0) - hull.min(0)).max())
        if width < max(_THINNEST, _SLENDEREST * length):
            continue
        deformed, soft = hulls.soft_mask(hull, draw.deformation, np.random.default_rng(draw.noise))
        window = _support(soft, a, b, rgb.shape)
        if window is None:
            continue
        work = _Work(hull, deformed, a, b, window, np.empty(0, np.float32))
        mask = _place(soft, work, window)
        if mask.max() >= 0.5 * soft.values.max():  # else only the mask's faint skirt is in the picture
            return work._replace(mask=mask)
    raise UserError(
        f"a face has no usable hull in its picture of {rgb.shape[1]} x {rgb.shape[0]} px (its box: "
        f"{bx0:.0f}, {by0:.0f} to {bx1:.0f}, {by1:.0f}); its landmarks are wrong: leave the face out"
    )


def _support(soft: hulls.SoftMask, a: float, b: NDArray[np.float64], shape: tuple[int, ...]) -> Window | None:
    """The window of the picture outside of which the moved mask changes nothing; None where that is all of it."""
    columns = np.flatnonzero(soft.values.max(0) > _FAINTEST)
    rows = np.flatnonzero(soft.values.max(1) > _FAINTEST)
    if not columns.size:
        return None
    ends = []
    for axis, places in enumerate((columns, rows)):
        at = (np.array([places[0] - 1, places[-1] + 1]) / soft.scale + soft.origin[axis] - b[axis]) / a
        ends.append((max(0, math.floor(at[0])), min(shape[1 - axis], math.ceil(at[1]) + 1)))
    (x0, x1), (y0, y1) = ends
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _place(soft: hulls.SoftMask, work: _Work, window: Window) -> NDArray[np.float32]:
    """The low-resolution mask as it falls on a window of the target, moved with the source."""
    x0, y0, x1, y1 = window
    at = [soft.scale * (work.a * start + work.b[i] - soft.origin[i]) for i, start in enumerate((x0, y0))]
    step = soft.scale * work.a
    matrix = np.array([[step, 0.0, at[0]], [0.0, step, at[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(soft.values, matrix, (x1 - x0, y1 - y0), flags=flags)


def _changed_and_moved(rgb: Image, work: _Work, window: Window, draw: Draw) -> Image:
    """`_move(change(rgb))`, with only what the window needs changed."""
    need = []
    for axis, (start, end) in enumerate((window[0::2], window[1::2])):
        low, high = work.a * start + work.b[axis], work.a * end + work.b[axis]
        block = draw.factor
        size = rgb.shape[1 - axis]
        # blocks start where the picture's do; one more block and pixel for what interpolation and sharpening look at
        low = min(max(0, (math.floor(low) - 2) // block - 1), (size - 1) // block) * block
        high = max(min(size, (-(-(math.ceil(high) + 2) // block) + 1) * block), low + 1)
        need.append((low, high))
    (x0, x1), (y0, y1) = need
    return _move(change(np.ascontiguousarray(rgb[y0:y1, x0:x1]), draw), work, window, (x0, y0))


def _move(source: Image, work: _Work, window: Window, origin: tuple[int, int] = (0, 0)) -> Image:
    """The source resized and shifted, as it falls on a window of the target. `origin`: of its first pixel."""
    x0, y0, x1, y1 = window
    at = [work.a * start + work.b[i] - origin[i] for i, start in enumerate((x0, y0))]
    matrix = np.array([[work.a, 0.0, at[0]], [0.0, work.a, at[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(source, matrix, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REPLICATE)
