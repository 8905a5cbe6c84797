"""Grad-CAM against gradients written out by hand, and the sanity check on maps made up for it."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from dfnb import networks
from dfnb.analysis import grad_cam
from dfnb.scoring import score


@pytest.fixture(scope="module")
def net():
    return networks.build("proposed", "arcface", "tf_efficientnet_lite0", pretrained=False, seed=0).eval()


@pytest.mark.parametrize("backbone", ["convnext_atto", "vit_xsmall_patch16_clip_224"])
def test_other_backbones_have_grad_cam_on_their_last_features(backbone):
    net = networks.build("proposed", "arcface", backbone, pretrained=False, seed=0, size=64).eval()
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    for crop, cam in zip(crops, grad_cam.maps(net, crops), strict=True):
        np.testing.assert_allclose(cam, by_hand(net, crop, net.weighted), atol=1e-4)
        assert cam.max() == 1


def by_hand(net: networks.Network, crop: np.ndarray, layer: torch.nn.Module | None = None) -> np.ndarray:
    """Channel weights are the mean gradients of the fake logit; their sum with the features, negatives cut off."""
    kept = {}
    handle = (layer or net.backbone.bn2).register_forward_hook(
        lambda module, inputs, output: kept.update(features=output)
    )
    try:
        logits = net(score.to_input(crop, net.mean, net.std)[None]).logits
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(logits[0, 1], kept["features"])
    weights = gradient.mean((2, 3), keepdim=True)
    values = (weights * kept["features"]).sum(1).clamp(min=0)[0].detach().numpy()
    return values / values.max() if values.max() > 0 else values


def test_maps_are_gradients_times_features(net):
    crops = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    got = grad_cam.maps(net, crops, batch=2)
    assert got.shape == (3, 3, 3)
    for crop, cam in zip(crops, got, strict=True):
        np.testing.assert_allclose(cam, by_hand(net, crop), atol=1e-4)
    assert got.max() <= 1
    assert got.min() >= 0


def test_a_network_without_a_branch_has_grad_cam_too():
    plain = networks.build("plain", "linear", "tf_efficientnet_lite0", pretrained=False, seed=0).eval()
    crops = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    for crop, cam in zip(crops, grad_cam.maps(plain, crops), strict=True):
        np.testing.assert_allclose(cam, by_hand(plain, crop), atol=1e-4)


def test_correlation_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.random((5, 4, 4)), rng.random((5, 4, 4)).round(1)
    expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(grad_cam.rank_correlation(a, b), expected)
    b[2] = 0
    assert np.isnan(grad_cam.rank_correlation(a, b)[2])


def test_sanity_tells_a_map_of_the_picture_from_a_learned_one():
    rng = np.random.default_rng(0)
    learned, picture = rng.random((40, 4, 4)), rng.random((40, 4, 4))
    groups = [str(k // 2) for k in range(40)]
    table = grad_cam.sanity(
        {"learned": learned, "edges": picture},
        {
            "learned": {"network": rng.random((40, 4, 4)), "head": np.zeros((40, 4, 4))},
            "edges": {"network": picture + 0.05 * rng.random((40, 4, 4))},
        },
        groups,
        200,
    )
    assert table["faces"].tolist() == [40, 0, 40]
    assert table["low"].iloc[0] < 0 < table["high"].iloc[0]
    assert table["low"].iloc[2] > 0.8
    assert grad_cam.finding(table).endswith("trusted**: edges with a random network.")
    assert grad_cam.finding(table.iloc[:2]).endswith("trusted**: none.")
