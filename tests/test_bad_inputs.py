"""Videos and images: scored rightly, or without a score and with the reason; never a traceback, never a wrong number.

Through the command a user types, run in this process. The files are made by `bad_inputs`, which says what is to come
of each. Lists, profiles, stores and all else: `test_bad_files`.
"""

# ruff: noqa: F811 (fixtures of another module are arguments here)

import json
from pathlib import Path

import pandas as pd
import pytest
from bad_inputs import ASKED, MEDIA, PARTLY, SPRUNG, film
from lab import checkpoint, dfnb, faces, heads, made, profile  # noqa: F401 (fixtures)

from dfnb import store


@pytest.fixture(scope="module")
def plain_score(checkpoint, heads, tmp_path_factory) -> float:
    """The score of the head in a sound video."""
    from dfnb import network, score
    from dfnb.faces import FaceFinder

    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    film(path, heads[0])
    return score.score_file(network.load(checkpoint), FaceFinder(), path, 64, ASKED).row["score"]


# ---- videos and images ----


@pytest.mark.parametrize("name", MEDIA)
def test_a_file_is_scored_rightly_or_says_why_not(capsys, tmp_path, monkeypatch, checkpoint, heads, plain_score, name):
    monkeypatch.chdir(tmp_path)
    make, outcome = MEDIA[name]
    path = tmp_path / name
    make(path, heads[0])
    ended = dfnb(capsys, "score", checkpoint, path, "--json", "--frames", ASKED)
    (row,) = json.loads(ended.out)["files"]
    if isinstance(outcome, str):
        assert (ended.status, row["score"], row["faces"]) == (4, None, 0)
        assert outcome in row["reason"]
        assert row["reason"]
    else:
        assert (ended.status, row["frames"], row["frames_with_face"], row["reason"]) == (0, outcome, outcome, "")
        assert row["score"] == pytest.approx(plain_score, abs=0.1)
    assert "Traceback" not in ended.err
    assert not (tmp_path / SPRUNG).exists()


@pytest.mark.parametrize("name", PARTLY)
def test_what_is_left_of_a_damaged_video_is_scored(capsys, tmp_path, checkpoint, heads, plain_score, name):
    PARTLY[name](tmp_path / name, heads[0])
    ended = dfnb(capsys, "score", checkpoint, tmp_path / name, "--json", "--frames", "6")
    (row,) = json.loads(ended.out)["files"]
    assert ended.status == 0
    assert 1 <= row["frames"] <= 6
    assert row["score"] == pytest.approx(plain_score, abs=0.15)


def test_a_folder_of_all_of_them_loses_none_without_a_word(capsys, tmp_path, heads):
    """`dfnb prepare`: every file is listed, and has a face or a reason."""
    faces(tmp_path / "faces", heads)
    unsound = {name for name, (_, outcome) in MEDIA.items() if isinstance(outcome, str)}
    for name, (make, _) in MEDIA.items():
        if name not in ("device.mp4", "pipe.mp4", "changed size.h264"):  # a link out of it, no file, no video's suffix
            make(tmp_path / "faces" / name, heads[0])
    listed = len(list((tmp_path / "faces").iterdir()))
    given = profile(tmp_path)
    ended = dfnb(capsys, "prepare", "--profile", given)
    assert ended.status == 0, ended.err
    parts = [store.Coverage.load(tmp_path / "runs" / "lab" / "faces" / part) for part in ("train", "validation")]
    counts = pd.concat([part.counts for part in parts])
    problems = pd.concat([part.problems for part in parts])
    assert counts["listed"].sum() == listed
    lost = problems[problems["lost"]]
    assert counts["videos_with_face"].sum() + len(lost) == counts["listed"].sum()
    assert {Path(path).name for path in lost["path"]} == unsound - {"device.mp4", "pipe.mp4"}
    assert lost["reason"].str.len().gt(5).all()


def test_paths_that_are_no_files(capsys, tmp_path, checkpoint):
    (tmp_path / "empty").mkdir()
    for path, says in ((tmp_path / "empty", "no videos or images"), (tmp_path / "absent.mp4", "no such file")):
        ended = dfnb(capsys, "score", checkpoint, path)
        assert (ended.status, len(ended.complaints)) == (2, 1)
        assert says in ended.complaints[0]


def test_output_that_cannot_be_written_is_named(capsys, tmp_path, checkpoint, heads):
    film(tmp_path / "a.mp4", heads[0], 1)
    (tmp_path / "file").write_text("x")
    for option, path in (("-o", "scores.txt"), ("-o", "file/scores.csv"), ("--plot", "file"), ("--plot", "file/more")):
        ended = dfnb(capsys, "score", checkpoint, tmp_path / "a.mp4", option, tmp_path / path)
        assert (ended.status, len(ended.complaints)) == (2, 1), (option, path)
        assert "file" in ended.complaints[0] or ".csv" in ended.complaints[0]
