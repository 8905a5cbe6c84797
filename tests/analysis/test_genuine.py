"""What is published of the search on genuine fakes: read, drawn and put into words."""

import numpy as np
import pandas as pd
import pytest

from dfnb.analysis import genuine
from dfnb.common import files
from dfnb.common.errors import UserError


@pytest.fixture
def folder(tmp_path):
    trials = pd.DataFrame(
        {
            "trial": [0, 1, 2, 3],
            "name": ["ours", "degraded", np.nan, "wrong"],
            "state": ["finished"] * 3 + ["failed"],
            "sbi.degradation": ["{}", '{"h264_probability": 0.5}', "{}", "{}"],
            "sbi.fakes": ['[["self-blended", 1.0]]'] * 2 + ['[["edgeless", 0.5], ["poisson", 0.5]]'] * 2,
            "changed": [np.nan, "learning rate 0.5", np.nan, np.nan],
            "kind_dfdc": [0.6, 0.7, 0.65, np.nan],
            "kind_ff-c40": [0.6, 0.65, 0.65, np.nan],
            "kind_forged": [0.6, 0.9, 0.65, np.nan],
            "mean": [0.6, 0.75, 0.65, np.nan],
            "worst": [0.6, 0.65, 0.65, np.nan],
        }
    )
    finals = pd.DataFrame(
        {
            "recipe": "degraded", "reference": ["ours", "ours", "original"], "kind": ["dfdc", "mean", "mean"],
            "auc": 0.75, "reference_auc": 0.65, "difference": [0.1, 0.1, 0.02], "low": [0.05, 0.06, -0.03],
            "high": [0.15, 0.14, 0.07], "averaged_auc": 0.76, "seeds": 3, "reference_seeds": 3,
        }
    )  # fmt: skip
    trials.to_csv(tmp_path / "genuine-search.csv", index=False)
    finals.to_csv(tmp_path / "genuine-finals.csv", index=False)
    environment = {"hardware": "a processor, 2 threads", "versions": {"torch": "2.15.0"}}
    files.write_json(tmp_path / "genuine-search.json", {"plan": {"steps": 300, "seed": 0}, "environment": environment})
    return tmp_path


def test_trials_are_drawn_best_first_and_failed_ones_left_out(folder):
    found = genuine.published(folder)
    plot = genuine.chart(found.trials)
    assert plot.numbers["mean"].tolist() == [0.75, 0.65, 0.6]
    assert [text.get_text() for text in plot.figure.axes[0].get_yticklabels()] == ["degraded", "proposed, 2", "ours"]
    drawn = [line.get_xdata().tolist() for line in plot.figure.axes[0].lines[:4]]
    assert drawn == [plot.numbers[c].tolist() for c in ("kind_dfdc", "kind_ff-c40", "kind_forged", "mean")]
    assert genuine.made(found).startswith("3 trainings of 300 steps, seed 0,")


def test_what_a_trial_changed_is_put_into_words(folder):
    table = genuine.settings(genuine.published(folder).trials, ("sbi.degradation", "sbi.fakes"))
    assert table["changed"].tolist() == [
        "sbi.degradation: h264 0.5; learning rate 0.5",
        "sbi.fakes: 0.5 edgeless, 0.5 poisson",
        "nothing",
    ]
    assert table["mean"].tolist() == [0.75, 0.65, 0.6]


def test_finals_are_put_into_words_by_their_intervals(folder):
    finals = genuine.published(folder).finals
    text = genuine.finding(finals)
    assert "degraded against ours +0.100 (+0.060 to +0.140): **degraded is better**" in text
    assert "degraded against original +0.020 (−0.030 to +0.070): **nothing here decides**" in text
    assert genuine.readable(finals)["kind"].tolist() == ["DFDC crops", "mean", "mean"]


def test_nothing_published_is_said_and_a_damaged_table_named(tmp_path, folder):
    nothing = genuine.published(tmp_path / "none")
    assert nothing.trials.empty
    assert genuine.finding(nothing.finals) == "No comparison is published."
    (folder / "genuine-finals.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"genuine-.*\.csv: can't be read"):
        genuine.published(folder)
