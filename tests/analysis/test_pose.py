"""Head pose against points turned by scipy's rotations, and against rendered heads of known pose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dfnb.analysis import pose

angles = st.floats(-40, 40)


def projected(yaw: float, pitch: float, roll: float, height: int = 400, width: int = 600) -> np.ndarray:
    """The mean head, turned by scipy, before a pinhole camera."""
    model = (pose.HEAD - pose.HEAD.mean(0)) * (1, -1, -1)
    # nodding down lowers the nose: about x, negative for a nose that points to -z
    turn = Rotation.from_euler("YXZ", [-yaw, pitch, roll], degrees=True)
    seen = turn.apply(model) + np.array([120, -40, 900])
    focal = 0.5 * height / np.tan(np.radians(15))
    marks = np.full((68, 2), np.nan)
    marks[list(pose.POINTS)] = focal * seen[:, :2] / seen[:, 2:] + ((width - 1) / 2, (height - 1) / 2)
    return marks


@given(angles, angles, angles)
@settings(max_examples=50, deadline=None)
def test_known_yaw_and_pitch_are_found_whatever_the_roll(yaw, pitch, roll):
    got = pose.yaw_pitch(projected(yaw, pitch, roll), 400, 600)
    np.testing.assert_allclose(got, (yaw, pitch), atol=0.2)


def test_rendered_heads_have_the_pose_they_were_given():
    pytest.importorskip("warp")
    from dfnb.benchmark import heads, scene, vertices
    from dfnb.data.faces import FaceFinder

    rng, renderer, finder = np.random.default_rng(3), heads.Renderer(threads=1), FaceFinder()
    wanted, by_points, by_landmarks = [], [], []
    for yaw, pitch, roll in [(0, 0, 0), (20, 0, 0), (-20, 0, 0), (0, 10, 0), (0, -10, 0), (15, 5, 8), (-10, -5, -8)]:
        posed = heads.Pose(yaw=np.radians(yaw), pitch=np.radians(pitch), roll=np.radians(roll), size=0.55)
        frame = renderer.render([(heads.Person.draw(rng), posed)], scene.draw_scene(rng), 320, 320)
        wanted.append((yaw, pitch))
        by_points.append(pose.yaw_pitch(frame.points[0][vertices.landmarks()], 320, 320))
        by_landmarks.append(pose.yaw_pitch(finder(frame.rgb)[0].landmarks, 320, 320))
    wanted = np.array(wanted, float)
    for found, most in ((np.array(by_points), 7), (np.array(by_landmarks), 12)):
        error = found - wanted
        error[:, 1] -= error[:, 1].mean()  # noses of different people point up or down
        assert np.abs(error).mean() < most / 2
        assert np.abs(error[:, 0]).max() < most
        assert np.corrcoef(found[:, 0], wanted[:, 0])[0, 1] > 0.95


def test_many_faces_are_measured_one_by_one():
    marks = np.stack([projected(10, 0, 0), projected(-10, 5, 0)])
    got = pose.angles(marks, np.array([400, 400]), np.array([600, 600]))
    np.testing.assert_allclose(got, [[10, 0], [-10, 5]], atol=0.2)
    assert pose.angles(marks[:0], np.array([], int), np.array([], int)).shape == (0, 2)
