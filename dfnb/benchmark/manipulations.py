"""The manipulations of the embedded benchmark: each is one entry of `MANIPULATIONS`, with how strong its traces are.

After the real sets: Deepfakes, Face2Face, FaceSwap and NeuralTextures (FaceForensics++, Rossler et al. 2019), the
better swap of Celeb-DF (Li et al. 2020), and that of FFIW (Zhou et al. 2021).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dfnb.benchmark import pasting, vertices
from dfnb.benchmark.pasting import Forged, Recipe, View


@dataclass(frozen=True)
class Shot:
    """One frame to be forged, and what a manipulation can paste into it: pictures that are drawn when called for.

    target: the face as filmed.
    stranger: another person's face, as a generator draws it in the target's pose.
    reenacted: the same person's, with the expression of the pair's other video.
    texture: the frame of the pair's other video whose head is turned most like the target's.
    recipe, drift: what this video's tool gets wrong. noise: the frame's own random draws.

    Only videos of the FaceForensics++-like part come in pairs; elsewhere there is a stranger alone.
    """

    target: View
    stranger: Callable[[], View]
    reenacted: Callable[[], View]
    texture: Callable[[], View]
    recipe: Recipe
    drift: np.ndarray
    noise: np.random.Generator

    def paste(self, source: View, outline: np.ndarray, anchors: np.ndarray) -> Forged:
        """`pasting.swap` into this frame: outline and anchors are indices of the head's vertices."""
        return pasting.swap(self.target, source, outline, anchors, self.recipe, self.noise, self.drift)


def swap(shot: Shot) -> Forged:
    """Another person's face, rendered by a generator in the target's pose."""
    return shot.paste(shot.stranger(), vertices.face(), vertices.inner_face())


def pull_texture(shot: Shot) -> Forged:
    """FaceSwap: a frame of the other video pulled over the target's landmarks."""
    outline, marks = vertices.face(), vertices.mesh_landmarks()
    return pasting.mesh_swap(shot.target, shot.texture(), outline, marks, shot.recipe, shot.noise, shot.drift)


def reenact(shot: Shot, outline: np.ndarray) -> Forged:
    """The same person with the other video's expression, pasted inside `outline` (indices of vertices)."""
    return shot.paste(shot.reenacted(), outline, vertices.rigid())


@dataclass(frozen=True)
class Manipulation:
    """One way to forge a video.

    forge: from a shot to the forged frame and its true mask. good, bad: the recipes of a good and of a bad tool; each
    video's lies between them. part: where the manipulation is used, "ff", "celeb" or "ffiw" (`layout`).
    """

    forge: Callable[[Shot], Forged]
    good: Recipe
    bad: Recipe
    part: str = "ff"


MANIPULATIONS: dict[str, Manipulation] = {
    "Deepfakes": Manipulation(
        swap,
        good=Recipe(detail=160, blur=0.2, grain=0.4, colour=0.97, tint=0.01, misfit=0.005, jitter=0.002, inset=0.02,
                    soft=0.14),
        bad=Recipe(detail=90, blur=0.5, grain=0.0, colour=0.75, tint=0.05, misfit=0.02, jitter=0.006, inset=0.0,
                   soft=0.05, opacity=0.95),
    ),
    "Face2Face": Manipulation(
        lambda shot: reenact(shot, vertices.inner_face()),
        good=Recipe(detail=160, blur=0.4, grain=0.4, colour=1.0, tint=0.01, misfit=0.003, jitter=0.001, inset=0.01,
                    soft=0.1),
        bad=Recipe(detail=96, blur=0.8, grain=0.0, colour=0.9, tint=0.04, misfit=0.01, jitter=0.004, inset=0.0,
                   soft=0.04),
    ),
    "FaceSwap": Manipulation(
        pull_texture,
        good=Recipe(detail=160, blur=0.3, grain=0.3, colour=0.95, tint=0.01, misfit=0.005, jitter=0.003, inset=0.02,
                    soft=0.1),
        bad=Recipe(detail=100, blur=0.6, grain=0.0, colour=0.75, tint=0.05, misfit=0.015, jitter=0.008, inset=0.0,
                   soft=0.04, opacity=0.95),
    ),
    "NeuralTextures": Manipulation(
        lambda shot: reenact(shot, vertices.mouth()),
        good=Recipe(detail=160, blur=0.4, grain=0.4, colour=1.0, tint=0.01, misfit=0.003, jitter=0.001, inset=0.01,
                    soft=0.08),
        bad=Recipe(detail=96, blur=0.8, grain=0.0, colour=0.9, tint=0.04, misfit=0.01, jitter=0.004, inset=0.0,
                   soft=0.03),
    ),
    "Celeb-synthesis": Manipulation(
        swap,
        good=Recipe(detail=200, blur=0.4, grain=0.5, colour=1.0, tint=0.005, misfit=0.003, jitter=0.001, inset=0.03,
                    soft=0.14, poisson=0.4, lab=0.7),
        bad=Recipe(detail=120, blur=0.8, grain=0.0, colour=0.8, tint=0.035, misfit=0.015, jitter=0.004, inset=0.0,
                   soft=0.05, opacity=0.95, poisson=0.4, lab=0.7),
        part="celeb",
    ),
    "FFIW": Manipulation(
        swap,
        good=Recipe(detail=100, blur=0.35, grain=0.2, colour=0.92, tint=0.015, misfit=0.005, jitter=0.002, inset=0.02,
                    soft=0.1, poisson=0.25, lab=0.5),
        bad=Recipe(detail=64, blur=0.6, grain=0.0, colour=0.7, tint=0.05, misfit=0.02, jitter=0.006, inset=0.0,
                   soft=0.04, opacity=0.95, poisson=0.25, lab=0.5),
        part="ffiw",
    ),
}  # fmt: skip

# Further manipulations go here, as CONTRIBUTING.md shows.
