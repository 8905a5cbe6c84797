"""Pieces of work, one by one or several at a time in processes of their own.

Trainings and scorings of a run, a sweep's cells, a search's trials, the notebooks of a report.
"""

import logging
import math
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from threading import Thread
from typing import TYPE_CHECKING, Protocol, TypeVar

from tqdm.auto import tqdm

from dfnb.common import devices, tuning
from dfnb.common.errors import UserError

if TYPE_CHECKING:
    from multiprocessing.queues import Queue


log = logging.getLogger(__name__)
MEMORY = 3 << 30  # bytes: a training of the embedded benchmark with its loader takes 2 to 3 GiB, a notebook less


class Work(Protocol):
    """What can be sent to another process and finished there."""

    def finish(self) -> None:
        """Do it. Raises UserError where it can't be done."""


Piece = TypeVar("Piece", bound=Work)


def at_once(pieces: int, most: int | None, threads: int | None) -> int:
    """How many of so many trainings or scorings are at work at the same time: one a GPU; on a processor as many as fit.

    most: at most; by default as many as there are processors, and a few more where the last ones would leave some of
    these idle: of five on two processors first three and then two. threads: of each on a processor; None: all of them.
    """
    import joblib

    here, fit = devices.hardware(), most or joblib.cpu_count()
    if here.gpus or here.mps:
        return max(1, min(pieces, fit, len(here.gpus)))
    fit = max(1, fit // threads) if threads else 1
    if most is None and pieces > fit:
        fit = math.ceil(pieces / (pieces // fit))
    return with_memory(min(pieces, fit))


def with_memory(processes: int) -> int:
    """At most so many processes, fewer where the machine has less than `MEMORY` for each, and at least one."""
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows doesn't say
        return max(1, processes)
    return max(1, min(processes, installed // MEMORY))


def finished(
    todo: Iterable[Piece | None],
    jobs: int,
    threads: int | None,
    bar: tqdm,
    failures: type[Exception] | tuple[type[Exception], ...] = UserError,
) -> Iterator[tuple[Piece, Exception | None]]:
    """Finish pieces of work and yield each with the reason why it failed, or None, as they come.

    todo: taken from only when a process is free, so that a piece may depend on what came of those before it; None:
        nothing can be begun before one at work is finished.
    jobs: pieces at the same time. threads: of each; by default torch's choice for one job, and an equal share of the
        processors for several. Where there are several GPUs, each process sees one, and as long as there are no more
        jobs than GPUs, no two the same.
    failures: what a piece may raise without ending the others.
    Raises UserError where a process was killed.
    """
    if jobs == 1:
        with _environment({} if threads is None else {"OMP_NUM_THREADS": str(threads)}), tuning.threads(threads):
            for piece in todo:
                if piece is not None:
                    yield piece, _attempt(piece, failures)
        return
    import joblib

    share, ahead = max(1, joblib.cpu_count() // jobs), iter(todo)
    spawn = multiprocessing.get_context("spawn")
    with (
        _environment(_quiet(share, threads or share)),
        ProcessPoolExecutor(jobs, spawn, _begin, (_devices(jobs, spawn), multiprocessing.get_start_method())) as pool,
    ):
        waiting: dict[Future[Exception | None], Piece] = {}
        try:
            while True:
                while len(waiting) < jobs and (piece := next(ahead, None)) is not None:
                    waiting[pool.submit(_attempt, piece, failures)] = piece
                if not waiting:
                    return
                done, _ = wait(waiting, timeout=5, return_when=FIRST_COMPLETED)
                bar.refresh()  # the time that has passed
                for future in done:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool:
            raise UserError(
                "a process was killed, perhaps for want of memory; run it again, with fewer at a time (jobs), and it "
                "goes on where it was last kept"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def done(bar: tqdm, what: str) -> None:
    """A piece more is finished: the bar says it, or a line of the log where there is no terminal for a bar."""
    if bar.disable:
        log.info("%s", what)
    bar.set_postfix_str(what, refresh=False)
    bar.update()


def _attempt(piece: Work, failures: type[Exception] | tuple[type[Exception], ...]) -> Exception | None:
    try:
        piece.finish()
    except failures as error:
        return error
    return None


def _devices(jobs: int, context: SpawnContext) -> "Queue[str] | None":
    """A queue of the GPU that each of the processes sees, as CUDA_VISIBLE_DEVICES names it; None without several."""
    gpus = len(devices.hardware().gpus)
    if gpus < 2:
        return None
    names = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
    queue = context.Queue()
    for job in range(jobs):
        queue.put(names.split(",")[job % gpus])
    return queue


def _begin(gpus: "Queue[str] | None", starting: str) -> None:
    """What a process does first: take its GPU, and end with the command, however that ends.

    Killed, a command would leave behind trainings that go on for hours and hold the locks of the next one.

    starting: how it starts others, such as those that make pairs; spawned itself it would spawn them, too, and each
    takes seconds then.
    """
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.get()
    multiprocessing.set_start_method(starting, force=True)
    Thread(target=_end_with_the_command, daemon=True).start()


def _end_with_the_command() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _quiet(share: int, threads: int) -> dict[str, str]:
    """Environment of processes without progress bars, with as many threads in every library.

    share: of the processors; they start no more processes than that.
    """
    return {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": str(threads), "LOKY_MAX_CPU_COUNT": str(share)}


@contextmanager
def _environment(ours: Mapping[str, str]) -> Iterator[None]:
    """Processes started in the block have these variables."""
    before = {key: os.environ.get(key) for key in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
