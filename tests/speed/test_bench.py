"""The bench: its table comes back from its file and is compared by ratio; what it times is the report's own work."""

from functools import partial
from itertools import count

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.benchmark import Timer
from typer.testing import CliRunner

from dfnb import cli
from dfnb.common.errors import UserError
from dfnb.speed import bench, stages

ABOUT = {"hardware": "a machine", "date": "2026-01-31"}
LITE = "tf_efficientnet_lite0"


def table(**ratios: float) -> pd.DataFrame:
    rows = [(name, "some work", "times", 1 / v, 1e3 * v, "a second", 1e3, v) for name, v in ratios.items()]
    return pd.DataFrame(rows, columns=bench.COLUMNS)


def test_tables_are_compared_by_ratio():
    before = table(equal=1.0, little=1.0, slow=1.0, quick=1.0, gone=1.0)
    now = table(equal=1.0, little=1.2, slow=1.3, quick=0.7, new=1.0)
    found = bench.compare(now, before).set_index("stage")
    assert found["verdict"].to_dict() == {
        "equal": "same", "little": "same", "slow": "slower", "quick": "faster", "new": "new", "gone": "gone",
    }  # fmt: skip
    assert found.loc["slow", "change"] == pytest.approx(1.3)
    assert bench.compare(now, before, 1.4)["verdict"].isin(["same", "faster", "new", "gone"]).all()
    # a machine twice as fast has the same ratios
    twice = before.assign(ms=before["ms"] / 2, yardstick_ms=before["yardstick_ms"] / 2)
    assert set(bench.compare(twice, before)["verdict"]) == {"same"}
    assert set(bench.compare(now, before.assign(yardstick="another"))["verdict"]) == {"gone", "new"}
    with pytest.raises(ValueError, match="tolerance"):
        bench.compare(now, before, 1.0)


def test_a_table_comes_back_from_its_file(tmp_path):
    file = tmp_path / f"{bench.name_of('AMD EPYC 7543 (32-Core)', '2026-01-31')}.csv"
    assert file.name == "bench-amd-epyc-7543-32-core-2026-01-31.csv"
    made = table(a=1.25, b=0.5).assign(what="# not a comment, but with a comma")
    bench.write(file, made, ABOUT)
    pd.testing.assert_frame_equal(bench.read(file), made, check_dtype=False)


@pytest.mark.parametrize("content", ["", "stage,what\n", "# {}\nstage\n", "# {}\nstage,what\na,b\n",
                                     "# {}\nstage,what,yardstick,ratio\na,b,c,fast\n", b"\xff\xfe\n\x00"])  # fmt: skip
def test_another_file_to_compare_with_is_named_before_anything_is_measured(tmp_path, content):
    file, output = tmp_path / "other.csv", tmp_path / "output"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = CliRunner().invoke(cli.app, ["bench", "--against", str(file), "-o", str(output)])
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith(str(file))
    assert "\n" not in str(done.exception)
    assert not output.exists()
    with pytest.raises(UserError, match=r"missing\.csv"):
        bench.read(tmp_path / "missing.csv")


def test_the_picture_shows_every_row(tmp_path):
    plot = bench.picture(table(fast=0.01, slow=3.0), ABOUT)
    axes = plot.figure.axes[0]
    assert len(axes.get_yticklabels()) == 2
    low, high = axes.get_xlim()
    assert low < 0.01
    assert high > 3
    assert all(name in plot.alt for name in ("fast", "slow"))
    bench.save(plot, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.text["Description"] == plot.alt


def test_a_unit_of_work_is_timed_beside_a_unit_of_its_yardstick(monkeypatch):
    """By a clock that only the work moves: three units in 30 ms, one in 20 ms, and ten times as slow at first."""
    now = [0.0]
    monkeypatch.setattr(bench, "Timer", partial(Timer, timer=lambda: now[0]))

    def taking(seconds: float, units: int) -> stages.Work:
        calls = count()

        def work() -> int:
            now[0] += 10 * seconds if next(calls) < 4 else seconds
            return units

        return work

    stage = stages.Stage("waiting", "three at once", "times", taking(0.03, units=3), "once", taking(0.02, units=1))
    assert bench.measure(stage, 0.1) == pytest.approx((0.01, 0.02))


def test_the_data_stages_do_the_work_that_they_name(tmp_path):
    clip, store = stages.film(tmp_path)
    widths = [face.box[2] - face.box[0] for face in store]
    assert 150 < min(widths) <= max(widths) < 350, "as in 720p footage"
    assert len(store) == stages.WANTED
    for of_a_clip in (stages.decode, stages.decode_all, stages.extract, stages.score_video):
        assert of_a_clip(clip)() == stages.WANTED
    for of_a_store in (stages.read, stages.self_blended_pairs, stages.load):
        assert of_a_store(store)() == stages.WANTED
    for face, copied in zip(store, stages.in_memory(store), strict=True):
        np.testing.assert_array_equal(face.rgb, copied.rgb)
        assert copied.rgb.base is None, "no view of the store's file"


def test_the_networks_stages_compare_like_with_like():
    """A step of ours and of timm's leaves a gradient on every weight; both ways of scoring give the same."""
    data = stages.batch(64)
    for net in (stages.build("proposed", "arcface", LITE), stages.timm.create_model(LITE, num_classes=2)):
        assert stages.step(net, data)() == stages.IMAGES
        assert all(parameter.grad is not None for parameter in net.parameters())
    net = stages.build("proposed", "arcface", LITE).eval()
    with torch.inference_mode():
        exact, fast = (stages.Scorer(net, 64, precision)(data[0]).logits for precision in ("float32", "fast"))
    np.testing.assert_allclose(exact, fast, atol=0.01)


@pytest.mark.slow
def test_a_bench_compared_with_itself_is_the_same(tmp_path):
    """On a small network; times of a few milliseconds' work mean nothing."""
    made = bench.run(seconds=0.05, backbone=LITE, size=64)
    assert (made["ratio"] > 0).all()
    assert not made.duplicated(bench.KEY).any()
    bench.write(tmp_path / "bench.csv", made, ABOUT)
    assert set(bench.compare(made, bench.read(tmp_path / "bench.csv"))["verdict"]) == {"same"}
