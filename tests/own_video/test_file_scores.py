"""`dfnb score` on videos, images and folders, sound and broken: rows, reasons, statuses, pictures."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from coded_video import write
from filmed import film
from PIL import Image
from untrained import SIZE, command

from dfnb import networks
from dfnb.common import devices
from dfnb.common.errors import UserError
from dfnb.data import faces, frames
from dfnb.own_video import answer, file_scores, prefetch, recognition, timeline
from dfnb.scoring import inference, metrics, score


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
    net, finder = networks.load(checkpoints["real"]), faces.FaceFinder()
    path = videos / "real/two people.mp4"
    scored = file_scores.score_file(net, finder, path, SIZE, 3, pictures=True)
    values = []
    for _, rgb in frames.sample_frames(path, 3):
        found = finder(rgb)
        largest = max((f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in found)
        kept = [f for f in found if (f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) >= largest / 2]
        crops = [score.to_input(faces.crop(rgb, f.box, 0.125, SIZE), net.mean, net.std)[None] for f in kept]
        values.append(max(net(crop).logits.softmax(1)[0, 1].item() for crop in crops))
    assert scored.row["score"] == pytest.approx(np.mean(values), abs=1e-4)
    assert len(scored.crops) == len(scored.maps) == len(scored.faces) == scored.row["faces"]
    for place, person in enumerate(scored.row["people"]):
        seen = scored.faces[scored.faces["person"] == place]
        assert person["score"] == pytest.approx(seen["score"].mean())
        assert seen["frame"].tolist() == scored.faces["frame"].unique().tolist()
        assert (person["frames"], person["low"]) == (3, None)  # too few for an interval
        assert [person["from"], person["to"]] == pytest.approx(seen["frame"].iloc[[0, -1]] / 25)
    assert metrics.video_scores(scored.faces)["score"].iloc[0] == pytest.approx(scored.row["score"])


def test_batches_across_files_give_each_file_its_own_scores(monkeypatch, checkpoints, videos):
    """A folder at once against file by file: short and broken ones between others, batches that end anywhere."""
    scorer, finder = inference.Scorer(networks.load(checkpoints["real"]), SIZE), faces.FaceFinder()
    paths = file_scores.find_files([videos])
    alone = [file_scores.score_file(scorer, finder, path, SIZE, 4, batch=100) for path in paths]
    runs = []
    forward = inference.Scorer.__call__
    monkeypatch.setattr(inference.Scorer, "__call__", lambda self, x: runs.append(len(x)) or forward(self, x))
    together = list(file_scores.score_files(scorer, finder, paths, SIZE, 4, batch=5, pictures=True))
    assert sum(runs) == sum(one.row["faces"] for one in alone)
    assert set(runs[:-1]) == {5}  # full batches, whatever the files' lengths
    assert [one.row["file"] for one in together] == [str(path) for path in paths]
    for one, other in zip(alone, together, strict=True):
        near = [{k: v and pytest.approx(v, abs=1e-5) for k, v in each.items()} for each in other.row["people"]]
        assert one.row == other.row | {"score": pytest.approx(other.row["score"], abs=1e-5), "people": near}
        pd.testing.assert_frame_equal(one.faces, other.faces, check_exact=False, rtol=1e-4)
        assert set(other.crops) == set(other.faces.index)  # no more than four frames a file
        assert other.maps is None if other.faces.empty else len(other.maps) == len(other.faces)


def test_on_a_gpu_the_faces_of_several_files_go_there_together(monkeypatch, checkpoints, videos):
    """A GPU played by torch's device "meta", which computes shapes alone; what is copied back from it is zeros.

    Both networks are there, and get their inputs there, in float32 that isn't cut to TF32's 10 bits.
    """
    net, copy = recognition.Recognition(), torch.Tensor.cpu
    monkeypatch.setattr(recognition, "_load", lambda: net)
    monkeypatch.setattr(devices, "kind_of_scoring", lambda: "meta")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # there is none for "meta"
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: torch.zeros(x.shape, dtype=x.dtype) if x.is_meta else copy(x))
    detector = answer.detector(checkpoints["real"], 4, precision="fast")
    assert detector.scorer.how == devices.FLOAT32
    seen: dict[str, list] = {"scores": [], "faces": []}
    for name, network in (("scores", detector.scorer.net), ("faces", net)):

        def note(_module, given, name=name):
            weights = {weight.device.type for weight in _module.parameters()}
            seen[name].append((given[0].device.type, weights, len(given[0]), torch.backends.cudnn.conv.fp32_precision))

        network.register_forward_pre_hook(note)
    found = list(detector.answers(file_scores.find_files([videos / "fake", videos / "real/one.mp4"])))
    faces_found = sum(one.scored.row["faces"] for one in found)
    assert len([one for one in found if one.has_score]) == 3
    assert faces_found < file_scores.BATCH, "all fit into a batch, so one is all there must be"
    assert seen["scores"] == seen["faces"] == [("meta", {"meta"}, faces_found, "ieee")]


def test_what_waits_for_the_network_is_bounded(monkeypatch):
    """10,000 frames that nobody asks for aren't decoded; the rest is stopped when nobody wants it any more."""
    decoded = []

    def endless(path, count, known=None):
        for k in range(10_000):
            decoded.append(k)
            yield k, np.zeros((200, 200, 3), np.uint8)

    monkeypatch.setattr(frames, "sample_frames", endless)
    monkeypatch.setattr(frames, "timeline", lambda path: frames.Timeline(10_000, None, None, [], 25.0, 400.0))
    seen = prefetch.prefetch_faces(faces.FaceFinder(), [Path("a.mp4")], 10_000, 0.1, 32, threads=2)
    assert [next(seen).frame for _ in range(3)] == [0, 1, 2]
    assert len(decoded) <= 40
    seen.close()
    monkeypatch.setattr(prefetch, "WAITING_BYTES", 5 * 200 * 200 * 3)  # large frames: fewer of them
    decoded.clear()
    assert next(prefetch.prefetch_faces(faces.FaceFinder(), [Path("a.mp4")], 10_000, 0.1, 32)).frame == 0
    assert len(decoded) == 6


def test_what_is_found_ahead_is_what_is_found(videos):
    """With three threads against none: order, boxes and pixels."""
    finder, paths = faces.FaceFinder(), file_scores.find_files([videos])
    plain = []
    for path in paths:
        try:
            for index, rgb in frames.sample_frames(path, 4):
                found = finder(rgb)
                plain.append((path, index, [f.box for f in found], [faces.crop(rgb, f.box, 0.1, 32) for f in found]))
        except UserError:
            pass
    seen = list(prefetch.prefetch_faces(finder, paths, 4, 0.1, 32, threads=3))
    assert [one.path for one in seen if one.frame is None] == paths
    looks = [one for one in seen if one.frame is not None]
    for (path, index, boxes, crops), one in zip(plain, looks, strict=True):
        assert (path, index, boxes) == (one.path, one.frame, one.boxes)
        assert all(np.array_equal(a, b) for a, b in zip(crops, one.crops, strict=True))


PEAK = """
import resource, sys
from pathlib import Path
from dfnb import networks
from dfnb.data.faces import FaceFinder
from dfnb.own_video import score_file
net = networks.load(sys.argv[1])
for count in map(int, sys.argv[3:]):
    row = score_file(net, FaceFinder(retry=0), Path(sys.argv[2]), 64, count).row
    print(row["frames"], row["faces"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_stays_flat_whatever_the_length_of_a_video(checkpoints, heads, tmp_path):
    film(tmp_path / "long.mp4", cv2.resize(heads[0], (240, 240)), count=2000)
    command = [sys.executable, "-c", PEAK, checkpoints["real"], tmp_path / "long.mp4", "50", "2000"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (short, some, before), (long, many, after) = (map(int, line.split()) for line in said)
    assert (short, long) == (50, 2000)
    assert many > 30 * some > 0
    # 1,950 crops of 64 px as the network takes them would be 94 MB; frames 330 MB
    assert after - before < 30_000  # KiB


PERSON = ("score", "low", "high", "frames", "from", "to")


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
    assert said["schema"] == 2
    assert said["warning"].startswith("not valid for real videos")
    people = {Path(row["file"]).name: row["people"] for row in said["files"]}
    assert {name: len(rows) for name, rows in people.items() if rows} == {"one.mp4": 1, "two people.mp4": 2}
    assert all(list(each) == [*PERSON, "p_real"] for each in people["two people.mp4"])
    assert all("frames" in row["cannot_tell"][0] for row in said["files"] if row["people"])  # 4 are too few
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
        net = networks.load(checkpoints[name])
        scored = file_scores.score_file(net, finder, videos / "real/one.mp4", SIZE, 6, pictures=True)
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
    assert [file.name for file in file_scores.find_files([tmp_path])] == ["a.mp4", "b.JPG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no videos or images"):
        file_scores.find_files([tmp_path / "empty"])


@pytest.mark.slow
def test_what_is_scored_is_kept_when_a_batch_is_stopped(monkeypatch, checkpoints, videos, tmp_path):
    """Ctrl-C once the second picture is drawn: a row for each file that was finished, and one line that says so.

    With --resume the others follow, and then every file has its row and its picture.
    """
    batch = tmp_path / "batch"
    batch.mkdir()
    for k in range(40):
        shutil.copy(videos / "real/one.mp4", batch / f"{k:02d}.mp4")
    arguments = [checkpoints["real"], batch, "-o", tmp_path / "scores.csv", "--plot", tmp_path / "plots"]
    started = [sys.executable, "-m", "dfnb", "score", *map(str, arguments)]
    process = subprocess.Popen(started, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(list(tmp_path.glob("plots/[0-9]*.png"))) < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130, error
    assert "stopped (SIGINT); what is finished is kept" in error
    assert "Traceback" not in error
    table = pd.read_csv(tmp_path / "scores.csv")
    assert 1 <= len(table) < 40
    assert table["score"].notna().all()
    assert command(monkeypatch, *arguments, "--resume") == 0
    whole = pd.read_csv(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(whole[: len(table)], table)
    assert whole["file"].tolist() == sorted(map(str, batch.iterdir()))
    assert len(list(tmp_path.glob("plots/*.png"))) == 40


def test_what_was_done_to_show_a_video_stands_in_its_row(tmp_path):
    """And only there: the row of an ordinary video has no such column."""
    files = []
    for name, options in (("interlaced.mp4", {"x264-params": "tff=1"}), ("plain.mp4", {})):
        files.append(write(tmp_path / name, 10, **options))
    ends = [seen for seen in prefetch.prefetch_faces(faces.FaceFinder(), files, 2, 0.1, 32) if seen.frame is None]
    rows = []
    for end in ends:
        file = file_scores._File(end.path, pictures=False)
        file.add(end)
        rows.append(file.result().row)
    assert rows[0]["notes"] == "interlaced: deinterlaced by bwdif"
    assert rows[0].keys() - {"notes"} == rows[1].keys()
