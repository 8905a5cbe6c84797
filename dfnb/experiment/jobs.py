"""Pieces of work, one by one or several at a time in processes of their own: a sweep's cells, a search's trials."""

import itertools
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from threading import Thread
from typing import Protocol, TypeVar

from tqdm.auto import tqdm

from dfnb.common.errors import UserError


class Work(Protocol):
    """What can be sent to another process and finished there."""

    def finish(self) -> None:
        """Do it. Raises UserError where it can't be done."""


Piece = TypeVar("Piece", bound=Work)


def finished(todo: Iterable[Piece], jobs: int, threads: int | None, bar: tqdm) -> Iterator[tuple[Piece, str]]:
    """Finish pieces of work and yield each with the reason why it failed, or "", as they come.

    todo: taken from only when a process is free, so that a piece may depend on what came of those before it.
    jobs: pieces at the same time. threads: of each; by default torch's choice for one job, and an equal share of the
    processors for several.
    """
    if jobs == 1:
        if threads is not None:
            _use(threads)
        for piece in todo:
            yield piece, _attempt(piece)
        return
    import joblib

    share, ahead = threads or max(1, joblib.cpu_count() // jobs), iter(todo)
    with (
        _quiet_children(share),
        ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (share,)) as pool,
    ):
        waiting: dict[Future[str], Piece] = {}
        try:
            while True:
                for piece in itertools.islice(ahead, jobs - len(waiting)):
                    waiting[pool.submit(_attempt, piece)] = piece
                if not waiting:
                    return
                done, _ = wait(waiting, timeout=5, return_when=FIRST_COMPLETED)
                bar.refresh()  # the time that has passed
                for future in done:
                    yield waiting.pop(future), future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _attempt(piece: Work) -> str:
    try:
        piece.finish()
    except UserError as error:
        return str(error)
    return ""


def _begin(threads: int) -> None:
    """What a process does first: take its threads, and end with the command, however that ends.

    Killed, a command would leave behind trainings that go on for hours and hold the locks of the next one.
    """
    _use(threads)
    Thread(target=_end_with_the_command, daemon=True).start()


def _end_with_the_command() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _use(threads: int, starting: str | None = None) -> None:
    """starting: how this process starts others, such as those that make pairs; a spawned one would spawn, slowly."""
    import torch

    torch.set_num_threads(threads)
    if starting is not None:
        multiprocessing.set_start_method(starting, force=True)


@contextmanager
def _quiet_children(threads: int) -> Iterator[None]:
    """Processes started in the block draw no progress bars and use as many threads, in every library."""
    ours = {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": str(threads)}
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
