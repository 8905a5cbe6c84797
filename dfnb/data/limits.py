"""What a file of unknown origin may be: an ordinary file, and of bounded size and length."""

from __future__ import annotations

from pathlib import Path

from dfnb.common.errors import UserError

MAX_PIXELS = 50_000_000  # of one frame; 8K video has 33 million
MAX_SECONDS = 4 * 3600
MAX_FRAMES = 2_000_000


def check_file(path: Path) -> None:
    """Raises UserError, naming the file and why, where it is no ordinary, readable file with something in it."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a video")
    try:
        size = path.stat().st_size
        if not path.is_file():  # a pipe or a device would never end
            raise UserError(f"{path}: is not an ordinary file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise UserError(f"{path}: can't be opened ({error.strerror})") from None
    except ValueError as error:  # a name with a null character
        raise UserError(f"{str(path)!r}: not a file name ({error})") from None
    if not size:
        raise UserError(f"{path}: is empty (0 bytes); get the file again")


def check_pixels(path: Path, width: int, height: int) -> None:
    """Raises UserError where a picture has more than MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise UserError(f"{path}: {width} x {height} pixels are over the limit of {MAX_PIXELS}; shrink it")


def check_count(path: Path, frames: int) -> None:
    """Raises UserError where a video has more than MAX_FRAMES."""
    if frames > MAX_FRAMES:
        raise UserError(f"{path}: more than {MAX_FRAMES} frames; cut it into parts")


def check_length(path: Path, seconds: float) -> None:
    """Raises UserError where a video is longer than MAX_SECONDS."""
    if seconds > MAX_SECONDS:
        raise UserError(f"{path}: longer than {MAX_SECONDS} s; cut it into parts")


def first_line(error: BaseException) -> str:
    """The first line of what a library says of an error."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0].removesuffix(".")
