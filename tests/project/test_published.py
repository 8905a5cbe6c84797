"""Our numbers beside published ones: recomputed by hand from made-up results."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dfnb.plots import tables


def results(seeds: int = 1, like: str = "") -> pd.DataFrame:
    """What `Run.results` gives, with made-up AUCs: network k of seed s has 0.9 + k / 100 + s / 1000 on Celeb-DF."""
    rows = []
    for k, network in enumerate(["plain-linear", "network1-linear", "proposed-linear", "proposed-arcface"]):
        for seed in range(seeds):
            for part, dataset in (
                ("sbi", "FF++ c23"),
                ("ff", "FF++ c23"),
                ("celeb-df", f"Celeb-DF{like or '-v2 (subset: 500 of 518)'}"),
                ("ffiw", "FFIW-10K"),
            ):
                auc = 0.9 + k / 100 + seed / 1000 - (0.1 if part == "ffiw" else 0)
                level = "face" if part == "sbi" else "video"
                row = {"network": network, "seed": seed, "part": part, "dataset": dataset, "level": level}
                rows.append(row | {"size_rule": part != "sbi", "auc": auc, "low": auc - 0.02, "high": auc + 0.02})
                if part != "sbi":  # other protocols, which must not be taken
                    rows.append(row | {"size_rule": False, "auc": 0.1, "low": 0.0, "high": 0.2})
                    rows.append(row | {"level": "frame", "size_rule": True, "auc": 0.2, "low": 0.1, "high": 0.3})
    return pd.DataFrame(rows)


def test_reported_reproduced_and_their_difference():
    table = tables.against_published(results())
    final = table[table["network"] == "proposed + ArcFace"]
    celeb = final[final["set"] == "Celeb-DF-v2 (subset: 500 of 518)"].iloc[0]
    assert (celeb["method"], celeb["reported"]) == ("the paper", 0.9459)
    assert celeb["reproduced"] == pytest.approx(0.93)
    assert celeb["difference"] == pytest.approx(0.93 - 0.9459)
    assert (celeb["low"], celeb["high"]) == pytest.approx((0.91 - 0.9459, 0.95 - 0.9459))
    ffiw = final[final["set"] == "FFIW-10K"].iloc[0]
    assert (ffiw["reported"], ffiw["reproduced"]) == pytest.approx((0.8259, 0.83))
    plain = table[table["network"] == "plain backbone"]
    assert plain["method"].str.startswith("SBI").all()
    assert set(plain["reported"]) == {0.9318, 0.9382, 0.8452}
    assert plain["source"].str.len().gt(10).all()


def test_numbers_whose_set_the_paper_does_not_name_are_compared_with_both():
    table = tables.against_published(results())
    first = table[table["network"] == "network1"]
    assert list(first["reported"]) == [0.9344, 0.9344]
    assert set(first["set"]) == {"held-out SBI pairs", "Celeb-DF-v2 (subset: 500 of 518)"}
    assert set(first["source"]) == {"section 4, if on SBI images", "section 4, if on Celeb-DF"}
    assert not table.duplicated(["network", "method", "set", "source"]).any()


def test_several_seeds_widen_the_interval_by_students_share():
    table = tables.against_published(results(seeds=3))
    row = table[(table["network"] == "proposed + ArcFace") & (table["set"] == "FFIW-10K")].iloc[0]
    seeds = np.array([0.83, 0.831, 0.832])
    student = stats.t.interval(0.95, 2, loc=seeds.mean(), scale=stats.sem(seeds))
    half = np.hypot(0.02, (student[1] - student[0]) / 2)
    assert row["seeds"] == 3
    assert row["reproduced"] == pytest.approx(seeds.mean())
    assert (row["low"], row["high"]) == pytest.approx((seeds.mean() - 0.8259 - half, seeds.mean() - 0.8259 + half))


def test_eras_are_kept_apart_and_absent_networks_left_out():
    early, later = (tables.against_published(results(), era=era) for era in ("CNN", "later"))
    assert not set(early["method"]) & set(later["method"])
    assert later["method"].str.contains("CLIP").all()
    assert set(later["set"]) == {"Celeb-DF-v2 (subset: 500 of 518)", "FFIW-10K"}
    assert (pd.concat([early, later])["trained on"].str.len() > 0).all()
    only = results()[lambda t: t["network"] == "plain-linear"]
    assert set(tables.against_published(only)["network"]) == {"plain backbone"}


def test_rendered_heads_are_never_put_beside_published_numbers():
    with pytest.raises(ValueError, match="can't be compared"):
        tables.against_published(results(like="-like"))
