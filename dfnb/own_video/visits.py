"""Visitors of the page of `dfnb serve`: each has a secret token, a folder of its own, one file, and that file's answer.

Files are answered in turn, by one thread. A file is deleted once it is answered, or when its visitor goes; the answer,
once it is fetched.
"""

import logging
import re
import secrets
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.data import frames
from dfnb.data.faces import Face, FaceFinder
from dfnb.own_video import page
from dfnb.own_video.answer import Detector

IDLE = 600.0  # seconds without a request, after which a visitor has gone; a phone that sleeps asks for nothing
MOST_FILES = 8  # held at once
_NAME = 60  # characters of a file's name that are kept, at most 240 bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What a file may be. largest: bytes. longest: seconds of a video."""

    largest: int
    longest: float

    @property
    def megabytes(self) -> str:
        """`largest` in megabytes (10^6 bytes)."""
        return f"{self.largest / 1e6:g}"

    @property
    def minutes(self) -> str:
        """`longest` in minutes."""
        return f"{self.longest / 60:g}"

    @property
    def too_large(self) -> str:
        """What to say of a file that is."""
        return f"The file is larger than {self.megabytes} MB."


@dataclass
class Visit:
    """A page that someone has open, and how far its file is.

    before: visitors whose file comes first. looked, frames: frames searched for faces, of how many. reason: why there
    is no answer. page: the answer, HTML.
    """

    token: str
    folder: Path
    state: Literal["empty", "sending", "waiting", "looking", "drawing", "done", "failed"] = "empty"
    path: Path | None = None
    looked: int = 0
    frames: int = 0
    reason: str = ""
    page: str = ""
    gone: bool = False
    seen: float = field(default_factory=time.monotonic)

    @property
    def has_file(self) -> bool:
        """Whether a file of this visit is on disk, or coming."""
        return self.state in ("sending", "waiting", "looking", "drawing")

    def fail(self, reason: str) -> None:
        """End without an answer."""
        self.state, self.reason = "failed", reason


class Visits:
    """All who visit now. Every method but `close` returns at once; `close` waits for the frame that is being scored."""

    def __init__(self, detector: Detector, limits: Limits) -> None:
        settings = {setting.name: getattr(detector.finder, setting.name) for setting in fields(detector.finder)}
        self.detector = replace(detector, finder=_Watched(**settings, before=self._look))
        self.limits = limits
        self._folder = TemporaryDirectory(prefix="dfnb-serve-", ignore_cleanup_errors=True)  # for this user alone
        self._thread = ThreadPoolExecutor(1, "dfnb-answer")
        self._visits: dict[str, Visit] = {}
        self._queue: list[Visit] = []  # the first one is being answered

    def arrive(self) -> Visit:
        """A new visitor."""
        token = secrets.token_urlsafe(32)
        visit = Visit(token, Path(self._folder.name) / secrets.token_hex(8))
        self._visits[token] = visit
        return visit

    def find(self, token: str) -> Visit | None:
        """The visitor with this token, who is now known to be still there."""
        if visit := self._visits.get(token):
            visit.seen = time.monotonic()
        return visit

    def refusal(self, visit: Visit, length: int) -> tuple[int, str] | None:
        """Why a file of `length` bytes can't come now: a status of HTTP and a sentence; None where it can."""
        if length > self.limits.largest:
            return 413, self.limits.too_large
        if visit.has_file:
            return 409, "Another file of yours is still being looked at."
        if sum(other.has_file for other in self._visits.values()) >= MOST_FILES:
            return 503, f"{MOST_FILES} files are being looked at already; try again in a few minutes."
        if length > shutil.disk_usage(self._folder.name).free:
            return 507, "There is too little room on this computer's disk."
        return None

    def begin(self, visit: Visit, name: str) -> Path:
        """Where this visitor's file is to be written, in an empty folder."""
        shutil.rmtree(visit.folder, ignore_errors=True)
        visit.folder.mkdir()
        visit.state, visit.path, visit.page, visit.reason = "sending", visit.folder / file_name(name), "", ""
        visit.looked = visit.frames = 0
        return visit.path

    def drop(self, visit: Visit, reason: str = "") -> None:
        """Delete a file that didn't come whole."""
        shutil.rmtree(visit.folder, ignore_errors=True)
        visit.fail(reason)

    def submit(self, visit: Visit) -> None:
        """The file has come whole: answer it after those that came before."""
        visit.state = "waiting"
        self._queue.append(visit)
        self._thread.submit(self._answer, visit)

    def progress(self, visit: Visit) -> dict[str, str | int]:
        """state, before (files that come first), looked, frames, reason: see `Visit`."""
        queue = list(self._queue)  # the other thread changes it
        before = queue.index(visit) if visit in queue else 0
        about = {name: getattr(visit, name) for name in ("state", "looked", "frames", "reason")}
        return about | {"before": before}

    def leave(self, visit: Visit) -> None:
        """Forget a visitor and delete what is theirs."""
        visit.gone, visit.page = True, ""
        self._visits.pop(visit.token, None)
        shutil.rmtree(visit.folder, ignore_errors=True)

    def leave_idle(self, idle: float = IDLE) -> None:
        """Forget those who asked for nothing for `idle` seconds."""
        oldest = time.monotonic() - idle
        for visit in [visit for visit in self._visits.values() if visit.seen < oldest]:
            self.leave(visit)

    def close(self) -> None:
        """Forget everyone and delete every file."""
        for visit in list(self._visits.values()):
            self.leave(visit)
        self._thread.shutdown(cancel_futures=True)
        self._folder.cleanup()

    def _answer(self, visit: Visit) -> None:
        try:
            if not visit.gone:
                self._answer_file(visit, visit.path)
        except UserError as error:
            visit.fail(f"{visit.path.name}: {str(error).removeprefix(f'{visit.path}: ')}")
        except Exception:  # a fault of ours with one file; the others' go on
            if not visit.gone:  # else the file was deleted meanwhile
                log.exception("dfnb serve: no answer for a file")
            visit.fail("The program failed on this file; the terminal in which it runs says why.")
        finally:
            self._queue.remove(visit)
            shutil.rmtree(visit.folder, ignore_errors=True)

    def _answer_file(self, visit: Visit, path: Path) -> None:
        known = frames.timeline(path)
        if known.seconds > self.limits.longest:
            raise UserError(f"{path}: lasts {known.seconds / 60:.1f} minutes; {self.limits.minutes} are allowed")
        visit.frames, visit.state = len(known.places(self.detector.frames)), "looking"
        found = self.detector.answer(path)
        if visit.gone:
            return
        visit.state = "drawing"
        made = page.document([page.section(found)], [found.scored.row], self.detector)
        if not visit.gone:
            visit.page, visit.state = made, "done"

    def _look(self) -> None:
        """Called before each frame's search. Raises RuntimeError, which ends it, where the visitor has gone."""
        visit = self._queue[0]
        if visit.gone:
            raise RuntimeError("nobody waits for this answer")
        visit.looked += 1


@dataclass(frozen=True)
class _Watched(FaceFinder):
    """A face finder that calls `before` ahead of each frame."""

    before: Callable[[], None] = lambda: None

    def __call__(self, rgb: NDArray[np.uint8], last: Face | None = None) -> list[Face]:
        self.before()
        return super().__call__(rgb, last)


def file_name(name: str) -> str:
    """A visitor's name for a file as a name in a folder, on any system: no path, no control characters; its end."""
    plain = re.sub(r"[^\w .()+,-]", "_", re.split(r"[/\\]", name)[-1])
    return plain[-_NAME:].strip(" .") or "file"
