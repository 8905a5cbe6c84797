"""The faces of a video linked into people, frame after frame; nothing is kept but a mean and a last place of each.

Frames looked at are mostly seconds apart, so people are told apart by face recognition; where frames are near, overlap
of the boxes helps. Each frame's faces are assigned to the people seen so far, or to new ones, at the lowest total cost
(the Hungarian method, Kuhn 1955), so two faces of one frame are never one person.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from dfnb.data.detectors import Box
from dfnb.data.faces import overlap

SAME_PERSON = 0.55
"""A face further than this from the mean embedding of every person seen so far is somebody new.

dlib's own threshold is 0.6, for two photographs; a mean is nearer to its person. In the ten originals of "50 FF++ c40
clips", twelve frames each, faces are at most 0.43 from their person's mean and at least 0.53 from the others'. Between
two people in one, the error that hides a fake, and one person in two, the threshold leans to the latter. Rendered heads
resemble one another more (0.30 to 0.74), so one may be taken for another unless both are in the frame.
"""
NEAR = 0.5  # seconds: up to here the last place of a face helps
BONUS = 0.1  # by how much: at full overlap the distance counts as smaller by this


@dataclass
class _Person:
    total: NDArray[np.float64]  # (128,), of `count` embeddings
    count: int
    seconds: float  # of the last sighting, and its box
    box: Box


class Tracks:
    """The people of one video: `Tracks().add(...)` for each frame, in order, says who its faces are.

    same: a distance, see `SAME_PERSON`. near, bonus: see `NEAR` and `BONUS`; 0 goes by recognition alone.
    """

    def __init__(self, same: float = SAME_PERSON, near: float = NEAR, bonus: float = BONUS) -> None:
        self.same, self.near, self.bonus = same, near, bonus
        self._people: list[_Person] = []

    def add(self, seconds: float, boxes: Sequence[Box], embeddings: NDArray[np.floating]) -> list[int]:
        """The faces of the next frame. boxes: N of (x0, y0, x1, y1), pixels; embeddings: (N, 128), see `recognition`.

        Returns the number of each face's person, all different; people are numbered by their first frame.
        """
        known = len(self._people)
        if not len(boxes):
            return []
        cost = np.full((len(boxes), known + len(boxes)), self.same)  # the last columns: somebody new
        cost[:, :known] = self.costs(seconds, boxes, embeddings)
        people = []
        for face, person in zip(*linear_sum_assignment(cost), strict=True):
            if person >= known:
                person = len(self._people)
                self._people.append(_Person(np.zeros(np.shape(embeddings)[1]), 0, seconds, boxes[face]))
            seen = self._people[person]
            seen.total, seen.count = seen.total + embeddings[face], seen.count + 1
            seen.seconds, seen.box = seconds, boxes[face]
            people.append(int(person))
        return people

    def costs(self, seconds: float, boxes: Sequence[Box], embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """How unlike each of N faces is to each of the people so far, (N, people): distance less overlap's bonus."""
        cost = np.zeros((len(boxes), len(self._people)))
        for k, person in enumerate(self._people):
            cost[:, k] = np.linalg.norm(embeddings - person.total / person.count, axis=1)
            if self.bonus and seconds - person.seconds <= self.near:
                cost[:, k] -= self.bonus * np.array([overlap(box, person.box) for box in boxes])
        return cost
