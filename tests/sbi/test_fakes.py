"""The other fakes that are made of real faces alone."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from drawn_faces import landmarks, picture
from faces_in_memory import DrawnFaces
from scipy import stats

from dfnb.common.errors import UserError
from dfnb.sbi import FAKES, PairDataset, SelfBlender, blend, fakes, masks
from dfnb.sbi.augment import Colour, ColourRange

STILL = ColourRange(rgb_probability=0, hsv_probability=0, brightness_probability=0)
PLAIN = SelfBlender(colour=STILL, frequency=False, hull_variation=False, ratios=(1.0,))
CROP = np.array([400.0, 480.0])


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([7, *key])


def target_of(rgb: np.ndarray, points: np.ndarray, other: SimpleNamespace | None = None) -> fakes.Target:
    face = other or SimpleNamespace(rgb=picture(seed=5), landmarks=landmarks(190, (195, 190), 0.1))
    return fakes.Target(rgb, points, CROP, lambda _: face)


def made(kind: str, seed: int, blender: SelfBlender = PLAIN, **target) -> blend.Blended:
    rgb, points = target.pop("rgb", picture()), target.pop("points", landmarks())
    return FAKES[kind](target_of(rgb, points, **target), blender.draw(rng(seed)), blender.edgeless, rng(seed, 1))


@pytest.mark.parametrize("kind", FAKES)
@pytest.mark.parametrize("seed", range(4))
def test_real_is_the_target_and_the_fake_differs_in_the_window_alone(kind, seed):
    rgb = picture()
    before = rgb.copy()
    pair = made(kind, seed, SelfBlender(colour=ColourRange(rgb_probability=1.0)), rgb=rgb)
    again = made(kind, seed, SelfBlender(colour=ColourRange(rgb_probability=1.0)), rgb=rgb)
    assert np.array_equal(pair.fake, again.fake)
    assert np.array_equal(rgb, before)
    x0, y0, x1, y1 = pair.window
    assert pair.mask.shape == (y1 - y0, x1 - x0)
    assert 0 <= pair.mask.min() <= pair.mask.max() <= 1
    outside = np.ones(rgb.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    assert np.array_equal(pair.real[outside], pair.fake[outside])
    assert np.abs(pair.fake.astype(int) - pair.real).max() > 3
    assert pair.real.dtype == pair.fake.dtype == np.uint8


def test_poisson_blending_solves_its_equation():
    """Laplacian of the result = Laplacian of the source inside, against OpenCV's own discrete operator."""
    # smooth pictures, so that rounding to levels is the only error
    rgb, other = (cv2.GaussianBlur(picture(seed=k), (0, 0), 9) for k in (1, 2))
    draw = PLAIN.draw(rng(3))
    work = blend.prepare(rgb, landmarks(), draw, CROP)
    x0, y0, x1, y1 = work.window
    source = other[y0:y1, x0:x1]
    pair = fakes._cloned(source, rgb, work, 1.0)
    inside = cv2.erode((work.mask > 0.5).astype(np.uint8), np.ones((13, 13), np.uint8)).astype(bool)
    got, want = (
        cv2.GaussianBlur(cv2.Laplacian(part.astype(np.float32), cv2.CV_32F), (0, 0), 3)
        for part in (pair.fake[y0:y1, x0:x1], source)
    )
    assert inside.sum() > 5000
    assert np.abs(got - want)[inside].mean() < 0.25 * np.abs(want)[inside].mean()
    edge = pair.fake[y0:y1, x0:x1].astype(int) - rgb[y0:y1, x0:x1]
    assert np.abs(np.concatenate([edge[0], edge[-1], edge[:, 0], edge[:, -1]])).max() <= 12


def test_poisson_blending_ignores_a_shift_in_colour_and_leaves_equal_pictures_alone():
    rgb = np.clip(picture(), 40, 200)
    draw = PLAIN.draw(rng(3))
    work = blend.prepare(rgb, landmarks(), draw, CROP)
    x0, y0, x1, y1 = work.window
    part = np.ascontiguousarray(rgb[y0:y1, x0:x1])
    same = fakes._cloned(part, rgb, work, 1.0)
    assert np.abs(same.fake.astype(int) - rgb).mean() < 1.0
    moved = cv2.GaussianBlur(part, (0, 0), 2)
    a, b = (fakes._cloned(cv2.add(moved, np.full_like(moved, k)), rgb, work, 1.0).fake.astype(int) for k in (0, 30))
    assert np.abs(a - b).mean() < 0.3 < np.abs(a - rgb).mean()


def test_another_face_is_laid_onto_the_landmarks():
    """The other face is the target seen through an affine map, so it comes back as it was."""
    rgb, points = picture(), landmarks()
    matrix = np.array([[0.9, -0.2, 40.0], [0.15, 1.05, -30.0]])
    seen = cv2.warpAffine(rgb, matrix, (500, 500), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    other = SimpleNamespace(rgb=seen, landmarks=(points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32))
    smooth = cv2.GaussianBlur(rgb, (0, 0), 3)
    other.rgb = cv2.GaussianBlur(other.rgb, (0, 0), 3)
    pair = made("other-face", 2, rgb=smooth, other=other)
    assert np.abs(pair.fake.astype(int) - smooth).mean() < 1.5
    unlike = made("other-face", 2, rgb=smooth, other=SimpleNamespace(rgb=picture(seed=9), landmarks=points))
    assert np.abs(unlike.fake.astype(int) - smooth).mean() > 3


def test_a_large_face_is_shrunk_by_area_before_it_is_laid_onto_a_small_one():
    fine = np.indices((900, 900)).sum(0) % 2 * 255  # a checkerboard, whose mean is grey
    rgb = np.repeat(fine[..., None], 3, 2).astype(np.uint8)
    points = landmarks(800, (450, 420))
    laid = fakes._laid_onto(rgb, points, landmarks(100, (60, 60)), (120, 130))
    assert np.abs(laid[20:100, 20:100].astype(int) - 127).max() <= 12


def test_colours_are_matched_under_the_mask():
    source, target = picture(120, 100, seed=1), np.clip(picture(120, 100, seed=2) * 0.5 + 30, 0, 255).astype(np.uint8)
    mask = np.zeros((120, 100), np.float32)
    mask[20:90, 30:80] = 1
    matched = fakes._colours_matched(source, target, mask)
    lab = [cv2.cvtColor(p, cv2.COLOR_RGB2LAB)[20:90, 30:80].reshape(-1, 3).astype(float) for p in (matched, target)]
    assert np.abs(lab[0].mean(0) - lab[1].mean(0)).max() < 3
    assert np.abs(lab[0].std(0) / lab[1].std(0) - 1).max() < 0.25


def test_a_change_without_an_edge_fades_out_slowly():
    steepest = []
    for seed in range(12):
        pair = made("edgeless", seed)
        dy, dx = np.gradient(pair.mask)
        steepest.append(float(np.hypot(dx, dy).max()) * masks.width(masks.polygon(landmarks(), "whole")))
        changed = np.abs(pair.fake.astype(float) - pair.real).mean(2)
        centre = changed[150:260, 150:250].mean()
        assert centre > 0.5
        assert changed[:20].max() <= 2
    assert max(steepest) < 8  # the mask takes an eighth of the face's width at least; that of self-blending is narrower


def test_every_change_without_an_edge_is_drawn():
    texture = picture()
    detail = []
    for seed in range(40):
        pair = made("edgeless", seed, rgb=texture)
        part = (slice(150, 260), slice(150, 250))
        sharp = [float(cv2.Laplacian(p[part], cv2.CV_32F).std()) for p in (pair.fake, pair.real)]
        detail.append(sharp[0] / sharp[1])
    assert min(detail) < 0.7
    assert max(detail) > 1.3
    assert any(0.75 < d < 1.05 for d in detail)


@pytest.mark.parametrize("shift", [(0, 0), (30, -12)])
@pytest.mark.parametrize("scale", [0.3, 1, 4])
def test_the_shape_of_a_face_knows_neither_place_nor_size(shift, scale):
    shape = fakes.shape_of(landmarks())
    assert np.allclose(fakes.shape_of(landmarks() * scale + shift), shape, atol=1e-4)
    assert abs(shape.mean()) < 1e-5
    assert np.isclose((shape**2).mean(), 1, atol=1e-5)
    assert not np.allclose(fakes.shape_of(landmarks(angle=0.2)), shape, atol=1e-2)


# ---- in a dataset ----


class People(DrawnFaces):
    """Drawn faces of several people, their landmarks unlike."""

    def __init__(self, count: int, people: int) -> None:
        super().__init__(count, seed=3)
        turned = [landmarks(80, (60, 60), 0.02 * k) for k in range(count)]
        for face, points in zip(self.faces, turned, strict=True):
            face.landmarks = points
        self.landmarks = np.stack(turned)
        self.manifest["group"] = [f"person {k % people}" for k in range(count)]


def test_the_most_similar_face_of_another_person_is_taken():
    store = People(12, 3)
    pairs = PairDataset(store, size=64, blender=SelfBlender(candidates=1000))
    for i in range(12):
        found = pairs._another(i, store.landmarks[i], rng(i))
        others = [k for k in range(12) if k % 3 != i % 3]
        distance = [
            np.square(fakes.shape_of(store.landmarks[k]) - fakes.shape_of(store.landmarks[i])).sum() for k in others
        ]
        assert found is store.faces[others[int(np.argmin(distance))]]


def test_few_candidates_are_drawn_among_all_and_are_never_the_same_person():
    store = People(12, 3)
    pairs = PairDataset(store, size=64, blender=SelfBlender(candidates=2))
    drawn = {id(pairs._another(0, store.landmarks[0], rng(k))) for k in range(200)}
    assert drawn == {id(store.faces[k]) for k in range(12) if k % 3}


def test_one_person_alone_gives_no_other_face():
    store = People(4, 1)
    pairs = PairDataset(store, size=64, blender=SelfBlender(fakes=(("other-face", 1.0),)))
    with pytest.raises(UserError, match="drawn 2, frame 0: there is no face of another person"):
        pairs[0, 2]


def test_kinds_come_by_their_shares_and_change_nothing_else():
    shares = (("self-blended", 0.4), ("other-face", 0.3), ("edgeless", 0.2), ("poisson", 0.1))
    store = People(6, 6)
    mixed, alone = (PairDataset(store, size=48, blender=SelfBlender(fakes=f)) for f in (shares, shares[:1]))
    kinds = [replace(SelfBlender(), fakes=shares).kind(rng(1, k)) for k in range(4000)]
    counts = [kinds.count(kind) for kind, _ in shares]
    assert stats.chisquare(counts, [4000 * share for _, share in shares]).pvalue > 1e-4
    same = 0
    for epoch in range(30):
        a, b = mixed.images((epoch, 1)), alone.images((epoch, 1))
        assert a.real.shape == b.real.shape
        same += np.array_equal(a.fake, b.fake) and np.array_equal(a.real, b.real)
    assert 4 <= same <= 22  # the share of self-blended ones
    for kind in FAKES:
        fixed = [mixed.images((0, 0), kind).fake for _ in range(2)]
        assert np.array_equal(*fixed)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"fakes": (("drawn", 1.0),)}, "fakes: 'drawn' is unknown; there are self-blended, poisson"),
        ({"fakes": ()}, "fakes: shares must not be negative nor all zero"),
        ({"candidates": 0}, "candidates: at least one"),
    ],
)
def test_settings_out_of_range_are_named(wrong, line):
    with pytest.raises(UserError, match=line):
        SelfBlender(**wrong)


@pytest.mark.parametrize("wrong", [{"resample": (0.0, 1.0)}, {"fade": (40.0, 30.0)}, {"sharpen": (0.0, 99.0)}])
def test_strengths_without_an_edge_out_of_range_are_named(wrong):
    with pytest.raises(UserError, match=f"{next(iter(wrong))}: give a lowest and a highest value"):
        fakes.Edgeless(**wrong)


def test_a_still_colour_is_none():
    assert STILL.draw(rng(0)).matrix().tolist() == Colour().matrix().tolist()
