"""Contrasts: several sets at once, people that two sets share, and the smallest difference that can be seen."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dfnb.scoring import comparisons, contrasts
from dfnb.scoring.comparisons import Sampling, SeedSpread


def videos(people: int, gain: float, noise: int, names: str = "p") -> pd.DataFrame:
    """A real video and a fake of each person; gain: how far apart they score."""
    rng = np.random.default_rng(noise)
    label = ["real", "fake"] * people
    group = [f"{names}{k // 2}" for k in range(2 * people)]
    score = rng.normal(size=2 * people) + gain * (np.arange(2 * people) % 2)
    names_of = [f"v{k}" for k in range(2 * people)]
    return pd.DataFrame({"dataset": "d", "video": names_of, "label": label, "group": group, "score": score})


def auc(table: pd.DataFrame) -> float:
    return float(roc_auc_score(table["label"] == "fake", table["score"]))


def test_people_of_two_sets_are_resampled_together():
    ours, theirs = [videos(60, 1.5, 1)], [videos(60, 1.0, 2)]
    copies = contrasts.contrast({"a": ours, "b": ours}, {"a": theirs, "b": theirs}).set_index("kind")
    width = copies["high"] - copies["low"]
    assert width["mean"] == pytest.approx(width["a"])  # the same people twice teach nothing new
    others = {"a": ours, "b": [videos(60, 1.5, 3, "q")]}, {"a": theirs, "b": [videos(60, 1.0, 4, "q")]}
    apart = contrasts.contrast(*others).set_index("kind")
    width = apart["high"] - apart["low"]
    assert width["mean"] == pytest.approx(np.hypot(width["a"], width["b"]) / 2, rel=0.1)


def test_kinds_weigh_the_same_however_many_sets_they_have():
    sides = [
        {name: [videos(30, gain, seed + k) for k in range(2)] for seed, name in enumerate("abc")} for gain in (2, 1)
    ]
    table = contrasts.contrast(*sides, {"alone": ("a",), "both": ("b", "c")}).set_index("kind")
    mean = {name: np.mean([auc(t) for t in sides[0][name]]) for name in "abc"}
    assert table.loc["both", "auc"] == pytest.approx((mean["b"] + mean["c"]) / 2)
    assert table.loc["mean", "auc"] == pytest.approx(mean["a"] / 2 + (mean["b"] + mean["c"]) / 4)
    assert (table["seeds"] == 2).all()


def test_the_seed_spread_of_a_mean_is_that_of_the_means():
    rng = np.random.default_rng(5)
    rows = [
        {"network": net, "seed": seed, "part": part, "auc": 0.8 + 0.02 * rng.normal()}
        for net in ("x", "y") for seed in range(4) for part in ("a", "b", "c")
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    found = contrasts.seed_spreads(table, {"alone": ("a",), "both": ("b", "c")})
    wide = table.pivot_table(index=["network", "seed"], columns="part", values="auc")
    values = wide["a"] / 2 + (wide["b"] + wide["c"]) / 4
    assert found["mean"].variance == pytest.approx(values.groupby("network").var(ddof=1).mean())
    assert found["mean"].freedom == 6
    assert contrasts.seed_spreads(table[table["seed"] == 0], {"a": ("a",)})["mean"] is None


def test_the_smallest_difference_is_found_four_times_in_five():
    sampling, spread, seeds = Sampling(0.0, 0.02, 400), SeedSpread(0.02**2, 100), (5, 5)
    smallest = comparisons.smallest(sampling, spread, seeds)
    error = math.sqrt(0.02**2 + 2 * 0.02**2 / 5)
    assert smallest == pytest.approx((norm.ppf(0.975) + norm.ppf(0.8)) * error, rel=0.02)
    rng = np.random.default_rng(0)
    found = [
        comparisons.with_seeds(Sampling(float(rng.normal(smallest, error)), 0.02, 400), spread, seeds).p_value < 0.05
        for _ in range(2000)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)
    assert math.isnan(comparisons.smallest(Sampling(0.0, None, 9), spread))
    assert comparisons.smallest(Sampling(0.0, 0.0, 9), None) == 0.0


def test_four_times_the_groups_halve_the_error():
    table, other = videos(200, 1.5, 1), videos(200, 1.0, 2)
    part = contrasts.part_of([table], [other])
    spread = {}
    for size in (0.25, 1.0, 4.0):
        drawn = contrasts.draw({"a": (part.fake, part.groups)}, size=size)["a"]
        assert (drawn.times.sum(1) == round(size * 200)).all()
        spread[size] = np.std(contrasts.differences(part, drawn))
    assert spread[0.25] / spread[1.0] == pytest.approx(2, rel=0.1)
    assert spread[1.0] / spread[4.0] == pytest.approx(2, rel=0.1)
