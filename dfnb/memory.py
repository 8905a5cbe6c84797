"""What torch frees stays with the process for a while, so that the next step finds its memory mapped already.

glibc gives every large block back to the system when it is freed, and a training step takes and frees gigabytes of
them, a batch that is scored hundreds of megabytes: the next one then waits until the system has found and cleared all
those pages anew. On a processor that takes longer than some of the arithmetic does. No number changes by it, and
neither does the largest amount of memory in use.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's names for them, in glibc's malloc.h
_LARGEST = 32 << 20  # bytes: blocks larger than this glibc gives back whatever happens, left to itself


@contextmanager
def kept() -> Iterator[None]:
    """Keep freed memory within the block, and give it all back at the end. Does nothing where malloc isn't glibc's."""
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
