"""Work in processes of its own ends with the command that started it, even where that is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORK = """
import os, pathlib, sys, time
from tqdm import tqdm
from dfnb.experiment.jobs import finished

class Sleep:
    def __init__(self, place):
        self.place = place
    def finish(self):
        (pathlib.Path(self.place) / str(os.getpid())).touch()
        time.sleep(120)

if __name__ == "__main__":
    list(finished([Sleep(sys.argv[1]) for _ in range(2)], 2, 1, tqdm(disable=True)))
"""


def alive(process: int) -> bool:
    """Whether it runs; one that has ended and that nobody has asked for yet doesn't."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_a_killed_command_leaves_no_process_behind(tmp_path):
    script, started = tmp_path / "work.py", tmp_path / "started"
    script.write_text(WORK)
    started.mkdir()
    command = subprocess.Popen([sys.executable, script, started], env={**os.environ, "PYTHONPATH": os.getcwd()})
    end = time.monotonic() + 120
    while len(list(started.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.2)
    children = [int(path.name) for path in started.iterdir()]
    assert len(children) == 2
    command.kill()
    command.wait()
    while any(map(alive, children)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not [child for child in children if alive(child)]
