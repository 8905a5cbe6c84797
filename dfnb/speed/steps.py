"""What each stage of the network does, as work to take the time of, beside plain timm of the same backbone and input.

Weights are random: they change nothing of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnb import networks, sbi, training
from dfnb.common import processes
from dfnb.profile import Train
from dfnb.scoring import score
from dfnb.scoring.inference import Scorer
from dfnb.speed import stages
from dfnb.training import loop

BACKBONE = "tf_efficientnet_b4.ap_in1k"
NETWORKS = (("network1", "linear"), ("proposed", "arcface"))
_RECIPE = {"optimizer": "sgd", "steps": 1, "networks": (("plain", "linear"),)}


def batch(size: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images (count, 3, size, size), channels last, targets and masks, drawn at random."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, size, size, generator=draw).contiguous(memory_format=torch.channels_last)
    return images, torch.arange(count) % 2, torch.rand(count, 1, size, size, generator=draw)


def _training(net: nn.Module) -> nn.Module:
    return net.to(memory_format=torch.channels_last).train()


def nets_of(backbone: str) -> list[nn.Module]:
    """What is trained: timm's own model with two classes, then ours in the order of `NETWORKS`."""
    ours = [networks.build(variant, head, backbone, pretrained=False, seed=0) for variant, head in NETWORKS]
    return [_training(net) for net in (timm.create_model(backbone, num_classes=2), *ours)]


def step(net: nn.Module, data: tuple[Tensor, Tensor, Tensor], bf16: bool = False) -> Callable[[], Any]:
    """Forward and backward of one of them; of ours the attention is taught, too."""
    images, target, _ = data

    def loss() -> Tensor:
        if isinstance(net, networks.Network):
            return loop.losses(net, *data, attention_weight=1.0).total
        return F.cross_entropy(net(images).float(), target)

    def work() -> None:
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            total = loss()
        total.backward()

    return work


def plain_scoring(images: Tensor, backbone: str) -> Callable[[], Any]:
    """Forward of the proposed network the plain way: evaluation mode, float32, memory as it comes."""
    net = networks.build("proposed", "arcface", backbone, pretrained=False, seed=0).eval()
    images = images.contiguous()

    def work() -> Any:
        with torch.no_grad():
            return net(images)

    return work


def scoring_work(images: Tensor, backbone: str) -> Callable[[], Any]:
    """The same as `dfnb score` does it."""
    net = networks.build("proposed", "arcface", backbone, pretrained=False, seed=0).eval()
    scorer = Scorer(net, images.shape[-1], "auto")
    return lambda: score.predict(scorer, iter([images]), len(images), "bench")


def waiting(folder: Path, backbone: str, size: int, pairs: int, steps: int, workers: int) -> float:
    """Share of the time that a training of the proposed network waits for pairs, after a first step, 0..1."""
    recipe = Train(**_RECIPE, batch=pairs, workers=workers)
    net = _training(networks.build("proposed", "arcface", backbone, pretrained=False, seed=0))
    accelerator = processes.accelerator()
    optimizer = training.make_optimizer(net, recipe)
    data = sbi.PairDataset(stages.faces(folder), size, mean=net.mean, std=net.std)
    loader = iter(loop.make_loader(data, recipe, 0, steps + 1, accelerator))
    waited = worked = 0.0
    for number in range(steps + 1):
        began = time.perf_counter()
        images = loop.as_batch(*next(loader), like=next(net.parameters()))
        came = time.perf_counter()
        loop.optimise(net, optimizer, accelerator, images, 1e-3, recipe)
        if number:  # the first one starts the workers
            waited += came - began
            worked += time.perf_counter() - came
    return waited / (waited + worked)
