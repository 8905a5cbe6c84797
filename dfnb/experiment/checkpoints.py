"""Two sets of checkpoints, such as the seeds of two recipes, compared on every test set of a profile."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.experiment.run import Run
from dfnb.networks.checkpoint import trained_for
from dfnb.scoring import comparisons, metrics
from dfnb.scoring.comparisons import Sampling

MEAN = "mean"  # the last row: over the kinds


def compare(
    run: Run, ours: Sequence[Path], theirs: Sequence[Path], kinds: Mapping[str, Sequence[str]] | None = None
) -> pd.DataFrame:
    """The AUC of `ours` minus that of `theirs`, averaged over checkpoints (seeds): a row a kind, and their mean.

    kinds: test parts grouped by name, whose AUCs are averaged; parts that no kind names are kinds by themselves.
    By video under the profile's size rule, on the same videos for all. Columns: kind, auc, reference_auc, difference,
    low, high (95 %), p, worst_auc and worst_reference_auc (of their checkpoints), averaged_auc and
    averaged_reference_auc (of the scores averaged over the checkpoints), seeds, reference_seeds, trained_on and
    reference_trained_on (the domains of their training faces, or which project they were imported from).
    The interval covers other videos of the same kinds (whole groups are resampled; parts are taken as independent)
    and, where one side has several checkpoints, other seeds (`comparisons.with_seeds`).
    Raises UserError where a checkpoint is none of ours, or a kind names an unknown part or one that another has.
    """
    grouped = _grouped(run, kinds or {})
    parts = {part: _part(run, part, ours, theirs) for group in grouped.values() for part in group}
    samples = {kind: _averaged([parts[part] for part in group]) for kind, group in grouped.items()}
    samples[MEAN] = _averaged(list(samples.values()))
    origins = {"trained_on": ours, "reference_trained_on": theirs}
    domains = {name: "; ".join(sorted({trained_for(path)[1] for path in side})) for name, side in origins.items()}
    return pd.DataFrame([_row(kind, sample) for kind, sample in samples.items()]).assign(**domains)


class _Sample(NamedTuple):
    """What is averaged over parts and kinds. aucs: per checkpoint; averaged: AUC of the averaged scores; ours first."""

    sampling: Sampling
    aucs: list[NDArray[np.float64]]
    averaged: list[float]


def _grouped(run: Run, kinds: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    named = [part for group in kinds.values() for part in group]
    for part in named:
        if part not in run.tests:
            raise UserError(f"kind: no test part {part!r} in profile {run.profile.name}; it has {', '.join(run.tests)}")
        if named.count(part) > 1:
            raise UserError(f"kind: the part {part} is named twice")
    alone = {part: (part,) for part in run.tests if part not in named}
    if MEAN in kinds or set(alone) & set(kinds):
        raise UserError(f"kind: {MEAN} and the names of test parts are taken; name the kinds otherwise")
    return alone | {kind: tuple(group) for kind, group in kinds.items()}


def _part(run: Run, part: str, ours: Sequence[Path], theirs: Sequence[Path]) -> _Sample:
    tables = [run.checkpoint_video_scores(part, path) for path in (*ours, *theirs)]
    labels, groups, scores = comparisons.align(tables)
    a, b = scores[: len(ours)], scores[len(ours) :]
    sampling = comparisons.over_groups(labels.to_numpy(), a, b, groups)
    aucs = [np.array([metrics.auc(labels, row).value for row in rows]) for rows in (a, b)]
    return _Sample(sampling, aucs, [metrics.auc(labels, rows.mean(0)).value for rows in (a, b)])


def _averaged(samples: Sequence[_Sample]) -> _Sample:
    """The mean over independent samples; its degrees of freedom are those of the smallest."""
    count = len(samples)
    errors = [sample.sampling.error or 0.0 for sample in samples]
    sampling = Sampling(
        difference=float(np.mean([sample.sampling.difference for sample in samples])),
        error=math.sqrt(sum(error**2 for error in errors)) / count,
        pairs=min(sample.sampling.pairs for sample in samples),
    )
    aucs = [np.mean([sample.aucs[side] for sample in samples], axis=0) for side in (0, 1)]
    return _Sample(sampling, aucs, [float(np.mean([s.averaged[side] for s in samples])) for side in (0, 1)])


def _row(kind: str, sample: _Sample) -> dict[str, object]:
    a, b = sample.aucs
    of_seeds = pd.DataFrame({"network": ["a"] * len(a) + ["b"] * len(b), "auc": [*a, *b]})
    spread = comparisons.seed_spread(of_seeds)
    outcome = comparisons.with_seeds(sample.sampling, spread, (len(a), len(b)))
    return {
        "kind": kind, "auc": a.mean(), "reference_auc": b.mean(), "difference": outcome.difference,
        "low": outcome.low, "high": outcome.high, "p": outcome.p_value, "worst_auc": a.min(),
        "worst_reference_auc": b.min(), "averaged_auc": sample.averaged[0],
        "averaged_reference_auc": sample.averaged[1], "seeds": len(a), "reference_seeds": len(b),
    }  # fmt: skip
