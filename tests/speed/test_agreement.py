"""What is fast says the same as the plain way, on all test videos of a run: faces found, and scores."""

import numpy as np
import pytest
import torch
from plain_faces import plain_faces
from sklearn.metrics import roc_auc_score
from torch import nn

from dfnb import networks, profile, scoring
from dfnb.data import faces, frames
from dfnb.experiment.run import Run
from dfnb.scoring import score

pytestmark = pytest.mark.slow
SIZE = 380  # of EfficientNet-B4's input, pixels


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run(profile.load("smoke", {"runs": str(tmp_path_factory.mktemp("runs"))}))


def test_every_face_that_the_plain_way_finds_is_found_in_its_place(run):
    """Of those that count by SBI's rule: at least half the area of the frame's largest."""
    finder = faces.FaceFinder()
    for part in run.tests:
        for path in run.clips(part)["path"]:
            fast = {index: finder(rgb) for index, rgb in frames.sample_frames(path, 1)}
            for index, found in plain_faces(path, 1).items():
                for face in (face for face in found if 2 * face.area >= found[0].area):
                    assert any(faces.overlap(face.box, other.box) > 0.5 for other in fast[index]), path


def test_fast_scoring_moves_no_auc_of_a_run(run):
    net, size = run.network(run.networks[-1].name), run.profile.model.size
    for part in run.tests:
        tables = [scoring.score_store(net, run.store(part), size, precision=p).table for p in ("float32", "fast")]
        exact, fast = (table["score"].to_numpy() for table in tables)
        fake = tables[0]["label"] == "fake"
        assert np.abs(exact - fast).max() < 1e-3
        assert roc_auc_score(fake, exact) == pytest.approx(roc_auc_score(fake, fast), abs=1e-3)


def test_fast_scoring_moves_no_score_of_b4_at_380_px(run):
    """Its weights are random, since ImageNet's can't always be had; batch norms are set by the faces themselves."""
    net = networks.build("proposed", "arcface", "tf_efficientnet_b4.ap_in1k", pretrained=False, seed=0)
    crops = score.Crops(run.store(run.tests[0]), SIZE, net.mean, net.std)
    images = torch.stack([crops[i] for i in np.linspace(0, len(crops) - 1, 16).astype(int)])
    for layer in net.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
    with torch.inference_mode():
        net.train()(images)
        exact, fast = (scoring.Scorer(net.eval(), SIZE, p)(images).logits for p in ("float32", "fast"))
    assert exact.std() > 0.01, "the faces differ in their scores"
    assert (exact.softmax(1) - fast.softmax(1)).abs().max() < 1e-3
