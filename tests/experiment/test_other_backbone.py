"""A ViT in a whole run: trained two steps with its norms alone, scored, and asked about a picture."""

import json

import pytest
import torch
from lab import SETTINGS, dfnb, faces, heads, profile

from dfnb import networks, open_run

__all__ = ["heads"]  # a fixture
VIT = "vit_xsmall_patch16_clip_224"
CHANGES = {
    "model": {"backbone": VIT, "pretrained": False, "size": 64},
    "train": {**SETTINGS["train"], "networks": [["proposed", "arcface"]], "tune": "norms"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, heads):
    made = tmp_path_factory.mktemp("vit")
    faces(made / "faces", heads)
    profile(made, **CHANGES)
    return made


def test_a_vit_is_trained_scored_and_asked(folder, capsys):
    run = open_run(folder / "lab.yaml", build="all")
    assert run.results()["auc"].between(0, 1).all()
    assert list(run.history("proposed-arcface")["step"]) == [1, 2]
    trained = run.network("proposed-arcface")
    start = networks.build("proposed", "arcface", VIT, pretrained=False, seed=0, size=64).state_dict()
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value.cpu(), start[name])}
    inside = {name for name in changed if name.startswith("backbone.")}
    assert inside
    assert all("norm" in name for name in inside)
    assert any(name.startswith("head.") for name in changed)

    checkpoint, found = run.checkpoint(run.find("proposed-arcface")), []
    for precision in ("float32", "fast"):  # torch, ONNX Runtime
        ended = dfnb(capsys, "score", checkpoint, folder / "faces", "--precision", precision, "--json")
        assert ended.status == 0, ended.err
        found.append([row["score"] for row in json.loads(ended.out)["files"]])
    assert len(found[0]) == 6
    assert len(set(found[0])) > 1
    assert found[1] == pytest.approx(found[0], abs=1e-4)


def test_a_size_that_does_not_fit_is_named_before_faces_are_found(folder, tmp_path, capsys):
    path = profile(tmp_path, **CHANGES, data={"faces": str(folder / "faces")})
    ended = dfnb(capsys, "train", "--profile", path, "--set", "model.size=72")
    assert ended.status == 2
    assert len(ended.complaints) == 1
    assert "multiples of 16 px, not 72: set model.size to 64 or 80" in ended.complaints[0]
    assert not list(tmp_path.rglob("faces"))
