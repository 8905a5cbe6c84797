"""Killed, stopped, starved and written by two at once: what is finished stays, and the same command ends the same.

Each command is a process of its own, forked from a server that has imported everything already; that is what makes a
hundred of them bearable. `make test-slow` runs these.
"""

# ruff: noqa: F811 (fixtures of another module are arguments here)

import atexit
import hashlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from lab import heads, lab, made, profile  # noqa: F401 (fixtures)
from safetensors.torch import load_file

from dfnb import cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="watches processes as Linux shows them"),
]

ROOT = Path(__file__).parents[2]
TIMES = int(os.environ.get("DFNB_FAULTS", "20"))  # interruptions of each command
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}
SMALL = {
    "demo": {"ff_train": 4, "ff_val": 2, "ff_test": 2, "celeb_real": 2, "celeb_fake": 2, "ffiw": 2, "frames": 2,
             "size": 256, "wide": [640, 360]},
    "data": {"source": "embedded", "train_frames": 2, "validation_frames": 2, "test_frames": 2},
    "model": {"backbone": "test_efficientnet", "pretrained": False, "size": 64},
    "train": {"networks": [["plain", "linear"], ["proposed", "arcface"]], "steps": 12, "batch": 2, "workers": 0,
              "optimizer": "adamw", "schedule": "one_cycle", "validation_pairs": 2, "report_every": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    """Starts processes that have imported everything. One thread each: more of them gain nothing in so small a run."""
    os.environ["OMP_NUM_THREADS"] = "1"  # it stays: the server is one for the whole of this process
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["dfnb.training", "dfnb.scoring", "dfnb.report", "dfnb.benchmark.build", "test_faults"]
    )
    return context


def run(said: str, arguments: list[str], limits: dict[int, int] | None = None) -> None:
    """The body of a process: `dfnb ARGUMENTS` in a session of its own, what it says written into the file `said`."""
    os.setsid()
    # as in a process that a shell starts: the server hands on its own
    multiprocessing.set_start_method(None, force=True)
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    for kind, value in (limits or {}).items():
        resource.setrlimit(kind, (value, value))
    os.chdir(ROOT)
    sys.argv = ["dfnb", *arguments]
    try:
        cli.main()
    finally:  # as an interpreter ends; a forked process would wait for joblib's idle ones first, which wait for it
        threading._shutdown()
        atexit._run_exitfuncs()


class Command:
    """A command that runs in a process of its own."""

    def __init__(self, server, folder: Path, *arguments: object, limits: dict[int, int] | None = None) -> None:
        self.said = folder / "said.txt"
        self.process = server.Process(target=run, args=(str(self.said), [str(a) for a in arguments], limits))
        self.process.start()

    def begun(self) -> None:
        """Wait until it has its handlers: before that the system itself ends a process, in its own way."""
        wanted = 1 << (signal.SIGTERM - 1) | 1 << (signal.SIGINT - 1)
        while self.process.is_alive():
            with suppress(OSError, StopIteration):
                about = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
                if int(next(line for line in about if line.startswith("SigCgt")).split()[1], 16) & wanted == wanted:
                    return
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        """Ctrl-C reaches the whole group, as from a terminal; the others reach the command alone."""
        try:
            if number == signal.SIGINT:
                os.killpg(self.process.pid, number)
            else:
                os.kill(self.process.pid, number)
        except ProcessLookupError:
            pass  # it was through already

    def end(self, seconds: float = 600) -> tuple[int, list[str]]:
        """Exit status and the lines by which the command says what was wrong."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it hangs"
        text = self.said.read_text("utf-8", errors="replace") if self.said.exists() else ""
        assert "Traceback" not in text, text[-3000:]
        return self.process.exitcode, [line for line in text.splitlines() if line.startswith("dfnb: ")]


def settings(folder: Path, **changes: object) -> Path:
    path = folder / "small.yaml"
    path.write_text(
        yaml.safe_dump({"name": "small", "runs": str(folder / "runs"), "jobs": 1, **SMALL, **changes}), "utf-8"
    )
    return path


def hashes(folder: Path) -> dict[str, str]:
    """Every file a command keeps, by its hash. What names a time or a path is compared by `numbers`."""
    kept = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if (
            file.is_file()
            and file.suffix in {".mp4", ".npz", ".rgb", ".txt", ".npy", ".csv"}
            and file.name != "said.txt"
        ):
            if file.name in ("history.csv", "problems.csv"):
                continue
            kept[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return kept


def numbers(folder: Path) -> dict[str, object]:
    """Weights, learning curves and manifests: what is in them but for times and places."""
    found: dict[str, object] = {}
    for file in sorted(folder.rglob("checkpoint.safetensors")):
        tensors = load_file(file)
        found[file.parent.name] = {k: hashlib.sha256(v.numpy().tobytes()).hexdigest() for k, v in tensors.items()}
        found[f"{file.parent.name} history"] = pd.read_csv(file.parent / "history.csv").drop(columns="seconds").to_csv()
    for file in sorted(folder.rglob("manifest.parquet")):
        found[file.parent.name] = pd.read_parquet(file).drop(columns=["path"]).astype(str).to_csv()
    return found


def strays(folder: Path) -> list[Path]:
    """Temporary files that nobody would ever remove."""
    return [f for f in folder.rglob(".*-*") if f.is_file() and f.suffix != ".lock"]


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory) -> Path:
    """Every command once, in peace; how long each took in `seconds`."""
    folder = tmp_path_factory.mktemp("peace")
    given, took = settings(folder), {}
    for name in ("demo", "prepare", "train", "evaluate"):
        began = time.monotonic()
        status, _ = Command(server, folder, *line(name, folder, given)).end()
        assert status == 0, (folder / "said.txt").read_text()
        took[name] = time.monotonic() - began
    (folder / "seconds.yaml").write_text(yaml.safe_dump(took))
    return folder


def line(name: str, folder: Path, given: Path) -> list[object]:
    """The command's arguments. `demo` builds what the others read."""
    if name == "demo":
        return ["demo", folder / "runs" / "small" / "benchmark", "--profile", given]
    return [name, "--profile", given]


NEEDS = {
    "demo": [],
    "prepare": ["benchmark"],
    "train": ["benchmark", "faces"],
    "evaluate": ["benchmark", "faces", "networks"],
}


WRITES = {"demo": "benchmark", "prepare": "faces", "train": "networks", "evaluate": "scores", "report": "report"}


def interrupted(server, folder: Path, arguments: list[object], took: float, rng: random.Random, check) -> list:
    """SIGKILL, SIGTERM and Ctrl-C by turns, until TIMES of them have cut the command short; returns how each ended.

    Each run goes on where the last was cut. One that comes through before its signal is checked and, by `check`, put
    back to the start, so that every interruption finds work to interrupt.
    """
    ended: list[tuple[str, int]] = []
    for _ in range(6 * TIMES):
        number = SIGNALS[len(ended) % 3]
        command = Command(server, folder, *arguments)
        command.begun()
        command.process.join(rng.uniform(0.0, 0.6) * took)
        command.signal(number)
        status, said = command.end(300)
        if status == 0:
            check()
            continue
        assert status == STATUS.get(number, -number), said
        assert len(said) == (number != signal.SIGKILL), said
        ended.append((number.name, status))
        if len(ended) == TIMES:
            break
    print(*arguments[:1], ended)
    assert len(ended) == TIMES, ended
    status, said = Command(server, folder, *arguments).end()
    assert status == 0, said
    return ended


@pytest.mark.parametrize("name", list(NEEDS))
def test_interrupted_at_random_moments_it_ends_as_if_in_peace(server, tmp_path, undisturbed, name):
    given, here, peace = settings(tmp_path), tmp_path / "runs" / "small", undisturbed / "runs" / "small"
    for part in NEEDS[name]:
        shutil.copytree(peace / part, here / part)

    def is_as_in_peace() -> None:
        for part in [*NEEDS[name], WRITES[name]]:
            assert hashes(here / part) == hashes(peace / part), part
            assert numbers(here / part) == numbers(peace / part), part
            assert strays(here / part) == []

    def again() -> None:
        is_as_in_peace()
        shutil.rmtree(here / WRITES[name])

    took = yaml.safe_load((undisturbed / "seconds.yaml").read_text())[name]
    interrupted(server, tmp_path, line(name, tmp_path, given), took, random.Random(name), again)
    is_as_in_peace()


def test_a_report_interrupted_at_random_moments_ends_as_if_in_peace(server, tmp_path, undisturbed):
    """On two notebooks; stores, networks and scores are there already."""
    names = ("01_data_preparation.ipynb", "02_self_blended_images.ipynb")
    (tmp_path / "notebooks").mkdir()
    for notebook in names:
        shutil.copy(ROOT / "notebooks" / notebook, tmp_path / "notebooks" / notebook)
    shutil.copytree(undisturbed / "runs", tmp_path / "runs")
    folder = tmp_path / "runs" / "small" / "report"
    arguments = ["report", "--profile", settings(tmp_path), "--notebooks", tmp_path / "notebooks"]
    began = time.monotonic()
    assert Command(server, tmp_path, *arguments).end()[0] == 0, (tmp_path / "said.txt").read_text()
    took = time.monotonic() - began
    folder.rename(tmp_path / "peace")

    def is_as_in_peace() -> None:
        for notebook in names:
            executed = nbformat.read(folder / "notebooks" / notebook, as_version=4)
            assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
        assert (folder / "report.html").read_text().count("<section") >= 2
        assert drawn(folder) == drawn(tmp_path / "peace")
        assert strays(folder) == []
        assert hashes(folder.parent / "scores") == hashes(undisturbed / "runs" / "small" / "scores")

    def again() -> None:
        is_as_in_peace()
        shutil.rmtree(folder)

    interrupted(server, tmp_path, arguments, took, random.Random("report"), again)
    is_as_in_peace()


def drawn(folder: Path) -> dict[str, str]:
    """A report's figures and tables and its results, by their hash."""
    kept = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted((folder / "figures").iterdir())
        if file.suffix in (".png", ".svg", ".csv")
    }
    results = json.loads((folder / "results.json").read_text("utf-8"))["results"]
    return kept | {"results": json.dumps(results, sort_keys=True)}


# ---- disks ----


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A file system of memory at `folder`; skips where this process may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    ("name", "size"), [("demo", "60k"), ("prepare", "500k"), ("train", "100k"), ("evaluate", "16k")]
)
def test_a_full_disk_is_named_and_room_mends_it(server, tmp_path, undisturbed, name, size):
    """The very folder the command writes is a small file system; given more room, the command ends as in peace."""
    given, small = settings(tmp_path), tmp_path / "runs" / "small"
    for part in NEEDS[name]:
        shutil.copytree(undisturbed / "runs" / "small" / part, small / part)
    part = WRITES[name]
    with mounted(small / part, "-o", f"size={size}"):
        status, said = Command(server, tmp_path, *line(name, tmp_path, given)).end()
        assert (status, len(said)) == (2, 1), said
        assert "space" in said[0] or "is free" in said[0], said
        subprocess.run(["mount", "-o", "remount,size=200m", str(small / part)], check=True)
        status, said = Command(server, tmp_path, *line(name, tmp_path, given)).end()
        assert status == 0, said
        assert hashes(small / part) == hashes(undisturbed / "runs" / "small" / part)


@pytest.mark.parametrize("name", ["demo", "prepare", "train", "evaluate"])
def test_a_read_only_folder_is_named(server, tmp_path, undisturbed, name):
    given, small = settings(tmp_path), tmp_path / "runs" / "small"
    for part in NEEDS[name]:
        shutil.copytree(undisturbed / "runs" / "small" / part, small / part)
    part = WRITES[name]
    with mounted(small / part, "-o", "ro"):
        status, said = Command(server, tmp_path, *line(name, tmp_path, given)).end()
    assert (status, len(said)) == (2, 1), said
    assert "Read-only" in said[0]
    assert "small" in said[0]


# ---- two at once, workers that die, memory that runs out ----


def test_two_commands_at_one_store(server, tmp_path, undisturbed):
    """One goes on, the other says why it doesn't; the store is that of one alone."""
    given, small = settings(tmp_path), tmp_path / "runs" / "small"
    shutil.copytree(undisturbed / "runs" / "small" / "benchmark", small / "benchmark")
    (tmp_path / "other").mkdir()
    both = [Command(server, at, "prepare", "--profile", given) for at in (tmp_path, tmp_path / "other")]
    ended = [command.end() for command in both]
    assert 0 in [status for status, _ in ended], ended
    for status, said in ended:
        if status:
            assert (status, len(said)) == (2, 1)
            assert "another command" in said[0]
    assert hashes(small / "faces") == hashes(undisturbed / "runs" / "small" / "faces")
    assert numbers(small / "faces") == numbers(undisturbed / "runs" / "small" / "faces")


def children(pid: int, word: bytes) -> list[int]:
    """Processes that `pid` started whose command line holds `word`."""
    found = []
    try:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if word in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    except OSError:
        pass
    return found


def test_a_worker_of_the_benchmark_that_dies_is_named(server, tmp_path, undisturbed):
    given = settings(tmp_path, jobs=2)
    command = Command(server, tmp_path, *line("demo", tmp_path, given))
    victims: list[int] = []
    while not victims and command.process.is_alive():
        victims = children(command.process.pid, b"popen_loky")
        time.sleep(0.05)
    time.sleep(1)  # so that it dies at its work, not at its start
    os.kill(victims[0], signal.SIGKILL)
    status, said = command.end()
    assert (status, len(said)) == (2, 1), said
    assert "a worker process died" in said[0]
    assert Command(server, tmp_path, *line("demo", tmp_path, given)).end()[0] == 0
    part = Path("runs") / "small" / "benchmark"
    assert hashes(tmp_path / part) == hashes(undisturbed / part)


def test_a_loaders_worker_that_dies_is_named(server, tmp_path, undisturbed):
    changed = {"train": {**SMALL["train"], "workers": 1, "steps": 400, "report_every": 100}}
    given, small = settings(tmp_path, **changed), tmp_path / "runs" / "small"
    for part in NEEDS["train"]:
        shutil.copytree(undisturbed / "runs" / "small" / part, small / part)
    command = Command(server, tmp_path, "train", "--profile", given)
    victims: list[int] = []
    while not victims and command.process.is_alive():
        time.sleep(0.02)
        if list(small.glob("networks/*/.lock")):
            victims = children(command.process.pid, b"")
    os.kill(victims[-1], signal.SIGKILL)
    status, said = command.end()
    assert (status, len(said)) == (2, 1), said
    assert "a worker process died" in said[0]


def starved(folder: str, bytes_: int) -> None:
    """Find faces in a folder with little memory left for this process and its workers, once the models are read."""
    from dfnb.data import catalogues, faces, frames, store

    faces.FaceFinder()(next(frames.sample_frames(Path(folder) / "faces" / "a.png", 1))[1])
    used = int(next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmSize")).split()[1])
    resource.setrlimit(resource.RLIMIT_AS, (used * 1024 + bytes_,) * 2)
    table = catalogues.faces_folder(Path(folder) / "faces", "real")
    store.prepare(table, Path(folder) / "store", frames=1, jobs=1, progress=False)


def test_a_video_too_large_for_the_memory_is_counted_and_the_others_kept(server, tmp_path, heads):
    import cv2

    (tmp_path / "faces").mkdir()
    cv2.imwrite(str(tmp_path / "faces" / "a.png"), heads[0][..., ::-1])
    cv2.imwrite(str(tmp_path / "faces" / "b.png"), np.zeros((7000, 7000, 3), np.uint8))
    process = server.Process(target=starved, args=(str(tmp_path), 100 << 20))
    process.start()
    process.join()
    assert process.exitcode == 0
    problems = pd.read_csv(tmp_path / "store" / "problems.csv")
    assert [Path(path).name for path in problems["path"]] == ["b.png"]
    assert "memory" in problems["reason"].iloc[0]
