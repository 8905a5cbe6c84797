"""What sliders draw: what the library gives for the same settings, and what the figures without sliders show."""

from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn_faces import landmarks, picture
from sklearn.metrics import confusion_matrix, roc_curve

from dfnb import networks, scoring
from dfnb.analysis import attention_maps, exploring
from dfnb.data import catalogues, store
from dfnb.plots import pictures, style
from dfnb.report import widgets
from dfnb.sbi import SelfBlender
from dfnb.sbi.augment import Colour
from dfnb.scoring import metrics

SIDE = exploring.SIDE
VALUES = {"ratio": 0.45, "amplitude": 7.5, "soften": 3.0, "colour": -14.0}


def pixels(data: bytes) -> np.ndarray:
    """A PNG as (H, W, 3) RGB."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.fixture(scope="module")
def faces() -> list[SimpleNamespace]:
    return [SimpleNamespace(rgb=picture(420, 400, seed), landmarks=landmarks()) for seed in range(2)]


def test_the_sliders_draw_the_pair_that_self_blending_gives_for_their_values(faces):
    blender = SelfBlender()
    widget = widgets.SelfBlendSliders(faces, blender, seed=5)
    widget.face.value = 1
    for name, value in VALUES.items():
        widget.sliders[name].value = value
    drawn = pixels(widget.image.value)
    rgb, points = exploring.at_strip_size(faces[1])
    plain = {"hull": "whole", "forehead": True, "changed": "source", "factor": 1, "sharpness": 0.0}
    chosen = {name: value for name, value in VALUES.items() if name != "colour"}
    expected = blender.explain(
        rgb, points, np.random.default_rng(5), **plain, **chosen, colour=Colour(rgb=(-14.0, 0.0, 14.0))
    )
    real, fake, mask, difference = np.split(drawn, 4, axis=1)
    np.testing.assert_array_equal(real, expected.real)
    np.testing.assert_array_equal(fake, expected.fake)
    np.testing.assert_array_equal(mask[..., 0], np.rint(expected.mask * 255))
    assert difference[expected.mask == 0].max() == 0
    level = np.abs(expected.real.astype(float) - expected.fake).mean()
    assert f"{level:.2f} of 255" in widget.said.value


@pytest.mark.parametrize("name", VALUES)
def test_each_slider_changes_the_picture_and_nothing_of_the_other_choices(faces, name):
    widget = widgets.SelfBlendSliders(faces, SelfBlender(), seed=2)
    before = widget.image.value
    slider = widget.sliders[name]
    start, slider.value = slider.value, slider.min
    assert widget.image.value != before
    slider.value = start
    assert widget.image.value == before


def test_a_ratio_of_zero_leaves_the_face_as_it_was(faces):
    widget = widgets.SelfBlendSliders(faces, SelfBlender())
    widget.sliders["ratio"].value = 0.0
    real, fake, *_ = np.split(pixels(widget.image.value), 4, axis=1)
    np.testing.assert_array_equal(real, fake)


def test_a_strip_is_as_wide_whatever_the_face_so_that_sliders_stay_quick():
    large = SimpleNamespace(rgb=picture(840, 800), landmarks=landmarks(400.0, (400.0, 400.0)))
    rgb, points = exploring.at_strip_size(large)
    assert rgb.shape == (round(840 * SIDE / 800), SIDE, 3)
    np.testing.assert_allclose(points, (large.landmarks + 0.5) * SIDE / 800 - 0.5, atol=1e-3)


def test_the_figure_without_sliders_shows_the_values_training_draws(faces):
    blender = SelfBlender()
    plot = exploring.one_choice_at_a_time(faces[0], blender)
    numbers = plot.numbers.set_index("choice")
    assert numbers.loc["blend ratio", "value"].tolist() == [0.25, 0.5, 1.0]
    assert numbers.loc["edge softness, px", "value"].tolist() == [2.0, 9.0, 16.0]
    levels = numbers.loc["blend ratio", "mean_difference_levels"].tolist()
    assert levels == sorted(levels)
    colour = numbers.loc["colour shift, levels", "mean_difference_levels"].tolist()
    assert colour[1] < min(colour[0], colour[2])
    rgb, points = exploring.at_strip_size(faces[0])
    half = exploring.blend_with(rgb, points, blender, 0, ratio=0.5)
    assert levels[1] == pytest.approx(np.abs(half.real.astype(float) - half.fake).mean())


@pytest.fixture(scope="module")
def scored() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    label = np.repeat(["real", "fake"], (40, 60))
    return pd.DataFrame({"label": label, "score": np.clip(rng.normal(np.where(label == "fake", 0.6, 0.4), 0.15), 0, 1)})


def test_counts_are_those_another_library_gives(scored):
    truth = scored["label"] == "fake"
    fpr, tpr, _ = roc_curve(truth, scored["score"], drop_intermediate=False)
    for threshold in (0.0, 0.3, float(scored["score"].iloc[7]), 0.5, 0.9):
        at = exploring.operate(scored, threshold)
        table = confusion_matrix(truth, scored["score"] >= threshold)
        assert table.tolist() == [
            [at.real_called_real, at.real_called_fake],
            [at.fake_called_real, at.fake_called_fake],
        ]
        assert np.hypot(fpr - at.fpr, tpr - at.tpr).min() < 1e-12  # a point of the curve
    chosen = exploring.confusion(scored).set_index("threshold")
    assert chosen.loc["1 in 10 real called fake", "real called fake, share"] <= 0.1
    equal = chosen.loc["both errors equal"]
    assert abs(equal["real called fake, share"] - (1 - equal["fake called fake, share"])) < 0.05


def test_the_slider_draws_what_the_figure_shows_for_the_same_threshold(scored):
    run = SimpleNamespace(tests=("ff",), title=lambda part: part, video_scores=lambda part, name: scored)
    widget = widgets.ThresholdSlider(run, ["plain-linear", "proposed-arcface"])
    seen = []
    for threshold in (0.2, 0.65):
        widget.threshold.value = threshold
        figure = exploring.threshold_plot(scored, "proposed-arcface", [threshold]).figure
        whole = pixels(style.encode(figure, "png")).astype(int)
        seen.append(pixels(widget.image.value))
        assert (np.abs(seen[-1] - whole).max(axis=2) > 60).mean() < 0.002  # the order of drawing differs, no more
        at = exploring.operate(scored, threshold)
        for count in (at.real_called_real, at.real_called_fake, at.fake_called_real, at.fake_called_fake):
            assert f">{count}</td>" in widget.table.value
    assert (seen[0] != seen[1]).any()


def test_the_attention_browser_shows_the_maps_of_the_chosen_video(videos, tmp_path):
    table = catalogues.faces_folder(videos)
    store.prepare(table, tmp_path / "faces", frames=2, keep="all", jobs=1, progress=False)
    found = store.open_store(tmp_path / "faces")
    net = networks.build("proposed", "arcface", "tf_efficientnet_lite0", pretrained=False, seed=0).eval()
    faces_scored = scoring.score_store(net, found, 64).table
    run = SimpleNamespace(
        network=lambda name: net, tests=("ff",), title=lambda part: part, embedded=False, store=lambda part: found,
        scores=lambda part, name: faces_scored,
        profile=SimpleNamespace(evaluate=SimpleNamespace(size_rule=True), model=SimpleNamespace(size=64)),
    )  # fmt: skip
    widget = widgets.AttentionBrowser(run, "proposed-arcface")
    values = metrics.video_scores(faces_scored)
    assert len(widget.video.options) == len(values)
    assert widget.image.value  # a picture before anyone moves anything
    widget.order.value = "highest score first"
    assert widget.video.value[1] == values.loc[values["score"].idxmax(), "video"]
    name = "real/two people"
    widget.video.value = next(value for _, value in widget.video.options if value[1].startswith(name))
    own = found.subset(found.manifest["video"].str.startswith(name).to_numpy())
    assert widget.face.max == len(own) - 1 == 3
    looks = attention_maps.look(net, own, 64)
    for k in (0, 3):
        widget.face.value = k
        face, heat, mask = np.split(pixels(widget.image.value), 3, axis=1)
        large = cv2.resize(looks.crops[k], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_array_equal(face, large)
        np.testing.assert_array_equal(heat, pictures.heat(large, looks.maps[k]))
        assert (mask != large).any()
        assert f"score {looks.scores[k]:.2f}" in widget.said.value


def test_a_face_that_was_not_manipulated_has_a_blank_place_for_its_mask():
    strip = exploring.attention_strip(picture(64, 64), np.ones((2, 2)), [np.zeros((64, 64)), np.ones((64, 64))])
    assert strip.shape == (SIDE, 4 * SIDE, 3)
    assert (strip[:, 2 * SIDE : 3 * SIDE] == 255).all()
    assert (strip[:, 3 * SIDE :] != 255).any()
