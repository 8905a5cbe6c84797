"""Test sets by names of a user's choice; and one checkpoint on all of them, whatever the profile trains."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import timm
from filmed import film
from lab import NETWORK, SETTINGS, dfnb, faces, heads, profile  # noqa: F401 (a fixture)
from safetensors.torch import save_file
from small_sets import make_celeb
from untrained import checkpoints  # noqa: F401 (a fixture)

from dfnb import networks, open_run
from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.experiment import parts
from dfnb.scoring import metrics

# ruff: noqa: F811 (fixtures of another module are arguments here)

GROUP = r"([a-z]+)(?:_[a-z]+)?\.png$"


def crops(folder: Path, heads: list[np.ndarray], shift: int) -> None:
    """Originals a, b and c, and two fakes of each, ORIGINAL_FAKE.png: other pixels in every folder, the same names."""
    for kind, names in (("real", ("a", "b", "c")), ("fake", ("a_x", "a_y", "b_x", "b_y", "c_x", "c_y"))):
        (folder / kind).mkdir(parents=True)
        for k, name in enumerate(names):
            picture = np.roll(heads[k % 3], shift + 2 * k, 1)[..., ::-1]
            cv2.imwrite(str(folder / kind / f"{name}.png"), picture if kind == "real" else cv2.blur(picture, (5, 5)))


def face_forensics(root: Path, heads: list[np.ndarray]) -> None:
    """Two test originals of the official layout, and a fake of each."""
    for at, names in (("original_sequences/youtube", ("000", "001")), ("manipulated_sequences/Deepfakes", None)):
        (root / at / "c23/videos").mkdir(parents=True)
        for k, name in enumerate(names or ("000_001", "001_000")):
            film(root / at / "c23/videos" / f"{name}.mp4", heads[k if names else 2], count=4)
    (root / "test.json").write_text(json.dumps([["000", "001"]]))


def data(folder: Path, *sets: str) -> dict[str, object]:
    named = {name: {"root": str(folder / name / "dev"), "group": GROUP} for name in sets}
    return {
        "face_forensics": str(folder / "ff"), "manipulations": ["Deepfakes"], "test_frames": 2, "sets": named,
    }  # fmt: skip


@pytest.fixture(scope="module")
def tested(tmp_path_factory, heads) -> Path:
    """A run that trains on a folder of faces and tests on FaceForensics++ and two folders, both called dev."""
    folder = tmp_path_factory.mktemp("tested")
    faces(folder / "faces", heads)
    face_forensics(folder / "ff", heads)
    for shift, name in enumerate(("first", "second")):
        crops(folder / name / "dev", heads, shift)
    open_run(profile(folder, data=data(folder, "first", "second")), build="all").results()
    return folder


def checkpoint_of(folder: Path) -> Path:
    return folder / "runs" / "lab" / "networks" / NETWORK / "checkpoint.safetensors"


def test_two_folders_of_the_same_inner_names_stay_apart(tested):
    run = open_run(tested / "lab.yaml")
    assert run.tests == ("ff", "first", "second")
    assert run.parts == ("train", "validation", "ff", "first", "second")
    assert [run.title(part) for part in run.tests] == ["FF++ c23 (subset: 4 of 280)", "first", "second"]
    results = run.results()
    assert set(results["part"]) == {"sbi", *run.tests}
    assert set(results.loc[results["part"] == "first", "dataset"]) == {"first"}
    first, second = (run.scores(part, "plain-linear") for part in ("first", "second"))
    assert list(first["video"]) == list(second["video"])
    assert set(first["group"]) == {"a", "b", "c"}
    assert not np.array_equal(first["score"], second["score"])
    assert set(run.coverage()["part"]) == {"train", "validation", "ff", "first", "second"}


def test_a_border_is_tried_around_the_pictures_of_a_named_folder_and_of_no_released_set(tmp_path):
    sets = {"mine": {"root": "/mine"}, "celeb": {"layout": "celeb-df", "root": "/celeb"}}
    run = open_run(profile(tmp_path, data={"sets": sets, "face_forensics": "/ff"}))
    assert {part: run._how(part)["pad"] for part in ("mine", "celeb", "ff", "train")} == {
        "mine": True, "celeb": False, "ff": False, "train": True,
    }  # fmt: skip


def test_a_set_more_or_less_changes_no_training(tested, tmp_path):
    shutil.copytree(tested, tmp_path / "copy")
    for names in ((), ("second",), ("second", "first")):
        sets = data(tmp_path / "copy", *names)["sets"]
        run = open_run(profile(tmp_path / "copy", data=data(tmp_path / "copy")), {"name": "lab", "data.sets": sets})
        assert [run.training_state(network) for network in run.networks] == ["current", "current"]
        assert run.tests == ("ff", *names)
    run.results()  # nor does the order of the sets make any scores out of date


def test_two_copies_of_a_set_are_told_apart_by_their_names(tmp_path):
    roots = {name: make_celeb(tmp_path / name) for name in ("whole", "small")}
    sets = {name: {"layout": "celeb-df", "root": str(root)} for name, root in roots.items()}
    run = open_run(profile(tmp_path, data={"sets": {"whole": sets["whole"]}}))
    plain = run.title("whole")
    assert plain.startswith("Celeb-DF-v2 (subset")
    run = open_run(profile(tmp_path), {"data.celeb_df": str(roots["whole"]), "data.sets": sets})
    assert [run.title(part) for part in run.tests] == [plain, f"{plain}, whole", f"{plain}, small"]


@pytest.mark.parametrize("name", [*parts.TESTS, "train", "validation", "sbi", "faces", "blending", "FF", "DFDC"])
def test_a_name_that_is_taken_is_named(tmp_path, name):
    with pytest.raises(UserError, match=rf"profile lab: data\.sets\.{name}: the name {name} is taken"):
        open_run(profile(tmp_path, data={"sets": {name: {"root": "/a"}}}))


def test_what_is_wrong_with_a_set_is_named(tmp_path):
    def run(**sets: dict) -> object:
        return open_run(profile(tmp_path, data={"sets": sets}))

    with pytest.raises(UserError, match=r"data\.sets\.a\.layout: no layout 'dfcd'; use one of celeb-df, ffiw, dfdc"):
        run(a={"root": "/a", "layout": "dfcd"})
    with pytest.raises(UserError, match=r"data\.sets\.a: the name a is taken, in whichever case"):
        run(A={"root": "/a"}, a={"root": "/b"})
    with pytest.raises(UserError, match=r"none: no such folder"):
        run(a={"root": str(tmp_path / "none")}).tests  # noqa: B018
    with pytest.raises(UserError, match=r"no part 'b' in a run: use one of train, .*, a"):
        run(a={"root": "/a"}).clips("b")


def test_a_checkpoint_is_evaluated_as_the_same_network_is_in_its_run(tested, tmp_path):
    """In another profile, which trains another network at another size: scores, AUC and intervals are the same."""
    checkpoint = shutil.copy(checkpoint_of(tested), tmp_path / "elsewhere.safetensors")
    other = {**SETTINGS["model"], "size": 96}
    path = profile(tmp_path, model=other, data=data(tested, "first", "second") | {"faces": str(tmp_path / "none")})
    run, usual = open_run(path, build="scores"), open_run(tested / "lab.yaml")
    found = run.evaluate(checkpoint).set_index("part")
    assert not (tmp_path / "runs/lab/networks").exists()
    results = usual.results()
    results = results[(results["network"] == "plain-linear") & (results["level"] == "video") & results["size_rule"]]
    expected = results.set_index("part")
    assert list(found.index) == ["ff", "first", "second"]
    same = ["dataset", "auc", "low", "high", "sample_low", "sample_high", "real", "fake", "checkpoint"]
    pd.testing.assert_frame_equal(found[same], expected[same])
    for part in found.index:
        mine, theirs = run.checkpoint_scores(part, checkpoint), usual.scores(part, "plain-linear")
        pd.testing.assert_frame_equal(mine.drop(columns="network"), theirs.drop(columns="network"))
        videos = run.checkpoint_video_scores(part, checkpoint)
        pd.testing.assert_frame_equal(videos, usual.video_scores(part, "plain-linear"))
        pairs = tuple(found.loc[part, ["pair_accuracy", "pair_low", "pair_high", "pairs"]])
        assert pairs == metrics.pair_accuracy(videos["label"] == "fake", videos["score"], videos["group"])
        assert pairs == usual.pair_accuracy(part, "plain-linear")
    assert list(found["pairs"]) == [2, 6, 6]


def test_its_scores_are_kept_and_made_again_only_where_they_are_out_of_date(tested, tmp_path):
    shutil.copytree(tested, tmp_path / "copy")
    folder, checkpoint = tmp_path / "copy", checkpoint_of(tmp_path / "copy")
    path = profile(folder, data=data(folder, "first"))
    kept = folder / "runs/lab/checkpoints" / files.sha256(checkpoint)[:12]
    with pytest.raises(UserError, match=r"ff\.parquet: the score table is missing; run `dfnb evaluate .* --checkpoint"):
        open_run(path).evaluate(checkpoint)
    assert not kept.exists()
    table = open_run(path, build="scores").evaluate(checkpoint)
    assert {file.name for file in kept.iterdir() if file.name[0] != "."} == {
        "ff.parquet", "ff.npy", "first.parquet", "first.npy", "results.csv",
    }  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_csv(kept / "results.csv"), table)
    before = {file: file.stat().st_mtime_ns for file in kept.glob("*.parquet")}
    pd.testing.assert_frame_equal(open_run(path).evaluate(checkpoint), table)  # where nothing may be made
    shutil.copy(folder / "first/dev/real/a.png", folder / "first/dev/real/d.png")
    again = open_run(path, build="scores").evaluate(checkpoint)
    assert list(again["real"]) == [2, 4]
    assert {file.name for file, time in before.items() if file.stat().st_mtime_ns != time} == {"first.parquet"}


def test_the_command_prints_the_table_and_says_where_it_is(tested, tmp_path, capsys, checkpoints):
    path = profile(tmp_path, data=data(tested, "first"))
    ended = dfnb(capsys, "evaluate", "--profile", path, "--checkpoint", checkpoints["real"])
    assert ended.status == 0, ended.err
    header, *rows, where = ended.out.splitlines()
    assert header.split()[:3] == ["part", "dataset", "auc"]
    assert [row.split()[0] for row in rows] == ["ff", "first"]
    assert Path(where.removeprefix("results: ")).is_file()
    assert not (tmp_path / "runs/lab/networks").exists()


def test_the_command_compares_checkpoints(tested, tmp_path, capsys):
    path, checkpoint = profile(tmp_path, data=data(tested, "first", "second")), checkpoint_of(tested)
    both = ("--checkpoint", checkpoint, "--against", checkpoint, "--kind", "crops=first,second")
    ended = dfnb(capsys, "evaluate", "--profile", path, *both)
    assert ended.status == 0
    table = pd.read_csv(open_run(path).checkpoint_folder(checkpoint) / "compared.csv")
    assert list(table["kind"]) == ["ff", "crops", "mean"]
    assert (table["difference"] == 0).all()
    for wrong, line in ((both[2:], "--against compares with"), ((*both[:4], "--kind", "crops"), "--kind 'crops'")):
        ended = dfnb(capsys, "evaluate", "--profile", path, *wrong)
        assert ended.status == 2
        assert line in ended.err


def test_a_network_of_another_project_is_evaluated_and_compared_and_stays_marked(tested, tmp_path, capsys):
    save_file(timm.create_model("test_efficientnet", num_classes=2).state_dict(), tmp_path / "theirs.safetensors")
    path, theirs = profile(tmp_path, data=data(tested, "first")), tmp_path / "imported.safetensors"
    stated = ("--backbone", "test_efficientnet", "--size", 96, "--mean", *3 * (0.5,), "--std", *3 * (0.5,), "--fake", 0)
    given = (tmp_path / "theirs.safetensors", theirs, "--source", "timm", "--licence", "research only")
    assert dfnb(capsys, "import", *given, *stated).status == 0
    both = ("--checkpoint", theirs, "--against", checkpoint_of(tested))
    ended = dfnb(capsys, "evaluate", "--profile", path, *both)
    assert ended.status == 0, ended.err
    marked = "imported from a timm network from elsewhere (research only)"
    assert ended.out.count(marked) == 2 + 3  # a row a set, and a row a kind with their mean
    folder = open_run(path).checkpoint_folder(theirs)
    assert set(pd.read_csv(folder / "results.csv")["trained_on"]) == {marked}
    compared = pd.read_csv(folder / "compared.csv")
    assert set(compared["trained_on"]) == {marked}
    assert set(compared["reference_trained_on"]) == {networks.metadata(checkpoint_of(tested))["domain"]}
    assert "96 px" in open_run(path).checkpoint_scores("first", theirs)["protocol"].iloc[0]


def test_what_cannot_be_evaluated_is_named(tested, tmp_path, capsys):
    path, checkpoint = profile(tmp_path, data=data(tested, "first")), checkpoint_of(tested)
    for file, message in ((tmp_path / "none", "can't be read"), (path, "not a safetensors file")):
        ended = dfnb(capsys, "evaluate", "--profile", path, "--checkpoint", file)
        assert ended.status == 2
        assert len(ended.complaints) == 1
        assert message in ended.complaints[0]
    with pytest.raises(UserError, match="no part 'sbi' in a run"):
        open_run(path, build="scores").checkpoint_scores("sbi", checkpoint)
    with pytest.raises(UserError, match=r"profile lab: no set with .* to test on; name some in data\.sets"):
        open_run(profile(tmp_path), build="scores").evaluate(checkpoint)
