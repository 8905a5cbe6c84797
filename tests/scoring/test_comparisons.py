"""Comparisons over groups and seeds: against closed forms, an independent bootstrap, and simulation."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dfnb.scoring import comparisons, metrics
from dfnb.scoring.comparisons import Sampling, SeedSpread


def related(rng: np.random.Generator, groups: int, better: float = 0.0, apart: bool = False) -> tuple[np.ndarray, ...]:
    """Labels, two networks' scores, groups: a real and four fakes of one person, whom each network finds easy or hard.

    apart: the real ones are of other people than the fakes.
    """
    member, labels = np.repeat(np.arange(groups), 5), np.tile([0, 1, 1, 1, 1], groups)
    member = np.where((labels == 0) & apart, groups + member, member)
    person = rng.normal(size=(2, 2 * groups))[:, member]
    common = rng.normal(size=len(member)) + 1.5 * labels
    a, b = (common + 0.7 * own + 0.5 * rng.normal(size=len(member)) for own in person)
    return labels, a + better * labels, b, member


def test_without_groups_the_error_is_delongs() -> None:
    """Every sample a group of its own: the bootstrap's standard error is DeLong's, for large samples."""
    labels, a, b, _ = related(np.random.default_rng(0), 120)
    sampling = comparisons.over_groups(labels, a, b, np.arange(len(labels)), draws=4000)
    delong = metrics.compare(labels, a, b)
    assert sampling.difference == pytest.approx(delong.difference, abs=1e-12)
    assert sampling.error == pytest.approx((delong.high - delong.low) / 2 / norm.ppf(0.975), rel=0.05)
    assert comparisons.with_seeds(sampling, None).p_value == pytest.approx(delong.p_value, abs=0.03)


def test_the_error_is_that_of_repeated_samples() -> None:
    labels, a, b, member = related(np.random.default_rng(1), 30)
    sampling = comparisons.over_groups(labels, a, b, member, draws=2000)
    rng, values = np.random.default_rng(5), []
    for _ in range(600):
        rows = np.concatenate([np.flatnonzero(member == k) for k in rng.integers(30, size=30)])
        values.append(roc_auc_score(labels[rows], a[rows]) - roc_auc_score(labels[rows], b[rows]))
    assert sampling.error == pytest.approx(np.std(values), rel=0.12)


def test_a_groups_samples_count_as_one() -> None:
    """Every sample ten times over leaves the error under its old group's name, and shrinks it under new ones."""
    labels, a, b, member = related(np.random.default_rng(2), 60, apart=True)
    tens = [np.repeat(values, 10) for values in (labels, a, b, member)]
    once = comparisons.over_groups(labels, a, b, member)
    assert comparisons.over_groups(*tens).error == pytest.approx(once.error)
    assert comparisons.over_groups(*tens[:3], np.arange(3000)).error < 0.5 * once.error
    assert comparisons.over_groups(labels, a, b, np.arange(300)).error < once.error


def test_several_seeds_are_averaged() -> None:
    rng = np.random.default_rng(3)
    labels, a, b, member = related(rng, 40)
    more = np.stack([a, a + rng.normal(size=len(a)), a + rng.normal(size=len(a))])
    sampling = comparisons.over_groups(labels, more, b, member)
    mean = np.mean([roc_auc_score(labels, row) for row in more])
    assert sampling.difference == pytest.approx(mean - roc_auc_score(labels, b))
    assert comparisons.mean_auc(labels, more) == pytest.approx(mean)
    turned = comparisons.over_groups(labels, b, more, member)
    assert (turned.difference, turned.error) == pytest.approx((-sampling.difference, sampling.error))


def covers(groups: int, repeats: int, draws: int) -> tuple[float, float]:
    """How often the paired interval holds the true difference, and how often p < 0.05 where there is none."""
    big = related(np.random.default_rng(99), 40_000, better=0.4)
    truth = metrics.auc(big[0], big[1]).value - metrics.auc(big[0], big[2]).value
    inside = false = 0
    for repeat in range(repeats):
        labels, a, b, member = related(np.random.default_rng([11, repeat]), groups, better=0.4)
        result = comparisons.with_seeds(comparisons.over_groups(labels, a, b, member, draws, repeat), None)
        inside += result.low <= truth <= result.high
        labels, a, b, member = related(np.random.default_rng([12, repeat]), groups)
        false += (
            comparisons.with_seeds(comparisons.over_groups(labels, a, b, member, draws, repeat), None).p_value < 0.05
        )
    return inside / repeats, false / repeats


def test_paired_interval_covers() -> None:
    """40 groups of one real and four fakes, AUCs about 0.79 and 0.86, 200 draws of data."""
    inside, false = covers(40, repeats=200, draws=200)
    assert 0.9 <= inside <= 0.985
    assert 0.01 <= false <= 0.1


@pytest.mark.slow
def test_paired_interval_covers_in_full() -> None:
    """60 groups of one real and four fakes, AUCs about 0.79 and 0.86, 2,000 draws of data."""
    inside, false = covers(60, repeats=2000, draws=400)
    assert 0.93 <= inside <= 0.97
    assert 0.03 <= false <= 0.07


def test_degenerate_comparisons() -> None:
    labels, groups = np.repeat([0, 1], 20), np.arange(40)
    same = comparisons.over_groups(labels, labels, labels * 3 + 1, groups)
    assert comparisons.with_seeds(same, None) == (0, 0, 0, 1)
    few = comparisons.with_seeds(Sampling(0.25, 0.1, 4), None)
    assert few.p_value > 0.05  # by the normal distribution it would be 0.012
    perfect = comparisons.over_groups(labels, labels, labels + np.linspace(0, 0.5, 40), groups)
    result = comparisons.with_seeds(perfect, None)
    assert (result.difference, result.p_value) == (0, 1)
    assert result.low == -result.high < 0
    opposite = comparisons.with_seeds(comparisons.over_groups(labels, labels, -labels, groups), None)
    assert opposite.difference == 1
    assert opposite.p_value == 2.0**-19
    lone = comparisons.over_groups(labels, labels, -labels, labels)
    assert comparisons.with_seeds(lone, None) == (1, -1, 1, 1)
    with pytest.raises(ValueError, match="3 groups for 40"):
        comparisons.over_groups(labels, labels, labels, [1, 2, 3])


# seeds


def test_spread_over_seeds_is_the_pooled_variance() -> None:
    values = {"x": [0.90, 0.92, 0.94], "y": [0.80, 0.81], "z": [0.5]}
    table = pd.DataFrame([{"network": name, "auc": value} for name, own in values.items() for value in own])
    spread = comparisons.seed_spread(table)
    pooled = (np.var(values["x"], ddof=1) * 2 + np.var(values["y"], ddof=1)) / 3
    assert spread == (pytest.approx(pooled), 3)
    assert comparisons.seed_spread(table[table["network"] == "z"]) is None


def test_seeds_alone_give_students_test() -> None:
    """Without sampling error two networks of three seeds each are compared by the classical two-sample t-test."""
    a, b = np.array([0.91, 0.93, 0.92]), np.array([0.88, 0.90, 0.86])
    table = pd.DataFrame({"network": ["a"] * 3 + ["b"] * 3, "auc": [*a, *b]})
    result = comparisons.with_seeds(Sampling(a.mean() - b.mean(), 0.0, 50), comparisons.seed_spread(table), (3, 3))
    expected = scipy.stats.ttest_ind(a, b)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx(expected.confidence_interval(0.95))


def test_sampling_alone_gives_students_test_over_the_groups() -> None:
    result = comparisons.with_seeds(Sampling(0.03, 0.01, 50), None)
    assert result.p_value == pytest.approx(2 * scipy.stats.t.sf(3, 49))
    assert result.high == pytest.approx(0.03 + scipy.stats.t.ppf(0.975, 49) * 0.01)
    many = comparisons.with_seeds(Sampling(0.03, 0.01, 50), SeedSpread(1e-12, 10))
    assert (many.low, many.high) == pytest.approx((result.low, result.high), abs=1e-5)


def test_both_uncertainties_by_simulation() -> None:
    """True difference 0.02 between two networks of one seed each, sampling error 0.015, seeds 0.01 (pooled over
    10 degrees of freedom): the interval holds the truth in about 95 % of 4,000 worlds; without seeds it doesn't."""
    rng, inside, naive = np.random.default_rng(0), 0, 0
    for _ in range(4000):
        difference = 0.02 + 0.015 * rng.normal() + 0.01 * math.sqrt(2) * rng.normal()
        spread = SeedSpread(0.01**2 * rng.chisquare(10) / 10, 10)
        both = comparisons.with_seeds(Sampling(difference, 0.015, 60), spread)
        alone = comparisons.with_seeds(Sampling(difference, 0.015, 60), None)
        inside += both.low <= 0.02 <= both.high
        naive += alone.low <= 0.02 <= alone.high
    assert 0.94 <= inside / 4000 <= 0.965
    assert naive / 4000 < 0.9


def test_trainings_are_aligned_whatever_their_order() -> None:
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"dataset": "S", "video": [f"v{k}" for k in range(9)], "label": ["real", "fake", "fake"] * 3})
    table = table.assign(group=table["video"], score=np.arange(9.0))
    mixed = table.assign(score=table["score"] + 10).sample(frac=1, random_state=1)
    labels, groups, scores = comparisons.align([mixed, table])
    np.testing.assert_array_equal(scores[0] - scores[1], np.full(9, 10))
    assert labels.tolist() == [False, True, True] * 3
    assert groups.tolist() == table["video"].tolist()
    with pytest.raises(ValueError, match="different samples"):
        comparisons.align([table, table.iloc[rng.permutation(9)[1:]]])
