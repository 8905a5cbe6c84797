"""One command at a time in a folder."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from dfnb.common.errors import UserError
from dfnb.common.processes import is_main

log = logging.getLogger(__name__)
# what flock answers where there are no locks: some of FUSE's file systems, Lustre by default, NFS without lockd
NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})


@contextmanager
def exclusive(
    folder: Path, doing: str, files: Sequence[str], lock: str = ".lock", wait: bool = False
) -> Iterator[None]:
    """Only one command at a time works in `folder`; leftovers of one that was killed while writing go first.

    The main process holds the lock for all. files: names, without suffix, of what is written there. lock: a name of
    its own where several commands may work in the folder, each at files of its own. wait: as of `held`.
    Raises UserError where another command has the lock; `doing` says at what it is.
    """
    if not is_main():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / lock, f"{folder}: another command is {doing} here", "wait for it, or stop it", wait):
        for name in files:
            for stray in folder.glob(f".{name}-*"):  # how `files.replacing` names its temporary files
                stray.unlink()
        yield


@contextmanager
def held(file: Path, busy: str, advice: str, wait: bool = False) -> Iterator[None]:
    """Hold the lock `file` within the block.

    Where the file system has no locks, `marker_of(file)` stands for the lock while it exists, and a line of the log
    says so. It names its process: what a killed command left is replaced on the same machine, and of another machine's
    nobody can tell, so that the error, or the line about waiting, names the file to delete.

    busy, advice: what a command that has the lock is doing, and what to do then, for the error. wait: for that command,
    where that is no error.
    Raises UserError where another command has the lock, OSError where the folder can't be written.
    """
    lock: BaseFileLock = FileLock(file, timeout=0, fallback_to_soft=False)
    stale = ""
    try:
        try:
            lock.acquire()
        except OSError as error:  # a Timeout is one, too
            if error.errno not in NO_LOCKS:
                raise
            marker = marker_of(file)
            log.warning("%s: its file system has no locks; while %s exists it is locked", file.parent, marker.name)
            stale = f"; if no such command runs on any machine, delete {marker}{_holder(marker)}"
            lock = SoftFileLock(marker, timeout=0)
            lock.acquire()
    except Timeout:
        if not wait:
            raise UserError(f"{busy}; {advice}{stale}") from None
        log.info("%s; waiting for it%s", busy, stale)
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()


def marker_of(file: Path) -> Path:
    """The file that stands for the lock `file` where the file system has no locks."""
    return file.with_name(f"{file.name}.held")


def _holder(marker: Path) -> str:
    """The process and machine that a marker names, in words; nothing where it names none."""
    try:
        process, machine = marker.read_text("utf-8").splitlines()[:2]
    except (OSError, ValueError):
        return ""
    return f" (held by process {process} on {machine.partition('?')[0]})"  # filelock adds a namespace after "?"
