"""The embedded benchmark on disk: built in parallel over videos, resumably; one command builds a folder at a time."""

import functools
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import cv2
import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from dfnb.benchmark import video
from dfnb.benchmark.layout import Job, Video, lists, plan
from dfnb.benchmark.marker import BUILDING, MARKER, NOTICE, check_folder, is_current, stamp_of, versions
from dfnb.common import files, locks
from dfnb.common.errors import UserError
from dfnb.profile import Demo

log = logging.getLogger(__name__)
_TEMPORARY = re.compile(r"\.(.+)-[a-z0-9_]{8}(\.[a-z0-9]+)")  # how `files.replacing` names its files


def build(out: Path, settings: Demo, jobs: int = 2, renew: bool = False) -> pd.DataFrame:
    """Build the benchmark in `out`, or what is missing of it.

    jobs: processes. renew: where `out` holds a benchmark of other settings or another version of the code, build it
    anew. Returns one row a video: path (relative to `out`), video, label, method, group, split, state ("written" or
    "kept").
    Raises UserError: `out` holds something else, or without `renew` another benchmark; another command builds there; a
    full disk or read-only folder; a worker process that died. Whatever was finished is kept then.
    """
    out = Path(out)
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        lock, busy = out.absolute().with_name(f".{out.name}.lock"), "another command is building the embedded benchmark"
        with locks.held(lock, f"{out}: {busy} here", "wait for it"):
            _tidy(out, settings)
            if renew and not is_current(out, settings):
                log.info("%s: of other settings or another version, built anew", out)
                _remove(out)
            return _build(out, settings, jobs)
    except BrokenExecutor:
        raise UserError(
            f"{out}: a worker process died, killed or out of memory; finished videos are kept, so run it again, with "
            "fewer jobs"
        ) from None
    except MemoryError:
        raise UserError(f"{out}: out of memory; finished videos are kept, so run it again, with fewer jobs") from None
    except av.error.FFmpegError as error:  # a write that fails while it encodes is an error within this one
        cause = error.__context__
        reason = cause.strerror if isinstance(cause, OSError) else str(error)
        raise UserError(
            f"{out}: a video can't be written ({reason}); is there space left? Finished videos are kept, run it again"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{out}: can't be written ({reason}); finished videos are kept, run it again") from None


def state(out: Path, settings: Demo) -> str:
    """Whether `out` is the benchmark of these settings and this code: "missing" (or not whole), "outdated", "current".

    Raises UserError where it is something else's folder.
    """
    if not (out / MARKER).is_file() and not (out / BUILDING).is_file():
        return "missing"
    if not is_current(out, settings):
        return "outdated"
    whole = all(_there(out, item) for job in plan(settings) for item in job.videos)
    whole = whole and (out / MARKER).is_file() and all((out / name).is_file() for name in lists(settings))
    return "current" if whole else "missing"


def _build(out: Path, settings: Demo, jobs: int) -> pd.DataFrame:
    work, stamp = plan(settings), stamp_of(settings)
    check_folder(out, stamp)
    files.write_json(out / BUILDING, stamp)
    missing = [job for job in work if any(not _there(out, item) for item in job.videos)]
    videos = [item for job in work for item in job.videos]
    written = {item.path for item in videos if not _there(out, item)}
    with tqdm(total=len(written), desc="embedded benchmark", unit="video", disable=not written) as bar:
        for count in in_processes(functools.partial(_make, out, settings), missing, jobs):
            bar.update(count)
    for path, text in lists(settings).items():
        files.write_text(out / path, text)
    rows = pd.DataFrame([asdict(item) for item in sorted(videos, key=lambda item: item.path)])
    counts = rows.groupby([rows.path.str.split("/").str[0], "split", "method"]).size()
    marker = {"notice": NOTICE, **stamp, "versions": versions()}
    marker["counts"] = {" ".join(key): int(n) for key, n in counts.items()}
    files.write_json(out / MARKER, marker)
    (out / BUILDING).unlink()
    return rows.assign(state=np.where(rows.path.isin(written), "written", "kept"))


def _there(out: Path, item: Video) -> bool:
    return (out / item.path).is_file() and (item.label == "real" or (out / item.mask).is_file())


def in_processes(make: Callable[[Job], Any], work: list[Job], processes: int) -> Iterator[Any]:
    """What `make` returns for each job, in the order in which they end. One process is this one."""
    threads, processes = cv2.getNumThreads(), max(1, min(processes, len(work)))
    try:  # a thread a process: small matrices, on which a second thread only waits
        with threadpool_limits(1), joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            parallel = joblib.Parallel(n_jobs=processes, batch_size=1, return_as="generator_unordered")
            yield from parallel(joblib.delayed(make)(job) for job in work)
    finally:
        cv2.setNumThreads(threads)


def _make(out: Path, settings: Demo, job: Job) -> int:
    """Make what is missing of a job. Returns the number of videos written."""
    from dfnb.benchmark.studio import Studio, forge  # in the process that draws: it loads Warp

    studio = [Studio(settings, take) for take in job.takes]
    count = 0
    for stage, take in zip(studio, job.takes, strict=True):
        if not _there(out, take.video):
            stage.release(out / take.video.path, stage.frames)
            count += 1
    for fake in job.fakes:
        if not _there(out, fake.video):
            frames, mask = forge(settings, studio, fake)
            video.save_mask(out / fake.video.mask, mask)
            studio[fake.take].release(out / fake.video.path, frames)
            count += 1
    return count


def _remove(out: Path) -> None:
    """Delete the folder in a way that can be cut short: it is renamed first, and `_tidy` deletes the rest."""
    old = _old(out)
    out.rename(old)
    shutil.rmtree(old)


def _old(out: Path) -> Path:
    return out.absolute().with_name(f".{out.name}-outdated")


def _tidy(out: Path, settings: Demo) -> None:
    """Remove what a killed build left: temporary files of ours, and an outdated benchmark half deleted."""
    if _old(out).is_dir():
        shutil.rmtree(_old(out))
    ours = {name for job in plan(settings) for video in job.videos for name in (video.path, video.mask)}
    ours |= {MARKER, BUILDING, *lists(settings)}
    for file in list(out.rglob(".*-*")):
        named = _TEMPORARY.fullmatch(file.name)
        if named and (file.parent / f"{named[1]}{named[2]}").relative_to(out).as_posix() in ours:
            file.unlink()
