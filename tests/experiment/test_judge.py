"""Detectors of others and ensembles in a run's comparison: joined by hand, by brute force, through the command."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from filmed import film
from lab import SETTINGS, dfnb, faces, heads, profile  # noqa: F401 (a fixture)
from sklearn.metrics import roc_auc_score

from dfnb import open_run
from dfnb.analysis import error_analysis, judged, thresholds
from dfnb.common.errors import UserError
from dfnb.experiment import judge
from dfnb.plots import charts, style, tables
from dfnb.scoring import comparisons, metrics

# ruff: noqa: F811 (fixtures of another module are arguments here)

GROUP = r"([a-z]+)(?:_[a-z]+)?\.\w+$"
ENSEMBLES = {
    "both": ["plain-linear", "proposed-arcface"], "seeds": ["plain-linear", "plain-linear@1"],
    "views": ["plain-linear@1", "plain-linear@1+mirror"],
}  # fmt: skip


def films(folder: Path, heads: list[np.ndarray], shift: int) -> None:
    """Originals a, b, c and d; two fakes of each, ORIGINAL_FAKE: videos, the last ones pictures; d_y has no face."""
    for kind, names in (("real", "abcd"), ("fake", [f"{a}_{b}" for a in "abcd" for b in "xy"])):
        (folder / kind).mkdir(parents=True)
        for k, name in enumerate(names):
            picture = np.roll(heads[(k + shift) % 3], shift + 3 * k, 1)
            if kind == "fake":
                picture = cv2.blur(picture, (5, 5))
            if name[0] == "d":
                blank = np.zeros_like(picture) if name == "d_y" else picture
                cv2.imwrite(str(folder / kind / f"{name}.png"), blank[..., ::-1])
            else:
                film(folder / kind / f"{name}.mp4", picture, count=3)


def settings(folder: Path) -> dict[str, object]:
    named = {name: {"root": str(folder / name / "dev"), "group": GROUP} for name in ("first", "second")}
    return {
        "data": {"test_frames": 2, "sets": named}, "train": SETTINGS["train"] | {"seeds": [0, 1]},
        "evaluate": {"ensembles": ENSEMBLES},
    }  # fmt: skip


@pytest.fixture(scope="module")
def ready(tmp_path_factory, heads) -> Path:
    """A run of two networks and two seeds, tested on two folders, with ensembles."""
    folder = tmp_path_factory.mktemp("ready")
    faces(folder / "faces", heads)
    for shift, name in enumerate(("first", "second")):
        films(folder / name / "dev", heads, shift)
    open_run(profile(folder, **settings(folder)), build="all").results()
    return folder


@pytest.fixture
def folder(tmp_path, ready) -> Path:
    """A copy of it, to judge in."""
    shutil.copytree(ready, tmp_path / "copy")
    profile(tmp_path / "copy", **settings(tmp_path / "copy"))
    return tmp_path / "copy"


def run_of(folder: Path):
    return open_run(folder / "lab.yaml", build="scores")


def scores_of(run, part: str, seed: int = 0) -> pd.DataFrame:
    """A score for every video of a part: path below the set's folder, label, score."""
    clips = run.clips(part)
    fake = (clips["label"] == "fake").to_numpy()
    score = np.clip(0.3 + 0.4 * fake + 0.25 * np.random.default_rng(seed).normal(size=len(clips)), 0, 1)
    root = str(run.roots[part])
    return pd.DataFrame(
        {"path": [p.removeprefix(root)[1:] for p in clips["path"]], "label": clips["label"], "score": score}
    )


def test_exported_scores_of_a_network_give_its_numbers_to_the_digit(folder, capsys):
    exported = [folder / "runs/lab/scores" / part / "proposed-arcface-s0.parquet" for part in ("first", "second")]
    before = run_of(folder).results()
    ended = dfnb(capsys, "judge", *exported, "--profile", folder / "lab.yaml", "--name", "theirs")
    assert ended.status == 0, ended.err
    found = pd.read_csv(folder / "runs/lab/judged/theirs/results.csv")
    key = ["part", "level", "size_rule"]
    ours = before[(before["network"] == "proposed-arcface") & (before["seed"] == 0) & (before["part"] != "sbi")]
    both = ours.merge(found[(found["method"] == "all") & (found["videos"] == "all")], on=key, suffixes=("", "_judged"))
    assert len(both) == len(ours) == 6
    for column in ("auc", "low", "high", "sample_low", "sample_high", "real", "fake"):
        np.testing.assert_array_equal(both[column], both[f"{column}_judged"])
    assert (both.loc[both["level"] == "video", "missing"] == 1).all()  # the video without a face
    against = pd.read_csv(folder / "runs/lab/judged/theirs/compared.csv")
    assert set(against["network"]) == {*ENSEMBLES, "plain-linear", "proposed-arcface"}
    assert set(against["videos"]) == {"all", "scored"}
    run = run_of(folder)
    for part in run.tests:
        videos = (run.video_scores(part, name) for name in ("theirs", "proposed-arcface"))
        pd.testing.assert_frame_equal(*videos)


def test_without_detectors_of_others_results_are_those_before(folder):
    run = run_of(folder)
    before = run.results()
    bytes_before = (folder / "runs/lab/results.csv").read_bytes()
    judge.judge_scores(run, [written(folder, scores_of(run, "first"))], "mine", parts=["first"])
    after = run_of(folder).results()
    pd.testing.assert_frame_equal(after[after["network"] != "mine"].reset_index(drop=True), before, check_dtype=False)
    shutil.rmtree(folder / "runs/lab/judged")
    run_of(folder).results()
    assert (folder / "runs/lab/results.csv").read_bytes() == bytes_before


def written(folder: Path, table: pd.DataFrame, name: str = "mine.csv") -> Path:
    table.to_csv(folder / name, index=False)
    return folder / name


# ---- rows and videos ----


def test_a_row_a_video_is_its_score_and_paths_are_those_of_any_machine(folder):
    run = run_of(folder)
    table = scores_of(run, "first")
    clips = run.clips("first")
    expected = roc_auc_score(table["label"] == "fake", table["score"])
    ways = {
        "path": [f"first/dev/{path}" for path in table["path"]],
        "name": list(clips["path"]),
        "video": [f"D:\\sets\\first\\dev\\{path}".replace("/", "\\") for path in table["path"]],
    }
    for column, names in ways.items():
        given = pd.DataFrame({column: names, "score": table["score"]}).sample(frac=1, random_state=1)
        problems = judge.judge_scores(run, [written(folder, given)], "mine", parts=["first"])
        assert problems.empty
        videos = run.video_scores("first", "mine")
        assert np.isclose(roc_auc_score(videos["label"] == "fake", videos["score"]), expected)
        assert (videos["frames"] == 1).all()
    named = {video: score for video, score in zip(clips["video"], table["score"], strict=True)}
    assert np.allclose(videos["score"], videos["video"].map(named))


def test_frames_are_averaged_and_of_a_frames_faces_the_highest_counts(folder):
    run, rng = run_of(folder), np.random.default_rng(3)
    videos = run.clips("first")["video"]
    frames = pd.DataFrame([(v, frame, face) for v in videos for frame in (0, 7, 9) for face in (0, 1)])
    frames.columns = ["name", "frame", "face"]
    frames["score"] = rng.random(len(frames))
    by_frame = frames.groupby(["name", "frame"], as_index=False)["score"].max()
    expected = by_frame.groupby("name")["score"].mean()
    for table in (frames, by_frame):
        judge.judge_scores(run, [written(folder, table)], "mine", parts=["first"])
        found = run.video_scores("first", "mine").set_index("video")["score"]
        assert np.allclose(found, expected.loc[found.index])
        levels = pd.DataFrame(run.results_of(run.find("mine")))["level"]
        assert list(levels) == ["video", "video", "frame"]


def test_log_odds_and_low_scores_of_fakes_are_turned_round(folder):
    run = run_of(folder)
    table = scores_of(run, "first").assign(score=lambda t: t["score"].clip(0.01, 0.99))
    judge.judge_scores(run, [written(folder, table)], "plain", parts=["first"])
    logit = table.assign(score=-np.log(table["score"] / (1 - table["score"])))
    judge.judge_scores(run, [written(folder, logit)], "turned", fake="low", logits=True, parts=["first"])
    a, b = (run.video_scores("first", name)["score"] for name in ("plain", "turned"))
    assert np.allclose(a, b)


def test_missing_and_unknown_rows_are_counted_and_named(folder, capsys):
    run = run_of(folder)
    table = pd.concat(
        [scores_of(run, "first").iloc[2:], pd.DataFrame({"path": ["z.mp4"], "label": "fake", "score": 0.9})]
    )
    ended = dfnb(capsys, "judge", written(folder, table.assign(path="dev/" + table["path"])), "--profile",
                 folder / "lab.yaml", "--part", "first")  # fmt: skip
    assert ended.status == 0, ended.err
    lost = list(run.clips("first")["video"][:2])
    assert f"first: 2 of 12 videos have no score and count as 0.5: {', '.join(lost)}" in ended.err
    assert "1 names are of no video of these sets and play no part: dev/z.mp4" in ended.err
    assert "not judged on second: no score of these sets" in ended.err
    problems = pd.read_csv(folder / "runs/lab/judged/mine/problems.csv")
    assert list(problems["video"]) == ["dev/z.mp4", *lost]
    videos = run.video_scores("first", "mine")
    assert list(videos.loc[videos["frames"] == 0, "score"]) == [0.5, 0.5]
    found = pd.read_csv(folder / "runs/lab/judged/mine/results.csv").set_index("videos")
    kept = videos[videos["frames"] > 0]
    assert np.isclose(found.loc["scored", "auc"], roc_auc_score(kept["label"] == "fake", kept["score"]))
    assert list(found.loc["all", "missing"]) == [2, 2]


def test_comparisons_are_those_of_the_same_videos_by_hand(folder):
    run = run_of(folder)
    table = scores_of(run, "first")
    judge.judge_scores(run, [written(folder, table.iloc[1:])], "mine", parts=["first"])
    found, left_out = judged.compared(run, "mine")
    assert not left_out
    mine, both = (run.video_scores("first", name).set_index("video") for name in ("mine", "both"))
    for videos, chosen in (("all", mine.index), ("scored", mine.index[mine["frames"] > 0])):
        row = found[(found["network"] == "both") & (found["videos"] == videos)].iloc[0]
        labels = (mine.loc[chosen, "label"] == "fake").to_numpy()
        a, b = (each.loc[chosen, "score"].to_numpy() for each in (mine, both))
        assert np.isclose(row["difference"], roc_auc_score(labels, a) - roc_auc_score(labels, b))
        assert np.isclose(row["p_delong"], metrics.compare(labels, a, b).p_value)
        sampling = comparisons.over_groups(labels, a, b, mine.loc[chosen, "group"].to_numpy())
        spread = tables.seed_spread(run, "first")
        assert np.isclose(row["p"], comparisons.with_seeds(sampling, spread).p_value)


def test_they_are_in_the_tables_and_figures_beside_ours(folder):
    run = run_of(folder)
    judge.judge_scores(run, [written(folder, scores_of(run, "first"))], "mine", parts=["first"])
    assert tables.compared(run) == ["mine", *ENSEMBLES, "plain-linear", "proposed-arcface"]
    assert tables.compared(run, "second") == [*ENSEMBLES, "plain-linear", "proposed-arcface"]
    assert tables.names(run) == ["plain-linear", "proposed-arcface"]
    results = tables.video_results(run)
    wide = tables.wide(results).set_index("network")
    assert wide.loc["mine", "second"] == "–"
    assert "(" in wide.loc["mine", "first"]
    plot = charts.forest(results[results["part"] != "sbi"])
    assert "mine" in plot.alt
    roc = charts.roc({name: run.video_scores("first", name) for name in tables.compared(run, "first")}, "first")
    assert {"mine", "both"} <= set(roc.numbers["network"])
    for made in (tables.operating(run), thresholds.without_face(run), tables.protocols(run.results())):
        assert {"mine", "both"} <= set(made["network"])
    assert set(tables.per_method(run, "first")["network"]) == set(tables.compared(run, "first"))
    for name in ("mine", "both"):
        bins = error_analysis.by_bins(error_analysis.videos(run, "first", name))
        assert bins[["real", "fake"]].sum().sum() == 3 * 11  # three attributes; one video has no face
        scored = error_analysis.faces_scored(run, "first", name)
        plot = error_analysis.most_wrong(run.store("first"), scored, run.video_scores("first", name), count=2)
        assert len(plot.numbers) == 4
    with pytest.raises(UserError, match="mine: of it there are scores alone, and no network"):
        run.network("mine")
    with pytest.raises(UserError, match="no embeddings"):
        run.embeddings("first", "both")
    with pytest.raises(UserError, match="mine has no scores of the part second; it has first"):
        run.video_scores("second", "mine")


def test_unknown_names_have_looks_of_their_own_that_stay():
    looks = [style.look(name) for name in ("mine", "theirs", "sbi-b4", "xception")]
    assert [look.label for look in looks] == ["mine", "theirs", "sbi-b4", "xception"]
    assert len({(look.colour, look.marker, str(look.dashes)) for look in looks}) == 4
    assert style.look("mine") == looks[0]
    assert not {look.colour for look in looks} & {look.colour for look in style.LOOKS.values()}


# ---- what can't be judged ----

A, B = "real/a.mp4", "fake/a_x.mp4"
BAD = {
    "a number that is none": (f"path,score\n{A},0.5\n{B},nan\n", "row 2: score is 'nan', not a finite number"),
    "a text": (f"path,score\n{A},high\n", "row 1: score is 'high', not a finite number"),
    "an empty score": (f"path,score\n{A},\n", "row 1: score is ''"),
    "log odds": (f"path,score\n{A},0.5\n{B},3.5\n", "row 2: the score 3.5 is no probability (0 to 1); for log odds"),
    "twice": (f"path,score\n{A},0.5\n{A},0.6\n", "real/a.mp4 is named twice (1 such rows); frames need a column frame"),
    "a frame twice": (f"path,frame,score\n{A},1,0.5\n{A},1,0.6\n", "real/a.mp4, frame 1 is named twice"),
    "an unknown column": (f"path,score,mood\n{A},0.5,good\n", "unknown column 'mood'"),
    "no score": (f"path,value\n{A},0.5\n", "unknown column 'value'"),
    "no name": ("frame,score\n1,0.5\n", "needs a column score, and one of path, name, video"),
    "a path that climbs": (f"path,score\n../{A},0.5\n", "'../real/a.mp4': a path that climbs"),
    "other sets": ("path,score\nx/y.mp4,0.5\n", "no row names a video of first; its first is 'x/y.mp4'"),
    "another label": (f"path,score,label\n{A},0.5,fake\n", "real/a.mp4 is 'fake' there, real in the set"),
    "nothing": ("", "not a CSV file of scores"),
    "no rows": ("path,score\n", "no row names a video of first; its first is no row"),
    "a face of no frame": (f"path,face,score\n{A},1,0.5\n", "a face needs its frame"),
    "not UTF-8": (b"path,score\n\xff\xfe,0.5\n", "not a CSV file of scores"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_scores_are_one_line_and_nothing_is_written(ready, capsys, tmp_path, case):
    content, says = BAD[case]
    file = tmp_path / "mine.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = dfnb(capsys, "judge", file, "--profile", ready / "lab.yaml", "--part", "first")
    assert ended.status == 2
    assert len(ended.complaints) == 1, ended.err
    assert says in ended.complaints[0]
    assert "Traceback" not in ended.err
    assert not (ready / "runs/lab/judged").exists()


def test_other_wrong_usage_is_named(ready, capsys, tmp_path):
    good = tmp_path / "mine.csv"
    good.write_text(f"path,score\n{A},0.5\n")
    (tmp_path / "mine.parquet").write_bytes(b"PAR1")
    (tmp_path / "frames.csv").write_text(f"path,frame,score\n{A},1,0.5\n")
    for arguments, says in (
        ((good,), f"'{A}' names 2 videos, such as"),  # both sets have it
        ((good, "--part", "third"), "--part 'third': no test part"),
        ((good, "--name", "../up"), "--name '../up': give a name"),
        ((good, "--name", "plain-linear"), "--name 'plain-linear': give a name"),
        ((good, "--name", "both"), "--name 'both': give a name"),
        ((), "give files with scores, or --detector"),
        ((good, "--detector", "a:b"), "give files with scores, or --detector"),
        ((tmp_path / "none.csv",), "none.csv: no file of scores"),
        ((tmp_path / "mine.parquet",), "mine.parquet: not a Parquet file of scores"),
        ((good, tmp_path / "frames.csv"), "frames.csv: has other columns than"),
        (("--detector", "nowhere"), "write it as MODULE:FUNCTION"),
        (("--detector", "no_such_module:f"), "--detector no_such_module:f: can't be imported"),
        (("--detector", "json:nothing"), "--detector json:nothing: can't be imported"),
    ):
        ended = dfnb(capsys, "judge", *arguments, "--profile", ready / "lab.yaml")
        assert ended.status == 2
        assert len(ended.complaints) == 1, ended.err
        assert says in ended.complaints[0]
    assert not (ready / "runs/lab/judged").exists()


def test_scores_of_other_videos_than_now_are_out_of_date(folder):
    run = run_of(folder)
    judge.judge_scores(run, [written(folder, scores_of(run, "first"))], "mine", parts=["first"])
    (folder / "first/dev/real/a.mp4").unlink()
    with pytest.raises(UserError, match=r"mine.first\.parquet: missing or of other videos; run `dfnb judge` again"):
        run_of(folder).video_scores("first", "mine")
    (folder / "runs/lab/judged/mine/judged.json").write_text("{}")
    with pytest.raises(UserError, match=r"judged\.json: damaged; delete its folder"):
        run_of(folder).find("mine")


def test_what_is_not_trained_is_left_out_by_name(folder, capsys):
    shutil.rmtree(folder / "runs/lab/networks")
    shutil.rmtree(folder / "runs/lab/scores")
    run = run_of(folder)
    ended = dfnb(capsys, "judge", written(folder, scores_of(run, "first")), "--profile", folder / "lab.yaml",
                 "--part", "first")  # fmt: skip
    assert ended.status == 0, ended.err
    names = ", ".join([*ENSEMBLES, "plain-linear", "proposed-arcface"])
    assert f"not compared with {names}: " in ended.err
    assert pd.read_csv(folder / "runs/lab/judged/mine/compared.csv").empty
    assert len(pd.read_csv(folder / "runs/lab/judged/mine/results.csv")) == 2


# ---- detectors ----

MODULE = """
import cv2
calls = []

def brightness(face):
    calls.append(face.shape)
    assert face.dtype == "uint8"
    return face[..., 0].mean() / 255

def sharpness(path):
    calls.append(path)
    ok, frame = cv2.VideoCapture(path).read()
    if not ok or "b_x" in path:
        raise ValueError("can't be read\\nat all")
    return float(cv2.Laplacian(frame, cv2.CV_64F).var())  # log odds of being real, say

def nothing(face):
    return float("nan")
"""


def test_a_function_is_given_faces_as_our_networks_see_them(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "detector_a.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    asked = ("judge", "--detector", "detector_a:brightness", "--profile", folder / "lab.yaml")
    ended = dfnb(capsys, *asked)
    assert ended.status == 0, ended.err
    import detector_a

    run = run_of(folder)
    faces_, crops = run.scores("second", "brightness"), run.crops("second")
    assert np.allclose(faces_["score"], crops[..., 0].reshape(len(crops), -1).mean(1) / 255)
    pd.testing.assert_frame_equal(error_analysis.faces_scored(run, "second", "brightness"), faces_)
    assert set(detector_a.calls) == {(64, 64, 3)}
    count = len(detector_a.calls)
    (folder / "runs/lab/judged/brightness/judged.json").unlink()  # as if it had been interrupted
    (folder / "runs/lab/judged/brightness/second.parquet").unlink()
    assert dfnb(capsys, *asked).status == 0
    assert len(detector_a.calls) == count + len(crops)  # the part that was done is kept
    assert json.loads((folder / "runs/lab/judged/brightness/judged.json").read_text())["takes"] == "face"


def test_a_function_is_given_paths_and_its_failures_are_named(folder, tmp_path, monkeypatch, capsys, caplog):
    (tmp_path / "detector_b.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    asked = ("judge", "--profile", folder / "lab.yaml", "--part", "first", "--takes", "path", "--logits")
    ended = dfnb(capsys, *asked, "--fake", "low", "--detector", "detector_b:sharpness")
    assert ended.status == 0, ended.err
    assert "sharpness on first: fake/b_x.mp4: no score (ValueError: can't be read\\nat all)" in caplog.messages
    assert "sharpness on first: 1 of 12 calls gave no score" in caplog.messages
    assert "first: 1 of 12 videos have no score and count as 0.5: fake/b_x.mp4" in ended.err
    import detector_b

    run = run_of(folder)
    assert detector_b.calls == list(run.clips("first")["path"])
    videos = run.video_scores("first", "sharpness").set_index("video")
    assert videos.loc["fake/b_x.mp4", "frames"] == 0
    low = [name for name in videos.index if name != "fake/b_x.mp4"]
    assert (videos.loc[low, "score"] <= 0.5).all()
    ended = dfnb(capsys, "judge", "--profile", folder / "lab.yaml", "--detector", "detector_b:nothing")
    assert ended.status == 2
    assert "detector_b:nothing: gave no score on first, see above" in ended.complaints[0]
    assert "nothing" not in tables.compared(run_of(folder))


# ---- ensembles ----


def test_an_ensembles_scores_are_the_means_of_its_members_face_by_face(ready):
    run = open_run(ready / "lab.yaml")
    for part in ("sbi", "first", "second"):
        plain, other = run.scores(part, "plain-linear"), run.scores(part, "proposed-arcface")
        again = run.scores(part, "plain-linear", seed=1)
        for name, members in (("both", (plain, other)), ("seeds", (plain, again))):
            found = run.scores(part, name)
            expected = [(float(a) + float(b)) / 2 for a, b in zip(*(m["score"] for m in members), strict=True)]
            assert list(found["score"]) == expected
            assert list(found["video"]) == list(plain["video"])
            assert set(found["network"]) == {name}
    assert "mean of plain-linear-s0, proposed-arcface-s0" in run.scores("first", "both")["protocol"].iloc[0]


def test_a_mirrored_view_is_the_networks_score_of_the_mirrored_crop(ready):
    import torch

    from dfnb.scoring import score

    run = open_run(ready / "lab.yaml")
    net, crops = run.network("plain-linear", seed=1), run.crops("first")
    with torch.inference_mode():
        views = [
            score.probability(net(score.to_batch([np.ascontiguousarray(crop) for crop in each], net)).logits).numpy()
            for each in (crops, crops[:, :, ::-1])
        ]
    assert np.abs(views[0] - views[1]).max() > 1e-4
    found = run.scores("first", "views")
    assert np.allclose(found["score"], np.mean(views, axis=0), atol=2e-6)
    assert "mean of plain-linear-s1, plain-linear-s1+mirror" in found["protocol"].iloc[0]
    mirrored = pd.read_parquet(ready / "runs/lab/scores/first/plain-linear-s1+mirror.parquet")
    assert mirrored["protocol"].iloc[0].endswith("; mirrored")


def test_an_ensemble_has_intervals_of_its_own_in_the_results(ready):
    run = open_run(ready / "lab.yaml")
    results = run.results()
    assert list(dict.fromkeys(results["network"])) == [*ENSEMBLES, "plain-linear", "proposed-arcface"]
    for part in run.tests:
        faces_ = [run.scores(part, name) for name in ("plain-linear", "proposed-arcface")]
        table = faces_[0].assign(score=(faces_[0]["score"].astype(float) + faces_[1]["score"].astype(float)) / 2)
        videos = metrics.video_scores(table, rule=True, clips=run.clips(part))
        fake = videos["label"] == "fake"
        row = results[(results["network"] == "both") & (results["part"] == part) & (results["level"] == "video")].iloc[
            0
        ]
        assert tuple(row[["auc", "low", "high"]]) == metrics.auc_groups(fake, videos["score"], videos["group"])
        assert tuple(row[["sample_low", "sample_high"]]) == metrics.auc_logit(fake, videos["score"])[1:]


def test_an_ensemble_follows_its_members_and_changes_nothing_of_theirs(folder):
    run = run_of(folder)
    before = run.results()
    turned = {"name": "lab", "evaluate.ensembles": {"both": ["plain-linear@1", "plain-linear"]}}
    more = open_run(folder / "lab.yaml", turned, build="scores")
    assert more.score_state("first", more.find("both")) == "outdated"
    assert more.score_state("first", more.find("plain-linear")) == "current"
    changed = more.results()
    ours = ~before["network"].isin([*ENSEMBLES])
    pd.testing.assert_frame_equal(
        before[ours].reset_index(drop=True), changed[changed["network"] != "both"].reset_index(drop=True)
    )
    assert more.profile.hash() != open_run(folder / "lab.yaml", {"evaluate.ensembles": {}}).profile.hash("train")
    reader = open_run(folder / "lab.yaml")
    with pytest.raises(UserError, match=r"both.mean\.parquet: the score table is out of date"):
        reader.scores("first", "both")


@pytest.mark.parametrize(
    ("name", "members", "says"),
    [
        ("plain-linear", ["plain-linear", "proposed-arcface"], "a network has this name"),
        ("x", ["plain-linear", "plane"], "'plane' is no NAME, NAME@SEED or either with +mirror; it has plain-linear"),
        ("x", ["plain-linear", "plain-linear@7"], "'plain-linear@7' is no NAME"),
        ("x", ["plain-linear", "plain-linear@0"], "'plain-linear@0' is named twice"),
        ("x", ["plain-linear"], "evaluate.ensembles.x"),
    ],
)
def test_an_ensemble_that_cannot_be_is_named(tmp_path, name, members, says):
    with pytest.raises(UserError) as found:
        open_run(profile(tmp_path, evaluate={"ensembles": {name: members}}))
    assert says in str(found.value)
    assert "\n" not in str(found.value)


def test_profiles_without_ensembles_have_the_hash_they_had(tmp_path):
    plain = open_run(profile(tmp_path)).profile
    assert "ensembles" not in plain.asked()["evaluate"]
