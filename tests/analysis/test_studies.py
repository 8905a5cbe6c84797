"""Studies, power and the curves on genuine faces: what is shown, from tables whose answers are known."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from dfnb import profile
from dfnb.analysis import genuine_curves, power, stated_rate, studies
from dfnb.common.errors import UserError
from dfnb.experiment.run import Run
from dfnb.scoring import contrasts
from dfnb.scoring.comparisons import SeedSpread

KINDS = ("ff", "celeb-df")


def trainings(
    gain: dict[str, float], seeds: int = 3, noise: float = 0.01, parts: tuple[str, ...] = KINDS
) -> pd.DataFrame:
    """A sweep's table: networks with a mean AUC of 0.7 and a gain."""
    rng, rows = np.random.default_rng(0), []
    for side, more in gain.items():
        variation, _, network = side.rpartition("/")
        for seed in range(seeds):
            for part in parts:
                auc = 0.7 + more + noise * rng.normal()
                row = {"variation": variation or "base", "network": network, "seed": seed, "part": part}
                row |= {"dataset": part, "real": 300, "fake": 400}
                rows.append(row | {"auc": auc, "low": auc - 0.05, "high": auc + 0.05, "pair_accuracy": auc})
    return pd.DataFrame(rows)


def answers(p: float) -> pd.DataFrame:
    rows = [
        {"contrast": "arcface", "question": "ArcFace, or a linear head?", "ours": "proposed-arcface",
         "theirs": "proposed-linear", "kind": kind, "difference": 0.02, "low": -0.01, "high": 0.05, "p": p, "p_holm": p,
         "smallest": 0.043, "seeds": 3, "reference_seeds": 3}
        for kind in (*KINDS, contrasts.MEAN)
    ]  # fmt: skip
    return pd.DataFrame(rows)


RECORD = {
    "base": "study", "trainings": 18, "training_seconds": 3600.0, "plan": {"kinds": {}},
    "environment": {"hardware": "a processor, 2 cores", "versions": {"torch": "2"}},
}  # fmt: skip


def study(gain: dict[str, float], p: float = 0.4) -> studies.Study:
    return studies.Study(trainings(gain), answers(p), RECORD, True)


def write(folder, stem: str, table: pd.DataFrame, found: pd.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{stem}.csv", index=False)
    found.to_csv(folder / f"{stem}-contrasts.csv", index=False)
    (folder / f"{stem}.json").write_text(json.dumps(RECORD))


def test_this_machines_study_comes_before_the_published_and_a_damaged_one_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(studies, "resolve", lambda path: tmp_path / path)
    run = Run(profile.load("smoke", {"runs": str(tmp_path / "runs")}))
    assert not studies.read(run, "study").found
    assert "dfnb sweep --profile study" in studies.finding(studies.read(run, "study"))
    table = trainings({"proposed-linear": 0.0, "proposed-arcface": 0.02})
    write(tmp_path / "figures", "study", table, answers(0.4))
    assert studies.read(run, "study").published
    write(tmp_path / "runs" / "study", "sweep", table, answers(0.4))
    found = studies.read(run, "study")
    assert not found.published
    assert "Study of this machine, profile study: 18 trainings, 3 seeds, 60 minutes" in found.made()
    assert found.made().endswith(f"Tested on {len(KINDS) * 700:,} videos or images.")
    (tmp_path / "runs" / "study" / "sweep-contrasts.csv").write_text("")  # nothing is answered yet
    assert studies.read(run, "study").published
    (tmp_path / "figures" / "study.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"study\.csv: can't be read .*run `dfnb sweep --tables`"):
        studies.read(run, "study")


def test_an_answer_says_what_is_better_or_what_would_have_been_found():
    gain = {"proposed-linear": 0.0, "proposed-arcface": 0.02, "attention-untaught/proposed-arcface": 0.01}
    open_, decided = study(gain), study(gain, p=0.01)
    assert "**not decided**; a difference of 0.043 would have been found" in studies.finding(open_)
    assert "**proposed + ArcFace is better**" in studies.finding(decided)
    table = studies.networks(open_)
    assert table["network"].tolist() == ["proposed", "proposed + ArcFace", "unsupervised attention"]
    aucs = open_.table[(open_.table["network"] == "proposed-linear") & (open_.table["part"] == "ff")]["auc"]
    assert table.loc[0, "ff"] == f"{aucs.mean():.3f} ± {aucs.std():.3f}"
    shown = studies.readable(open_)
    assert shown.loc[0, "compared"] == "proposed + ArcFace minus proposed"
    assert shown.loc[0, "smallest that could be seen"] == "0.043"
    plot = studies.chart(open_)
    assert [axes.get_title(loc="left") for axes in plot.figure.axes] == ["mean", "FF++", "Celeb-DF"]
    spread = open_.spreads()[contrasts.MEAN]
    assert spread.freedom == 6
    assert spread.variance**0.5 == pytest.approx(0.01 / 2**0.5, rel=0.6)


def test_power_follows_from_both_spreads():
    rng, people = np.random.default_rng(1), 100
    fake = np.arange(2 * people) % 2 == 1
    groups = np.array([f"p{k // 2}" for k in range(2 * people)], object)
    ours, theirs = (rng.normal(size=(1, 2 * people)) + fake for _ in range(2))
    parts = {"a": contrasts.Part(fake, groups, ours, theirs)}
    table = power.of_parts(parts, SeedSpread(0.02**2, 4)).set_index(["size", "seeds"])
    sd = table.loc[(1.0, 1), "sampling_sd"]
    for size, seeds in ((1.0, 1), (10.0, 20)):
        error = np.hypot(sd / size**0.5, 0.02 * (2 / seeds) ** 0.5)
        expected = (norm.ppf(0.975) + norm.ppf(0.8)) * error
        assert table.loc[(size, seeds), "smallest"] == pytest.approx(expected, rel=0.1)
    assert table.loc[(3.0, 1), "videos"] == 600
    assert "One seed on these videos finds a difference of" in power.finding(table.reset_index())
    assert power.chart(table.reset_index()).figure.axes


def test_the_curve_holds_every_changed_training_and_the_unchanged_of_its_seeds():
    parts = ("dfdc-crops", "ff", "swaps", "mouths", "sbi")
    table = trainings({"proposed-arcface": 0, "network1-linear": 0.1, "people-250/proposed-arcface": -0.1}, parts=parts)
    table = table.assign(size=128, steps=400, people=np.where(table["variation"] == "base", 3000, 250))
    table = table[(table["variation"] == "base") | (table["seed"] < 2)]
    found = genuine_curves.points(table)
    assert set(found["changed"]) == {"people"}
    assert found.groupby("value")["seed"].nunique().to_dict() == {250: 2, 3000: 2}
    forged = found[(found["kind"] == "our forgeries") & (found["value"] == 250) & (found["seed"] == 1)]
    inside = table[
        (table["variation"] == "people-250") & (table["seed"] == 1) & table["part"].isin(["swaps", "mouths"])
    ]
    assert forged["auc"].item() == pytest.approx(inside["auc"].mean())
    means = found.groupby("value")["auc"].mean()
    values = f"250: **{means[250]:.3f}**, 3,000: **{means[3000]:.3f}**"
    assert f"- people to train on: AUC at {values}\n" in genuine_curves.finding(found)
    assert "not trained yet**: input, pixels a side, steps of training" in genuine_curves.finding(found)
    assert len(genuine_curves.readable(found)) == 2
    assert len(genuine_curves.chart(found).figure.axes) == 1
    assert genuine_curves.points(table[table["variation"] == "base"]).empty
    assert "dfnb sweep --profile curve" in genuine_curves.finding(genuine_curves.points(pd.DataFrame()))


def test_the_benchmark_foretells_what_has_its_order_and_nothing_else():
    gain = {
        f"{name}-linear": 0.03 * k for k, name in enumerate(("plain", "network1", "network2", "proposed", "plain-norm"))
    }
    same = genuine_curves.prediction(study(gain), study(gain))
    assert (round(same.rho, 12), len(same.table)) == (1.0, 5)
    assert same.p == pytest.approx(2 / 120)  # of all orders of five this and its reverse
    assert "says something" in genuine_curves.prediction_finding(same)
    unlike = dict(zip(gain, (0.06, 0.0, 0.12, 0.03, 0.09), strict=True))
    assert "foretells nothing" in genuine_curves.prediction_finding(
        genuine_curves.prediction(study(gain), study(unlike))
    )
    assert genuine_curves.prediction_chart(same).figure.axes


def test_rates_over_networks_hold_or_are_named():
    rows = [
        {"network": f"n{k}", "seed": 0, "dataset": name, "people": 440, "tested": 350, "stated": 0.01,
         "realised": share + 0.001 * k, "chance_low": 0.0, "chance_high": 0.025}
        for name, share in (("like", 0.008), ("unlike", 0.3)) for k in range(3)
    ]  # fmt: skip
    rates = pd.DataFrame(rows)
    said = stated_rate.finding_over_networks(rates).splitlines()
    assert said[2].startswith("- like: **within what chance allows** (0.9 % where 1 % is stated; with 350 people")
    assert said[3] == "- unlike: **it doesn't hold** (30.1 % instead of 1 %)"
    assert stated_rate.over_networks(rates)["networks inside"].tolist() == ["3 of 3", "0 of 3"]
    assert "No rates are published" in stated_rate.finding_over_networks(pd.DataFrame())
