"""Skin maps painted in the shared rest head's cylinder coordinates, so that the texture sticks to the face."""

from functools import lru_cache

import cv2
import numpy as np

from dfnb.benchmark import facial_hair, hair
from dfnb.benchmark.person import Person

SIZE = 1024
HIGH, SPAN = 9.0, 5.0  # the maps' top in decimetres, and their height (see shading.map_place)


@lru_cache(maxsize=1)
def grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth (radians) and height (decimetres), each (SIZE, SIZE), and places on the rest head (SIZE * SIZE, 3)."""
    azimuth = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE * 2 * np.pi - np.pi
    height = HIGH - (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE * SPAN
    lift = np.clip((height - 7.6) / 0.85, 0, np.pi / 2)
    height = np.where(lift > 0, 7.6 + 0.89 * np.sin(lift), height)  # the skull is round: undo map_place's bend
    radius = np.where(lift > 0, 0.89 * np.cos(lift), 0.95)
    a, y = np.meshgrid(azimuth, height)
    r = np.broadcast_to(radius[:, None], a.shape)
    canon = np.stack([np.sin(a) * r, y, 0.4 + np.cos(a) * r], -1).reshape(-1, 3)
    return a.astype(np.float32), y.astype(np.float32), canon.astype(np.float32)


def noise(rng: np.random.Generator, cells: int, octaves: int = 1) -> np.ndarray:
    """Smooth noise of unit deviation, (SIZE, SIZE) float32; `cells` across the map in the first octave."""
    total = np.zeros((SIZE, SIZE), np.float32)
    for o in range(octaves):
        n = min(cells * 2**o, SIZE)
        small = rng.standard_normal((n, n), dtype=np.float32)
        total += cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) * 0.6**o
    return total / total.std()


def _blob(x: float, y: float, wide: float, tall: float) -> np.ndarray:
    """A soft spot on both sides of the face (or in the middle for x = 0)."""
    a, h, _ = grid()
    return np.exp(-(((np.abs(a) - x) / wide) ** 2) - ((h - y) / tall) ** 2)


def _tint(colour: np.ndarray, amount: np.ndarray, loss: list[float] | np.ndarray) -> None:
    """Take `amount` (SIZE, SIZE) times `loss` (3,) of the colour away, in place."""
    for c in range(3):
        colour[..., c] *= 1 - amount * np.float32(loss[c])


def _coarse(function) -> np.ndarray:
    """A smooth function of places on the rest head as a map, worked out at half the size."""
    places = grid()[2].reshape(SIZE, SIZE, 3)[::2, ::2].reshape(-1, 3)
    half = function(places).reshape(SIZE // 2, SIZE // 2).astype(np.float32)
    return cv2.resize(cv2.GaussianBlur(half, (0, 0), 1), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)


def skin_map(person: Person) -> np.ndarray:
    """(SIZE, SIZE, 4) uint8: square root of the linear albedo, and the skin's relief around 128."""
    rng = np.random.default_rng([person.key, 10])
    a, y, _ = grid()
    face = np.clip((1.35 - np.abs(a)) / 0.3, 0, 1) * np.clip((y - 5.6) / 0.4, 0, 1)
    colour = np.broadcast_to(np.array(person.skin, np.float32), (SIZE, SIZE, 3)).copy()
    light = 1 - person.melanin

    # Blood shows through: cheeks, nose, ears and chin are redder, the brow and the neck yellower.
    red = 1.0 * _blob(0.52, 6.92, 0.24, 0.2) + 1.0 * _blob(0.0, 6.95, 0.13, 0.13) + 1.1 * _blob(1.45, 7.1, 0.3, 0.35)
    red += 0.5 * _blob(0.0, 6.3, 0.2, 0.12) + 0.3 * _blob(0.0, 7.7, 0.3, 0.1) - 0.25 * _blob(0.0, 7.75, 0.6, 0.25)
    red = red * (0.45 + 0.75 * person.redness) + 0.28 * noise(rng, 40, 4) + 0.12 * noise(rng, 140, 2)
    red *= 0.35 + 0.65 * light
    _tint(colour, red, [-0.035, 0.095, 0.085])
    brown = 0.055 * noise(rng, 30, 4) + 0.03 * noise(rng, 300, 2)
    _tint(colour, brown, [-0.8, -1.0, -1.1])
    # Darker, bluer around the eyes; paler under the brows.
    tired = 0.6 + 0.5 * rng.random() + 0.3 * person.wrinkles
    socket = (
        0.75 * _blob(0.25, 7.17, 0.15, 0.07) + 0.5 * _blob(0.31, 7.34, 0.17, 0.055) + 0.5 * _blob(0.15, 7.26, 0.05, 0.1)
    )
    _tint(colour, np.clip(socket * tired, 0, 1.2), [0.16, 0.22, 0.17])
    if person.makeup > 0:
        shadow = _blob(0.31, 7.345, 0.16, 0.045) * person.makeup
        tone = rng.uniform([0.45, 0.5, 0.5], [0.75, 0.7, 0.75])
        _tint(colour, shadow, 1 - tone)
        blush = _blob(0.62, 6.98, 0.2, 0.14) * person.makeup
        _tint(colour, blush, [0.0, 0.14, 0.10])

    # Freckles, moles, spots, sun marks.
    if person.freckles > 0:
        where = np.clip(_blob(0.35, 7.02, 0.4, 0.25) + 0.5 * _blob(0.0, 7.75, 0.5, 0.2), 0, 1)
        spots = np.clip((noise(rng, 400, 1) - 1.1) * 1.4, 0, 1) * where * min(person.freckles, 1.0)
        _tint(colour, spots, [0.26, 0.42, 0.5])
    marks = np.zeros((SIZE, SIZE, 3), np.float32)
    for _ in range(int(rng.poisson(3 + 9 * person.blemishes + 14 * person.wrinkles))):
        at = (
            int((rng.normal(0, 0.5) + np.pi) / (2 * np.pi) * SIZE),
            int((HIGH - rng.uniform(6.1, 7.95)) / SPAN * SIZE),
        )
        kind = rng.random()
        size = (max(1, int(rng.gamma(2.0, 1.3))), max(1, int(rng.gamma(2.0, 1.4))))
        shade = [0.5, 0.6, 0.62] if kind < 0.3 else [0.03, 0.2, 0.16] if kind < 0.65 else [0.12, 0.2, 0.24]
        cv2.ellipse(marks, at, size, 0, 0, 360, [s * rng.uniform(0.5, 1.0) for s in shade], -1, cv2.LINE_AA)
    colour *= 1 - cv2.GaussianBlur(marks, (0, 0), 1.2)

    relief = _relief(person, rng, a, y, face)
    _tint(colour, np.clip(cv2.GaussianBlur(relief, (0, 0), 1.5), -0.6, 0.3), [-0.25, -0.25, -0.25])

    # Roots of hair under the skin: the scalp, the beard's shadow, the brows' ground.
    dark = np.array(person.hair_colour, np.float32)
    if person.female < 0.5:
        kind = "full" if person.beard in ("none", "stubble") else person.beard
        shadow = _coarse(lambda c: facial_hair.beard_chance(person, c, kind))
        strength = {"none": 0.12, "stubble": 0.34}.get(person.beard, 0.6)
        young = np.clip((person.age - 16) / 8, 0.3, 1)
        shadow = shadow * strength * young * (0.5 + 0.5 * light) * (1.0 if max(dark) < 0.12 else 0.5)
        _tint(colour, shadow, [1.0, 0.88, 0.72])
    inside = _coarse(lambda c: hair.scalp(person, c, rng))
    thick = {"bald": 0.22, "buzz": 0.62, "receding": 0.72}.get(person.hair, 0.88)
    root = (np.clip(inside / 0.08, 0, 1) * np.float32(thick))[..., None]
    colour = colour * (1 - root) + (0.16 * colour + 0.55 * dark) * root
    t = np.clip((np.abs(a) - 0.10) / 0.44, 0, 1)
    arch = facial_hair.brow_line(t)
    ground = np.exp(-(((y - arch) / (0.030 * person.brow)) ** 2)) * np.clip((np.abs(a) - 0.07) / 0.06, 0, 1)
    ground = np.float32(1) * (ground * np.clip((0.56 - np.abs(a)) / 0.12, 0, 1) * 0.34 * person.brow)[..., None]
    colour = colour * (1 - ground) + np.minimum(dark, 0.1) * ground

    out = np.empty((SIZE, SIZE, 4), np.uint8)
    out[..., :3] = np.clip(np.sqrt(np.clip(colour, 0, 1)) * 255 + 0.5, 0, 255)
    out[..., 3] = np.clip(128 + relief * 110, 0, 255)
    return out


def _relief(person: Person, rng: np.random.Generator, a: np.ndarray, y: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Pores and lines as height, about -1..1."""
    grain = 0.10 * noise(rng, 512, 1) + 0.07 * noise(rng, 200, 1)
    pores = (
        -0.30
        * np.clip(noise(rng, 420, 1) - 1.2, 0, 1.5)
        * np.clip(_blob(0.25, 6.95, 0.3, 0.2) + _blob(0, 7.7, 0.4, 0.15), 0, 1)
    )
    relief = (grain + pores) * (0.55 + 0.5 * person.blemishes) * (0.4 + 0.6 * face)
    w = person.wrinkles
    if w > 0.02:
        wave = 0.05 * noise(rng, 14, 2)
        fade = (
            np.clip((0.62 - np.abs(a)) / 0.25, 0, 1)
            * np.clip((y - 7.52) / 0.06, 0, 1)
            * np.clip((7.93 - y) / 0.08, 0, 1)
        )
        lines = np.clip(np.cos((y + 0.5 * wave - 0.06 * np.cos(3 * a)) * 2 * np.pi / 0.105) - 0.72, 0, 1) / 0.28
        relief = relief - 0.55 * w * lines * fade * np.clip(0.6 + noise(rng, 20, 1) * 0.5, 0, 1)
        # crow's feet
        dx, dy = np.abs(a) - 0.42, y - 7.27
        ray = np.arctan2(dy, dx * 0.95)
        far = np.hypot(dx * 0.95, dy)
        feet = np.clip(np.cos(ray * 11 + 0.8) - 0.6, 0, 1) / 0.4
        feet *= np.exp(-(((far - 0.13) / 0.07) ** 2)) * (np.abs(ray) < 0.95)
        relief = relief - 0.5 * w * feet
        # under the eyes, and from nose to mouth
        bag = np.exp(-(((y - (7.12 + 0.25 * (np.abs(a) - 0.29) ** 2 * 4)) / 0.014) ** 2)) * np.exp(
            -(((np.abs(a) - 0.29) / 0.12) ** 2)
        )
        fold = np.abs(a) - (0.16 + 0.13 * np.clip((6.9 - y) / 0.35, 0, 1))
        fold = np.exp(-((fold / 0.014) ** 2)) * np.clip((6.9 - y) / 0.08, 0, 1) * np.clip((y - 6.5) / 0.12, 0, 1)
        relief = relief - 0.5 * w * bag - 0.55 * w * fold
    return relief.astype(np.float32)
