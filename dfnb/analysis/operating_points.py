"""Thresholds on video scores: what each calls real and fake, and where it lies on the ROC curve.

"Called fake" means a score at or above the threshold.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dfnb.plots.style import FAINT, FAKE, INK, REAL, Plot, look, new_figure, styled
from dfnb.scoring import metrics


def thresholds(videos: pd.DataFrame) -> dict[str, float]:
    """Three thresholds: one half, where both errors are equal, and where one real video in ten is called fake.

    videos: columns label ("real" or "fake") and score. The last two are chosen on the very videos they are evaluated
    on, and so are too optimistic.
    """
    labels, scores = _arrays(videos)
    return {
        "one half": 0.5,
        "both errors equal": metrics.threshold_at(labels, scores),
        "1 in 10 real called fake": metrics.threshold_at(labels, scores, 0.1),
    }


def confusion(videos: pd.DataFrame, chosen: Mapping[str, float] | None = None) -> pd.DataFrame:
    """The confusion tables of several thresholds, `thresholds` by default, a row each.

    Columns: threshold (its name), value, and counts and shares of the real and the fake videos by what they are called.
    Raises ValueError where a class is missing.
    """
    labels, scores = _arrays(videos)
    rows = []
    for name, threshold in (chosen or thresholds(videos)).items():
        rates = metrics.error_rates(labels, scores, threshold)
        false_positives, missed = round(rates.false_positive * rates.real), round(rates.false_negative * rates.fake)
        rows.append(
            {
                "threshold": name,
                "value": threshold,
                "real called real": rates.real - false_positives,
                "real called fake": false_positives,
                "fake called real": missed,
                "fake called fake": rates.fake - missed,
                "real called fake, share": false_positives / rates.real,
                "fake called fake, share": (rates.fake - missed) / rates.fake,
            }
        )
    return pd.DataFrame(rows)


def figure(videos: pd.DataFrame, network: str, chosen: Sequence[float]) -> Plot:
    """Scores of real and fake videos with thresholds drawn through them, and where these lie on the ROC curve.

    videos: `Run.video_scores` of one network. chosen: thresholds, numbered in this order where there are several.
    """
    labels, scores = _arrays(videos)
    roc, edges = metrics.roc(labels, scores), np.linspace(0, 1, 26)
    numbers = confusion(videos, {f"{k}": threshold for k, threshold in enumerate(chosen, 1)})
    with styled():
        drawing = new_figure(3.3)
        drawing.set_layout_engine("none")  # the same places whatever the scores
        spread, curve = drawing.add_axes((0.03, 0.17, 0.53, 0.7)), drawing.add_axes((0.68, 0.17, 0.3, 0.7))
        most, counts = 0, {}
        for label, colour, side in (("real", REAL, 1), ("fake", FAKE, -1)):
            counts[label], _ = np.histogram(scores[labels == (label == "fake")], edges)
            spread.stairs(side * counts[label], edges, fill=True, color=colour)
            most = max(most, counts[label].max())
        spread.axhline(0, color=INK, lw=0.8)
        spread.set(xlim=(0, 1), ylim=(-1.1 * most, 1.2 * most), yticks=[], xlabel="score of a video")
        spread.set_title(f"{counts['real'].sum()} real videos above, {counts['fake'].sum()} fake ones below")
        spread.spines["left"].set_visible(False)
        curve.plot(roc.fpr, roc.tpr, color=look(network).colour, lw=look(network).width)
        curve.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=(0, (2, 3)))
        half = (0, 0.5, 1)
        curve.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), xticks=half, yticks=half, title="on the ROC curve")
        curve.set(xlabel="real called fake", ylabel="fakes called fake")
        for k, row in numbers.iterrows():
            at, fpr, tpr = row["value"], row["real called fake, share"], row["fake called fake, share"]
            spread.axvline(at, color=INK, lw=1.5)
            curve.plot(fpr, tpr, "o", ms=8, color=INK, mec="white", clip_on=False, zorder=5)
            if len(numbers) > 1:  # each number lower than the one before, since thresholds may lie close together
                where, low = {"textcoords": "offset points", "va": "center"}, 14 * k
                spread.annotate(row["threshold"], (at, spread.get_ylim()[1]), xytext=(4, -8 - low), **where)
                arrow = {"arrowstyle": "-", "color": FAINT, "lw": 0.8, "shrinkA": 1, "shrinkB": 3}
                curve.annotate(row["threshold"], (fpr, tpr), xytext=(16, -12 - low), arrowprops=arrow, **where)
    texts = "; ".join(
        f"at {row['value']:.2f}, {row['real called fake']} of {counts['real'].sum()} real and "
        f"{row['fake called fake']} of {counts['fake'].sum()} fake videos are called fake"
        for _, row in numbers.iterrows()
    )
    alt = f"Video scores of {look(network).label} and its ROC curve with thresholds: {texts}."
    return Plot(drawing, numbers, alt)


def _arrays(videos: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Labels (True where fake) and scores, (n,) each."""
    return (videos["label"] == "fake").to_numpy(), videos["score"].to_numpy(float)
