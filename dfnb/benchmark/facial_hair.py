"""Brows and beards as strands rooted in the face."""

import numpy as np
from scipy.spatial import cKDTree

from dfnb.benchmark import anatomy, vertices
from dfnb.benchmark.person import Person
from dfnb.benchmark.strands import BROW, OTHER, Strands, at_roots, join, sample_skin, unit


def brow_line(t: np.ndarray) -> np.ndarray:
    """Height of the brow's middle on the rest head from its inner (0) to its outer end (1), decimetres."""
    return 7.45 + 0.115 * t - 0.15 * t * t


def brows(person: Person, rest, normals, rng: np.random.Generator) -> Strands:
    a = anatomy.load()
    skin = vertices.skin_triangles()
    tree = cKDTree(a.template[skin].mean(1))
    marks = a.template[vertices.landmarks()]
    draw = np.random.default_rng([person.key, 23])
    arch, drop, thick = draw.normal(0, 0.02), draw.normal(-0.005, 0.012), 0.055 * person.brow * draw.uniform(0.8, 1.15)
    count = int(210 * person.brow)
    parts = []
    for base, flip in ((22, 1.0), (17, -1.0)):
        line = marks[base : base + 5] if flip > 0 else marks[base : base + 5][::-1]
        t = rng.beta(0.95, 1.1, count)
        x = np.interp(t, np.linspace(0, 1, 5), line[:, 0])
        y = brow_line(t) + arch * np.sin(np.pi * t) + drop
        body = np.clip(np.minimum(0.5 + 1.6 * t, 1.3 * (1.06 - t)), 0.06, 1)
        y = y + rng.uniform(-0.5, 0.5, count) * thick * 1.7 * body
        z = np.interp(t, np.linspace(0, 1, 5), line[:, 2])
        place = np.stack([x, y, z], 1)
        tri = skin[tree.query(place, k=6)[1]]
        share = _barycentric(place[:, None], a.template[tri])
        best = share.min(-1).argmax(1)
        rows = np.arange(count)
        share = np.clip(share[rows, best], 0, 1)
        share /= share.sum(1, keepdims=True)
        corner = tri[rows, best]
        n = at_roots(normals, corner, share)
        up = np.array([0.0, 1.0, 0.0])
        out = np.array([flip, 0.0, 0.0])
        lean = np.clip(0.75 - 1.7 * t, -0.38, 0.75)[:, None] + rng.normal(0, 0.16, (count, 1))
        d = unit(out * (0.55 + 0.5 * np.clip(t, 0, 1)[:, None]) + up * lean)
        d = unit(d - n * (d * n).sum(1, keepdims=True) * 0.9)
        length = rng.uniform(0.055, 0.10, count) * (0.85 + 0.2 * person.brow)
        s = np.linspace(0, 1, 4)[None, :, None]
        offset = d[:, None] * s * length[:, None, None] + n[:, None] * (0.004 + 0.012 * np.sin(np.pi * s * 0.6))
        offset = offset - up * 0.018 * s * s
        colour = np.array(person.hair_colour) * (0.6 if max(person.hair_colour) > 0.06 else 1.0) + 0.06 * np.array(
            person.skin
        )
        if person.age < 60 and max(person.hair_colour) > 0.3:
            colour = np.array([0.09, 0.06, 0.04])
        colour = np.tile(colour, (count, 1)) * np.exp(rng.normal(0, 0.12, (count, 1)))
        full = np.ones((count, 4), np.float32)
        parts.append(
            Strands(corner.astype(np.int32), share.astype(np.float32), offset.astype(np.float32), full, 0.8 * full,
                    colour.astype(np.float32), np.full(count, 0.0012, np.float32), np.full(count, BROW, np.int32))
        )  # fmt: skip
    return join(parts)


def _barycentric(p: np.ndarray, tri: np.ndarray) -> np.ndarray:
    a, b, c = tri[..., 0, :], tri[..., 1, :], tri[..., 2, :]
    v0, v1, v2 = b - a, c - a, p - a
    d00, d01, d11 = (v0 * v0).sum(-1), (v0 * v1).sum(-1), (v1 * v1).sum(-1)
    d20, d21 = (v2 * v0).sum(-1), (v2 * v1).sum(-1)
    den = np.maximum(d00 * d11 - d01 * d01, 1e-12)
    v, w = (d11 * d20 - d01 * d21) / den, (d00 * d21 - d01 * d20) / den
    return np.stack([1 - v - w, v, w], -1)


def beard_chance(person: Person, canon: np.ndarray, kind: str = "") -> np.ndarray:
    """How densely a beard of the person's (or the given) kind grows at points (N, 3) of the shared rest head, 0..1."""
    azimuth = np.abs(np.arctan2(canon[:, 0], canon[:, 2] - 0.4))
    y = canon[:, 1]
    soft = lambda v, w: 1 / (1 + np.exp(-np.clip(v / w, -30, 30)))  # noqa: E731
    cheek = np.interp(azimuth, [0.0, 0.25, 0.35, 0.6, 0.9, 1.15, 1.3], [6.74, 6.72, 6.6, 6.62, 6.8, 7.1, 7.2])
    jaw = soft(cheek - y, 0.025) * soft(y - 5.95, 0.04) * soft(1.25 - azimuth, 0.03)
    lip = soft(y - 6.7, 0.012) * soft(6.81 - y, 0.012) * soft(0.27 - azimuth, 0.02)
    chin = soft(6.47 - y, 0.02) * soft(0.24 - azimuth, 0.03) * soft(y - 5.98, 0.04)
    mouth = soft(np.abs(y - 6.6) - 0.09, 0.012) + soft(azimuth - 0.27, 0.015)
    kinds = {
        "full": np.maximum(jaw, lip),
        "stubble": np.maximum(jaw, lip),
        "goatee": np.maximum(chin, lip),
        "moustache": lip,
    }
    kind = kind or person.beard
    around = kinds[kind]
    if kind == "goatee":
        ring = soft(0.33 - azimuth, 0.02) * soft(azimuth - 0.24, 0.02) * soft(6.78 - y, 0.02) * soft(y - 6.1, 0.03)
        around = np.maximum(around, ring)
    return np.clip(around * np.clip(mouth, 0, 1), 0, 1)


def beard(person: Person, rest, normals, rng: np.random.Generator) -> Strands:
    count, length = {"full": (7500, 0.15), "stubble": (2600, 0.022), "goatee": (1500, 0.14), "moustache": (700, 0.13)}[
        person.beard
    ]
    a = anatomy.load()
    corner, share = sample_skin(rng, rest, count, lambda c: beard_chance(person, c))
    keep = at_roots(a.lips[:, None], corner, share)[:, 0] < 0.15
    corner, share = corner[keep], share[keep]
    n = len(corner)
    normal = at_roots(normals, corner, share)
    root = at_roots(a.template, corner, share)
    d = np.stack([0.35 * np.tanh(root[:, 0] * 6), np.full(n, -1.0), np.full(n, 0.05)], 1) + rng.normal(0, 0.16, (n, 3))
    lip = root[:, 1] > 6.68
    d[:, 0] = np.where(lip, 1.6 * np.tanh(root[:, 0] * 9), d[:, 0])
    d = unit(d - normal * (d * normal).sum(1, keepdims=True) * 0.75)
    s = np.linspace(0, 1, 4)[None, :, None]
    lengths = length * rng.uniform(0.55, 1.15, n)
    lengths = np.where(lip, np.minimum(lengths, 0.075), lengths)
    offset = d[:, None] * s * lengths[:, None, None] + normal[:, None] * (
        0.3 * lengths[:, None, None] * np.sin(np.pi * s * 0.55) + 0.003
    )
    colour = np.array(person.hair_colour) * np.exp(rng.normal(0, 0.2, (n, 1)))
    if person.age > 40:
        colour = np.where(rng.random((n, 1)) < 0.02 * (person.age - 40) * 0.6, 0.34, colour)
    full = np.ones((n, 4), np.float32)
    width = np.full(n, 0.0026 if length > 0.05 else 0.0009, np.float32)
    return Strands(corner, share, offset.astype(np.float32), full, full * (0.55 + 0.45 * s[..., 0]).astype(np.float32),
                   colour.astype(np.float32), width, np.full(n, OTHER, np.int32))  # fmt: skip
