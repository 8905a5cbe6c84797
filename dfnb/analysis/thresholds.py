"""A threshold fixed beforehand and its error rates on test videos, and the videos in which no face was found."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dfnb.analysis.findings import NOTHING
from dfnb.plots.style import look
from dfnb.plots.tables import compared, names
from dfnb.scoring import metrics

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

VALIDATION = "validation-pairs"  # held-out SBI pairs of the validation videos, scored like videos


def fixed(run: "Run", name: str, fpr: float | None = None) -> float:
    """The threshold of `thresholds` for one network, fixed on its validation data; first seed."""
    known = run.video_scores(VALIDATION, name)
    return metrics.threshold_at(known["label"] == "fake", known["score"], fpr)


def thresholds(run: "Run", fpr: float | None = None) -> pd.DataFrame:
    """A threshold fixed on validation data, and what it gets wrong on test videos; first seed of the run's networks.

    Validation is real videos and their self-blended counterparts: no manipulated video decides anything. fpr: see
    `metrics.threshold_at`; None puts the threshold where the two errors are closest to each other.
    Columns: set, network, threshold, false_alarms (share of the real called fake) and missed (share of the fakes called
    real), each with _low and _high (95 %, over groups: `metrics.share_groups`), real, fake (test videos),
    validation (videos the threshold rests on).
    """
    rows = []
    for name in names(run):
        known, threshold = run.video_scores(VALIDATION, name), fixed(run, name, fpr)
        for part in run.tests:
            videos = run.video_scores(part, name)
            fake, called = videos["label"] == "fake", videos["score"] >= threshold
            row = {"set": run.title(part), "network": name, "threshold": threshold}
            row |= _share("false_alarms", called[~fake], videos.loc[~fake, "group"])
            row |= _share("missed", ~called[fake], videos.loc[fake, "group"])
            rows.append(row | {"real": int((~fake).sum()), "fake": int(fake.sum()), "validation": len(known)})
    return pd.DataFrame(rows)


def _share(name: str, hits: pd.Series, groups: pd.Series) -> dict[str, float]:
    """A share and its 95 % interval over groups."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), metrics.share_groups(hits, groups), strict=True))


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`thresholds` as a table to read: shares with their intervals, in per cent."""

    def percent(name: str) -> list[str]:
        columns = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        return [f"{100 * a:.0f} % ({100 * b:.0f} to {100 * c:.0f})" for a, b, c in columns]

    return pd.DataFrame(
        {
            "set": table["set"],
            "network": [look(name).label for name in table["network"]],
            "threshold": table["threshold"],
            "real called fake": percent("false_alarms"),
            "fakes called real": percent("missed"),
            "videos": table["real"] + table["fake"],
        }
    )


def finding(table: pd.DataFrame) -> str:
    """In which cases the two error rates, balanced on validation videos, lie apart on the test videos."""
    apart = (table["false_alarms_low"] > table["missed_high"]) | (table["missed_low"] > table["false_alarms_high"])
    cases = "; ".join(f"{look(row.network).label} on {row.set}" for row in table[apart].itertuples())
    found = f"**{apart.sum()} of {len(table)} cases**" + (f": {cases}" if cases else f", so {NOTHING}")
    return f"The intervals of the two error rates lie apart in {found}."


def without_face(run: "Run") -> pd.DataFrame:
    """AUC with videos that have no face scored 0.5 (SBI's protocol), and with them left out; first seed.

    Columns: set, network, videos, without a face (also those that can't be read), AUC at 0.5, AUC left out (NaN where
    one class is left).
    """
    rows = []
    for part, name in [(at, name) for at in run.tests for name in compared(run, at)]:
        videos = run.video_scores(part, name)
        kept = videos[videos["frames"] > 0]
        both = kept["label"].nunique() == 2
        rows.append(
            {
                "set": run.title(part),
                "network": look(name).label,
                "videos": len(videos),
                "without a face": len(videos) - len(kept),
                "AUC, these at 0.5": metrics.auc(videos["label"] == "fake", videos["score"]).value,
                "AUC, these left out": metrics.auc(kept["label"] == "fake", kept["score"]).value if both else np.nan,
            }
        )
    return pd.DataFrame(rows)
