"""One command at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dfnb.common.errors import UserError
from dfnb.common.processes import is_main


@contextmanager
def exclusive(folder: Path, doing: str, files: Sequence[str], lock: str = ".lock") -> Iterator[None]:
    """Only one command at a time works in `folder`; leftovers of one that was killed while writing go first.

    The main process holds the lock for all. files: names, without suffix, of what is written there. lock: a name of
    its own where several commands may work in the folder, each at files of its own.
    Raises UserError where another command has the lock; `doing` says at what it is.
    """
    if not is_main():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / lock, timeout=0):
            for name in files:
                for stray in folder.glob(f".{name}-*"):  # how `files.replacing` names its temporary files
                    stray.unlink()
            yield
    except Timeout:
        raise UserError(f"{folder}: another command is {doing} here; wait for it, or stop it") from None
