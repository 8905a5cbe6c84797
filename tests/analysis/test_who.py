"""Errors by complexion, sex and age: who is in a video against the studio's own people, rates against scikit-learn."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dfnb.analysis import who
from dfnb.common.errors import UserError
from dfnb.profile import Demo

SETTINGS = Demo(ff_train=4, ff_val=4, ff_test=4, celeb_real=6, celeb_fake=4, ffiw=4, frames=2)
ROOT = Path("benchmark")


def run_of(part: str, scores: dict[str, float] | None = None) -> SimpleNamespace:
    """A run of the embedded benchmark of which nothing is rendered: the videos of one part, and their scores."""
    from dfnb.benchmark import layout

    folder = {"ff": layout.FF, "celeb-df": layout.CELEB, "ffiw": layout.FFIW}[part]
    planned = [video for job in layout.plan(SETTINGS) for video in job.videos if video.path.startswith(folder)]
    rows = [
        {"path": str(ROOT / v.path), "dataset": part, "video": v.path, "label": v.label, "group": v.group, "score": 0.5}
        for v in planned
        if v.split != "train"
    ]
    clips = pd.DataFrame(rows[::-1])  # in another order than the plan's
    return SimpleNamespace(
        embedded=True, benchmark=ROOT, tests=(part,), profile=SimpleNamespace(name="t", demo=SETTINGS),
        clips=lambda name: clips, video_scores=lambda name, network: clips.drop(columns="path"),
    )  # fmt: skip


@pytest.mark.parametrize("part", ["ff", "celeb-df", "ffiw"])
def test_each_video_has_the_person_whom_the_studio_films_and_forges(part):
    from dfnb.benchmark import layout, studio

    found = who.people(run_of(part), part).set_index("video")
    seen = 0
    for job in layout.plan(SETTINGS):
        stages = [studio.Studio(SETTINGS, take) for take in job.takes]
        for fake in job.fakes:
            for video in (fake.video, job.takes[fake.take].video):  # a fake and the real video it is made of
                if video.path in found.index:
                    person = stages[fake.take].people[fake.victim]
                    row = found.loc[video.path]
                    assert (row["melanin"], row["female"], row["age"]) == (person.melanin, person.female, person.age)
                    assert row["people"] == len(job.takes[fake.take].people)
                    seen += 1
    assert seen > 5


def test_videos_of_several_people_are_left_out():
    assert who.videos(run_of("ffiw"), "proposed-arcface").empty
    filmed = who.videos(run_of("celeb-df"), "proposed-arcface")
    assert len(filmed) == 10
    assert filmed["group"].str.startswith("celeb-df ").all()


def made_up(count: int = 240) -> pd.DataFrame:
    """Two videos a person, one real and one fake; of dark people the real are called fake."""
    rng = np.random.default_rng(1)
    people = pd.DataFrame({"melanin": rng.uniform(0, 1, count), "female": rng.uniform(0, 1, count)})
    people["age"] = rng.uniform(18, 80, count)
    table = pd.concat([people.assign(label=label, group=[f"p{k}" for k in range(count)]) for label in ("real", "fake")])
    score = np.where(table["label"] == "fake", 0.7, 0.3 + 0.3 * (table["melanin"] >= 0.5)) + rng.normal(0, 0.1, 480)
    return table.assign(score=np.clip(score, 0, 1)).reset_index(drop=True)


def test_rates_are_those_counted_by_hand_and_each_person_is_in_one_band_of_each_kind():
    table = made_up()
    found = who.errors(table, 0.5)
    assert found.groupby("by")[["people", "real", "fake"]].sum().to_numpy().tolist() == [[240, 240, 240]] * 3
    dark = table[table["melanin"] >= 0.5]
    row = found[found["band"] == "dark"].iloc[0]
    assert row["people"] == dark["group"].nunique()
    assert row["false_positive"] == pytest.approx((dark[dark["label"] == "real"]["score"] >= 0.5).mean())
    assert row["missed"] == pytest.approx((dark[dark["label"] == "fake"]["score"] < 0.5).mean())
    assert row["auc"] == pytest.approx(roc_auc_score(dark["label"] == "fake", dark["score"]))
    assert (found["false_positive_low"] <= found["false_positive"]).all()
    text = who.finding(found)
    assert "real called fake, dark minus light (complexion) +0." in text
    assert "woman minus man" not in text
    drawn = who.figure(found, "proposed-arcface")
    marks = [line.get_xdata()[0] for line in drawn.figure.axes[0].lines if line.get_marker() == "D"]
    assert marks == found["false_positive"].tolist()


def test_the_oldest_and_the_darkest_belong_to_a_band():
    edges = pd.DataFrame({"melanin": [0.0, 1.0], "female": [0.0, 1.0], "age": [18.0, 80.0]})
    found = who.errors(edges.assign(label=["real", "fake"], group=["a", "b"], score=[0.2, 0.9]), 0.5)
    assert found.groupby("by")["people"].sum().tolist() == [2, 2, 2]
    assert found["auc"].isna().all()  # one class each
    assert "–" in who.readable(found)["AUC"].tolist()
    assert "**0 of 0**" in who.finding(found)


def test_of_real_videos_nothing_is_known():
    run = run_of("ff")
    run.embedded = False
    with pytest.raises(UserError, match="use the embedded benchmark"):
        who.people(run, "ff")
