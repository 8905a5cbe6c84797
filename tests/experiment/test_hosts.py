"""A run is the same wherever it is opened: on machines with other hardware, and whatever is only read."""

import logging
from pathlib import Path

import pytest
import torch
from lab import faces, heads, profile  # noqa: F401 (a fixture)

from dfnb import open_run, training
from dfnb.common import devices
from dfnb.common.devices import Hardware
from dfnb.common.errors import UserError
from dfnb.scoring import score, score_table

# ruff: noqa: F811 (fixtures of another module are arguments here)

ASKED = {"train.mixed_precision": "auto", "evaluate.precision": "fast", "name": "hosts"}


def on(monkeypatch, hardware: Hardware, kernel: bool = False) -> None:
    """As if this were a machine with other hardware, or a notebook's kernel on one."""
    monkeypatch.setattr(devices, "hardware", lambda: hardware)
    monkeypatch.setattr(devices.processes, "in_a_kernel", lambda: kernel)


def contents(folder: Path) -> dict[str, bytes]:
    kept = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(kept)}


@pytest.fixture(scope="module")
def made(tmp_path_factory, heads) -> tuple[Path, dict[str, bytes]]:
    """A run trained and scored as if on a machine without a GPU: its profile and its files."""
    folder = tmp_path_factory.mktemp("hosts")
    faces(folder / "faces", heads)
    path = profile(folder)
    with pytest.MonkeyPatch.context() as patch:
        on(patch, Hardware())
        run = open_run(path, ASKED, build="all")
        run.results()
    return path, contents(run.folder)


@pytest.mark.parametrize("build", ["nothing", "scores", "missing", "all"])
@pytest.mark.parametrize(
    ("hardware", "kernel", "differs"),
    [
        (Hardware(("NVIDIA A100",), (8, 0)), False, True),
        (Hardware(("NVIDIA A100",) * 4, (8, 0)), True, False),  # this kernel leaves them to training
        (Hardware(("NVIDIA A100",) * 2, (8, 0)), False, True),
        (Hardware(mps=True), False, False),
        (Hardware(bfloat16=True), False, False),
    ],
)
def test_other_hardware_trains_and_scores_nothing_again(made, monkeypatch, caplog, hardware, kernel, differs, build):
    path, before = made
    on(monkeypatch, hardware, kernel)
    for work in ("fit", "initial_network"):
        monkeypatch.setattr(training, work, lambda *_, **__: pytest.fail("a training was started"), raising=False)
    monkeypatch.setattr(score, "predict", lambda *_: pytest.fail("a score table was made again"))
    caplog.set_level(logging.INFO, "dfnb")
    run = open_run(path, ASKED, build=build)
    results = run.results()
    assert contents(run.folder) == before
    assert len(results) == len(run.networks)
    lines = [record.message for record in caplog.records if "they are kept" in record.message]
    assert len(lines) == differs
    assert all("ONNX Runtime" in line and "float32 on a GPU" in line for line in lines)


def test_a_result_says_what_made_it(made):
    path, _ = made
    run = open_run(path, ASKED)
    table = score_table.made_with(run.score_path("sbi", run.networks[0]))
    assert table["how"] == devices.FAST
    assert table["threads"] == torch.get_num_threads()
    assert set(table["versions"]) == {"torch", "timm", "opencv"}


@pytest.mark.parametrize(
    ("change", "named"),
    [({"train.lr": 0.5}, r"train\.lr .* -> 0\.5"), ({"sbi.hull_variation": False}, "sbi.hull_variation True -> False")],
)
def test_what_is_out_of_date_stops_a_notebook_and_is_left_as_it_is(made, change, named):
    path, before = made
    for build, advice in (("nothing", "dfnb train"), ("scores", "dfnb train"), ("missing", "set rebuild to true")):
        run = open_run(path, ASKED | change, build=build)
        with pytest.raises(UserError, match=rf"checkpoint\.safetensors: .*{named}.* is out of date.*{advice}"):
            run.results()
        assert contents(run.folder) == before


def test_what_is_missing_is_made_in_a_notebook_and_named_elsewhere(made, tmp_path, monkeypatch):
    path, _ = made
    monkeypatch.setattr(training, "fit", lambda *_, **__: pytest.fail("a training was started"))
    for build in ("nothing", "scores"):
        run = open_run(path, ASKED | {"runs": str(tmp_path / build)}, build=build)
        missing = r"checkpoint\.safetensors: the network plain-linear \(seed 0\) is missing"
        with pytest.raises(UserError, match=rf"{missing}; run `dfnb train --profile hosts`"):
            run.results()
        assert not (run.folder / "networks").exists()
    run = open_run(path, ASKED | {"runs": str(tmp_path / "nothing")})
    with pytest.raises(UserError, match="faces/train: the face store is missing; run `dfnb prepare --profile hosts`"):
        run.store("train")
    assert not run.folder.exists()


def test_a_changed_line_of_self_blending_is_a_change_of_the_training(made, monkeypatch):
    from dfnb.common import code

    path, _ = made
    tree = code._tree
    monkeypatch.setattr(code, "_tree", lambda file: tree(file) + ("!" if file.name == "masks.py" else ""))
    run = open_run(path, ASKED, build="missing")
    with pytest.raises(UserError, match=r"\(other code\) is out of date"):
        run.results()
