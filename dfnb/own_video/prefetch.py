"""The faces of videos and images, found ahead of the network that scores them.

Decoding happens where the result is asked for; detection and cutting in threads beside it (dlib lets go of Python's
lock), so that the network doesn't wait for faces. What is held at once is bounded, whatever the length of a video.
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

WAITING = 256 << 20  # bytes of frames that may wait for their faces
_FRAMES = 32  # and how many of them


class Look(NamedTuple):
    """One frame of a file: its index, boxes and crops (S, S, 3) uint8 of its faces, the largest first.

    frame is None at the end of a file; reason says then what stood in the way, "" where nothing did.
    """

    path: Path
    frame: int | None
    boxes: list[Box]
    crops: list[NDArray[np.uint8]]
    reason: str = ""


def look(
    finder: FaceFinder, paths: Sequence[Path], count: int, margin: float, size: int, threads: int | None = None
) -> Iterator[Look]:
    """What is seen in `count` evenly spaced frames of each file: a Look a frame, and one at each file's end, in order.

    margin: of the box, on each side of a crop of `size` pixels. threads: that find faces; half the processor's cores
    unless told. A file that can't be read, or whose faces can't be found, ends early, with its reason.
    """
    threads = threads or max(1, (os.cpu_count() or 1) // 2)
    pool = ThreadPoolExecutor(threads, "dfnb-faces")
    waiting: deque[tuple[Future[Look], int]] = deque()
    held = 0
    try:
        for path, frame, rgb, reason in _decoded(paths, count):
            if rgb is None:
                done: Future[Look] = Future()
                done.set_result(Look(path, None, [], [], reason))
                waiting.append((done, 0))
            else:
                waiting.append((pool.submit(_look, finder, path, frame, rgb, margin, size), rgb.nbytes))
                held += rgb.nbytes
            while len(waiting) > _FRAMES or held > WAITING:
                future, bytes_ = waiting.popleft()
                held -= bytes_
                yield future.result()
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decoded(paths: Sequence[Path], count: int) -> Iterator[tuple[Path, int, NDArray[np.uint8] | None, str]]:
    """Frames of each file, and after the last one None and what stood in the way."""
    for path in paths:
        reason = ""
        try:
            for frame, rgb in frames.sample_frames(path, count):
                yield path, frame, rgb, ""
        except UserError as error:
            reason = str(error).removeprefix(f"{path}: ")
        except MemoryError:
            reason = "out of memory"
        yield path, 0, None, reason


def _look(finder: FaceFinder, path: Path, frame: int, rgb: NDArray[np.uint8], margin: float, size: int) -> Look:
    try:
        found = finder(rgb)
        crops = [crop(rgb, face.box, margin, size) for face in found]
    except (RuntimeError, cv2.error) as error:  # what dlib and OpenCV raise
        return Look(path, frame, [], [], f"the face finder failed ({str(error).strip().splitlines()[0]})")
    except MemoryError:
        return Look(path, frame, [], [], "out of memory")
    return Look(path, frame, [face.box for face in found], crops)
