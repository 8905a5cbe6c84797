"""How much disk and time a face store will take, from a few of its videos; those are kept, so no work is lost."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from dfnb.common.errors import UserError
from dfnb.data.faces import FaceFinder
from dfnb.data.store import given as given_faces
from dfnb.data.store.prepare import _one, alone, disk_fault, key_of, settings_of
from dfnb.data.store.read import record_of

SAMPLE = 3  # videos
ROOM = 1.2  # times the estimate that must be free: three videos say only so much


@dataclass(frozen=True)
class Estimate:
    """What is still to be done for one store.

    videos: how many the catalogue has. left: how many of them aren't done yet (an estimate where only some were
    looked at). size: bytes the rest will take on disk. seconds: how long the rest will take, with all processes.
    """

    videos: int
    left: int
    size: float
    seconds: float

    def words(self) -> str:
        """Such as "720 videos, 717 to do: about 3.1 GB and 25 minutes"."""
        if not self.left:
            return f"{self.videos} videos, none to do"
        return f"{self.videos} videos, {self.left} to do: about {gigabytes(self.size)} and {duration(self.seconds)}"


def estimate(
    clips: pd.DataFrame,
    root: str | os.PathLike[str],
    frames: int,
    jobs: int | None,
    keep: str,
    sample: int = SAMPLE,
    given: dict[str, Any] | None = None,
    **finder: Any,
) -> Estimate:
    """Prepare up to `sample` videos, spread evenly over the catalogue, and reckon from them what the others will take.

    Arguments as of `prepare`, or of `prepare_given` with `given`; what is done here those find done. Videos that can't
    be read count as quick and small. Raises UserError where another command prepares the same store, the disk is full
    or the folder read-only.
    """
    root = Path(root)
    find = FaceFinder(**finder)
    find.check()
    settings, one, key = settings_of(frames, keep, find), _one, key_of
    if given is not None:
        find = given_faces.how(finder, given)
        settings, one = given_faces.settings_of(frames, keep, find), given_faces.one
        key = partial(given_faces.key_of, given=find)
    paths = list(dict.fromkeys(clips["path"]))
    try:
        (root / "shards").mkdir(parents=True, exist_ok=True)
        with alone(root):
            before = _records(root)
            seconds, sizes, looked = [], [], _spread(len(paths))
            fresh = 0  # of those looked at; records of other settings may lie here, so their number alone says little
            for place in looked:
                began = time.monotonic()
                file = Path(paths[place]).absolute()
                if len(seconds) < sample:
                    _, outcome = one(paths[place], file, root.absolute(), settings, find)
                else:
                    outcome = _known(file, settings, key)
                if outcome.get("key") in before:
                    continue
                fresh += 1
                if len(seconds) < sample:
                    seconds.append(time.monotonic() - began)
                    sizes.append(_size(root, outcome))
            done = len(_records(root)) - len(before)
            left = max(len(paths) - len(before), round(len(paths) * fresh / max(1, len(looked)))) - done
    except OSError as error:
        raise UserError(disk_fault(root, error)) from None
    if not seconds:
        return Estimate(len(paths), 0, 0.0, 0.0)
    # the first video also waited for the landmark model
    share = left / joblib.effective_n_jobs(jobs if jobs is not None else -1)
    return Estimate(len(paths), left, left * float(np.mean(sizes)), share * float(np.mean(seconds[1:] or seconds)))


def require_room(estimates: Sequence[Estimate] | Iterable[Estimate], root: str | os.PathLike[str]) -> None:
    """Raises UserError where these stores don't fit on the disk of `root` with a fifth to spare."""
    estimates = list(estimates)
    needed, free = sum(estimate.size for estimate in estimates) * ROOM, shutil.disk_usage(root).free
    if needed > free:
        videos = sum(estimate.left for estimate in estimates)
        raise UserError(
            f"{root}: the faces of {videos} videos take about {gigabytes(needed)} and {gigabytes(free)} is free; free "
            "some space, or set `runs` to a folder on a larger disk"
        )


def gigabytes(size: float) -> str:
    """Bytes in words: "3.1 GB", or "12 MB" where it is less than one."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"


def duration(seconds: float) -> str:
    """Seconds in words: "25 minutes", "3.5 hours"."""
    if seconds < 90:
        whole = max(1, round(seconds))
        return f"{whole} second{'s' if whole > 1 else ''}"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _spread(count: int) -> list[int]:
    """Up to 32 of 0..count-1, such that any first few are spread over the whole."""
    some = np.unique(np.linspace(0, count - 1, min(count, 32)).round().astype(int))
    return [int(i) for i in np.random.default_rng(0).permutation(some)]


def _known(file: Path, settings: dict[str, Any], key: Callable[[Path, dict[str, Any]], str]) -> dict[str, str]:
    """What `_one` would say of a video that is done, without doing it."""
    try:
        return {"key": key(file, settings)}
    except OSError:
        return {}


def _records(root: Path) -> set[str]:
    return {file.stem for file in root.glob("shards/*/[0-9a-f]*.json")}


def _size(root: Path, outcome: dict[str, str]) -> int:
    if "problem" in outcome:
        return 0
    return record_of(root, outcome["key"])["shard_bytes"]
