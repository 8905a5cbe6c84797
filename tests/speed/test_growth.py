"""What more videos cost: no more memory, and time no faster than their number."""

import multiprocessing
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import many_videos
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dfnb import sbi
from dfnb.data import store
from dfnb.plots import tables


def test_the_order_of_a_long_training_is_not_held_in_memory():
    def peak(steps: int) -> int:
        tracemalloc.start()
        alone = SimpleNamespace(num_processes=1, process_index=0)
        stream = iter(sbi.Batches(1000, 16, 0, 0, steps, alone))
        for _ in range(200):
            next(stream)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(200)
    assert peak(1_000_000) < peak(200) + 50_000


def test_stores_of_more_faces_need_no_more_memory_to_read(tmp_path):
    """Only the rows of the manifest grow, a few KiB each; pixels are mapped, never kept."""
    many_videos.draw(tmp_path / "pictures", 60)
    for videos in (6, 60):
        many_videos.prepare(tmp_path, videos)

    def peak(videos: int) -> tuple[int, int]:
        tracemalloc.start()
        faces = store.open_store(tmp_path / f"store-{videos}")
        pairs = sbi.PairDataset(faces, 64)
        size = sum(face.rgb.nbytes for face in faces)
        for i in range(len(pairs)):
            pairs[0, i]
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest, size

    peak(6)
    (few, _), (many, pixels) = peak(6), peak(60)
    assert pixels > 54 * 20_000, "the pixels alone would be more than is allowed"
    assert many < few + 54 * 6_000


def peak_mib() -> float:
    """The most memory that this process has had, MiB. (Not `ru_maxrss`, which begins with that of the parent.)"""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 2**10


def cost(work: str, folder: Path, videos: int) -> tuple[float, float]:
    """Seconds that a work takes, and MiB that it adds to the peak of this process."""
    before, began = peak_mib(), time.perf_counter()
    getattr(many_videos, work)(folder, videos)
    return time.perf_counter() - began, peak_mib() - before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's peak memory as Linux shows it")
def test_thirty_times_the_videos_need_no_more_memory_and_at_most_thirty_times_the_time(tmp_path):
    """Each measured in a process of its own, since the peak of a process's memory never falls."""
    many_videos.draw(tmp_path / "pictures", 300)
    for videos in (10, 300):
        many_videos.scores(tmp_path, videos)
    for work in ("prepare", "train", "report"):
        found = []
        for videos in (10, 300):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                found.append(pool.submit(cost, work, tmp_path, videos).result())
        (few_seconds, few_mib), (many_seconds, many_mib) = found
        assert many_seconds < 30 * few_seconds, work
        assert many_mib < few_mib + 64, work


@pytest.mark.slow
def test_the_report_of_drawn_scores_has_scikit_learns_auc(tmp_path):
    """What the tests of many videos work with goes through the report's own protocol: means over a video's frames."""
    many_videos.report(tmp_path, 10)
    results = pd.read_csv(tmp_path / "run-10" / "results.csv")
    assert set(results["network"]) == set(tables.names(many_videos.Drawn(tmp_path / "run-10", 10)))
    scores = pd.read_parquet(tmp_path / "run-10" / "proposed-arcface.parquet")
    means = scores.groupby("video").agg(score=("score", "mean"), label=("label", "first"))
    row = results[(results["network"] == "proposed-arcface") & (results["level"] == "video")].iloc[0]
    assert row["auc"] == pytest.approx(roc_auc_score(means["label"] == "fake", means["score"]))
