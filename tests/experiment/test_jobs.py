"""Several at a time: the same numbers as one by one, a GPU each, and none outlives the command that started it."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
import torch
import yaml
from filelock import FileLock
from lab import faces, heads, profile  # noqa: F401 (a fixture)
from tqdm import tqdm

from dfnb import networks, open_run
from dfnb.common import devices
from dfnb.common.devices import Hardware
from dfnb.common.errors import UserError
from dfnb.experiment import jobs
from dfnb.experiment.run import Piece

# ruff: noqa: F811 (fixtures of another module are arguments here)

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


@dataclass(frozen=True)
class Watched:
    """A piece of work that also notes on which device it ran, and when."""

    piece: Any
    notes: Path

    def finish(self) -> None:
        began = time.time()
        self.piece.finish()
        note = f"{os.environ.get('CUDA_VISIBLE_DEVICES')},{began},{time.time()},{torch.get_num_threads()}\n"
        (self.notes / f"{os.getpid()}-{began}.csv").write_text(note)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, heads) -> Path:
    """Faces, and a profile of four networks with one thread each."""
    folder = tmp_path_factory.mktemp("jobs")
    faces(folder / "faces", heads)
    four = [["plain", "linear"], ["network1", "linear"], ["proposed", "linear"], ["proposed", "arcface"]]
    settings = yaml.safe_load(profile(folder).read_text())
    settings |= {"threads": 1, "jobs": 2, "train": settings["train"] | {"networks": four}}
    (folder / "lab.yaml").write_text(yaml.safe_dump(settings))
    return folder


def tensors(run: Any) -> dict[str, torch.Tensor]:
    found = {n.folder: networks.load(run.checkpoint(n)).state_dict() for n in run.networks}
    return {f"{name}.{key}": value for name, weights in found.items() for key, value in weights.items()}


@pytest.fixture(scope="module")
def alone(folder) -> Any:
    """All of it made one by one in this process, which itself has two threads."""
    run = open_run(folder / "lab.yaml", {"jobs": 1, "name": "alone"}, build="all")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run.everything()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    return run


def test_beside_another_a_network_has_the_weights_and_scores_it_has_alone(folder, alone):
    run = open_run(folder / "lab.yaml", {"name": "beside"}, build="all")
    assert run.at_once(4) == 2
    results = run.everything()
    ours, theirs = tensors(run), tensors(alone)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    for network in run.networks:
        scored = [each.scores("sbi", network.name) for each in (run, alone)]
        pd.testing.assert_series_equal(scored[0]["score"], scored[1]["score"], check_exact=True)
        assert networks.metadata(run.checkpoint(network))["threads"] == 1
        assert networks.metadata(run.checkpoint(network))["real_people"]
    pd.testing.assert_frame_equal(
        results.drop(columns="checkpoint"), alone.results().drop(columns="checkpoint"), check_exact=True
    )


def test_each_of_several_gpus_trains_one_network_at_a_time(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "hardware", lambda: Hardware(("NVIDIA A100",) * 2, (8, 0)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")  # those of the machine that this command may use
    run = open_run(folder / "lab.yaml", {"name": "gpus", "jobs": 16}, build="all")
    assert run.at_once(4) == 2
    assert run.store("train")
    assert run.store("validation")
    todo = [Watched(Piece(run, network), tmp_path) for network in run.networks]
    ended = list(jobs.finished(todo, run.at_once(len(todo)), run.threads, tqdm(disable=True)))
    assert [error for _, error in ended] == [None] * 4
    assert not [network for network in run.networks if not run.checkpoint(network).exists()]
    notes = pd.concat(
        pd.read_csv(file, names=["device", "began", "ended", "threads"]) for file in tmp_path.glob("*.csv")
    )
    assert len(notes) == 4
    assert set(notes["device"]) == {3, 5}
    assert set(notes["threads"]) == {1}
    for _, on_one in notes.groupby("device"):
        times = on_one.sort_values("began")[["began", "ended"]].to_numpy()
        assert all(before[1] <= after[0] for before, after in pairwise(times))


@pytest.mark.parametrize(
    ("hardware", "processors", "pinned", "threads", "expected"),
    [
        (Hardware(), 2, None, 1, 3),  # of five: three, and then two
        (Hardware(), 3, None, 1, 5),
        (Hardware(), 5, None, 1, 5),
        (Hardware(), 64, None, 1, 5),
        (Hardware(), 64, 2, 1, 2),
        (Hardware(), 4, None, 2, 3),
        (Hardware(), 8, None, None, 1),  # one takes all threads
        (Hardware(), 1, None, 4, 1),
        (Hardware(("NVIDIA A100",), (8, 0)), 8, None, 1, 1),
        (Hardware(("NVIDIA A100",) * 4, (8, 0)), 8, None, None, 4),
        (Hardware(("NVIDIA A100",) * 4, (8, 0)), 8, 1, None, 1),
        (Hardware(mps=True), 8, None, 1, 1),
    ],
)
def test_how_many_of_five_at_a_time(monkeypatch, hardware, processors, pinned, threads, expected):
    monkeypatch.setattr(devices, "hardware", lambda: hardware)
    monkeypatch.setattr(joblib, "cpu_count", lambda: processors)
    monkeypatch.setattr(jobs, "MEMORY", 1)
    assert jobs.at_once(5, pinned, threads) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="Windows doesn't say how much memory it has")
def test_there_are_no_more_at_a_time_than_there_is_memory_for(monkeypatch):
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for share, expected in ((3, 3), (0.5, 1)):
        monkeypatch.setattr(jobs, "MEMORY", int(installed / share))
        assert jobs.with_memory(16) == expected


def test_a_training_that_fails_is_named_when_the_others_have_ended(folder):
    run = open_run(folder / "lab.yaml", {"name": "failing"}, build="all")
    first, *others = run.networks
    place = run.checkpoint(first).parent
    place.mkdir(parents=True)
    with FileLock(place / ".lock"), pytest.raises(UserError, match=f"{first.folder}: another command is training here"):
        run.everything()
    assert not run.checkpoint(first).exists()
    assert all(run.is_done(network) for network in others)
