"""The forgers of the embedded benchmark: how each gets the face it pastes. Each manipulation is one entry of `WAYS`.

How strong its traces are stands in `manipulate.ARTEFACTS`; `add` makes both entries.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dfnb.benchmark import anatomy, heads, manipulate
from dfnb.benchmark.manipulate import Forged, View

if TYPE_CHECKING:
    from dfnb.benchmark.studio import Studio


@dataclass(frozen=True)
class Shot:
    """One frame to be forged, and what a forger has at hand.

    target: the face as filmed, in frame `index`. pose: its pose. stage: the studio that filmed it. driver: that of the
    other video of the pair, which drives the expression or gives the texture; None where `stranger` is swapped in.
    recipe, drift: what this video's tool gets wrong (`manipulate`). noise: the frame's own random draws.
    """

    target: View
    index: int
    pose: heads.Pose
    stage: "Studio"
    driver: "Studio | None"
    stranger: heads.Person | None
    recipe: manipulate.Recipe
    drift: np.ndarray
    noise: np.random.Generator

    def paste(self, source: View, outline: np.ndarray, anchors: np.ndarray | None) -> Forged:
        """`manipulate.swap` into this frame: outline and anchors are indices of the head's vertices."""
        return manipulate.swap(self.target, source, outline, anchors, self.recipe, self.noise, self.drift)


def swapped(shot: Shot) -> Forged:
    """Another person's face, rendered by a generator in the target's pose."""
    # as a generator knows people: a face, no fringe. Another key, since the renderer keeps heads by it
    person = replace(shot.stranger, hair="bald", key=shot.stranger.key ^ 1)
    source = shot.stage.generate(person, shot.pose, shot.recipe.detail)
    return shot.paste(source, heads.FACE_VERTICES, heads.INNER_FACE_VERTICES)


def textured(shot: Shot) -> Forged:
    """FaceSwap: a frame of the other video pulled over the target's landmarks."""
    source = shot.driver.view(_nearest(shot.pose, shot.driver.poses), 0)
    outline, marks = heads.FACE_VERTICES, _mesh_vertices()
    return manipulate.mesh_swap(shot.target, source, outline, marks, shot.recipe, shot.noise, shot.drift)


def driven(shot: Shot, outline: np.ndarray) -> Forged:
    """The same person with the other video's expression, pasted inside `outline` (indices of vertices)."""
    return shot.paste(shot.stage.driven(shot.index, shot.driver), outline, rigid_vertices())


def _nearest(pose: heads.Pose, candidates: list[list[heads.Pose]]) -> int:
    """The frame of a source video whose head is turned most like the target's."""
    turns = np.array([[p[0].yaw, p[0].pitch, 0.5 * p[0].actions.get("jawOpen", 0.0)] for p in candidates])
    return int(np.argmin(((turns - [pose.yaw, pose.pitch, 0.5 * pose.actions.get("jawOpen", 0.0)]) ** 2).sum(axis=1)))


@functools.cache
def rigid_vertices() -> np.ndarray:
    """Vertices of the head that no facial action moves: by them the same head is laid on itself."""
    shared = anatomy.load()
    actions = [name.startswith("action:") for name in shared.names]
    moved = np.abs(shared.shapes[actions][:, : shared.skin_count]).max(axis=(0, 2))
    return np.nonzero((moved < 1e-4) & (shared.turn[: shared.skin_count] > 0.99))[0]


@functools.cache
def _mesh_vertices() -> np.ndarray:
    """Landmarks for FaceSwap: iBUG's without the inner lips (which meet), and vertices of cheeks and forehead."""
    marks = heads.LANDMARK_VERTICES[:60]
    place = anatomy.load().template
    far = np.linalg.norm(place[heads.FACE_VERTICES, None] - place[marks], axis=-1).min(axis=1) > 0.25  # decimetres
    return np.unique(np.concatenate([marks, heads.FACE_VERTICES[far][::4]]))


WAYS: dict[str, Callable[[Shot], Forged]] = {
    "Deepfakes": swapped,
    "Face2Face": lambda shot: driven(shot, heads.INNER_FACE_VERTICES),
    "FaceSwap": textured,
    "NeuralTextures": lambda shot: driven(shot, heads.MOUTH_VERTICES),
}
"""The manipulations of the FaceForensics++-like part, in order. The other parts swap (`swapped`)."""


def add(name: str, way: Callable[[Shot], Forged], **artefacts: tuple[float, float]) -> None:
    """A further manipulation of the FaceForensics++-like part, driven by the other video of its pair.

    artefacts: for each field of `manipulate.Recipe` what a good and what a bad tool does.
    """
    WAYS[name] = way
    manipulate.ARTEFACTS[name] = artefacts


# Further manipulations go here, as CONTRIBUTING.md shows.
