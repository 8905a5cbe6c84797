"""Numbers from scores, each with its uncertainty; and how face scores become video scores.

Labels are (n,), 0 or 1 (or booleans), 1 is fake; scores are (n,), higher for fakes. Every function that takes the two
raises ValueError where they differ in length, hold NaN or infinity, or are of one class only.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtr
from scipy.stats import binomtest, rankdata
from sklearn.metrics import roc_curve

Z95 = 1.959963984540054  # 97.5 % of a standard normal
INTERVAL = "bootstrap over groups, logit scale"  # the interval of the AUCs that the report prints, see `auc_groups`
NO_FACE = 0.5  # the score of a video in which no face was found (SBI's protocol)

Floats = NDArray[np.float64]


class AUC(NamedTuple):
    """Area under the ROC curve and its 95 % interval, all in 0..1."""

    value: float
    low: float
    high: float


class PairAccuracy(NamedTuple):
    """Share of pairs, a fake and its original, in which the fake scores higher, and its 95 % interval, all in 0..1."""

    value: float  # NaN, as the interval, where there is no pair
    low: float
    high: float
    pairs: int


class Comparison(NamedTuple):
    """AUC of `a` minus AUC of `b` on the same samples, its 95 % interval (-1..1), and the two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


class ROC(NamedTuple):
    """The ROC curve from (0, 0) to (1, 1): a sample is called fake where its score is >= the threshold."""

    fpr: Floats  # (K,), rising
    tpr: Floats  # (K,), rising
    thresholds: Floats  # (K,), falling; the first is infinite


class ErrorRates(NamedTuple):
    """The errors of a fixed threshold, as shares in 0..1, and the number of samples of each class."""

    false_positive: float  # of the real, called fake
    false_negative: float  # of the fake, called real
    real: int
    fake: int


def auc(labels: ArrayLike, scores: ArrayLike) -> AUC:
    """AUC with DeLong's 95 % interval, symmetric (Wald), clipped to 0..1.

    Where DeLong's variance is 0 (a perfect ranking, or scores that are all equal) every bootstrap sample has the same
    AUC too. The interval then comes from k disjoint pairs of a real and a fake sample: where all k agree, at least
    0.05^(1/k) of all pairs do, with 95 % confidence (the "rule of three").
    With one sample of a class its spread is unknown, and the interval is 0..1.
    Source: DeLong et al. 1988, equations 4-6; Sun and Xu 2014 for the ranks, O(n log n).
    """
    labels, scores = checked(labels, scores)
    value, placements = _placements(labels, scores)
    real, fake = _counts(labels)
    if min(real, fake) == 1:
        return AUC(value, 0.0, 1.0)
    error = math.sqrt(_variance(placements))
    if error == 0:
        return AUC(value, *constant_interval(value, 0.0, 1.0, min(real, fake)))
    return AUC(value, max(value - Z95 * error, 0.0), min(value + Z95 * error, 1.0))


def auc_logit(labels: ArrayLike, scores: ArrayLike) -> AUC:
    """AUC with DeLong's 95 % interval taken on the logit scale, each sample by itself.

    Near 1 `auc`'s symmetric interval misses the true value too often, and then lies above it. Over 2,000 draws of two
    normal distributions, 50 + 50 samples, it covers 90 % at AUC 0.95 and 82 % at 0.99, this one 94 % and 93 %
    (`make test-slow` repeats it). Where the scores of fakes spread several times as widely as those of real faces, few
    samples decide and this one covers too little, too. Degenerate cases as in `auc`. Source: Pepe 2003, chapter 5.
    """
    plain = auc(labels, scores)
    labels, scores = checked(labels, scores)
    variance = _variance(_placements(labels, scores)[1])
    if min(_counts(labels)) == 1 or variance == 0:
        return plain
    error = math.sqrt(variance) / (plain.value * (1 - plain.value))
    low, high = expit(logit(plain.value) + np.array((-Z95, Z95)) * error)
    return AUC(plain.value, float(low), float(high))


def compare(labels: ArrayLike, a: ArrayLike, b: ArrayLike) -> Comparison:
    """Paired DeLong test of two networks' scores on the same samples; low and high clipped to -1..1.

    a, b: scores (n,) of the two networks. Two that rank all samples alike differ by exactly 0, p = 1. Where the
    variance is 0 for another reason (both perfect, say) the interval is `auc`'s for that case, and p that of a sign
    test on disjoint pairs.
    Source: DeLong et al. 1988, equations 4-6.
    """
    labels, a = checked(labels, a)
    _, b = checked(labels, b)
    value_a, placements_a = _placements(labels, a)
    value_b, placements_b = _placements(labels, b)
    difference = value_a - value_b
    if np.array_equal(rankdata(a), rankdata(b)):
        return Comparison(0.0, 0.0, 0.0, 1.0)
    pairs = min(_counts(labels))
    if pairs == 1:
        return Comparison(difference, -1.0, 1.0, 1.0)
    error = math.sqrt(_variance([of_a - of_b for of_a, of_b in zip(placements_a, placements_b, strict=True)]))
    if error == 0:
        p_value = 1.0 if difference == 0 else min(1.0, 2.0 ** (1 - pairs))
        return Comparison(difference, *constant_interval(difference, -1.0, 1.0, pairs), p_value)
    low, high = max(difference - Z95 * error, -1.0), min(difference + Z95 * error, 1.0)
    return Comparison(difference, low, high, float(2 * ndtr(-abs(difference) / error)))


def bootstrap_auc(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, draws: int = 2000, seed: int | Sequence[int] = 0
) -> AUC:
    """AUC with a 95 % interval from resampling whole groups, such as a person with every fake made of them.

    groups: (n,), the name of each sample's group. They are drawn with replacement within three strata (groups of real
        samples only, of fakes only, of both), so that every draw has both classes in about the shares of the data.
    draws: how many, at least 100. seed: of `np.random.default_rng`.
    The standard error over the draws is taken on the logit scale: the interval stays inside 0..1 and covers near 1,
    where percentiles of the draws don't. Where all draws agree it is that of `auc`, counted in groups.
    Raises ValueError where groups or draws don't fit.
    """
    labels, scores = checked(labels, scores)
    drawn = draw_groups(labels, groups, draws, seed)
    value = _placements(labels, scores)[0]
    if drawn.fewest == 1:
        return AUC(value, 0.0, 1.0)
    pairs = labels.sum() * (len(labels) - labels.sum())
    return AUC(value, *_interval_of_draws(value, resampled_auc(labels, scores, drawn), drawn.fewest, pairs))


def auc_groups(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> AUC:
    """AUC with the 95 % interval that the report prints: over groups, so that it holds for other people.

    groups: (n,), as in `bootstrap_auc`. Where no two samples share one, it is that of `auc_logit`.
    """
    if pd.Series(np.asarray(groups)).is_unique:
        return auc_logit(labels, scores)
    return bootstrap_auc(labels, scores, groups)


def share_groups(
    hits: ArrayLike, groups: ArrayLike, draws: int = 2000, seed: int | Sequence[int] = 0
) -> tuple[float, float, float]:
    """The share of samples that are hits, in 0..1, and its 95 % interval over groups.

    hits: (n,) of booleans, n > 0. groups, draws, seed: as in `bootstrap_auc`. Where no two samples share a group, or
    all groups agree, it is Wilson's interval (Wilson 1927), of the samples or of the groups.
    """
    hits, groups = np.asarray(hits, dtype=np.float64), np.asarray(groups)
    drawn = draw_groups(np.zeros(len(hits), np.int64), groups, draws, seed)
    value, number = float(hits.mean()), drawn.times.shape[1]
    values = drawn.times @ np.bincount(drawn.member, hits) / (drawn.times @ np.bincount(drawn.member))  # (draws,)
    if number == len(hits) or np.ptp(values) == 0:
        return (value, *binomtest(round(value * number), number).proportion_ci(0.95, method="wilson"))
    return (value, *_interval_of_draws(value, values, number, len(hits)))


def pair_accuracy(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, draws: int = 2000, seed: int | Sequence[int] = 0
) -> PairAccuracy:
    """How often a fake scores higher than the original it was made from; a tie counts half.

    It asks about the manipulation alone: face, light and compression are those of the original. 0.5 is chance.
    groups: (n,), as in `bootstrap_auc`. Counted are those with exactly one real sample, the original, and one fake or
        more, each a pair with it.
    The interval is that of `bootstrap_auc`, from resampling these groups. draws, seed: likewise.
    Raises ValueError as `bootstrap_auc` does.
    """
    labels, scores = checked(labels, scores)
    groups = np.asarray(groups).astype(str)
    if groups.shape != labels.shape:
        raise ValueError(f"{len(groups)} groups for {len(labels)} labels")
    originals, counts = np.unique(groups[labels == 0], return_counts=True)
    fakes = (labels == 1) & np.isin(groups, originals[counts == 1])
    if not fakes.any():
        return PairAccuracy(math.nan, math.nan, math.nan, 0)
    score_of = dict(zip(groups[labels == 0], scores[labels == 0], strict=True))
    original = np.array([score_of[name] for name in groups[fakes]])
    right = np.where(scores[fakes] == original, 0.5, scores[fakes] > original)  # (pairs,)
    value, pairs = float(right.mean()), len(right)
    drawn = draw_groups(labels[fakes], groups[fakes], draws, seed)
    number = drawn.times.shape[1]
    if number == 1:
        return PairAccuracy(value, 0.0, 1.0, pairs)
    values = drawn.times @ np.bincount(drawn.member, right) / (drawn.times @ np.bincount(drawn.member))  # (draws,)
    return PairAccuracy(value, *_interval_of_draws(value, values, number, pairs), pairs)


def roc(labels: ArrayLike, scores: ArrayLike) -> ROC:
    """The ROC curve, a point at every distinct score."""
    return ROC(*roc_curve(*checked(labels, scores), drop_intermediate=False))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean precision over the steps of recall, 0..1, without interpolation; at random it is the share of fakes.

    As scikit-learn's `average_precision_score`, but for the last digit, which published tables hold.
    """
    labels, scores = checked(labels, scores)
    curve, (real, fake) = roc(labels, scores), _counts(labels)
    hits, called = curve.tpr[1:] * fake, curve.tpr[1:] * fake + curve.fpr[1:] * real
    return float(np.sum(np.diff(curve.tpr) * hits / called))


def eer(labels: ArrayLike, scores: ArrayLike) -> float:
    """Equal error rate, 0..1: FPR where the ROC curve, its points joined by lines, has FPR = 1 - TPR."""
    curve = roc(labels, scores)
    gap = curve.fpr - (1 - curve.tpr)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(curve.fpr[before] + share * (curve.fpr[after] - curve.fpr[before]))


def tpr_at_fpr(labels: ArrayLike, scores: ArrayLike, fpr: float = 0.01) -> float:
    """The highest TPR of all thresholds with a false positive rate of at most `fpr`, both 0..1; not interpolated."""
    curve = roc(labels, scores)
    return float(curve.tpr[curve.fpr <= _share(fpr)].max())


def threshold_at(labels: ArrayLike, scores: ArrayLike, fpr: float | None = None) -> float:
    """The threshold for "fake where score >= threshold", to be chosen on validation data and used on test data.

    fpr: highest false positive rate allowed, 0..1; the threshold is the lowest that keeps to it. None: where the two
    error rates are closest to each other.
    The threshold lies half-way between the score that decides and the next one below, so that it equals neither.
    """
    curve = roc(labels, scores)
    if fpr is None:
        place = int(np.argmin(np.abs(curve.fpr - (1 - curve.tpr))))
    else:
        place = int(np.flatnonzero(curve.fpr <= _share(fpr))[-1])
    if place == 0:  # nothing may be called fake
        return float(np.nextafter(curve.thresholds[1], np.inf))
    if place == len(curve.thresholds) - 1:
        return float(curve.thresholds[place])
    upper, lower = curve.thresholds[place], curve.thresholds[place + 1]
    middle = lower + (upper - lower) / 2
    return float(middle if middle > lower else upper)


def error_rates(labels: ArrayLike, scores: ArrayLike, threshold: float) -> ErrorRates:
    """The errors of calling every sample with score >= threshold fake."""
    labels, scores = checked(labels, scores)
    real, fake = _counts(labels)
    called = scores >= threshold
    return ErrorRates(float(called[labels == 0].mean()), float((~called[labels == 1]).mean()), real, fake)


def calibration_error(labels: ArrayLike, scores: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error, 0..1: |share of fakes - mean score| over bins of equal width, weighted by count.

    Scores are probabilities in 0..1. Raises ValueError where they are not. Source: Guo et al. 2017, equation 3.
    """
    labels, scores = checked(labels, scores)
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(f"calibration needs probabilities in 0..1, not {scores.min()}..{scores.max()}")
    place = np.minimum((scores * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(place, labels - scores)).sum() / len(scores))


def large_enough(table: pd.DataFrame) -> pd.Series:
    """Which faces the face-size rule keeps: those with at least half the area of their frame's largest, (N,) bool."""
    area = (table["x1"] - table["x0"]) * (table["y1"] - table["y0"])
    largest = area.groupby([table[name] for name in (*_video_key(table), "frame")], dropna=False).transform("max")
    return area >= 0.5 * largest


def frame_scores(table: pd.DataFrame, rule: bool = True) -> pd.DataFrame:
    """Face scores -> frame scores: the highest of a frame's faces.

    table: a row per face with dataset, video, frame, x0, y0, x1, y1 (pixels), score, label, method, group, and split
        where videos of several splits share names.
    rule: leave out faces with less than half the area of the frame's largest (SBI's protocol).
    Returns a row per frame, in order: dataset, video, frame, label, method, group, score, faces (how many counted)
    [, split]. Raises ValueError where a column is missing or a score is not finite.
    """
    _require(table, ["dataset", "video", "frame", "x0", "y0", "x1", "y1", "score", "label", "method", "group"])
    bad = ~np.isfinite(table["score"].to_numpy(float))
    if bad.any():
        row = table.loc[bad].iloc[0]
        raise ValueError(f"{row['dataset']} {row['video']}, frame {row['frame']}: the score is {row['score']}")
    frame = [*_video_key(table), "frame"]
    if rule:
        table = table[large_enough(table)]
    faces = table.groupby(frame, sort=True, observed=True, dropna=False)
    about = {name: (name, "first") for name in ("label", "method", "group")}
    result = faces.agg(**about, score=("score", "max"), faces=("score", "size")).reset_index()
    split = [name for name in ("split",) if name in result]
    return result[["dataset", "video", "frame", "label", "method", "group", "score", "faces", *split]]


def video_scores(table: pd.DataFrame, rule: bool = True, clips: pd.DataFrame | None = None) -> pd.DataFrame:
    """Face scores -> video scores: per frame the highest of its faces, per video the mean over frames with a face.

    table, rule: see `frame_scores`.
    clips: a row per video to be scored (dataset, video, label, method, group [, split]); those without a face get the
        score 0.5 and frames = 0, so that `frames > 0` leaves them out again.
    Returns a row per video: dataset, video, label, method, group, score, frames [, split].
    Raises ValueError where a video has two labels, methods or groups, or is not among the clips.
    """
    frames = frame_scores(table, rule)
    key, about = _video_key(table), ["label", "method", "group"]
    videos = frames.groupby(key, sort=True, observed=True, dropna=False)
    unequal = (videos[about].nunique(dropna=False) > 1).any(axis=1)
    if unequal.any():
        raise ValueError(f"{unequal.index[unequal][0]}: one video with two labels, methods or groups")
    columns = {name: (name, "first") for name in about}
    result = videos.agg(**columns, score=("score", "mean"), frames=("score", "size")).reset_index()
    if clips is not None:
        _require(clips, [*key, *about])
        listed, found = clips.set_index(key).index, result.set_index(key).index
        if listed.has_duplicates:
            raise ValueError(f"{listed[listed.duplicated()][0]}: listed twice among the clips")
        if not found.isin(listed).all():
            raise ValueError(f"{found[~found.isin(listed)][0]}: scored, but not among the clips")
        faceless = clips.loc[~listed.isin(found), [*key, *about]].assign(score=NO_FACE, frames=0)
        result = pd.concat([part for part in (result, faceless) if len(part)]) if len(faceless) else result
        result = result.sort_values(key, ignore_index=True)
    return result[["dataset", "video", *about, "score", "frames", *key[2:]]]


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    """Labels (n,) int64 of 0 and 1, both present, and scores (n,) float64, finite. Raises ValueError otherwise."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(f"labels of shape {labels.shape} and scores of shape {scores.shape} don't go together")
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 (real) or 1 (fake)")
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(scores))} of {len(scores)} scores are not finite")
    if len(np.unique(labels)) < 2:
        raise ValueError(f"{len(labels)} samples of one class only; an ROC curve needs real and fake ones")
    return labels.astype(np.int64), scores


def _counts(labels: NDArray[np.int64]) -> tuple[int, int]:
    """Samples that are real, and that are fake."""
    fake = int(labels.sum())
    return len(labels) - fake, fake


def _placements(labels: NDArray[np.int64], scores: Floats) -> tuple[float, list[Floats]]:
    """AUC; and for every fake, then for every real sample, the share of the other class it is ranked right against.

    A tie counts half. DeLong et al. 1988, equations 4 and 5: V10 (m,) and V01 (n,).
    """
    real, fake = scores[labels == 0], scores[labels == 1]
    ranks = rankdata(np.concatenate([fake, real]))
    of_fake = (ranks[: len(fake)] - rankdata(fake)) / len(real)  # (m,)
    of_real = 1 - (ranks[len(fake) :] - rankdata(real)) / len(fake)  # (n,)
    return float(of_fake.mean()), [of_fake, of_real]


def _variance(placements: Sequence[Floats]) -> float:
    """DeLong's variance from the placements of both classes; a spread within rounding counts as none."""
    parts = [np.var(part, ddof=1) / len(part) if np.ptp(part) > 1e-12 else 0.0 for part in placements]
    return float(sum(parts))


def constant_interval(value: float, lowest: float, highest: float, pairs: int) -> tuple[float, float]:
    """95 % interval of a mean over pairs where `pairs` disjoint ones all gave `value`; the others are unknown.

    lowest, highest: what a pair can give. At least the share q = 0.05^(1/pairs) of all pairs gives `value`.
    """
    q = 0.05 ** (1 / pairs)
    return q * value + (1 - q) * lowest, q * value + (1 - q) * highest


def _interval_of_draws(value: float, values: Floats, groups: int, pairs: int) -> tuple[float, float]:
    """95 % interval of a share of pairs: the standard error over bootstrap draws, taken on the logit scale.

    values: (draws,). Where they all agree it is `constant_interval`, of so many groups.
    """
    if np.ptp(values) == 0:
        return constant_interval(value, 0.0, 1.0, groups)
    inside = 0.5 / pairs  # half a pair: keeps a perfect draw's logit finite
    error = np.std(logit(np.clip(values, inside, 1 - inside)), ddof=1)
    centre = logit(np.clip(value, inside, 1 - inside))
    return float(expit(centre - Z95 * error)), float(expit(centre + Z95 * error))


class DrawnGroups(NamedTuple):
    """Bootstrap samples of whole groups, see `draw_groups`."""

    times: Floats  # (draws, groups): how often each group is in each draw
    member: NDArray[np.int64]  # (n,): the group of each sample
    fewest: int  # groups with a fake or groups with a real sample, whichever are fewer


def draw_groups(labels: NDArray[np.int64], groups: ArrayLike, draws: int, seed: int | Sequence[int]) -> DrawnGroups:
    """Draw groups with replacement within three strata (real only, fake only, both); arguments of `bootstrap_auc`."""
    groups = np.asarray(groups)
    if groups.shape != labels.shape:
        raise ValueError(f"{len(groups)} groups for {len(labels)} labels")
    if draws < 100:
        raise ValueError(f"{draws} draws are too few for an interval; 100 or more")
    names, member = np.unique(groups.astype(str), return_inverse=True)
    fake, real = (np.bincount(member, labels == kind, minlength=len(names)) > 0 for kind in (1, 0))
    rng, strata, times = np.random.default_rng(seed), fake + 2 * real, np.zeros((draws, len(names)))
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        drawn = rng.integers(len(inside), size=(draws, len(inside))) + len(inside) * np.arange(draws)[:, None]
        times[:, inside] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
    return DrawnGroups(times, member, int(min(fake.sum(), real.sum())))


def resampled_auc(labels: NDArray[np.int64], scores: Floats, drawn: DrawnGroups) -> Floats:
    """AUC (draws,) of samples weighted by how often their group was drawn; ties count half."""
    order = np.argsort(scores, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(scores[order])) + 1)  # the first of each run of equal scores
    fake, values = labels[order] == 1, np.empty(len(drawn.times))
    step = max(1, 100_000 // len(scores))  # about 3 MB at a time, which is quicker, too
    for first in range(0, len(values), step):
        weights = drawn.times[first : first + step][:, drawn.member[order]]  # (d, n)
        fakes = np.add.reduceat(weights * fake, starts, axis=1)
        reals = np.add.reduceat(weights * ~fake, starts, axis=1)
        right = fakes * (np.cumsum(reals, axis=1) - reals / 2)
        values[first : first + step] = right.sum(1) / (fakes.sum(1) * reals.sum(1))
    return values


def _share(fpr: float) -> float:
    if not 0 <= fpr <= 1:
        raise ValueError(f"a false positive rate is a share in 0..1, not {fpr}")
    return fpr


def _video_key(table: pd.DataFrame) -> list[str]:
    return ["dataset", "video", *(["split"] if "split" in table else [])]


def _require(table: pd.DataFrame, columns: list[str]) -> None:
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
