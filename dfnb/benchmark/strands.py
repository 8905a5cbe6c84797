"""Strands of hair: lines of points given as offsets from their roots on the skin, so that they follow its motion."""

from dataclasses import dataclass

import numpy as np

from dfnb.benchmark import anatomy, vertices

HAIR, BROW, OTHER = 8, 7, 0


@dataclass(frozen=True)
class Strands:
    """N strands of S points. `corner` and `share` bind the roots to the mesh."""

    corner: np.ndarray  # (N, 3) int32 vertices
    share: np.ndarray  # (N, 3) float32 barycentric weights
    offset: np.ndarray  # (N, S, 3) float32 from the root
    turn: np.ndarray  # (N, S) float32: how far a point follows the head rather than the torso
    tone: np.ndarray  # (N, S) float32: brightness, inner hair and roots darker
    colour: np.ndarray  # (N, 3) float32 linear
    width: np.ndarray  # (N,) float32, half-width
    kind: np.ndarray  # (N,) int32: HAIR, BROW or OTHER


def join(parts: list[Strands]) -> Strands:
    """One set of strands from several of equal point count."""
    names = ("corner", "share", "offset", "turn", "tone", "colour", "width", "kind")
    return Strands(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


def resample(s: Strands, points: int) -> Strands:
    have = s.offset.shape[1]
    if have == points:
        return s
    at = np.linspace(0, have - 1, points)
    low = np.minimum(at.astype(int), have - 2)
    f = (at - low)[None, :]

    def mix(a: np.ndarray) -> np.ndarray:
        w = f[..., None] if a.ndim == 3 else f
        return (a[:, low] * (1 - w) + a[:, low + 1] * w).astype(np.float32)

    return Strands(s.corner, s.share, mix(s.offset), mix(s.turn), mix(s.tone), s.colour, s.width, s.kind)


def sample_skin(rng: np.random.Generator, rest: np.ndarray, count: int, want) -> tuple[np.ndarray, np.ndarray]:
    """At most `count` places on the skin: corners (N, 3), shares (N, 3); `want(rest points)` is their chance."""
    a = anatomy.load()
    skin = vertices.skin_triangles()
    middle = want(a.template[skin].mean(1))
    corners = rest[skin]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    area = area * (np.maximum(middle, 0) + 0.02 > 0.02)
    grown = area > 0
    # neighbours of wanted triangles take part too, so that edges are not cut along the mesh
    near = np.isin(skin, np.unique(skin[grown])).any(1)
    area = np.where(
        near, np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1), 0
    )
    tries = 4 * count
    pick = rng.choice(len(skin), tries, p=area / area.sum())
    s = np.sqrt(rng.random(tries))
    u = rng.random(tries)
    share = np.stack([1 - s, s * (1 - u), s * u], 1)
    canon = (a.template[skin[pick]] * share[..., None]).sum(1)
    keep = np.nonzero(rng.random(tries) < want(canon))[0][:count]
    return skin[pick[keep]].astype(np.int32), share[keep].astype(np.float32)


def at_roots(values: np.ndarray, corner: np.ndarray, share: np.ndarray) -> np.ndarray:
    return (values[corner] * share[..., None]).sum(1)


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6)
