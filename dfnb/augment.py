"""Changes of an image that self-blending and training draw: colour, frequency, JPEG, mirroring.

Every function takes and returns (H, W, 3) uint8 RGB and never writes to its input. Levels are those of uint8, 0..255.
Pointwise changes go through look-up tables of 256 entries; hue, saturation and value through OpenCV's HSV with the hue
on 0..255 instead of 0..359 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_LEVELS = np.arange(256, dtype=np.float32)
_DEGREES = 256.0 / 360.0  # one degree of hue in OpenCV's full-range units


@dataclass(frozen=True)
class Colour:
    """One colour change, applied in the order of the fields; all zero changes nothing.

    rgb: levels added to red, green and blue.
    hue: degrees; saturation, value: levels (of OpenCV's HSV, 0..255).
    brightness: share of the full range, added; contrast: gain - 1, about level 127.5.
    """

    rgb: tuple[float, float, float] = (0.0, 0.0, 0.0)
    hue: float = 0.0
    saturation: float = 0.0
    value: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0


@dataclass(frozen=True)
class ColourRange:
    """How far colours change: each amount is uniform between minus and plus the named one.

    rgb_shift, saturation, value: levels; hue: degrees; brightness, contrast: shares (see `Colour`). The three
    probabilities decide whether RGB, HSV, and brightness with contrast are changed at all.
    """

    rgb_shift: float = 20.0
    hue: float = 4.0
    saturation: float = 10.0
    value: float = 10.0
    brightness: float = 0.1
    contrast: float = 0.1
    rgb_probability: float = 0.3
    hsv_probability: float = 1.0
    brightness_probability: float = 1.0

    def draw(self, rng: np.random.Generator) -> Colour:
        """Draw a change. Eleven uniform numbers, whatever is changed: three that decide, then an amount per field."""
        decide, amounts = (u := rng.random(11))[:3], 2.0 * u[3:] - 1.0
        red, green, blue, hue, saturation, value, brightness, contrast = (float(a) for a in amounts)
        rgb = self.rgb_shift if decide[0] < self.rgb_probability else 0.0
        hsv = 1.0 if decide[1] < self.hsv_probability else 0.0
        light = 1.0 if decide[2] < self.brightness_probability else 0.0
        return Colour(
            rgb=(rgb * red, rgb * green, rgb * blue),
            hue=hsv * self.hue * hue,
            saturation=hsv * self.saturation * saturation,
            value=hsv * self.value * value,
            brightness=light * self.brightness * brightness,
            contrast=light * self.contrast * contrast,
        )


def recolour(rgb: Image, colour: Colour) -> Image:
    """Apply a colour change. Returns a new (H, W, 3) uint8, or the input itself where nothing changes.

    Each step is rounded to whole levels and clipped to 0..255 (the hue wraps), except that neighbouring steps
    without HSV between them are rounded once. HSV amounts are rounded to whole units first, and skipped where all
    are zero.
    """
    shift = np.asarray(colour.rgb, np.float32)
    hsv = [round(colour.hue * _DEGREES), round(colour.saturation), round(colour.value)]
    table: NDArray[np.float32] | None = None  # (256, 3) or (256, 1) levels, not yet applied
    if shift.any():
        table = _LEVELS[:, None] + shift
    if any(hsv):
        if table is not None:
            rgb = _look_up(rgb, table)
            table = None
        rgb = _shift_hsv(rgb, *hsv)
    if colour.brightness or colour.contrast:
        table = _LEVELS[:, None] if table is None else np.clip(table, 0, 255)
        table = (table - 127.5) * (1.0 + colour.contrast) + (127.5 + 255.0 * colour.brightness)
    return rgb if table is None else _look_up(rgb, table)


def _look_up(rgb: Image, table: NDArray[np.floating]) -> Image:
    levels = np.clip(np.rint(table), 0, 255).astype(np.uint8)  # (256, 1 or 3)
    return cv2.LUT(rgb, levels[None])


def _shift_hsv(rgb: Image, hue: int, saturation: int, value: int) -> Image:
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL)
    steps = np.array([hue, saturation, value], np.int32)
    table = np.arange(256, dtype=np.int32)[:, None] + steps  # (256, 3)
    table[:, 0] %= 256
    table = np.clip(table, 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.LUT(hsv, table[None]), cv2.COLOR_HSV2RGB_FULL)


def downscale(rgb: Image, factor: int) -> Image:
    """Lose the high frequencies: shrink by a whole factor (block means), then enlarge bilinearly to the old size.

    Where a side is no multiple of `factor`, the last row or column is repeated for the last block, so that blocks
    always start at the first pixel.
    """
    height, width = rgb.shape[:2]
    below, right = -height % factor, -width % factor
    if below or right:
        rgb = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)
    size = (rgb.shape[1], rgb.shape[0])
    small = cv2.resize(rgb, (size[0] // factor, size[1] // factor), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large[:height, :width])


def sharpen(rgb: Image, amount: float) -> Image:
    """Unsharp mask: the image plus `amount` times its difference from its 3 x 3 mean, clipped to 0..255."""
    return cv2.addWeighted(rgb, 1.0 + amount, cv2.blur(rgb, (3, 3)), -amount, 0.0)


def jpeg(rgb: Image, quality: int) -> Image:
    """Compress and decompress with JPEG at a quality of 1..100, chroma subsampled 4:2:0."""
    # OpenCV encodes BGR, and JPEG treats colours unevenly, so the order matters
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not done:
        raise RuntimeError(f"JPEG compression of {rgb.shape[1]} x {rgb.shape[0]} px failed")
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


# Landmark i of a mirrored face is landmark MIRROR[i] of the face (iBUG order).
MIRROR: NDArray[np.int64] = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        27, 28, 29, 30, 35, 34, 33, 32, 31,  # nose
        45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,  # eyes
        54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,  # outer lips
        64, 63, 62, 61, 60, 67, 66, 65,  # inner lips
    ]
)  # fmt: skip


def mirror(rgb: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Left and right swapped: image (H, W, 3) uint8 and landmarks (68, 2) pixels, renumbered to the iBUG order again."""
    turned = np.asarray(landmarks, np.float32)[MIRROR]
    turned[:, 0] = rgb.shape[1] - 1 - turned[:, 0]
    return cv2.flip(rgb, 1), turned


@dataclass(frozen=True)
class Photometric:
    """The augmentation that a pair shares: colours (RGB; HSV; brightness and contrast: p 0.3 each), then JPEG (p 0.5).

    quality: lowest and highest JPEG quality, whole numbers drawn evenly.
    """

    colour: ColourRange = ColourRange(
        rgb_shift=20.0, hue=10.0, saturation=30.0, value=20.0, brightness=0.2, contrast=0.2,
        rgb_probability=0.3, hsv_probability=0.3, brightness_probability=0.3,
    )  # fmt: skip
    jpeg_probability: float = 0.5
    quality: tuple[int, int] = (40, 100)
