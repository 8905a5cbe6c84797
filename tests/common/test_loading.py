"""Workers under little shared memory: a container's 64 MiB, mounted over /dev/shm in a mount namespace of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from faces_in_memory import DrawnFaces
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from dfnb import profile, scoring, training
from dfnb.common import faults, loading
from dfnb.common.errors import UserError
from dfnb.sbi import PairDataset
from dfnb.scoring import score_table

ROOT = Path(__file__).parents[2]
SIZE = 380  # pixels: a batch of 16 pairs is 62 MiB


class Pictures(torch.utils.data.Dataset):
    """Batches as robustness makes them: arrays, and the rows they belong to."""

    nbytes = 32 * SIZE * SIZE * 3

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((32, SIZE, SIZE, 3), index, np.uint8), np.arange(32) + 32 * index


class Stored(DrawnFaces):
    """Drawn faces with all columns of a store's manifest."""

    root = Path("drawn")

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, seed)
        lacking = {name: 0 for name in score_table.PLACE if name not in self.manifest}
        self.manifest = self.manifest.assign(**lacking)


def train(folder: Path, workers: int) -> None:
    """A tiny network trained at 380 px."""
    settings = profile.load("smoke", {
        "model.backbone": "test_efficientnet", "model.pretrained": False, "model.size": SIZE, "train.batch": 16,
        "train.steps": 2, "train.report_every": 2, "train.validation_pairs": 2, "train.workers": workers,
        "train.mixed_precision": "no",
    })  # fmt: skip
    training.fit(settings, "plain", "linear", 0, Stored(20, 0), Stored(4, 1), folder)


def score(folder: Path, workers: int) -> None:
    """An untrained one that scores crops and pairs."""
    net = training.initial_network(
        profile.load("smoke", {"model.backbone": "test_efficientnet", "model.pretrained": False}), "plain", "linear", 0
    ).eval()
    crops = scoring.score_store(net, Stored(40, 0), SIZE, workers=workers).table["score"]
    pairs = PairDataset(Stored(20, 1), size=SIZE, train=False)
    made = scoring.score_pairs(net, pairs, workers=workers).table["score"]
    np.save(folder / "scores.npy", np.concatenate([crops, made]))


def corrupted(folder: Path, workers: int) -> None:
    """Batches made by the workers, as robustness takes them."""
    data = Pictures()
    made = loading.batches(data, data.nbytes, workers, batch_size=None)
    found = [(int(crops[0, 0, 0, 0]), rows) for crops, rows in made]
    assert [level for level, _ in found] == list(range(6))
    np.save(folder / "rows.npy", torch.cat([rows for _, rows in found]).numpy())


def without_checking(folder: Path, workers: int) -> None:
    """Torch's loader as it is, for comparison."""
    with faults.named_faults("training"):
        for _ in DataLoader(PairDataset(Stored(40, 0), size=SIZE), 16, num_workers=workers):
            pass


def work(name: str, folder: str, workers: str) -> None:
    """The body of a process: everything, one after another, or what is named."""
    torch.set_num_threads(1)
    for function in (train, score, corrupted) if name == "everything" else (globals()[name],):
        function(Path(folder), int(workers))


def run(name: str, folder: Path, workers: int, shared: str | None = None) -> subprocess.CompletedProcess:
    """`work` in a process of its own. shared: the size of its /dev/shm, such as "64m"; as it is here by default."""
    folder.mkdir(parents=True, exist_ok=True)
    code = "import logging, sys, test_loading; logging.basicConfig(); test_loading.work(*sys.argv[1:])"
    command = [sys.executable, "-c", code, name, str(folder), str(workers)]
    if shared:
        mount = f'mount -t tmpfs -o size={shared} tmpfs /dev/shm && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", mount, "sh", *command]
    places = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent)))}
    return subprocess.run(command, env=os.environ | places, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def _may_mount():
    """Skips where this process may not mount a file system of its own."""
    try:
        done = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /dev/shm"], capture_output=True)
    except OSError:
        pytest.skip("needs unshare, a command of Linux")
    if done.returncode:
        pytest.skip("needs the right to mount a file system")


@pytest.mark.slow
@pytest.mark.usefixtures("_may_mount")
def test_with_little_shared_memory_the_results_are_those_without_workers(tmp_path):
    alone, starved = run("everything", tmp_path / "alone", 0), run("everything", tmp_path / "starved", 2, "64m")
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert starved.returncode == 0, starved.stderr[-3000:]
    assert "pipes" not in alone.stderr
    lines = [line for line in starved.stderr.splitlines() if "come through pipes" in line]
    assert 1 <= len(lines) == len(set(lines)) <= 4
    assert "/dev/shm has 64 MiB free" in lines[0]
    weights, same = (load_file(tmp_path / where / "checkpoint.safetensors") for where in ("alone", "starved"))
    assert all(torch.equal(weights[key], same[key]) for key in weights)
    for name in ("scores", "rows"):
        values, same = (np.load(tmp_path / where / f"{name}.npy") for where in ("alone", "starved"))
        np.testing.assert_array_equal(values, same)


@pytest.mark.slow
@pytest.mark.usefixtures("_may_mount")
def test_torch_itself_fails_there_and_the_error_names_the_memory(tmp_path):
    died = run("without_checking", tmp_path, 2, "64m")
    assert died.returncode
    assert "UserError: training: shared memory (/dev/shm) is full" in died.stderr.splitlines()[-1]


@pytest.mark.slow  # other commands on this machine use shared memory, too
def test_what_a_loader_holds_at_most_is_what_is_asked_for(tmp_path, monkeypatch, caplog):
    """Against the memory itself: the most that a loader of two workers takes, its consumer being slow."""
    import time

    if not Path("/dev/shm").is_dir():
        pytest.skip("Linux alone shows its shared memory")
    data = PairDataset(Stored(96, 0), size=96)
    before, most = loading.free_bytes(), 0
    for _ in loading.batches(data, 8 * data.nbytes, 2, batch_size=8):
        time.sleep(0.1)
        most = max(most, before - loading.free_bytes())
    assert 8 * data.nbytes < most <= 1.1 * loading.held(8 * data.nbytes, 2)


@pytest.mark.parametrize(("free", "pipes"), [(12 * 1000, False), (12 * 1000 - 1, True), (0, True), (None, False)])
def test_pipes_are_for_where_half_of_what_is_free_does_not_hold_them(monkeypatch, free, pipes):
    """Two workers with two batches each, one in use and one after it: six of 1000 bytes."""
    monkeypatch.setattr(loading, "free_bytes", lambda: free)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    made = loading.batches(Pictures(), 1000, 2, batch_size=None)
    assert isinstance(made, DataLoader) != pipes
    assert isinstance(loading.batches(Pictures(), 1000, 0, batch_size=None), DataLoader)


def test_batches_through_pipes_are_the_same(monkeypatch):
    data = PairDataset(Stored(12, 0), size=32)
    monkeypatch.setattr(loading, "free_bytes", lambda: 0)
    piped = list(loading.batches(data, 4 * data.nbytes, 1, batch_size=4))
    plain = list(DataLoader(data, batch_size=4))
    assert len(piped) == len(plain) == 3
    assert all(torch.equal(a, b) for pair in zip(piped, plain, strict=True) for a, b in zip(*pair, strict=True))


def test_processes_of_a_machine_share_its_memory(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert loading.held(1000, 1) == 4 * (2 + 2) * 1000
    assert loading.held(1000, 0) == 0


def test_a_killed_worker_and_full_shared_memory_are_told_apart():
    full = "DataLoader worker (pid 1) is killed by signal: Bus error. Workers may be out of shared memory."
    for text, named in ((full, "shared memory"), ("DataLoader worker (pid 1) is killed by signal: Killed.", "died")):
        with pytest.raises(UserError, match=named), faults.named_faults("training"):
            raise RuntimeError(text)


def test_workers_default_to_half_of_the_processors(monkeypatch):
    data = torch.utils.data.TensorDataset(torch.arange(8.0))
    for processors, trainings, expected in ((2, 1, 1), (1, 1, 1), (16, 1, 8), (16, 4, 2)):
        monkeypatch.setattr(loading.joblib, "cpu_count", lambda count=processors: count)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(trainings))
        assert loading.default_workers() == expected
    monkeypatch.setattr(loading, "default_workers", lambda: 1)
    assert loading.batches(data, 4, None, batch_size=2).num_workers == 1
    assert loading.batches(data, 4, 0, batch_size=2).num_workers == 0


def test_a_profile_uses_every_processor_unless_it_says_how_many(monkeypatch):
    loaded = profile.load("demo")
    monkeypatch.setattr("joblib.cpu_count", lambda: 7)
    assert loaded.processes == 7
    assert profile.load("demo", {"jobs": 3}).processes == 3
    assert loaded.asked()["jobs"] is None  # what is asked for is the same on every machine
