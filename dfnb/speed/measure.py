"""Taking times: the best of several, beside a yardstick taken in the same breath, alone or in several processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

import numpy as np

Work = Callable[[], int]  # does some work and says how many units it was
PATIENCE = 300.0  # seconds that a worker may take to import and to warm up, and that it waits for the others


class Timing(NamedTuple):
    """Best seconds a unit of work and a yardstick took, and how often they were taken."""

    seconds: float
    yard: float
    repeats: int


def against(work: Work, yardstick: Callable[[], Any], seconds: float, least: int = 3) -> Timing:
    """Take turns with a yardstick for about `seconds`, at least `least` times each; a first turn isn't counted."""
    work(), yardstick()
    times, yards, began = [], [], time.perf_counter()
    while len(times) < least or time.perf_counter() - began < seconds:
        yards.append(_timed(yardstick)[0])
        taken, count = _timed(work)
        times.append(taken / count)
    return Timing(min(times), min(yards), len(times))


def in_turn(works: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Best seconds of each, all done once in every round, after a round that isn't counted."""
    rounds = [[_timed(work)[0] for work in works] for _ in range(repeats + 1)]
    return [float(v) for v in np.min(rounds[1:], axis=0)]


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    count = work()
    return time.perf_counter() - began, count


def sha256_16_mib() -> Callable[[], Any]:
    """SHA-256 over 16 MiB: one core, no memory to speak of."""
    data = bytes(16 << 20)
    return lambda: hashlib.sha256(data).digest()


def product_2048() -> Callable[[], Any]:
    """The product of two 2048 x 2048 float32 matrices by torch, on its threads."""
    import torch

    a, b = torch.rand(2, 2048, 2048)
    return lambda: a @ b


@cache
def copy_1_gib() -> Callable[[], Any]:
    """A copy of 1 GiB from memory to memory, pages touched before, which takes seconds: the memory is kept."""
    source, target = np.ones(1 << 27), np.ones(1 << 27)
    return lambda: np.copyto(target, source)


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV, torch and linear algebra without threads of their own, as in a worker."""
    import cv2
    import torch
    from threadpoolctl import threadpool_limits

    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])


@contextmanager
def crew(
    make: Callable[[str, Path], Work], names: Sequence[str], folder: Path, seconds: float, workers: int = 2
) -> Iterator[Callable[[], dict[str, tuple[float, float]]]]:
    """Processes that import what they need while this one does something else, and then wait to be called.

    The call measures: units a second of each named work, done by one process and by `workers` at the same time. For
    each work all of them get ready; then one works while the others wait, and then all do, for about `seconds` each.
    make: (name, folder) -> work; a function of a module, since the processes are started anew.
    The call raises RuntimeError where a worker fails or doesn't come back.
    """
    context = multiprocessing.get_context("spawn")
    called, turn, results = context.Event(), context.Barrier(workers), context.Queue()
    arguments = (make, tuple(names), folder, seconds, called, turn, results)
    processes = [context.Process(target=_serve, args=(k, *arguments), daemon=True) for k in range(workers)]
    for process in processes:
        process.start()

    def measured() -> dict[str, tuple[float, float]]:
        called.set()
        totals = {name: [0.0, 0.0] for name in names}
        for _ in range((1 + workers) * len(names)):
            try:
                name, together, rate = results.get(timeout=PATIENCE + seconds)
            except Empty:
                raise RuntimeError("a worker of the bench doesn't answer") from None
            if name not in totals:
                raise RuntimeError(f"a worker of the bench failed: {name}")
            totals[name][together] += rate
        for process in processes:
            process.join(timeout=10)
        return {name: (alone, together) for name, (alone, together) in totals.items()}

    try:
        yield measured
    finally:
        for process in processes:
            process.kill()
            process.join()


def _serve(
    number: int,
    make: Callable[[str, Path], Work],
    names: Sequence[str],
    folder: Path,
    seconds: float,
    called: Any,
    turn: Any,
    results: Any,
) -> None:
    try:
        with one_thread():
            if not called.wait(PATIENCE):  # whoever started this one is gone
                return
            for name in names:
                work = make(name, folder)
                work()
                turn.wait(PATIENCE)
                if number == 0:
                    results.put((name, False, _rate(work, seconds)))
                turn.wait(PATIENCE)  # the others begin
                results.put((name, True, _rate(work, seconds)))
                turn.wait(PATIENCE)  # nobody goes on while another still works
    except Exception as error:  # noqa: BLE001 (handed on to the process that waits for it)
        results.put((f"{type(error).__name__}: {error}", False, 0.0))
        turn.abort()


def _rate(work: Work, seconds: float) -> float:
    """Units a second, over at least `seconds`."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        count += work()
    return count / (time.perf_counter() - began)
