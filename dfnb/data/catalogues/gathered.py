"""Frames that lie among others, as one video: a folder of links to them, since a video is one path everywhere.

What reads a folder of frames reads these, and a face store's key is of the frames' bytes, wherever they lie: the same
frames in a folder of their own have the same key.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from dfnb.common.errors import UserError
from dfnb.common.files import digest

_place: ContextVar[Path | None] = ContextVar("gathered", default=None)


@contextmanager
def gathered_in(folder: str | Path) -> Iterator[None]:
    """Within it, catalogues may make folders of links to frames below this folder, which needn't exist yet."""
    before = _place.set(Path(folder))
    try:
        yield
    finally:
        _place.reset(before)


def gather(frames: Sequence[Path], name: str) -> Path:
    """A folder of links to these frames, numbered in their order, and to any landmarks they have.

    name: of the video; the folder is called as what follows its last slash. It lies in a folder named by a hash of what
    the links lead to, which is made whole or not at all, and never changed. Raises UserError outside `gathered_in`, or
    where it can't be made.
    """
    root = _place.get()
    if root is None:
        raise UserError(
            f"{name}: frames among others make a video only within dfnb.data.catalogues.gathered_in(FOLDER)"
        )
    leaf = name.rpartition("/")[2].strip(".") or "frames"
    links: dict[str, Path] = {}
    for number, frame in enumerate(frames):
        links[f"{number:06d}{frame.suffix}"] = frame.absolute()
        if marks := landmarks_beside(frame):
            links[f"{number:06d}.npy"] = marks.absolute()
    try:
        stats = [file.stat() for file in links.values()]  # so that a copy, where there are no links, is never stale
        leads_to = [[n, str(f), s.st_size, s.st_mtime_ns] for (n, f), s in zip(links.items(), stats, strict=True)]
        folder = root / digest(leads_to)
        if not folder.is_dir():
            _make(folder / leaf, links)
    except OSError as error:
        raise UserError(f"{root}: the frames of {name} can't be gathered there ({error.strerror or error})") from None
    return folder / leaf


def _make(at: Path, links: dict[str, Path]) -> None:
    at.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=at.parent.parent, prefix=".") as temporary:
        made = Path(temporary) / at.parent.name
        (made / at.name).mkdir(parents=True)
        for link, target in links.items():
            try:
                (made / at.name / link).symlink_to(target)
            except OSError:  # a disk or an account that has no symbolic links
                shutil.copyfile(target, made / at.name / link)
        try:
            made.rename(at.parent)
        except OSError:
            if not at.parent.is_dir():  # else another process was quicker
                raise


def landmarks_beside(frame: Path) -> Path | None:
    """A frame's landmarks: its name with .npy, beside it or in `landmarks/` where its path has `frames/`; else None."""
    names = [frame.with_suffix(".npy")]
    folders = list(names[0].parts[:-1])
    if "frames" in folders:
        folders[len(folders) - 1 - folders[::-1].index("frames")] = "landmarks"
        names.append(Path(*folders, names[0].name))
    return next((file for file in names if file.is_file()), None)


def in_order(place: str) -> list[str | int]:
    """A key to sort paths with digits compared as numbers: f9 before f10."""
    return [int(part) if k % 2 else part for k, part in enumerate(re.split(r"(\d+)", place))]
