"""Comparing networks: on the same videos, over groups of videos that belong together, and over training seeds.

The difference of two AUCs has two independent uncertainties:

- *sampling*: other videos of the same kind. Fakes of one target aren't independent, so whole groups are resampled, for
  both networks alike (`over_groups`);
- *seeds*: another initialisation and order of the same training. Its variance is that of AUCs over seeds on the same
  videos, pooled over networks (`seed_spread`), since three seeds of one network are too few to estimate it.

Both together (`with_seeds`): variances add, and the interval is Student's with Satterthwaite's degrees of freedom.
Source: Bouthillier et al. 2021, arXiv:2103.03098, for the argument; Satterthwaite 1946.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata
from scipy.stats import t as student

from dfnb.scoring import metrics
from dfnb.scoring.metrics import Comparison


class Sampling(NamedTuple):
    """AUC of `a` minus AUC of `b`, -1..1, and its standard error over samples of the same kind."""

    difference: float
    error: float | None  # None: all resamples agreed
    pairs: int  # groups with a fake or groups with a real sample, whichever are fewer


class SeedSpread(NamedTuple):
    """Variance of an AUC over training seeds, and its degrees of freedom."""

    variance: float
    freedom: int


def align(tables: Sequence[pd.DataFrame]) -> tuple[pd.Series, NDArray[np.object_], NDArray[np.float64]]:
    """Score tables of several trainings on the same samples, in one order.

    tables: columns dataset, video, label, group, score; also frame and face where a row is a face.
    Returns labels (n,), True is fake, indexed by the sample's dataset, video[, frame, face]; groups (n,); scores
    (trainings, n).
    Raises ValueError where the samples differ.
    """
    key = [name for name in ("dataset", "video", "frame", "face") if name in tables[0]]
    tables = [table.set_index(key).sort_index() for table in tables]
    if not all(table.index.equals(tables[0].index) for table in tables):
        raise ValueError("the trainings were scored on different samples")
    scores = np.stack([table["score"].to_numpy(float) for table in tables])
    return tables[0]["label"] == "fake", tables[0]["group"].to_numpy(), scores


def mean_auc(labels: ArrayLike, scores: NDArray[np.float64]) -> float:
    """The AUC, averaged over trainings. scores: (trainings, n)."""
    return float(np.mean([metrics.auc(labels, row).value for row in scores]))


def over_groups(
    labels: ArrayLike, a: ArrayLike, b: ArrayLike, groups: ArrayLike, draws: int = 2000, seed: int | Sequence[int] = 0
) -> Sampling:
    """Difference of AUCs on the same samples, with its error from a bootstrap of whole groups.

    labels: (n,) of 0 and 1. a, b: scores (n,), or (seeds, n) of several trainings, whose AUCs are averaged.
    groups, draws, seed: as in `metrics.bootstrap_auc`; both networks are resampled alike. Raises ValueError as it does.
    """
    both = [np.atleast_2d(np.asarray(scores, dtype=np.float64)) for scores in (a, b)]
    checked = metrics.checked(labels, both[0][0])[0]
    drawn = metrics.draw_groups(checked, groups, draws, seed)
    means, resampled = [], []
    for rows in both:
        means.append(mean_auc(labels, rows))
        resampled.append(np.mean([metrics.resampled_auc(checked, row, drawn) for row in rows], axis=0))
    values = resampled[0] - resampled[1]
    if len(both[0]) == len(both[1]) == 1 and np.array_equal(*(rankdata(rows[0]) for rows in both)):
        return Sampling(0.0, 0.0, drawn.fewest)
    seen = drawn.fewest > 1 and np.ptp(values) > 1e-12
    return Sampling(means[0] - means[1], float(np.std(values, ddof=1)) if seen else None, drawn.fewest)


def seed_spread(results: pd.DataFrame) -> SeedSpread | None:
    """The variance over seeds, pooled over networks with more than one.

    results: a row per network and seed with its auc, all of one set. None where no network has two seeds.
    """
    several = [aucs.to_numpy() for _, aucs in results.groupby("network")["auc"] if len(aucs) > 1]
    if not several:
        return None
    freedom = sum(len(aucs) - 1 for aucs in several)
    squares = sum(float(((aucs - aucs.mean()) ** 2).sum()) for aucs in several)
    return SeedSpread(squares / freedom, freedom)


def with_seeds(sampling: Sampling, spread: SeedSpread | None, seeds: tuple[int, int] = (1, 1)) -> Comparison:
    """The difference with an interval and a two-sided p-value from both uncertainties.

    spread: None where it is unknown; the interval is then that of sampling alone, for these very trainings. seeds: how
    many trainings each network's AUC is the mean of, taken as independent.
    Degrees of freedom: one less than the groups of the rarer class, and those of the spread, after Satterthwaite.
    Where all resamples agree the interval is that of `metrics.compare` for this case, counted in groups.
    """
    difference, error, pairs = sampling
    if pairs == 1:
        return Comparison(difference, -1.0, 1.0, 1.0)
    if error is None:
        low, high = metrics.constant_interval(difference, -1.0, 1.0, pairs)
        return Comparison(difference, low, high, 1.0 if difference == 0 else min(1.0, 2.0 ** (1 - pairs)))
    error, freedom = _error_of(sampling, spread, seeds)
    if error == 0:
        return Comparison(difference, difference, difference, 1.0)
    p_value = 2 * student.sf(abs(difference) / error, freedom)
    half = student.ppf(0.975, freedom) * error
    return Comparison(difference, max(difference - half, -1.0), min(difference + half, 1.0), float(p_value))


def smallest(sampling: Sampling, spread: SeedSpread | None, seeds: tuple[int, int] = (1, 1)) -> float:
    """The smallest true difference that such a comparison finds (p below 5 %) with 80 % probability; 0..1.

    NaN where the sampling error is unknown. Arguments as in `with_seeds`. Source: Cohen 1988,
    Statistical Power Analysis, section 2.
    """
    if sampling.error is None or sampling.pairs < 2:
        return math.nan
    error, freedom = _error_of(sampling, spread, seeds)
    return min(1.0, float(student.ppf(0.975, freedom) + student.ppf(0.8, freedom)) * error) if error else 0.0


def smallest_of(low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """As `smallest`, from 95 % intervals alone: their half-width times 1 + z(0.8) / z(0.975), about 1.43."""
    half = (np.asarray(high, dtype=np.float64) - np.asarray(low, dtype=np.float64)) / 2
    return half * (1 + norm.ppf(0.8) / norm.ppf(0.975))


def _error_of(sampling: Sampling, spread: SeedSpread | None, seeds: tuple[int, int]) -> tuple[float, float]:
    """Standard error of a difference from both uncertainties, and its degrees of freedom (Satterthwaite)."""
    of_seeds = spread.variance * (1 / seeds[0] + 1 / seeds[1]) if spread else 0.0
    variance = sampling.error**2 + of_seeds
    if variance == 0:
        return 0.0, math.inf
    return math.sqrt(variance), variance**2 / (
        sampling.error**4 / (sampling.pairs - 1) + (of_seeds**2 / spread.freedom if spread else 0.0)
    )


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction of p-values (k,) for k comparisons made together: (k,), 0..1. Source: Holm 1979."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    out = np.empty(len(p_values))
    out[order] = np.minimum(stepped, 1.0)
    return out
