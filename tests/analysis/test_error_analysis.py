"""Errors by size and pose: bins against doing it by hand, and the choice of the face that decides a frame."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from drawn_faces import landmarks
from sklearn.metrics import roc_auc_score

from dfnb.analysis import error_analysis
from dfnb.scoring import metrics


def made_up(n: int = 300) -> pd.DataFrame:
    """Videos whose fakes are found the better, the larger the face."""
    rng = np.random.default_rng(0)
    size, fake = rng.uniform(80, 260, n), np.arange(n) % 2 == 1
    score = 0.3 + fake * (size - 80) / 200 + rng.normal(0, 0.2, n)
    table = pd.DataFrame({"dataset": "d", "video": [str(k) for k in range(n)], "score": score, "size": size})
    table["group"] = table["video"]
    return table.assign(label=np.where(fake, "fake", "real"), yaw=rng.uniform(0, 25, n), pitch=rng.uniform(0, 9, n))


def test_bins_hold_a_third_each_and_their_own_auc():
    table = made_up()
    found = error_analysis.by_bins(table)
    assert found.groupby("by")[["real", "fake"]].sum().to_numpy().tolist() == [[150, 150]] * 3
    edges = np.sort(table["size"].to_numpy())[[0, 99, 100, 199, 200, 299]]
    bins = found[found["by"] == "size"]
    np.testing.assert_array_equal(bins[["start", "end"]].to_numpy().ravel(), edges)
    for row in bins.itertuples():
        members = table[table["size"].between(row.start, row.end)]
        assert row.auc == pytest.approx(roc_auc_score(members["label"] == "fake", members["score"]))
        assert (row.auc, row.low, row.high) == pytest.approx(
            metrics.auc_logit(members["label"] == "fake", members["score"])
        )
    finding = error_analysis.finding(found)
    assert "**1 of 3 comparisons**: d, face size +" in finding
    assert "yaw" not in finding


def test_a_bin_without_a_class_has_no_auc():
    table = made_up(12).assign(label=["real"] * 6 + ["fake"] * 6, size=np.arange(12.0))
    bins = error_analysis.by_bins(table)
    bins = bins[bins["by"] == "size"]
    assert bins["auc"].isna().tolist() == [True, False, True]
    assert error_analysis.figure(error_analysis.by_bins(table), "proposed-arcface").numbers.shape == (9, 10)
    finding = error_analysis.finding(error_analysis.by_bins(table))
    assert "of 2 comparisons" in finding
    assert "nan" not in finding


def test_a_difference_is_clear_where_its_interval_leaves_out_zero():
    """Zou and Donner's worked form by hand: 0.70 (0.58 to 0.80) against 0.95 (0.88 to 0.98)."""
    table = pd.DataFrame({"dataset": "d", "by": "size", "auc": [0.70, 0.95], "low": [0.58, 0.88], "high": [0.80, 0.98]})
    low, high = 0.25 - np.sqrt(0.07**2 + 0.10**2), 0.25 + np.sqrt(0.03**2 + 0.12**2)
    assert f"d, face size +0.250 (+{low:.3f} to +{high:.3f})." in error_analysis.finding(table)
    close = table.assign(auc=[0.80, 0.85], low=[0.70, 0.76], high=[0.88, 0.91])
    assert "**0 of 1 comparisons**, so nothing here decides" in error_analysis.finding(close)


@pytest.mark.parametrize(("size_rule", "size"), [(False, 105.0), (True, 160.0)])
def test_the_face_that_decides_a_frame_is_described(size_rule, size):
    """Of all faces the one with the highest score; under the size rule it may be too small to decide."""
    marks = np.stack([landmarks(100, (200, 200)), landmarks(150, (400, 200))] * 2)
    rows = pd.DataFrame(
        {
            "dataset": "d", "video": "v", "frame": [0, 0, 5, 5], "face": [0, 1, 0, 1], "score": [0.9, 0.2, 0.8, 0.1],
            "x0": 0.0, "y0": 0.0, "x1": [100.0, 160.0, 110.0, 160.0], "y1": [100.0, 160.0, 110.0, 160.0],
            "frame_height": 480, "frame_width": 640, "label": "real", "method": "m", "group": "g",
        }
    )  # fmt: skip
    run = SimpleNamespace(
        store=lambda part: SimpleNamespace(manifest=rows, landmarks=marks),
        scores=lambda part, name: rows,
        video_scores=lambda part, name: metrics.video_scores(rows, rule=size_rule),
        profile=SimpleNamespace(evaluate=SimpleNamespace(size_rule=size_rule)),
    )
    found = error_analysis.videos(run, "ffiw", "x")
    assert found["size"].tolist() == [size]  # the median over the frames
    assert found["score"].iloc[0] == pytest.approx(0.15 if size_rule else 0.85)
    assert 0 <= found["yaw"].iloc[0] < 10
