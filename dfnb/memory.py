"""What training frees stays with the process until training ends, so that each step finds its memory mapped already.

glibc gives every large block back to the system when it is freed, and a step of training takes and frees gigabytes of
them: the next step then waits for some 60,000 pages to be mapped and cleared anew, an eighth of its time on a
processor. The arithmetic isn't touched, and neither is the largest amount of memory in use.
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
