"""`dfnb score` on videos, images and folders, sound and broken: rows, reasons, statuses, pictures."""

# ruff: noqa: F811 (fixtures of another module are arguments here)

import io
import json
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_store import heads, videos  # noqa: F401 (fixtures)

from dfnb import cli, faces, frames, metrics, network, score, timeline
from dfnb.errors import UserError

SIZE = 64


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """An untrained network, said to know real footage, and one said to know the embedded benchmark."""
    folder = tmp_path_factory.mktemp("checkpoints")
    out = {}
    for name, variant, domain in (
        ("real", "proposed", "real footage"),
        ("rendered", "network1", "embedded benchmark"),
        ("plain", "plain", "real footage"),
    ):
        net = network.build(variant, "arcface", "tf_efficientnet_lite0", pretrained=False, seed=0)
        out[name] = folder / f"{name}.safetensors"
        network.save(net, out[name], {"domain": domain, "profile": {"model": {"size": SIZE}}})
    return out


def command(monkeypatch, *arguments: object) -> int:
    """Run `dfnb score` in this process; returns its exit status."""
    monkeypatch.setattr(sys, "argv", ["dfnb", "score", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def test_statuses_reasons_and_csv(monkeypatch, capsys, checkpoints, videos, tmp_path):
    sound = tmp_path / "only sound.mp4"
    with av.open(str(sound), "w") as out:
        stream = out.add_stream("aac", rate=16000)
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 16000)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    assert command(monkeypatch, checkpoints["real"], videos / "real/one.mp4", "--frames", 3) == 0
    capsys.readouterr()
    assert command(monkeypatch, checkpoints["real"], videos, sound, "--frames", 3) == 3
    table = pd.read_csv(io.StringIO(capsys.readouterr().out), keep_default_na=False).set_index("file")
    table.index = [Path(name).name for name in table.index]
    assert sorted(table.index[table["score"] != ""]) == ["one.mp4", "picture.png", "some blank.mp4", "two people.mp4"]
    assert table.loc["two people.mp4", ["frames", "frames_with_face", "faces"]].tolist() == [3, 3, 6]
    assert table.loc["some blank.mp4", "frames_with_face"] < 3
    assert table.loc["nobody.mp4", "reason"] == "no face found"
    for name in ("empty.mp4", "noise.mp4", "truncated.mp4", "only sound.mp4"):
        assert table.loc[name, "reason"] not in ("", "no face found")
    assert not {"verdict", "label", "fake", "answer"} & set(table.columns)  # a number, no yes or no
    assert command(monkeypatch, checkpoints["real"], sound, videos / "fake/empty.mp4") == 4
    for wrong in ([tmp_path / "none.mp4"], [sound, "-o", tmp_path / "x.txt"], [sound, "--plot", sound]):
        assert command(monkeypatch, checkpoints["real"], *wrong) == 2
    assert command(monkeypatch, sound, sound) == 2
    assert "only sound.mp4: not a safetensors file" in capsys.readouterr().err


def test_the_score_is_the_networks_probability_by_the_reports_own_rules(checkpoints, videos):
    """Recomputed from frames, faces and crops one by one."""
    net, finder = network.load(checkpoints["real"]), faces.FaceFinder()
    path = videos / "real/two people.mp4"
    scored = score.score_file(net, finder, path, SIZE, 3, pictures=True)
    values = []
    for _, rgb in frames.sample(path, 3):
        found = finder(rgb)
        largest = max((f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in found)
        kept = [f for f in found if (f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) >= largest / 2]
        crops = [score.to_input(faces.crop(rgb, f.box, 0.125, SIZE), net.mean, net.std)[None] for f in kept]
        values.append(max(net(crop).logits.softmax(1)[0, 1].item() for crop in crops))
    assert scored.row["score"] == pytest.approx(np.mean(values), abs=1e-4)
    assert len(scored.crops) == len(scored.maps) == len(scored.faces) == scored.row["faces"]
    assert metrics.video_scores(scored.faces)["score"].iloc[0] == pytest.approx(scored.row["score"])


def test_pictures_and_json_carry_the_warning_of_a_network_that_knows_rendered_heads(
    monkeypatch,
    capsys,
    checkpoints,
    videos,
    tmp_path,
):
    arguments = [videos / "real", "--frames", 4, "--plot", tmp_path / "plots", "-o", tmp_path / "scores.json"]
    assert command(monkeypatch, checkpoints["rendered"], *arguments) == 3
    said = json.loads((tmp_path / "scores.json").read_text())
    assert said["warning"].startswith("not valid for real videos")
    assert "not valid for real videos" in capsys.readouterr().err
    drawn = sorted(file.name for file in (tmp_path / "plots").iterdir())
    assert [name.rsplit("-", 1)[0] for name in drawn] == ["one.mp4", "two people.mp4"]
    for name in drawn:
        with Image.open(tmp_path / "plots" / name) as picture:
            assert picture.size[0] > 600
            assert np.asarray(picture.convert("L")).std() > 10


def test_a_timeline_shows_the_frames_scores_and_strongest_faces(checkpoints, videos):
    finder = faces.FaceFinder()
    for name, rows in (("real", 3), ("plain", 2)):  # a plain backbone has no attention map
        net = network.load(checkpoints[name])
        scored = score.score_file(net, finder, videos / "real/one.mp4", SIZE, 6, pictures=True)
        plot = timeline.timeline(scored, fps=25.0, warning="careful")
        assert plot.numbers["time"].tolist() == [frame / 25 for frame in plot.numbers["frame"]]
        assert len(plot.figure.axes) == 1 + timeline.STRONGEST * (rows - 1)
        assert "careful" in plot.figure.get_suptitle()
        shown = [axes.get_title() for axes in plot.figure.axes[1:] if axes.get_title()]
        values = [float(title.rsplit(", ", 1)[1]) for title in shown]
        best = sorted(plot.numbers["score"], reverse=True)[: timeline.STRONGEST]
        assert sorted(values, reverse=True) == pytest.approx(best, abs=0.006)
    with pytest.raises(ValueError, match="no score to draw"):
        timeline.timeline(scored._replace(row=scored.row | {"score": None}))


def test_folders_are_searched_and_hidden_files_left_alone(tmp_path):
    for name in ("a.mp4", "deep/b.JPG", ".hidden.mp4", "._c.mp4", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [file.name for file in score.find_files([tmp_path])] == ["a.mp4", "b.JPG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no videos or images"):
        score.find_files([tmp_path / "empty"])
