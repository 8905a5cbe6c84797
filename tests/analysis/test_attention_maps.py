"""Agreement of maps and masks, angles, separation and projection, against brute force and closed forms."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dfnb import networks
from dfnb.analysis import attention_maps, embedding
from dfnb.benchmark import true_masks
from dfnb.common.errors import UserError
from dfnb.data import faces
from dfnb.scoring import score, score_table


@pytest.fixture(scope="module")
def net():
    return networks.build("proposed", "arcface", "tf_efficientnet_lite0", pretrained=False, seed=0).eval()


def by_hand(small: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """The four measures, pixel by pixel, for a map that needs no resizing."""
    both = either = inside_sum = 0.0
    best, hits, top = -1.0, 0.0, 0
    for value, inside in zip(small.ravel(), mask.ravel() > 0.5, strict=True):
        both += (value > 0.5) and inside
        either += (value > 0.5) or inside
        inside_sum += value if inside else 0.0
        if value > best:
            best, hits, top = value, float(inside), 1
        elif value == best:
            hits, top = hits + inside, top + 1
    return {
        "iou": both / either if either else 0.0,
        "pointing": hits / top,
        "energy": inside_sum / small.sum() if small.sum() else 0.0,
        "pixel_auc": roc_auc_score(mask.ravel() > 0.5, small.ravel()),
    }


@given(st.integers(0, 10_000), st.integers(1, 35))
@settings(max_examples=40, deadline=None)
def test_agreement_is_what_counting_pixels_gives(seed, area):
    rng = np.random.default_rng(seed)
    mask = (rng.permutation(36) < area).astype(np.float32).reshape(6, 6)
    small = rng.choice(np.float32([0, 0.25, 0.5, 0.75, 1]), (6, 6))
    got = attention_maps.agreement(small[None], mask[None]).iloc[0]
    for measure, value in by_hand(small, mask).items():
        assert got[measure] == pytest.approx(value, abs=1e-6), measure


def test_a_map_of_ones_agrees_by_the_masks_area_alone():
    mask = np.zeros((3, 40, 40), np.float32)
    mask[0, :30, :20], mask[1, 10:20, 5:25], mask[2] = 1, 1, 1
    got = attention_maps.agreement(np.ones((3, 4, 4), np.float32), mask)
    share = mask.mean((1, 2))
    for measure in ("iou", "pointing", "energy"):
        np.testing.assert_allclose(got[measure], share, atol=1e-6)
    np.testing.assert_allclose(got["pixel_auc"], [0.5, 0.5, np.nan])


def test_the_mask_itself_agrees_fully_and_its_opposite_not_at_all():
    mask = np.zeros((1, 32, 32), np.float32)
    mask[0, 8:20, 8:24] = 1
    assert (attention_maps.agreement(mask, mask).to_numpy() == 1).all()
    assert (attention_maps.agreement(1 - mask, mask).to_numpy() == 0).all()


def test_maps_are_compared_with_what_they_must_beat():
    masks = np.zeros((12, 32, 32), np.float32)
    for k in range(12):  # a square that wanders, so other faces' masks differ
        masks[k, 2 * k : 2 * k + 8, 8:24] = 1
    groups = [str(k // 2) for k in range(12)]
    good = attention_maps.compare_maps(
        {"good": masks[:, 2::4, 2::4], "empty": masks[:, 2::4, 2::4] * 0}, masks, groups, 200
    )
    table = good.set_index("map")
    assert list(table.index) == [
        "good",
        "empty",
        attention_maps.ALL_ONES,
        attention_maps.CEILING,
        "good, against the masks of other faces",
    ]
    assert table.loc[attention_maps.ALL_ONES, ["iou_above", "iou_low", "iou_high"]].tolist() == [0, 0, 0]
    assert table.loc[attention_maps.ALL_ONES, "iou"] == pytest.approx(masks.mean())
    assert table.loc["good", "iou_low"] > 0
    assert table.loc["empty", "iou_high"] < 0
    shuffled = table.loc["good, against the masks of other faces"]
    assert shuffled["iou"] < table.loc["good", "iou"]
    assert table.loc["good", "own"] == pytest.approx(table.loc["good", "iou"] - shuffled["iou"])
    assert shuffled[["own", "own_low", "own_high"]].isna().all()
    for prefix, value in (("own", "own"), *((measure, f"{measure}_above") for measure in attention_maps.MEASURES)):
        for name in ("good", "empty"):
            assert table.loc[name, f"{prefix}_low"] <= table.loc[name, value] <= table.loc[name, f"{prefix}_high"]
    shown = attention_maps.readable(good).set_index("map")
    assert shown.loc["good", "above other faces' masks"].startswith(f"+{table.loc['good', 'own']:.3f} (+")
    assert (shown["above other faces' masks"] == "–").tolist() == [False, False, True, True, True]
    assert "**this much is about this face**" in attention_maps.finding(good, "the mask")


def test_intervals_are_those_of_groups_drawn_one_by_one():
    rng = np.random.default_rng(3)
    masks = np.float32(rng.random((20, 8, 8)) < 0.4)
    masks[4] = 0  # no pixel AUC
    maps, groups = np.float32(rng.random((20, 8, 8))), [str(k // 3) for k in range(20)]
    found = attention_maps.compare_maps({"a": maps}, masks, groups, 300, seed=5).iloc[0]
    above = attention_maps.agreement(maps, masks) - attention_maps.agreement(np.ones_like(maps), masks)
    draw, members = np.random.default_rng(5), [np.flatnonzero(np.asarray(groups) == f"{g}") for g in range(7)]
    drawn = [above.iloc[np.concatenate([members[g] for g in draw.integers(7, size=7)])].mean() for _ in range(300)]
    for measure in attention_maps.MEASURES:
        expected = np.percentile([means[measure] for means in drawn], (2.5, 97.5))
        np.testing.assert_allclose(found[[f"{measure}_low", f"{measure}_high"]].astype(float), expected)
        assert found[f"{measure}_above"] == pytest.approx(above[measure].mean())


def test_maps_of_where_faces_usually_are_show_nothing_of_one_face():
    rng = np.random.default_rng(0)
    masks = np.zeros((40, 32, 32), np.float32)
    for mask in masks:
        y, x = rng.integers(6, 11, 2)
        mask[y : y + 16, x : x + 16] = 1
    usual = np.repeat(masks.mean(0)[None], len(masks), axis=0)
    groups = [str(k) for k in range(len(masks))]
    text = attention_maps.finding(attention_maps.compare_maps({"usual": usual}, masks, groups), "the mask")
    assert "**better than no map**" in text
    assert text.endswith("**it shows nothing that is clearly about this face**, only where faces usually are.")


def made_up(own: tuple[float, float, float] = (0.0, -0.1, 0.1), **above: tuple[float, float, float]) -> pd.DataFrame:
    """The first row of a comparison; the measures that aren't given are as the IoU."""
    row = {"map": "proposed", "own": own[0], "own_low": own[1], "own_high": own[2]}
    for measure in attention_maps.MEASURES:
        names = (f"{measure}_above", f"{measure}_low", f"{measure}_high")
        row |= dict(zip(names, above.get(measure, above["iou"]), strict=True))
    return pd.DataFrame([row])


BETTER, WORSE, OPEN = (0.1, 0.05, 0.15), (-0.1, -0.15, -0.05), (0.01, -0.1, 0.1)


@pytest.mark.parametrize(
    ("above", "verdict"),
    [(BETTER, "better than no map"), (WORSE, "worse than no map"), (OPEN, "nothing here decides")],
)
def test_agreement_is_judged_against_a_map_of_ones(above, verdict):
    text = attention_maps.finding(made_up(iou=above), "the mask")
    assert f"**{verdict}**. Its IoU minus" in text
    assert ("only where faces usually are" in text) == (above == BETTER)


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        (BETTER, "this much is about this face"),
        (WORSE, "it fits other faces better"),
        (OPEN, "it shows nothing that is clearly about this face"),
    ],
)
def test_agreement_is_judged_against_other_faces(own, verdict):
    assert f"**{verdict}**" in attention_maps.finding(made_up(own, iou=BETTER), "the mask")


def test_measures_that_disagree_are_all_said():
    text = attention_maps.finding(made_up(iou=WORSE, pointing=BETTER, energy=OPEN, pixel_auc=BETTER), "the mask")
    assert (
        "better by pointing (+0.100), pixel AUC (+0.100); worse by IoU (−0.100); undecided by energy (+0.010)" in text
    )
    assert "no map**" not in text


def test_randomised_networks_change_what_they_say_and_leave_the_rest(net):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    branch = attention_maps.randomised(net, "attention", seed=1).state_dict()
    everything = attention_maps.randomised(net, "all", seed=1).state_dict()
    for name, tensor in before.items():
        assert torch.equal(net.state_dict()[name], tensor)
        if not name.startswith("attention."):
            assert torch.equal(branch[name], tensor)
    for layer in ("conv1", "conv2", "conv3"):
        assert not torch.equal(branch[f"attention.{layer}.weight"], before[f"attention.{layer}.weight"])
    assert not torch.equal(everything["backbone.conv_stem.weight"], before["backbone.conv_stem.weight"])
    again = attention_maps.randomised(net, "all", seed=1).state_dict()
    assert all(torch.equal(again[name], everything[name]) for name in again)


def test_angles_to_the_centres_are_arccosines(net):
    vectors = np.random.default_rng(0).normal(size=(20, net.head.weight.shape[1])).astype(np.float32)
    weight = net.head.weight.detach().numpy().astype(float)
    cosine = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ (
        weight / np.linalg.norm(weight, axis=1)[:, None]
    ).T
    np.testing.assert_allclose(embedding.class_angles(net, vectors), np.degrees(np.arccos(cosine)), atol=1e-3)
    a, b = weight
    expected = math.degrees(math.acos(a @ b / math.sqrt((a @ a) * (b @ b))))
    assert embedding.centre_angle(net) == pytest.approx(expected, abs=1e-3)


def test_d_prime_of_normal_samples_is_the_shift():
    rng = np.random.default_rng(0)
    assert embedding.d_prime(rng.normal(0, 2, 40_000), rng.normal(3, 2, 40_000)) == pytest.approx(1.5, abs=0.03)
    assert math.isnan(embedding.d_prime(np.ones(5), np.ones(5)))


def test_separation_sorts_groups_by_their_angle(net):
    rng = np.random.default_rng(0)
    real, fake = net.head.weight.detach().numpy()
    rows = pd.DataFrame(
        {"label": ["real"] * 50 + ["fake"] * 100, "method": ["original"] * 50 + ["near"] * 50 + ["far"] * 50}
    )
    towards = np.repeat([0.0, 0.5, 1.0], 50)[:, None]
    vectors = (1 - towards) * real + towards * fake + 0.01 * rng.normal(size=(150, len(real)))
    table = embedding.separation(net, vectors.astype(np.float32), rows).set_index("group")
    assert list(table.index) == ["real", "all fakes", "near", "far"]
    assert 0 < table.loc["near", "d_prime"] < table.loc["far", "d_prime"]
    assert table.loc["far", "to_fake"] < table.loc["far", "to_real"]
    assert table["faces"].tolist() == [50, 100, 50, 50]


def test_projection_is_the_singular_value_decomposition():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(60, 9)) * np.linspace(3, 0.1, 9) + 2).astype(np.float32)
    points, shares = embedding.project(vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = unit - unit.mean(0)
    _, values, _ = np.linalg.svd(centred.astype(float), full_matrices=False)
    np.testing.assert_allclose(np.linalg.norm(points, axis=0), values[:2], rtol=1e-5)
    np.testing.assert_allclose(shares, (values**2 / (values**2).sum())[:2], rtol=1e-5)
    again, _ = embedding.project(vectors * 5)  # lengths don't count
    np.testing.assert_allclose(again, points, atol=1e-5)


def test_groups_are_the_real_faces_and_each_manipulation():
    rows = pd.DataFrame({"label": ["real", "fake", "fake", "real"], "method": ["original", "A", "B", "original"]})
    groups = embedding.by_group(np.arange(4), rows)
    assert {name: values.tolist() for name, values in groups.items()} == {"real": [0, 3], "A": [1], "B": [2]}


def test_faces_to_show_are_of_every_kind():
    methods = ["original"] * 10 + ["A"] * 10 + ["B"] * 10
    rows = pd.DataFrame({"label": ["real"] * 10 + ["fake"] * 20, "method": methods, "face": 0})
    rows["group"] = [str(k % 10) for k in range(30)]
    chosen = attention_maps.one_of_each_method(rows)
    assert rows.loc[chosen, "label"].tolist() == ["real"] * 2 + ["fake"] * 4
    assert rows.loc[chosen, "method"].tolist() == ["original"] * 2 + ["A", "B"] * 2
    assert rows.loc[chosen, "group"].nunique() == 6


class Faces(list):
    """Stored faces without a disk: enough of a `FaceStore` for what only reads faces."""

    root = Path("made-up")

    @property
    def manifest(self) -> pd.DataFrame:
        return pd.DataFrame([face.row for face in self])


def stored(path: Path, label: str, frame: int) -> SimpleNamespace:
    """A face whose picture is cut from a frame at x = 30, y = 20."""
    rng = np.random.default_rng(frame)
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    landmarks = np.stack([50 + 25 * np.cos(angles), 45 + 30 * np.sin(angles)], 1).astype(np.float32)
    row = {"path": str(path), "label": label, "method": "A" if label == "fake" else "original", "group": "g", "face": 0}
    row |= {"frame": frame, "crop_x": 30, "crop_y": 20, "crop_h": 90, "crop_w": 100}
    rgb = rng.integers(0, 256, (90, 100, 3), dtype=np.uint8)
    return SimpleNamespace(rgb=rgb, landmarks=landmarks, box=(25.0, 15.0, 75.0, 75.0), row=row)


def test_true_masks_are_cut_as_the_test_crops_are(tmp_path):
    rng = np.random.default_rng(0)
    masks = rng.random((3, 120, 157)) < 0.5  # a width that isn't a multiple of eight
    file = tmp_path / "masks" / "set" / "fake.npz"
    file.parent.mkdir(parents=True)
    np.savez(file, mask=np.packbits(masks, axis=-1), width=157)
    video = tmp_path / "set" / "fake.mp4"
    store = Faces([stored(video, "fake", 2), stored(video, "real", 1), stored(video, "fake", 0)])
    got = true_masks(tmp_path, store, 64)
    assert not got[1].any()
    for place, frame in ((0, 2), (2, 0)):
        picture = np.repeat(masks[frame, 20:110, 30:130, None].astype(np.uint8) * 255, 3, axis=2)
        crop = faces.crop(picture, store[place].box, score_table.MARGIN, 64)[..., 0]
        np.testing.assert_allclose(got[place], crop / 255, atol=0.01)


def test_predictions_are_those_of_scoring(net):
    store = Faces([stored(Path("a.mp4"), "real", k) for k in range(5)])
    predicted = attention_maps.predict(net, store, 64, batch=2)
    crops = torch.stack([score.Crops(store, 64, net.mean, net.std)[k] for k in range(5)])
    with torch.inference_mode():
        output = net(crops)
    np.testing.assert_allclose(predicted.maps, output.attention[:, 0], atol=1e-5)
    np.testing.assert_allclose(predicted.scores, output.logits.softmax(1)[:, 1], atol=1e-5)
    assert predicted.crops.shape == (5, 64, 64, 3)
    inside = predicted.masks[0] > 0.5
    assert inside[32, 32]
    assert not inside[0, 0]


def test_a_network_without_a_branch_has_no_map():
    plain = networks.build("plain", "linear", "tf_efficientnet_lite0", pretrained=False, seed=0).eval()
    with pytest.raises(UserError, match="no attention branch"):
        attention_maps.predict(plain, [], 64)
