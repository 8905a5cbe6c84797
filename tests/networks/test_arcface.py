"""ArcFace against equation 3 written out, pytorch-metric-learning, finite differences and a cosine classifier."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor

from dfnb.networks.arcface import ArcFace, angles

FLOATS = [torch.float32, torch.float64]


def at_angles(theta: Tensor, features: int = 6) -> tuple[Tensor, Tensor]:
    """Features (N, D) at angles theta (N,) to the first unit vector, of various lengths; and class centres (2, D)."""
    generator = torch.Generator().manual_seed(3)
    other = torch.randn(len(theta), features, generator=generator, dtype=torch.float64)
    other[:, 0] = 0
    other = F.normalize(other, dim=1)
    x = other * theta.sin()[:, None]
    x[:, 0] = theta.cos()
    x = x * torch.linspace(0.3, 4, len(theta), dtype=torch.float64)[:, None]
    centres = torch.zeros(2, features, dtype=torch.float64)
    centres[0, 0], centres[1, 1] = 1.7, 0.4
    return x, centres


def layer(centres: Tensor, dtype: torch.dtype, **settings: float) -> ArcFace:
    head = ArcFace(centres.shape[1], len(centres), **settings).to(dtype)
    with torch.no_grad():
        head.weight.copy_(centres)
    return head


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("margin", "scale"), [(0.2, 16.0), (0.5, 64.0), (1.2, 4.0)])
@pytest.mark.parametrize("monotone", [True, False])
def test_value_and_gradient_agree_with_pytorch_metric_learning(
    dtype: torch.dtype, margin: float, scale: float, monotone: bool
) -> None:
    # Eq. 3 as written parts from the library beyond pi - m, so that is compared only up to there.
    last = math.pi - 0.01 if monotone else math.pi - margin - 0.01
    x, centres = at_angles(torch.linspace(0.01, last, 60, dtype=torch.float64))
    target = torch.zeros(len(x), dtype=torch.int64)
    head = layer(centres, dtype, scale=scale, margin=margin, monotone=monotone)
    reference = ArcFaceLoss(2, centres.shape[1], margin=math.degrees(margin), scale=scale).to(dtype)
    with torch.no_grad():
        reference.W.copy_(centres.T)
    ours, theirs = (x.to(dtype).requires_grad_() for _ in range(2))
    mine = F.cross_entropy(head(ours, target), target)
    other = reference(theirs, target)
    mine.backward()
    other.backward()
    # Near 0 and pi float32 keeps about three digits of sin(theta), in either way of computing it.
    near = {torch.float32: {"rtol": 4e-3, "atol": 4e-4}, torch.float64: {"rtol": 1e-9, "atol": 1e-10}}[dtype]
    torch.testing.assert_close(mine, other, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=0)
    torch.testing.assert_close(ours.grad, theirs.grad, **near)
    torch.testing.assert_close(head.weight.grad, reference.W.grad.T, **near)


@pytest.mark.parametrize("monotone", [True, False])
def test_logits_are_equation_3_at_every_angle(monotone: bool) -> None:
    theta = torch.linspace(0.001, math.pi - 0.001, 500, dtype=torch.float64)
    x, centres = at_angles(theta)
    head = layer(centres, torch.float64, scale=10, margin=0.4, monotone=monotone)
    logits = head(x, torch.zeros(len(x), dtype=torch.int64))
    expected = torch.cos(theta + 0.4)
    if monotone:
        expected = torch.where(theta > math.pi - 0.4, torch.cos(theta) - 0.4 * math.sin(0.4), expected)
    torch.testing.assert_close(logits[:, 0], 10 * expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(logits[:, 1], 10 * F.normalize(x, dim=1)[:, 1])
    falls = logits[:, 0].diff() < 0
    assert bool(falls.all()) is monotone  # as written it turns upward again beyond pi - m


@pytest.mark.parametrize("dtype", FLOATS)
def test_margin_0_is_a_scaled_cosine_classifier(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    head = ArcFace(5, 3, scale=7, margin=0).to(dtype)
    x, target = torch.randn(8, 5, dtype=dtype), torch.arange(8) % 3
    norms = x.norm(dim=1)[:, None] * head.weight.norm(dim=1)[None]
    torch.testing.assert_close(head(x, target), 7 * (x @ head.weight.T) / norms)
    assert torch.equal(head(x, target), head(x))


def test_only_the_true_class_gets_the_margin_and_none_without_a_target() -> None:
    torch.manual_seed(0)
    head = ArcFace(5, 4, scale=3, margin=0.3)
    x, target = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 1, 0])
    moved = head(x, target) != head(x)
    assert torch.equal(moved, F.one_hot(target, 4).bool())


@pytest.mark.parametrize("monotone", [True, False])
def test_gradient_flows_through_the_margin(monotone: bool) -> None:
    torch.manual_seed(0)
    head = ArcFace(4, 2, scale=5, margin=0.3, monotone=monotone).double()
    x, target = torch.randn(5, 4, dtype=torch.float64, requires_grad=True), torch.tensor([0, 1, 1, 0, 1])
    assert torch.autograd.gradcheck(lambda x, w: F.cross_entropy(_with(head, w)(x, target), target), (x, head.weight))


def _with(head: ArcFace, weight: Tensor):
    return lambda x, target: torch.func.functional_call(head, {"weight": weight}, (x, target))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("monotone", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_gradient_is_finite_on_the_centre_and_opposite_it(dtype: torch.dtype, monotone: bool, sign: int) -> None:
    head = ArcFace(3, 2, scale=64, margin=0.5, monotone=monotone).to(dtype)
    x = (sign * head.weight.detach().clone()).requires_grad_()
    F.cross_entropy(head(x, torch.tensor([0, 1])), torch.tensor([0, 1])).backward()
    assert x.grad.isfinite().all()
    assert head.weight.grad.isfinite().all()


def test_lengths_change_nothing() -> None:
    torch.manual_seed(0)
    head = ArcFace(5, 2).double()
    x, target = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 1, 0, 1])
    before = head(x, target)
    with torch.no_grad():
        head.weight.mul_(3)
    torch.testing.assert_close(head(x * 11, target), before)


def test_autocast_changes_nothing() -> None:
    head = ArcFace(64, 2)
    x, target = torch.randn(4, 64), torch.tensor([0, 1, 0, 1])
    with torch.autocast("cpu", torch.bfloat16):
        inside = head(x, target)
        from_half = head(x.bfloat16(), target)
    assert inside.dtype == from_half.dtype == torch.float32
    assert torch.equal(inside, head(x, target))


def test_angles_are_exact_near_0_and_pi_too() -> None:
    theta = torch.tensor([0.0, 1e-3, 0.1, 1.0, math.pi / 2, 3.0, math.pi - 1e-3, math.pi], dtype=torch.float64)
    x, centres = at_angles(theta)
    found = layer(centres, torch.float32).angles(x.float())
    assert found.shape == (8, 2)
    np.testing.assert_allclose(found[:, 0], theta, atol=2e-6)
    np.testing.assert_allclose(found[:, 1], np.arccos((x[:, 1] / x.norm(dim=1)).numpy()), atol=2e-6)
    assert not found.requires_grad
    torch.testing.assert_close(angles(x, 5 * centres), layer(centres, torch.float64).angles(x))


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"scale": 0}, "scale"), ({"scale": math.inf}, "scale"), ({"margin": -0.1}, "margin"),
     ({"margin": math.nan}, "margin"), ({"margin": 3.2}, "margin"), ({"classes": 1}, "classes")],
)  # fmt: skip
def test_settings_out_of_range(settings: dict[str, float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ArcFace(4, **settings)


def test_shapes_that_do_not_fit() -> None:
    head = ArcFace(4)
    with pytest.raises(ValueError, match="takes features"):
        head(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="targets of shape"):
        head(torch.zeros(2, 4), torch.zeros(3, dtype=torch.int64))
