"""From samples of light to a picture: skin scatter, smooth edges, background, lens and sensor."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from dfnb.demo import background
from dfnb.demo.scene import Scene


@dataclass(frozen=True)
class Samples:
    """What the rays found, for N samples."""

    albedo: np.ndarray  # (N, 3) float32, linear
    light: np.ndarray  # (N, 3) irradiance
    gloss: np.ndarray  # (N, 3) specular radiance
    depth: np.ndarray  # (N,)
    code: np.ndarray  # (N, 2) int32: region, person


class Film:
    """Turns samples into pixels; keeps a scene's background between its frames."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[int, int, int], np.ndarray] | None = None
        self._grids: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self._frame = 0

    def expose(
        self,
        cast: Callable[[np.ndarray, np.ndarray], Samples],
        comb: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], None],
        scene: Scene,
        height: int,
        width: int,
        scale: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The picture (H, W, 3) uint8, regions (H, W) uint8 and persons (H, W) int8.

        `cast` shades samples; `comb` paints strands over (colour, region, person, depth) in place.

        `scale` is the usual face height in pixels: how far light scatters on the picture.
        """
        if (height, width) not in self._grids:
            ys, xs = np.mgrid[0:height, 0:width].astype(np.float32) + np.float32(0.5)
            self._grids[height, width] = xs.ravel(), ys.ravel()
        xs, ys = self._grids[height, width]
        s = cast(xs, ys)
        shape = (height, width)
        region = s.code[:, 0].reshape(shape).astype(np.uint8)
        person = s.code[:, 1].reshape(shape).astype(np.int8)
        depth = s.depth.reshape(shape)
        light = _scatter(s.light.reshape(*shape, 3), region, depth, scale)
        colour = s.albedo.reshape(*shape, 3) * light + s.gloss.reshape(*shape, 3)
        behind = self._behind(scene, height, width)
        colour[person < 0] = behind[person < 0]
        colour = np.ascontiguousarray(self._smooth_edges(cast, colour, behind, region, person, depth), np.float32)
        comb(colour, region, person, depth)
        rgb = develop(colour, scene, np.random.default_rng([scene.key, self._frame]))
        return rgb, region, person

    def _behind(self, scene: Scene, height: int, width: int) -> np.ndarray:
        key = (scene.key, height, width)
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, background.paint(scene, height, width))
        return self._kept[1]

    def _smooth_edges(self, cast, colour, behind, region, person, depth) -> np.ndarray:
        """Three more rays where neighbours differ in person, region or depth."""
        edge = np.zeros(region.shape, bool)
        for axis in (0, 1):
            other = [np.roll(a, 1, axis) for a in (region, person, depth)]
            differs = (other[0] != region) | (other[1] != person) | (np.abs(other[2] - depth) > 0.12)
            if axis == 0:
                differs[0] = False
            else:
                differs[:, 0] = False
            edge |= differs | np.roll(differs, -1, axis)
        ys, xs = np.nonzero(edge)
        if not len(ys):
            return colour
        offsets = np.array([[0.15, 0.35], [0.85, 0.65], [0.35, 0.85], [0.65, 0.15]], np.float32)
        s = cast(
            (xs[:, None] + offsets[:, 0]).ravel().astype(np.float32),
            (ys[:, None] + offsets[:, 1]).ravel().astype(np.float32),
        )
        fine = (s.albedo * s.light + s.gloss).reshape(-1, 4, 3)
        empty = (s.code[:, 1] < 0).reshape(-1, 4, 1)
        fine = np.where(empty, behind[ys, xs][:, None], fine)
        colour[ys, xs] = fine.mean(1)
        return colour


def _scatter(light: np.ndarray, region: np.ndarray, depth: np.ndarray, scale: float) -> np.ndarray:
    """Blur the light on skin, red widest, as scattering under the surface does; only skin gives and takes."""
    skin = ((region >= 1) & (region <= 4)).astype(np.float32)
    cloth = (region == 9).astype(np.float32)
    out = light.copy()
    for c, radius in enumerate((0.020, 0.011, 0.007)):
        sigma = max(radius * scale, 0.3)
        near = cv2.GaussianBlur(light[..., c] * skin, (0, 0), sigma) / np.maximum(
            cv2.GaussianBlur(skin, (0, 0), sigma), 1e-3
        )
        out[..., c] = np.where(skin > 0, near, light[..., c])
    # Cloth scatters nothing, but its soft shadows are sampled by one ray a pixel and want smoothing.
    sigma = 0.02 * scale
    weight = np.maximum(cv2.GaussianBlur(cloth, (0, 0), sigma), 1e-3)[..., None]
    near = cv2.GaussianBlur(light * cloth[..., None], (0, 0), sigma) / weight
    out = np.where(cloth[..., None] > 0, near, out)
    return out


def develop(colour: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Lens and sensor: exposure, tint, vignette, blur, a film-like curve, noise; (H, W, 3) uint8."""
    height, width = colour.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    fall = 1 - scene.vignette * 0.5 * (x * x + y * y)
    linear = colour * (np.array(scene.tint, np.float32) * scene.exposure) * fall[..., None].astype(np.float32)
    linear = cv2.GaussianBlur(linear.astype(np.float32), (0, 0), max(scene.blur * height / 320, 0.2))
    linear = np.clip(linear, 0, None)
    linear = linear * (1 + linear * 0.12) / (1 + linear * 0.28)  # highlights roll off
    value = np.power(linear, 1 / 2.2)
    value = value + scene.contrast * value * (1 - value) * (value - 0.45)
    grain = rng.standard_normal(colour.shape, dtype=np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), 0.6) * 1.8
    value = value * 255 + grain * scene.noise * (
        0.6 + 0.8 * np.sqrt(np.clip(value, 0, 1)) * (1.2 - np.clip(value, 0, 1))
    )
    return np.clip(value + 0.5, 0, 255).astype(np.uint8)
