"""A network handed on: what others do with the folder gives the scores of `dfnb score`."""

import json

import cv2
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from lab import dfnb
from untrained import checkpoints  # noqa: F401 (a fixture)

from dfnb import networks
from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.data import faces, frames
from dfnb.report import exporting

FILES = {"model.safetensors", "model.onnx", "config.json", "README.md"}


def as_config_says(folder, video, count) -> float:
    """A video's score by onnxruntime, OpenCV and NumPy, with the numbers of config.json."""
    config = json.loads((folder / "config.json").read_text())
    entry, finder = config["input"], faces.FaceFinder()
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    side, of_frames = entry["shape"][2], []
    for _, rgb in frames.sample_frames(video, count):
        boxes = [face.box for face in finder(rgb)]
        areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]
        scores = []
        for (x0, y0, x1, y1), area in zip(boxes, areas, strict=True):
            if area < max(areas) / 2:
                continue
            dx, dy = entry["margin"] * (x1 - x0), entry["margin"] * (y1 - y0)
            height, width = rgb.shape[:2]
            left, top = max(0, int(np.floor(x0 - dx))), max(0, int(np.floor(y0 - dy)))
            right, bottom = min(width, int(np.ceil(x1 + dx)) + 1), min(height, int(np.ceil(y1 + dy)) + 1)
            part = rgb[top:bottom, left:right]
            shrinks = min(part.shape[:2]) > side and max(part.shape[:2]) > 1.5 * side
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            pixels = cv2.resize(part, (side, side), interpolation=how) * entry["scale"]
            image = ((pixels - entry["mean"]) / entry["std"]).transpose(2, 0, 1).astype(entry["dtype"])
            (logits,) = session.run(["logits"], {entry["name"]: image[None]})
            odds = np.exp(logits[0] - logits[0].max())
            scores.append(odds[config["output"]["classes"].index("fake")] / odds.sum())
        of_frames += [max(scores)] if scores else []
    return float(np.mean(of_frames))


@pytest.mark.parametrize("name", ["real", "plain"])
def test_the_folder_gives_the_scores_of_the_checkpoint(name, checkpoints, videos, tmp_path, capsys):  # noqa: F811
    folder, video = tmp_path / "handed on", videos / "real/two people.mp4"
    written = dfnb(capsys, "export", checkpoints[name], folder)
    assert (written.status, {path.name for path in folder.iterdir()}) == (0, FILES)
    rows = []
    for given in (checkpoints[name], folder):
        ended = dfnb(capsys, "score", given, video, "--frames", 3, "--json", "--precision", "float32")
        assert ended.status == 0
        rows.append(json.loads(ended.out)["files"][0])
    assert rows[0] == rows[1]
    assert as_config_says(folder, video, 3) == pytest.approx(rows[0]["score"], abs=1e-5)
    graph = onnx.load(folder / "model.onnx")
    assert json.loads(graph.metadata_props[0].value) == json.loads((folder / "config.json").read_text())
    assert "None: the checkpoint lay in no run" in (folder / "README.md").read_text()


def test_the_card_has_the_numbers_of_the_run(checkpoints, tmp_path, capsys):  # noqa: F811
    network = tmp_path / "runs/x/networks/plain-arcface-s0/checkpoint.safetensors"
    network.parent.mkdir(parents=True)
    network.write_bytes(checkpoints["plain"].read_bytes())
    results = tmp_path / "runs/x/results.csv"
    row = {"dataset": "Celeb-DF", "level": "video", "size_rule": True, "auc": 0.8125, "low": 0.75, "high": 0.875,
           "real": 100, "fake": 90, "checkpoint": files.sha256(network)}  # fmt: skip
    others = [row | {"size_rule": False, "auc": 0.1}, row | {"level": "frame", "auc": 0.2}, row | {"checkpoint": "0"}]
    pd.DataFrame([row, *others]).to_csv(results, index=False)
    exporting.export(network, tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    assert card.count("| Celeb-DF |") == 1
    assert "| Celeb-DF | 0.812 (0.750 to 0.875) | 100 | 90 |" in card
    exporting.export(checkpoints["plain"], tmp_path / "named", results)
    assert (tmp_path / "named/README.md").read_text() == card
    with pytest.raises(UserError, match=r"results\.csv: no numbers of"):
        exporting.export(checkpoints["real"], tmp_path / "none", results)
    results.write_text("a,b\n1,2\n")
    assert dfnb(capsys, "export", network, tmp_path / "none").complaints[0].startswith(f"dfnb: {results}: can't be")
    assert not (tmp_path / "none").exists()


def test_a_network_of_another_project_stays_marked(checkpoints, videos, tmp_path, capsys):  # noqa: F811
    """In the row's table, the JSON, the page, and the folder that hands it on."""
    about = {"domain": "imported from <b>them</b> (research only)", "profile": {"model": {"size": 64}},
             "imported": {"file": "weights.tar", "sha256": "ab" * 32, "licence": "research only"}}  # fmt: skip
    networks.save(networks.load(checkpoints["plain"]), tmp_path / "c.safetensors", about)
    ended = dfnb(capsys, "export", tmp_path / "c.safetensors", tmp_path / "out")
    assert ended.status == 0
    card = (tmp_path / "out/README.md").read_text()
    assert "Imported from &lt;b&gt;them&lt;/b&gt; (research only)" in card
    assert "ab" * 32 in card
    assert "no manipulated video was used" not in card
    assert json.loads((tmp_path / "out/config.json").read_text())["imported"] == about["imported"]
    page = tmp_path / "page.html"
    ended = dfnb(capsys, "score", tmp_path / "out", videos / "real/one.mp4", "--frames", 2, "--html", page)
    assert ended.out.startswith("# imported from <b>them</b> (research only): another project trained this network")
    text = page.read_text()
    assert text.index("Imported from &lt;b&gt;them") < text.index("<h1")
    assert f"weights.tar, SHA-256 {'ab' * 32}" in text
    assert "self" not in text.lower().split("what the network was trained on")[1]
    assert "Another project trained this network" in text
    assert "noticed blending" not in text
    ended = dfnb(capsys, "score", tmp_path / "out", videos / "real/one.mp4", "--frames", 2, "--json")
    assert "research only" in json.loads(ended.out)["warning"]


def test_what_is_no_checkpoint_is_not_handed_on(tmp_path, capsys):
    (tmp_path / "x.safetensors").write_text("hello")
    for given in (tmp_path / "x.safetensors", tmp_path, tmp_path / "nowhere"):
        ended = dfnb(capsys, "export", given, tmp_path / "out")
        assert (ended.status, ended.out, len(ended.complaints)) == (2, "", 1)
        assert not (tmp_path / "out").exists()
