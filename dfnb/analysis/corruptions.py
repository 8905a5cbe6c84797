"""What happens to a video between its maker and its viewer: compression, blur, resizing, noise, darkness.

Each kind takes a short stretch of frames, (N, H, W, 3) uint8 RGB, and returns the last one corrupted, (H, W, 3) uint8.
Only H.264 uses the frames before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dfnb.profile import Robustness

Image = NDArray[np.uint8]
STRETCH = 12  # frames before a wanted one, itself included, that are compressed with it: a group of pictures


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    title: in words. axis: what its strength is, with the unit. apply: (stretch, strength, generator) -> frame.
    stretch: frames it needs. strengths: from mild to strong, for a kind without a setting in the profile's
    `robustness`.
    """

    title: str
    axis: str
    apply: Callable[[Image, float, np.random.Generator], Image]
    stretch: int = 1
    strengths: tuple[float, ...] = ()


def h264(stretch: Image, crf: float, rng: np.random.Generator) -> Image:
    """The last frame after x264 has compressed the stretch with this constant rate factor (0..51, more is worse)."""
    from dfnb.benchmark import video

    height, width = stretch.shape[1:3]
    even = np.pad(stretch, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")  # as yuv420p wants it
    return video.recompress(even, video.Codec(crf=int(crf), keyframe=STRETCH))[-1, :height, :width]


def jpeg(stretch: Image, quality: float, rng: np.random.Generator) -> Image:
    """The frame after JPEG compression, colour at half the resolution; quality 1..100, less is worse."""
    bgr = cv2.cvtColor(stretch[-1], cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not written:
        raise ValueError(f"a frame of {bgr.shape[1]} x {bgr.shape[0]} px can't be written as JPEG")
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def blur(stretch: Image, sigma: float, rng: np.random.Generator) -> Image:
    """The frame out of focus: a Gaussian of standard deviation `sigma` pixels."""
    return cv2.GaussianBlur(stretch[-1], (0, 0), sigma) if sigma > 0 else stretch[-1]


def resize(stretch: Image, share: float, rng: np.random.Generator) -> Image:
    """The frame shrunk by area to this share of its size, and enlarged again (bicubic)."""
    height, width = stretch.shape[1:3]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    shrunk = cv2.resize(stretch[-1], small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC)


def noise(stretch: Image, deviation: float, rng: np.random.Generator) -> Image:
    """The frame with Gaussian noise of this standard deviation, in levels of 255, on every pixel and channel."""
    added = rng.standard_normal(stretch.shape[1:], dtype=np.float32)
    return _levels(stretch[-1] + np.float32(deviation) * added)


def dark(stretch: Image, stops: float, rng: np.random.Generator) -> Image:
    """The frame with 2^stops times less light: the levels, which go with the power 1/2.2 of light, shrink by less."""
    return _levels(stretch[-1] * np.float32(2 ** (-stops / 2.2)))


CORRUPTIONS: dict[str, Corruption] = {
    "h264": Corruption("H.264 again", "constant rate factor", h264, STRETCH),
    "jpeg": Corruption("JPEG", "quality", jpeg),
    "blur": Corruption("blur", "standard deviation, px", blur),
    "resize": Corruption("resized", "shrunk to, and back", resize),
    "noise": Corruption("noise", "standard deviation, levels", noise),
    "dark": Corruption("darker", "stops of light less", dark),
}

# Further corruptions go here, as CONTRIBUTING.md shows.


def strengths(settings: "Robustness", kind: str) -> tuple[float, ...]:
    """The strengths of a kind, from mild to strong: the profile's where it has them, otherwise the kind's own."""
    return tuple(float(value) for value in getattr(settings, kind, CORRUPTIONS[kind].strengths))


def _levels(picture: NDArray[np.float32]) -> Image:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
