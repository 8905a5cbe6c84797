"""What `dfnb.common.tuning` promises: memory stays mapped within the block, and goes back at its end."""

import ctypes
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dfnb.common import tuning

BLOCK = 48 << 20  # bytes: more than glibc keeps by itself


def mapped_anew(times: int) -> int:
    """Pages the system had to find while a large block was taken, filled and freed so often."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        at = libc.malloc(BLOCK)
        ctypes.memset(at, 1, BLOCK)
        libc.free(at)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def held() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def kept_and_given_back() -> None:
    pages = BLOCK // resource.getpagesize()
    assert mapped_anew(8) > 7 * pages
    before = held()
    with tuning.freed_memory_kept():
        mapped_anew(1)
        assert mapped_anew(8) < pages // 8
        assert held() > before + BLOCK // 2
    assert held() < before + BLOCK // 2
    assert mapped_anew(8) > 7 * pages


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc's malloc")
def test_freed_memory_stays_within_the_block_and_goes_back_at_its_end():
    """In a process of its own, whose heap no other test has filled."""
    code = "import test_tuning; test_tuning.kept_and_given_back()"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_elsewhere_it_does_nothing(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", None)  # whoever calls it fails
    with tuning.freed_memory_kept():
        pass
