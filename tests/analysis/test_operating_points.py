"""Thresholds on video scores: counts against scikit-learn's, and the figure against its table."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, roc_curve

from dfnb.analysis import operating_points


@pytest.fixture(scope="module")
def scored() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    label = np.repeat(["real", "fake"], (40, 60))
    return pd.DataFrame({"label": label, "score": np.clip(rng.normal(np.where(label == "fake", 0.6, 0.4), 0.15), 0, 1)})


@pytest.mark.parametrize("k", [None, 7, 80])
def test_counts_and_shares_are_those_another_library_gives(scored, k):
    truth = scored["label"] == "fake"
    fpr, tpr, _ = roc_curve(truth, scored["score"], drop_intermediate=False)
    chosen = {"a": 0.0, "b": 0.5, "c": 0.9} if k is None else {"a score": float(scored["score"].iloc[k])}
    for _, row in operating_points.confusion(scored, chosen).iterrows():
        counts = [[row[f"{a} called {b}"] for b in ("real", "fake")] for a in ("real", "fake")]
        assert counts == confusion_matrix(truth, scored["score"] >= row["value"]).tolist()
        gaps = np.hypot(fpr - row["real called fake, share"], tpr - row["fake called fake, share"])
        assert gaps.min() < 1e-12  # a point of the curve


def test_the_three_thresholds_are_what_their_names_say(scored):
    chosen = operating_points.confusion(scored).set_index("threshold")
    assert chosen.loc["one half", "value"] == 0.5
    assert chosen.loc["1 in 10 real called fake", "real called fake, share"] <= 0.1
    equal = chosen.loc["both errors equal"]
    assert abs(equal["real called fake, share"] - (1 - equal["fake called fake, share"])) < 0.05


@pytest.mark.parametrize("thresholds", [[0.4], [0.2, 0.65]])
def test_the_figure_marks_each_threshold_at_its_score_and_on_the_curve(scored, thresholds):
    plot = operating_points.figure(scored, "proposed-arcface", thresholds)
    spread, curve = plot.figure.axes
    assert [line.get_xdata()[0] for line in spread.lines[1:]] == thresholds  # the first is the axis
    points = [line.get_xydata()[0].tolist() for line in curve.lines if line.get_marker() == "o"]
    assert points == plot.numbers[["real called fake, share", "fake called fake, share"]].to_numpy().tolist()
    texts = [text.get_text() for text in (*spread.texts, *curve.texts)]
    assert texts == (["1", "2", "1", "2"] if len(thresholds) > 1 else [])


def test_a_class_that_is_missing_is_an_error(scored):
    with pytest.raises(ValueError, match="class"):
        operating_points.confusion(scored[scored["label"] == "real"], {"a": 0.5})
