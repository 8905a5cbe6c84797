"""Several processes train as one does, a killed training goes on bit for bit, a Dask cluster fills the same store."""

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from faces_in_memory import DrawnFaces
from filelock import FileLock
from filmed import tree
from safetensors.torch import load_file
from ten_steps import ten_steps

from dfnb import networks, profile, training
from dfnb.common import devices, processes
from dfnb.common.errors import UserError
from dfnb.data import catalogues, store

HERE = Path(__file__).parents[1]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def test_two_processes_with_half_the_batch_each_train_as_one(tmp_path):
    """Gloo, float64, SAM over SGD, batch norm frozen: loss curve and weights to 1e-8, and the same pairs."""
    environment = os.environ | {"PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"}
    command = [*TORCHRUN, str(HERE / "ten_steps.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    alone, weights = ten_steps()
    said = [json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in (0, 1)]
    assert [one["processes"] for one in said] == [2, 2]
    assert [one["entered"] for one in said] == [0, 1]  # the main process went first
    for rank, one in enumerate(said):
        torch.testing.assert_close(torch.tensor(one["loss"]), torch.tensor(alone["loss"]), rtol=0, atol=1e-8)
        theirs = load_file(tmp_path / f"weights-{rank}.safetensors")
        for name, tensor in weights.items():
            torch.testing.assert_close(theirs[name], tensor, rtol=0, atol=1e-8)
    both = [tuple(pair) for one in said for pair in one["seen"]]
    assert sorted(both) == sorted(alone["seen"])
    assert len(set(both)) == 40  # ten steps of four pairs, none twice
    assert alone["loss"][-1] != alone["loss"][0]


def fit(folder: Path, interrupt_at: int | None = None) -> Path:
    """A training of three epochs of two steps."""
    settings = profile.load("smoke", {
        "model.size": 64, "train.steps": 6, "train.batch": 4, "train.report_every": 2, "train.optimizer": "sam",
        "train.schedule": "constant_then_linear", "train.workers": 0, "train.validation_pairs": 4,
    })  # fmt: skip
    torch.set_num_threads(1)
    return training.fit(settings, "proposed", "arcface", 0, DrawnFaces(8, 0, interrupt_at), DrawnFaces(4, 1), folder)


def _state(folder: Path) -> int:
    """When the unfinished training was last written, 0 where it hasn't been."""
    file = folder / "state.safetensors"
    return file.stat().st_mtime_ns if file.exists() else 0


MOMENTS = {
    "before anything was kept": lambda folder: (folder / ".lock").exists(),
    "while it is being kept": lambda folder: bool(list(folder.glob(".state-*"))),
    "in a later epoch": lambda folder: _state(folder) > 0,
}


@pytest.fixture(scope="module")
def server():
    """Starts processes that have already imported everything; each is its own, and dies alone."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dfnb.training", "test_processes"])
    return context


def test_a_killed_training_ends_in_the_very_same_weights(server, tmp_path):
    """SIGKILL at three moments, one after the other in the same folder, against a training in peace.

    Bit for bit, on one machine with one lock file and one thread count.
    """
    whole = server.Process(target=fit, args=(tmp_path / "whole",))
    whole.start()
    killed = {}
    for name, arrived in MOMENTS.items():
        folder = tmp_path / "cut"
        victim = server.Process(target=fit, args=(folder,))
        victim.start()
        while victim.is_alive() and not arrived(folder):
            time.sleep(0.0005)
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        killed[name] = victim.exitcode
        if name == "in a later epoch":
            assert _state(folder)
        assert not (folder / "checkpoint.safetensors").exists()
        if name == "before anything was kept":
            assert not _state(folder)
            (folder / ".lock").unlink()
    assert set(killed.values()) == {-signal.SIGKILL}
    last = server.Process(target=fit, args=(tmp_path / "cut",))
    last.start()
    last.join()
    whole.join()
    assert (whole.exitcode, last.exitcode) == (0, 0)
    left = sorted(file.name for file in (tmp_path / "cut").iterdir())
    assert left == [".lock", "checkpoint.safetensors", "history.csv"]
    one, other = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    curves = [pd.read_csv(tmp_path / name / "history.csv").drop(columns="seconds") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*curves)


def test_one_training_at_a_time_in_a_folder(tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another command is training"):
        fit(tmp_path)


def test_what_shares_nothing_says_so(monkeypatch):
    processes.alone("prepare")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="dfnb prepare runs as one process, and 2 were started"):
        processes.alone("prepare")


@pytest.mark.parametrize(
    ("backend", "scheduler", "says"),
    [
        ("spark", None, "backend 'spark' is unknown"),
        ("loky", "tcp://127.0.0.1:1", "goes with --backend dask"),
        ("dask", None, "needs --scheduler"),
        ("dask", "nowhere", "nowhere: no Dask scheduler"),
    ],
)
def test_a_cluster_that_is_not_there_is_named(backend, scheduler, says):
    with pytest.raises(UserError, match=says), processes.cluster(backend, scheduler):
        pass


def test_a_dask_cluster_of_two_workers_fills_the_same_store(tmp_path, heads):
    """Through the very context `dfnb prepare --backend dask` opens, against joblib's own processes; byte for byte."""
    from distributed import LocalCluster

    for k, head in enumerate(heads):
        (tmp_path / "faces").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "faces" / f"{k}.png"), head[..., ::-1])
    (tmp_path / "faces" / "broken.mp4").write_bytes(b"not a video")
    found = catalogues.faces_folder(tmp_path / "faces", "real")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as workers,
        processes.cluster("dask", workers.scheduler_address) as far,
    ):
        coverage = store.prepare(found, tmp_path / "dask", jobs=None, progress=False)
    assert far
    store.prepare(found, tmp_path / "loky", jobs=2, progress=False)
    assert tree(tmp_path / "dask") == tree(tmp_path / "loky")
    assert coverage.counts["videos_with_face"].sum() == 3


LAUNCHERS = {  # accelerate's own `--cpu` would start one process: several without a GPU need MPI there
    "torchrun": TORCHRUN,
    "accelerate": [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder for runs, shared by the launchers: the first builds the videos and finds the faces."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "variant"), [("torchrun", "network1"), ("accelerate", "network2")])
def test_a_launcher_runs_the_train_command_unchanged(runs, launcher, variant):
    """The smoke profile: the main process builds what is missing, both train, one line is printed, and one writes."""
    arguments = ["train", "--profile", "smoke", "--set", f"runs={runs}", "--variant", variant]
    command = [*LAUNCHERS[launcher], "-m", "dfnb", *arguments]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("2 processes on cpu") == 1, done.stderr
    (printed,) = done.stdout.split()
    folder = Path(printed).parent
    assert sorted(file.name for file in folder.iterdir()) == [".lock", "checkpoint.safetensors", "history.csv"]
    assert networks.metadata(Path(printed))["domain"] == "embedded benchmark"
    assert len(pd.read_csv(folder / "history.csv")) == 2
    assert networks.load(Path(printed)).settings["variant"] == variant
    again = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (0, done.stdout), again.stderr  # finished: reused by both


@pytest.mark.slow
def test_a_command_that_shares_nothing_says_so_under_a_launcher(runs):
    done = subprocess.run(
        [*TORCHRUN, "-m", "dfnb", "prepare", "--profile", "smoke", "--set", f"runs={runs}"],
        cwd=HERE.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "dfnb prepare runs as one process, and 2 were started" in done.stderr
    assert 'dfnb/cli.py", line' not in done.stderr  # torchrun has a traceback of its own, ours is one line


def test_nothing_touches_a_gpu_before_a_notebook_starts_a_process_for_each(monkeypatch):
    """Counting GPUs is allowed; asking one anything, even whether it is there, spoils the forks."""

    def touched(*_: object) -> None:
        raise AssertionError("a GPU was touched")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch._C, "_cuda_getDeviceCount", touched, raising=False)
    monkeypatch.setattr(torch.cuda, "_lazy_init", touched)
    monkeypatch.setattr(torch.cuda.random, "_lazy_init", touched)
    monkeypatch.setattr(processes, "in_a_kernel", lambda: True)
    monkeypatch.setattr(AcceleratorState, "_shared_state", {})  # as in a kernel that hasn't trained
    settings = profile.load("paper", {"model.backbone": "test_efficientnet", "model.pretrained": False})
    training.initial_network(settings, "proposed", "arcface", seed=0)
    training.training_key(settings, "proposed", "arcface", 0, DrawnFaces(8, 0), DrawnFaces(4, 1))
    assert devices.scoring_device() == torch.device("cpu")
    assert processes._processes_to_start(8) == 8


KERNEL = """
import logging, sys
from pathlib import Path
import torch
from dfnb.common import processes
from test_processes import fit

def work(folder):
    torch.randn(1 << 22).square().sum()
    fit(folder)

logging.basicConfig(level=logging.INFO)
torch.set_num_threads(2)
torch.randn(1 << 22).square().sum()  # the parent has used its threads: forks would wait for them
torch.cuda.device_count = lambda: 2
processes.in_a_kernel = lambda: True
processes.launch(work, Path(sys.argv[1]), batch=4)
"""


@pytest.mark.slow
def test_a_notebook_trains_in_a_process_for_each_gpu(tmp_path):
    """accelerate's notebook_launcher itself, forking two processes; for want of GPUs they meet on the CPU."""
    environment = os.environ | {"PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"}
    command = [sys.executable, "-c", KERNEL, str(tmp_path / "net")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("2 processes on cpu") == 1, done.stderr
    left = sorted(file.name for file in (tmp_path / "net").iterdir())
    assert left == [".lock", "checkpoint.safetensors", "history.csv"]
    assert len(pd.read_csv(tmp_path / "net" / "history.csv")) == 3


def fit_on_a_full_disk(folder: Path) -> None:
    """A limit on file size stands in for the full disk: before anything was kept, and after."""
    full, endless = (1 << 20, resource.RLIM_INFINITY), (resource.RLIM_INFINITY,) * 2
    for kept in (False, True):
        resource.setrlimit(resource.RLIMIT_FSIZE, endless)
        if kept:
            with pytest.raises(KeyboardInterrupt):
                fit(folder, interrupt_at=11)  # in the second epoch
        before = {file.name: file.read_bytes() for file in folder.glob("*")}
        assert ("state.safetensors" in before) == kept
        resource.setrlimit(resource.RLIMIT_FSIZE, full)
        with pytest.raises(UserError, match=r"state\.safetensors: can't be written .* free some space"):
            fit(folder)
        after = {file.name: file.read_bytes() for file in folder.iterdir()}
        assert after == {".lock": b""} | before


def test_a_disk_that_is_full_while_training_is_named(server, tmp_path):
    process = server.Process(target=fit_on_a_full_disk, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0
