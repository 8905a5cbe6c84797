"""Which detector looks for the faces of a file, and how long a slow one takes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.data import detectors, frames, images
from dfnb.data.faces import Face, FaceFinder

Choice = Literal["hog", "cnn", "both"]


@dataclass(frozen=True)
class LastResort:
    """The faces that `first` finds in a frame, and where there is none, those that `second` finds."""

    first: FaceFinder
    second: FaceFinder

    def __call__(self, rgb: NDArray[np.uint8]) -> list[Face]:
        """As `FaceFinder`."""
        return self.first(rgb) or self.second(rgb)


Finder = FaceFinder | LastResort


def finder(choice: Choice = "hog", upsample: int = 0) -> Finder:
    """choice: a name of `DETECTORS`, or "both": cnn where hog finds no face. upsample: see `FaceFinder`.

    cnn looks once, where hog doubles a frame without a face and looks again: that would take four times as long, and
    upsample asks for it. Raises UserError where its model is missing or another one.
    """
    hog = FaceFinder(upsample=upsample)
    if choice == "hog":
        return hog
    detectors.cnn_model()
    cnn = FaceFinder("cnn", upsample=upsample, retry=0)
    return cnn if choice == "cnn" else LastResort(hog, cnn)


def time_needed(find: Finder, paths: Sequence[Path], count: int) -> str | None:
    """How long the slow detector will take at most, in words, from one look at the first frame; None without it.

    count: frames looked at in a video. A file that can't be read counts as one that can.
    """
    slow = find.second if isinstance(find, LastResort) else find
    rgb = _first_frame(paths) if slow.detector == "cnn" else None
    if rgb is None:
        return None
    slow(np.zeros((80, 80, 3), np.uint8))  # loads the models
    start = time.perf_counter()
    slow(rgb)
    seconds = time.perf_counter() - start
    looks = sum(1 if path.is_file() and images.is_image(path) else count for path in paths)
    whole = seconds * looks
    total = f"{whole / 60:.0f} min" if whole >= 90 else f"{whole:.0f} s"
    where = "frames without a face" if isinstance(find, LastResort) else "frames"
    return (
        f"detector cnn: {seconds:.2g} s for the first frame, so about {total} at most, for up to {looks} {where} of "
        f"{len(paths)} file{'s' * (len(paths) != 1)}"
    )


def _first_frame(paths: Sequence[Path]) -> NDArray[np.uint8] | None:
    for path in paths:
        try:
            return next(frames.sample_frames(path, 1))[1]
        except UserError:
            continue
    return None
