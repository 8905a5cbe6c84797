"""A laboratory that has extracted frames: DeepfakeBench's lists to train and test on, and crops grouped by name."""

# ruff: noqa: F811 (fixtures of another module are arguments here)

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from lab import SETTINGS, dfnb, heads  # noqa: F401 (a fixture)

from dfnb import open_run
from dfnb.data import faces

SPLITS = {"train": ("000", "001", "002"), "val": ("003", "004", "005"), "test": ("006", "007")}


def put(root: Path, place: str, picture: np.ndarray) -> str:
    """A frame, and its landmarks as DeepfakeBench has them: 81 points, of which ours are the first 68."""
    (face, *_) = faces.FaceFinder()(picture)
    marks = root / place.replace("frames", "landmarks").replace(".png", ".npy")
    for file in (root / place, marks):
        file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / place), picture[..., ::-1])
    np.save(marks, np.concatenate([face.landmarks, face.landmarks[:13]]).astype(int))
    return f"./datasets/{place}".replace("/", "\\")


def make_list(root: Path, heads: list[np.ndarray]) -> Path:
    """FF-DF.json with its frames: two frames a video, and fakes in the test split."""
    parts: dict[str, dict] = {"FF-real": {}, "FF-DF": {}}
    for split, names in SPLITS.items():
        for label, kind in (("FF-real", "original_sequences/youtube"), ("FF-DF", "manipulated_sequences/Deepfakes")):
            videos = {}
            for k, name in enumerate(names):
                video = name if label == "FF-real" else f"{name}_{names[k - 1]}"
                picture = np.roll(heads[int(name) % 3], int(name), 1)
                picture = picture if label == "FF-real" else cv2.blur(picture, (5, 5))
                shots = [np.roll(picture, 2 * i, 0) for i in range(2)] if (label, split) != ("FF-DF", "train") else []
                at = f"FaceForensics++/{kind}/c23/frames/{video}"
                videos[video] = {
                    "label": label,
                    "frames": [put(root, f"{at}/{i:03d}.png", s) for i, s in enumerate(shots)],
                }
            parts[label][split] = {"c23": videos}
    (root / "FF-DF.json").write_text(json.dumps({"FF-DF": parts}))
    return root / "FF-DF.json"


def make_crops(root: Path, heads: list[np.ndarray]) -> None:
    for kind in ("real", "fake"):
        (root / kind).mkdir(parents=True)
        for person, head in zip("abc", heads, strict=True):
            box = faces.FaceFinder()(head)[0].box
            for frame in (9, 10):
                crop = faces.crop(np.roll(head, frame - 9, 1), box, 0.2, 96)
                crop = crop if kind == "real" else cv2.blur(crop, (3, 3))
                cv2.imwrite(str(root / kind / f"{person}_1_f{frame}.png"), crop[..., ::-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, heads) -> Path:
    folder = tmp_path_factory.mktemp("extracted")
    listed = make_list(folder / "datasets", heads)
    make_crops(folder / "crops", heads)
    crops = {"root": str(folder / "crops"), "video": r"([^/]+)_f\d+\.png$", "group": "^(.)_", "crops": 0.15}
    sets = {"swaps": {"layout": "deepfakebench", "root": str(listed)}, "crops": crops}
    data = {"source": "folders", "faces": str(listed), "train_frames": 2, "validation_frames": 2, "test_frames": 2}
    settings = {**SETTINGS, "runs": str(folder / "runs"), "data": {**data, "sets": sets}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(settings))
    return folder


def test_three_commands_from_frames_to_a_table(folder, capsys, monkeypatch):
    def nothing(*_):
        pytest.fail("a face was looked for")

    monkeypatch.setattr(faces.FaceFinder, "__call__", nothing)  # all are given, or crops
    for command in ("prepare", "train", "evaluate"):
        ended = dfnb(capsys, command, "--profile", folder / "mine.yaml")
        assert ended.status == 0, ended.err
    run = open_run(folder / "mine.yaml")
    assert set(run.tests) == {"swaps", "crops"}
    assert list(run.clips("train")["video"]) == [f"FF-real/{name}" for name in SPLITS["train"]]
    assert list(run.clips("validation")["video"]) == [f"FF-real/{name}" for name in SPLITS["val"]]
    assert set(run.clips("train")["label"]) == {"real"}
    coverage = run.coverage().groupby("part")[["listed", "videos_with_face", "faces"]].sum()
    assert coverage.T.to_dict("list") == {
        "train": [3, 3, 6], "validation": [3, 3, 6], "swaps": [4, 4, 8], "crops": [6, 6, 12],
    }  # fmt: skip
    results = run.results()
    assert set(results["part"]) == {"sbi", "swaps", "crops"}
    assert set(results.loc[results["part"] == "swaps", "dataset"]) == {"FF-DF c23 (DeepfakeBench)"}
    videos = run.video_scores("crops", "plain-linear")
    assert sorted(videos["group"].unique()) == ["a", "b", "c"]
    assert not [path for path in (folder / "crops").rglob("*") if path.is_symlink()]  # nothing is written there


def test_a_list_that_leads_out_is_one_line(folder, tmp_path, capsys):
    whole = json.loads((folder / "datasets/FF-DF.json").read_text())
    whole["FF-DF"]["FF-real"]["train"]["c23"]["000"]["frames"] = ["FaceForensics++/../../000.png"]
    (tmp_path / "FaceForensics++").mkdir()
    (tmp_path / "FF-DF.json").write_text(json.dumps(whole))
    ended = dfnb(capsys, "prepare", "--profile", folder / "mine.yaml", "--set", f"data.faces={tmp_path}/FF-DF.json")
    assert ended.status == 2
    (line,) = ended.complaints
    assert "FF-DF.json entry FF-DF/FF-real/train/000: " in line
    assert "leads out of the set's folder" in line
