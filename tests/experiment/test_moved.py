"""A run made in one place and read in another: data and runs lie under other paths, as on a disk mounted elsewhere."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lab import faces, heads, profile  # noqa: F401 (a fixture)

from dfnb import open_run
from dfnb.analysis.robustness import Corrupted
from dfnb.common.errors import UserError
from dfnb.plots import pictures

# ruff: noqa: F811 (fixtures of another module are arguments here)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def settings(folder: Path) -> Path:
    return profile(folder, data={"more": {"folder": str(folder / "disk" / "test")}, "test_frames": 1})


@pytest.fixture(scope="module")
def moved(tmp_path_factory, heads) -> tuple[Path, Path, pd.DataFrame, np.ndarray]:
    """Where it was made, where it lies now, and its results and crops as they were."""
    folder = tmp_path_factory.mktemp("moved")
    before, after = folder / "laboratory", folder / "laptop" / "mnt"
    faces(before / "faces", heads)
    for label in ("real", "fake"):
        faces(before / "disk" / "test" / label, heads)
    (before / "disk" / "test" / "real" / "broken.png").write_bytes(b"no picture")
    run = open_run(settings(before), build="all")
    results, crops = run.results(), run.crops("folder")
    after.parent.mkdir()
    shutil.move(before, after)
    settings(after)
    return before, after, results, crops


@pytest.fixture
def copied(moved, tmp_path) -> Path:
    """A copy in a third place, to change."""
    shutil.copytree(moved[1], tmp_path / "copy")
    settings(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("build", ["nothing", "scores", "missing"])
def test_it_is_read_as_it_is_and_its_videos_where_they_lie_now(moved, build):
    before, after, results, crops = moved
    kept = contents(after)
    run = open_run(after / "lab.yaml", build=build)
    pd.testing.assert_frame_equal(run.results(), results)
    np.testing.assert_array_equal(run.crops("folder"), crops)
    store = run.store("folder")
    for table in (store.manifest, store.frames, store.subset([0, 1]).manifest, run.problems()):
        assert len(table)
        assert not table["path"].str.contains(str(before), regex=False).any()
        assert all(Path(path).exists() for path in table["path"])
    assert pickle.loads(pickle.dumps(store)).manifest.equals(store.manifest)  # as a loader's worker has it
    assert store[0].row["path"] == store.manifest["path"].iloc[0]
    assert pictures.scenes(run, "folder", 2).numbers["faces"].tolist() == [1, 1, 1, 1]
    found, _ = Corrupted(store, "jpeg", (100,), 64)[0]
    assert found.shape[-3:] == (64, 64, 3)
    run.coverage()
    written = {name for name, about in contents(after).items() if kept.get(name) != about}
    assert written == ({"runs/lab/results.csv"} if build != "nothing" else set())


def test_a_video_that_differs_is_still_noticed(copied):
    real = copied / "disk" / "test" / "real"
    shutil.copy(real / "p1_0.png", real / "p0_0.png")
    with pytest.raises(UserError, match="faces/folder: the face store is out of date"):
        open_run(copied / "lab.yaml").store("folder")


def test_another_label_is_still_noticed(copied):
    disk = copied / "disk" / "test"
    shutil.move(disk / "real" / "p0_0.png", disk / "fake" / "q0_0.png")
    with pytest.raises(UserError, match="faces/folder: the face store is out of date"):
        open_run(copied / "lab.yaml").store("folder")
