"""Hair, brows, beards and lashes as strands: where they grow and how they fall.

A strand is a line of points given as offsets from its root, a place on the skin: so it follows the skin's motion.
Hair is grown as a few hundred guides, each led by the style's comb, its own stiffness and gravity, and kept outside
the head; thousands of strands then follow the nearest guides in loose locks. Units: decimetres, the person's rest head.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from dfnb.demo import anatomy
from dfnb.demo.person import Person
from dfnb.demo.vertices import landmark_vertices

HAIR, BROW, OTHER = 8, 7, 0
CENTRE = np.array([0.0, 7.3, 0.45])  # rays from here meet the head's outside once, nearly everywhere
CHEST = np.array([0.0, 4.4, 0.1])  # and from here the torso's

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
    "curly": Style(0.62, 0.36, 0.30, 0.12, "out", 4600, 0.055, 4.0, 0.8),
    "fringe": Style(0.72, 0.45, 0.12, 0.35, "forward", 5600, 0.008, 1.0, 0.6),
    "bob": Style(2.2, 1.9, 0.17, 0.6, "part", 5200, 0.012, 1.5, 0.65, 6.05, 0.0040),
    "long": Style(3.0, 2.7, 0.18, 0.7, "part", 5600, 0.02, 2.0, 0.7, 5.6, 0.0040),
    "tied": Style(1.15, 0.95, 0.05, 0.0, "back", 5600, 0.004, 1.0, 0.4),
    "receding": Style(0.32, 0.18, 0.06, 0.15, "back", 4200, 0.01, 2.0, 0.4),
    "afro": Style(0.55, 0.5, 0.42, 0.0, "out", 8000, 0.05, 7.0, 0.25, 0.0, 0.0030),
    "bald": Style(0.05, 0.05, 0.02, 0.0, "out", 2500, 0.0, 0.0, 0.0, 0.0, 0.0012),
}


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


def scalp(person: Person, canon: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How far inside the hairline points (N, 3) of the shared rest head lie, decimetres; negative outside."""
    azimuth = np.abs(np.arctan2(canon[:, 0], canon[:, 2] - 0.4))
    line = np.interp(azimuth, _AZIMUTH, _LINE)
    own = np.random.default_rng([person.key, 20])
    peak, temple, height = own.normal(0, 0.03), own.uniform(0, 0.10), own.normal(0.0, 0.045)
    front = np.clip(1.1 - azimuth, 0, 0.4) / 0.4
    man = person.female < 0.5
    line = line + front * (height - (0.0 if man else 0.08) + peak * np.cos(azimuth * 6))
    line = line + (0.12 if man else 0.03) * np.exp(-(((azimuth - 0.55) / 0.2) ** 2)) * (0.5 + 8 * temple)
    if man:
        line = line - 0.10 * np.exp(-(((azimuth - 1.2) / 0.1) ** 2)) * own.uniform(0, 1)
    inside = canon[:, 1] - line
    if person.hair in ("receding", "bald"):
        loss = 0.34 if person.hair == "receding" else 0.9
        bare = np.clip((1.45 - azimuth) / 0.5, 0, 1) * loss
        crown = 8.32 - 1.2 * np.hypot(canon[:, 0], canon[:, 2] - 0.15) if person.hair == "receding" else 9
        inside = np.minimum(inside - bare, crown * 0 + inside + 0.0)
        if person.hair == "bald":
            inside = np.minimum(inside, 7.72 - canon[:, 1])
    ear = (canon[:, 1] < 7.36) & (azimuth > 1.22) & (azimuth < 1.75)
    return np.where(ear, -1.0, inside) + rng.normal(0, 0.012, len(canon))


def grow(person: Person, rest: np.ndarray, normals: np.ndarray, reach: "Reach", torso: "Reach") -> Strands:
    """All strands of a person but the lashes. `rest` (V, 3) and `normals` (V, 3): the person's neutral head."""
    rng = np.random.default_rng([person.key, 21])
    parts = [_hair(person, rest, normals, reach, torso, rng), _brows(person, rest, normals, rng)]
    if person.beard != "none":
        parts.append(_beard(person, rest, normals, rng))
    points = max(p.offset.shape[1] for p in parts)
    return join([_resample(p, points) for p in parts])


def join(parts: list[Strands]) -> Strands:
    """One set of strands from several of equal point count."""
    names = ("corner", "share", "offset", "turn", "tone", "colour", "width", "kind")
    return Strands(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


def _resample(s: Strands, points: int) -> Strands:
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


def sample_skin(rng: np.random.Generator, rest: np.ndarray, count: int, want) -> tuple[np.ndarray, np.ndarray]:
    """`count` places even over the skin where `want(canon points)` gives their chance; corners (N, 3) and shares (N, 3)."""
    a = anatomy.load()
    skin = a.triangles[(a.material == 0) & (a.triangles.max(1) < a.skin_count)]
    middle = want(a.template[skin].mean(1))
    corners = rest[skin]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    area = area * (np.maximum(middle, 0) + 0.02 > 0.02)
    grown = area > 0
    # neighbours of wanted triangles take part too, so that edges are not cut along the mesh
    near = np.isin(skin, np.unique(skin[grown])).any(1)
    area = np.where(near, np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1), 0)
    tries = 4 * count
    pick = rng.choice(len(skin), tries, p=area / area.sum())
    s = np.sqrt(rng.random(tries))
    u = rng.random(tries)
    share = np.stack([1 - s, s * (1 - u), s * u], 1)
    canon = (a.template[skin[pick]] * share[..., None]).sum(1)
    keep = np.nonzero(rng.random(tries) < want(canon))[0][:count]
    return skin[pick[keep]].astype(np.int32), share[keep].astype(np.float32)


def _at(values: np.ndarray, corner: np.ndarray, share: np.ndarray) -> np.ndarray:
    return (values[corner] * share[..., None]).sum(1)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6)


def _hair(person: Person, rest, normals, reach: Reach, torso: Reach, rng: np.random.Generator) -> Strands:
    style = STYLES[person.hair]
    template = anatomy.load().template

    def want(canon: np.ndarray) -> np.ndarray:
        chance = np.clip(scalp(person, canon, rng) / (0.06 if style.top > 0.3 else 0.14), 0, 1)
        return chance

    corner, share = sample_skin(rng, rest, style.strands, want)
    guides = min(420, len(corner))
    paths, layer = _grow_guides(person, style, _at(rest, corner[:guides], share[:guides]), _at(normals, corner[:guides], share[:guides]), reach, torso, rng)
    roots = _at(rest, corner, share)
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
    scatter = _unit(rng.normal(size=(len(corner), 1, 3)))
    offset = offset + scatter * along * rng.exponential(0.018 if style.floor == 0 else 0.03, (len(corner), 1, 1))
    if style.curl:
        phase = rng.uniform(0, 6.28, (guides, 1))[near[:, 0]] + rng.normal(0, 0.5, (len(corner), 1))
        turns = style.turns * rng.uniform(0.8, 1.2, (len(corner), 1))
        wave = phase + 6.28 * turns * along[..., 0]
        n = _at(normals, corner, share)
        side = _unit(np.cross(n, [0.2, 1.0, 0.1]))
        ramp = np.minimum(along * 3, 1)
        offset = offset + style.curl * ramp * (np.cos(wave)[..., None] * side[:, None] + np.sin(wave)[..., None] * n[:, None])
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


def _grow_guides(person: Person, style: Style, roots, normals, reach: Reach, torso: Reach, rng) -> tuple[np.ndarray, np.ndarray]:
    """Guide paths (G, S, 3) and the layer (G,) of the hair's thickness each lies in."""
    steps = 20 if style.top > 1.5 else 12
    n = len(roots)
    own = np.random.default_rng([person.key, 22])
    part = own.choice([-1, 1]) * own.choice([0.0, 0.28, 0.38])
    if style.comb == "part" and style.floor == 0:
        part = own.choice([-1, 1]) * own.uniform(0.3, 0.42)
    scale = own.uniform(0.85, 1.15)
    high = np.clip((roots[:, 1] - 7.55) / 0.5, 0, 1)
    length = (style.sides + (style.top - style.sides) * high) * scale * rng.uniform(0.85, 1.1, n)
    layer = style.volume * scale * (0.25 + 0.75 * rng.random(n)) * (0.5 + 0.5 * high if style.floor == 0 else 1.0)
    side = np.where(roots[:, 0] > part, 1.0, -1.0)
    p = roots.copy()
    lift = {"out": 1.0, "forward": 0.6, "part": 0.45, "back": 0.55}[style.comb]
    if person.hair == "tied":
        lift = 0.12
    direction = _unit(normals * lift + _comb(style, roots, roots, side, person) + rng.normal(0, 0.10, (n, 3)))
    paths = [p]
    for s in range(1, steps):
        f = s / (steps - 1)
        out = _unit(p - CENTRE)
        comb = _comb(style, p, roots, side, person)
        pull = np.array([0.0, -1.0, 0.0]) * style.gravity * (0.35 + 1.3 * f)
        rise = np.full((n, 1), 0.7)
        if style.comb != "out":  # lies down on the head: rises near its roots only, and is drawn back where it stands off
            free = reach.height(p) - layer * min(1.0, 3 * f)
            near = np.clip((p[:, 1] - 6.7) / 0.6, 0, 1)
            rise = (lift * max(0.0, 0.35 - f) - np.clip(6 * free, 0, 1.6) * near)[:, None]
        direction = _unit(direction * 0.9 + comb * 0.6 + pull + out * rise + rng.normal(0, 0.05 + style.curl, (n, 3)))
        q = p + direction * (length / (steps - 1))[:, None]
        if style.floor:
            q = _beside_face(q)
            stop = q[:, 1] < style.floor + 0.25 * np.sin(roots[:, 0] * 9) * 0.3
            q = np.where(stop[:, None], p, q)
        q = reach.outside(q, layer * min(1.0, 2.2 * f) + 0.012)
        if style.floor:
            q = np.where(q[:, 1:2] < 6.0, torso.outside(q, 0.04 + 0.3 * layer), q)
        p = q
        paths.append(p)
    return np.stack(paths, 1), layer


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


def brow_line(t: np.ndarray) -> np.ndarray:
    """Height of the brow's middle on the rest head from its inner (0) to its outer end (1), decimetres."""
    return 7.435 + 0.13 * t - 0.165 * t * t


def _brows(person: Person, rest, normals, rng: np.random.Generator) -> Strands:
    a = anatomy.load()
    skin = a.triangles[(a.material == 0) & (a.triangles.max(1) < a.skin_count)]
    tree = cKDTree(a.template[skin].mean(1))
    marks = a.template[landmark_vertices()]
    own = np.random.default_rng([person.key, 23])
    arch, drop, thick = own.normal(0, 0.02), own.normal(-0.005, 0.012), 0.055 * person.brow * own.uniform(0.8, 1.15)
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
        n = _at(normals, corner, share)
        up = np.array([0.0, 1.0, 0.0])
        out = np.array([flip, 0.0, 0.0])
        lean = np.clip(0.75 - 1.7 * t, -0.38, 0.75)[:, None] + rng.normal(0, 0.16, (count, 1))
        d = _unit(out * (0.55 + 0.5 * np.clip(t, 0, 1)[:, None]) + up * lean)
        d = _unit(d - n * (d * n).sum(1, keepdims=True) * 0.9)
        length = rng.uniform(0.055, 0.10, count) * (0.85 + 0.2 * person.brow)
        s = np.linspace(0, 1, 4)[None, :, None]
        offset = d[:, None] * s * length[:, None, None] + n[:, None] * (0.004 + 0.012 * np.sin(np.pi * s * 0.6))
        offset = offset - up * 0.018 * s * s
        colour = np.array(person.hair_colour) * (0.6 if max(person.hair_colour) > 0.06 else 1.0) + 0.06 * np.array(person.skin)
        if person.age < 60 and max(person.hair_colour) > 0.3:
            colour = np.array([0.09, 0.06, 0.04])
        colour = np.tile(colour, (count, 1)) * np.exp(rng.normal(0, 0.12, (count, 1)))
        one = np.ones((count, 4), np.float32)
        parts.append(
            Strands(corner.astype(np.int32), share.astype(np.float32), offset.astype(np.float32), one, 0.8 * one,
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
    kinds = {"full": np.maximum(jaw, lip), "stubble": np.maximum(jaw, lip), "goatee": np.maximum(chin, lip), "moustache": lip}
    kind = kind or person.beard
    around = kinds[kind]
    if kind == "goatee":
        ring = soft(0.33 - azimuth, 0.02) * soft(azimuth - 0.24, 0.02) * soft(6.78 - y, 0.02) * soft(y - 6.1, 0.03)
        around = np.maximum(around, ring)
    return np.clip(around * np.clip(mouth, 0, 1), 0, 1)


def _beard(person: Person, rest, normals, rng: np.random.Generator) -> Strands:
    count, length = {"full": (7500, 0.15), "stubble": (2600, 0.022), "goatee": (1500, 0.14), "moustache": (700, 0.13)}[person.beard]
    a = anatomy.load()
    corner, share = sample_skin(rng, rest, count, lambda c: beard_chance(person, c))
    keep = _at(a.lips[:, None], corner, share)[:, 0] < 0.15
    corner, share = corner[keep], share[keep]
    n = len(corner)
    normal = _at(normals, corner, share)
    root = _at(a.template, corner, share)
    d = np.stack([0.35 * np.tanh(root[:, 0] * 6), np.full(n, -1.0), np.full(n, 0.05)], 1) + rng.normal(0, 0.16, (n, 3))
    lip = root[:, 1] > 6.68
    d[:, 0] = np.where(lip, 1.6 * np.tanh(root[:, 0] * 9), d[:, 0])
    d = _unit(d - normal * (d * normal).sum(1, keepdims=True) * 0.75)
    s = np.linspace(0, 1, 4)[None, :, None]
    own = length * rng.uniform(0.55, 1.15, n)
    own = np.where(lip, np.minimum(own, 0.075), own)
    offset = d[:, None] * s * own[:, None, None] + normal[:, None] * (0.3 * own[:, None, None] * np.sin(np.pi * s * 0.55) + 0.003)
    colour = np.array(person.hair_colour) * np.exp(rng.normal(0, 0.2, (n, 1)))
    if person.age > 40:
        colour = np.where(rng.random((n, 1)) < 0.02 * (person.age - 40) * 0.6, 0.34, colour)
    one = np.ones((n, 4), np.float32)
    width = np.full(n, 0.0026 if length > 0.05 else 0.0009, np.float32)
    return Strands(corner, share, offset.astype(np.float32), one, one * (0.55 + 0.45 * s[..., 0]).astype(np.float32),
                   colour.astype(np.float32), width, np.full(n, OTHER, np.int32))  # fmt: skip
