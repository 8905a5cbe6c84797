"""`dfnb score --resume`: a folder that grows, files that change, outputs made in another way."""

import csv
import json
import os
import shutil

import pytest
from untrained import command

from dfnb.data import frames


@pytest.fixture
def looked_at(monkeypatch):
    """The names of the files that were opened, in order; those with pictures more than once."""
    names, timeline = [], frames.timeline
    monkeypatch.setattr(frames, "timeline", lambda path: names.append(path.name) or timeline(path))
    return names


def rows_of(path) -> list[dict]:
    """The rows as they stand in the file; people and all."""
    text = path.read_text("utf-8")
    return json.loads(text)["files"] if path.suffix == ".json" else [*csv.DictReader(text.splitlines())]


def by_file(rows: list[dict]) -> dict[str, dict]:
    return {row["file"]: {k: v for k, v in row.items() if v != ""} for row in rows}


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_folder_that_grows_is_scored_as_if_at_once(
    monkeypatch, capsys, checkpoints, videos, looked_at, tmp_path, ending
):
    """And nothing twice: neither what has a score nor what has none, unless the file changed."""
    folder, out, whole = tmp_path / "in", tmp_path / f"scores.{ending}", tmp_path / f"whole.{ending}"
    folder.mkdir()
    shutil.copy(videos / "fake/nobody.mp4", folder)
    shutil.copy(videos / "fake/some blank.mp4", folder / "other.mp4")
    first, resumed = [checkpoints["real"], folder, "--frames", 3, "-o", out], "--resume"
    assert command(monkeypatch, *first, resumed) == 3  # nothing to go on with yet
    assert looked_at == ["nobody.mp4", "other.mp4"]

    before = out.read_bytes()
    assert command(monkeypatch, *first, resumed) == 3  # the status of all rows
    assert looked_at[2:] == []
    assert out.read_bytes() == before

    shutil.copy(videos / "real/one.mp4", folder / "a, new.mp4")
    shutil.copy(videos / "real/one.mp4", folder / "other.mp4")  # another video under the same name
    pages = tmp_path / "pages"
    assert command(monkeypatch, *first, resumed, "--html", pages) == 3
    assert sorted(set(looked_at[2:])) == ["a, new.mp4", "other.mp4"]
    assert sorted(path.name.rsplit("-", 1)[0] for path in pages.iterdir()) == ["a, new.mp4", "other.mp4"]
    assert command(monkeypatch, *first[:-1], whole) == 3
    assert "1 rows kept, 2 files to score" in capsys.readouterr().err
    got, expected = by_file(rows_of(out)), by_file(rows_of(whole))
    assert len(rows_of(out)) == len(got) == 3
    for name, row in expected.items():
        assert got[name].keys() == row.keys()
        same = [key for key in row if key not in ("score", "people")]  # of another batch: rounded otherwise
        assert [got[name][key] for key in same] == [row[key] for key in same]
        if "score" in row and row["score"] is not None:
            assert float(got[name]["score"]) == pytest.approx(float(row["score"]), abs=1e-5)


def test_a_file_touched_or_gone_is_scored_again_or_kept(monkeypatch, checkpoints, videos, looked_at, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(videos / "fake/nobody.mp4", tmp_path / name)
    out = tmp_path / "out" / "scores.csv"
    arguments = [checkpoints["plain"], tmp_path, "--frames", 1, "-o", out, "--resume"]
    assert command(monkeypatch, *arguments) == 4
    os.utime(tmp_path / "a.mp4", (1, 1))
    (tmp_path / "b.mp4").unlink()
    assert command(monkeypatch, *arguments) == 4
    assert looked_at == ["a.mp4", "b.mp4", "a.mp4"]
    assert [row["file"] for row in rows_of(out)] == [str(tmp_path / name) for name in ("b.mp4", "a.mp4")]


def test_an_output_made_in_another_way_is_named_and_left_alone(monkeypatch, capsys, checkpoints, videos, tmp_path):
    path, out = videos / "fake/nobody.mp4", tmp_path / "scores.csv"
    said = []

    def ended(checkpoint, *arguments) -> int:
        capsys.readouterr()
        status = command(monkeypatch, checkpoint, path, *arguments)
        said[:] = capsys.readouterr().err.splitlines()
        return status

    as_before = ["--frames", 1, "-o", out, "--resume"]
    assert ended(checkpoints["real"], *as_before) == 4
    before = out.read_bytes()
    for checkpoint, *changed in (
        ("plain",), ("real", "--frames", 2), ("real", "--rate", 1), ("real", "--upsample", 1),
        ("real", "--limit", "pixels=1"),
    ):  # fmt: skip
        assert ended(checkpoints[checkpoint], *as_before, *changed) == 2
        assert len(said) == 1
        assert said[0].startswith(f"dfnb: {out}: made with checkpoint ")
    assert ended(checkpoints["real"], *as_before, "--precision", "fast") == 4  # the same up to rounding
    assert out.read_bytes() == before

    for text in (
        "file,score\nx.mp4,0.5\n",
        "file,score,made_with,bytes,modified\nx.mp4,high,y,1,z\n",
        "\0",
        "# a\n\0,b",
    ):
        out.write_text(text)
        assert ended(checkpoints["real"], *as_before) == 2, text
        assert said == [f"dfnb: {out}: not an output of this version's `dfnb score`; write to another file"]
        assert out.read_text() == text
    for text in ("{", "[]", "{}", '{"files": 3}', '{"files": [3]}', '{"files": [{"file": "x", "score": [1]}]}'):
        other = tmp_path / "scores.json"
        other.write_text(text)
        assert ended(checkpoints["real"], *as_before, "-o", other) == 2, text
        assert len(said) == 1
        assert str(other) in said[0]


def test_what_resuming_needs_is_said_in_a_line(monkeypatch, capsys, checkpoints, videos, tmp_path):
    path, out = videos / "fake/nobody.mp4", tmp_path / "scores.csv"
    for arguments in (["--resume"], ["--json", "--resume"], ["-o", out, "--html", tmp_path / "all.html", "--resume"]):
        assert command(monkeypatch, checkpoints["real"], path, *arguments) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
