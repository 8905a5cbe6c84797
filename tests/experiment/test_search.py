"""A search over settings: what a plan may say, a small search with real trainings, killed and gone on with."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from coded_video import write_pictures
from lab import SETTINGS, dfnb, faces, heads  # noqa: F401  (heads: a fixture)
from sklearn.metrics import roc_auc_score

from dfnb import networks, profile
from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.experiment import Run, search, search_plan
from dfnb.sbi import presets

PLAN = {
    "name": "tiny",
    "steps": 2,
    "trials": 5,
    "kinds": {"pictures": ["folder"], "videos": ["dfdc"]},
    "start": {"ours": {}, "original": {"sbi.preset": "original"}, "wrong": {"train.ema_decay": 1.5}},
    "space": {"sbi.hull_variation": [True, False], "train.ema_decay": [None, 0.9], "sbi.factors": [[2, 4], [2]]},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So small a network is trained faster so, above all where other work goes on."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory, heads) -> Path:  # noqa: F811
    """Faces to train on, and two sets to test on: pictures, and videos as DFDC lists them."""
    folder = tmp_path_factory.mktemp("data")
    faces(folder / "faces", heads)
    for label, shift in (("real", 0), ("fake", 6)):
        (folder / "pictures" / label).mkdir(parents=True)
        for k in range(3):
            picture = np.roll(heads[k], 2 * k, 1)
            picture = cv2.GaussianBlur(picture, (0, 0), 2) if shift else picture
            cv2.imwrite(str(folder / "pictures" / label / f"{k}.png"), picture[..., ::-1])
    (folder / "videos").mkdir()
    listed = {}
    for k, label in enumerate(("REAL", "FAKE", "REAL", "FAKE")):
        write_pictures(folder / "videos" / f"{k}.mp4", [np.roll(heads[k % 3], k, 0)] * 2, "libx264", "yuv420p")
        listed[f"{k}.mp4"] = {"label": label} | ({"original": "0.mp4"} if label == "FAKE" else {})
    (folder / "videos" / "metadata.json").write_text(json.dumps(listed))
    return folder


def base_profile(data: Path, runs: Path) -> Path:
    """The lab's profile on these data, written beside its runs."""
    runs.mkdir(parents=True, exist_ok=True)
    sets = {"folder": str(data / "pictures"), "dfdc": str(data / "videos")}
    given = SETTINGS | {"runs": str(runs), "evaluate": {"workers": 0}}
    given["data"] = SETTINGS["data"] | {"faces": str(data / "faces"), "more": sets, "test_frames": 2}
    path = runs.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(given))
    return path


def written(data: Path, runs: Path, **changes: object) -> Path:
    """A plan over that profile, as a file."""
    path = runs.parent / "plan.yaml"
    path.write_text(yaml.safe_dump(PLAN | {"base": str(base_profile(data, runs))} | changes, sort_keys=False))
    return path


def opened(path: Path) -> search.Search:
    plan = search_plan.load(path)
    return search.Search(plan, Run(profile.load(plan.base), build="all"))


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory) -> search.Search:
    """A whole search, never interrupted."""
    found = opened(written(data, tmp_path_factory.mktemp("whole") / "runs"))
    found.work()
    return found


def checkpoints(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("checkpoint.safetensors")}


def test_the_table_holds_what_was_asked_and_what_the_runs_give(searched):
    table = searched.table()
    assert list(table["name"]) == ["ours", "original", "wrong", "", ""]
    assert list(table["state"]) == ["finished", "finished", "failed", "finished", "finished"]
    assert list(table["sbi.hull_variation"])[:2] == ["true", "false"]
    assert list(table["changed"]) == ["", "self-blending original instead of ours", "", "", ""]
    assert "train.ema_decay" in table["reason"][2]
    assert "less than 1" in table["reason"][2]
    for row in table[table["state"] == "finished"].to_dict("records"):
        (folder,) = (path for path in searched.folder.glob("*/networks") if sha256_in(path) == row["checkpoint"])
        trained = networks.metadata(next(folder.rglob("checkpoint.safetensors")))["profile"]
        assert trained["train"]["steps"] == 2
        if not row["changed"]:
            assert search_plan.as_text(trained["train"]["ema_decay"]) == row["train.ema_decay"]
            sbi = presets.resolve(profile.Sbi.model_validate(trained["sbi"]))
            assert search_plan.as_text(sbi.hull_variation) == row["sbi.hull_variation"]
            assert search_plan.as_text(list(sbi.factors)) == row["sbi.factors"]
        for part in ("folder", "dfdc"):
            scored = pd.read_parquet(next((folder.parent / "scores" / part).glob("*.parquet")))
            video = scored.groupby(["label", "video", "frame"])["score"].max().groupby(["label", "video"]).mean()
            fake = video.index.get_level_values("label") == "fake"
            assert row[f"auc_{part}"] == pytest.approx(roc_auc_score(fake, video))
        aucs = [row["kind_pictures"], row["kind_videos"]]
        assert (row["mean"], row["worst"]) == (pytest.approx(sum(aucs) / 2), min(aucs))


def sha256_in(folder: Path) -> str:
    return files.sha256(next(folder.rglob("checkpoint.safetensors")))


def test_the_numbers_are_those_of_the_runs_results(searched):
    row = searched.table().iloc[0]
    choice = searched.starts["ours"]
    run = Run(choice.profile, searched.folder / choice.key, shared=searched.base, build="scores")
    results = run.results()
    results = results[(results["level"] == "video") & results["size_rule"]].set_index("part")
    for part in ("folder", "dfdc"):
        for name in ("auc", "low", "high"):
            assert row[f"{name}_{part}"] == results.loc[part, name]
        assert row["checkpoint"] == results.loc[part, "checkpoint"]


def test_proposals_are_new_settings_of_the_space(searched):
    table = searched.table()
    proposed = table[table["name"] == ""][[*PLAN["space"]]]
    texts = [list(map(search_plan.as_text, values)) for values in PLAN["space"].values()]
    assert {tuple(row) for row in proposed.itertuples(index=False)} <= set(itertools.product(*texts))
    inside = table[table["changed"] == ""]
    assert not inside[[*PLAN["space"]]].duplicated().any()


def test_files_hold_the_same_and_a_finished_search_does_nothing_again(searched):
    table = searched.table()
    again = search.read_table(searched.folder / "search.csv", searched.plan)
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    record = json.loads((searched.folder / "search.json").read_text())
    done = table[table["state"] == "finished"]
    front = [
        row.trial
        for row in done.itertuples()
        if not any(
            (o.mean >= row.mean and o.worst >= row.worst) and (o.mean > row.mean or o.worst > row.worst)
            for o in done.itertuples()
        )
    ]
    assert sorted(best["trial"] for best in record["best"]) == front
    assert record["environment"]["versions"]["optuna"]
    assert (record["finished"], record["failed"], record["importance"]) == (4, 1, None)
    before = checkpoints(searched.folder)
    assert len(before) == 4
    opened_again = search.Search(searched.plan, searched.base)
    opened_again.work()
    assert checkpoints(searched.folder) == before
    assert list(opened_again.states())[:3] == ["finished  0 ours", "finished  1 original", "failed  2 wrong"]
    assert [line.split()[0] for line in opened_again.states(7)] == ["finished"] * 2 + ["failed"] + ["finished"] * 2 + [
        "missing"
    ]


def gone_on_with(plan: Path, searched: search.Search, capsys: pytest.CaptureFixture[str]) -> None:
    """Run an interrupted search to its end: nothing is trained twice, and all is as in the one never interrupted."""
    folder = profile.load(search_plan.load(plan).base).runs / "tiny"
    before = checkpoints(folder)
    assert len(before) < 4
    done = dfnb(capsys, "search", plan)
    assert done.status == 3, done.err
    assert "dfnb: trial 2: profile lab with train.ema_decay changed" in done.err
    assert before.items() <= checkpoints(folder).items()
    assert len(checkpoints(folder)) == 4
    found, expected = search.read_table(folder / "search.csv", searched.plan), searched.table()
    same = [column for column in expected if column not in ("seconds", "checkpoint")]
    pd.testing.assert_frame_equal(found[same], expected[same], check_dtype=False)
    listed = dfnb(capsys, "search", plan, "--list", "--trials", "6")
    assert listed.out.splitlines()[-1] == "missing  1 to be proposed"


def started(data: Path, searched: search.Search, runs: Path) -> Path:
    """The plan of a search of its own, with the faces of the other."""
    plan = written(data, runs)
    shutil.copytree(searched.base.folder, runs / "lab")
    return plan


def test_an_interrupted_search_goes_on_to_the_same_trials(searched, data, tmp_path, capsys):
    """As if it had been killed after a training, before its result was noted, while Optuna wrote a line."""
    plan = started(data, searched, tmp_path / "runs")
    one = opened(plan)
    one.work(1)
    assert list(one.table()["name"]) == ["ours"]
    trial = next(one._ahead(5, {}, None))
    trial.finish()
    journal = one.folder / "journal.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code": 6, "wor')
    (one.folder / "journal.log.lock").touch()
    assert list(opened(plan).states())[1] == "missing  1 original"
    gone_on_with(plan, searched, capsys)


@pytest.mark.slow
def test_a_killed_search_goes_on_to_the_same_trials(searched, data, tmp_path, capsys):
    plan = started(data, searched, tmp_path / "runs")
    command = [sys.executable, "-m", "dfnb", "search", str(plan), "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None and len(list((tmp_path / "runs" / "tiny").glob("*/networks/*"))) < 2:
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    gone_on_with(plan, searched, capsys)


def test_a_search_of_other_settings_or_steps_is_not_gone_on_with(searched, data, tmp_path):
    plan = searched.plan.model_copy(update={"steps": 3})
    with pytest.raises(UserError, match=r"tiny: this search was begun with another base profile, network, steps or"):
        search.Search(plan, searched.base).work()


def test_the_same_results_give_the_same_proposals_and_nothing_is_proposed_twice(searched, tmp_path):
    """Made-up results instead of trainings: from ten of them on Optuna's model proposes, no longer chance alone."""
    space = {"arcface.margin": [0.0, 0.1, 0.2, 0.4], "train.ema_decay": [None, 0.9, 0.99], "arcface.scale": [8, 16]}
    plan = searched.plan.model_copy(update={"name": "proposals", "start": {"ours": {}}, "space": space})

    def proposed(folder: Path, good: float, most: int, interrupted: bool = False) -> list[dict]:
        one = search.Search(plan, searched.base)
        one.folder = folder
        folder.mkdir()
        tried = []
        while (found := one._next(most)) is not None:
            if interrupted and len(tried) % 5 == 2:
                interrupted_at = found[1].change
                one = search.Search(plan, searched.base)
                one.folder = folder
                one._resume()
                found = one._next(most)
                assert found[1].change == interrupted_at
            trial, choice = found
            tried.append(choice.change)
            margin = choice.profile.arcface.margin
            auc = 1 - abs(margin - good) + (choice.profile.train.ema_decay or 0) / 100
            trial.set_user_attr("result", {"aucs": {p: {"auc": auc} for p in one.parts}})
            one.study.tell(trial, [auc, auc])
        if most == 100:
            importance = one.importance()
            assert max(importance, key=importance.get) == "arcface.margin"
            assert one.best()[0]["change"]["arcface.margin"] == good
        return tried

    first = proposed(tmp_path / "a", 0.4, 100)
    assert proposed(tmp_path / "b", 0.4, 18, interrupted=True) == first[:18]
    other = proposed(tmp_path / "c", 0.0, 18)
    assert other[:10] == first[:10]
    assert other != first[:18]
    assert len({json.dumps(change, sort_keys=True) for change in first}) == len(first) == 4 * 3 * 2


@pytest.mark.slow
def test_several_jobs_give_the_same_numbers(data, tmp_path):
    found = []
    for jobs in (1, 2):
        start = {"ours": {}, "original": {"sbi.preset": "original"}, "one-factor": {"sbi.factors": [2]}}
        runs = tmp_path / f"jobs-{jobs}" / "runs"
        plan = written(data, runs, start=start, space={})
        command = [sys.executable, "-m", "dfnb", "search", str(plan), "--jobs", str(jobs), "--threads", "1"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(
            pd.read_csv(runs / "tiny" / "search.csv").drop(columns=["seconds", "checkpoint"])
        )  # a checkpoint names its folder of runs
    assert list(found[0]["name"]) == list(start)
    pd.testing.assert_frame_equal(*found)


def test_choices_are_the_means_over_the_trials_that_made_them():
    plan = search_plan.Plan.model_validate(
        {
            "name": "x",
            "base": "faces",
            "steps": 1,
            "space": {"arcface.margin": [0, 0.2, 0.4], "model.attention": [True]},
        }
    )
    rows = [
        ("finished", "", "0", "true", 0.5, 0.4),
        ("finished", "", "0", "true", 0.7, 0.2),
        ("finished", "", "0.2", "true", 0.9, 0.8),
        ("finished", "scale 8 instead of 16", "0.2", "true", 0.1, 0.1),
        ("failed", "", "0.2", "true", float("nan"), float("nan")),
    ]
    table = pd.DataFrame(rows, columns=["state", "changed", "arcface.margin", "model.attention", "mean", "worst"])
    found = search.choices(table, plan)
    assert list(found["value"]) == ["0", "0.2", "0.4", "true"]
    assert list(found["trials"]) == [2, 1, 0, 3]
    np.testing.assert_allclose(found["mean"], [0.6, 0.9, np.nan, 0.7])
    np.testing.assert_allclose(found["worst"], [0.3, 0.8, np.nan, 1.4 / 3])


def test_a_kind_is_the_mean_of_its_parts():
    aucs = {"ff": {"auc": 0.9}, "swaps": {"auc": 0.5}, "mouth": {"auc": 0.7}}
    kinds, mean, worst = search.judged(aucs, {"ff": ["ff"], "forged": ["swaps", "mouth"]})
    assert kinds == {"ff": pytest.approx(0.9), "forged": pytest.approx(0.6)}
    assert (mean, worst) == (pytest.approx(0.75), pytest.approx(0.6))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"space": {"arcface.marign": [0, 1]}}, r"tiny: arcface\.marign: unknown setting"),
        ({"start": {"a": {"sbi.hull": 1}}}, r"tiny: sbi\.hull: unknown setting"),
        ({"kinds": {"all": ["celeb-df"]}}, "'celeb-df' is no test part of profile lab: it has dfdc, folder"),
        ({"start": {"a": {}, "b": {"arcface.margin": 0.2}}}, "b and a are the same settings"),
        ({"name": "lab"}, "the name of its base"),
    ],
)
def test_a_plan_that_does_not_fit_its_base_is_named_before_anything_is_trained(changes, says, searched, tmp_path):
    plan = searched.plan.model_validate(searched.plan.model_dump() | changes)
    with pytest.raises(UserError, match=says):
        search.Search(plan, searched.base)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"space": {"data.train_frames": [1, 2]}}, "data.train_frames can't be searched"),
        ({"space": {"train.steps": [1, 2]}}, "train.steps can't be searched"),
        ({"space": {"sbi": [{}]}}, "sbi can't be searched"),
        ({"space": {"arcface.margin": [0.2, 0.2]}}, "a value is named twice"),
        ({"space": {"arcface.margin": [float("nan")]}}, "must be made of numbers"),
        ({"space": {"arcface.margin": []}}, "space"),
        ({"space": {}, "start": {}}, "nothing would be tried"),
        ({"parts": ["folder"]}, "kinds must group every part"),
        ({"kinds": {"a": ["folder"], "b": ["folder"]}}, "named twice"),
        ({"network": ["proposed", "softmax"]}, "network"),
        ({"colour": 3}, "unknown setting"),
        ({"trials": 0}, "trials"),
    ],
)
def test_a_plan_that_makes_no_sense_is_named(changes, says, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(PLAN | {"base": "faces"} | changes))
    with pytest.raises(UserError, match=says) as error:
        search_plan.load(path)
    assert "mine.yaml" in str(error.value)
    with pytest.raises(UserError, match="no plan of a search"):
        search_plan.load(tmp_path / "other.yaml")
