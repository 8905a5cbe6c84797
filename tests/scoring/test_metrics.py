"""Metrics against definitions over all pairs, scikit-learn, closed forms and simulation; the video protocol by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.metrics import average_precision_score, roc_auc_score

from dfnb.scoring import metrics

# DeLong by its definition: every real sample against every fake one


def kernel(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(fakes, reals): 1 where the fake is ranked higher, 1/2 for a tie, else 0."""
    fake, real = scores[labels == 1][:, None], scores[labels == 0][None]
    return (fake > real) + 0.5 * (fake == real)


def delong_covariance(first: np.ndarray, second: np.ndarray) -> float:
    """DeLong et al. 1988, equations 4-6, from two kernels (m, n)."""
    m, n = first.shape
    by_fake = sum((first[i].mean() - first.mean()) * (second[i].mean() - second.mean()) for i in range(m)) / (m - 1)
    by_real = sum((first[:, j].mean() - first.mean()) * (second[:, j].mean() - second.mean()) for j in range(n)) / (
        n - 1
    )
    return by_fake / m + by_real / n


def sample(seed: int, ties: bool, real: int = 23, fake: int = 31) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two networks' scores, the second related to the first."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], [real, fake]))
    common = rng.normal(size=len(labels)) + labels
    first, second = (common + rng.normal(size=len(labels)) * w for w in (0.5, 1.0))
    return labels, *((np.round(v, 0) if ties else v) for v in (first, second))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_auc_is_delongs(seed: int, ties: bool) -> None:
    labels, scores, _ = sample(seed, ties)
    k = kernel(labels, scores)
    half = norm.ppf(0.975) * math.sqrt(delong_covariance(k, k))
    result = metrics.auc(labels, scores)
    assert result.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert result.value == pytest.approx(k.mean(), abs=1e-12)
    assert result.low == pytest.approx(max(k.mean() - half, 0), abs=1e-12)
    assert result.high == pytest.approx(min(k.mean() + half, 1), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_compare_is_delongs_paired_test(seed: int, ties: bool) -> None:
    labels, a, b = sample(seed, ties)
    ka, kb = kernel(labels, a), kernel(labels, b)
    variance = delong_covariance(ka, ka) + delong_covariance(kb, kb) - 2 * delong_covariance(ka, kb)
    difference, error = ka.mean() - kb.mean(), math.sqrt(variance)
    result = metrics.compare(labels, a, b)
    assert result.difference == pytest.approx(difference, abs=1e-12)
    assert result.low == pytest.approx(difference - norm.ppf(0.975) * error, abs=1e-12)
    assert result.high == pytest.approx(difference + norm.ppf(0.975) * error, abs=1e-12)
    assert result.p_value == pytest.approx(2 * norm.sf(abs(difference) / error), abs=1e-12)
    mirrored = metrics.compare(labels, b, a)
    assert mirrored.difference == -result.difference
    assert mirrored.p_value == pytest.approx(result.p_value)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_delong_agrees_with_an_independent_package(seed: int, ties: bool) -> None:
    """MLstatkit's covariance matrix, intervals and paired test."""
    from MLstatkit import Delong_test

    labels, a, b = sample(seed, ties)
    _, p_value, interval, _, value, _, info = Delong_test(labels, a, b)
    assert info["method"] == "delong"
    assert metrics.auc(labels, a) == pytest.approx((value, *interval), abs=1e-12)
    result = metrics.compare(labels, a, b)
    assert result.p_value == pytest.approx(p_value, abs=1e-12)
    error = math.sqrt(info["var_diff"])
    assert (result.high - result.low) / 2 == pytest.approx(norm.ppf(0.975) * error, abs=1e-12)


def test_auc_is_scipys_mann_whitney_u() -> None:
    """U / (m n) is the AUC, ties counted half."""
    from scipy.stats import mannwhitneyu

    labels, scores, _ = sample(9, True)
    u = mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    assert metrics.auc(labels, scores).value == pytest.approx(u / (23 * 31))


@pytest.mark.parametrize("ties", [False, True])
def test_logit_interval_by_the_delta_method(ties: bool) -> None:
    labels, scores, _ = sample(3, ties)
    k = kernel(labels, scores)
    area, error = k.mean(), math.sqrt(delong_covariance(k, k))
    odds = area / (1 - area) * np.exp(norm.ppf([0.025, 0.975]) * error / (area * (1 - area)))
    assert metrics.auc_logit(labels, scores) == pytest.approx((area, *(odds / (1 + odds))), abs=1e-12)


def test_logit_interval_of_degenerate_rankings_is_the_plain_one() -> None:
    labels = np.repeat([0, 1], 20)
    for scores in (labels, -labels, np.ones(40)):
        assert metrics.auc_logit(labels, scores) == metrics.auc(labels, scores)
    assert metrics.auc_logit([0, 1, 1], [0.1, 0.2, 0.3]) == (1, 0, 1)


def binormal(target: float, count: int, draws: int, interval: object) -> tuple[float, float]:
    """Shares of draws of `count` + `count` samples, two normal distributions, whose interval is above and below."""
    rng, shift = np.random.default_rng(17), norm.ppf(target) * math.sqrt(2)
    labels, above, below = np.repeat([0, 1], count), 0, 0
    for _ in range(draws):
        result = interval(labels, rng.normal(size=2 * count) + shift * labels)
        above, below = above + (result.low > target), below + (result.high < target)
    return above / draws, below / draws


def test_printed_interval_covers_near_one_where_the_symmetric_one_does_not() -> None:
    """AUC 0.97, 50 + 50 samples, 300 draws. What the symmetric interval leaves out, it leaves out above the truth."""
    assert 0.92 <= 1 - sum(binormal(0.97, 50, 300, metrics.auc_logit)) <= 0.98
    above, below = binormal(0.97, 50, 300, metrics.auc)
    assert above > 0.08
    assert below < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("count", [50, 100])
@pytest.mark.parametrize("target", [0.75, 0.9, 0.95, 0.97, 0.99])
def test_printed_interval_covers_in_full(target: float, count: int) -> None:
    """2,000 draws of 50 + 50 or 100 + 100 samples, two normal distributions, AUC 0.75 to 0.99."""
    assert 0.93 <= 1 - sum(binormal(target, count, 2000, metrics.auc_logit)) <= 0.97


@pytest.mark.slow
def test_symmetric_interval_is_the_worse_one_near_one() -> None:
    """What the docstring of `auc_logit` states: 90 and 94 % at AUC 0.95, 82 and 93 % at 0.99, 50 + 50 samples."""
    assert 1 - sum(binormal(0.95, 50, 2000, metrics.auc)) == pytest.approx(0.90, abs=0.015)
    assert 1 - sum(binormal(0.99, 50, 2000, metrics.auc)) == pytest.approx(0.82, abs=0.025)
    assert 1 - sum(binormal(0.95, 50, 2000, metrics.auc_logit)) == pytest.approx(0.94, abs=0.015)
    assert 1 - sum(binormal(0.99, 50, 2000, metrics.auc_logit)) == pytest.approx(0.93, abs=0.015)


def test_auc_and_interval_of_six_samples_worked_by_hand() -> None:
    """Six samples worked by hand: fakes .4 .8 .9 against reals .1 .4 .85."""
    labels, scores = [1, 1, 1, 0, 0, 0], [0.4, 0.8, 0.9, 0.1, 0.4, 0.85]
    # placements of the fakes 1.5/3, 2/3, 3/3; of the reals 3/3, 2.5/3, 1/3
    v10, v01 = np.array([1.5, 2, 3]) / 3, np.array([3, 2.5, 1]) / 3
    half = 1.959963984540054 * math.sqrt(v10.var(ddof=1) / 3 + v01.var(ddof=1) / 3)
    assert metrics.auc(labels, scores) == pytest.approx((6.5 / 9, 6.5 / 9 - half, 1.0))


def test_delongs_interval_covers_by_simulation() -> None:
    """DeLong's interval at AUC 0.76, 60 + 60 samples: the truth lies inside about 95 % of 400 times."""
    rng, truth = np.random.default_rng(0), norm.cdf(1 / math.sqrt(2))
    labels = np.repeat([0, 1], 60)
    inside = 0
    for _ in range(400):
        result = metrics.auc(labels, rng.normal(size=120) + labels)
        inside += result.low <= truth <= result.high
    assert 0.92 <= inside / 400 <= 0.98


def test_p_value_is_uniform_where_nothing_differs() -> None:
    rng, labels = np.random.default_rng(1), np.repeat([0, 1], 50)
    below = 0
    for _ in range(400):
        common = rng.normal(size=100) + labels
        below += metrics.compare(labels, *(common + rng.normal(size=(2, 100)))).p_value < 0.05
    assert 0.025 <= below / 400 <= 0.08


def test_perfect_ranking_leaves_room_for_doubt() -> None:
    for count in (2, 10, 100):
        labels = np.repeat([0, 1], count)
        result = metrics.auc(labels, labels * 1.0)
        assert result == pytest.approx((1, 0.05 ** (1 / count), 1))
        assert metrics.auc(labels, -labels) == pytest.approx((0, 0, 1 - 0.05 ** (1 / count)))
        constant = metrics.auc(labels, np.ones(2 * count))
        assert constant.value == 0.5
        assert constant.low < 0.5 < constant.high


def test_perfect_rankings_interval_is_valid_by_simulation() -> None:
    """A detector whose true AUC is 0.97 looks perfect now and then; the interval must not leave the truth out more
    often than one time in twenty."""
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], 12)
    shift = norm.ppf(0.97) * math.sqrt(2)
    perfect = missed = 0
    for _ in range(600):
        result = metrics.auc(labels, rng.normal(size=24) + shift * labels)
        perfect += result.value == 1
        missed += result.value == 1 and result.low > 0.97
    assert perfect > 50
    assert missed <= 0.05 * 600


def test_one_sample_of_a_class_says_nothing_of_spread() -> None:
    assert metrics.auc([0, 1, 1], [0.1, 0.2, 0.3]) == (1, 0, 1)
    assert metrics.compare([0, 1, 1], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]) == (1, -1, 1, 1)


def test_comparing_degenerate_rankings() -> None:
    labels = np.repeat([0, 1], 20)
    good, other = labels + 0.0, labels + np.linspace(0, 0.5, 40)
    assert metrics.compare(labels, good, good * 3 + 1) == (0, 0, 0, 1)
    both_perfect = metrics.compare(labels, good, other)
    assert both_perfect.difference == 0
    assert both_perfect.p_value == 1
    assert both_perfect.low == -both_perfect.high < 0
    opposite = metrics.compare(labels, good, -good)
    assert opposite.difference == 1
    assert opposite.p_value == 2.0**-19


# the bootstrap over groups


def grouped(rng: np.random.Generator, groups: int, shift: float, pure: bool) -> tuple[np.ndarray, ...]:
    """Labels, scores, groups. Half of a score's variance belongs to its group.

    pure: two samples of one class a group, 2 * groups of them; else a real and four fakes a group.
    """
    if pure:
        member = np.repeat(np.arange(2 * groups), 2)
        labels = (member < groups).astype(int)
    else:
        member, labels = np.repeat(np.arange(groups), 5), np.tile([0, 1, 1, 1, 1], groups)
    of_group = rng.normal(size=member.max() + 1)[member]
    return labels, shift * labels + (of_group + rng.normal(size=len(member))) / math.sqrt(2), member


def coverage(groups: int, target: float, pure: bool, repeats: int, draws: int) -> float:
    shift, inside = norm.ppf(target) * math.sqrt(2), 0
    # Pairs inside a mixed group share its part, so they are ranked right more often than pairs across groups.
    truth = target if pure else target * (1 - 1 / groups) + norm.cdf(shift) / groups
    for repeat in range(repeats):
        labels, scores, member = grouped(np.random.default_rng([7, repeat]), groups, shift, pure)
        result = metrics.bootstrap_auc(labels, scores, member, draws, seed=repeat)
        inside += result.low <= truth <= result.high
    return inside / repeats


@pytest.mark.parametrize(("target", "pure"), [(0.75, True), (0.94, False)])
def test_bootstrap_covers(target: float, pure: bool) -> None:
    assert 0.91 <= coverage(40, target, pure, repeats=300, draws=200) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("pure", [True, False])
@pytest.mark.parametrize("target", [0.75, 0.94, 0.985])
@pytest.mark.parametrize("groups", [60, 120])
def test_bootstrap_covers_in_full(target: float, pure: bool, groups: int) -> None:
    """2,000 data sets of 60 or 120 groups (of each class, or of both) at AUC 0.75, 0.94 and 0.985."""
    assert 0.93 <= coverage(groups, target, pure, repeats=2000, draws=400) <= 0.97


def test_the_printed_interval_is_over_groups_where_samples_share_them() -> None:
    labels, scores, member = grouped(np.random.default_rng(3), 30, 1.0, False)
    assert metrics.auc_groups(labels, scores, member) == metrics.bootstrap_auc(labels, scores, member)
    alone = [f"v{k}" for k in range(len(labels))]
    assert metrics.auc_groups(labels, scores, alone) == metrics.auc_logit(labels, scores)


def test_a_share_over_groups_covers_where_single_samples_do_not() -> None:
    """Five videos each of 40 people, all or none of them hits as a rule; Wilson's interval of 200 videos is wrong."""
    inside, naive, repeats, truth = 0, 0, 300, 0.3
    for repeat in range(repeats):
        rng = np.random.default_rng([5, repeat])
        people = np.repeat(np.arange(40), 5)
        hits = rng.random(200) < rng.beta(0.5 * truth, 0.5 * (1 - truth), 40)[people]
        value, low, high = metrics.share_groups(hits, people, 200, seed=repeat)
        assert value == hits.mean()
        inside += low <= truth <= high
        alone = metrics.share_groups(hits, np.arange(200), 200)
        wilson = binomtest(int(hits.sum()), 200).proportion_ci(method="wilson")
        assert alone == pytest.approx((hits.mean(), wilson.low, wilson.high))
        naive += wilson.low <= truth <= wilson.high
    assert 0.90 <= inside / repeats <= 0.985
    assert naive / repeats < 0.8


def test_a_share_on_which_all_groups_agree_counts_them() -> None:
    wilson = binomtest(0, 4).proportion_ci(method="wilson")
    assert metrics.share_groups([False] * 8, [1, 1, 2, 2, 3, 3, 4, 4]) == pytest.approx((0, wilson.low, wilson.high))


def test_a_groups_samples_count_as_one() -> None:
    """Every sample ten times over leaves the interval under its old group's name, and shrinks it under new ones."""
    labels, scores, _ = sample(0, False)
    groups = np.arange(len(labels))
    once = metrics.bootstrap_auc(labels, scores, groups)
    repeated = metrics.bootstrap_auc(*(np.repeat(v, 10) for v in (labels, scores, groups)))
    assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high), abs=1e-3)
    naive = metrics.bootstrap_auc(np.repeat(labels, 10), np.repeat(scores, 10), np.arange(10 * len(labels)))
    assert naive.high - naive.low < 0.5 * (once.high - once.low)


def test_bootstrap_draws_recomputed_by_repetition() -> None:
    labels, scores, _ = sample(1, True)
    member = np.arange(len(labels)) // 3
    drawn = metrics.draw_groups(labels, member, 100, seed=0)
    names = [f"{k:02d}" for k in range(member.max() + 1)]
    by_name = metrics.draw_groups(labels, np.array(names)[member], 100, seed=0)
    np.testing.assert_array_equal(drawn.member, [sorted(map(str, set(member))).index(str(k)) for k in member])
    expected = []
    for times in by_name.times:
        rows = np.concatenate([np.tile(np.flatnonzero(member == k), int(t)) for k, t in enumerate(times)])
        expected.append(roc_auc_score(labels[rows], scores[rows]))
    np.testing.assert_allclose(metrics.resampled_auc(labels, scores, by_name), expected, atol=1e-12)


def test_groups_are_drawn_within_their_stratum() -> None:
    labels = np.array([0, 0, 1, 1, 0, 1, 0, 1])
    groups = np.array(["r1", "r2", "f1", "f2", "b1", "b1", "b2", "b2"])
    drawn = metrics.draw_groups(labels, groups, 4000, seed=1)
    strata = {"r": [4, 5], "f": [2, 3], "b": [0, 1]}  # places in the alphabet: b1 b2 f1 f2 r1 r2
    for places in strata.values():
        assert (drawn.times[:, places].sum(1) == 2).all()
        assert drawn.times[:, places].mean() == pytest.approx(1)
        assert np.var(drawn.times[:, places[0]]) == pytest.approx(0.5, abs=0.05)  # binomial(2, 1/2)
    assert drawn.fewest == 4


def test_bootstrap_is_decided_by_its_seed() -> None:
    labels, scores, _ = sample(2, False)
    groups = [f"id{i % 9}" for i in range(len(labels))]
    first = metrics.bootstrap_auc(labels, scores, groups, 200, seed=3)
    assert first == metrics.bootstrap_auc(labels, scores, groups, 200, seed=3)
    assert first != metrics.bootstrap_auc(labels, scores, groups, 200, seed=4)
    assert first.low < first.value < first.high


# a fake beside its original


def pairs_by_loops(labels: np.ndarray, scores: np.ndarray, groups: list[str]) -> list[list[float]]:
    """By group with one original: for each fake of it 1, 1/2 or 0."""
    found = []
    for name in sorted(set(groups)):
        mine = [(label, score) for label, score, group in zip(labels, scores, groups, strict=True) if group == name]
        real = [score for label, score in mine if label == 0]
        fake = [score for label, score in mine if label == 1]
        if len(real) == 1 and fake:
            found.append([1.0 if score > real[0] else 0.5 if score == real[0] else 0.0 for score in fake])
    return found


@pytest.mark.parametrize("seed", range(5))
def test_pair_accuracy_by_loops_over_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [f"id{k}" for k in rng.integers(0, 150, 400)]  # some without an original, some with several, some alone
    labels, scores = rng.integers(0, 2, 400), rng.integers(0, 6, 400) / 5
    counted = pairs_by_loops(labels, scores, groups)
    result = metrics.pair_accuracy(labels, scores, groups)
    each = [right for group in counted for right in group]
    assert result.pairs == len(each) > 40
    assert result.value == pytest.approx(np.mean(each))
    # whole groups drawn anew, their pairs put side by side
    drawn = [rng.integers(0, len(counted), len(counted)) for _ in range(4000)]
    shares = [np.mean(np.concatenate([counted[k] for k in draw])) for draw in drawn]
    error = np.std(np.log(np.array(shares) / (1 - np.array(shares))))
    centre = math.log(result.value / (1 - result.value))
    bounds = [1 / (1 + math.exp(-centre - z * error)) for z in (-1.96, 1.96)]
    assert [result.low, result.high] == pytest.approx(bounds, abs=0.015)


def test_pair_accuracy_of_single_pairs_has_the_interval_of_a_share() -> None:
    """80 of 100 pairs: the delta method on the logit scale; and pairs of one group count as one."""
    labels, groups = np.tile([0, 1], 100), np.repeat(np.arange(100), 2)
    scores = np.where(labels == 1, np.repeat(np.arange(100) < 80, 2) * 1.0, 0.5)
    result = metrics.pair_accuracy(labels, scores, groups)
    error = 1.96 / math.sqrt(100 * 0.8 * 0.2)
    bounds = [1 / (1 + math.exp(-math.log(4) - sign * error)) for sign in (-1, 1)]
    assert (result.value, result.pairs) == (0.8, 100)
    assert [result.low, result.high] == pytest.approx(bounds, abs=0.01)
    assert result == metrics.pair_accuracy(labels, scores, groups)
    again = np.flatnonzero(labels == 1).repeat(9)
    more = [np.concatenate([values, values[again]]) for values in (labels, scores, groups)]
    repeated = metrics.pair_accuracy(*more)
    assert (repeated.value, repeated.pairs) == (0.8, 1000)
    assert (repeated.low, repeated.high) == pytest.approx((result.low, result.high), abs=0.01)


def test_pair_accuracy_where_there_is_little_to_count() -> None:
    labels = np.tile([0, 1], 5)
    assert metrics.pair_accuracy(labels, labels, np.arange(10) // 2) == pytest.approx((1, 0.05 ** (1 / 5), 1, 5))
    assert metrics.pair_accuracy(labels[:2], labels[:2], ["a", "a"]) == (1, 0, 1, 1)
    for groups in (np.arange(10), np.zeros(10)):  # no fake with an original, several originals
        result = metrics.pair_accuracy(labels, labels, groups)
        assert result.pairs == 0
        assert np.isnan(result[:3]).all()
    with pytest.raises(ValueError, match="3 groups for 10"):
        metrics.pair_accuracy(labels, labels, [1, 2, 3])


def test_bootstrap_of_perfect_and_of_lone_groups() -> None:
    labels = np.repeat([0, 1], 10)
    groups = np.arange(20) // 2
    assert metrics.bootstrap_auc(labels, labels, groups) == pytest.approx((1, 0.05 ** (1 / 5), 1))
    assert metrics.bootstrap_auc(labels, labels, labels) == (1, 0, 1)
    with pytest.raises(ValueError, match="too few"):
        metrics.bootstrap_auc(labels, labels, groups, draws=10)
    with pytest.raises(ValueError, match="3 groups for 20"):
        metrics.bootstrap_auc(labels, labels, [1, 2, 3])


# the curve and what is read off it


@pytest.mark.parametrize("ties", [False, True])
def test_roc_has_the_rates_of_every_threshold(ties: bool) -> None:
    labels, scores, _ = sample(5, ties)
    curve = metrics.roc(labels, scores)
    assert curve.thresholds.tolist() == [math.inf, *sorted(set(scores), reverse=True)]
    for fpr, tpr, threshold in zip(*curve, strict=True):
        assert fpr == np.mean(scores[labels == 0] >= threshold)
        assert tpr == np.mean(scores[labels == 1] >= threshold)


def test_area_under_the_curve_is_the_auc() -> None:
    labels, scores, _ = sample(6, True)
    curve = metrics.roc(labels, scores)
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(metrics.auc(labels, scores).value)


@pytest.mark.parametrize("distance", [0.5, 1.5, 3.0])
def test_eer_of_two_gaussians(distance: float) -> None:
    """Quantiles stand for the samples. Closed form: Phi(-d / 2)."""
    quantiles = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    labels = np.repeat([0, 1], 20_000)
    scores = np.concatenate([quantiles, quantiles + distance])
    assert metrics.eer(labels, scores) == pytest.approx(norm.cdf(-distance / 2), abs=1e-4)
    assert metrics.tpr_at_fpr(labels, scores, 0.05) == pytest.approx(norm.cdf(distance - norm.ppf(0.95)), abs=1e-3)


def test_eer_at_the_ends() -> None:
    assert metrics.eer([0, 0, 1, 1], [1, 2, 3, 4]) == 0
    assert metrics.eer([1, 1, 0, 0], [1, 2, 3, 4]) == 1
    assert metrics.eer([0, 0, 1, 1], [1, 1, 1, 1]) == 0.5
    assert metrics.eer([0, 0, 0, 1], [1, 2, 3, 2.5]) == pytest.approx(1 / 3)


def test_tpr_at_fpr_is_reached_by_a_threshold() -> None:
    labels, scores = [0, 0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.8, 0.25, 0.7, 0.9]
    assert metrics.tpr_at_fpr(labels, scores, 0.0) == pytest.approx(1 / 3)
    assert metrics.tpr_at_fpr(labels, scores, 0.24) == pytest.approx(1 / 3)
    assert metrics.tpr_at_fpr(labels, scores, 0.25) == pytest.approx(2 / 3)
    assert metrics.tpr_at_fpr(labels, scores, 0.5) == 1
    with pytest.raises(ValueError, match="a share"):
        metrics.tpr_at_fpr(labels, scores, 5)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("fpr", [0.0, 0.05, 0.3, 1.0])
def test_a_threshold_has_the_rates_it_was_chosen_for(fpr: float, ties: bool) -> None:
    labels, scores, _ = sample(7, ties)
    threshold = metrics.threshold_at(labels, scores, fpr)
    rates = metrics.error_rates(labels, scores, threshold)
    assert rates.false_positive <= fpr
    assert 1 - rates.false_negative == pytest.approx(metrics.tpr_at_fpr(labels, scores, fpr))
    assert (rates.real, rates.fake) == (23, 31)
    called = scores >= threshold
    assert rates.false_positive == pytest.approx((called & (labels == 0)).sum() / 23)
    assert rates.false_negative == pytest.approx((~called & (labels == 1)).sum() / 31)


def test_threshold_at_equal_errors() -> None:
    labels, scores, _ = sample(8, False)
    rates = metrics.error_rates(labels, scores, metrics.threshold_at(labels, scores))
    assert abs(rates.false_positive - rates.false_negative) <= 1 / 23
    assert metrics.threshold_at([0, 0, 1, 1], [0.0, 0.2, 0.6, 1.0]) == pytest.approx(0.4)


def test_threshold_where_nothing_may_be_called_fake() -> None:
    threshold = metrics.threshold_at([0, 1], [1.0, 1.0], 0.0)
    assert metrics.error_rates([0, 1], [1.0, 1.0], threshold) == (0, 1, 1, 1)


def test_calibration_error_over_bins_by_hand() -> None:
    labels, scores = [0, 1, 1, 0, 1], [0.1, 0.2, 0.7, 0.8, 1.0]
    # two bins: (0.1, 0.2): mean 0.15, 1/2 fake; (0.7, 0.8, 1): mean 2.5/3, 2/3 fake
    expected = 2 / 5 * abs(0.15 - 0.5) + 3 / 5 * abs(2.5 / 3 - 2 / 3)
    assert metrics.calibration_error(labels, scores, bins=2) == pytest.approx(expected)
    with pytest.raises(ValueError, match="probabilities"):
        metrics.calibration_error(labels, [0, 1, 2, 3, 4])


def test_calibrated_scores_have_a_small_error() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(50_000)
    labels = (rng.random(50_000) < scores).astype(int)
    assert metrics.calibration_error(labels, scores) < 0.01
    assert metrics.calibration_error(labels, scores**3) > 0.1


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=30))
@settings(max_examples=200, deadline=None)
def test_auc_of_any_scores_is_its_definition(pairs: list[tuple[int, int]]) -> None:
    labels, scores = (np.array(v) for v in zip(*pairs, strict=True))
    if labels.min() == labels.max():
        with pytest.raises(ValueError, match="one class"):
            metrics.auc(labels, scores)
        return
    result = metrics.auc(labels, scores)
    assert 0 <= result.low <= result.value <= result.high <= 1
    assert result.value == pytest.approx(kernel(labels, scores).mean(), abs=1e-12)
    flipped = metrics.auc(1 - labels, -scores)
    assert flipped == pytest.approx(result, abs=1e-9)
    assert 0 <= metrics.eer(labels, scores) <= 1
    assert metrics.average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))


@pytest.mark.parametrize(
    ("labels", "scores", "word"),
    [([0, 1], [0.1, math.nan], "1 of 2 scores"), ([0, 1], [0.1, math.inf], "not finite"),
     ([1, 1], [0.1, 0.2], "one class"), ([0, 0], [0.1, 0.2], "one class"), ([], [], "one class"),
     ([0, 1, 1], [0.1, 0.2], "don't go together"), ([0, 2], [0.1, 0.2], "must be 0"),
     (["real", "fake"], [0.1, 0.2], "must be 0"), ([0, math.nan], [0.1, 0.2], "must be 0"),
     ([[0, 1]], [[0.1, 0.2]], "don't go together")],
)  # fmt: skip
def test_bad_input_is_named(labels: list, scores: list, word: str) -> None:
    curve = (metrics.roc, metrics.average_precision, metrics.eer, metrics.tpr_at_fpr)
    for function in (metrics.auc, metrics.auc_logit, *curve, metrics.threshold_at, metrics.calibration_error):
        with pytest.raises(ValueError, match=word):
            function(labels, scores)
    with pytest.raises(ValueError, match=word):
        metrics.compare(labels, scores, scores)
    with pytest.raises(ValueError, match=word):
        metrics.error_rates(labels, scores, 0.5)
    with pytest.raises(ValueError, match=word):
        metrics.bootstrap_auc(labels, scores, np.arange(len(labels)))
    with pytest.raises(ValueError, match=word):
        metrics.pair_accuracy(labels, scores, np.arange(len(labels)))


# the video protocol


def face(video: str, frame: int, side: float, score: float, **more: object) -> dict[str, object]:
    row = {"dataset": "FFIW-like", "video": video, "frame": frame, "face": 0, "score": score, "label": "fake"}
    return row | {"x0": 5.0, "y0": 7.0, "x1": 5.0 + side, "y1": 7.0 + side, "method": "target", "group": video} | more


def by_hand() -> pd.DataFrame:
    return pd.DataFrame(
        [
            face("a", 0, 10, 0.2), face("a", 0, 8, 0.6), face("a", 0, 7, 0.9),  # areas 100, 64, 49: the last is dropped
            face("a", 4, 20, 0.3),
            face("b", 2, 10, 0.1, label="real", method="source"), face("b", 2, 10, 0.4, label="real", method="source"),
        ]
    )  # fmt: skip


def test_video_protocol_worked_by_hand() -> None:
    frames = metrics.frame_scores(by_hand())
    assert frames[["video", "frame", "score", "faces"]].to_numpy().tolist() == [
        ["a", 0, 0.6, 2],
        ["a", 4, 0.3, 1],
        ["b", 2, 0.4, 2],
    ]
    videos = metrics.video_scores(by_hand())
    assert list(videos) == ["dataset", "video", "label", "method", "group", "score", "frames"]
    assert videos.to_numpy().tolist() == [
        ["FFIW-like", "a", "fake", "target", "a", pytest.approx(0.45), 2],
        ["FFIW-like", "b", "real", "source", "b", 0.4, 1],
    ]
    without_rule = metrics.video_scores(by_hand(), rule=False)
    assert without_rule["score"].tolist() == pytest.approx([0.6, 0.4])


def test_a_face_of_exactly_half_the_area_stays() -> None:
    table = pd.DataFrame([face("a", 0, 10, 0.1), face("a", 0, 10, 0.9, x1=10.0)])
    assert metrics.video_scores(table)["score"].tolist() == [0.9]


@pytest.mark.parametrize("rule", [True, False])
@pytest.mark.parametrize("with_split", [True, False])
def test_video_protocol_against_loops(rule: bool, with_split: bool) -> None:
    rng = np.random.default_rng(0)
    rows = [
        face(f"v{video}", frame, rng.uniform(10, 60), rng.random(), dataset=dataset, label=("real", "fake")[video % 2])
        | ({"split": ("val", "test")[video % 3 // 2]} if with_split else {})
        for dataset in ("Celeb-DF-like", "FFIW-like")
        for video in range(5)
        for frame in rng.choice(100, 6, replace=False)
        for _ in range(rng.integers(1, 5))
    ]
    table = pd.DataFrame(rows).sample(frac=1, random_state=1)
    result = metrics.video_scores(table, rule=rule).set_index(["dataset", "video"])
    assert len(result) == 10
    for (dataset, video), row in result.iterrows():
        mine = table[(table["dataset"] == dataset) & (table["video"] == video)]
        scores = []
        for frame in set(mine["frame"]):
            faces = mine[mine["frame"] == frame]
            areas = [(f.x1 - f.x0) * (f.y1 - f.y0) for f in faces.itertuples()]
            keep = [not rule or area >= max(areas) / 2 for area in areas]
            scores.append(max(f.score for f, kept in zip(faces.itertuples(), keep, strict=True) if kept))
        assert row["score"] == pytest.approx(np.mean(scores))
        assert row["frames"] == len(scores)
        assert row["label"] == mine["label"].iloc[0]


def test_videos_of_two_splits_may_share_a_name() -> None:
    table = pd.DataFrame([face("a", 0, 9, 0.1, split="val"), face("a", 0, 9, 0.7, split="test", label="real")])
    result = metrics.video_scores(table)
    assert list(result)[-1] == "split"
    assert result.set_index("split")["score"].to_dict() == {"val": 0.1, "test": 0.7}


def clips(*videos: str) -> pd.DataFrame:
    labels = ["real" if video == "b" else "fake" for video in videos]
    methods = ["source" if video == "b" else "target" for video in videos]
    listed = {"dataset": "FFIW-like", "video": videos, "label": labels, "method": methods, "group": videos}
    return pd.DataFrame(listed | {"path": "x", "split": "val"})


def test_videos_without_a_face_get_one_half() -> None:
    result = metrics.video_scores(by_hand(), clips=clips("c", "b", "a"))
    assert result["video"].tolist() == ["a", "b", "c"]
    assert result["score"].tolist() == pytest.approx([0.45, 0.4, 0.5])
    assert result["frames"].tolist() == [2, 1, 0]
    assert result["label"].tolist() == ["fake", "real", "fake"]
    pd.testing.assert_frame_equal(result[result["frames"] > 0], metrics.video_scores(by_hand()))
    pd.testing.assert_frame_equal(
        metrics.video_scores(by_hand(), clips=clips("a", "b")), metrics.video_scores(by_hand())
    )


def test_no_face_in_any_video() -> None:
    result = metrics.video_scores(by_hand().iloc[:0], clips=clips("a", "b"))
    assert result["score"].tolist() == [0.5, 0.5]
    assert result["frames"].tolist() == [0, 0]
    assert len(metrics.video_scores(by_hand().iloc[:0])) == 0


def test_tables_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="no column x1, score"):
        metrics.video_scores(by_hand().drop(columns=["x1", "score"]))
    with pytest.raises(ValueError, match="FFIW-like a, frame 0: the score is nan"):
        metrics.video_scores(by_hand().assign(score=[math.nan, 1, 1, 1, 1, 1]))
    with pytest.raises(ValueError, match="two labels"):
        metrics.video_scores(by_hand().assign(label=["fake"] * 3 + ["real"] * 3))
    with pytest.raises(ValueError, match=r"'a'.*not among the clips"):
        metrics.video_scores(by_hand(), clips=clips("b"))
    with pytest.raises(ValueError, match="listed twice"):
        metrics.video_scores(by_hand(), clips=clips("a", "b", "b"))
