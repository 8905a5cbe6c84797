"""Two sides compared over several test sets at once: a side is the trainings (seeds) of one network or recipe.

What is asked is whether one side has the higher AUC, set by set and on the mean over the sets, and how small a
difference these videos and seeds could have shown (`comparisons.smallest`). Groups (people, targets) are resampled for
all sets together, since two sets may show the same people.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfnb.scoring import comparisons, metrics
from dfnb.scoring.comparisons import Sampling, SeedSpread
from dfnb.scoring.metrics import DrawnGroups

MEAN = "mean"  # the last row: over the kinds
DRAWS = 2000
Scores = Mapping[str, Sequence[pd.DataFrame]]  # part -> video scores, a table a training, as `Run.video_scores`


class Part(NamedTuple):
    """The videos of a part: fake (n,), groups (n,), and the scores of both sides (trainings, n)."""

    fake: NDArray[np.bool_]
    groups: NDArray[np.object_]
    ours: NDArray[np.float64]
    theirs: NDArray[np.float64]


def contrast(
    ours: Scores,
    theirs: Scores,
    kinds: Mapping[str, Sequence[str]] | None = None,
    spreads: Mapping[str, SeedSpread | None] | None = None,
) -> pd.DataFrame:
    """The AUC of `ours` minus that of `theirs`, averaged over trainings: a row a kind, and the mean over the kinds.

    ours, theirs: of the same parts and videos. kinds: parts grouped by name, whose AUCs are averaged; each part by
    itself unless given. spreads: over seeds, by kind (MEAN too), see `seed_spreads`; by default of the two sides alone.
    Columns: kind, auc, reference_auc, difference, low, high (95 %), p, smallest (difference found with 80 %
    probability), worst_auc and worst_reference_auc (of the trainings), averaged_auc and averaged_reference_auc (of the
    scores averaged over trainings), seeds, reference_seeds.
    The interval covers other videos of the same kinds and, where the spread is known, other seeds.
    Raises ValueError where the trainings were scored on different videos.
    """
    parts = {part: part_of(ours[part], theirs[part]) for part in ours}
    drawn = draw({name: (part.fake, part.groups) for name, part in parts.items()})
    grouped = {part: (part,) for part in parts} if kinds is None else kinds
    kept = {name: differences(part, drawn[name]) for name, part in parts.items()}
    fewest = {name: drawn[name].fewest for name in parts}
    aucs = {name: [_aucs(part.fake, rows) for rows in (part.ours, part.theirs)] for name, part in parts.items()}
    means = {
        name: [metrics.auc(part.fake, rows.mean(0)).value for rows in (part.ours, part.theirs)]
        for name, part in parts.items()
    }
    rows = []
    for kind, weights in weights_of(grouped).items():
        a, b = (sum(weights[name] * aucs[name][side] for name in weights) for side in (0, 1))
        averaged = [sum(weights[name] * means[name][side] for name in weights) for side in (0, 1)]
        values = sum(weights[name] * kept[name] for name in weights)
        sampling = Sampling(float(a.mean() - b.mean()), _error(values), min(fewest[name] for name in weights))
        if spreads is None:
            of_seeds = pd.DataFrame({"network": ["a"] * len(a) + ["b"] * len(b), "auc": [*a, *b]})
            spread = comparisons.seed_spread(of_seeds)
        else:
            spread = spreads[kind]
        rows.append({"kind": kind} | _row(sampling, spread, a, b, averaged))
    return pd.DataFrame(rows)


def _row(
    sampling: Sampling,
    spread: SeedSpread | None,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    averaged: Sequence[float],
) -> dict[str, float]:
    seeds = (len(a), len(b))
    outcome = comparisons.with_seeds(sampling, spread, seeds)
    return {
        "auc": a.mean(), "reference_auc": b.mean(), "difference": outcome.difference, "low": outcome.low,
        "high": outcome.high, "p": outcome.p_value, "smallest": comparisons.smallest(sampling, spread, seeds),
        "worst_auc": a.min(), "worst_reference_auc": b.min(), "averaged_auc": averaged[0],
        "averaged_reference_auc": averaged[1], "seeds": seeds[0], "reference_seeds": seeds[1],
    }  # fmt: skip


def weights_of(kinds: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """What each part's AUC weighs in a kind's (equal parts of it) and, last, in that of `MEAN` (equal kinds)."""
    weights = {kind: {part: 1 / len(parts) for part in parts} for kind, parts in kinds.items()}
    return weights | {MEAN: {part: 1 / len(parts) / len(kinds) for parts in kinds.values() for part in parts}}


def kind_aucs(aucs: pd.DataFrame, kinds: Mapping[str, Sequence[str]]) -> dict[str, pd.Series]:
    """The AUC of every kind, and of their mean: a series over network and seed.

    aucs: columns network, seed, part, auc; a network and seed without all parts of a kind is left out.
    """
    wide = aucs.pivot_table(index=["network", "seed"], columns="part", values="auc")
    return {
        kind: sum(weight * wide[part] for part, weight in weights.items()).dropna().rename("auc")
        for kind, weights in weights_of(kinds).items()
    }


def seed_spreads(aucs: pd.DataFrame, kinds: Mapping[str, Sequence[str]]) -> dict[str, SeedSpread | None]:
    """The spread over seeds of every kind's AUC, and of their mean, pooled over networks. aucs: as in `kind_aucs`."""
    return {kind: comparisons.seed_spread(values.reset_index()) for kind, values in kind_aucs(aucs, kinds).items()}


def draw(
    parts: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.object_]]], draws: int = DRAWS, size: float = 1.0
) -> dict[str, DrawnGroups]:
    """Bootstrap samples of whole groups, for several parts at once: a group has the same weight in all of them.

    parts: fake (n,) and group (n,) of each. Groups are drawn with replacement among those that have real videos and
    fakes in the same parts. size: how many are drawn, as a multiple of how many there are (at least one of each).
    """
    rows = [
        pd.DataFrame({"group": groups.astype(str), "where": name, "fake": fake})
        for name, (fake, groups) in parts.items()
    ]
    table = pd.concat(rows)
    table["where"] = table["where"] + np.where(table["fake"], " fake", " real")
    strata = table.groupby("group")["where"].agg(lambda where: " ".join(sorted(set(where))))
    rng, times = np.random.default_rng(0), np.zeros((draws, len(strata)))
    for stratum in sorted(set(strata)):
        inside = np.flatnonzero(strata == stratum)
        count = max(1, round(size * len(inside)))
        drawn = inside[rng.integers(len(inside), size=(draws, count))] + len(strata) * np.arange(draws)[:, None]
        times += np.bincount(drawn.ravel(), minlength=times.size).reshape(times.shape)
    found = {}
    for name, (fake, groups) in parts.items():
        member = strata.index.get_indexer(groups.astype(str))
        fewest = min(len(set(member[fake])), len(set(member[~fake])))
        found[name] = DrawnGroups(times, member, fewest)
    return found


def part_of(ours: Sequence[pd.DataFrame], theirs: Sequence[pd.DataFrame]) -> Part:
    """The videos of a part with the scores of both sides. Raises ValueError where the videos differ."""
    labels, groups, scores = comparisons.align([*ours, *theirs])
    return Part(labels.to_numpy(), groups, scores[: len(ours)], scores[len(ours) :])


def _aucs(fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([metrics.auc(fake, row).value for row in scores])


def differences(part: Part, drawn: DrawnGroups) -> NDArray[np.float64]:
    """The difference of the sides' mean AUCs in every bootstrap sample (draws,)."""
    labels = part.fake.astype(np.int64)
    ours, theirs = (
        np.mean([metrics.resampled_auc(labels, row, drawn) for row in rows], axis=0)
        for rows in (part.ours, part.theirs)
    )
    return ours - theirs


def _error(values: NDArray[np.float64]) -> float | None:
    """The standard error; None where all resamples agree, and then nothing is known of it."""
    return float(np.std(values, ddof=1)) if np.ptp(values) > 1e-12 else None
