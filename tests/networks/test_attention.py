"""The attention branch against the paper's list of layers, and its loss against a definition written out."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dfnb.networks.attention import AttentionBranch, attention_loss, attention_map


def test_layers_are_the_papers() -> None:
    branch = AttentionBranch(40)
    convolutions = [part for part in branch.modules() if isinstance(part, nn.Conv2d)]
    assert [(c.kernel_size, c.in_channels, c.out_channels) for c in convolutions] == [
        ((3, 3), 40, 10),
        ((3, 3), 10, 10),
        ((1, 1), 10, 1),
    ]
    assert sum(isinstance(part, nn.BatchNorm2d) for part in branch.modules()) == 2


def test_width_can_be_chosen() -> None:
    assert AttentionBranch(40, 7).conv2.weight.shape == (7, 7, 3, 3)
    assert AttentionBranch(3).conv1.weight.shape[0] == 1
    with pytest.raises(ValueError, match="at least one channel"):
        AttentionBranch(0)


def test_forward_recomputed_by_hand() -> None:
    torch.manual_seed(0)
    branch = AttentionBranch(8).double().eval()
    for norm in (branch.norm1, branch.norm2):
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    y = x.numpy()
    for conv, norm in ((branch.conv1, branch.norm1), (branch.conv2, branch.norm2)):
        padded = np.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        y = np.einsum("bchwij,ocij->bohw", windows, conv.weight.detach().numpy())
        mean, var = (v.numpy()[:, None, None] for v in (norm.running_mean, norm.running_var))
        y = np.maximum((y - mean) / np.sqrt(var + norm.eps), 0)
    weight, bias = branch.conv3.weight.detach().numpy()[:, :, 0, 0], branch.conv3.bias.item()
    expected = 1 / (1 + np.exp(-(np.einsum("bchw,oc->bohw", y, weight) + bias)))
    np.testing.assert_allclose(branch(x).detach().numpy(), expected, rtol=1e-10)


def test_map_has_a_place_for_every_cell_and_stays_inside_0_to_1() -> None:
    out = AttentionBranch(16)(torch.randn(3, 16, 7, 5) * 100)
    assert out.shape == (3, 1, 7, 5)
    assert out.min() >= 0
    assert out.max() <= 1


def test_loss_is_cross_entropy_to_the_share_of_face_in_each_cell() -> None:
    rng = np.random.default_rng(0)
    logits, mask = rng.normal(size=(2, 1, 3, 4)), rng.random((2, 1, 12, 20))
    share = mask.reshape(2, 1, 3, 4, 4, 5).mean((3, 5))  # 12 x 20 -> 3 x 4: cells of 4 x 5
    p = 1 / (1 + np.exp(-logits))
    expected = -(share * np.log(p) + (1 - share) * np.log(1 - p)).mean()
    assert attention_loss(torch.tensor(logits), torch.tensor(mask)).item() == pytest.approx(expected, rel=1e-12)


def test_loss_is_least_where_the_map_is_the_mask() -> None:
    mask = torch.full((1, 1, 8, 8), 0.3)
    logits = torch.full((1, 1, 2, 2), math.log(0.3 / 0.7), requires_grad=True)
    attention_loss(logits, mask).backward()
    assert logits.grad.abs().max() < 1e-6


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_loss_and_gradient_are_finite_where_the_sigmoid_saturates(size: float) -> None:
    logits = torch.tensor([[[[-size, size]]]], requires_grad=True)
    loss = attention_loss(logits, torch.tensor([[[[1.0, 0.0]]]]))
    loss.backward()
    assert loss.item() == pytest.approx(size)  # the map itself is exactly 0 and 1 here
    assert logits.grad.flatten().tolist() == [-0.5, 0.5]


def test_autocast_leaves_map_and_loss_in_float32() -> None:
    branch = AttentionBranch(8)
    x, mask = torch.randn(2, 8, 4, 4), torch.rand(2, 1, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        logits = branch.logits(x)
        loss = attention_loss(logits, mask)
        assert logits.dtype == torch.bfloat16
        assert branch(x).dtype == torch.float32
    assert loss.dtype == torch.float32
    assert loss.item() == attention_loss(logits.float(), mask).item()


def test_map_of_logits() -> None:
    logits = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64)
    assert attention_map(logits).tolist() == pytest.approx([1 / (1 + math.exp(-v)) for v in (-2, 0, 2)])


@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 1, 8, 8), (2, 3, 8, 8)])
def test_masks_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="don't go together"):
        attention_loss(torch.zeros(2, 1, 4, 4), torch.zeros(shape))
