"""From samples of light to a picture: skin scatter, smooth edges, background, lens and sensor."""

import hashlib
from collections.abc import Callable

import cv2
import numpy as np

from dfnb.benchmark import background
from dfnb.benchmark.anatomy import Region
from dfnb.benchmark.scene import Scene

SKIN = (Region.SKIN, Region.EAR, Region.NECK, Region.LIP)


class Film:
    """Turns samples into pixels; keeps a scene's background between its frames."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[int, int, int], np.ndarray] | None = None
        self._grids: dict[tuple[int, int], np.ndarray] = {}
        self._sheet: tuple[tuple[int, int, int], np.ndarray] | None = None

    def expose(
        self,
        shade: Callable[[np.ndarray, np.ndarray, int], np.recarray],
        comb: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], None],
        faces: np.ndarray,
        scene: Scene,
        height: int,
        width: int,
        scale: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The picture (H, W, 3) uint8, regions (H, W) uint8 and persons (H, W) int8.

        `shade(pixels, slots, count)` shades subpixels of a picture of twice the size, given by flat index, into slots
        of `count` samples, a record array with the fields of `shading.Sample`; `faces` (2H, 2W) says which triangle
        each subpixel sees, -1 none. `comb` paints strands over (colour, region, person, depth) in place. `scale` is the
        usual face height in pixels, which sets how far light scatters on the picture.
        """
        if (height, width) not in self._grids:
            rows, columns = np.mgrid[0:height, 0:width].astype(np.int32) * 2
            self._grids[height, width] = (rows * (2 * width) + columns).ravel()
        shape = (height, width)
        slots = np.nonzero(faces[::2, ::2].ravel() >= 0)[0].astype(np.int32)
        s = shade(self._grids[height, width][slots], slots, height * width)
        region = s.region.astype(np.uint8).reshape(shape)
        person = s.person.astype(np.int8).reshape(shape)
        depth = s.depth.reshape(shape)
        lit = _fill_shadow(s.lit.reshape(shape), region, scale)[..., None]
        picture = (*shape, 3)
        light = _scatter(s.light.reshape(picture) + s.key.reshape(picture) * lit, region, scale)
        colour = s.albedo.reshape(picture) * light + s.gloss.reshape(picture) + s.key_gloss.reshape(picture) * lit
        behind = self._behind(scene, height, width)
        colour[person < 0] = behind[person < 0]
        colour = np.ascontiguousarray(self._smooth_edges(shade, colour, behind, region, person, depth, lit), np.float32)
        comb(colour, region, person, depth)
        rgb = develop(colour, scene, self._grain_for(scene, colour))
        return rgb, region, person

    def _grain_for(self, scene: Scene, colour: np.ndarray) -> np.ndarray:
        """(H, W, 3) sensor noise: a window of one larger sheet a scene.

        It is placed by the picture's content, so that frames differ and the same frame is always the same.
        """
        height, width = colour.shape[:2]
        key = (scene.key, height, width)
        if self._sheet is None or self._sheet[0] != key:
            rng = np.random.default_rng([scene.key, 4])
            sheet = rng.standard_normal((height + 97, width + 97, 3), dtype=np.float32)
            self._sheet = (key, cv2.GaussianBlur(sheet, (0, 0), 0.6) * 1.8)
        mark = int.from_bytes(hashlib.sha256(colour[::8, ::8].tobytes()).digest()[:4], "little")
        y, x = mark % 97, mark // 97 % 97
        return self._sheet[1][y : y + height, x : x + width]

    def _behind(self, scene: Scene, height: int, width: int) -> np.ndarray:
        key = (scene.key, height, width)
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, background.paint(scene, height, width))
        return self._kept[1]

    def _smooth_edges(self, shade, colour, behind, region, person, depth, lit) -> np.ndarray:
        """The three other subpixels too where neighbours differ in person, region or depth."""
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
        width = 2 * region.shape[1]
        corner = 2 * ys * width + 2 * xs
        pixels = (corner[:, None] + np.array([1, width, width + 1])).ravel().astype(np.int32)
        s = shade(pixels, np.arange(len(pixels), dtype=np.int32), len(pixels))
        seen = np.where(s.lit < 0, np.repeat(lit[ys, xs, 0], 3), s.lit)[:, None]
        fine = (s.albedo * (s.light + s.key * seen) + s.gloss + s.key_gloss * seen).reshape(-1, 3, 3)
        empty = (s.person < 0).reshape(-1, 3, 1)
        fine = np.where(empty, behind[ys, xs][:, None], fine)
        colour[ys, xs] = 0.25 * colour[ys, xs] + 0.75 * fine.mean(1)
        return colour


def _fill_shadow(lit: np.ndarray, region: np.ndarray, scale: float) -> np.ndarray:
    """Shadow 0..1 everywhere from the pixels that asked; eyes and mouth keep their own answers."""
    asked = (lit >= 0).astype(np.float32)
    asked_all = (region == Region.MOUTH) | (region == Region.EYE)
    out = np.abs(lit)
    for members, radius in ((np.isin(region, SKIN), 0.009), (region == Region.CLOTH, 0.03)):
        known = asked * members
        sigma = max(radius * scale, 0.8)
        weight = cv2.GaussianBlur(known, (0, 0), sigma)
        near = cv2.GaussianBlur(lit * known, (0, 0), sigma) / np.maximum(weight, 1e-4)
        out = np.where(members & (weight > 1e-4), near, out)
    return np.where(asked_all & (lit >= 0), lit, out).astype(np.float32)


def _scatter(light: np.ndarray, region: np.ndarray, scale: float) -> np.ndarray:
    """Blur the light on skin, red widest, as scattering under the surface does; only skin gives and takes."""
    skin = np.isin(region, SKIN).astype(np.float32)
    out = light.copy()
    for c, radius in enumerate((0.020, 0.011, 0.007)):
        sigma = max(radius * scale, 0.3)
        near = cv2.GaussianBlur(light[..., c] * skin, (0, 0), sigma) / np.maximum(
            cv2.GaussianBlur(skin, (0, 0), sigma), 1e-3
        )
        out[..., c] = np.where(skin > 0, near, light[..., c])
    return out


def develop(colour: np.ndarray, scene: Scene, grain: np.ndarray) -> np.ndarray:
    """Lens and sensor: exposure, tint, vignette, blur, a film-like curve, grain; (H, W, 3) uint8."""
    height, width = colour.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    fall = 1 - np.float32(0.5 * scene.vignette) * (x * x + y * y)
    gain = fall[..., None] * (np.array(scene.tint, np.float32) * np.float32(scene.exposure))
    linear = cv2.GaussianBlur(colour * gain, (0, 0), max(scene.blur * height / 320, 0.2))
    linear = np.maximum(linear, 0)
    linear *= (1 + linear * np.float32(0.12)) / (1 + linear * np.float32(0.28))  # highlights roll off
    value = cv2.pow(linear, 1 / 2.2)
    value += np.float32(scene.contrast) * value * (1 - value) * (value - np.float32(0.45))
    level = np.minimum(value, 1)
    strength = np.float32(scene.noise) * (np.float32(0.7) + np.float32(0.6) * level * (np.float32(1.3) - level))
    return cv2.convertScaleAbs(np.maximum(value * 255 + grain * strength, 0))
