"""Hair, brows, beards and lashes as strands: where they grow and how they fall.

A strand is a line of points given as offsets from its root, a place on the skin: so it follows the skin's motion.
Hair is grown as a few hundred guides, each led by the style's comb, its own stiffness and gravity, and kept outside
the head; thousands of strands then follow the nearest guides in loose locks. Units: decimetres, the person's rest head.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from dfnb.benchmark.facial_hair import beard, brows
from dfnb.benchmark.person import Person
from dfnb.benchmark.strands import HAIR, Strands, at_roots, join, resample, sample_skin, unit

CENTRE = np.array([0.0, 7.3, 0.45])  # rays from here meet the head's outside once, nearly everywhere

# Hairline: azimuth about the head (radians from the front) and height on the rest head.
_AZIMUTH = np.array([0.0, 0.3, 0.5, 0.7, 0.9, 1.08, 1.2, 1.32, 1.6, 1.85, 2.1, 2.5, 3.15])
_LINE = np.array([7.93, 7.95, 7.95, 7.88, 7.68, 7.35, 7.06, 7.36, 7.4, 7.1, 6.68, 6.42, 6.36])


@dataclass(frozen=True)
class Style:
    """How a haircut grows. Lengths in decimetres."""

    top: float
    sides: float
    volume: float
    gravity: float
    comb: str  # forward, side, back, part, out
    strands: int = 4200
    curl: float = 0.0
    turns: float = 3.0
    lock: float = 0.5
    floor: float = 0.0  # height where long hair ends, 0 for none
    width: float = 0.0032


STYLES = {
    "buzz": Style(0.09, 0.06, 0.03, 0.0, "out", 11000, 0.0, 0.0, 0.0, 0.0, 0.0018),
    "short": Style(0.42, 0.20, 0.10, 0.15, "forward", 5600, 0.01, 2.0, 0.55),
    "parted": Style(0.75, 0.28, 0.14, 0.25, "part", 5600, 0.012, 1.5, 0.6),
    "swept": Style(0.75, 0.25, 0.16, 0.1, "back", 5600, 0.012, 1.5, 0.6),
    "curly": Style(0.60, 0.42, 0.20, 0.55, "forward", 5600, 0.045, 3.5, 0.75),
    "fringe": Style(0.72, 0.45, 0.12, 0.35, "forward", 5600, 0.008, 1.0, 0.6),
    "bob": Style(2.2, 1.9, 0.17, 0.6, "part", 5200, 0.012, 1.5, 0.65, 6.05, 0.0040),
    "long": Style(3.0, 2.7, 0.18, 0.7, "part", 5600, 0.02, 2.0, 0.7, 5.85, 0.0040),
    "tied": Style(1.15, 0.95, 0.05, 0.0, "back", 5600, 0.004, 1.0, 0.4),
    "receding": Style(0.32, 0.18, 0.06, 0.15, "back", 4200, 0.01, 2.0, 0.4),
    "afro": Style(0.55, 0.5, 0.42, 0.0, "out", 8000, 0.05, 7.0, 0.25, 0.0, 0.0030),
    "bald": Style(0.05, 0.05, 0.02, 0.0, "out", 2500, 0.0, 0.0, 0.0, 0.0, 0.0012),
}


def scalp(person: Person, canon: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How far inside the hairline points (N, 3) of the shared rest head lie, decimetres; negative outside."""
    azimuth = np.abs(np.arctan2(canon[:, 0], canon[:, 2] - 0.4))
    line = np.interp(azimuth, _AZIMUTH, _LINE)
    draw = np.random.default_rng([person.key, 20])
    peak, temple, height = draw.normal(0, 0.03), draw.uniform(0, 0.10), draw.normal(0.0, 0.045)
    front = np.clip(1.1 - azimuth, 0, 0.4) / 0.4
    man = person.female < 0.5
    line = line + front * (height - (0.0 if man else 0.08) + peak * np.cos(azimuth * 6))
    line = line + (0.12 if man else 0.03) * np.exp(-(((azimuth - 0.55) / 0.2) ** 2)) * (0.5 + 8 * temple)
    if man:
        line = line - 0.10 * np.exp(-(((azimuth - 1.2) / 0.1) ** 2)) * draw.uniform(0, 1)
    inside = canon[:, 1] - line
    if person.hair in ("receding", "bald"):
        loss = 0.34 if person.hair == "receding" else 0.9
        bare = np.clip((1.45 - azimuth) / 0.5, 0, 1) * loss
        inside = inside - bare
        if person.hair == "bald":
            inside = np.minimum(inside, 7.72 - canon[:, 1])
    ear = (canon[:, 1] < 7.36) & (azimuth > 1.22) & (azimuth < 1.75)
    return np.where(ear, -1.0, inside) + rng.normal(0, 0.012, len(canon))


def grow(person: Person, rest: np.ndarray, normals: np.ndarray, reach: "Reach") -> Strands:
    """All strands of a person but the lashes. `rest` (V, 3) and `normals` (V, 3): the person's neutral head."""
    rng = np.random.default_rng([person.key, 21])
    parts = [_hair(person, rest, normals, reach, rng), brows(person, rest, normals, rng)]
    if person.beard != "none":
        parts.append(beard(person, rest, normals, rng))
    points = max(p.offset.shape[1] for p in parts)
    return join([resample(p, points) for p in parts])


class Reach:
    """A body part's outside as a distance from a centre by direction, from rays cast inwards."""

    ROWS, COLUMNS = 72, 144

    def __init__(self, radius: np.ndarray, centre: np.ndarray) -> None:
        self.radius = radius.reshape(self.ROWS, self.COLUMNS)
        self.centre = centre

    @classmethod
    def directions(cls) -> np.ndarray:
        """(ROWS * COLUMNS, 3) float32 unit vectors."""
        polar = (np.arange(cls.ROWS) + 0.5) / cls.ROWS * np.pi
        azimuth = (np.arange(cls.COLUMNS) + 0.5) / cls.COLUMNS * 2 * np.pi - np.pi
        p, a = np.meshgrid(polar, azimuth, indexing="ij")
        v = np.stack([np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)], -1)
        return v.reshape(-1, 3).astype(np.float32)

    def at(self, direction: np.ndarray) -> np.ndarray:
        """Distances (...,) to the outside along unit vectors (..., 3)."""
        row = np.arccos(np.clip(direction[..., 1], -1, 1)) / np.pi * self.ROWS - 0.5
        column = (np.arctan2(direction[..., 0], direction[..., 2]) + np.pi) / (2 * np.pi) * self.COLUMNS - 0.5
        r0, c0 = np.floor(row).astype(int), np.floor(column).astype(int)
        fr, fc = row - r0, column - c0
        r0, r1 = np.clip(r0, 0, self.ROWS - 1), np.clip(r0 + 1, 0, self.ROWS - 1)
        c1 = (c0 + 1) % self.COLUMNS
        c0 = c0 % self.COLUMNS
        g = self.radius
        return (g[r0, c0] * (1 - fc) + g[r0, c1] * fc) * (1 - fr) + (g[r1, c0] * (1 - fc) + g[r1, c1] * fc) * fr

    def height(self, points: np.ndarray) -> np.ndarray:
        """How far outside points (..., 3) lie."""
        d = points - self.centre
        r = np.linalg.norm(d, axis=-1)
        return r - self.at(d / np.maximum(r, 1e-6)[..., None])

    def outside(self, points: np.ndarray, layer: np.ndarray | float) -> np.ndarray:
        """Points (N, 3) moved out to at least `layer` from the surface."""
        d = points - self.centre
        r = np.linalg.norm(d, axis=1)
        d = d / np.maximum(r, 1e-6)[:, None]
        inside = self.at(d)
        return self.centre + d * np.where(inside > 0, np.maximum(r, inside + layer), r)[:, None]


def _hair(person: Person, rest, normals, reach: Reach, rng: np.random.Generator) -> Strands:
    style = STYLES[person.hair]

    def want(canon: np.ndarray) -> np.ndarray:
        return np.clip(scalp(person, canon, rng) / (0.06 if style.top > 0.3 else 0.14), 0, 1)

    corner, share = sample_skin(rng, rest, style.strands, want)
    guides = min(420, len(corner))
    starts, upright = (at_roots(values, corner[:guides], share[:guides]) for values in (rest, normals))
    paths = _grow_guides(person, style, starts, upright, reach, rng)
    roots = at_roots(rest, corner, share)
    steps = paths.shape[1]
    bend = paths - paths[:, :1]
    # Strands near a parting must not mix its two sides.
    key = np.concatenate([paths[:, 0], 0.3 * bend[:, steps // 3]], 1)
    first = cKDTree(paths[:, 0]).query(roots)[1]
    _, near = cKDTree(key).query(np.concatenate([roots, 0.3 * bend[first, steps // 3]], 1), k=3)
    w = rng.dirichlet([1.2, 0.8, 0.5], len(corner))
    offset = (bend[near] * w[..., None, None]).sum(1)
    along = np.linspace(0, 1, steps)[None, :, None]
    # locks: the tips draw together towards their guide
    pull = style.lock * along**1.2 * 0.75
    offset = offset + pull * (paths[near[:, 0], 0] - roots)[:, None]
    offset = offset * (1 - rng.random((len(corner), 1, 1)) ** 2 * (0.35 if style.floor == 0 else 0.18))
    scatter = unit(rng.normal(size=(len(corner), 1, 3)))
    offset = offset + scatter * along * rng.exponential(0.018 if style.floor == 0 else 0.03, (len(corner), 1, 1))
    if style.curl:
        phase = rng.uniform(0, 6.28, (guides, 1))[near[:, 0]] + rng.normal(0, 0.5, (len(corner), 1))
        turns = style.turns * rng.uniform(0.8, 1.2, (len(corner), 1))
        wave = phase + 6.28 * turns * along[..., 0]
        n = at_roots(normals, corner, share)
        side = unit(np.cross(n, [0.2, 1.0, 0.1]))
        ramp = np.minimum(along * 3, 1)
        offset = offset + style.curl * ramp * (
            np.cos(wave)[..., None] * side[:, None] + np.sin(wave)[..., None] * n[:, None]
        )
    p = roots[:, None] + offset
    above = reach.height(p)
    tone = 0.38 + 0.62 * np.clip(above / (0.75 * style.volume + 0.03), 0, 1)
    if person.hair in ("buzz", "bald"):
        tone = np.full_like(tone, 0.85)
    lock_tone = rng.normal(0, 0.22, guides)[near[:, 0]] + rng.normal(0, 0.2, len(corner))
    colour = np.array(person.hair_colour) * np.exp(lock_tone)[:, None] * np.exp(rng.normal(0, 0.05, (len(corner), 3)))
    if max(person.hair_colour) > 0.1 or person.age > 45:
        white = rng.random((len(corner), 1)) < 0.10 * (person.age > 40)
        colour = np.where(white, 0.4, colour)
    turn = np.clip((p[..., 1] - 4.9) / 1.2, 0, 1)
    width = style.width * rng.uniform(0.6, 1.3, len(corner))
    n = len(corner)
    return Strands(corner, share, offset.astype(np.float32), turn.astype(np.float32), tone.astype(np.float32),
                   colour.astype(np.float32), width.astype(np.float32), np.full(n, HAIR, np.int32))  # fmt: skip


def _grow_guides(person: Person, style: Style, roots, normals, reach: Reach, rng) -> np.ndarray:
    """Guide paths (G, S, 3), each in its layer of the hair's thickness."""
    steps = 20 if style.top > 1.5 else 12
    n = len(roots)
    draw = np.random.default_rng([person.key, 22])
    part = draw.choice([-1, 1]) * draw.choice([0.0, 0.28, 0.38])
    if style.comb == "part" and style.floor == 0:
        part = draw.choice([-1, 1]) * draw.uniform(0.3, 0.42)
    scale = draw.uniform(0.85, 1.15)
    high = np.clip((roots[:, 1] - 7.55) / 0.5, 0, 1)
    length = (style.sides + (style.top - style.sides) * high) * scale * rng.uniform(0.85, 1.1, n)
    layer = style.volume * scale * (0.25 + 0.75 * rng.random(n)) * (0.5 + 0.5 * high if style.floor == 0 else 1.0)
    side = np.where(roots[:, 0] > part, 1.0, -1.0)
    p = roots.copy()
    lift = {"out": 1.0, "forward": 0.6, "part": 0.45, "back": 0.55}[style.comb]
    if person.hair == "tied":
        lift = 0.12
    direction = unit(normals * lift + _comb(style, roots, roots, side, person) + rng.normal(0, 0.10, (n, 3)))
    paths = [p]
    for s in range(1, steps):
        f = s / (steps - 1)
        out = unit(p - CENTRE)
        comb = _comb(style, p, roots, side, person)
        pull = np.array([0.0, -1.0, 0.0]) * style.gravity * (0.35 + 1.3 * f)
        rise = np.full((n, 1), 0.7)
        if style.comb != "out":  # lies on the head: rises near its roots only, and is drawn back where it stands off
            free = reach.height(p) - layer * min(1.0, 3 * f)
            near = np.clip((p[:, 1] - 6.7) / 0.6, 0, 1)
            rise = (lift * max(0.0, 0.35 - f) - np.clip(6 * free, 0, 1.6) * near)[:, None]
        direction = unit(direction * 0.9 + comb * 0.6 + pull + out * rise + rng.normal(0, 0.05 + style.curl, (n, 3)))
        q = p + direction * (length / (steps - 1))[:, None]
        if style.floor:
            q = _beside_face(q)
            stop = q[:, 1] < style.floor + 0.25 * np.sin(roots[:, 0] * 9) * 0.3
            q = np.where(stop[:, None], p, q)
        q = reach.outside(q, layer * min(1.0, 2.2 * f) + 0.012)
        p = q
        paths.append(p)
    return np.stack(paths, 1)


def _beside_face(p: np.ndarray) -> np.ndarray:
    """Keep long hair off the face: below the brows it hangs beside it."""
    low = np.clip((7.75 - p[:, 1]) / 0.35, 0, 1)
    ahead = np.clip((p[:, 2] - 0.35) / 0.4, 0, 1)
    edge = 0.70 * low * ahead
    x = np.where(np.abs(p[:, 0]) < edge, np.sign(p[:, 0]) * edge, p[:, 0])
    z = p[:, 2] - 0.12 * low * np.clip(p[:, 2] - 0.75, 0, 1)
    z = z - 0.06 * np.clip((6.6 - p[:, 1]) / 0.4, 0, 1) * np.clip((p[:, 2] + 0.1) / 0.3, 0, 1)  # behind the shoulders
    return np.stack([x, p[:, 1], z], 1)


def _comb(style: Style, p: np.ndarray, roots: np.ndarray, side: np.ndarray, person: Person) -> np.ndarray:
    n = len(p)
    zero = np.zeros(n)
    temple = np.clip((7.75 - roots[:, 1]) / 0.3, 0, 1)  # the sides grow down whatever the top does
    if style.comb == "forward":
        v = np.stack([0.12 * side, -0.25 + zero, 1.0 + zero], 1)
    elif style.comb == "back":
        v = np.stack([0.15 * np.sign(roots[:, 0]), zero, -1.0 + zero], 1)
    elif style.comb == "part":
        high = np.clip((p[:, 1] - 7.75) / 0.4, 0, 1)  # across the top, then down
        v = np.stack([side * (0.15 + 0.85 * high), -0.9 + 0.8 * high, -0.1 - 0.4 * np.clip(p[:, 2] - 0.4, 0, 1)], 1)
    else:
        v = np.stack([zero, 0.05 + zero, zero], 1)
    if person.hair != "tied" and style.comb != "out":
        down = np.stack([zero, -1.0 + zero, -0.35 + zero], 1)
        v = v * (1 - temple[:, None]) + down * temple[:, None]
    return v
