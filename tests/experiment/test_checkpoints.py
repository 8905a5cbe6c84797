"""Seeds of two recipes compared on several sets, against closed forms and scikit-learn."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dfnb.common.errors import UserError
from dfnb.experiment import checkpoints
from dfnb.experiment.checkpoints import MEAN, compare
from dfnb.scoring import metrics

PARTS = {"first": 300, "second": 120, "third": 60}  # how many videos, half of them fake
OURS, THEIRS = ([Path(f"{name}{seed}") for seed in range(3)] for name in ("ours", "theirs"))


def scored(part: str, path: Path, gain: float) -> pd.DataFrame:
    """Video scores that rank fakes the higher, the larger `gain`; two videos of a group."""
    count = PARTS[part]
    common = np.random.default_rng([count]).normal(size=count)
    noise = np.random.default_rng([count, *path.name.encode()]).normal(size=count)
    fake = np.arange(count) % 2 == 1
    table = {"dataset": part, "video": [f"v{k}" for k in range(count)], "label": np.where(fake, "fake", "real")}
    group = [str(k // 2) for k in range(count)]
    return pd.DataFrame(table | {"group": group, "score": common + 0.5 * noise + gain * fake})


def a_run(better: float = 1.2, worse: float = 0.8) -> SimpleNamespace:
    """What `compare` asks of a run."""
    gain = {path: better if path in OURS else worse for path in (*OURS, *THEIRS)}
    tables = {(part, path): scored(part, path, gain[path]) for part in PARTS for path in gain}
    return SimpleNamespace(
        tests=tuple(PARTS),
        checkpoint_video_scores=lambda part, path: tables[part, path],
        profile=SimpleNamespace(name="lab"),
    )


@pytest.fixture(autouse=True)
def domains(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the checkpoints were trained on: there are no files here."""
    monkeypatch.setattr(checkpoints, "trained_for", lambda path: (128, f"faces of {path.name[:-1]}"))


def auc(table: pd.DataFrame) -> float:
    return float(roc_auc_score(table["label"] == "fake", table["score"]))


def test_aucs_and_differences_are_scikit_learns_and_the_mean_is_the_kinds():
    run = a_run()
    table = compare(run, OURS, THEIRS, {"both": ["second", "third"]}).set_index("kind")
    assert list(table.index) == ["first", "both", MEAN]
    assert table[["trained_on", "reference_trained_on"]].drop_duplicates().values.tolist() == [
        ["faces of ours", "faces of theirs"]
    ]
    means = {
        (side, part): np.mean([auc(run.checkpoint_video_scores(part, path)) for path in paths])
        for side, paths in (("auc", OURS), ("reference_auc", THEIRS))
        for part in PARTS
    }
    for side in ("auc", "reference_auc"):
        both = (means[side, "second"] + means[side, "third"]) / 2
        assert np.isclose(table.loc["first", side], means[side, "first"])
        assert np.isclose(table.loc["both", side], both)
        assert np.isclose(table.loc[MEAN, side], (means[side, "first"] + both) / 2)
    assert np.allclose(table["difference"], table["auc"] - table["reference_auc"])
    averaged = run.checkpoint_video_scores("first", OURS[0]).copy()
    averaged["score"] = np.mean([run.checkpoint_video_scores("first", path)["score"] for path in OURS], axis=0)
    assert np.isclose(table.loc["first", "averaged_auc"], auc(averaged))
    worst = min(auc(run.checkpoint_video_scores("first", path)) for path in OURS)
    assert np.isclose(table.loc["first", "worst_auc"], worst)
    assert (table["low"] < table["difference"]).all()
    assert (table["difference"] < table["high"]).all()


def test_the_interval_of_one_checkpoint_each_is_about_delongs():
    run = a_run()
    for table in (run.checkpoint_video_scores(part, path) for part in PARTS for path in (OURS[0], THEIRS[0])):
        table["group"] = table["video"]  # each video by itself, as DeLong's method has it
    found = compare(run, OURS[:1], THEIRS[:1]).set_index("kind")
    a, b = (run.checkpoint_video_scores("first", paths[0]) for paths in (OURS, THEIRS))
    expected = metrics.compare(a["label"] == "fake", a["score"], b["score"])
    assert np.isclose(found.loc["first", "difference"], expected.difference)
    assert np.isclose(found.loc["first", "high"] - found.loc["first", "low"], expected.high - expected.low, rtol=0.15)


def test_the_mean_of_independent_kinds_is_surer_than_each_and_seeds_make_it_less_so():
    run = a_run()
    single = compare(run, OURS[:1], THEIRS[:1]).set_index("kind")
    width = single["high"] - single["low"]
    quadratic = np.sqrt((width[list(PARTS)] ** 2).sum()) / 3
    assert np.isclose(width[MEAN], quadratic, rtol=0.1)
    unlike = a_run()
    for seed, path in enumerate(OURS):
        for part in PARTS:
            unlike.checkpoint_video_scores(part, path)["score"] += seed * (np.arange(PARTS[part]) % 2)
    assert (np.diff(compare(unlike, OURS, THEIRS)[["low", "high"]])[-1] > width[MEAN]).all()


def test_what_cannot_be_compared_is_named():
    for kinds, line in (
        ({"k": ["fourth"]}, "kind: no test part 'fourth' in profile lab; it has first, second, third"),
        ({"k": ["first"], "l": ["first"]}, "kind: the part first is named twice"),
        ({"first": ["second"]}, "kind: mean and the names of test parts are taken"),
    ):
        with pytest.raises(UserError, match=line):
            compare(a_run(), OURS, THEIRS, kinds)
