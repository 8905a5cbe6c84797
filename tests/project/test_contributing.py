"""CONTRIBUTING.md's examples work as they stand: each is put into a copy of the package and used from there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACE = re.compile(r"^# Further \w+ go here, as CONTRIBUTING\.md shows\.$", re.MULTILINE)
EXAMPLES = dict(re.findall(r"```python\n# (dfnb/\S+\.py)\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL))

USES = {
    "dfnb/data/catalogues/sets.py": """
import pathlib
from dfnb.experiment.parts import Parts
from dfnb.profile import load
root = pathlib.Path("wild")
root.mkdir()
for name in ("a.mp4", "b.mp4"):
    (root / name).touch()
(root / "labels.txt").write_text("a.mp4 real ann\\nb.mp4 fake bob\\nc.mp4 fake cy\\n")
profile = load("paper", {"data.more": {"wild": "wild"}, "data.celeb_df": None, "data.ffiw": None})
data = Parts(profile, pathlib.Path("run"))
clips = data.clips("wild")
assert clips[["label", "group"]].values.tolist() == [["real", "ann"], ["fake", "bob"]], clips
assert clips.attrs["missing"] and "wild" in data.roots
assert data.title("wild") == "Wild (subset: 2 of 3)", data.title("wild")
""",
    "dfnb/data/detectors.py": """
import pathlib
import numpy as np
from dfnb import profile
from dfnb.benchmark import heads, scene
from dfnb.data import faces
from dfnb.experiment.parts import Parts
rng, renderer = np.random.default_rng(5), heads.Renderer(threads=1)
view, motion = scene.draw_scene(rng), scene.draw_motion(rng, 1, 25.0)[0]
picture = renderer.render([(heads.Person.draw(rng), motion)], view, 320, 320).rgb
(hog,), (haar,) = faces.FaceFinder()(picture), faces.FaceFinder(detector="haar")(picture)
assert faces.overlap(hog.box, haar.box) > 0.8
settings = profile.load("faces", {"faces.detector": "haar", "data.faces": "."})
assert Parts(settings, pathlib.Path("run"))._how("train")["detector"] == "haar"
""",
    "dfnb/networks/variants.py": """
import torch
from dfnb import networks, plots, profile
from dfnb.plots import diagrams
net = networks.build("three", "linear", "tf_efficientnet_lite0", pretrained=False, seed=0).eval()
assert net.taps == (3, 5, 7)
assert net(torch.zeros(2, 3, 64, 64)).embedding.shape == (2, 40 + 112 + 1280)
assert profile.load("demo", {"train.networks": [["three", "linear"]]}).train.networks == (("three", "linear"),)
assert plots.look("three-linear").label == "three"
assert diagrams.network(net).numbers["taps"] == [3, 5, 7]
""",
    "dfnb/sbi/fakes.py": """
import sys
sys.path.insert(0, TESTS)
import numpy as np
from faces_in_memory import DrawnFaces
from dfnb.sbi import PairDataset, SelfBlender
pairs = PairDataset(DrawnFaces(2, 0), size=64, blender=SelfBlender(fakes=(("self-blended", 0.5), ("defocused", 0.5))))
made = pairs.images((0, 0), "defocused")
assert np.abs(made.real.astype(int) - made.fake).max() > 10
""".replace("TESTS", repr(str(Path(__file__).parents[1]))),
    "dfnb/networks/heads.py": """
import torch
import torch.nn.functional as F
from dfnb import networks, plots, profile
from dfnb.plots import diagrams
from dfnb.training import key
net = networks.build("proposed", "cosine", "tf_efficientnet_lite0", pretrained=False, seed=0, scale=8.0).eval()
out = net(torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))
cosines = F.cosine_similarity(out.embedding[:, None], net.head.weight[None], dim=2)
assert torch.allclose(out.logits, 8 * cosines, atol=1e-5)
networks.save(net, "cosine.safetensors", {})
assert networks.load("cosine.safetensors").settings["head"] == "cosine"
settings = profile.load("demo", {"train.networks": [["proposed", "cosine"]], "arcface.scale": 8.0})
assert settings.train.networks == (("proposed", "cosine"),)
assert key.deciding(settings, "proposed", "cosine", 0) != key.deciding(profile.load("demo"), "proposed", "cosine", 0)
assert plots.look("proposed-cosine").label == "proposed + cosine"
assert diagrams.network(net).alt.endswith("for the cosine head.")
""",
    "dfnb/benchmark/manipulations.py": """
import numpy as np
from dfnb.benchmark import layout, studio, vertices
from dfnb.profile import Demo
settings = Demo(frames=1, ff_train=4, ff_val=2, ff_test=2)
jobs = [job for job in layout.plan(settings) if any(fake.method == "Eyes" for fake in job.fakes)]
assert len(jobs) == 2
numbers = [fake.number for job in layout.plan(settings) for fake in job.fakes if fake.video.path.startswith("FaceF")]
assert len(set(numbers)) == len(numbers)
filmed = [studio.Studio(settings, take) for take in jobs[0].takes]
fake = next(fake for fake in jobs[0].fakes if fake.method == "Eyes")
frames, masks = studio.forge(settings, filmed, fake)
stage = filmed[fake.take]
assert masks.any() and not np.array_equal(frames, stage.frames)
assert np.array_equal(frames[~masks], stage.frames[~masks])
points = stage.rendered[0].points[0][vertices.landmarks()]
rows = np.nonzero(masks[0].any(axis=1))[0]
assert points[17:27, 1].min() - 5 < rows[0] and rows[-1] < points[36:48, 1].max() + 5
""",
    "dfnb/analysis/corruptions.py": """
import numpy as np
from dfnb.analysis import corruptions
from dfnb.profile import load
settings = load("smoke").robustness
assert corruptions.strengths(settings, "fog") == (0.1, 0.2, 0.35, 0.5, 0.7)
assert corruptions.strengths(settings, "jpeg") == tuple(map(float, settings.jpeg))
kind = corruptions.CORRUPTIONS["fog"]
grey = np.full((kind.stretch, 4, 6, 3), 100, np.uint8)
assert (kind.apply(grey, 0.2, np.random.default_rng(0)) == 131).all()
""",
    "dfnb/plots/charts.py": """
import pandas as pd
from dfnb.plots import charts
scored = pd.DataFrame({"label": ["real"] * 3 + ["fake"] * 4, "score": [0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 1.0]})
plot = charts.score_histogram(scored, "made up")
assert plot.numbers.groupby("label")["videos"].sum().to_dict() == {"fake": 4, "real": 3}
assert "real 0.20, fake 0.75" in plot.alt
plot.figure.canvas.draw()
""",
}


def test_there_is_an_example_for_each_and_none_is_long():
    assert list(EXAMPLES) == list(USES)
    assert all(len(code.splitlines()) < 40 for code in EXAMPLES.values())


@pytest.mark.parametrize("file", USES)
def test_an_example_works_where_it_says_it_goes(file, tmp_path):
    shutil.copytree(ROOT / "dfnb", tmp_path / "dfnb", ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path / file
    text = target.read_text(encoding="utf-8")
    assert len(PLACE.findall(text)) == 1
    target.write_text(PLACE.sub(lambda _: EXAMPLES[file], text), encoding="utf-8")
    (tmp_path / "use.py").write_text(USES[file], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "use.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_examples_are_in_the_projects_style(tmp_path):
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff isn't installed")
    for number, code in enumerate(EXAMPLES.values()):
        (tmp_path / f"example{number}.py").write_text(code, encoding="utf-8")
    for command in (["format", "--check"], ["check", "--ignore", "F821"]):  # names of the file it goes into
        done = subprocess.run(
            [ruff, *command, "--config", str(ROOT / "pyproject.toml"), str(tmp_path)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
