"""Drawn heads: deterministic, with truths that agree with dlib and with anny, found by the detector the report uses."""

from pathlib import Path

import dlib
import numpy as np
import pytest

from dfnb.benchmark import anatomy, heads, person, scene, vertices


@pytest.fixture(scope="module")
def renderer() -> heads.Renderer:
    return heads.Renderer()


@pytest.fixture(scope="module")
def dlib_models():
    folder = pytest.importorskip("face_recognition_models", reason="no landmark model installed").__file__
    path = Path(folder).parent / "models" / "shape_predictor_68_face_landmarks.dat"
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(path))


def draw(seed: int, frames: int = 12):
    rng = np.random.default_rng(seed)
    return heads.Person.draw(rng), scene.draw_scene(rng), scene.draw_motion(rng, frames, 10.0)


def test_same_seed_same_pixels_whatever_was_drawn_before(renderer):
    who, where, motion = draw(3)
    other, elsewhere, _ = draw(4)
    first = renderer.render([(who, motion[2])], where, 160, 192)
    renderer.render([(other, scene.Pose())], elsewhere, 160, 192)
    again, where2, motion2 = draw(3)
    second = heads.Renderer().render([(again, motion2[2])], where2, 160, 192)
    for name in ("rgb", "region", "person", "points", "visible"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.rgb.std() > 20
    assert not np.array_equal(renderer.render([(who, motion[9])], where, 160, 192).rgb, first.rgb)


def test_shapes_types_and_constants(renderer):
    who, where, _ = draw(5)
    frame = renderer.render([(who, scene.Pose())], where, 120, 200)
    count = anatomy.load().skin_count
    assert frame.rgb.shape == (120, 200, 3)
    assert frame.rgb.dtype == np.uint8
    assert frame.region.shape == (120, 200)
    assert frame.region.dtype == np.uint8
    assert frame.person.shape == (120, 200)
    assert frame.person.dtype == np.int8
    assert frame.points.shape == (1, count, 2)
    assert frame.points.dtype == np.float32
    assert frame.visible.shape == (1, count)
    assert frame.visible.dtype == bool
    assert set(np.unique(frame.region)) <= set(heads.Region)
    assert ((frame.region == 0) == (frame.person < 0)).all()
    assert vertices.landmarks().shape == (68,)
    assert vertices.skin_triangles().max() < count
    inner, face, mouth = (set(v().tolist()) for v in (vertices.inner_face, vertices.face, vertices.mouth))
    assert mouth < face
    assert inner < face
    assert len(inner) > 300


def test_pose_places_sizes_and_turns_the_face(renderer):
    who, where, _ = draw(6)
    marks = vertices.landmarks()

    def at(**pose):
        return renderer.render([(who, scene.Pose(**pose))], where, 240, 320).points[0][marks]

    still = at(size=0.4)
    moved = at(size=0.4, x=0.1, y=-0.05)
    np.testing.assert_allclose((moved - still).mean(0), [24, -12], atol=1.5)
    big = at(size=0.6)
    assert np.ptp(big[:, 1]) / np.ptp(still[:, 1]) == pytest.approx(1.5, abs=0.06)
    turned = at(size=0.4, yaw=0.4)
    before, after = (marks[30, 0] - marks[[0, 16], 0].mean() for marks in (still, turned))
    assert after > before + 5  # turning to the person's left moves the nose to the picture's right
    assert at(size=0.4, pitch=0.2)[30, 1] > still[30, 1] + 1  # nodding lowers the nose
    rolled = at(size=0.4, roll=0.15)
    tilt = np.arctan2(*(rolled[45] - rolled[36])[::-1]) - np.arctan2(*(still[45] - still[36])[::-1])
    assert tilt == pytest.approx(0.15, abs=0.03)
    opened = at(size=0.4, actions={"jawOpen": 0.8})
    assert (opened[66] - opened[62])[1] > (still[66] - still[62])[1] + 5


def test_visible_points_fall_on_their_own_person(renderer):
    people = [draw(seed) for seed in (7, 8)]
    where = people[0][1]
    poses = [scene.Pose(x=-0.4, size=0.35, yaw=0.2), scene.Pose(x=0.4, size=0.3, yaw=-0.3)]
    pairs = [(p[0], pose) for p, pose in zip(people, poses, strict=True)]
    frame = renderer.render(pairs, where, 270, 480)
    assert set(np.unique(frame.person)) == {-1, 0, 1}
    seen = [getattr(heads.Region, name) for name in ("SKIN", "EAR", "NECK", "LIP", "BROW", "HAIR")]
    skin = np.isin(frame.region, seen)
    for i in range(2):
        pixels = frame.points[i][frame.visible[i]].astype(int)
        inside = (pixels >= 0).all(1) & (pixels < [480, 270]).all(1)
        x, y = pixels[inside].T
        assert (frame.person[y, x] == i).mean() > 0.97
        assert skin[y, x].mean() > 0.95
        assert 0.3 < frame.visible[i].mean() < 0.9
        hidden = frame.points[i][vertices.face()]
        assert hidden[:, 0].mean() == pytest.approx(240 + 270 * poses[i].x, abs=12)
    lips = frame.points[0][vertices.landmarks()[[50, 52, 57]]].astype(int)
    around = [frame.region[y - 2 : y + 3, x - 2 : x + 3] for x, y in lips]
    assert all((r == heads.Region.LIP).any() for r in around)


def test_detector_finds_the_faces_and_its_landmarks_agree(renderer, dlib_models):
    detector, predictor = dlib_models
    errors, missed, total = [], 0, 60
    for seed in range(15):
        who, where, motion = draw(100 + seed, 20)
        for pose in motion[1::5]:
            frame = renderer.render([(who, pose)], where, 320, 320)
            true = frame.points[0][vertices.landmarks()]
            found = [predictor(frame.rgb, box) for box in detector(frame.rgb, 0)]
            distance = [np.linalg.norm([(q.x, q.y) for q in m.parts()] - true, axis=1) for m in found]
            distance = [d for d in distance if d.mean() < 16]
            missed += not distance
            errors += distance[:1]
    assert missed <= 0.03 * total + 1
    errors = np.array(errors)
    assert errors[:, 17:].mean() < 5.0  # pixels, for faces of about 170
    assert errors.mean() < 6.5


def test_motion_is_smooth_and_within_bounds():
    for seed in range(20):
        motion = scene.draw_motion(np.random.default_rng(seed), 90, 30.0)
        angles = np.degrees([[p.yaw, p.pitch, p.roll] for p in motion])
        assert (np.abs(angles) <= [25, 12, 8]).all()
        assert np.abs(np.diff(angles, axis=0)).max() < 2.5
        values = np.array([list(p.actions.values()) for p in motion])
        assert values.min() >= 0
        assert values.max() <= 1
        assert np.abs(np.diff([p.size for p in motion])).max() < 0.01
    assert scene.draw_motion(np.random.default_rng(1), 5, 30.0) == scene.draw_motion(np.random.default_rng(1), 5, 30.0)


def test_people_differ_widely():
    people = [heads.Person.draw(np.random.default_rng(i)) for i in range(200)]
    assert min(p.age for p in people) < 21
    assert max(p.age for p in people) > 68
    light = [sum(p.skin) for p in people]
    assert max(light) > 5 * min(light)
    assert len({p.hair for p in people}) >= 10
    assert len({p.beard for p in people}) == 5
    assert len({p.key for p in people}) == 200
    assert 0.35 < np.mean([p.female for p in people]) < 0.65


@pytest.mark.slow
def test_shapes_agree_with_the_anny_package():
    """Our interpolation and vertex selection against anny's own forward pass (which takes a minute to build)."""
    anny = pytest.importorskip("anny")
    model = anny.Anny(rig="makehuman", topology="makehuman", local_changes="all", facial_actions="all")
    a = anatomy.load()
    phenotypes = {"gender": 0.8, "age": 2 / 3 + 0.4 / 3, "muscle": 0.6, "weight": 0.4}
    # the default model fixes the three ancestries at a third each
    weights = person.phenotype_weights(0.8, 0.4, 0.6, 0.4, np.full(3, 1 / 3))
    weights |= {"local:nose/nose-hump-incr": 0.7, "action:jawOpen": 0.5}
    theirs = model(
        phenotype_kwargs=phenotypes, local_changes_kwargs={"nose-hump-incr": 0.7}, facial_actions={"jawOpen": 0.5}
    )["rest_vertices"][0].numpy()[a.source]
    index = {n: i for i, n in enumerate(a.names)}
    ours = a.template + sum(w * a.shapes[index[n]] for n, w in weights.items())
    still = np.abs(a.template[:, 0]) < 1.3  # our arms hang lower
    theirs = 10 * np.stack([theirs[:, 0], theirs[:, 2], -theirs[:, 1]], 1)  # metres, z up -> decimetres, y up
    np.testing.assert_allclose(ours[still], theirs[still], atol=2e-3)
