"""A whole run in small, made in seconds, and the `dfnb` command run inside the test's own process."""

import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from rendered_heads import rendered_heads

from dfnb import cli

NETWORK = "plain-linear-s0"
SETTINGS = {
    "name": "lab",
    "jobs": 1,
    "data": {"source": "folders", "person": r"^(p\d+)_", "held_out": 0.4, "train_frames": 2, "validation_frames": 2},
    "model": {"backbone": "test_efficientnet", "pretrained": False, "size": 64},
    "train": {
        "networks": [["plain", "linear"], ["proposed", "arcface"]], "steps": 2, "batch": 2, "optimizer": "adamw",
        "schedule": "one_cycle", "workers": 0, "validation_pairs": 2, "report_every": 1,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status, standard output, standard error."""

    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines by which the command names what is wrong."""
        return [line for line in self.err.splitlines() if line.startswith("dfnb: ")]


def dfnb(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ended:
    """Run the command as `dfnb ARGUMENTS` would, through `cli.main`. Any traceback is the test's own failure."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    given, sys.argv = sys.argv, ["dfnb", *map(str, arguments)]
    capsys.readouterr()
    try:
        with pytest.raises(SystemExit) as end:
            cli.main()
    finally:
        sys.argv = given
        for number, handler in before.items():
            signal.signal(number, handler)
    said = capsys.readouterr()
    return Ended(int(end.value.code or 0), said.out, said.err)


def profile(folder: Path, **changes: object) -> Path:
    """The lab's profile written into `folder`, with sections or settings of it replaced."""
    settings = {**SETTINGS, "runs": str(folder / "runs"), **changes}
    settings["data"] = {"faces": str(folder / "faces"), **SETTINGS["data"], **changes.get("data", {})}
    path = folder / "lab.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path


def faces(folder: Path, heads: list[np.ndarray]) -> None:
    """Six people with one photograph each, so that both parts of a run have some."""
    folder.mkdir(parents=True)
    for person in range(6):
        picture = np.roll(heads[person % len(heads)], 2 * person, 1)
        cv2.imwrite(str(folder / f"p{person}_0.png"), picture[..., ::-1])


@pytest.fixture(scope="module")
def heads() -> list[np.ndarray]:
    return [frame.rgb for frame in rendered_heads(3, seed=11)]


@pytest.fixture(scope="module")
def made(tmp_path_factory, heads) -> Path:
    """A folder with a profile and a whole small run: stores, two networks, score tables."""
    from dfnb import open_run

    folder = tmp_path_factory.mktemp("lab")
    faces(folder / "faces", heads)
    open_run(profile(folder), build="all").results()
    return folder


@pytest.fixture
def lab(tmp_path, made) -> Path:
    """A copy of it, to break."""
    shutil.copytree(made, tmp_path / "lab")
    profile(tmp_path / "lab")
    return tmp_path / "lab"


@pytest.fixture(scope="module")
def checkpoint(made) -> Path:
    return made / "runs" / "lab" / "networks" / NETWORK / "checkpoint.safetensors"
