"""Skin maps painted in the shared rest head's cylinder coordinates, so that the texture sticks to the face."""

from functools import lru_cache

import cv2
import numpy as np

from dfnb.demo.person import Person

SIZE = 1024
HIGH, SPAN = 9.0, 5.0  # the maps' top in decimetres, and their height


@lru_cache(maxsize=1)
def grid() -> tuple[np.ndarray, np.ndarray]:
    """Angle (radians) and height (decimetres) of every texel, each (SIZE, SIZE) float32."""
    angle = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE * 2 * np.pi - np.pi
    height = HIGH - (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE * SPAN
    return np.meshgrid(angle, height)


def noise(rng: np.random.Generator, cells: int, octaves: int = 1) -> np.ndarray:
    """Smooth noise of about unit deviation, (SIZE, SIZE) float32; `cells` across the map in the first octave."""
    total = np.zeros((SIZE, SIZE), np.float32)
    for o in range(octaves):
        n = min(cells * 2**o, SIZE)
        small = rng.standard_normal((n, n), dtype=np.float32)
        total += cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) * 0.6**o
    return total / total.std()


def skin_map(person: Person) -> np.ndarray:
    """(SIZE, SIZE, 4) uint8: square root of the linear albedo, and the skin's relief and shine."""
    rng = np.random.default_rng([person.key, 10])
    colour = np.broadcast_to(np.array(person.skin, np.float32), (SIZE, SIZE, 3)).copy()
    colour *= 1 + 0.05 * noise(rng, 24, 3)[..., None]
    relief = 0.5 + 0.1 * noise(rng, 512, 1)
    out = np.empty((SIZE, SIZE, 4), np.uint8)
    out[..., :3] = np.clip(np.sqrt(np.clip(colour, 0, 1)) * 255, 0, 255)
    out[..., 3] = np.clip(relief * 255, 0, 255)
    return out
