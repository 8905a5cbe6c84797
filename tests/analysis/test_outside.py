"""What a small network finds outside the blending mask: nothing in our pairs, and what was put there on purpose."""

import cv2
import numpy as np
import pandas as pd
import pytest
from faces_in_memory import DrawnFaces

from dfnb.analysis import outside
from dfnb.sbi import PairDataset, SelfBlender
from dfnb.sbi.degrade import Degradation


def noise(count: int, leaks: bool) -> outside.Views:
    """Pictures of noise with a black square; where it leaks, all around it was saved as JPEG once more in the fake."""
    rng = np.random.default_rng(0)
    real = cv2.GaussianBlur(rng.normal(128, 60, (64 * count, 64, 3)), (0, 0), 1.5).reshape(count, 64, 64, 3)
    real = np.clip(real, 0, 255).astype(np.uint8)
    fake = real.copy()
    if leaks:
        for k, image in enumerate(real):
            fake[k] = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    for images in (real, fake):
        images[:, 16:48, 16:48] = 0
    return outside.Views(real, fake, np.array([f"p{k}" for k in range(count)]))


def test_a_second_compression_is_found_and_where_there_is_none_nothing_is():
    assert outside.leak(noise(120, True)).low > 0.8
    alike = outside.leak(noise(120, False))
    assert alike.value == pytest.approx(0.5, abs=0.01)
    assert alike.low < 0.5 < alike.high


def drawn(count: int) -> DrawnFaces:
    """Faces of as many people."""
    faces = DrawnFaces(count, seed=0)
    faces.manifest["group"] = [f"p{k}" for k in range(count)]
    return faces


def test_views_are_the_pixels_of_one_side_of_the_mask():
    pairs = PairDataset(drawn(12), size=64, train=True)
    seen, planted, within = outside.views(pairs, 4).values()
    assert (seen.real == planted.real).all()
    assert (seen.fake != planted.fake).any()
    for i, row in enumerate((0, 4, 7, 11)):
        pair = pairs.images((0, row))
        assert (seen.real[i] + within.real[i] == pair.real).all()
        assert (seen.fake[i][pair.blend > 0] == 0).all()
        assert (within.fake[i][pair.blend == 0] == 0).all()
    assert seen.faces.tolist() == ["p0", "p4", "p7", "p11"]


def test_a_person_is_on_one_side_of_the_split_and_few_people_are_refused():
    few = noise(20, True)._replace(faces=np.repeat([f"p{k}" for k in range(5)], 4))
    with pytest.raises(ValueError, match="5 people are too few"):
        outside.leak(few)
    nothing = outside.table(PairDataset(drawn(9), size=64, train=True))
    assert nothing.empty
    assert "fewer than 10 people" in outside.finding(nothing)


def found(here: float, planted: float, within: float) -> pd.DataFrame:
    """A table with these AUCs, each 0.04 above the lower end of its interval."""
    seen = {outside.OUTSIDE: here, outside.PLANTED: planted, outside.INSIDE: within}
    rows = [{"seen": name, "auc": auc, "low": auc - 0.04, "high": auc + 0.04} for name, auc in seen.items()]
    return pd.DataFrame(rows).assign(pairs=600, people=200)


def test_words_follow_the_intervals():
    table = found(0.51, 0.9, 0.6)
    assert outside.readable(table)["AUC (95 %)"].tolist()[0] == "0.510 (0.470 to 0.550)"
    assert "nothing that this network could find leaks**. It does find the planted leak (0.900)." in outside.finding(
        table
    )
    assert "Inside the mask it finds nothing (0.520)" in outside.finding(found(0.51, 0.9, 0.52))
    assert "something of the fake leaks" in outside.finding(found(0.6, 0.9, 0.6))
    assert "this shows nothing" in outside.finding(found(0.51, 0.52, 0.6))


def test_drawn_faces_leak_nothing_through_augmentation_and_compression():
    blender = SelfBlender(degradation=Degradation(h264_probability=0.5))
    pairs = PairDataset(drawn(60), size=64, train=True, blender=blender)
    assert outside.leak(outside.views(pairs, 60)[outside.OUTSIDE]).low < 0.6
