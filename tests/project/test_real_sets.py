"""The paper's protocol as a laboratory would run it: its own copies of the three sets, its own profile, every command.

Rendered heads stand for the videos, since no real set may lie here; folders, lists and faults are those of real copies.
"""

import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pandas as pd
import pytest
import timm
import torch
import yaml
from filmed import film
from safetensors.torch import save_file

from dfnb import profile
from dfnb.plots import tables
from dfnb.report import cards, publishing

ROOT = Path(__file__).parents[2]
FAKES = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
pytestmark = pytest.mark.slow


def forge(picture: np.ndarray, kind: int) -> np.ndarray:
    """Another mouth or other eyes: a part of the face blurred, moved and put back."""
    fake = picture.copy()
    y = (90, 130, 170, 200)[kind % 4]
    fake[y : y + 60, 110:210] = cv2.GaussianBlur(np.roll(picture, 3, 1), (0, 0), 2.0)[y : y + 60, 110:210]
    return fake


def make_sets(root: Path, heads: list[np.ndarray]) -> None:
    """Copies as a laboratory has them: none whole, a video cut short, one empty, one that was never downloaded."""
    faces = (cv2.convertScaleAbs(h, alpha=0.8 + 0.05 * k, beta=4 * k) for k, h in enumerate(itertools.cycle(heads)))
    ff, pairs = root / "FaceForensics++", [[f"{k:03d}", f"{k + 1:03d}"] for k in range(0, 16, 2)]
    for split, some in (("train", pairs[:4]), ("val", pairs[4:6]), ("test", pairs[6:])):
        at = ff / "splits" / f"{split}.json"
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(json.dumps(some))
        for a, b in some:
            for target, source in ((a, b), (b, a)):
                face = next(faces)
                put(ff / f"original_sequences/youtube/c23/videos/{target}.mp4", face)
                for kind, method in enumerate(FAKES if split == "test" else ()):
                    at = ff / f"manipulated_sequences/{method}/c23/videos/{target}_{source}.mp4"
                    put(at, forge(face, kind))
    cut = ff / "original_sequences/youtube/c23/videos/000.mp4"
    cut.write_bytes(cut.read_bytes()[:2000])

    celeb, listed = root / "Celeb-DF-v2", []
    for k in range(4):
        face = next(faces)
        put(celeb / f"Celeb-real/id{k}_0000.mp4", face)
        put(celeb / f"Celeb-synthesis/id{k}_id9_0000.mp4", forge(face, k))
        listed += [f"1 Celeb-real/id{k}_0000.mp4", f"0 Celeb-synthesis/id{k}_id9_0000.mp4"]
    put(celeb / "Youtube-real/00001.mp4", next(faces))
    (celeb / "Celeb-real/id3_0000.mp4").write_bytes(b"")
    listed += ["1 YouTube-real/00001.mp4", "1 YouTube-real/00002.mp4", ""]
    (celeb / "List_of_testing_videos.txt").write_text("\n".join(listed))

    for k in range(4):
        two = [next(faces), next(faces)]
        put(root / f"FFIW10K-v1-release/source/val/val_{k:08d}.mp4", np.hstack(two))
        put(root / f"FFIW10K-v1-release/target/val/val_{k:08d}.mp4", np.hstack([two[0], forge(two[1], k)]))


def put(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    film(path, picture, 6)


def command(*arguments: object) -> subprocess.CompletedProcess:
    """As a user types it, from the project's folder."""
    line = [sys.executable, "-m", "dfnb", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def lab(tmp_path_factory, heads) -> dict:
    """The `paper` profile on these copies, with a small backbone whose weights lie in a file, and few steps."""
    root = tmp_path_factory.mktemp("lab")
    make_sets(root, heads)
    torch.manual_seed(0)
    save_file(timm.create_model("test_efficientnet").state_dict(), root / "model.safetensors")
    settings = profile.load("paper").model_dump(mode="json")
    settings |= {"name": "paper-here", "jobs": 2, "runs": str(root / "runs")}
    for name, folder in (("face_forensics", "FaceForensics++"), ("celeb_df", "Celeb-DF-v2"), ("ffiw", "")):
        settings["data"][name] = str(root / (folder or "FFIW10K-v1-release"))
    settings["data"] |= {"train_frames": 2, "validation_frames": 2, "test_frames": 2}
    settings["model"] |= {"backbone": "test_efficientnet", "weights": str(root / "model.safetensors"), "size": 64}
    few = {"seeds": [0, 1], "epochs": 2, "batch": 4, "workers": 1, "mixed_precision": "no", "validation_pairs": 8}
    settings["train"] |= few
    path = root / "paper-here.yaml"
    path.write_text(yaml.safe_dump(settings))
    prepared = command("prepare", "--profile", path)
    assert prepared.returncode == 0, prepared.stderr
    reported = command("report", "--profile", path)
    assert reported.returncode == 0, reported.stdout + reported.stderr
    return {"profile": path, "run": root / "runs/paper-here", "prepared": prepared, "reported": reported}


def test_preparing_says_what_it_will_take_and_what_was_lost(lab):
    said = lab["prepared"]
    assert "train: 8 videos, 5 to do: about" in said.stderr
    for fault in ("000.mp4: ", "id3_0000.mp4: is empty", "YouTube-real/00002.mp4: missing from this copy"):
        assert fault in said.stderr
    for name in ("FF++ c23 (subset)", "Celeb-DF-v2 (subset)", "FFIW-10K (subset)"):
        assert name in said.stdout
    assert "-like" not in said.stdout


def test_the_table_names_every_set_with_compression_and_subset(lab):
    out = lab["reported"].stdout
    wanted = ("FF++ c23 (subset: 20 of 700)", "Celeb-DF-v2 (subset: 9 of 518)", "FFIW-10K (subset: 8 of 500)")
    assert all(name in out for name in wanted)
    assert "rendered heads" not in out
    results = pd.read_csv(lab["run"] / "results.csv")
    assert set(results["seed"]) == {0, 1}
    assert all(results["dataset"].str.contains("subset"))
    assert results["auc"].between(0, 1).all()


def test_published_numbers_stand_beside_the_reproduced_ones(lab):
    table = pd.read_csv(lab["run"] / "report/figures/against-published.csv")
    results = pd.read_csv(lab["run"] / "results.csv")
    expected = tables.against_published(results)
    assert len(table) == len(expected) > 5
    np.testing.assert_allclose(table["reproduced"], expected["reproduced"], atol=1e-6)
    own = results[(results["network"] == "proposed-arcface") & (results["part"] == "celeb-df")]
    mean = own.loc[(own["level"] == "video") & own["size_rule"], "auc"].mean()
    row = table[(table["reported"] - 0.9459).abs().lt(1e-9) & table["set"].str.startswith("Celeb-DF-v2 (subset")].iloc[
        0
    ]
    assert row["reproduced"] == pytest.approx(mean)
    assert row["difference"] == pytest.approx(mean - 0.9459)
    assert row["low"] < row["difference"] < row["high"]


def test_nothing_speaks_of_the_embedded_benchmark_and_whatever_names_a_set_says_subset(lab):
    """Captions, tables, words beside figures and verdicts of every notebook; the page; README block and cards."""
    report_, figures = lab["run"] / "report", lab["run"] / "figures"
    shutil.copytree(report_ / "figures", figures)
    for file in (report_ / "results.json", lab["run"] / "results.csv"):
        shutil.copy(file, figures)
    markers = "<!-- results: written by `dfnb report --publish` --><!-- end of results -->"
    told = [publishing.with_results(markers, figures), (report_ / "report.html").read_text()]
    told.append(cards.model_card(figures).split("## Licences")[0])
    told.append(cards.data_card(figures).split("The published run has of them:")[1].split("They are had")[0])
    for file in sorted((report_ / "notebooks").glob("[0-9]*.ipynb")):
        cells = nbformat.read(file, as_version=4).cells
        told += [text for c in cells for o in c.get("outputs", []) for text in o.get("data", {}).values()]
    for caption in re.findall(r"<(?:fig)?caption.*?</|\*\*Figure\.\*\*.*", "\n".join(map(str, told))):
        assert "Embedded benchmark" not in caption
    said = re.sub(r'src="data:[^"]*"', "", "\n".join(text for text in told if isinstance(text, str)))
    for name in ("FF++ c23", "Celeb-DF-v2", "FFIW-10K"):
        found = list(re.finditer(re.escape(name), said))
        assert len(found) > 5
        bare = [m for m in found if not said.startswith(" (subset", m.end())]
        assert [said[max(0, m.start() - 80) : m.end() + 20] for m in bare] == []


def test_a_network_of_real_footage_scores_a_video_without_a_warning(lab):
    video = next((lab["run"].parents[1] / "Celeb-DF-v2/Celeb-synthesis").glob("*.mp4"))
    done = command("score", lab["run"] / "networks/proposed-arcface-s0/checkpoint.safetensors", video, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "warning" not in said
    assert 0 <= said["files"][0]["score"] <= 1


def test_originals_and_one_other_set_are_enough_for_a_report(lab):
    """No manipulated FF++ videos, no FFIW: the paper's training set, and one set to test on."""
    settings = yaml.safe_load(lab["profile"].read_text())
    settings |= {"name": "less"}
    settings["data"] |= {"manipulations": [], "ffiw": None}
    settings["train"] |= {"seeds": [0], "epochs": 1}
    path = lab["profile"].with_name("less.yaml")
    path.write_text(yaml.safe_dump(settings))
    done = command("report", "--profile", path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = pd.read_csv(lab["run"].with_name("less") / "results.csv")
    assert list(dict.fromkeys(results["part"])) == ["sbi", "celeb-df"]
    settings["data"] |= {"celeb_df": None}
    path.write_text(yaml.safe_dump(settings))
    none = command("report", "--profile", path)
    assert none.returncode == 2
    assert "needs a set with real videos and fakes to test on" in none.stderr
