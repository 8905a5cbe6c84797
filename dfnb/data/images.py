"""Image files to RGB: still ones, and animations (GIF, APNG, animated WebP and AVIF) as videos.

A file's kind is decided by its first bytes, since file names lie.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

from dfnb.common.errors import UserError
from dfnb.data.limits import MAX_PIXELS, check_count, check_file, check_length, check_pixels, first_line
from dfnb.data.timelines import Timeline

KINDS = "JPEG, PNG, BMP, WebP, TIFF, GIF, AVIF or HEIC"
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "AVIF")
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # not JPEG and TIFF, whose further pictures are thumbnails, views or pages
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"GIF87a", b"GIF89a")
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_UNHURRIED = 100  # ms that browsers show a frame that claims 10 ms or less
_ORIENTATION = 0x0112  # EXIF tag; its values 2 to 8 and what turns the stored picture upright
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
# what Pillow raises on damaged files
DAMAGE = (ArithmeticError, EOFError, LookupError, OSError, RuntimeError, SyntaxError, TypeError, ValueError)
DAMAGE += (struct.error,)


def is_image(path: Path) -> bool:
    """Whether the first bytes are those of an image."""
    head = _head(path)
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or bool(_brands(head))


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image, or an animation's first frame, as (H, W, 3) uint8 RGB, turned and mirrored by its EXIF orientation.

    Transparency is dropped, and 16 bits become 8. Raises UserError where it is none of `KINDS`, is damaged, or has more
    than MAX_PIXELS.
    """
    with opened(path) as image:
        return _to_rgb(image, path)


def image_timeline(path: Path) -> Timeline:
    """One frame at 0, or an animation's frames, in milliseconds, up to where the file is damaged.

    Raises UserError as `read_image` does, and where an animation is over MAX_SECONDS or MAX_FRAMES.
    """
    with opened(path) as image:
        if not _is_animated(image):
            return Timeline(1, 1, None, [], 0.0, 0.0)
        times = [0]
        for index in count():
            try:
                image.seek(index)
                image.load()
            except DAMAGE:  # EOFError after the last frame
                if not index:
                    raise
                break
            duration = round(float(image.info.get("duration") or 0))
            times.append(times[-1] + (duration if duration > 10 else _UNHURRIED))
            check_count(path, index + 1)
            check_length(path, times[-1] / 1000)
    *times, end = times
    return Timeline(len(times), None, times, times[:1], 1000 * len(times) / end, end / 1000, Fraction(1, 1000))


def image_frames(path: Path, wanted: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames of an image or animation with these indices, which ascend: (index, (H, W, 3) uint8 RGB)."""
    with opened(path) as image:
        for index in wanted:
            if index:
                image.seek(index)
            yield index, _to_rgb(image, path)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The image by its header, its size checked. Errors of Pillow become UserError."""
    check_file(path)
    brands = _brands(_head(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow: large images (the bound here is lower) and odd metadata
            with _heic(path) if brands and not brands & _AVIF else Image.open(path, formats=_FORMATS) as image:
                check_pixels(path, image.width, image.height)
                yield image
    except Image.DecompressionBombError:
        raise UserError(f"{path}: more than {MAX_PIXELS} pixels; shrink it") from None
    except UnidentifiedImageError:
        raise UserError(f"{path}: not a readable image ({KINDS})") from None
    except DAMAGE as error:
        raise UserError(f"{path}: a damaged image ({first_line(error)})") from None


def _heic(path: Path) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        remedy = "install pillow-heif (pip install 'dfnb[heic]'), or save it as JPEG"
        raise UserError(f"{path}: a HEIC image, which isn't read without an extra package; {remedy}") from None
    file = pillow_heif.open_heif(path)  # its header; the library turns it upright itself
    check_pixels(path, *file.size)
    image = file.to_pillow()
    image.getexif().pop(_ORIENTATION, None)
    return image


def _to_rgb(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    image.load()
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except DAMAGE:  # of the metadata alone
        orientation = None
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's convert would clip
        grey = np.asarray(image).astype(np.int64)
        return np.repeat(np.clip(grey >> 8, 0, 255).astype(np.uint8)[..., None], 3, 2)
    if image.mode == "F":
        raise UserError(f"{path}: an image of floating-point numbers; save it with 8 or 16 bits")
    return np.asarray(image.convert("RGB"))


def _is_animated(image: Image.Image) -> bool:
    return image.format in _ANIMATED and getattr(image, "is_animated", False)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _brands(head: bytes) -> set[bytes]:
    """The brands of a HEIF file (HEIC or AVIF; ISO/IEC 23008-12), none for other files, MP4 among them."""
    if head[4:8] != b"ftyp" or head[8:12] not in _AVIF | _HEIC:
        return set()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}
