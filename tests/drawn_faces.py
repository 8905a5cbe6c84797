"""Faces to test with: landmarks drawn by hand in iBUG order, and pictures with structure at every scale."""

import cv2
import numpy as np


def landmarks(width: float = 200.0, centre: tuple[float, float] = (200.0, 200.0), angle: float = 0.0) -> np.ndarray:
    """A symmetric face of 68 points, (68, 2) float32; width: between the jaw's ends; angle: radians."""
    t = np.linspace(np.pi, 0, 17)
    jaw = np.stack([np.cos(t), 1.25 * np.sin(t) - 0.1], 1)
    brow = np.stack([np.linspace(-0.8, -0.2, 5), [-0.35, -0.45, -0.5, -0.48, -0.42]], 1)
    bridge = np.stack([np.zeros(4), np.linspace(-0.25, 0.2, 4)], 1)
    nostrils = np.stack([np.linspace(-0.2, 0.2, 5), [0.28, 0.31, 0.33, 0.31, 0.28]], 1)
    eye = np.array([(-0.6, -0.2), (-0.48, -0.27), (-0.36, -0.27), (-0.24, -0.19), (-0.36, -0.14), (-0.48, -0.14)])
    other_eye = (eye * (-1, 1))[[3, 2, 1, 0, 5, 4]]
    lips = [(-0.38, 0.62), (-0.25, 0.54), (-0.1, 0.5), (0, 0.52), (0.1, 0.5), (0.25, 0.54), (0.38, 0.62)]
    lips += [(0.25, 0.72), (0.1, 0.77), (0, 0.78), (-0.1, 0.77), (-0.25, 0.72)]
    inner = [(-0.3, 0.62), (-0.1, 0.59), (0, 0.6), (0.1, 0.59), (0.3, 0.62), (0.1, 0.66), (0, 0.67), (-0.1, 0.66)]
    points = np.concatenate([jaw, brow, (brow * (-1, 1))[::-1], bridge, nostrils, eye, other_eye, lips, inner])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (points @ turn * width / 2 + np.asarray(centre)).astype(np.float32)


def picture(height: int = 420, width: int = 400, seed: int = 0, grey: bool = False) -> np.ndarray:
    """A picture (height, width, 3) uint8 with structure at scales from the whole of it down to single pixels."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 45.0), (12, 25.0), (60, 10.0)):
        small = rng.standard_normal((cells, cells, 1 if grey else 3)).astype(np.float32)
        total += strength * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, -1)
    total += 3.0 * rng.standard_normal((height, width, 1)).astype(np.float32)
    return np.clip(np.rint(total + 128.0), 0, 255).astype(np.uint8)
