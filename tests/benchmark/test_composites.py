"""Blended and redrawn videos: where they differ from the filmed frame, and how they are made again."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfnb import profile
from dfnb.benchmark import composites
from dfnb.benchmark.composites import FILMED, KINDS
from dfnb.benchmark.manipulations import MANIPULATIONS, Shot
from dfnb.common.errors import UserError

pytest.importorskip("warp")


@pytest.fixture(scope="module")
def scene():
    """One scene in every kind, and the studio it was filmed in."""
    from dfnb.benchmark import studio

    demo = profile.load("smoke", {"demo.size": 200}).demo.model_copy(update={"frames": 1})
    job = composites.takes(demo, 1)[0]
    stage = studio.Studio(demo, job.takes[0])
    return stage, job.fakes[0], composites.forge(stage, job.fakes[0])


def face(stage) -> np.ndarray:
    """The face's outline in the frame, (H, W) bool, somewhat widened."""
    from dfnb.benchmark import vertices

    hull = cv2.convexHull(np.rint(stage.view(0, 0).points[vertices.face()]).astype(np.int32))
    out = np.zeros((stage.height, stage.width), np.uint8)
    cv2.fillConvexPoly(out, hull, 1)
    return cv2.dilate(out, np.ones((9, 9))) > 0


def test_pasted_kinds_differ_from_the_filmed_frame_inside_the_face_alone(scene):
    stage, _, made = scene
    inside, filmed = face(stage), made[FILMED][0]
    assert np.array_equal(filmed, stage.frames[0])
    for kind, about in KINDS.items():
        changed = (made[kind][0] != filmed).any(-1)
        if about.edge != "none":
            assert changed.any(), kind
            assert not changed[~inside].any(), kind
        elif kind != FILMED:
            assert changed[~inside].mean() > 0.3, kind  # all of the frame is new


def test_own_copies_show_the_same_face_and_a_swap_another(scene):
    stage, _, made = scene
    filmed, inside = made[FILMED][0].astype(float), face(stage)
    change = {kind: np.abs(made[kind][0] - filmed)[inside].mean() for kind in KINDS}
    assert 0 < change["own face, second exposure"] < 2  # noise alone
    bright = made["own face, 5 % brighter"][0].astype(float)
    changed = (np.abs(bright - filmed).sum(-1) > 0) & (filmed.sum(-1) > 150)
    ratio = bright.sum(-1)[changed] / filmed.sum(-1)[changed]
    assert np.percentile(ratio, 90) == pytest.approx(1.05, abs=0.01)
    assert change["own face redrawn, pasted"] < change["swap, pasted"]
    assert change["own face, brighter, Poisson"] < change["own face, 5 % brighter"]  # the edge's colours are kept


def test_what_is_redrawn_has_less_fine_detail_than_what_is_filmed(scene):
    _, _, made = scene
    sharp = {kind: cv2.Laplacian(made[kind][0].astype(np.float32), -1).std() for kind in KINDS}
    assert sharp["swap, redrawn whole"] < 0.8 * sharp["swap, filmed whole"]
    assert sharp["own frame redrawn whole"] < 0.8 * sharp[FILMED]


def test_the_swap_is_the_benchmarks_own(scene):
    """The pasted swap is what the benchmark's forger makes of the other person at the same recipe."""
    from dfnb.benchmark import pasting, studio

    stage, fake, made = scene
    swap = MANIPULATIONS["Celeb-synthesis"]
    recipe = replace(pasting.draw_recipe(swap.good, swap.bad, stage.rng(composites.FORGE)), poisson=0.0)
    person = studio.draw_person(stage.settings, "celeb", fake.person)
    shot = Shot(
        target=stage.view(0, 0),
        stranger=lambda: stage.stranger(person, 0, 0, recipe.detail),
        reenacted=None,
        texture=None,
        recipe=recipe,
        drift=pasting.draw_drift(stage.rng(composites.FORGE, 1)),
        noise=stage.rng(composites.FORGE, 2, 0),
    )
    assert np.array_equal(made["swap, pasted"][0], swap.forge(shot).rgb)


def test_videos_are_kept_made_again_alike_and_nothing_else_is_removed(tmp_path):
    settings = {"demo.size": 160, "robustness.takes": 4, "runs": str(tmp_path), "jobs": 1}
    loaded = profile.load("smoke", settings)
    root = tmp_path / "smoke" / "composites"
    assert composites.state(loaded, root) == "missing"
    composites.build(loaded, root)
    assert composites.state(loaded, root) == "current"
    clips = composites.clips(loaded, root)
    assert clips.groupby("method").size().eq(len(composites.takes(loaded.demo, 4))).all()
    assert dict(zip(clips["method"], clips["label"], strict=True)) == {k: v.label for k, v in KINDS.items()}
    before = {path: (Path(path).read_bytes(), Path(path).stat().st_mtime_ns) for path in clips["path"]}
    gone = clips["path"].iloc[-1]
    Path(gone).unlink()
    assert composites.clips(loaded, root).equals(clips)
    assert composites.state(loaded, root) == "missing"
    composites.build(loaded, root)
    assert Path(gone).read_bytes() == before[gone][0]
    other_scene = [path for path in clips["path"] if Path(path).name != Path(gone).name]
    assert all(Path(path).stat().st_mtime_ns == before[path][1] for path in other_scene)
    stamp_file = root / composites.MARKER
    stamp_file.write_bytes(b"\xff{")
    with pytest.raises(UserError, match="can't be read"):
        composites.build(loaded, root)
    stamp_file.write_text(json.dumps({"code": "older"}))
    assert composites.state(loaded, root) == "outdated"
    composites._make_room(root, {"code": "newer"})
    assert [path.name for path in root.iterdir()] == [composites.MARKER]
    stamp_file.unlink()
    (root / "mine.txt").touch()
    with pytest.raises(UserError, match="something else"):
        composites.build(loaded, root)
    assert (root / "mine.txt").exists()


def test_a_run_on_folders_has_no_such_videos():
    with pytest.raises(UserError, match="only rendered heads"):
        composites.clips(profile.load("paper"), Path("composites"))
