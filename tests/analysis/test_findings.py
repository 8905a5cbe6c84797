"""Sentences from tables of comparisons: what they call significant, in which order, and where nothing decides."""

import numpy as np
import pandas as pd
import pytest

from dfnb.analysis import embedding, findings
from dfnb.plots import tables

NETWORKS = ["network1-linear", "network2-linear"]


def compared(p_values: list[float], differences: list[float]) -> pd.DataFrame:
    rows = {"network": NETWORKS, "difference": differences, "low": [-0.01] * 2, "high": [0.05] * 2}
    return pd.DataFrame(rows | {"p": p_values, "p_holm": p_values, "seed_sd": float("nan")})


def test_only_significant_differences_are_listed():
    text = findings.paired(compared([0.001, 0.4], [-0.02, 0.01]), "proposed-linear")
    assert "**1 of 2**: proposed minus network1 −0.020 (−0.010 to +0.050)." in text
    assert "None of the others is larger than 0.010 in size; the 95 % intervals are ±0.030 or wider." in text
    assert "network2" not in text


def test_without_a_significant_difference_nothing_decides():
    text = findings.paired(compared([0.3, 0.05], [0.02, -0.03]), "proposed-linear")
    assert "**0 of 2**, so nothing here decides. None is larger than 0.030 in size" in text


def test_a_spread_over_seeds_is_named_where_it_is_known():
    table = compared([0.3, 0.4], [0.02, 0.01])
    assert "not in these intervals" in findings.paired(table, "proposed-linear")
    assert "(SD of one AUC, pooled over networks: 0.010)" in findings.paired(
        table.assign(seed_sd=0.01), "proposed-linear"
    )
    assert "(SD of one AUC, pooled over networks: 0.010 to 0.020)" in findings.paired(
        table.assign(seed_sd=[0.02, 0.01]), "proposed-linear"
    )


def test_the_papers_order_is_confirmed_or_contradicted():
    reported = tables.published()["taps"]
    here = pd.DataFrame({"network": list(reported), "auc": sorted(reported.values()), "dataset": "Set"})
    clear = compared([0.001, 0.001], [0.1, 0.1])
    assert findings.order(here, "taps", clear).endswith("Here: network1 < network2 < proposed, the same.")
    turned = here.assign(auc=here["auc"].to_numpy()[::-1])
    text = findings.order(turned, "taps", clear)
    assert "**against the paper's** (network1 above network2; network1 above proposed; network2 above proposed)" in text
    assert "chance" not in text
    mixed = findings.order(turned, "taps", compared([0.2, 0.001], [0.1, 0.1]))
    assert mixed.endswith("Since not all differences are significant, the order may be chance.")
    none = findings.order(turned, "taps", compared([0.2, 0.3], [0.1, 0.1]))
    assert none.endswith("Since no difference is significant, the order may be chance.")


def test_ties_are_not_called_an_order():
    tied = pd.DataFrame({"network": ["network1-linear", "proposed-linear"], "auc": 0.8, "dataset": "Set"})
    text = findings.order(tied, "taps", compared([1.0, 1.0], [0, 0]))
    assert "Here: network1 = proposed." in text
    assert "the same" not in text
    assert "against" not in text


def test_the_harder_set_follows_from_the_interval_of_the_difference():
    """Zou and Donner's form by hand: 0.9 (0.86 to 0.93) against 0.8 (0.75 to 0.84)."""
    rows = [("celeb-df", 0.9, 0.86, 0.93), ("ffiw", 0.8, 0.75, 0.84)]
    about = ("part", "auc", "low", "high")
    table = pd.DataFrame([{"network": "proposed-arcface"} | dict(zip(about, row, strict=True)) for row in rows])
    low, high = 0.1 - np.sqrt(0.04**2 + 0.04**2), 0.1 + np.sqrt(0.03**2 + 0.05**2)
    text = findings.harder_set(table, "proposed-arcface")
    assert f"+0.100 (+{low:.3f} to +{high:.3f}): **FFIW is harder**" in text
    wide = table.assign(low=[0.8, 0.6], high=[0.95, 0.9])
    assert "**nothing here decides**" in findings.harder_set(wide, "proposed-arcface")
    turned = table.assign(auc=[0.8, 0.9], low=[0.75, 0.86], high=[0.84, 0.93])
    assert "**Celeb-DF is harder**" in findings.harder_set(turned, "proposed-arcface")
    assert "hasn't both sets" in findings.harder_set(table.iloc[:1], "proposed-arcface")


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.1), (-0.1, 0.0), (-0.1, 0.1)])
def test_an_interval_that_touches_zero_decides_nothing(low, high):
    assert findings.Difference(0.0, low, high).read("up", "down") == "**nothing here decides**"


def test_angles_in_words_are_differences_and_the_larger_d_prime_is_named():
    rows = {"group": ["real", "all fakes"], "to_real": [91.0, 97.0], "to_fake": [104.0, 82.0]}
    apart = {
        "proposed-linear": pd.DataFrame(rows | {"to_fake": [90.0, 98.5], "d_prime": [np.nan, 1.4]}),
        "proposed-arcface": pd.DataFrame(rows | {"d_prime": [np.nan, 1.8]}),
    }
    text = embedding.finding(apart, {"proposed-linear": 85.2, "proposed-arcface": 88.0})
    assert "- proposed: centres 85° apart. On average a real face is nearer to its own centre by −1.0°" in text
    assert "by +13.0°, a fake by +15.0°; d′ = 1.80." in text
    assert "**proposed + ArcFace** separates these faces more" in text
