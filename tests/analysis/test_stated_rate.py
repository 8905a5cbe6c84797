"""Stated against realised rates, against counting by hand, on people of the same kind and of another."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dfnb.analysis import stated_rate
from dfnb.scoring import real_people

HELD_OUT = 99


def a_run(monkeypatch: pytest.MonkeyPatch, shift: float, people: int = 200) -> SimpleNamespace:
    """A run with one test part: two real videos and a fake of each person, the real scores shifted."""
    rng = np.random.default_rng(0)
    about = {"image": [], "video": sorted(rng.normal(0, 1, HELD_OUT).tolist())}
    monkeypatch.setattr(stated_rate, "kept", lambda run, name, seed=None: about)
    rows = [
        {"label": label, "group": f"p{k}", "frames": 8, "score": rng.normal(shift if label == "real" else 9)}
        for k in range(people)
        for label in ("real", "real", "fake")
    ]
    videos = pd.DataFrame([*rows, {"label": "real", "group": "hidden", "frames": 0, "score": 99.0}])
    return SimpleNamespace(
        tests=("wild",), title=str.title, video_scores=lambda part, name, seed=None: videos,
        clips=lambda part: pd.DataFrame({"path": ["a.mp4"]}),
    )  # fmt: skip


def test_rates_are_counts_of_one_video_a_person(monkeypatch):
    run = a_run(monkeypatch, 0)
    table = stated_rate.realised(run, "plain-linear").set_index("stated")
    videos, scores = run.video_scores("wild", ""), np.array(stated_rate.kept(run, "")["video"])
    first = videos[(videos["label"] == "real") & (videos["frames"] > 0)].groupby("group")["score"].first()
    for rate in (0.1, 0.05, 0.01):
        hits = sum((1 + (scores >= score).sum()) / (HELD_OUT + 1) <= rate + 1e-12 for score in first)
        assert table.loc[rate, "realised"] == hits / 200
        assert table.loc[rate, "chance_low"] <= table.loc[rate, "realised"] <= table.loc[rate, "chance_high"]
    assert (table["tested"] == 200).all()
    assert "**0 of 3 cases**" in stated_rate.finding(table.reset_index())
    drawn = stated_rate.curve(run, "plain-linear")
    at = drawn.numbers.set_index(drawn.numbers["stated"].round(3))
    assert at.loc[0.1, "realised"] == table.loc[0.1, "realised"]


def test_chance_moves_the_rate_as_a_simulation_says():
    rng, rates = np.random.default_rng(2), []
    for _ in range(2000):
        held_out, tested = rng.random(30), rng.random(100)
        p = (1 + (held_out >= tested[:, None]).sum(1)) / 31
        rates.append(float((p <= 0.2).mean()))
    low, high = stated_rate.by_chance(0.2, 30, 100)
    assert 0.945 <= np.mean((np.array(rates) >= low) & (np.array(rates) <= high)) <= 0.975
    assert np.mean(rates) == pytest.approx(6 / 31, abs=0.005)
    assert stated_rate.by_chance(0.01, 30, 20) == (0, 0)


def test_people_of_another_kind_are_flagged_more_often_and_it_is_said(monkeypatch):
    table = stated_rate.realised(a_run(monkeypatch, 1.5), "plain-linear")
    assert (table["low"] > table["chance_high"]).all()
    assert "**3 of 3 cases**: Wild:" in stated_rate.finding(table)
    assert stated_rate.readable(table)["stated"].tolist() == ["10 %", "5 %", "1 %"]


def test_too_few_people_state_no_rate(monkeypatch):
    run = a_run(monkeypatch, 0)
    about = stated_rate.kept(run, "")
    monkeypatch.setitem(about, "video", about["video"][: real_people.FEWEST - 1])
    assert stated_rate.realised(run, "plain-linear").empty
    assert "Too few real people" in stated_rate.finding(stated_rate.realised(run, "plain-linear"))
    monkeypatch.setitem(about, "video", [*about["video"][:19], 0.0])
    assert stated_rate.realised(run, "plain-linear")["stated"].tolist() == [0.1, 0.05]


def test_images_are_judged_as_images(monkeypatch):
    run = a_run(monkeypatch, 0)
    assert stated_rate.unit_of(run, "wild") == "video"
    run.clips = lambda part: pd.DataFrame({"path": ["a.JPG", "b.png"]})
    assert stated_rate.unit_of(run, "wild") == "image"


def test_corruptions_stand_beside_the_videos_as_they_are(monkeypatch):
    run = a_run(monkeypatch, 0)
    run.profile = SimpleNamespace(
        robustness=SimpleNamespace(videos=None, frames=None), evaluate=SimpleNamespace(size_rule=False)
    )
    videos = run.video_scores("wild", "").query("frames > 0").reset_index(drop=True)
    names = [f"v{k}" for k in range(len(videos))]
    faces = videos.assign(dataset="d", video=names, frame=0, face=0, method="m", x0=0, y0=0, x1=1, y1=1)
    run.store = lambda part: SimpleNamespace(manifest=faces.assign(path=names))
    run.scores = lambda part, name: faces
    harsh = pd.concat([faces.assign(level=k, strength=float(k), score=faces["score"] + 2 * k) for k in (1, 2)])
    monkeypatch.setattr(stated_rate.robustness, "part", lambda run: "wild")
    monkeypatch.setattr(stated_rate.robustness, "scores", lambda run, kind: {"plain-linear": harsh})
    table = stated_rate.under_corruption(run, "plain-linear")
    blur = table[table["corruption"] == "blur"]
    assert blur["level"].tolist() == [0, 1, 2]
    assert np.isclose(blur["realised"].iloc[0], stated_rate.realised(run, "plain-linear")["realised"].iloc[1])
    assert (np.diff(blur["realised"]) > 0.2).all()
    wide = stated_rate.by_level(table)
    assert list(wide.columns) == ["corruption", "as they are", "1", "2"]
    found = stated_rate.by_person(videos, stated_rate.kept(run, "")) <= 0.05
    shifted = stated_rate.by_person(videos.assign(score=videos["score"] + 2), stated_rate.kept(run, "")) <= 0.05
    new = int((shifted & ~found).sum())
    assert blur["p"].iloc[1] == pytest.approx(2 * 0.5**new)  # all who change are flagged anew: McNemar's exact p
    assert (blur["all_frames"] == blur["realised"].iloc[0]).all()
    cells = 2 * len(table["corruption"].unique())
    text = stated_rate.finding_under_corruption(table)
    assert f"**rises significantly in {cells} of {cells}** cells" in text
    assert f"**falls significantly in 0 of {cells}** cells," in text
    assert f"all frames of the same videos, as in notebook 5, it is {100 * found.mean():.0f} %" in text
    level = {"level": 1, "strength": 1.0}
    run.scores = lambda part, name: faces.assign(score=faces["score"] + 2)  # and now the corrupted ones are lower
    monkeypatch.setattr(stated_rate.robustness, "scores", lambda run, kind: {"plain-linear": faces.assign(**level)})
    text = stated_rate.finding_under_corruption(stated_rate.under_corruption(run, "plain-linear"))
    assert "**rises significantly in 0 of 6** cells and **falls significantly in 6 of 6** cells (most with" in text
