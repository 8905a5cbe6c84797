"""When a network can't tell: each limit by itself, what is measured against other definitions, and what users see."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn_faces import picture
from scipy.ndimage import laplace

from dfnb.common.errors import UserError
from dfnb.own_video import answer, doubts
from dfnb.scoring import real_people


def faces(count: int = 8, side: float = 200.0, sharp: float = 0.5, distance: float = 0.5) -> pd.DataFrame:
    box = {"x0": 10.0, "y0": 10.0, "x1": 10 + side, "y1": 10 + side}
    return pd.DataFrame([{**box, "sharpness": sharp, "distance": distance}] * count)


def test_each_limit_has_its_own_reason_and_good_faces_have_none():
    good = {"codec": "h264", "quantiser": {"mean": 20.0}}
    assert doubts.reasons(faces(), True, good) == []
    for table, about, words in (
        (faces(count=2), good, "seen in 2 of the frames looked at; 5 are needed"),
        (faces(side=12), good, "12 px in size"),
        (faces(sharp=0.001), good, "too blurred: its sharpness is 0.001"),
        (faces(), {"codec": "h264", "quantiser": {"mean": 47.0}}, "compressed too strongly: quantiser 47"),
        (faces(distance=1.7), good, "1.7 times as far"),
    ):
        (reason,) = doubts.reasons(table, True, about)
        assert words in reason


def test_what_is_not_known_is_no_reason():
    unknown = faces(distance=np.nan)
    for about in ({}, {"codec": "vp9", "quantiser": {"mean": 200.0}}, {"codec": "h264", "quantiser": None}):
        assert doubts.reasons(unknown, True, about) == []
    assert doubts.reasons(faces(count=1), False, {}) == []  # an image has one frame


def test_limits_can_be_changed_and_wrong_ones_are_named():
    assert doubts.limits(["pixels=64", "frames=1"]) == doubts.Limits(frames=1, pixels=64)
    assert doubts.reasons(faces(count=1, side=80), True, {}, doubts.limits(["frames=1", "pixels=90"])) == [
        "The face is 80 px in size; 90 px are needed."
    ]
    for wrong in ("pixels", "pixels=", "pixels=-1", "pixels=nan", "size=3"):
        with pytest.raises(UserError, match=r"--limit .*NAME=NUMBER.*pixels"):
            doubts.limits([wrong])


def test_limits_are_those_of_the_published_table():
    """Where the AUC on forgeries of genuine faces falls below 0.6, between two levels."""
    table = pd.read_csv(Path(__file__).parents[2] / "figures" / "genuine-limits.csv")
    table = table[table["kind"] == "our forgeries"]
    clean = table[table["quality"] == "as they are"]
    for quality, column, limit in (
        ("face size", "pixels", doubts.Limits().pixels),
        ("blur", "sharpness", doubts.Limits().sharpness),
        ("H.264", "level", doubts.Limits().quantiser),
    ):
        rows = pd.concat([clean, table[table["quality"] == quality]])
        worse = int(np.argmax(rows["auc"] < 0.6))
        assert worse > 0, quality
        around = rows.iloc[[worse, worse - 1]]
        assert limit == pytest.approx(np.interp(0.6, around["auc"], around[column]), rel=0.02), quality


def test_sharpness_is_scipys_laplacian_falls_with_blur_and_not_with_light():
    rgb = picture(128, 128)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(float)
    expected = np.abs(laplace(grey)[1:-1, 1:-1]).mean() / grey.std()
    assert doubts.sharpness(rgb) == pytest.approx(expected, rel=0.02)  # but for the border
    blurred = [doubts.sharpness(cv2.GaussianBlur(rgb, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)]
    assert (np.diff(blurred) < 0).all()
    dark = np.rint(rgb * 0.5 + 10).astype(np.uint8)
    assert doubts.sharpness(dark) == pytest.approx(doubts.sharpness(rgb), rel=0.05)
    assert doubts.sharpness(np.full((16, 16, 3), 7, np.uint8)) == 0


def test_an_answer_places_people_among_the_held_out_and_says_where_they_were_images(monkeypatch, tmp_path):
    held_out = {"image": np.linspace(0, 1, 40).tolist(), "video": []}
    detector = SimpleNamespace(real_people=held_out, warning=None)
    for name, rough in (("a.mp4", True), ("a.JPG", False)):
        found = answer.Answer(detector, tmp_path / name, None, 25.0)
        text = found._standing(0.9)
        assert text.startswith("a score higher than 90 % of the 40 real people")
        assert ("rough guide" in text) == rough
    detector.warning = answer.EMBEDDED
    assert "40 rendered heads" in found._standing(0.9)
    detector.real_people = {}
    assert f"fewer than {real_people.FEWEST} real people" in found._standing(0.9)
