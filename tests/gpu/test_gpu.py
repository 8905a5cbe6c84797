"""Training and scoring on a GPU: the very functions of the commands, compared with the CPU and with one process."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from faces_in_memory import DrawnFaces
from on_gpus import fit
from untrained import command

from dfnb import networks, scoring
from dfnb.common import devices
from dfnb.own_video.recognition import Recognition

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]
TESTS = Path(__file__).parents[1]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


class Scored(DrawnFaces):
    """Drawn faces with every column that a score table takes from a face store."""

    def __init__(self, count: int) -> None:
        super().__init__(count, seed=2)
        boxes = pd.DataFrame([face.box for face in self.faces], columns=["x0", "y0", "x1", "y1"])
        self.manifest = self.manifest.assign(split="test").join(boxes)


@pytest.fixture
def gpu():
    """Peak memory of the GPU counted anew: a test that never uses it allocates nothing."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    yield torch.device("cuda")
    assert torch.cuda.max_memory_allocated() > before, "nothing was computed on the GPU"


def differ_at_most(path: Path, other: Path) -> float:
    """The largest difference between the weights of two checkpoints; running statistics relative to their size."""
    weights, others = networks.load(path).state_dict(), networks.load(other).state_dict()
    return max(
        ((weights[name] - others[name]).abs() / others[name].abs().clamp_min(1)).max().item()
        for name in weights
        if weights[name].is_floating_point()
    )


@pytest.mark.parametrize("head", networks.HEADS)
@pytest.mark.parametrize("variant", networks.VARIANTS)
def test_a_variant_trains_a_step_and_scores_on_the_gpu(variant, head, gpu, tmp_path):
    """The step is the CPU's to the rounding of a GPU's convolutions, and so are the scores."""
    checkpoint = fit(tmp_path / "gpu", variant, head, steps=1)
    on_cpu = fit(tmp_path / "cpu", variant, head, steps=1, cpu=True)
    assert differ_at_most(checkpoint, on_cpu) < 0.01
    net, faces = networks.load(checkpoint), Scored(6)
    expected = scoring.score_store(net, faces, size=64)
    assert devices.scoring_device().type == "cuda"
    scored = scoring.score_store(net.to(devices.scoring_device()), faces, size=64)
    assert scored.table["score"].to_numpy() == pytest.approx(expected.table["score"].to_numpy(), abs=0.01)
    assert scored.embedding == pytest.approx(expected.embedding, abs=0.05)


def test_files_are_scored_on_the_gpu_as_on_the_processor(monkeypatch, capsys, checkpoints, videos, gpu, tmp_path):
    """By `dfnb score`, several files at once: scores, people and how long each was seen."""
    found = {}
    for kind in ("cuda", "cpu"):
        monkeypatch.setattr(devices, "kind_of_scoring", lambda kind=kind: kind)
        output = tmp_path / f"{kind}.json"
        assert command(monkeypatch, checkpoints["real"], videos, "--frames", 6, "-o", output) == 3
        assert next(Recognition.load().parameters()).device.type == kind
        found[kind] = json.loads(output.read_text("utf-8"))["files"]
    for on_gpu, on_cpu in zip(found["cuda"], found["cpu"], strict=True):
        assert (on_gpu["file"], on_gpu["reason"]) == (on_cpu["file"], on_cpu["reason"])
        if on_cpu["score"] is not None:
            assert on_gpu["score"] == pytest.approx(on_cpu["score"], abs=1e-3)
        for person, same in zip(on_gpu["people"], on_cpu["people"], strict=True):
            assert person["score"] == pytest.approx(same["score"], abs=1e-3)
            assert [person[name] for name in ("frames", "from", "to")] == [
                same[name] for name in ("frames", "from", "to")
            ]


def test_mixed_precision_trains_on_the_gpu(gpu, tmp_path):
    history = pd.read_csv(fit(tmp_path, steps=2, precision="bf16").parent / "history.csv")
    assert history["loss"].between(0, 20).all()


def test_an_interrupted_training_goes_on_where_it_was_kept(gpu, tmp_path):
    """Convolutions on a GPU add in no fixed order, so the weights agree closely and not to the bit."""
    whole = fit(tmp_path / "whole", steps=6)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", steps=6, interrupt_at=4 * 4 + 2)  # in the fifth batch of four faces
    assert (tmp_path / "cut" / "state.safetensors").exists()
    resumed = fit(tmp_path / "cut", steps=6, interrupt_at=2 * 4 + 1)  # two batches are left
    assert not (tmp_path / "cut" / "state.safetensors").exists()
    assert differ_at_most(resumed, whole) < 0.01
    histories = [pd.read_csv(path.parent / "history.csv") for path in (whole, resumed)]
    assert histories[0]["step"].tolist() == histories[1]["step"].tolist() == [2, 4, 6]
    assert histories[1]["loss"].to_numpy() == pytest.approx(histories[0]["loss"].to_numpy(), abs=0.01)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_with_synchronised_batch_norm_train_as_one(tmp_path):
    """Half of each batch on either GPU, statistics shared: weights, running statistics and losses of one process."""
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}{os.pathsep}{TESTS / 'gpu'}"}
    command = [*TORCHRUN, str(TESTS / "gpu" / "on_gpus.py"), str(tmp_path / "two")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found = re.search(r"2 processes on cuda, (\d+) of (\d+) batch norms synchronised", done.stdout)
    assert found, done.stdout
    assert found[1] == found[2] != "0"
    alone = fit(tmp_path / "one", steps=4)
    assert differ_at_most(tmp_path / "two" / "checkpoint.safetensors", alone) < 0.01
    losses = [pd.read_csv(tmp_path / name / "history.csv")["loss"].to_numpy() for name in ("two", "one")]
    assert losses[0] == pytest.approx(losses[1], abs=0.01)
