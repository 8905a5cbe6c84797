"""The one genuine face that is always there: found offline, where other finders see it, and blended as any other."""

import hashlib
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from faces_in_memory import DrawnFaces
from skimage import data, feature

from dfnb import networks
from dfnb.analysis import astronaut, attention_maps
from dfnb.data import StoredFace, faces
from dfnb.sbi import FAKES, PairDataset, SelfBlender, augment, masks
from dfnb.scoring import score

PIXELS = "a8c429c18afa7b0fd5673e598d73a21225d94c864a71bbb3885126fdecb41071"  # SHA-256, row by row
LOADED = """
import hashlib, socket, sys

def refuse(*_, **__):
    raise OSError("no network here")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
sys.modules["pooch"] = None  # as where it isn't installed: it downloads what scikit-image's wheel doesn't hold
from dfnb.analysis import astronaut
print(hashlib.sha256(astronaut.picture().tobytes()).hexdigest())
"""


class Store(DrawnFaces):
    """Drawn faces, each of another person, with what else is read of a store."""

    def __init__(self, count: int) -> None:
        super().__init__(count, seed=3)
        self.manifest["group"] = [f"person {k}" for k in range(count)]
        self.landmarks = np.stack([face.landmarks for face in self.faces])
        self.root = "drawn"


@pytest.fixture(scope="module")
def face() -> StoredFace:
    return astronaut.face()


def whole(face: StoredFace) -> np.ndarray:
    """The landmarks in pixels of the whole photograph."""
    return face.landmarks + np.float32((face.row["crop_x"], face.row["crop_y"]))


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([19, *key])


def test_the_picture_is_the_installed_one_and_needs_no_network(tmp_path):
    empty = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "SKIMAGE_DATADIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, env=empty)
    assert done.stdout.strip() == PIXELS == hashlib.sha256(astronaut.picture().tobytes()).hexdigest()


def test_her_face_lies_where_other_finders_see_it(face):
    """scikit-image's cascade of local binary patterns for the face, OpenCV's of Haar features for the eyes."""
    rgb = astronaut.picture()
    cascade = feature.Cascade(data.lbp_frontal_face_cascade_filename())
    (seen,) = cascade.detect_multi_scale(rgb, 1.2, 1, (60, 60), (200, 200))
    box = (seen["c"], seen["r"], seen["c"] + seen["width"], seen["r"] + seen["height"])
    assert faces.overlap(tuple(face.row[name] for name in ("x0", "y0", "x1", "y1")), box) > 0.5
    points = whole(face)
    x0, y0, x1, y1 = box
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[y0 : (y0 + y1) // 2, x0:x1]
    eyes = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_eye.xml").detectMultiScale(grey, 1.05, 5)
    centres = sorted((x0 + left + width / 2, y0 + top + height / 2) for left, top, width, height in eyes)
    assert len(centres) == 2
    for centre, ours in zip(centres, (points[36:42].mean(0), points[42:48].mean(0)), strict=True):
        assert np.hypot(*(ours - centre)) < 6  # of 93 px between the jaw's ends


def test_her_landmarks_stay_where_they_were_found(face):
    """Jaw's ends, chin, nose's tip, outer corners of the eyes, corners of the mouth, in pixels of the photograph."""
    points = whole(face)
    golden = [(179, 104), (272, 108), (221, 178), (225, 127), (195, 101), (255, 104), (201, 140), (245, 141)]
    assert np.abs(points[[0, 16, 8, 30, 36, 45, 48, 54]] - golden).max() <= 1
    assert face.rgb.shape == (218, 160, 3)
    x, y = face.row["crop_x"], face.row["crop_y"]
    assert np.array_equal(face.rgb, astronaut.picture()[y : y + 218, x : x + 160])


def test_landmarks_of_her_mirrored_face_are_the_mirrored_landmarks(face):
    image, turned = augment.mirror(astronaut.picture(), whole(face))
    found = faces.FaceFinder()(image)[0].landmarks
    distance = np.hypot(*(found - turned).T)
    assert np.median(distance) < 2
    assert distance.max() < 0.12 * (face.box[2] - face.box[0])


@pytest.mark.parametrize("hull", masks.KINDS)
def test_her_blend_differs_inside_the_mask_alone(face, hull):
    for seed in range(5):
        steps = SelfBlender().explain(face.rgb, face.landmarks, rng(seed), hull=hull)
        change = np.abs(steps.fake.astype(int) - steps.real).max(-1)
        assert change[steps.mask == 0].max() == 0
        assert change[steps.mask > 0.1].mean() > 0.1
        assert np.array_equal(steps.real, steps.target)
        if steps.draw.changed == "source":
            assert np.array_equal(steps.real, face.rgb)


def test_her_blends_are_neither_invisible_nor_crude(face):
    """As on the photographs that not everybody has: a change of 6 to 20 levels under the mask, in the median."""
    changes = []
    for seed in range(60):
        real, fake, mask = SelfBlender()(face.rgb, face.landmarks, rng(seed))
        changes.append(np.abs(real.astype(int) - fake)[mask > 0.05].mean())
    assert min(changes) > 0.2
    assert 6 < np.median(changes) < 20
    assert np.mean(np.array(changes) > 40) < 0.05


def test_she_joins_a_store_as_its_last_face_and_moves_no_other():
    pairs = PairDataset(Store(4), size=96, seed=2)
    with_her = astronaut.joined(pairs)
    assert len(with_her) == 5
    assert with_her.store.manifest["label"].eq("real").all()
    assert with_her.store.manifest["group"].iloc[-1] == "Eileen Collins"
    for kind in FAKES:
        made = with_her.images((0, 4), kind)
        assert np.abs(made.real.astype(int) - made.fake).max() > 3
        if kind != "other-face":  # whose source may be any other person
            for index in range(4):
                assert np.array_equal(pairs.images((0, index), kind).fake, with_her.images((0, index), kind).fake)
    with pytest.raises(IndexError):
        with_her.images((0, 5))


def test_a_network_sees_her_as_it_sees_a_store(face):
    net = networks.build("proposed", "arcface", "test_efficientnet", pretrained=False, seed=0).eval()
    beside = astronaut.Joined(Store(2))
    seen = attention_maps.predict(net, beside, 64)
    assert np.array_equal(seen.crops[beside.last], faces.crop(face.rgb, face.box, 0.125, 64))
    assert seen.masks[beside.last].mean() > 0.4
    with torch.inference_mode():
        logits = net(score.to_batch(seen.crops[-1:], net)).logits
    assert seen.scores[-1] == pytest.approx(float(logits.softmax(1)[0, 1]), abs=1e-5)
    plot = attention_maps.picture(seen, [beside.last, 0, 1])
    assert list(plot.numbers["video"]) == ["Eileen Collins", "0", "1"]
