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

WAITING_BYTES = 256 << 20  # of frames whose faces aren't asked for yet, at most
WAITING_FRAMES = 32  # and how many frames, at most


class FrameFaces(NamedTuple):
    """The faces of one frame, the largest first: their boxes, and their crops (S, S, 3) uint8 RGB.

    frame: its index; None marks the end of a file, and then reason says why the file ended early, "" where it didn't.
    """

    path: Path
    frame: int | None
    boxes: list[Box]
    crops: list[NDArray[np.uint8]]
    reason: str = ""
    notes: tuple[str, ...] = ()  # at the end of a file: what was done to show its frames, see `data.timelines.Timeline`


def prefetch_faces(
    finder: FaceFinder, paths: Sequence[Path], count: int, margin: float, size: int, threads: int | None = None
) -> Iterator[FrameFaces]:
    """Find the faces in `count` evenly spaced frames of each file.

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
        for path, frame, rgb, reason, notes in _decoded(paths, count):
            if rgb is None:
                end: Future[FrameFaces] = Future()
                end.set_result(FrameFaces(path, None, [], [], reason, notes))
                waiting.append((end, 0))
            else:
                waiting.append((pool.submit(_find, finder, path, frame, rgb, margin, size), rgb.nbytes))
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
    paths: Sequence[Path], count: int
) -> Iterator[tuple[Path, int, NDArray[np.uint8] | None, str, tuple[str, ...]]]:
    """Each file's frames as (path, index, frame, "", ()), then (path, 0, None, reason, notes): see `FrameFaces`."""
    for path in paths:
        reason, notes = "", ()
        try:
            known = frames.timeline(path)
            notes = known.notes
            for frame, rgb in frames.sample_frames(path, count, known=known):
                yield path, frame, rgb, "", ()
        except UserError as error:
            reason = str(error).removeprefix(f"{path}: ")
        except MemoryError:
            reason = "out of memory"
        yield path, 0, None, reason, notes


def _find(finder: FaceFinder, path: Path, frame: int, rgb: NDArray[np.uint8], margin: float, size: int) -> FrameFaces:
    try:
        found = finder(rgb)
        crops = [crop(rgb, face.box, margin, size) for face in found]
    except (RuntimeError, cv2.error) as error:  # what dlib and OpenCV raise
        return FrameFaces(path, frame, [], [], f"the face finder failed ({str(error).strip().splitlines()[0]})")
    except MemoryError:
        return FrameFaces(path, frame, [], [], "out of memory")
    return FrameFaces(path, frame, [face.box for face in found], crops)
