"""The forger's tools and the camera: against closed forms, brute force and another library."""

from dataclasses import fields, replace

import av
import cv2
import numpy as np
import pytest
from scipy.interpolate import LinearNDInterpolator
from scipy.optimize import minimize

from dfnb.benchmark import pasting, video
from dfnb.benchmark.manipulations import MANIPULATIONS
from dfnb.benchmark.pasting import Recipe, View, draw_drift, draw_recipe
from dfnb.common.errors import UserError

PERFECT = Recipe(
    detail=1e3, blur=0, grain=0, colour=0, tint=0, misfit=0, jitter=0, inset=0, soft=0.1, opacity=1, poisson=0, lab=0
)


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([99, *key])


def picture(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A smooth coloured picture with some texture, (H, W, 3) uint8."""
    coarse = rng(seed).uniform(40, 220, (6, 6, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng(seed, 1).normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def ellipse_view(shape: tuple[int, int] = (160, 150), seed: int = 0, scale: float = 1.0, at=(74.0, 81.0)) -> View:
    """A face-like ellipse with points on it and inside it."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([np.cos(turn), 1.3 * np.sin(turn)], axis=1)
    points = np.concatenate([ring, 0.5 * ring, [[0, 0]]]) * 40 * scale + at
    y, x = np.mgrid[: shape[0], : shape[1]]
    own = ((x - at[0]) / 1.3) ** 2 + ((y - at[1]) / 1.6) ** 2 < (40 * scale) ** 2
    return View(picture(shape, seed), points.astype(np.float32), own, np.ones(49, bool))


OUTLINE = np.arange(24)
ALL = np.arange(49)


def test_similarity_is_the_least_squares_fit():
    a = rng(1).normal(size=(30, 2)) * 20 + 50
    b = a @ np.array([[0.8, -0.3], [0.3, 0.8]]).T + [4, -9] + rng(2).normal(0, 2, (30, 2))

    def error(p):
        return ((a @ np.array([[p[0], -p[1]], [p[1], p[0]]]).T + p[2:] - b) ** 2).sum()

    best = minimize(error, [1, 0, 0, 0], method="BFGS", tol=1e-10).x
    fit = pasting.similarity(a, b)
    np.testing.assert_allclose([fit[0, 0], fit[1, 0], fit[0, 2], fit[1, 2]], best, rtol=1e-4, atol=1e-3)


def test_piecewise_affine_agrees_with_scipy_and_keeps_an_affine_map():
    corners = rng(3).uniform(2, 58, (40, 2))
    values = rng(4).normal(size=(40, 2))
    ys, xs = np.mgrid[:60, :60]
    expected = LinearNDInterpolator(corners, values)(xs, ys)
    np.testing.assert_allclose(pasting.piecewise_affine(corners, values, (60, 60)), expected, atol=1e-9)


@pytest.mark.parametrize("lab", [False, True])
def test_matched_colours_have_the_targets_mean_and_spread(lab):
    # mid-range colours of little spread, so that nothing is clipped and gains stay within bounds
    a = (90 + 12 * rng(5).standard_normal((50, 60, 3))).astype(np.float32)
    b = (140 + 9 * rng(6).standard_normal((50, 60, 3))).astype(np.float32)
    where = rng(7).uniform(size=(50, 60)) < 0.5
    out = pasting.match_colour(a, b, where, 1.0, lab)
    if lab:
        out, b = pasting._to_lab(out), pasting._to_lab(b)
    np.testing.assert_allclose(out[where].mean(0), b[where].mean(0), atol=0.5)
    np.testing.assert_allclose(out[where].std(0), b[where].std(0), rtol=0.05)
    np.testing.assert_allclose(pasting.match_colour(a, b, where, 0.0, False), a, atol=1e-3)


def test_a_perfect_tool_pastes_the_source_where_blending_is_full():
    target, source = ellipse_view(seed=1), ellipse_view(seed=2)
    done = pasting.swap(target, source, OUTLINE, ALL, PERFECT, rng(8), np.zeros(4))
    deep = cv2.erode(done.mask.astype(np.uint8), np.ones((31, 31))) > 0
    assert deep.sum() > 500
    assert np.abs(done.rgb[deep].astype(int) - source.rgb[deep]).max() <= 1
    assert (done.rgb[~done.mask] == target.rgb[~done.mask]).all()


def test_mesh_swap_of_a_shifted_copy_gives_the_picture_back():
    """FaceSwap from the same face elsewhere in the frame, by whole pixels: nothing changes but the edge of the hull."""
    target = ellipse_view(seed=3)
    rolled = [np.roll(item, (5, 7), (0, 1)) for item in (target.rgb, target.face)]
    moved = View(rolled[0], target.points + np.float32([7, 5]), rolled[1], target.visible)
    done = pasting.mesh_swap(target, moved, OUTLINE, ALL, PERFECT, rng(9), np.zeros(4))
    assert done.mask.sum() > 2000
    assert np.abs(done.rgb.astype(int) - target.rgb).max() <= 1


@pytest.mark.parametrize("kind", MANIPULATIONS)
def test_fakes_differ_only_inside_their_mask_and_only_on_the_face(kind):
    target, source = ellipse_view(seed=4), ellipse_view((100, 90), seed=5, scale=0.6, at=(44.0, 47.0))
    hidden = target.face.copy()
    hidden[:70, 60:66] = False  # hair over the forehead, somebody's hand on the cheek
    hidden[80:, 100:] = False
    target = replace(target, face=hidden)
    for seed in range(6):
        tool = MANIPULATIONS[kind]
        recipe, drift = draw_recipe(tool.good, tool.bad, rng(10, seed)), draw_drift(rng(11, seed))
        paste = pasting.mesh_swap if kind == "FaceSwap" else pasting.swap
        done = paste(target, source, OUTLINE, ALL, recipe, rng(12, seed), drift)
        again = paste(target, source, OUTLINE, ALL, recipe, rng(12, seed), drift)
        assert (done.rgb == again.rgb).all()
        changed = (done.rgb != target.rgb).any(axis=2)
        assert changed.sum() > 1000
        assert not (changed & ~done.mask).any()
        assert done.mask.mean() < 2 * changed.mean()  # the mask is no blanket
        near = cv2.dilate(hidden.astype(np.uint8), np.ones((9, 9))) > 0  # the soft edge of hair is a few pixels wide
        assert not (done.mask & ~near).any()


def test_a_face_that_does_not_show_is_left_alone():
    target = ellipse_view(seed=6)
    gone = replace(target, points=target.points + 500)
    covered = replace(target, face=np.zeros_like(target.face))
    for view in (gone, covered):
        for tool in (pasting.swap, pasting.mesh_swap):
            done = tool(view, target, OUTLINE, ALL, PERFECT, rng(13), np.zeros(4))
            assert (done.rgb == view.rgb).all()
            assert not done.mask.any()


def test_the_generator_loses_detail_and_noise():
    """Rows a face height limit what comes through: the detail finer than two pixels falls with them."""
    target, source = ellipse_view(seed=7), ellipse_view(seed=8)
    levels = []
    for detail in (1e3, 60.0, 30.0):
        done = pasting.swap(target, source, OUTLINE, ALL, replace(PERFECT, detail=detail), rng(14), np.zeros(4))
        deep = cv2.erode(done.mask.astype(np.uint8), np.ones((31, 31))) > 0
        fine = done.rgb.astype(np.float32) - cv2.GaussianBlur(done.rgb.astype(np.float32), (0, 0), 2.0)
        levels.append(fine[deep].std())
    assert levels[0] > 1.2 * levels[1] > 1.4 * levels[2]


@pytest.mark.parametrize("kind", MANIPULATIONS)
def test_recipes_stay_between_good_and_bad(kind):
    ends = MANIPULATIONS[kind].good, MANIPULATIONS[kind].bad
    recipes = [draw_recipe(*ends, rng(15, n)) for n in range(50)]
    for field in fields(Recipe):
        good, bad = (getattr(end, field.name) for end in ends)
        values = np.array([getattr(recipe, field.name) for recipe in recipes])
        if field.name in ("poisson", "lab"):
            assert set(values) <= {0.0, 1.0}
            assert min(good, bad) - 0.2 <= values.mean() <= max(good, bad) + 0.2
            continue
        assert min(good, bad) - 1e-9 <= values.min() <= values.max() <= max(good, bad) + 1e-9
        assert good == bad or np.ptp(values) > 0.5 * abs(good - bad)


def test_noise_level_finds_the_standard_deviation():
    flat = np.full((200, 200, 3), 120.0)
    noisy = video.to_levels(flat + rng(16).normal(0, 6, (200, 200, 1)))
    assert pasting.noise_level(noisy, np.ones((200, 200), bool)) == pytest.approx(6, rel=0.1)


@pytest.mark.parametrize("clump", [0.0, 0.7])
def test_grain_has_the_stated_spread(clump):
    for brightness in (0.0, 100.0, 250.0):
        levels = np.full((200, 200, 3), brightness, np.float32)
        noise = video.grain(levels, 1.5, 3.0, 0.4, clump, rng(17))
        assert noise.std() == pytest.approx(np.sqrt(1.5**2 + 9 * brightness / 255), rel=0.05)
        assert abs(noise.mean()) < 0.1
        between = np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]
        assert between == pytest.approx(0.6, abs=0.05)


def test_videos_come_back_and_are_the_same_bytes(tmp_path):
    frames = np.stack([np.roll(picture((64, 96)), 2 * k, axis=1) for k in range(5)])
    for name in ("a.mp4", "b.mp4"):
        video.write(tmp_path / name, frames, 10.0, video.Codec(crf=12))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    back = video.read(tmp_path / "a.mp4")
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames).mean() < 6
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, float(stream.average_rate)) == ("h264", "yuv420p", 10.0)


def test_worse_rate_factors_and_smaller_scales_lose_more():
    frames = np.stack([picture((96, 96), seed) for seed in range(3)])
    lost = [np.abs(video.recompress(frames, video.Codec(crf=crf)).astype(int) - frames).mean() for crf in (10, 25, 40)]
    assert lost[0] < lost[1] < lost[2]
    lost = [np.abs(video.degrade(frames, scale).astype(int) - frames).mean() for scale in (1.0, 0.8, 0.4)]
    assert lost[0] == 0 < lost[1] < lost[2]


def test_bad_videos_are_named(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    for name in ("text.mp4", "absent.mp4"):
        with pytest.raises(UserError, match=name):
            video.read(tmp_path / name)
    with pytest.raises(ValueError, match="even sides"):
        video.write(tmp_path / "odd.mp4", np.zeros((2, 33, 40, 3), np.uint8), 10.0, video.Codec())
    assert [item.name for item in tmp_path.iterdir()] == ["text.mp4"]
