"""The faces of videos and images, prefetched for the network that scores them.

Frames are decoded in the thread that asks for results; faces are found and cropped in threads beside it (dlib releases
Python's lock), so that the network doesn't wait for them. What is held at once is bounded, however long a video is.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.data import frames
from dfnb.data.faces import Box, FaceFinder, crop
from dfnb.own_video.recognition import aligned

WAITING_BYTES = 256 << 20  # of frames whose faces aren't asked for yet, at most
WAITING_FRAMES = 32  # and how many frames, at most


class FrameFaces(NamedTuple):
    """The faces of one frame, the largest first: their boxes, and their crops (S, S, 3) uint8 RGB.

    chips: the same faces as `recognition` wants them. seconds: when the frame is shown, after the first.
    frame: its index; None marks the end of a file, and then reason says why the file ended early, "" where it didn't.
    """

    path: Path
    frame: int | None
    boxes: list[Box]
    crops: list[NDArray[np.uint8]]
    chips: list[NDArray[np.uint8]]
    seconds: float = 0.0
    reason: str = ""
    notes: tuple[str, ...] = ()  # at the end of a file: what was done to show its frames, see `data.timelines.Timeline`


def prefetch_faces(
    finder: FaceFinder,
    paths: Sequence[Path],
    count: int,
    margin: float,
    size: int,
    threads: int | None = None,
    rate: float | None = None,
) -> Iterator[FrameFaces]:
    """Find the faces in `count` evenly spaced frames of each file, or in `rate` frames a second where that is given.

    Yields an item for each frame and one for each file's end, in order.
    margin: of a crop around the box, as a share of the box, on each side. size: S, pixels. threads: that find faces;
    half the processor's cores by default. A file that can't be read, or whose faces can't be found, ends early, with
    its reason.
    """
    threads = threads or max(1, (os.cpu_count() or 1) // 2)
    pool = ThreadPoolExecutor(threads, "dfnb-faces")
    waiting: deque[tuple[Future[FrameFaces], int]] = deque()
    held = 0
    try:
        for seen, rgb in _decoded(paths, count, rate):
            if rgb is None:
                end: Future[FrameFaces] = Future()
                end.set_result(seen)
                waiting.append((end, 0))
            else:
                waiting.append((pool.submit(_find, finder, seen, rgb, margin, size), rgb.nbytes))
                held += rgb.nbytes
            while len(waiting) > WAITING_FRAMES or held > WAITING_BYTES:
                future, nbytes = waiting.popleft()
                held -= nbytes
                yield future.result()
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decoded(
    paths: Sequence[Path], count: int, rate: float | None
) -> Iterator[tuple[FrameFaces, NDArray[np.uint8] | None]]:
    """Each file's frames, whose faces aren't known yet, then its end, without a frame: see `FrameFaces`."""
    for path in paths:
        reason, notes = "", ()
        try:
            known = frames.timeline(path)
            notes = known.notes
            n = count if rate is None else max(1, round(rate * known.seconds))
            for frame, rgb in frames.sample_frames(path, n, known=known):
                yield FrameFaces(path, frame, [], [], [], known.seconds_at(frame)), rgb
        except UserError as error:
            reason = str(error).removeprefix(f"{path}: ")
        except MemoryError:
            reason = "out of memory"
        yield FrameFaces(path, None, [], [], [], reason=reason, notes=notes), None


def _find(finder: FaceFinder, seen: FrameFaces, rgb: NDArray[np.uint8], margin: float, size: int) -> FrameFaces:
    try:
        found = finder(rgb)
        crops = [crop(rgb, face.box, margin, size) for face in found]
        chips = [aligned(rgb, face.landmarks) for face in found]
    except (RuntimeError, cv2.error) as error:  # what dlib and OpenCV raise
        return seen._replace(reason=f"the face finder failed ({str(error).strip().splitlines()[0]})")
    except MemoryError:
        return seen._replace(reason="out of memory")
    return seen._replace(boxes=[face.box for face in found], crops=crops, chips=chips)
