"""Changes of an image that self-blending and training draw: colour, sharpness, JPEG, mirroring.

Every function takes and returns images (H, W, 3) uint8 RGB and never writes to its input. A level is one of 0..255.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError

Image = NDArray[np.uint8]
Window = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels, ends excluded


def between(ends: tuple[float, float], u: float) -> float:
    """From the lower end (u = 0) to the upper (u = 1)."""
    return ends[0] + (ends[1] - ends[0]) * u


def check_ranges(settings: object, limits: Mapping[str, tuple[float, float]]) -> None:
    """Raises UserError, naming the setting, unless the ends of each ascend and lie within its limits."""
    for name, (least, most) in limits.items():
        low, high = getattr(settings, name)
        if not least <= low <= high <= most:
            raise UserError(
                f"{name}: give a lowest and a highest value between {least:g} and {most:g}, not {low}, {high}"
            )


@dataclass(frozen=True)
class Colour:
    """One colour change, applied in the order of the fields; all zero changes nothing.

    rgb: levels added to red, green and blue.
    hue: degrees of rotation about the grey axis.
    saturation: gain - 1 of the distance to grey. value: gain - 1 of all levels.
    brightness: added, as a share of the full range. contrast: gain - 1 of the distance to the level `pivot`.
    """

    rgb: tuple[float, float, float] = (0.0, 0.0, 0.0)
    hue: float = 0.0
    saturation: float = 0.0
    value: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    pivot: float = 127.5

    def matrix(self) -> NDArray[np.float64]:
        """The change as one affine map of RGB levels: (3, 4), levels' = matrix[:, :3] @ levels + matrix[:, 3].

        Hue, saturation and value are linear here, unlike OpenCV's HSV: 8-bit HSV merges colours, a trace that no
        manipulation leaves, and takes ten times as long. Value is the same in both; hue and saturation agree to
        within a few levels for small changes.
        """
        angle = math.radians(self.hue)
        cos, along, side = math.cos(angle), (1.0 - math.cos(angle)) / 3.0, math.sin(angle) / math.sqrt(3.0)
        turn = np.array(
            [
                [cos + along, along - side, along + side],
                [along + side, cos + along, along - side],
                [along - side, along + side, cos + along],
            ]
        )  # Rodrigues' formula about (1, 1, 1) / sqrt(3); its rows sum to 1, so grey stays grey
        grey = np.full((3, 3), 1.0 / 3.0)
        tint = (1.0 + self.saturation) * (turn - grey) + grey
        tint = (1.0 + self.contrast) * (1.0 + self.value) * tint
        offset = tint @ np.asarray(self.rgb) + self.pivot * -self.contrast + 255.0 * self.brightness
        return np.column_stack([tint, offset])


_UNCHANGED = Colour()


@dataclass(frozen=True)
class ColourRange:
    """How far colours change: each amount is uniform between minus and plus the field of its name.

    rgb_shift: levels. hue: degrees. saturation, value, brightness, contrast: as in `Colour`.
    pivot: the level that a change of contrast keeps: 127.5, or 0 where contrast multiplies the levels.
    The three probabilities decide whether RGB, HSV, and brightness with contrast are changed at all.

    Raises UserError where a setting is out of range.
    """

    rgb_shift: float = 20.0
    hue: float = 4.0
    saturation: float = 0.08
    value: float = 0.05
    brightness: float = 0.1
    contrast: float = 0.1
    pivot: float = 127.5
    rgb_probability: float = 0.3
    hsv_probability: float = 1.0
    brightness_probability: float = 1.0

    def __post_init__(self) -> None:
        most = {"rgb_shift": 255.0, "hue": 180.0, "pivot": 255.0}
        for name in (f.name for f in fields(self)):
            if not 0 <= getattr(self, name) <= most.get(name, 1.0):
                raise UserError(
                    f"{name}: give a number between 0 and {most.get(name, 1.0):g}, not {getattr(self, name)}"
                )

    def draw(self, rng: np.random.Generator) -> Colour:
        """Draw a change: always 11 uniform numbers, three that decide, then the amounts in the order of `Colour`."""
        u = rng.random(11)
        decide, amounts = u[:3], 2.0 * u[3:] - 1.0
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
            pivot=self.pivot,
        )


def recolour(rgb: Image, colour: Colour) -> Image:
    """Apply a colour change: a new (H, W, 3) uint8, rounded and clipped once; the input itself where nothing changes.

    OpenCV works in fixed point here: a level may differ by 1 from the exact one.
    """
    if colour == _UNCHANGED:
        return rgb
    matrix = colour.matrix()
    # OpenCV is 20 times as slow for a diagonal matrix; an entry this small vanishes in its fixed point
    matrix[0, 1] += 1e-5
    return cv2.transform(rgb, matrix.astype(np.float32))


SHRINK = {"mean": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST}


def downscale(rgb: Image, factor: int, shrink: str = "mean") -> Image:
    """Remove high frequencies: shrink by a whole factor, then enlarge bilinearly to the old size.

    shrink: a key of `SHRINK`, what is kept of a block: its mean, or the "nearest" pixel, its first. Blocks start at the
    first pixel. Where a side is no multiple of `factor`, the last row or column is repeated to fill the last block.
    """
    height, width = rgb.shape[:2]
    below, right = -height % factor, -width % factor
    if below or right:
        rgb = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)
    size = (rgb.shape[1], rgb.shape[0])
    small = cv2.resize(rgb, (size[0] // factor, size[1] // factor), interpolation=SHRINK[shrink])
    large = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large[:height, :width])


# What is sharpened by 1, as the amount of an unsharp mask: that itself, or the image with its 3 x 3 Laplacian (8 in the
# middle, -1 around), which is 9 times the difference from the mean.
SHARPEN = {"unsharp": 1.0, "laplacian": 9.0}


def sharpen(rgb: Image, amount: float) -> Image:
    """Unsharp mask: the image plus `amount` times its difference from its 3 x 3 mean, clipped to 0..255."""
    return cv2.addWeighted(rgb, 1.0 + amount, cv2.blur(rgb, (3, 3)), -amount, 0.0)


def jpeg(rgb: Image, quality: int) -> Image:
    """Compress and decompress with JPEG at a quality of 1..100, chroma subsampled 4:2:0."""
    # the order matters, since JPEG treats colours unevenly and OpenCV takes BGR
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not done:
        raise RuntimeError(f"JPEG compression of {rgb.shape[1]} x {rgb.shape[0]} px failed")
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


# landmark i of a mirrored face is landmark MIRROR[i] of the face (iBUG order)
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
    """Left and right swapped: image (H, W, 3) uint8, and landmarks (68, 2) float32 pixels, again in iBUG order."""
    mirrored = np.asarray(landmarks, np.float32)[MIRROR]
    mirrored[:, 0] = rgb.shape[1] - 1 - mirrored[:, 0]
    return cv2.flip(rgb, 1), mirrored


@dataclass(frozen=True)
class Photometric:
    """The augmentation that both images of a pair share: a colour change, then JPEG.

    colour: its range; by default RGB, HSV, and brightness with contrast change with a probability of 0.3 each.
    jpeg_probability: 0..1. quality: lowest and highest JPEG quality, 1..100; whole numbers drawn uniformly.

    Raises UserError where a setting is out of range.
    """

    colour: ColourRange = ColourRange(
        rgb_shift=20.0, hue=10.0, saturation=0.25, value=0.1, brightness=0.2, contrast=0.2,
        rgb_probability=0.3, hsv_probability=0.3, brightness_probability=0.3,
    )  # fmt: skip
    jpeg_probability: float = 0.5
    quality: tuple[int, int] = (40, 100)

    def __post_init__(self) -> None:
        if not 0 <= self.jpeg_probability <= 1:
            raise UserError(f"jpeg_probability: a probability is between 0 and 1, not {self.jpeg_probability}")
        low, high = self.quality
        if not 1 <= low <= high <= 100:
            raise UserError(f"quality: give a lowest and a highest JPEG quality between 1 and 100, not {low}, {high}")

    def draw(self, rng: np.random.Generator) -> tuple[Colour, int | None]:
        """Draw a colour change and a JPEG quality (None: no JPEG): always 13 uniform numbers, the colour's first."""
        colour = self.colour.draw(rng)
        decide, which = rng.random(2)
        low, high = self.quality
        return colour, low + int(which * (high - low + 1)) if decide < self.jpeg_probability else None


def augment_pair(real: Image, fake: Image, window: Window, colour: Colour, quality: int | None) -> tuple[Image, Image]:
    """One colour change and one JPEG compression for both images of a pair, in that order.

    window: outside of it the two are equal, so the fake is computed only there (and in the JPEG blocks around it).
    The result is `jpeg(recolour(image))` of each, to the bit.
    """
    x0, y0, x1, y1 = window
    if colour != _UNCHANGED:
        part = recolour(np.ascontiguousarray(fake[y0:y1, x0:x1]), colour)
        real = recolour(real, colour)
        fake = real.copy()
        fake[y0:y1, x0:x1] = part
    if quality is not None:
        height, width = real.shape[:2]
        # A block of 4:2:0 JPEG is 16 px, and its chroma is smoothed with the next block's: the window in whole blocks,
        # one block more around it for what is pasted, and another for what is compressed.
        x0, y0, x1, y1 = x0 // 16 * 16, y0 // 16 * 16, min(-(-x1 // 16) * 16, width), min(-(-y1 // 16) * 16, height)
        ox0, oy0, ox1, oy1 = max(x0 - 16, 0), max(y0 - 16, 0), min(x1 + 16, width), min(y1 + 16, height)
        lx0, ly0, lx1, ly1 = max(ox0 - 16, 0), max(oy0 - 16, 0), min(ox1 + 16, width), min(oy1 + 16, height)
        part = jpeg(fake[ly0:ly1, lx0:lx1], quality)
        real = jpeg(real, quality)
        fake = real.copy()
        fake[oy0:oy1, ox0:ox1] = part[oy0 - ly0 : oy1 - ly0, ox0 - lx0 : ox1 - lx0]
    return real, fake
