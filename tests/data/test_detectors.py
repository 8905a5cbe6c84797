"""dlib's two detectors: boxes of one convention, the model's hash."""

import cv2
import numpy as np
import pytest
from rendered_heads import rendered_heads

from dfnb.benchmark import vertices
from dfnb.common.errors import UserError
from dfnb.data import detectors, faces


@pytest.fixture(scope="module")
def heads() -> list[tuple[np.ndarray, np.ndarray]]:
    """Six people: a picture of 240 px each, and the true landmarks on it."""
    small = []
    for frame in rendered_heads(6, seed=5):
        rgb = cv2.resize(frame.rgb, (240, 240), interpolation=cv2.INTER_AREA)
        small.append((rgb, frame.points[0][vertices.landmarks()] * 0.75))
    return small


def test_boxes_of_both_detectors_are_alike_and_so_are_landmarks(heads):
    """On average: a single box may be off by a step of the network's pyramid. Landmarks are as near to the truth."""
    apart, errors = [], {"hog": [], "cnn": []}
    for rgb, true in heads:
        (hog,), (cnn,) = detectors.hog(rgb), detectors.cnn(rgb)
        difference = (np.array(cnn[0]) - hog[0]) / (hog[0][2] - hog[0][0])
        apart.append([difference[[0, 2]].mean(), difference[[1, 3]].mean(), difference[2] - difference[0]])
        for name in errors:
            (face,) = faces.FaceFinder(name, retry=0)(rgb)
            eyes = np.linalg.norm(true[36:42].mean(0) - true[42:48].mean(0))
            errors[name].append(np.linalg.norm(face.landmarks - true, axis=1).mean() / eyes)
    right, down, wider = np.mean(apart, 0)
    assert abs(right) < 0.1
    assert abs(down) < 0.05
    assert abs(wider) < 0.15
    assert np.mean(errors["cnn"]) < 1.1 * np.mean(errors["hog"]) < 0.12


def test_the_network_finds_a_face_that_lies_on_its_side(heads):
    turn = cv2.getRotationMatrix2D((120, 120), 70, 1)
    lying = [cv2.warpAffine(rgb, turn, (240, 240), borderMode=cv2.BORDER_REPLICATE) for rgb, _ in heads]
    assert sum(len(faces.FaceFinder(retry=0)(rgb)) for rgb in lying) == 0
    assert sum(len(faces.FaceFinder("cnn", retry=0)(rgb)) for rgb in lying) >= 4
    assert detectors.cnn(np.full((120, 120, 3), 90, np.uint8)) == []


def test_the_networks_file_is_dlibs_own(monkeypatch):
    assert detectors.cnn_model().name == detectors.CNN_FILE
    monkeypatch.setattr(detectors, "CNN_SHA256", "0" * 64)
    with pytest.raises(UserError, match=r"not dlib's mmod_human_face_detector\.dat .*000"):
        detectors.cnn_model()
    monkeypatch.setattr(detectors, "CNN_FILE", "none.dat")
    with pytest.raises(UserError, match=r"none\.dat is missing: `pip install"):
        detectors.cnn_model()
