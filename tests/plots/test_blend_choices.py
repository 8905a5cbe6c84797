"""What each choice of self-blending does: what the library gives for the same settings, at what training draws."""

from types import SimpleNamespace

import numpy as np
import pytest
from drawn_faces import landmarks, picture

from dfnb.plots import blend_choices, pictures
from dfnb.sbi import SelfBlender
from dfnb.sbi.augment import Colour

VALUES = {"ratio": 0.45, "amplitude": 7.5, "soften": 3.0, "colour": -14.0}


def cells(plot) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in plot.figure.axes]


@pytest.fixture(scope="module")
def face() -> SimpleNamespace:
    return SimpleNamespace(rgb=picture(420, 400, 1), landmarks=landmarks())


def test_the_pair_is_what_self_blending_gives_for_the_chosen_values(face):
    blender = SelfBlender()
    plot = blend_choices.pair(face, blender, seed=5, **VALUES)
    rgb, points = blend_choices.at_side(face)
    plain = {"hull": "whole", "forehead": True, "changed": "source", "factor": 1, "sharpness": 0.0}
    chosen = {name: value for name, value in VALUES.items() if name != "colour"}
    expected = blender.explain(
        rgb, points, np.random.default_rng(5), **plain, **chosen, colour=Colour(rgb=(-14.0, 0.0, 14.0))
    )
    real, fake, mask, difference = cells(plot)
    np.testing.assert_array_equal(real, expected.real)
    np.testing.assert_array_equal(fake, expected.fake)
    np.testing.assert_array_equal(mask, pictures.grey(expected.mask))
    assert difference[expected.mask == 0].max() == 0
    level = np.abs(expected.real.astype(float) - expected.fake).mean()
    assert plot.numbers["mean_difference_levels"] == pytest.approx(level)


@pytest.mark.parametrize("name", VALUES)
def test_each_choice_changes_the_picture(face, name):
    blender = SelfBlender()
    start, low = (blend_choices.pair(face, blender, 2, **chosen) for chosen in ({}, {name: 0.25}))
    assert any((a != b).any() for a, b in zip(cells(start), cells(low), strict=True))


def test_a_ratio_of_zero_leaves_the_face_as_it_was(face):
    real, fake, *_ = cells(blend_choices.pair(face, SelfBlender(), ratio=0.0))
    np.testing.assert_array_equal(real, fake)


def test_large_faces_are_shrunk_together_with_their_landmarks():
    large = SimpleNamespace(rgb=picture(840, 800), landmarks=landmarks(400.0, (400.0, 400.0)))
    rgb, points = blend_choices.at_side(large)
    assert rgb.shape == (round(840 * blend_choices.SIDE / 800), blend_choices.SIDE, 3)
    np.testing.assert_allclose(points, (large.landmarks + 0.5) * blend_choices.SIDE / 800 - 0.5, atol=1e-3)


def test_one_at_a_time_shows_the_values_training_draws(face):
    blender = SelfBlender()
    numbers = blend_choices.one_at_a_time(face, blender).numbers.set_index("choice")
    assert numbers.loc["blend ratio", "value"].tolist() == [0.25, 0.5, 1.0]
    assert numbers.loc["edge softness, px", "value"].tolist() == [2.0, 9.0, 16.0]
    levels = numbers.loc["blend ratio", "mean_difference_levels"].tolist()
    assert levels == sorted(levels)
    colour = numbers.loc["colour shift, levels", "mean_difference_levels"].tolist()
    assert colour[1] < min(colour[0], colour[2])
    half = blend_choices.blend_with(face, blender, 0, ratio=0.5)
    assert levels[1] == pytest.approx(np.abs(half.real.astype(float) - half.fake).mean())
