"""Threads and memory of a process that trains or scores. Importing this changes nothing, and no number changes by it,
save its last bits by `threads`.

`wait_asleep` is called where a run is opened and where a command begins, `small_tables` where a run is opened,
`freed_memory_kept` around the work itself.
"""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's names for them, in glibc's malloc.h
_LARGEST = 32 << 20  # bytes: blocks larger than this glibc gives back whatever happens, left to itself


def wait_asleep() -> None:
    """Let torch's threads (libgomp) wait for each other asleep, unless the environment says otherwise.

    They wait awake for a millisecond and more, which takes the cores from whoever has work: a loader's worker, a
    second command. Torch reads it when it is loaded; later it does nothing.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Within the block torch computes with as many threads on the processor; None: with as many as before.

    They decide the last bits of what it computes, whichever processor that is: sums are taken in another order.
    """
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def small_tables() -> None:
    """Let arrow, which reads tables, take its memory from the system: its own pool keeps more than the tables need."""
    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory within the block, and give it all back at the end. Does nothing where malloc isn't glibc's.

    glibc gives every large block back to the system when it is freed. A training step frees gigabytes of them, and
    the next step then waits until the system has found and cleared those pages again. The largest amount of memory
    in use stays the same.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
        libc.malloc_trim(0)
