"""The slow detector as a last resort, and the time it is said to take."""

import re

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rendered_heads import rendered_heads
from untrained import command

from dfnb.common.errors import UserError
from dfnb.data import detectors
from dfnb.data.faces import FaceFinder
from dfnb.own_video import finders


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder: a face upright, the same lying on its side, and nobody."""
    folder = tmp_path_factory.mktemp("pictures")
    rgb = cv2.resize(next(iter(rendered_heads(1, seed=11))).rgb, (240, 240), interpolation=cv2.INTER_AREA)
    turn = cv2.getRotationMatrix2D((120, 120), 70, 1)
    lying = cv2.warpAffine(rgb, turn, (240, 240), borderMode=cv2.BORDER_REPLICATE)
    for name, picture in (("a.png", rgb), ("b.png", lying), ("c.png", np.full_like(rgb, 90))):
        Image.fromarray(picture).save(folder / name)
    return folder


def test_the_last_resort_looks_where_the_first_finds_nothing(pictures):
    upright, lying, nobody = (np.asarray(Image.open(path)) for path in sorted(pictures.iterdir()))
    both = finders.finder("both")
    hog, cnn = FaceFinder(), FaceFinder("cnn", retry=0)
    np.testing.assert_array_equal(both(upright)[0].landmarks, hog(upright)[0].landmarks)
    assert hog(lying) == []
    np.testing.assert_array_equal(both(lying)[0].landmarks, cnn(lying)[0].landmarks)
    assert both(nobody) == []
    assert (finders.finder(), finders.finder("cnn")) == (hog, cnn)


def test_scores_with_it_and_says_the_time_first(monkeypatch, capsys, checkpoints, pictures):
    for choice, found in (("hog", 1), ("both", 2)):
        assert command(monkeypatch, checkpoints["real"], pictures, "--detector", choice, "-o", pictures / "x.csv") == 3
        assert pd.read_csv(pictures / "x.csv")["faces"].sum() == found
        (pictures / "x.csv").unlink()
        said = capsys.readouterr().err
        assert ("detector cnn" in said) == (choice == "both")
    assert re.search(r"dfnb: detector cnn: [\d.]+ s for the first frame, .* up to 3 frames without a face of 3", said)


def test_the_time_is_that_of_a_frame_times_their_number(monkeypatch, pictures):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(finders.time, "perf_counter", lambda: next(clock))
    paths = [pictures / "no such file", *sorted(pictures.iterdir())]  # a file that can't be read counts as a video
    text = finders.time_needed(finders.finder("cnn"), paths, 32)
    assert text == ("detector cnn: 2.5 s for the first frame, so about 88 s at most, for up to 35 frames of 4 files")
    assert finders.time_needed(finders.finder("hog"), paths, 32) is None
    assert finders.time_needed(finders.finder("cnn"), paths[:1], 32) is None


def test_a_wrong_model_is_named_before_the_work(monkeypatch, capsys, checkpoints, pictures):
    monkeypatch.setattr(detectors, "CNN_SHA256", "0" * 64)
    with pytest.raises(UserError, match="not dlib's"):
        finders.finder("both")
    assert command(monkeypatch, checkpoints["real"], pictures, "--detector", "cnn") == 2
    assert "not dlib's" in capsys.readouterr().err
