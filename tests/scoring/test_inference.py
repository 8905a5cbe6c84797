"""Networks made ready to score: the fast way against the plain one."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import nn

from dfnb import networks
from dfnb.common import devices
from dfnb.scoring import inference

SIZE = 96
# MBConv, fused MBConv, mixed kernels; other families; with and without the attention branch
MADE = [
    ("tf_efficientnet_lite0", "proposed", "arcface"),
    ("tf_efficientnet_b0", "proposed", "arcface"),
    ("efficientnet_es", "network2", "linear"),
    ("mixnet_s", "network1", "linear"),
    ("test_efficientnet", "plain", "linear"),
    ("resnet10t", "proposed", "arcface"),
    ("convnext_atto", "network2", "linear"),
    ("regnetx_002", "proposed", "linear"),
    ("mobilenetv3_small_050", "proposed", "arcface"),
    ("vit_xsmall_patch16_clip_224", "proposed", "arcface"),
    ("vit_tiny_patch16_224", "plain", "linear"),
    ("vit_tiny_patch16_dinov3_qkvb", "network2", "linear"),
    ("eva02_tiny_patch14_224", "proposed", "arcface"),
]


def size_for(backbone: str) -> int:
    """Whole patches, about as many pixels for all."""
    return 98 if "patch14" in backbone else SIZE


def lively(backbone: str, variant: str = "proposed", head: str = "arcface") -> networks.Network:
    """An untrained network whose batch norms all do something."""
    net = networks.build(variant, head, backbone, pretrained=False, seed=0, size=size_for(backbone)).eval()
    draw = torch.Generator().manual_seed(1)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values, low, high in (
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.3, 0.3),
                (layer.running_mean, -0.3, 0.3),
                (layer.running_var, 0.5, 2.0),
            ):
                values.data.uniform_(low, high, generator=draw)
    return net


@pytest.mark.parametrize(("backbone", "variant", "head"), MADE)
def test_onnx_runtime_changes_no_output(backbone, variant, head):
    """Whatever the size of the batch, and although the graph was made from another one."""
    net, side = lively(backbone, variant, head), size_for(backbone)
    scorer = inference.Scorer(net, side, "fast")
    assert scorer.how == devices.FAST
    draw = torch.Generator().manual_seed(0)
    for count in (1, 3):
        images = torch.randn(count, 3, side, side, generator=draw)
        with torch.inference_mode():
            plain, fast = net(images), scorer(images)
        for name in ("logits", "embedding", "attention"):
            one, other = getattr(plain, name), getattr(fast, name)
            if one is None:
                assert other is None
                continue
            torch.testing.assert_close(other, one, rtol=1e-3, atol=2e-4 * float(one.abs().max()))


def test_a_network_made_ready_can_still_be_trained():
    net = lively("test_efficientnet", head="linear")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.inference_mode():
        inference.Scorer(net, 64, "fast")(torch.zeros(2, 3, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.train()(torch.randn(2, 3, 64, 64)).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in net.backbone.conv_stem.parameters())


def test_float32_is_the_network_itself():
    net, images = lively("test_efficientnet"), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        scorer = inference.Scorer(net, 64)
        assert scorer.how == "float32"
        torch.testing.assert_close(scorer(images).logits, net(images).logits, rtol=0, atol=1e-6)


def test_onnx_runtime_moves_no_score_of_a_fitted_network():
    """ImageNet's weights, and a head fitted to tell sharp pictures from soft ones.

    Half of the pictures are alike enough for scores all over 0..1.
    """
    net = networks.build("proposed", "linear", "tf_efficientnet_lite0", seed=0).eval()
    draw = np.random.default_rng(0)
    label = np.arange(240) % 2
    pictures = draw.normal(0, 1, (240, 3, 64, 64))
    for k in range(240):
        strength = draw.uniform(0.1, 0.3) + 0.18 * label[k]
        pictures[k] += strength * (np.roll(pictures[k], 1, 2) + np.roll(pictures[k], 1, 1))
    images = torch.from_numpy(pictures.astype(np.float32))
    with torch.inference_mode():
        embedding = torch.cat([net(part).embedding for part in images.split(32)]).numpy()
    fit = LogisticRegression(C=0.02, max_iter=2000).fit(embedding[:120], label[:120])
    with torch.no_grad():
        net.head.weight.copy_(torch.from_numpy(np.stack([-fit.coef_[0], fit.coef_[0]]) / 2))
        net.head.bias.copy_(torch.tensor([-float(fit.intercept_[0]), float(fit.intercept_[0])]) / 2)
    scores = []
    for precision in ("float32", "fast"):
        scorer = inference.Scorer(net, 64, precision)
        with torch.inference_mode():
            logits = torch.cat([scorer(part).logits.float() for part in images[120:].split(40)])
        scores.append(logits.softmax(1)[:, 1].numpy())
    plain, fast = scores
    assert plain.min() < 0.2 and plain.max() > 0.8  # noqa: PT018 (one statement about the spread)
    assert 0.8 < roc_auc_score(label[120:], plain) < 0.999
    assert roc_auc_score(label[120:], plain) == roc_auc_score(label[120:], fast)
    assert 0 < np.abs(plain - fast).max() < 1e-4
