"""Forgeries of a folder's real faces, to choose the settings of self-blending on: they stand for other people's tools.

Two kinds: the face of another person pulled over the target's landmarks, as classical face swaps do (FaceSwap: Kowalski
2018), and the target's mouth rendered with another expression, as lip sync and NeuralTextures (Thies et al. 2019) do.
No line is shared with the self-blended images that networks are trained on; the tools are those of `pasting`.
`forgery_folder` chooses the faces and writes the files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb.benchmark import pasting
from dfnb.benchmark.video import to_levels
from dfnb.data import faces

LIPS, JAW = slice(48, 68), np.arange(4, 13)
STILL = np.r_[0:4, 13:17, 17:48]  # what speaking doesn't move


@dataclass(frozen=True, eq=False)
class Portrait:
    """One face. rgb: (H, W, 3) uint8. landmarks: (68, 2) pixels."""

    rgb: NDArray[np.uint8]
    landmarks: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Look:
    """What a source is chosen by.

    colour: (3,) mean of the face in Lab. detail: standard deviation of the Laplacian of a face of 128 px, as a share
    of that of its grey levels.
    """

    landmarks: NDArray[np.float32]
    colour: NDArray[np.float32]
    detail: float


@dataclass(frozen=True)
class Method:
    """A kind of forgery.

    forge: (target, source, rng) -> the forged target, (H, W, 3) uint8.
    unfit: (target, source) -> how badly the source suits, as a share of the face's height; the least is taken.
    """

    forge: Callable[[Portrait, Portrait, np.random.Generator], NDArray[np.uint8]]
    unfit: Callable[[Look, Look], float]


def swap(target: Portrait, source: Portrait, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The source's face on the target: a mesh over the landmarks, colours matched in Lab, blended.

    Drawn: the rows the tool renders a face with, whether its mesh has a forehead, and the blending: half of them
    feathered along the edge, half in the gradient domain (Perez et al. 2003).
    Returns the target, (H, W, 3) uint8, changed only inside the hull of its landmarks and forehead.
    """
    detail, feather = rng.uniform(64, 160), rng.uniform(0.03, 0.15)
    poisson, with_forehead = rng.uniform(size=2) < 0.5
    under, points, border = _padded(target)
    theirs = source.landmarks
    if with_forehead:
        points, theirs = (np.concatenate([p, faces.forehead(p)]) for p in (points, theirs))
    height = face_height(target.landmarks)
    pasted, covered = _render(source.rgb, theirs, points, under.shape, detail, height)
    inside = faces.fill(cv2.convexHull(points.astype(np.float32))[:, 0], under.shape) * (covered > 0.99)
    where = inside > 0.5
    where[[0, -1]] = where[:, [0, -1]] = False  # gradients need a pixel around
    pasted = pasting.match_colour(pasted, under.astype(np.float32), where, rng.uniform(0.8, 1.0), lab=True)
    if poisson:
        pasted, feather = _cloned(to_levels(pasted), under, where), 2 / height  # OpenCV's clone strays over its edge
    distance = cv2.distanceTransform(where.astype(np.uint8), cv2.DIST_L2, 5)
    out = _mixed(under, pasted, _smooth(distance / (feather * height)))
    return _cut(out, border)


def mouth(target: Portrait, source: Portrait, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The target's mouth with the source's expression, as a neural renderer draws it: a little soft, colours adrift.

    The mesh of the lower face follows the source's lips, and the jaw follows the lower lip by half; what an opened
    mouth shows comes from the source. Drawn: rows of the renderer, its blur, the drift and the edge's softness.
    Returns the target, (H, W, 3) uint8, changed only below the nose.
    """
    detail, blur, soft = rng.uniform(64, 144), rng.uniform(0.3, 0.9), rng.uniform(0.04, 0.10)
    gain, offset = rng.uniform(0.97, 1.03, 3), rng.uniform(-3, 3, 3)
    under, points, border = _padded(target)
    height = face_height(target.landmarks)
    moved = _with_expression(points, source.landmarks, height)
    # a ring around the lower face stays, so that the warp ends within it
    centre = points[LIPS].mean(0)
    ring = centre + 1.35 * (np.concatenate([points[2:15], points[27:36]]) - centre)
    corners = np.concatenate([moved, ring])
    drawn, covered = _render(under, np.concatenate([points, ring]), corners, under.shape, detail, height, blur)
    outline = np.concatenate([points[JAW], moved[JAW], points[[31, 33, 35]] + 0.02 * (points[8] - points[33])])
    inside = (faces.fill(cv2.convexHull(outline.astype(np.float32))[:, 0], under.shape) > 0.5) & (covered > 0.99)
    if _opening(moved) > max(0.03, 1.3 * _opening(points)):  # what the lips hid
        theirs, shown = _render(source.rgb, source.landmarks, moved, under.shape, detail, height, blur)
        theirs = pasting.match_colour(theirs, drawn, inside & (shown > 0.99), 1.0, lab=True)
        between = cv2.fillPoly(np.zeros(under.shape[:2], np.float32), [np.rint(moved[60:68]).astype(np.int32)], 1.0)
        drawn = drawn + cv2.GaussianBlur(between, (0, 0), 0.012 * height)[..., None] * (theirs - drawn)
    drawn = drawn * gain.astype(np.float32) + offset.astype(np.float32)
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    return _cut(_mixed(under, drawn, _smooth(distance / (soft * height))), border)


def _difference(target: Look, source: Look) -> float:
    """How far the source's landmarks stay from the target's after alignment; colour and missing detail count, too.

    Colours within 10 count as equal, or else the same person under the same light would be preferred.
    """
    points = target.landmarks
    apart = float(np.hypot(*(_aligned(source.landmarks, points) - points).T).mean()) / face_height(points)
    colour = float(np.linalg.norm(source.colour - target.colour))
    return apart + 0.002 * max(0.0, colour - 10) + 0.1 * max(0.0, float(np.log(target.detail / source.detail)))


def _other_mouth(target: Look, source: Look) -> float:
    """Small where the faces are alike, but for how far the mouth is open."""
    return _difference(target, source) - min(0.08, abs(_opening(target.landmarks) - _opening(source.landmarks)))


METHODS: dict[str, Method] = {
    "swap": Method(swap, _difference),
    "mouth": Method(mouth, _other_mouth),
}
# Further methods go here, at the end: a method's place is part of its random numbers.


def look(rgb: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> Look:
    """What a face looks like. rgb: (H, W, 3) uint8; landmarks: (68, 2) pixels."""
    scale = 128 / face_height(landmarks)
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    where = faces.fill(cv2.convexHull(landmarks * np.float32(scale))[:, 0], small.shape) > 0.5
    lab, grey = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    detail = cv2.Laplacian(grey, cv2.CV_32F)[where].std() / max(grey[where].std(), 1.0)
    return Look(landmarks, lab[where].mean(0), max(float(detail), 1e-3))


def face_height(points: NDArray[np.floating]) -> float:
    """From the brows' middle to the chin, pixels."""
    return float(np.hypot(*(points[[21, 22]].mean(0) - points[8])))


def _aligned(points: NDArray[np.floating], to: NDArray[np.floating], by: Any = slice(None)) -> NDArray[np.float64]:
    fit = pasting.similarity(points[by], to[by])
    return points @ fit[:2, :2].T + fit[:2, 2]


def _opening(points: NDArray[np.floating]) -> float:
    """Of the mouth between the lips, as a share of the face's height."""
    return float(np.hypot(*(points[[61, 62, 63]] - points[[67, 66, 65]]).T).mean()) / face_height(points)


def _with_expression(points: NDArray[np.floating], source: NDArray[np.floating], height: float) -> NDArray[np.float64]:
    """The landmarks with the source's lips: their shape about the middle, in the target's width by half."""
    moved = np.array(points, np.float64)
    theirs = _aligned(source, points, STILL)
    shift = theirs[LIPS] - theirs[LIPS].mean(0) - (moved[LIPS] - moved[LIPS].mean(0))
    down = (points[8] - points[33]) / np.hypot(*(points[8] - points[33]))
    shift -= (shift[[3, 14]] @ down).mean() * down  # the upper lip stays at the nose
    shift = np.clip(shift, -0.15 * height, 0.15 * height)
    moved[LIPS] += shift
    chin = 0.5 * (shift[[8, 9, 10]] @ down).mean()
    moved[JAW] += chin * np.sin(np.pi * (JAW[:, None] - 3) / 10) * down
    return moved


def _padded(target: Portrait) -> tuple[NDArray[np.uint8], NDArray[np.float64], int]:
    """The picture with a border, which a face may reach into, the landmarks there, and the border in pixels."""
    border = round(0.6 * face_height(target.landmarks))
    padded = cv2.copyMakeBorder(target.rgb, border, border, border, border, cv2.BORDER_REFLECT_101)
    return padded, target.landmarks.astype(np.float64) + border, border


def _cut(padded: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(padded[border:-border, border:-border])


def _render(
    rgb: NDArray[np.uint8],
    points: NDArray[np.floating],
    corners: NDArray[np.floating],
    shape: tuple[int, ...],
    detail: float,
    height: float,
    blur: float = 0.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A face pulled from `points` to `corners`, triangle by triangle, at `detail` rows a face, then enlarged.

    height: of the face at `corners`; blur: in the renderer's pixels. Returns the picture of this shape, (H, W, 3)
    float32 levels, and (H, W) float32, 1 where the mesh lies and the source's picture has pixels.
    """
    scale = min(1.0, detail / height)
    size = max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
    ratio = np.array([size[0] / shape[1], size[1] / shape[0]])
    finer = np.ptp(points[:, 1]) / max(np.ptp(corners[:, 1]) * scale, 1.0)  # source pixels a renderer's pixel
    picture = rgb.astype(np.float32)
    if finer > 1.2:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 * finer)
    at = pasting.piecewise_affine((corners + 0.5) * ratio - 0.5, points, (size[1], size[0]))
    limits = np.array([rgb.shape[1], rgb.shape[0]]) - 0.5
    covered = ((at > -0.5) & (at < limits)).all(-1)  # NaN, outside the mesh, is neither
    at = np.nan_to_num(at, nan=-1.0).astype(np.float32)
    drawn = cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if blur > 0:
        drawn = cv2.GaussianBlur(drawn, (0, 0), blur)
    whole = (shape[1], shape[0])
    return (
        cv2.resize(drawn, whole, interpolation=cv2.INTER_CUBIC),
        cv2.resize(covered.astype(np.float32), whole, interpolation=cv2.INTER_LINEAR),
    )


def _smooth(ramp: NDArray[np.floating]) -> NDArray[np.floating]:
    ramp = np.clip(ramp, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def _mixed(under: NDArray[np.uint8], over: NDArray[Any], alpha: NDArray[np.floating]) -> NDArray[np.uint8]:
    return to_levels(under + alpha[..., None] * (over.astype(np.float32) - under))


def _cloned(over: NDArray[np.uint8], under: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Gradients of `over`, colours of `under` along the edge of `where`."""
    region = where.astype(np.uint8) * 255
    x, y, width, height = cv2.boundingRect(region)
    return cv2.seamlessClone(over, under, region, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)
