"""A video, animation or image to evenly spaced RGB frames, as its player or viewer would show them.

`video` reads video files and `images` image files; `timelines` says which frames are taken, `display` how a decoded
frame becomes a picture, `limits` what is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfnb.data import images
from dfnb.data.frame_folders import folder_frames, folder_timeline
from dfnb.data.limits import check_file
from dfnb.data.timelines import Timeline, places
from dfnb.data.video import video_frames, video_timeline


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, by its packets and not by its claims.

    frames: how many there are. claimed: how many the header says, or None. height, width: pixels, as shown.
    fps: frames per second on average, 0.0 where unknown (an image). seconds: from the first frame to the last's end.
    notes: what was done to show the frames, such as "interlaced: deinterlaced by bwdif"; most have none.
    """

    frames: int
    claimed: int | None
    height: int
    width: int
    fps: float
    seconds: float
    notes: tuple[str, ...] = ()


def sample_frames(
    path: str | PathLike[str], n: int, threads: int = 1, known: Timeline | None = None
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """n frames spread evenly over a video's true duration, as its player would show them.

    n: 1 or more; `Timeline.places` is the rule. threads: of the decoder. An image is a video of one frame.
    known: the `timeline` of this file, so that its packets aren't counted twice.
    Yields (index of the frame in the video, (H, W, 3) uint8 RGB), in order. A place whose frame can't be decoded
    gives the next one that can, with its index, so that fewer than n come only where a stretch of the video is broken.
    Raises UserError, naming the file and why: missing, empty, no video in it, broken, over MAX_PIXELS, MAX_SECONDS or
    MAX_FRAMES. Nothing about the file is raised before the first frame is asked for.
    """
    places(1, n)  # checks n
    return _sample(Path(path), n, threads, known)


def timeline(path: str | PathLike[str]) -> Timeline:
    """How long a video truly is, and when its frames are shown: all packets read, none decoded.

    Raises UserError as `sample_frames` does.
    """
    path = Path(path)
    if path.is_dir():
        return folder_timeline(path)
    check_file(path)
    return images.image_timeline(path) if images.is_image(path) else video_timeline(path)


def at(path: str | PathLike[str], indices: Iterable[int], threads: int = 1) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames with these indices, ascending, each once; those beyond the video's end are left out.

    Otherwise as `sample_frames`.
    """
    path = Path(path)
    known = timeline(path)
    if wanted := sorted({index for index in indices if 0 <= index < known.count}):
        yield from _read(path, known, wanted, threads)


def probe(path: str | PathLike[str]) -> VideoInfo:
    """Length, size, rate and notes of a video or image; one frame is decoded. Raises UserError as `sample_frames`."""
    path = Path(path)
    known = timeline(path)
    _, rgb = next(_read(path, known, [0], threads=1))
    return VideoInfo(known.count, known.claimed, *rgb.shape[:2], known.fps, known.seconds, known.notes)


def read_image(path: str | PathLike[str]) -> NDArray[np.uint8]:
    """See `images.read_image`."""
    return images.read_image(Path(path))


def _sample(path: Path, n: int, threads: int, known: Timeline | None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    known = known or timeline(path)
    yield from _read(path, known, known.places(n), threads)


def _read(path: Path, known: Timeline, wanted: list[int], threads: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    if path.is_dir():
        return folder_frames(path, wanted)
    if images.is_image(path):
        return images.image_frames(path, wanted)
    return video_frames(path, known, wanted, threads)
