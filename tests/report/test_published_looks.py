"""What every figure must be: told apart by the colour-blind and in grey, labelled without overlap, described, small."""

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.optimize import minimize

from dfnb import profile
from dfnb.plots import style

FIGURES = Path(__file__).parents[2] / "figures"
DRAWN = sorted(path for path in FIGURES.glob("*.[pj][np]g") if not path.name.startswith("bench-"))  # those have a table
NETWORKS = [f"{variant}-{head}" for variant, head in profile.load("demo").train.networks]

# Full colour blindness on linear RGB (Machado, Oliveira and Fernandes 2009, table 1)
SEEN = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour: str, seen: list[list[float]]) -> np.ndarray:
    """A colour in CIE Lab as a colour-blind person sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(seen) @ linear, 0, 1)
    rgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(rgb.astype(np.float32)[None, None], cv2.COLOR_RGB2Lab)[0, 0]


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN.keys())
def test_the_colour_blind_can_tell_networks_and_classes_apart(seen):
    colours = [style.look(name).colour for name in NETWORKS]
    for a, b in [*itertools.combinations(colours, 2), (style.REAL, style.FAKE)]:
        assert np.linalg.norm(lab(a, seen) - lab(b, seen)) > 15, (a, b)


def test_networks_differ_without_colour_and_classes_in_grey():
    looks = [style.look(name) for name in NETWORKS]
    assert len({str(one.dashes) for one in looks}) == len(looks)
    assert len({one.marker for one in looks}) == len(looks)
    assert abs(lab(style.REAL, np.eye(3))[0] - lab(style.FAKE, np.eye(3))[0]) > 15


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.01, 0.4))
def test_labels_stand_apart_and_near_their_lines(places, gap):
    moved = style.apart(places, gap)
    order = np.argsort(places, kind="stable")
    assert (np.diff(np.array(moved)[order]) >= gap - 1e-9).all()
    least = minimize(
        lambda x: ((x - np.array(places)[order]) ** 2).sum(),
        np.array(places)[order] + gap * np.arange(len(places)),
        constraints=[{"type": "ineq", "fun": lambda x, k=k: x[k + 1] - x[k] - gap} for k in range(len(places) - 1)],
        method="SLSQP",
    )
    cost = ((np.array(moved) - places) ** 2).sum()
    assert cost <= least.fun + 1e-4


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_a_published_figure_is_described_has_its_numbers_and_is_small(path):
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert len(about["alt"]) > 20
    assert len(about["caption"]) > 20
    assert path.name in about["files"]
    table = path.with_suffix(".csv")
    assert (table.is_file() and len(pd.read_csv(table))) or about["numbers"]
    assert path.stat().st_size < 400_000
    with Image.open(path) as image:
        assert 700 <= image.width <= 1400
    drawn = path.with_suffix(".svg")
    assert drawn.is_file() == (drawn.name in about["files"])
    assert not drawn.is_file() or drawn.stat().st_size < 400_000
