"""Training on any folder of real faces; and the paper's network in the paper's size."""

import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import save_file

from dfnb import profile, training
from dfnb.common import processes
from dfnb.common.errors import UserError
from dfnb.data import catalogues
from dfnb.experiment.run import open_run
from dfnb.training import loop, recipe

FACES = Path(__file__).parents[3] / "shared" / "real-faces"


def test_people_are_parted_and_stay_where_they_are(tmp_path):
    for person in range(60):
        for picture in range(2):
            (tmp_path / "real").mkdir(exist_ok=True)
            (tmp_path / "real" / f"p{person:02d}_{picture}.jpg").touch()
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "p00_9.jpg").touch()
    parts = catalogues.real_faces(tmp_path, r"^(p\d+)_", 0.25)
    people = {name: set(part["group"]) for name, part in parts.items()}
    assert not people["train"] & people["validation"]
    assert len(people["train"] | people["validation"]) == 60
    assert 6 <= len(people["validation"]) <= 24
    for name, part in parts.items():
        assert set(part["label"]) == {"real"}  # what is in fake/ is left alone
        assert set(part["split"]) == {{"train": "train", "validation": "val"}[name]}
        assert part.groupby("group").size().eq(2).all()
    for picture in range(3):  # newcomers move nobody
        (tmp_path / "real" / f"new{picture}.jpg").touch()
    later = catalogues.real_faces(tmp_path, r"^(p\d+)_", 0.25)
    assert people["train"] <= set(later["train"]["group"])
    with pytest.raises(UserError, match="are too few to hold"):
        catalogues.real_faces(tmp_path, None, 1e-9)


def test_rendered_heads_stay_marked_in_a_folder_of_faces(tmp_path):
    deep = tmp_path / "benchmark/FaceForensics++/original_sequences/youtube/c23/videos"
    deep.mkdir(parents=True)
    (tmp_path / "benchmark/EMBEDDED_BENCHMARK.json").write_text("{}")
    (deep / "000.mp4").touch()
    assert set(catalogues.faces_folder(deep, "real")["dataset"]) == {"videos-like"}  # so `train.domain` knows it


def test_a_run_on_a_folder_of_faces_has_no_test_sets(tmp_path):
    (tmp_path / "a.jpg").touch()
    run = open_run("faces", {"data.faces": str(tmp_path)})
    assert run.tests == ()
    with pytest.raises(UserError, match="too few to hold 20% of them out"):
        run.clips("train")
    with pytest.raises(UserError, match="face_forensics isn't set"):
        run.clips("ff")


def test_missing_weights_are_named_before_any_face_is_looked_for(tmp_path):
    """Faces of a whole set take hours; what would stop the training after them is asked first."""
    for k in range(40):
        (tmp_path / f"{k}.jpg").touch()
    settings = {"data.faces": str(tmp_path), "runs": str(tmp_path / "runs"), "model.backbone": "test_efficientnet"}
    other, own = tmp_path / "other.safetensors", tmp_path / "own.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), own)
    save_file(timm.create_model("mobilenetv2_050").state_dict(), other)
    for more, said in (
        ({"model.weights": str(tmp_path / "none")}, r"none: no such weights file; check model\.weights"),
        ({"model.weights": str(other)}, r"other\.safetensors.*: no weights of this backbone: .* tensors are missing"),
        ({"model.weights": str(own), "model.weights_sha256": "0" * 64}, r"own\.safetensors: its sha256 is .*, not 000"),
    ):
        run = open_run("faces", settings | more, build="all")
        for work in (lambda run=run: run.train(run.networks[0]), run.everything):
            with pytest.raises(UserError, match=said):
                work()
        assert not (run.folder / "faces").exists()


@pytest.mark.slow
@pytest.mark.skipif(not FACES.is_dir(), reason="needs photographs of real faces in ../shared/real-faces")
def test_a_few_minutes_on_real_faces_tell_unseen_peoples_blends_apart(tmp_path):
    """Lite0, 128 px, 300 steps: the loss falls, and held-out SBI pairs reach an AUC of 0.85."""
    began = time.monotonic()
    run = open_run("faces", {"data.faces": str(FACES), "runs": str(tmp_path)}, build="all")
    history = run.history("proposed-arcface")
    results = run.results()
    print(f"\n{time.monotonic() - began:.0f} s\n{history.to_string()}\n{results.to_string()}")
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]
    assert results.loc[results["part"] == "sbi", "auc"].iloc[0] >= 0.85


def one_step(pairs: int, precision: str) -> dict[str, float]:
    """One optimisation step of the paper profile's recipe on noise: B4 at 380 px, ArcFace, attention, SAM."""
    settings = profile.load("paper", {"model.pretrained": False, "train.batch": pairs})
    net = training.initial_network(settings, "proposed", "arcface", seed=0)
    optimizer = recipe.make_optimizer(net, settings.train)
    rng = torch.Generator().manual_seed(0)
    size = settings.model.size
    real, fake = (torch.randn(pairs, 3, size, size, generator=rng) for _ in range(2))
    mask = torch.rand(pairs, 1, size, size, generator=rng)
    before = {name: value.clone() for name, value in net.named_parameters()}
    began, held = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batch = loop.as_batch(real, fake, mask, like=next(net.parameters()))
    accelerator = processes.accelerator(precision)
    values = loop.optimise(net, optimizer, accelerator, batch, 1e-3, settings.train)
    moved = [name for name, value in net.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) > 0.95 * len(before)
    assert all(bool(value.isfinite().all()) for value in net.parameters())
    gib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) / 2**20
    return {"loss": values.total.item(), "seconds": time.monotonic() - began, "GiB": gib}


def test_one_step_of_the_papers_recipe_on_the_papers_network():
    found = one_step(2, "no")
    print(found)
    assert np.isfinite(found["loss"])


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "needed"), [("bf16", 13), ("no", 24)])
def test_one_step_of_the_papers_recipe_with_the_papers_batch(precision, needed):
    """16 real and 16 fake images, in bfloat16 as the profile has it (about 0.33 GiB an image) and in float32 (0.66)."""
    assert profile.load("paper").train.mixed_precision == "auto"
    available = int(pd.read_csv("/proc/meminfo", sep=r"\s+", header=None, index_col=0).loc["MemAvailable:", 1]) / 2**20
    if available < needed:
        pytest.skip(f"needs {needed} GiB of memory, {available:.0f} are free")
    found = one_step(16, precision)
    print(precision, found)
    assert np.isfinite(found["loss"])
