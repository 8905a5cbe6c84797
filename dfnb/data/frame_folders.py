"""A folder of extracted frames, read as one video: its images, in the order of their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.data.catalogues.lists import IMAGE_SUFFIXES
from dfnb.data.images import read_image
from dfnb.data.limits import check_count, check_file
from dfnb.data.timelines import Timeline


def frames_in(folder: Path) -> list[Path]:
    """The images directly in a folder, hidden ones left out, in the order of their names: frame_9 before frame_10.

    Empty where it holds none, or is no folder.
    """
    if not folder.is_dir():
        return []
    images = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((file for file in images if not file.name.startswith(".")), key=_natural)


def folder_timeline(folder: Path) -> Timeline:
    """How many frames there are; when each was shown is unknown. Raises UserError where there is none."""
    count = len(frames_in(folder))
    if not count:
        check_file(folder)
    check_count(folder, count)
    return Timeline(count, count, None, [], 0.0, 0.0)


def folder_frames(folder: Path, wanted: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames with these indices, which ascend, or the next that can be read: (index, (H, W, 3) uint8 RGB).

    Raises UserError where none can be read.
    """
    images, found = frames_in(folder), 0
    for place, end in zip(wanted, [*wanted[1:], len(images)], strict=True):
        for index in range(place, end):
            try:
                rgb = read_image(images[index])
            except UserError:  # a damaged image; the one after it may be sound
                continue
            found += 1
            yield index, rgb
            break
    if wanted and not found:
        raise UserError(f"{folder}: none of the {len(images)} images can be read; extract the frames anew")


def _natural(file: Path) -> tuple[list[str | int], str]:
    """Digits compared as numbers."""
    parts = re.split(r"(\d+)", file.name)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], file.name
