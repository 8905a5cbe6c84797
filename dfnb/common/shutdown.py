"""How the `dfnb` command ends: in one line and with a status that says why, never in a traceback from the depths."""

import _thread
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from dfnb.common.errors import Stopped, UserError, printable

USER_ERROR = 2
KEPT = "what is finished is kept"
_LONGEST = 2000  # characters of a line; a damaged file may be one long word
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@contextmanager
def in_one_line() -> Iterator[None]:
    """What ends the block ends the process.

    A user's error is one line on standard error and status 2; so are a full disk, a file that can't be read or written,
    and memory that runs out. Ctrl-C and SIGTERM are one line and, as shells have it, 130 and 143.
    """
    stop = partial(_stop, os.getpid())
    _listen(stop)
    before, sys.unraisablehook = sys.unraisablehook, lambda dropped: _again(dropped, stop, before)
    try:
        yield
    except UserError as error:
        _end(str(error), USER_ERROR)
    except Stopped as stopped:
        name = signal.Signals(stopped.number).name
        _end(f"stopped ({name}); {KEPT}", 128 + stopped.number)
    except MemoryError:
        _end(f"out of memory; {KEPT}, run it again with fewer jobs or a smaller batch", USER_ERROR)
    except OSError as error:
        if error.filename is None and error.errno not in _DISK:
            raise
        _end(f"{error.filename or 'a file'}: {error.strerror}; {KEPT}", USER_ERROR)
    finally:
        _settle()
        sys.unraisablehook = before


def _listen(handler: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _settle() -> None:
    """Nothing interrupts the interpreter's own end, which is short: no stop, and no worker that ends on its own."""
    _listen(signal.SIG_IGN)
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises where a loader's worker has failed


def _stop(owner: int, number: int, _frame: FrameType | None) -> None:
    if os.getpid() != owner:  # forked from the command, such as a loader's worker: Ctrl-C reaches the whole group
        if number == signal.SIGTERM:
            os._exit(128 + number)
        return  # the command itself heeds it, and ends its workers
    _listen(signal.SIG_IGN)  # once is enough: clean-up is short, and not to be cut short
    raise Stopped(number)


def _again(dropped: Any, stop: Callable[..., None], before: Callable[[Any], Any]) -> None:
    """Stop a moment later where Python drops the errors of what it runs just now: what follows a fork, a `__del__`."""
    if not isinstance(dropped.exc_value, Stopped):
        before(dropped)
        return
    _listen(stop)
    later = threading.Timer(0.05, _deliver, (dropped.exc_value.number,))
    later.daemon = True
    later.start()


def _deliver(number: int) -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, number)  # to the thread whose sleep it is to end
    else:
        _thread.interrupt_main(number)


def _end(message: str, status: int) -> NoReturn:
    _settle()
    line = printable(" ".join(message.split()))
    from tqdm import tqdm

    # a line of its own, whatever progress bar stands there
    tqdm.write(f"dfnb: {line if len(line) <= _LONGEST else line[:_LONGEST] + ' ...'}", file=sys.stderr)
    sys.exit(status)
