"""One command at a time, also on file systems without locks, as flock answers there."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dfnb.benchmark import builder
from dfnb.common import locks
from dfnb.common.errors import UserError
from dfnb.data import store
from dfnb.data.store.prepare import CLIP_COLUMNS
from dfnb.profile import Demo

CODES = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP]
CHILD = """
import errno, fcntl, os, sys, time
from pathlib import Path
from dfnb.common import locks

def refuse(*_):
    raise OSError(errno.ENOLCK, "No locks available")

fcntl.flock = refuse
with locks.exclusive(Path(sys.argv[1]), "training", ()):
    print("held", flush=True)
    time.sleep(600)
"""


def without_locks(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)


def train(folder: Path) -> None:
    with locks.exclusive(folder, "training", ("checkpoint",)):
        pass


def prepare(folder: Path) -> None:
    store.prepare(pd.DataFrame(columns=list(CLIP_COLUMNS)), folder, jobs=1, progress=False)


def estimate(folder: Path) -> None:
    store.estimate(pd.DataFrame(columns=list(CLIP_COLUMNS)), folder, 1, 1, "all")


def build(folder: Path) -> None:
    builder.build(folder / "out", Demo())


USERS = [(train, ".lock"), (prepare, ".lock"), (estimate, ".lock"), (build, ".out.lock")]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(builder, "_build", lambda *_: None)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("use", "name"), USERS)
def test_without_locks_a_marker_stands_for_one(
    tmp_path: Path, monkeypatch, caplog, code: int, use: Callable[[Path], None], name: str
):
    without_locks(monkeypatch, code)
    marker = tmp_path / f"{name}.held"
    use(tmp_path)
    lines = [record.message for record in caplog.records if "no locks" in record.message]
    assert len(lines) == 1
    assert str(tmp_path) in lines[0]
    assert marker.name in lines[0]
    assert not marker.exists()

    marker.write_text("4711\nelsewhere\n", "utf-8")
    with pytest.raises(UserError) as refused:
        use(tmp_path)
    assert f"delete {marker} (held by process 4711 on elsewhere)" in str(refused.value)
    assert "another command is" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert marker.exists()
    marker.unlink()
    use(tmp_path)


def test_a_killed_commands_marker_is_replaced_on_the_same_machine_and_a_running_ones_is_not(tmp_path, monkeypatch):
    without_locks(monkeypatch, errno.ENOLCK)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"held by process {child.pid} on "):
            train(tmp_path)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert (tmp_path / ".lock.held").exists()
    train(tmp_path)
    assert not (tmp_path / ".lock.held").exists()


def test_other_faults_of_the_disk_stay_what_they_are(tmp_path, monkeypatch):
    without_locks(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        train(tmp_path)


def test_an_error_inside_the_block_lets_go_of_the_lock_and_is_not_taken_for_a_missing_lock(tmp_path):
    for _ in range(2):
        with pytest.raises(OSError, match="inside"), locks.exclusive(tmp_path, "training", ()):
            raise OSError(errno.ENOLCK, "inside")
