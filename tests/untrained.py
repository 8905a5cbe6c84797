"""Checkpoints of untrained networks, and `dfnb score` run in this process."""

import sys
from pathlib import Path

import pytest

from dfnb import cli, networks

SIZE = 64


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """An untrained network, said to know real footage, and one said to know the embedded benchmark."""
    folder = tmp_path_factory.mktemp("checkpoints")
    out = {}
    for name, variant, domain in (
        ("real", "proposed", "real footage"),
        ("rendered", "network1", "embedded benchmark"),
        ("plain", "plain", "real footage"),
    ):
        net = networks.build(variant, "arcface", "tf_efficientnet_lite0", pretrained=False, seed=0)
        out[name] = folder / f"{name}.safetensors"
        networks.save(net, out[name], {"domain": domain, "profile": {"model": {"size": SIZE}}})
    return out


def command(monkeypatch, *arguments: object) -> int:
    """Run `dfnb score` in this process; returns its exit status."""
    monkeypatch.setattr(sys, "argv", ["dfnb", "score", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code
