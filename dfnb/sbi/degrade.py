"""What happens to a picture between its camera and its viewer, for both images of a pair alike, in training.

Images are (H, W, 3) uint8 RGB. A pair is degraded side by side, in one picture, so that an encoder treats both alike.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.sbi.augment import Image, between, check_ranges

_WIDTH = 256.0  # pixels, the shorter side of a picture for which blurs are given
_BLOCK = 16  # pixels, of H.264's macroblocks: none lies in both images
# x264's AVX-512 code gives the same frames other bytes from time to time
_SAME_BYTES = ":asm=avx2" if platform.machine().lower() in ("x86_64", "amd64") else ""


class Steps(NamedTuple):
    """What is done, in the order of the fields; None: not at all.

    gamma: exponent of the levels in 0..1. shrink: share of the size that is left while the next three are done.
    blur: standard deviation of a Gaussian, pixels of a picture whose shorter side has 256.
    noise: standard deviation of Gaussian noise, levels; seed: of the noise.
    h264: x264's constant rate factor; swapped: whether the fake is on the left.
    """

    gamma: float | None
    shrink: float | None
    blur: float | None
    noise: float | None
    h264: int | None
    seed: int
    swapped: bool


@dataclass(frozen=True)
class Degradation:
    """Each step of `Steps` with its probability (0..1), and the lowest and the highest of what is drawn uniformly.

    gamma: 0.1..10; shrink: 0.05..1; blur: 0..32 px; noise: 0..255 levels; h264: whole numbers, 0 (nothing lost)..51.
    Nothing is done by default. Raises UserError where a setting is out of range.
    """

    gamma_probability: float = 0.0
    gamma: tuple[float, float] = (0.7, 1.4)
    shrink_probability: float = 0.0
    shrink: tuple[float, float] = (0.3, 0.9)
    blur_probability: float = 0.0
    blur: tuple[float, float] = (0.3, 1.5)
    noise_probability: float = 0.0
    noise: tuple[float, float] = (1.0, 8.0)
    h264_probability: float = 0.0
    h264: tuple[int, int] = (20, 40)

    def __post_init__(self) -> None:
        limits = {"gamma": (0.1, 10.0), "shrink": (0.05, 1.0), "blur": (0.0, 32.0), "noise": (0.0, 255.0)}
        limits |= {"h264": (0, 51)}
        check_ranges(self, limits)
        for name in limits:
            if not 0 <= (share := getattr(self, f"{name}_probability")) <= 1:
                raise UserError(f"{name}_probability: a probability is between 0 and 1, not {share}")

    @property
    def does_nothing(self) -> bool:
        """Whether every probability is 0."""
        return not any(getattr(self, f.name) for f in fields(self) if f.name.endswith("_probability"))

    def draw(self, rng: np.random.Generator) -> Steps:
        """Always 11 uniform numbers and a whole number, so that a setting changes its own step alone."""
        u = [float(v) for v in rng.random(11)]
        drawn: dict[str, float | None] = {}
        for k, name in enumerate(("gamma", "shrink", "blur", "noise", "h264")):
            value = between(getattr(self, name), u[2 * k + 1])
            drawn[name] = value if u[2 * k] < getattr(self, f"{name}_probability") else None
        h264 = drawn.pop("h264")
        low, high = self.h264
        factor = None if h264 is None else min(high, low + int(u[9] * (high - low + 1)))
        return Steps(**drawn, h264=factor, seed=int(rng.integers(2**62)), swapped=u[10] < 0.5)


def degrade_pair(real: Image, fake: Image, steps: Steps) -> tuple[Image, Image]:
    """Both images of a pair, of equal size, through the same steps; the inputs themselves where there are none."""
    if steps[:5] == (None,) * 5:
        return real, fake
    height, width = real.shape[:2]
    images = [fake, real] if steps.swapped else [real, fake]
    if steps.gamma is not None:
        table = np.rint(255.0 * (np.arange(256) / 255.0) ** steps.gamma).astype(np.uint8)
        images = [cv2.LUT(image, table) for image in images]
    if steps.shrink is not None:
        small = (max(1, round(width * steps.shrink)), max(1, round(height * steps.shrink)))
        images = [cv2.resize(image, small, interpolation=cv2.INTER_AREA) for image in images]
    if steps.blur:
        sigma = steps.blur * min(images[0].shape[:2]) / _WIDTH
        images = [cv2.GaussianBlur(image, (0, 0), max(sigma, 1e-3)) for image in images]
    if steps.noise:
        noise = np.random.default_rng(steps.seed).standard_normal(images[0].shape, dtype=np.float32)
        noise *= np.float32(steps.noise)
        images = [np.clip(np.rint(image + noise), 0, 255).astype(np.uint8) for image in images]
    if steps.h264 is not None:
        images = _side_by_side(images, steps.h264)
    if steps.shrink is not None:
        images = [cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) for image in images]
    return (images[1], images[0]) if steps.swapped else (images[0], images[1])


def _side_by_side(images: list[Image], factor: int) -> list[Image]:
    """Images of equal size as the left and the right of one H.264 frame, each on macroblocks of its own."""
    height, width = images[0].shape[:2]
    below, right = -height % _BLOCK, -width % _BLOCK
    padded = [cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE) for image in images]
    both = h264(np.hstack(padded), factor)
    return [np.ascontiguousarray(both[:height, at : at + width]) for at in (0, width + right)]


def h264(rgb: Image, factor: int) -> NDArray[np.uint8]:
    """One intra-coded frame compressed by x264 and decoded again: (H, W, 3) uint8 -> the same; H and W even.

    factor: x264's constant rate factor, 0..51.
    """
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = rgb.shape[1], rgb.shape[0]
    encoder.pix_fmt, encoder.time_base, encoder.thread_count = "yuv420p", Fraction(1, 25), 1
    encoder.options = {
        "crf": str(factor), "preset": "veryfast", "tune": "zerolatency", "x264-params": f"log-level=none{_SAME_BYTES}",
    }  # fmt: skip
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    packets = [*encoder.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")), *encoder.encode(None)]
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return frames[0].to_ndarray(format="rgb24")
