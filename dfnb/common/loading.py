"""Batches from a loader's worker processes, whatever shared memory this machine gives them.

Torch's workers leave tensors in shared memory, /dev/shm on Linux, and die, or wait forever, where that is full. A
container has 64 MiB of it unless it was started with more, which a single batch of pairs at 380 px fills. (Torch's
other sharing strategy, "file_system", takes the same memory.)
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import torch
from torch.utils.data import DataLoader, Dataset

from dfnb.common import processes

log = logging.getLogger(__name__)
SHARED = Path("/dev/shm")
PREFETCH = 2  # batches a worker makes ahead, torch's default
SPARE = 2  # times what is needed must be free: other commands use shared memory, too


def batches(data: Dataset, size: int, workers: int | None, **how: Any) -> Iterable[Any]:
    """A DataLoader of `data`: tensors, or tuples of them.

    size: bytes of a batch. workers: processes; 0 makes batches in this one; None: `default_workers`. how: further
    arguments of DataLoader.
    Where shared memory can't hold what the workers make ahead, batches come through pipes: the same, somewhat later.
    """
    workers = default_workers() if workers is None else workers
    how |= {"num_workers": workers, **({"prefetch_factor": PREFETCH} if workers else {})}
    needed, free = held(size, workers), free_bytes()
    if free is None or SPARE * needed <= free:
        return DataLoader(data, **how)
    if processes.is_main():
        _say(
            f"{SHARED} has {free >> 20} MiB free and the workers' batches may need {needed >> 20} MiB: they come "
            "through pipes instead, which takes longer (a container gets more with --shm-size)"
        )
    whole = how.get("batch_size", 1) is None and "batch_sampler" not in how
    return _as_tensors(DataLoader(data, collate_fn=_plain if whole else _stacked, **how))


def held(size: int, workers: int) -> int:
    """Bytes of shared memory that the loaders of a command's processes hold at most.

    size: of a batch. A loader holds what its workers make ahead, the batch in use and the one taken after it.
    """
    return _here() * (workers * PREFETCH + 2) * size if workers else 0


def default_workers() -> int:
    """Half of the processors, shared by the processes that train side by side; at least 1."""
    return max(1, joblib.cpu_count() // (2 * _here()))


def _here() -> int:
    """How many processes of this command there are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", processes.count()))


def free_bytes() -> int | None:
    """Bytes of shared memory that are free; None where the system has no limit of its own for it."""
    if sys.platform != "linux":
        return None
    try:
        about = os.statvfs(SHARED)
    except OSError:
        return 0
    return about.f_bavail * about.f_frsize


@cache
def _say(line: str) -> None:
    """Once: robustness, say, has a loader for each corruption."""
    log.warning(line)


def _stacked(samples: list[Any]) -> Any:
    """Samples -> a batch of arrays, which go through a pipe. Torch's own collating makes shared tensors in a worker."""
    if isinstance(samples[0], tuple):
        return tuple(_stacked(list(parts)) for parts in zip(*samples, strict=True))
    return torch.stack(samples).numpy()


def _plain(item: Any) -> Any:
    """A batch that is made already, of arrays."""
    return item


def _as_tensors(loader: DataLoader) -> Iterator[Any]:
    for batch in loader:
        # a tuple that went through the thread that pins memory is a list
        yield tuple(map(torch.from_numpy, batch)) if isinstance(batch, tuple | list) else torch.from_numpy(batch)
