"""Heads rendered for tests, one a frame."""

from collections.abc import Iterator

import numpy as np
import pytest


def rendered_heads(count: int, seed: int) -> Iterator:
    """`count` frames of 320 x 320 px (`benchmark.heads.Rendered`), each with another person; skips without Warp."""
    pytest.importorskip("warp")
    from dfnb.benchmark import heads, scene

    renderer, rng = heads.Renderer(threads=1), np.random.default_rng(seed)
    for _ in range(count):
        person, view = heads.Person.draw(rng), scene.draw_scene(rng)
        yield renderer.render([(person, scene.draw_motion(rng, 1, 25.0)[0])], view, 320, 320)
