"""Videos and images: scored rightly, or without a score and with the reason; never a traceback, never a wrong number.

Through the command a user types, run in this process. The files are made by `bad_inputs`, which says what is to come
of each. Lists, profiles, stores and all else: `test_bad_files`.
"""

# ruff: noqa: F811 (fixtures of another module are arguments here)

import json
import os
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from bad_inputs import ASKED, MEDIA, PARTLY, SPRUNG, film
from lab import checkpoint, dfnb, faces, heads, made, profile  # noqa: F401 (fixtures)
from PIL import Image

from dfnb import networks
from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.data import catalogues, frames, store
from dfnb.own_video import file_scores


@pytest.fixture(scope="module")
def plain_score(checkpoint, heads, tmp_path_factory) -> float:
    """The score of the head in a sound video."""
    from dfnb.data.faces import FaceFinder

    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    film(path, heads[0])
    return file_scores.score_file(networks.load(checkpoint), FaceFinder(), path, 64, ASKED).row["score"]


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
    (tmp_path / "folder.csv").mkdir()
    for option, path in (
        ("-o", "scores.txt"),
        ("-o", "file/scores.csv"),
        ("--plot", "file"),
        ("--plot", "file/more"),
        ("-o", "folder.csv"),
    ):
        ended = dfnb(capsys, "score", checkpoint, tmp_path / "a.mp4", option, tmp_path / path)
        assert (ended.status, len(ended.complaints)) == (2, 1), (option, path)
        assert "file" in ended.complaints[0] or ".csv" in ended.complaints[0]
        assert ended.err.count("frame [") == 0  # before the work, not after it


HOSTILE = ("a$\\frac{$b \x1b[31m; rm -rf $(touch sprung)\n<script>alert(1)<b>.jpg".replace("/", ""), "n" * 251 + ".jpg")


def test_hostile_names_reach_page_picture_and_table(capsys, tmp_path, monkeypatch, checkpoint, heads):
    """Markup, a formula, a terminal's commands, a shell's, a line end; the longest name; one that isn't UTF-8."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    paths = [os.fsencode(tmp_path / "in" / name) for name in HOSTILE] + [os.fsencode(tmp_path / "in") + b"/\xff.jpg"]
    Image.fromarray(heads[0]).save(tmp_path / "in" / "a.jpg", quality=95)
    for path in paths:
        shutil.copy(os.fsencode(tmp_path / "in" / "a.jpg"), path)
    ended = dfnb(capsys, "score", checkpoint, "in", "--plot", "plots", "-o", "scores.csv")
    assert (ended.status, ended.complaints) == (0, []), ended.err
    assert "\x1b[31m" not in ended.err
    table = pd.read_csv(tmp_path / "scores.csv")
    assert len(table) == 4
    assert r"in/\udcff.jpg" in set(table["file"])
    assert table["score"].nunique() == 1
    assert len(list((tmp_path / "plots").iterdir())) == 4
    odd = [os.fsdecode(path) for path in (paths[0], paths[2])]
    ended = dfnb(capsys, "score", checkpoint, *odd, "--html", "page.html")
    assert (ended.status, ended.complaints) == (0, []), ended.err
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "page.html", "plots", "scores.csv"]


def test_a_name_that_is_not_utf8_is_counted(capsys, tmp_path, heads):
    faces(tmp_path / "faces", heads)
    at = os.fsencode(tmp_path / "faces")
    os.rename(at + b"/p0_0.png", at + b"/p0_\xff.png")
    ended = dfnb(capsys, "prepare", "--profile", profile(tmp_path))
    assert (ended.status, ended.complaints) == (0, []), ended.err
    assert r"p0_\udcff.png: its name, or a folder's, is not UTF-8" in ended.err


def test_what_a_folder_holds_is_scored_or_named(capsys, tmp_path, checkpoint, heads):
    """Links to nowhere and pipes have a row with the reason; a linked folder, or one that can't be listed, is named."""
    (tmp_path / "in").mkdir()
    Image.fromarray(heads[0]).save(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "gone.jpg").symlink_to(tmp_path / "in" / "nowhere.jpg")
    os.mkfifo(tmp_path / "in" / "pipe.mp4")
    ended = dfnb(capsys, "score", checkpoint, tmp_path / "in", "--json")
    reasons = {Path(row["file"]).name: row["reason"] for row in json.loads(ended.out)["files"]}
    assert ended.status == 3
    assert reasons == {"a.jpg": "", "gone.jpg": "can't be opened (No such file or directory)",
                       "pipe.mp4": "is not an ordinary file"}  # fmt: skip
    (tmp_path / "in" / "sub").symlink_to(tmp_path)
    for call in (
        lambda: file_scores.find_files([tmp_path / "in"]),
        lambda: catalogues.faces_folder(tmp_path / "in", "real"),
    ):
        with pytest.raises(UserError, match=r"sub: a link to a folder, which isn't followed"):
            call()


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions as Unix has them")
def test_what_may_not_be_read_is_named_or_counted(heads, checkpoint):
    """As a user without rights: a file and a folder of somebody else's."""
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        at.chmod(0o755)
        for file in ("mine.jpg", "theirs.jpg"):
            Image.fromarray(heads[0]).save(at / file)
        (at / "theirs.jpg").chmod(0)
        shutil.copy(checkpoint, at / "net.safetensors")
        (at / "net.safetensors").chmod(0)
        (at / "closed").mkdir()
        (at / "closed").chmod(0)
        before = os.geteuid()
        os.seteuid(65534 if before == 0 else before)
        try:
            reasons = [complaint(lambda path=at / file: frames.read_image(path)) for file in ("mine.jpg", "theirs.jpg")]
            assert reasons == ["", f"{at / 'theirs.jpg'}: can't be opened (Permission denied)"]
            assert "Permission denied" in complaint(lambda: networks.load(at / "net.safetensors"))
            assert "closed: can't be listed (Permission denied)" in complaint(lambda: file_scores.find_files([at]))
            assert "Permission denied" in complaint(lambda: files.check_writable(at / "out.csv", "-o"))
        finally:
            os.seteuid(before)
            (at / "closed").chmod(0o755)


def complaint(call) -> str:
    """What a UserError says, "" where there is none."""
    try:
        call()
    except UserError as error:
        return str(error)
    return ""
