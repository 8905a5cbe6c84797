"""Blended and redrawn videos: where they differ from the filmed frame, and how they are made again; the claims."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from dfnb import profile
from dfnb.analysis import blending
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
    clips = composites.clips(loaded, root)
    assert clips.groupby("method").size().eq(len(composites.takes(loaded.demo, 4))).all()
    assert dict(zip(clips["method"], clips["label"], strict=True)) == {k: v.label for k, v in KINDS.items()}
    before = {path: (Path(path).read_bytes(), Path(path).stat().st_mtime_ns) for path in clips["path"]}
    gone = clips["path"].iloc[-1]
    Path(gone).unlink()
    assert composites.clips(loaded, root).equals(clips)
    assert Path(gone).read_bytes() == before[gone][0]
    other_scene = [path for path in clips["path"] if Path(path).name != Path(gone).name]
    assert all(Path(path).stat().st_mtime_ns == before[path][1] for path in other_scene)
    stamp_file = root / composites.MARKER
    stamp_file.write_bytes(b"\xff{")
    with pytest.raises(UserError, match="can't be read"):
        composites.clips(loaded, root)
    stamp_file.write_text(json.dumps({"code": "older"}))
    composites._make_room(root, {"code": "newer"})
    assert [path.name for path in root.iterdir()] == [composites.MARKER]
    stamp_file.unlink()
    (root / "mine.txt").touch()
    with pytest.raises(UserError, match="something else"):
        composites.clips(loaded, root)
    assert (root / "mine.txt").exists()


def test_a_run_on_folders_has_no_such_videos():
    with pytest.raises(UserError, match="only rendered heads"):
        composites.clips(profile.load("paper"), Path("composites"))


def scored(edge: float, forgery: float, people: int = 12, needs_generated: bool = False) -> SimpleNamespace:
    """Made-up video scores: by how much an edge (or one with a generated face only), and a forgery, lifts the score."""
    rng, rows = np.random.default_rng(0), []
    for kind, about in KINDS.items():
        for k in range(people):
            lift = edge * (about.edge == "alpha" and (about.generated or not needs_generated)) + forgery * about.forged
            rows.append({"method": kind, "group": f"id{k}", "label": about.label, "score": 0.3 + lift})
    table = pd.DataFrame(rows)
    table["score"] += rng.normal(0, 0.05, len(table))
    return SimpleNamespace(video_scores=lambda part, name, size_rule: table)


def test_shares_are_counts_of_pairs():
    run = scored(0.05, 0.02)
    videos = run.video_scores("blending", "x", False)
    found = blending.claims(run, ["x"]).set_index("question")
    by_kind = {kind: own["score"].tolist() for kind, own in videos.groupby("method")}
    upper = [s for kind in blending.EDGE_ONLY for s in by_kind[kind]]
    lower = [s for kind in blending.NO_EDGE for s in by_kind[kind]]
    wins = np.mean([a > b for a, b in itertools.product(upper, lower)])
    assert found.loc["edge above forgery", "share"] == pytest.approx(wins)
    table = blending.table(run, ["x"]).set_index("kind")
    wins = np.mean([a > b for a, b in itertools.product(by_kind["swap, pasted"], by_kind[FILMED])])
    assert table.loc["swap, pasted", "auc"] == pytest.approx(wins)
    assert np.isnan(table.loc[FILMED, "auc"])
    assert (table["low"].dropna() <= table["auc"].dropna()).all()


@pytest.mark.parametrize(
    ("edge", "forgery", "says"),
    [(0.3, 0.0, "blending more than to forgery"), (0.0, 0.3, "against the hypothesis"), (0.0, 0.0, "can't tell")],
)
def test_the_verdict_follows_the_interval(edge, forgery, says):
    said = blending.verdict(blending.claims(scored(edge, forgery), ["proposed-arcface"]), "proposed-arcface")
    assert says in said
    assert said.startswith("proposed + ArcFace scores")
    assert "isn't enough" not in said


def test_a_mean_over_kinds_does_not_hide_that_only_one_stands_out():
    found = blending.claims(scored(0.6, 0.0, needs_generated=True), ["proposed-arcface"])
    said = blending.verdict(found, "proposed-arcface")
    own = found.set_index("question")
    assert own.loc["only own face redrawn, pasted", "share"] == 1
    assert own.loc["only own face, 5 % brighter", "low"] < 0.5
    assert "**an edge alone isn't enough**: only own face redrawn, pasted stands out, where what was pasted is" in said
