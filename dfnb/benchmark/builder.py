"""The embedded benchmark on disk: one command builds it at a time, leftovers of a killed one go, failures are named.

What is drawn, and how, is `dfnb.benchmark`'s business; here is what can go wrong around it.
"""

import logging
import re
import shutil
from concurrent.futures import BrokenExecutor
from pathlib import Path

import av
import pandas as pd
from filelock import FileLock, Timeout

from dfnb.benchmark import studio as demo
from dfnb.benchmark.layout import lists, plan
from dfnb.benchmark.marker import BUILDING, MARKER
from dfnb.common.errors import UserError
from dfnb.profile import Demo

log = logging.getLogger(__name__)
_TEMPORARY = re.compile(r"\.(.+)-[a-z0-9_]{8}(\.[a-z0-9]+)")  # how `files.replacing` names its files


def build(out: Path, settings: Demo, jobs: int = 2, renew: bool = False) -> pd.DataFrame:
    """Build the benchmark in `out`, or what is missing of it; see `studio.build`, which returns the table.

    renew: where `out` holds a benchmark of other settings or another version of the code, build it anew.
    Raises UserError: `out` holds something else, another command builds there, a full disk or read-only folder, a
    worker process that died. Whatever was finished is kept then.
    """
    out = Path(out)
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(out.absolute().with_name(f".{out.name}.lock"), timeout=0):
            _tidy(out, settings)
            if renew and not demo.is_current(out, settings):
                log.info("%s: of other settings or another version, built anew", out)
                _remove(out)
            return demo.build(out, settings, jobs=jobs)
    except Timeout:
        raise UserError(f"{out}: another command is building the embedded benchmark here; wait for it") from None
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
    if not demo.is_current(out, settings):
        return "outdated"
    videos = (video for job in plan(settings) for video in job.videos)
    names = [name for video in videos for name in (video.path, video.mask) if name]
    whole = (out / MARKER).is_file() and all((out / name).is_file() for name in (*names, *lists(settings)))
    return "current" if whole else "missing"


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
