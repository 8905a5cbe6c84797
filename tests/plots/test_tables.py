"""Tables made from a run: alignment, comparisons by hand, several seeds."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import t as student
from sklearn.metrics import average_precision_score, roc_auc_score

from dfnb.plots import style, tables
from dfnb.scoring import comparisons, metrics

NAMES = ["network1-linear", "proposed-linear"]


class StubRun:
    """Scores without networks: what the tables ask of a run."""

    tests = ("ff",)

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        n = 60
        label = np.repeat(["real", "fake"], n)
        method = np.where(label == "real", "original", np.tile(["Deepfakes", "FaceSwap"], n))
        base = {"dataset": "Set", "video": [f"v{k}" for k in range(2 * n)], "label": label, "method": method}
        base |= {"group": [str(k % 20) for k in range(2 * n)], "frames": 3}
        self.scored = {
            name: pd.DataFrame(base | {"score": expit(rng.normal(np.where(label == "fake", shift, 0)))})
            for name, shift in zip(NAMES, (0.5, 2.0), strict=True)
        }
        self.networks = self.compared = [SimpleNamespace(name=name, seed=0) for name in NAMES]
        self.rng = rng

    def video_scores(self, part: str, name: str, seed: int | None = None) -> pd.DataFrame:
        return self.scored[name].sample(frac=1, random_state=self.rng.integers(1000))  # in any order

    def parts_of(self, network: SimpleNamespace) -> tuple[str, ...]:
        return ("ff", *getattr(self, "tests", ()))

    def find(self, name: str) -> SimpleNamespace:
        return next(network for network in self.networks if network.name == name)

    def title(self, part: str) -> str:
        return "Set (subset: 120 of 200)"

    def clips(self, part: str) -> pd.DataFrame:
        return self.scored[NAMES[0]][["dataset", "video", "label", "method", "group"]]


def test_networks_are_compared_on_the_same_videos_whatever_the_order():
    run = StubRun()
    table = tables.paired(run, "ff", "proposed-linear", ["network1-linear"]).iloc[0]
    labels = (run.scored[NAMES[0]]["label"] == "fake").to_numpy()
    ours, theirs = run.scored["proposed-linear"]["score"], run.scored["network1-linear"]["score"]
    assert table["difference"] == pytest.approx(roc_auc_score(labels, ours) - roc_auc_score(labels, theirs))
    assert table["p_delong"] == pytest.approx(metrics.compare(labels, ours, theirs).p_value)
    sampling = comparisons.over_groups(labels, ours, theirs, run.scored[NAMES[0]]["group"])
    half = student.ppf(0.975, sampling.pairs - 1) * sampling.error
    assert (table["low"], table["high"]) == pytest.approx((sampling.difference - half, sampling.difference + half))
    assert table["p_holm"] == table["p"]  # one comparison needs no correction
    assert np.isnan(table["seed_sd"])


def test_what_a_sweep_knows_of_seeds_widens_the_comparison():
    run, spread = StubRun(), comparisons.SeedSpread(0.03**2, 10)
    alone = tables.paired(run, "ff", "proposed-linear", ["network1-linear"]).iloc[0]
    wider = tables.paired(run, "ff", "proposed-linear", ["network1-linear"], spread).iloc[0]
    assert wider["high"] - wider["low"] > alone["high"] - alone["low"]
    assert wider["p"] > alone["p"]
    assert wider["p_delong"] == alone["p_delong"]
    assert wider["seed_sd"] == pytest.approx(0.03)


def test_networks_scored_on_different_videos_are_not_compared():
    run = StubRun()
    run.scored["network1-linear"] = run.scored["network1-linear"].iloc[1:]
    with pytest.raises(ValueError, match="different samples"):
        tables.paired(run, "ff", "proposed-linear", ["network1-linear"])


def test_each_manipulation_is_judged_against_all_real_videos():
    run = StubRun()
    table = tables.per_method(run).set_index(["network", "dataset"])
    videos = run.scored["proposed-linear"]
    compared = videos[(videos["label"] == "real") | (videos["method"] == "FaceSwap")]
    row = table.loc[("proposed-linear", "FaceSwap")]
    assert row["auc"] == pytest.approx(roc_auc_score(compared["label"] == "fake", compared["score"]))
    assert (row["real"], row["fake"]) == (60, 30)


def test_other_measures_agree_with_another_library():
    run = StubRun()
    table = tables.operating(run).set_index("network")
    videos = run.scored["proposed-linear"]
    expected = average_precision_score(videos["label"] == "fake", videos["score"])
    assert table.loc["proposed", "average precision"] == pytest.approx(expected)
    assert table.loc["proposed", "videos"] == 120
    assert table.loc["proposed", "set"] == run.title("ff")  # a copy that isn't whole says so here, too


def results(seeds: int) -> pd.DataFrame:
    rows = [
        {
            "network": name,
            "seed": s,
            "part": "celeb-df",
            "dataset": "Celeb-DF-like",
            "level": "video",
            "size_rule": True,
        }
        | {"auc": auc + 0.02 * s, "low": auc - 0.1, "high": auc + 0.1, "real": 50, "fake": 60, "checkpoint": "x"}
        for name, auc in zip(NAMES, (0.7, 0.8), strict=True)
        for s in range(seeds)
    ]
    return pd.DataFrame(rows)


def test_results_show_intervals_for_one_seed_and_spread_for_several():
    assert tables.wide(results(1)).iloc[1].tolist() == ["proposed", "0.800 (0.700 to 0.900)"]
    assert tables.wide(results(3)).iloc[1].tolist() == ["proposed", "0.820 (0.700 to 0.900) ± 0.020 over 3 seeds"]
    assert tables.counts(results(3)) == "Celeb-DF-like: 50 real, 60 fake"


def test_coverage_in_words_names_what_was_lost():
    counts = {"dataset": ["A", "A"], "method": ["real", "swap"], "listed": [10, 10], "videos_with_face": [10, 8]}
    counts |= {"frames": [40, 40], "frames_with_face": [40, 30], "lost": [0, 2]}
    text = tables.faces_found(pd.DataFrame(counts))
    assert "Of 20 videos, **18**" in text
    assert "of 80 decoded frames, **70** do" in text
    assert "2 of A, swap" in text
    assert "No video was lost" in tables.faces_found(pd.DataFrame(counts).iloc[:1])


def test_a_comparison_on_several_sets_is_corrected_for_all_of_them():
    run = StubRun()
    run.tests = ("ff", "other")
    table = tables.paired_by_set(run, run.tests, *NAMES, lambda part: None)
    alone = tables.paired(run, "ff", NAMES[0], NAMES[1:])
    assert table["part"].tolist() == ["ff", "other"]
    assert table.loc[0, "p"] == alone.loc[0, "p"]
    np.testing.assert_allclose(table["p_holm"], 2 * table["p"])  # equal p-values: Holm is Bonferroni
    shown = tables.readable(table)
    assert shown.loc[0, "reference minus it (95 %)"] == style.with_interval(
        *alone.loc[0, ["difference", "low", "high"]]
    )


def test_a_difference_that_rounds_to_zero_has_no_minus():
    assert style.with_interval(-7.2e-5, -0.054, 0.054) == "+0.000 (−0.054 to +0.054)"


def test_holm_is_bonferroni_for_the_smallest_and_never_falls():
    p = np.array([0.04, 0.01, 0.03, 0.5])
    np.testing.assert_allclose(comparisons.holm(p), [0.09, 0.04, 0.09, 0.5])  # worked by hand
    np.testing.assert_allclose(comparisons.holm(np.array([0.9, 0.8])), [1.0, 1.0])


def test_a_column_of_whole_numbers_of_which_none_is_known_is_shown_as_dashes():
    frame = pd.DataFrame({"set": ["a", "b"], "expected": pd.array([None, None], dtype="Int64"), "n": [12_345, 7]})
    text = style.html_table(frame, "Unknown.")
    assert text.count("–") == 2
    assert "12,345" in text
