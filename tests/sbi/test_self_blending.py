"""Self-blending: invariants over many faces, and every part against closed forms or a slow and plain version."""

import colorsys
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_faces import landmarks, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from dfnb.common.errors import UserError
from dfnb.data import faces
from dfnb.sbi import SelfBlender, augment, blend, masks
from dfnb.sbi.augment import Colour, ColourRange

PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "real-faces"
STILL = ColourRange(0, 0, 0, 0, 0, 0)
OFF = SelfBlender(colour=STILL, frequency=False, resize=(1, 1), shift=(0, 0))
CERTAIN = 1e-4  # a test of a distribution fails at this p value; seeds are fixed, so it fails always or never


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(list(key) or 0)


# ---- the whole ----


@st.composite
def a_face(draw):
    """A picture and a face with its centre in it: tiny or large, turned, in part outside, grey or flat."""
    height, width = draw(st.integers(24, 260)), draw(st.integers(24, 260))
    size = draw(st.floats(20, 300))
    centre = draw(st.floats(0.1, 0.9)) * width, draw(st.floats(0.1, 0.9)) * height
    points = landmarks(size, centre, draw(st.floats(-0.8, 0.8)))
    points += size * 0.02 * rng(draw(st.integers(0, 99))).standard_normal((68, 2)).astype(np.float32)
    rgb = picture(height, width, draw(st.integers(0, 9)), grey=draw(st.booleans()))
    if draw(st.integers(0, 9)) == 0:
        rgb[:] = draw(st.integers(0, 255))
    return rgb, points


@settings(max_examples=150, deadline=None)
@given(a_face(), st.integers(0, 2**31))
def test_a_fake_differs_inside_the_mask_only(face, seed):
    rgb, points = face
    before, points_before = rgb.copy(), points.copy()
    real, fake, mask = SelfBlender()(rgb, points, rng(seed))
    assert real.shape == fake.shape == rgb.shape
    assert real.dtype == fake.dtype == np.uint8
    assert mask.shape == rgb.shape[:2]
    assert mask.dtype == np.float32
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert mask.max() >= 0.04, "an empty mask would make a real face of the fake"
    assert np.array_equal(real[mask == 0], fake[mask == 0])
    draw = SelfBlender().draw(rng(seed))
    assert np.array_equal(real, rgb if draw.changed == "source" else blend.change(rgb, draw))
    assert np.array_equal(rgb, before)
    assert np.array_equal(points, points_before)
    assert not np.shares_memory(real, fake)
    assert not np.shares_memory(real, rgb)


@settings(max_examples=60, deadline=None)
@given(a_face(), st.integers(0, 2**31))
def test_nothing_changed_gives_the_real_face_back(face, seed):
    rgb, points = face
    real, fake, mask = OFF(rgb, points, rng(seed))
    assert np.array_equal(real, rgb)
    assert np.array_equal(fake, rgb)
    assert mask.any()


@settings(max_examples=60, deadline=None)
@given(a_face(), st.integers(0, 2**31))
def test_blending_is_the_formula(face, seed):
    """fake = m source + (1 - m) target, in float64, from the steps worked out on the whole picture."""
    steps = SelfBlender().explain(*face, rng(seed))
    m = steps.mask[..., None].astype(np.float64)
    assert np.allclose(steps.mask, steps.softened * steps.draw.ratio, atol=1 / 512 + 1e-6)
    assert np.array_equal(steps.mask * 256, np.rint(steps.mask * 256))
    exact = m * steps.warped + (1 - m) * steps.target
    # the steps' warp places pixels to 1/32, the call's resizes one rectangle to another, and both round
    kernel = np.ones((5, 5), np.uint8)
    near = cv2.dilate(steps.warped, kernel).astype(float) - cv2.erode(steps.warped, kernel)
    assert np.all(np.abs(exact - steps.fake) <= 0.51 + m * (1 + 2 / 32 * near))
    called = SelfBlender()(*face, rng(seed))
    assert all(np.array_equal(a, b) for a, b in zip(called, (steps.real, steps.fake, steps.mask), strict=True))


def test_the_same_generator_makes_the_same_fake_and_another_another():
    face = picture(), landmarks()
    one, same, other = (SelfBlender()(*face, rng(s)) for s in (5, 5, 6))
    assert np.array_equal(one.fake, same.fake)
    assert np.array_equal(one.mask, same.mask)
    assert not np.array_equal(one.mask, other.mask)


def test_one_setting_leaves_the_other_choices_alone():
    """So that an ablation, or a slider, compares the same fakes."""
    for seed in range(20):
        plain = SelfBlender().draw(rng(seed))
        assert SelfBlender(ratios=(0.5,)).draw(rng(seed)) == plain._replace(ratio=0.5)
        assert SelfBlender(hull_variation=False).draw(rng(seed)) == plain._replace(hull="whole")
        still = SelfBlender(colour=STILL).draw(rng(seed))
        assert still._replace(colour=plain.colour) == plain
        soft = SelfBlender(soften=(9, 9)).draw(rng(seed))
        assert soft == blend.fix(plain, soften=9)


def test_sliders_fix_a_choice_by_name():
    face = picture(), landmarks()
    steps = SelfBlender().explain(*face, rng(1), ratio=0.25, soften=3.0, hue=2.0, hull="mouth", changed="target")
    assert steps.draw.ratio == 0.25
    assert steps.draw.deformation.soften == 3.0
    assert steps.draw.colour.hue == 2.0
    assert steps.mask.max() == pytest.approx(0.25, abs=0.01)
    assert np.array_equal(steps.source, face[0])
    with pytest.raises(UserError, match="softness"):
        SelfBlender().explain(*face, rng(1), softness=3.0)


def test_the_pictures_margin_does_not_matter():
    """A fake is the same whether made on the frame or on a crop, as long as the crop holds the mask."""
    rgb, points = picture(480, 500), landmarks(180, (250, 250))
    for seed in range(8):
        draw = SelfBlender(factors=(2,)).draw(rng(seed))
        frame = blend.blend(rgb, points, draw)
        crop = blend.blend(rgb[60:440, 80:420], points - np.float32([80, 60]), draw)
        assert np.allclose(frame.mask[60:440, 80:420], crop.mask, atol=0.02)
        different = frame.fake[60:440, 80:420].astype(int) - crop.fake
        assert np.mean(np.abs(different[8:-8, 8:-8]) > 2) < 0.002


# ---- frequencies of the choices ----


def test_choices_come_as_often_as_they_should():
    draws = [SelfBlender().draw(rng(7, i)) for i in range(4000)]

    def agrees(values, shares):
        counts = [sum(v == key for v in values) for key in shares]
        assert sum(counts) == len(values)
        expected = np.array(list(shares.values())) / sum(shares.values()) * len(values)
        assert stats.chisquare(counts, expected).pvalue > CERTAIN

    agrees([d.hull for d in draws], dict(SelfBlender().hull_shares))
    agrees([d.forehead for d in draws], {True: 3, False: 1})
    agrees([d.changed for d in draws], {"source": 1, "target": 1})
    agrees([d.ratio for d in draws], {0.25: 1, 0.5: 1, 0.75: 1, 1.0: 3})
    agrees([d.factor if d.factor > 1 else "sharpened" for d in draws], {2: 1, 4: 1, "sharpened": 2})
    assert all((d.factor > 1) != (d.sharpness > 0) for d in draws)
    for values, low, high in (
        ([d.scale[0] for d in draws], 0.95, 1.05),
        ([d.shift[0] for d in draws], -0.03, 0.03),
        ([d.shift[1] for d in draws], -0.015, 0.015),
        ([d.sharpness for d in draws if d.sharpness], 0.5, 1.5),
        ([d.deformation.erode for d in draws], 2, 12),
        ([d.deformation.soften for d in draws], 2, 16),
        ([d.deformation.amplitude for d in draws], 1, 6),
        ([d.colour.brightness for d in draws], -0.1, 0.1),
        ([d.colour.contrast for d in draws], -0.1, 0.1),
        ([d.colour.rgb[1] for d in draws if any(d.colour.rgb)], -20, 20),
    ):
        assert stats.kstest(values, "uniform", (low, high - low)).pvalue > CERTAIN
    shifted = sum(any(d.colour.rgb) for d in draws)
    assert stats.binomtest(shifted, len(draws), 0.3).pvalue > CERTAIN
    # the choices don't hang together
    pairs = np.array(
        [[d.hull == "whole", d.forehead, d.changed == "source", d.ratio == 1, d.factor > 1] for d in draws]
    )
    correlation = np.corrcoef(pairs.T.astype(float))
    assert np.abs(correlation - np.eye(5)).max() < 0.07


# ---- hulls and masks ----


def test_hulls_hold_their_points_and_lie_where_they_should():
    points = landmarks()
    whole = masks.polygon(points, "whole")
    assert all(cv2.pointPolygonTest(whole, tuple(map(float, p)), True) > -1e-3 for p in points)
    forehead = masks.polygon(points, "whole", forehead=True)
    assert forehead[:, 1].min() < points[:, 1].min() - 20
    area = {kind: cv2.contourArea(masks.polygon(points, kind)) for kind in masks.KINDS}
    assert area["mouth"] < area["eyes"] < area["nose-to-chin"] < area["whole"] < cv2.contourArea(forehead)
    assert area["features"] < area["whole"]
    mouth = masks.polygon(points, "mouth")
    assert cv2.contourArea(mouth) == pytest.approx(1.3**2 * cv2.contourArea(cv2.convexHull(points[48:68])), rel=1e-3)


@pytest.mark.parametrize("smoothness", [2.0, 4.0])
def test_displacement_has_the_stated_spread_and_correlation(smoothness):
    field = masks.displacement((600, 600), smoothness, rng(3)).astype(float)
    assert field.shape == (600, 600, 2)
    assert np.abs(field.mean((0, 1))).max() < 0.08
    assert np.allclose(field.std((0, 1)), 1, atol=0.06)
    assert abs(np.mean(field[..., 0] * field[..., 1])) < 0.06
    for lag in (1, 3, 6, 10):
        along = np.mean(field[:, lag:, 0] * field[:, :-lag, 0])
        assert along == pytest.approx(np.exp(-((lag / (2 * smoothness)) ** 2)), abs=0.06)


def square(side: float = 256.0, corner: float = 60.0) -> np.ndarray:
    return np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32) + np.float32(corner)


def test_the_mask_bends_by_the_stated_amplitude():
    """On a square 256 px wide the settings are pixels: its upper edge must stray by `amplitude`, as deviation."""
    how = masks.Deformation(amplitude=5.0, smoothness=24.0, erode=0.0, soften=0.0)
    edges = []
    for seed in range(60):
        deformed, _ = masks.soft_mask(square(), (380, 380), how, rng(11, seed))
        x0, y0, _, _ = deformed.window
        columns = deformed.at_full_size()[: 188 - y0, 188 - x0 - 48 : 188 - x0 + 49 : 48]  # far from the corners
        edges.append((188 - columns.sum(0)) - 60)
    edges = np.concatenate(edges)
    assert abs(edges.mean()) < 1.5  # half a pixel of the mask's own resolution, by which OpenCV fills polygons too wide
    assert edges.std() == pytest.approx(5.0, rel=0.2)


@pytest.mark.parametrize(("erode", "soften"), [(12.0, 4.0), (4.0, 16.0), (8.0, 8.0), (0.0, 10.0)])
def test_the_edge_moves_and_softens_as_stated(erode, soften):
    """A straight edge, Gaussian blur, kept where at least 0.99, Gaussian blur: place and width are closed form."""
    how = masks.Deformation(amplitude=0.0, smoothness=24.0, erode=erode, soften=soften)
    _, soft = masks.soft_mask(square(), (380, 380), how, rng(1))
    profile = soft.at_full_size()[:, 188 - soft.window[0]][: 188 - soft.window[1]].astype(float)
    at = np.interp(stats.norm.cdf([-1, 0, 1]), profile, np.arange(len(profile)) + soft.window[1])
    inward = stats.norm.ppf(0.99) * erode
    assert at[1] - 60 == pytest.approx(inward, abs=3.0)  # one pixel of the mask's own resolution is 2.8 px
    assert (at[2] - at[0]) / 2 == pytest.approx(soften, abs=1.5)


def plain_mask(hull: np.ndarray, side: int, how: masks.Deformation, seed: int) -> np.ndarray:
    """The soft mask worked out on every pixel, by SciPy: bent along the field, blurred, cut, blurred."""
    unit = masks.width(hull) / 256
    low, high = hull.min(0), hull.max(0)
    first, spacing = low - 64 * unit, how.smoothness * unit / 2
    nodes = np.ceil((high - low + 128 * unit) / spacing).astype(int) + 1
    lattice = masks.displacement((int(nodes[1]), int(nodes[0])), 2.0, rng(seed))
    y, x = np.mgrid[:side, :side].astype(float)
    at = [(y - first[1]) / spacing, (x - first[0]) / spacing]
    right, down = (
        how.amplitude * unit * ndimage.map_coordinates(lattice[..., k], at, order=1, mode="nearest") for k in (0, 1)
    )
    flat = faces.fill(hull, (side, side)).astype(float)
    bent = ndimage.map_coordinates(flat, [y + down, x + right], order=1, mode="nearest")
    kept = ndimage.gaussian_filter(bent, how.erode * unit, mode="nearest", truncate=5)
    kept = (kept >= 0.99 * kept.max()).astype(float)
    return ndimage.gaussian_filter(kept, how.soften * unit, mode="nearest", truncate=5)


def test_masks_worked_out_at_low_resolution_are_those_of_every_pixel():
    """Over 40 draws of all kinds of hulls, faces 280 px wide: the same areas, and little that differs."""
    areas = []
    for k in range(40):
        draw = SelfBlender().draw(rng(9, k))
        hull = masks.polygon(landmarks(280, (220, 230), 0.2 * np.sin(k)), draw.hull, draw.forehead)
        soft = masks.soft_mask(hull, (420, 420), draw.deformation, rng(draw.noise))[1]
        fast = blend.canvas(soft.at_full_size(), soft.window, (420, 420))
        plain = plain_mask(hull, 420, draw.deformation, draw.noise)
        areas.append((fast.sum(), plain.sum()))
        assert np.abs(fast - plain).sum() < 0.04 * plain.sum()
    fast, plain = np.array(areas).T
    assert np.abs(fast / plain - 1).max() < 0.04
    assert np.mean(fast / plain) == pytest.approx(1.0, abs=0.02)
    assert np.std(np.log(plain)) > 0.2  # else the draws were all alike


def test_a_mask_goes_on_beyond_the_pictures_edge():
    """Where the face is cut by the frame, the edge of the frame is no edge of the mask."""
    how = masks.Deformation(amplitude=0.0, smoothness=24.0, erode=10.0, soften=10.0)
    _, soft = masks.soft_mask(square(corner=-128.0), (300, 300), how, rng(1))
    assert soft.window[:2] == (0, 0)
    assert soft.values[0, 0] == pytest.approx(1.0, abs=1e-3)


def test_source_and_mask_move_together():
    """A bright spot and the mask must both go where target = centre + scale (source - centre) + shift says."""
    rgb = np.full((420, 400, 3), 40, np.uint8)
    points = landmarks(200, (200, 220))
    spot = np.array([245.0, 190.0])
    y, x = np.mgrid[:420, :400]
    rgb[np.hypot(x - spot[0], y - spot[1]) < 5] = 240
    x0, y0, x1, y1 = faces.box(points)
    centre, span = np.array([x0 + x1, y0 + y1]) / 2, np.array([x1 - x0, y1 - y0])
    blender = SelfBlender(colour=STILL, frequency=False, amplitude=(0, 0), ratios=(1.0,), hull_variation=False)

    def centroid(weights):
        return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()

    rest = blender.explain(rgb, points, rng(1), scale=(1.0, 1.0), shift=(0.0, 0.0))
    for scale, shift in ((1.05, (0.03, -0.015)), (0.95, (-0.02, 0.01)), (1.0, (0.03, 0.015))):
        moved = blender.explain(rgb, points, rng(1), scale=(scale, scale), shift=shift)

        def to(p, scale=scale, shift=shift):
            return centre + scale * (p - centre) + np.array(shift) * span

        # the way is rounded so that a corner falls on whole pixels, for both alike
        rounded = centroid(moved.warped[..., 0] - 40.0) - to(spot)
        assert np.abs(rounded).max() < 0.6
        assert np.allclose(centroid(moved.mask) - to(centroid(rest.mask)), rounded, atol=0.3)
        assert moved.mask.sum() == pytest.approx(scale**2 * rest.mask.sum(), rel=0.02)
        assert np.allclose(centroid(moved.fake[..., 0] - 40.0), to(spot) + rounded, atol=0.1)


def test_a_part_outside_the_picture_gives_way_to_the_whole_face():
    rgb, points = picture(180, 300), landmarks(200, (150, 150))
    assert points[48:68, 1].min() > 180, "the mouth lies below the picture"
    steps = SelfBlender().explain(rgb, points, rng(0), hull="mouth")
    assert np.array_equal(steps.hull, faces.face_mask(points, rgb.shape))
    assert steps.mask.max() > 0


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (np.full((68, 2), 50, np.float32), "no usable hull"),
        (np.stack([np.linspace(10, 90, 68)] * 2, 1).astype(np.float32), "no usable hull"),
        (landmarks(60, (500, 500)), "no usable hull"),
        (np.full((68, 2), np.nan, np.float32), "finite"),
    ],
    ids=["a point", "a line", "outside", "not a number"],
)
def test_a_face_without_a_hull_is_an_error(points, says):
    with pytest.raises(UserError, match=says):
        SelfBlender()(picture(100, 100), points, rng(0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"resize": (1.1, 0.9)}, {"ratios": ()}, {"ratios": (1.5,)}, {"landmarks_only": 2.0}, {"shift": (0.9, 0.0)},
        {"factors": (0,)}, {"hull_shares": (("ears", 1.0),)}, {"hull_shares": (("whole", 0.0),)}, {"soften": (-1, 3)},
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        SelfBlender(**wrong)


# ---- colour and frequency ----


def by_steps(rgb, c: Colour):
    """The plain version: float64, one step after the other, hue by turning the colour about the grey axis."""
    x = rgb.astype(float) + np.array(c.rgb)
    grey = x.mean(-1, keepdims=True)
    axis = np.ones(3) / np.sqrt(3)
    angle, chroma = np.deg2rad(c.hue), x - grey
    chroma = chroma * np.cos(angle) + np.cross(np.broadcast_to(axis, chroma.shape), chroma) * np.sin(angle)
    x = (grey + (1 + c.saturation) * chroma) * (1 + c.value)
    x = (x - 127.5) * (1 + c.contrast) + 127.5 + 255 * c.brightness
    return np.clip(x, 0, 255)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_colours_agree_with_the_plain_version(seed, strong):
    rgb = rng(seed).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    reach = augment.Photometric().colour if strong else ColourRange()
    colour = reach.draw(rng(seed, 1))
    assert np.abs(augment.recolour(rgb, colour) - by_steps(rgb, colour)).max() <= 1.0


def test_colour_in_cases_with_a_known_answer():
    rgb = rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert augment.recolour(rgb, Colour()) is rgb
    assert np.abs(augment.recolour(rgb, Colour(hue=120)).astype(int) - rgb[..., [2, 0, 1]]).max() <= 1
    flat = augment.recolour(rgb, Colour(saturation=-1))
    assert np.abs(flat - rgb.mean(-1, keepdims=True)).max() <= 1
    grey = np.repeat(rgb[..., :1], 3, -1)
    assert np.abs(augment.recolour(grey, Colour(hue=7, saturation=0.2)).astype(int) - grey).max() <= 1
    shifted = np.clip(rgb.astype(int) + np.array([5, -9, 20]), 0, 255)
    assert np.array_equal(augment.recolour(rgb, Colour(rgb=(5, -9, 20))), shifted)


def test_small_changes_of_hue_and_saturation_are_those_of_hsv():
    """On colours of skin, hair and eyes the linear change stays within a few levels of the real HSV's."""
    colours = np.array([(224, 172, 145), (198, 134, 100), (141, 85, 60), (90, 56, 40), (60, 45, 35), (90, 110, 130)])
    for hue, value in ((4.0, 0.0), (-4.0, 0.0), (0.0, 0.05), (3.0, -0.05)):
        changed = by_steps(colours, Colour(hue=hue, value=value))
        for before, after in zip(colours, changed, strict=True):
            h, s, v = colorsys.rgb_to_hsv(*(before / 255))
            exact = np.array(colorsys.hsv_to_rgb((h + hue / 360) % 1, s, v * (1 + value))) * 255
            assert np.abs(exact - after).max() < 4.0
    more = by_steps(colours, Colour(saturation=0.08))
    hsv = [[colorsys.rgb_to_hsv(*(c / 255)) for c in side] for side in (colours, more)]
    gain = np.array(hsv[1])[:, 1] / np.array(hsv[0])[:, 1]
    assert np.all((gain > 1.02) & (gain < 1.12))


@pytest.mark.parametrize("factor", [2, 4])
def test_downscaling_is_block_means_enlarged(factor):
    rgb = picture(37, 50, seed=3)
    padded = np.pad(rgb, ((0, -37 % factor), (0, -50 % factor), (0, 0)), mode="edge").astype(float)
    h, w = padded.shape[0] // factor, padded.shape[1] // factor
    means = np.rint(padded.reshape(h, factor, w, factor, 3).mean((1, 3)))

    def enlarge(a, axis):  # bilinear between the blocks' centres, plain
        at = (np.arange(a.shape[axis] * factor) + 0.5) / factor - 0.5
        low = np.clip(np.floor(at).astype(int), 0, a.shape[axis] - 1)
        high = np.minimum(low + 1, a.shape[axis] - 1)
        part = np.clip(at - low, 0, 1).reshape([-1 if i == axis else 1 for i in range(3)])
        return np.take(a, low, axis) * (1 - part) + np.take(a, high, axis) * part

    plain = enlarge(enlarge(means, 0), 1)[:37, :50]
    assert np.abs(augment.downscale(rgb, factor) - plain).max() <= 1.5


def test_sharpening_is_an_unsharp_mask():
    rgb = picture(30, 40, seed=4)
    x = np.pad(rgb.astype(float), ((1, 1), (1, 1), (0, 0)), mode="reflect")
    mean = sum(x[i : i + 30, j : j + 40] for i in range(3) for j in range(3)) / 9
    plain = np.clip(rgb + 1.2 * (rgb - np.rint(mean)), 0, 255)
    assert np.abs(augment.sharpen(rgb, 1.2) - plain).max() <= 1.0


def test_jpeg_keeps_colours_and_loses_more_at_lower_quality():
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0], red[..., 2] = 200, 30
    assert np.abs(augment.jpeg(red, 90).astype(int) - red).max() <= 4
    rgb = picture(96, 96, seed=5)
    lost = [np.abs(augment.jpeg(rgb, q).astype(float) - rgb).mean() for q in (40, 70, 100)]
    assert lost[0] > lost[1] > lost[2] > 0


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 2**31))
def test_a_pair_augmented_in_its_window_is_the_pair_augmented(data, seed):
    height, width = data.draw(st.integers(20, 150)), data.draw(st.integers(20, 150))
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    real = picture(height, width, seed % 10)
    fake = real.copy()
    fake[y0:y1, x0:x1] = 255 - fake[y0:y1, x0:x1]
    colour, quality = augment.Photometric().draw(rng(seed))
    got = augment.augment_pair(real, fake, (x0, y0, x1, y1), colour, quality)
    for before, after in zip((real, fake), got, strict=True):
        plain = augment.recolour(before, colour)
        plain = plain if quality is None else augment.jpeg(plain, quality)
        assert np.array_equal(after, plain)


# ---- mirroring ----


def test_mirroring_flips_the_image_and_swaps_the_landmarks_sides():
    assert np.array_equal(augment.MIRROR[augment.MIRROR], np.arange(68))
    points = landmarks(150, (100, 120))
    rgb = picture(300, 201, 1)
    image, mirrored = augment.mirror(rgb, points)
    assert np.array_equal(image, rgb[:, ::-1])
    assert np.allclose(mirrored, points, atol=1e-3), "a face symmetric about the picture's axis is its own mirror image"


def test_landmarks_found_on_a_mirrored_photograph_are_the_mirrored_landmarks():
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("no photographs beside the repository")
    find = faces.FaceFinder()
    for file in sorted(PHOTOGRAPHS.glob("*.jpg"))[::150]:
        rgb = np.ascontiguousarray(cv2.imread(str(file))[..., ::-1])
        (face, *_), (other, *_) = find(rgb), find(np.ascontiguousarray(rgb[:, ::-1]))
        image, turned = augment.mirror(rgb, face.landmarks)
        assert np.array_equal(image, rgb[:, ::-1])
        distance = np.hypot(*(turned - other.landmarks).T)
        wide = face.box[2] - face.box[0]
        assert np.median(distance) < 0.02 * wide
        assert distance.max() < 0.12 * wide


# ---- photographs ----


def test_fakes_of_photographs_are_neither_invisible_nor_crude():
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("no photographs beside the repository")
    find, changes = faces.FaceFinder(), []
    for n, file in enumerate(sorted(PHOTOGRAPHS.glob("*.jpg"))[::120]):
        rgb = np.ascontiguousarray(cv2.imread(str(file))[..., ::-1])
        points = find(rgb)[0].landmarks
        for seed in range(30):
            real, fake, mask = SelfBlender()(rgb, points, rng(n, seed))
            changes.append(np.abs(real.astype(int) - fake)[mask > 0.05].mean())
    changes = np.array(changes)
    assert changes.min() > 0.2
    assert 6 < np.median(changes) < 20  # levels; 12 over 960 fakes of 24 photographs, which differ much in contrast
    assert np.mean(changes > 40) < 0.05
