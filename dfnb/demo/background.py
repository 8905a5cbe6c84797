"""Out-of-focus places to stand in front of."""

import cv2
import numpy as np

from dfnb.demo.scene import Scene


def paint(scene: Scene, height: int, width: int) -> np.ndarray:
    """(H, W, 3) float32 linear colours."""
    rng = np.random.default_rng([scene.key, 3])
    base = np.array([0.35, 0.34, 0.32]) * rng.uniform(0.5, 1.3)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    slope = rng.normal(0, 0.3)
    return (base * (1.0 + slope * (x - 0.5) - 0.25 * y)[..., None]).astype(np.float32)
