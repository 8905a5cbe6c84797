"""What a face store will take: known in advance from a few videos, and refused where it doesn't fit."""

from pathlib import Path

import pytest
from filelock import FileLock
from filmed import FRAMES, SCRIPT, start, tree

from dfnb.common.errors import UserError
from dfnb.data import store

HOW = {"frames": FRAMES, "jobs": 1, "keep": "all"}


def test_all_videos_sampled_give_the_very_size_and_their_work_is_kept(tmp_path, catalogue, prepared):
    estimated = store.estimate(catalogue, tmp_path, sample=len(catalogue), **HOW)
    size = sum(file.stat().st_size for file in tmp_path.glob("shards/*/*.rgb"))
    assert size == sum(file.stat().st_size for file in prepared[0].glob("shards/*/*.rgb"))
    unreadable = len(catalogue) - len(list(tmp_path.glob("shards/*/*.json")))
    assert estimated.videos == len(catalogue)
    assert estimated.left == unreadable  # they are tried again whenever asked
    assert estimated.size == pytest.approx(unreadable * size / len(catalogue))
    store.prepare(catalogue, tmp_path, progress=False, **HOW)
    assert tree(tmp_path) == tree(prepared[0])


def test_a_few_videos_say_it_about_and_nothing_is_left_when_done(tmp_path, catalogue, prepared, capsys):
    sound = catalogue[~catalogue["video"].str.contains("empty|noise|truncated|lost|nobody")].reset_index(drop=True)
    estimated = store.estimate(sound, tmp_path, sample=2, **HOW)
    assert (estimated.videos, estimated.left) == (len(sound), len(sound) - 2)
    assert estimated.seconds > 0
    capsys.readouterr()
    store.prepare(sound, tmp_path, **HOW)
    assert f"{len(sound)}/{len(sound)}" in capsys.readouterr().err
    store.prepare(sound, tmp_path, **HOW)
    assert "video" not in capsys.readouterr().err  # no bar where nothing is to be done
    size = sum(file.stat().st_size for file in tmp_path.glob("shards/*/*.rgb"))
    assert 0.2 * size < estimated.size < 5 * size
    assert store.estimate(sound, tmp_path, **HOW) == store.Estimate(len(sound), 0, 0.0, 0.0)
    assert store.estimate(sound, tmp_path, **HOW).words() == f"{len(sound)} videos, none to do"
    with FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another command is preparing"):
        store.estimate(sound, tmp_path, **HOW)


def test_a_store_that_does_not_fit_is_refused_in_one_line(tmp_path: Path):
    small = store.Estimate(720, 717, 3.1e9, 1500.0)
    assert small.words() == "720 videos, 717 to do: about 3.1 GB and 25 minutes"
    store.require_room([store.Estimate(720, 717, 1e3, 1.0)], tmp_path)
    with pytest.raises(UserError, match=r"the faces of 1434 videos take about 2400000000\.0 GB and .* is free"):
        store.require_room([store.Estimate(720, 717, 1e18, 1.0)] * 2, tmp_path)


def test_records_of_other_settings_are_not_taken_for_work_that_is_done(tmp_path, catalogue):
    sound = catalogue[~catalogue["video"].str.contains("empty|noise|truncated|lost|nobody")].reset_index(drop=True)
    store.prepare(sound, tmp_path, progress=False, **HOW)
    other = HOW | {"frames": FRAMES - 1}
    estimated = store.estimate(sound, tmp_path, sample=1, **other)
    assert estimated.left == len(sound) - 1
    assert estimated.size > 0


def test_a_disk_that_is_full_at_the_first_videos_is_named(tmp_path, catalogue):
    """`dfnb prepare` estimates first, so that is where a full disk is met; a limit on file size stands in for it."""
    process = start(
        catalogue,
        tmp_path,
        "1000",
        script=SCRIPT.replace("store.prepare", "store.estimate").replace(", progress=False", ""),
    )
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2, error
    assert "the face store can't be written" in error
    assert len(error.strip().splitlines()) == 1
