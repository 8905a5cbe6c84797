"""The bench: what it computes is exact, what it times is the report's own work, and more videos cost no more memory."""

import shutil
import time
import tracemalloc
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from PIL import Image
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from dfnb import cli, networks, profile, sbi
from dfnb.common.errors import UserError
from dfnb.data import frames, store
from dfnb.experiment.run import Run
from dfnb.plots import tables
from dfnb.speed import agreement, growth, measure, stages, steps, table, ways, whole
from dfnb.training import loop

ABOUT = {"hardware": "a machine", "date": "2026-01-31"}


def rows(**ratios: float) -> pd.DataFrame:
    made = [table.row(name, "some work", "times", ratio, "a second", 1.0) for name, ratio in ratios.items()]
    return table.frame(made)


# ---- the table ----


def test_a_row_compares_its_time_with_the_yardsticks():
    one = table.row("SBI pair", "work", "pairs", seconds=0.004, yardstick="SHA", yard=0.010, limit=0.6)
    assert (one.per_second, one.ms, one.yardstick_ms) == pytest.approx((250, 4, 10))
    assert one.ratio == pytest.approx(0.4)
    slow = table.row("scoring", "work", "images", seconds=1.0, yardstick="SHA", yard=1.0, limit=0.5)
    text = table.text(table.frame([one, slow._replace(scaling=1.9, share=0.25)]))
    assert "0.6 met" in text
    assert "0.5 NOT met" in text
    assert "x 1.90" in text
    assert "25.0%" in text


def test_shares_sum_to_one():
    assert table.shares({"a": 1.0, "b": 3.0}) == {"a": 0.25, "b": 0.75}


def test_tables_are_compared_by_ratio():
    before = rows(equal=1.0, little=1.0, slow=1.0, quick=1.0, gone=1.0)
    now = rows(equal=1.0, little=1.2, slow=1.3, quick=0.7, new=1.0)
    found = table.compare(now, before)
    assert dict(zip(found["stage"], found["verdict"], strict=True)) == {
        "equal": "same", "little": "same", "slow": "slower", "quick": "faster", "gone": "gone", "new": "new",
    }  # fmt: skip
    assert found["stage"].tolist()[:5] == now["stage"].tolist()
    assert found.set_index("stage")["change"]["slow"] == pytest.approx(1.3)
    assert table.compare(now, before, 1.4)["verdict"].isin(["same", "faster", "new", "gone"]).all()
    # a machine twice as fast has the same ratios
    twice = before.assign(ms=before["ms"] / 2, yardstick_ms=before["yardstick_ms"] / 2)
    assert set(table.compare(twice, before)["verdict"]) == {"same"}
    other = before.assign(yardstick="another")
    assert set(table.compare(other, before)["verdict"]) == {"gone", "new"}
    with pytest.raises(ValueError, match="tolerance"):
        table.compare(now, before, 1.0)


def test_a_table_comes_back_from_its_file(tmp_path):
    file = tmp_path / f"{table.name_of('AMD EPYC 7543 (32-Core)', '2026-01-31')}.csv"
    assert file.name == "bench-amd-epyc-7543-32-core-2026-01-31.csv"
    made = rows(a=1.25, b=0.5).assign(what="# not a comment, but with a comma")
    table.write(file, made, ABOUT | {"versions": {"torch": "1"}})
    back, about = table.read(file)
    pd.testing.assert_frame_equal(back, made, check_dtype=False)
    assert about["versions"] == {"torch": "1"}
    assert about["hardware"] == "a machine"


@pytest.mark.parametrize(
    "content", ["", "stage,what\n", "# 3\n", '# {"format": 99}\nstage\n', '# {"format": 1}\nstage,what\na,b\n']
)
def test_another_file_is_no_bench_table(tmp_path, content):
    file = tmp_path / "other.csv"
    file.write_text(content)
    with pytest.raises(UserError, match=r"other\.csv"):
        table.read(file)
    with pytest.raises(UserError, match="missing"):
        table.read(tmp_path / "missing.csv")


def test_a_wrong_file_to_compare_with_is_named_before_anything_is_measured(tmp_path):
    done = CliRunner().invoke(cli.app, ["bench", "--against", str(tmp_path / "none.csv"), "-o", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert "none.csv" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_the_pictures_show_every_row(tmp_path):
    made = rows(fast=0.01, slow=3.0).assign(limit=[0.6, np.nan])
    plot = table.picture(made, ABOUT)
    axes = plot.figure.axes[0]
    assert len(axes.get_yticklabels()) == 2
    low, high = axes.get_xlim()
    assert low < 0.01
    assert high > 3
    assert all(name in plot.alt for name in ("fast", "slow"))
    table.save(plot, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.text["Description"] == plot.alt
    cost = pd.DataFrame(
        {"work": ["a", "a"], "videos": [10, 1000], "seconds": [1.0, 90.0], "start_mib": 50.0, "peak_mib": [60.0, 61.0]}
    )
    plot = growth.picture(cost, ABOUT)
    assert "1000 videos: 90 s, 11 MiB" in plot.alt


# ---- taking times ----


def test_the_best_of_several_times_counts(monkeypatch):
    """By a clock that only the work moves."""
    now = [0.0]
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def working(*seconds: float, count: int = 1):
        left = list(seconds)

        def work() -> int:
            now[0] += left.pop(0) if len(left) > 1 else left[0]
            return count

        return work

    timing = measure.against(working(9, 4, 2, 6, count=2), working(9, 3, 1), seconds=10)
    assert timing == (1.0, 1.0, 3)
    assert measure.in_turn([working(9, 4, 2, 6), working(9, 5, 8)], repeats=3) == [2.0, 5.0]


def test_yardsticks_do_their_work():
    assert measure.sha256_16_mib()().hex().startswith("080acf35a507ac98")  # of 16 MiB of zeros, by sha256sum
    product = measure.product_2048()()
    assert product.shape == (2048, 2048)
    assert product.dtype == torch.float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("bench")
    with measure.one_thread():
        stages.film(where, people=1)
    return where


def test_the_stages_work_on_what_they_say(folder):
    kept = stages.faces(folder)
    assert len(kept) == stages.WANTED
    widths = [face.box[2] - face.box[0] for face in kept]
    assert 150 < min(widths) <= max(widths) < 350, "as in 720p footage"
    counts = {name: stages.make(name, folder)() for name in stages.WORKS}
    assert counts["decoding"] == counts["face stage"] == counts["store reading"] == counts["SBI pair"] == stages.WANTED
    assert counts["benchmark rendering"] == 2
    assert stages.gigabytes_of_a_face(folder) * 2**30 == pytest.approx(np.mean([face.rgb.size for face in kept]))


def waiting_in_line(name: str, folder: Path) -> measure.Work:
    """Work that needs no processor, or one thing that only one process can have."""
    if name == "broken":
        raise ValueError("no such work")
    lock = FileLock(folder / "lock") if name == "one at a time" else nullcontext()

    def work() -> int:
        with lock:
            time.sleep(0.05)
        return 3

    return work


@pytest.mark.slow
def test_two_workers_are_set_beside_one(tmp_path):
    """What needs nothing in common is done twice as fast by two, what needs one thing in common is not."""
    with measure.crew(waiting_in_line, ["free", "one at a time"], tmp_path, seconds=1.5) as measured:
        rates = measured()
    alone, together = rates["free"]
    assert 40 < alone <= 60
    assert 1.7 < together / alone < 2.3
    alone, together = rates["one at a time"]
    assert together / alone < 1.3
    with (
        pytest.raises(RuntimeError, match="ValueError: no such work"),
        measure.crew(waiting_in_line, ["broken"], tmp_path, seconds=0.1) as measured,
    ):
        measured()


@pytest.mark.slow
def test_the_plain_face_stage_finds_the_same_number_of_faces(folder):
    assert stages.extract_plainly(folder)() == stages.extract(folder)() == stages.WANTED


def test_the_networks_stages_compare_like_with_like():
    """A step of ours and one of timm's leave a gradient on every weight, and scoring by both ways gives the same."""
    made = whole.network_stages("tf_efficientnet_lite0", 64, repeats=1)
    assert [one.stage for one in made].count("training step") == 6
    assert made[-1].stage == "scoring"
    assert all(one.ratio > 0 for one in made)
    data = steps.batch(64, 4)
    plain, ours = (
        steps.plain_scoring(data[0], "tf_efficientnet_lite0")(),
        steps.scoring_work(data[0], "tf_efficientnet_lite0")(),
    )
    assert np.allclose(plain.logits.softmax(1)[:, 1].numpy(), ours[0], atol=0.01)
    net = networks.build("proposed", "arcface", "tf_efficientnet_lite0", pretrained=False, seed=0).train()
    loop.losses(net, *data, attention_weight=1.0).total.backward()
    assert all(p.grad is not None for p in net.parameters())


def test_an_epochs_shares_are_of_reading_blending_and_learning():
    made = [
        table.row("store reading", "a", "faces", 1.0, "y", 1.0), table.row("SBI pair", "a", "pairs", 3.0, "y", 1.0),
        table.row("training step", "timm's", "images", 7.0, "y", 1.0),
        table.row("training step", "proposed arcface", "images", 8.5, "y", 1.0),
    ]  # fmt: skip
    assert whole.shared(table.frame(made))["share"].tolist() == pytest.approx([0.05, 0.1, 0, 0.85])


@pytest.mark.slow
def test_other_ways_do_the_same_work(folder, monkeypatch):
    """Every way of decoding gives 8 frames, all ways are timed, and a compiled step ends."""
    monkeypatch.setattr(ways, "CLIPS", ((40, 12), (40, 250)))
    made = table.frame([*ways.decoding(folder, repeats=1), *ways.jpeg(folder, repeats=1)])
    assert made["stage"].value_counts().to_dict() == {"ways of decoding": 6, "JPEG round trip": 2}
    assert (folder / "40-250.mp4").exists()
    places = frames.places(40, 8)
    assert ways._grabbed(folder / "40-12.mp4", places) == len(list(frames.sample_frames(folder / "40-12.mp4", 8))) == 8
    assert ways._all(folder / "40-12.mp4") == 40
    if shutil.which("g++") or shutil.which("clang++") or shutil.which("cl"):
        assert len(ways.compiled("test_efficientnet", 64, 4, repeats=1)) == 4


@pytest.mark.slow
def test_the_whole_bench_runs(tmp_path):
    """With two workers, started anew; figures of a few milliseconds' work mean nothing."""
    made, about = whole.run(seconds=0.1, backbone="tf_efficientnet_lite0", size=64)
    assert set(stages.WORKS) < set(made["stage"])
    assert made["scaling"].notna().sum() >= len(stages.WORKS)
    assert made["share"].sum() == pytest.approx(1)
    table.write(tmp_path / "bench.csv", made, about)
    assert set(table.compare(made, table.read(tmp_path / "bench.csv")[0])["verdict"]) == {"same"}


@pytest.mark.slow
def test_fast_ways_agree_with_plain_ones_on_a_run(tmp_path):
    """On a run of a few videos, whose networks know nothing: faces are found as often, and scores hardly move."""
    run = Run(profile.load("smoke", {"runs": str(tmp_path)}))
    found = agreement.measure(run, "tf_efficientnet_lite0", 64)
    assert set(found["part"]) == set(run.tests)
    seen = found[found["what"] == "frames with a face"]
    assert (seen["fast"] >= seen["plain"]).all()
    assert (seen["plain"] > 0).all()
    moved = found[found["what"].str.startswith("largest change")]
    assert len(moved) == len(run.tests) + 1
    assert (moved["fast"] < 1e-3).all()


# ---- more videos ----


def test_an_epoch_of_any_length_needs_no_more_memory():
    """The order of a long training isn't written down beforehand."""

    def peak(steps_in_all: int) -> int:
        tracemalloc.start()
        one = SimpleNamespace(num_processes=1, process_index=0)
        stream = iter(loop.Batches(1000, 16, 0, 0, steps_in_all, one))
        for _ in range(200):
            next(stream)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(200)
    assert peak(1_000_000) < peak(200) + 50_000


def test_stores_of_more_faces_need_no_more_memory_to_read(tmp_path):
    """Only the rows of the manifest grow, a few KiB each; pixels are mapped, never kept."""
    growth.draw(tmp_path / "pictures", 60)
    for videos in (6, 60):
        growth.prepare(tmp_path, videos)

    def peak(videos: int) -> tuple[int, int]:
        tracemalloc.start()
        kept = store.open_store(tmp_path / f"store-{videos}")
        pairs = sbi.PairDataset(kept, 64)
        size = sum(face.rgb.nbytes for face in kept)
        for i in range(len(pairs)):
            pairs[0, i]
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest, size

    peak(6)
    (few, _), (many, pixels) = peak(6), peak(60)
    assert pixels > 54 * 20_000, "the pixels alone would be more than is allowed"
    assert many < few + 54 * 6_000


def test_the_report_of_more_videos_is_the_reports_own(tmp_path):
    """Its AUCs are scikit-learn's of the drawn scores, by the video protocol."""
    growth.report(tmp_path, 10)
    run = growth.Drawn(tmp_path / "run-10", 10)
    results = pd.read_csv(tmp_path / "run-10" / "results.csv")
    assert set(results["network"]) == set(tables.names(run))
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    scores = pd.read_parquet(tmp_path / "run-10" / "proposed-arcface.parquet")
    assert len(scores) == 10 * 32
    means = scores.groupby("video").agg(score=("score", "mean"), label=("label", "first"))
    row = results[(results["network"] == "proposed-arcface") & (results["level"] == "video")].iloc[0]
    assert row["auc"] == pytest.approx(roc_auc_score(means["label"] == "fake", means["score"]))


@pytest.mark.slow
def test_memory_stays_flat_and_time_linear_in_processes_of_their_own():
    cost = growth.measure(videos=(10, 300))
    assert cost.groupby("work").size().eq(2).all()
    grown = (cost["peak_mib"] - cost["start_mib"]).groupby(cost["work"]).agg(np.ptp)
    assert grown.max() < 64
