"""A renderer's strands: bound to the people in the picture, placed for each frame, painted over it.

On the CPU Warp runs a kernel's threads one after another in order, so strands may be painted from far to near
straight into the picture.
"""

# ruff: noqa: UP018  (Warp: `float(x)` declares a variable that a loop may change)

import numpy as np
import warp as wp
from scipy.spatial import cKDTree

from dfnb.benchmark import anatomy, hair
from dfnb.benchmark.person import Person
from dfnb.benchmark.strands import BROW, HAIR, OTHER, Strands, resample

wp.config.log_level = wp.LOG_ERROR  # no banner
wp.set_module_options({"enable_backward": False, "fast_math": True})


class Lashes:
    """Lash strands follow MakeHuman's lash ribbons vertex by vertex, so that they close with the lids."""

    def __init__(self, points: int) -> None:
        rng = np.random.default_rng(77)
        index, weight, upper = [], [], []
        for g, grid in enumerate(anatomy.load().lashes):
            rows, columns = grid.shape
            count = 32 if g % 2 == 0 else 12
            at = np.sort(rng.uniform(0.2, columns - 1.2, count))
            low = at.astype(int)
            f = at - low
            for s in np.linspace(0, rows - 1, points):
                r = min(int(s), rows - 2)
                h = s - r
                lean = np.clip(at + 0.25 * s * (at / columns - 0.45), 0, columns - 1.001)
                low, f = lean.astype(int), lean % 1
                index.append(np.stack([grid[r, low], grid[r, low + 1], grid[r + 1, low], grid[r + 1, low + 1]], 1))
                weight.append(np.stack([(1 - f) * (1 - h), f * (1 - h), (1 - f) * h, f * h], 1))
            upper.append(np.full(count, g % 2 == 0))
        counts = [len(u) for u in upper]
        self.index = np.concatenate([self._order(index, k, points, c) for k, c in enumerate(counts)])
        self.weight = np.concatenate([self._order(weight, k, points, c) for k, c in enumerate(counts)])
        self.upper = np.concatenate(upper)

    @staticmethod
    def _order(parts: list[np.ndarray], group: int, points: int, count: int) -> np.ndarray:
        return np.stack(parts[group * points : (group + 1) * points], 1)  # (count, points, 4)

    def at(self, posed: np.ndarray, length: float) -> np.ndarray:
        p = (posed[self.index] * self.weight[..., None]).sum(2)
        return p[:, :1] + (p - p[:, :1]) * length


class Wig:
    """All strands of the people in one picture."""

    def __init__(self, people: list[Person], strands: list[Strands], rests: list[np.ndarray]) -> None:
        points = max(s.offset.shape[1] for s in strands)
        strands = [resample(s, points) for s in strands]
        self._lashes = Lashes(points)
        self._people = people
        self._parts = []
        for s, rest in zip(strands, rests, strict=True):
            self._parts.append(
                {
                    "corner": _array(s.corner, wp.vec3i),
                    "share": _array(s.share, wp.vec3),
                    "offset": _array(s.offset, wp.vec3),
                    "turn": _array(s.turn, float),
                    "rest": _array(rest, wp.vec3),
                    "count": len(s.corner),
                }
            )
        lash = len(self._lashes.upper)
        tone, colour, width, kind, owner = [], [], [], [], []
        for i, (person, s) in enumerate(zip(people, strands, strict=True)):
            tone += [s.tone, np.full((lash, points), 0.7, np.float32)]
            dark = np.array([0.02, 0.014, 0.01]) * (0.4 if person.makeup else 1.0) + 0.05 * np.array(person.hair_colour)
            colour += [s.colour, np.tile(dark, (lash, 1))]
            width += [s.width, np.where(self._lashes.upper, 0.0011, 0.0005) * (0.8 + 0.4 * person.makeup)]
            kind += [s.kind, np.full(lash, OTHER)]
            owner += [np.full(len(s.corner) + lash, i)]
        self._kind, self._owner = np.concatenate(kind).astype(np.int32), np.concatenate(owner).astype(np.int32)
        self._tone = _array(np.concatenate(tone), float)
        self._colour = _array(np.concatenate(colour), wp.vec3)
        self._width = _array(np.concatenate(width), float)
        self._kinds, self._owners = _array(self._kind, wp.int32), _array(self._owner, wp.int32)
        self._open = _array(np.ones((len(people), 1)), float)
        self._count = len(self._kind)
        self._points = points
        self._chance = np.random.default_rng(5).random(self._count)

    def paint(self, posed, points, lights, focal: float, face: float, colour, region, person_at, depth) -> None:
        """Paint over `colour` (H, W, 3) in place and mark `region` and `person_at`; `face`: face height in pixels."""
        out = np.empty((self._count, self._points, 3), np.float32)
        distance = np.empty(self._count, np.float32)
        row = first = 0
        centres = []
        for (body, head, torso, shift, pivot), part, person in zip(posed, self._parts, self._people, strict=True):
            n = part["count"]
            wp.launch(
                _place, n,
                [points, part["rest"], first, part["corner"], part["share"], part["offset"], part["turn"],
                 wp.mat33(*head.ravel().tolist()), wp.mat33(*torso.ravel().tolist()),
                 wp.vec3(*map(float, pivot)), wp.vec3(*map(float, shift))],
                [_array(out[row : row + n], wp.vec3), _array(distance[row : row + n], float)], device="cpu",
            )  # fmt: skip
            row, first = row + n, first + len(body)
            lashes = self._lashes.at(body, person.lash)
            out[row : row + len(lashes)] = lashes
            distance[row : row + len(lashes)] = lashes[..., 2].sum(1)
            row += len(lashes)
            centres.append(head @ (hair.CENTRE - pivot) + pivot + shift)
        share = float(np.clip(face / 190, 0.18, 1.0))
        drawn = np.nonzero((self._chance < share) | (self._kind != HAIR))[0]
        order = drawn[np.argsort(distance[drawn], kind="stable")].astype(np.int32)
        cover = np.zeros(region.shape, np.float32)
        best = np.full(region.shape, -1, np.int32)
        wp.launch(
            _draw, len(order),
            [_array(order, wp.int32), _array(out, wp.vec3), self._tone, self._colour, self._width, self._kinds,
             self._owners, _array(np.array(centres), wp.vec3), lights, self._open, focal, share**-0.6,
             _array(depth, float), _array(colour, wp.vec3), _array(cover, float), _array(best, wp.int32)],
            device="cpu",
        )  # fmt: skip
        seen = (cover > 0.5) & (best >= 0)
        region[seen] = np.where(self._kind[best[seen]] == BROW, 7, 8)
        person_at[seen] = self._owner[best[seen]]


def _array(values: np.ndarray, dtype) -> wp.array:
    """A Warp array on the CPU that shares memory with `values` where its type already fits."""
    want = np.int32 if dtype in (wp.int32, wp.vec3i) else np.float32
    return wp.array(np.ascontiguousarray(values, want), dtype=dtype, device="cpu", copy=False)


def cover_of(strands: Strands, rest: np.ndarray, normals: np.ndarray, count: int) -> np.ndarray:
    """How much of the sky hair leaves to the first `count` vertices, 0..1: hair close outside a vertex shades it."""
    long = strands.kind == HAIR
    if not long.any():
        return np.ones(count, np.float32)
    roots = (rest[strands.corner[long]] * strands.share[long][..., None]).sum(1)
    points = (roots[:, None] + strands.offset[long])[:, 1::2].reshape(-1, 3)
    step = max(1, len(points) // 12000)
    points = points[::step]
    tree = cKDTree(points)
    near = np.zeros(count)
    for reach, weight in ((0.12, 1.0), (0.24, 0.4)):
        found = tree.query_ball_point(rest[:count] + normals[:count] * reach * 0.8, reach, return_length=True)
        near += weight * found * step * (0.12 / reach) ** 2
    return np.exp(-near / 130).astype(np.float32) * 0.8 + 0.2


@wp.kernel
def _place(
    posed: wp.array(dtype=wp.vec3),
    rest: wp.array(dtype=wp.vec3),
    first: int,
    corner: wp.array(dtype=wp.vec3i),
    share: wp.array(dtype=wp.vec3),
    offset: wp.array(dtype=wp.vec3, ndim=2),
    turn: wp.array(dtype=float, ndim=2),
    head: wp.mat33,
    torso: wp.mat33,
    pivot: wp.vec3,
    shift: wp.vec3,
    out: wp.array(dtype=wp.vec3, ndim=2),
    depth: wp.array(dtype=float),
):
    """Strand points (N, S) in camera space: the rest strand turned with head or torso, plus the skin's own motion."""
    i = wp.tid()
    c = corner[i]
    b = share[i]
    moved = posed[first + c[0]] * b[0] + posed[first + c[1]] * b[1] + posed[first + c[2]] * b[2]
    root = rest[c[0]] * b[0] + rest[c[1]] * b[1] + rest[c[2]] * b[2]
    t0 = turn[i, 0]
    stiff = (head * (root - pivot)) * t0 + (torso * (root - pivot)) * (1.0 - t0) + shift
    slip = moved - stiff
    far = float(0.0)
    for s in range(offset.shape[1]):
        q = root + offset[i, s] - pivot
        t = turn[i, s]
        p = (head * q) * t + (torso * q) * (1.0 - t) + shift + slip
        out[i, s] = p
        far += p[2]
    depth[i] = far


@wp.kernel
def _draw(
    order: wp.array(dtype=wp.int32),
    points: wp.array(dtype=wp.vec3, ndim=2),
    tone: wp.array(dtype=float, ndim=2),
    colour: wp.array(dtype=wp.vec3),
    half_width: wp.array(dtype=float),
    kind: wp.array(dtype=wp.int32),
    person: wp.array(dtype=wp.int32),
    centre: wp.array(dtype=wp.vec3),
    lights: wp.array(dtype=wp.vec3),
    openness: wp.array(dtype=float, ndim=2),
    focal: float,
    widen: float,
    depth: wp.array(dtype=float, ndim=2),
    picture: wp.array(dtype=wp.vec3, ndim=2),
    cover: wp.array(dtype=float, ndim=2),
    best: wp.array(dtype=wp.int32, ndim=2),
):
    """Paint strands in `order`; `cover` gathers how much of a pixel is hair, `best` the last strand there."""
    i = order[wp.tid()]
    height = picture.shape[0]
    width = picture.shape[1]
    count = points.shape[1]
    mid = centre[person[i]]
    for s in range(count - 1):
        a = points[i, s]
        b = points[i, s + 1]
        if a[2] > -0.2 or b[2] > -0.2:
            continue
        ax = 0.5 * float(width) + focal * a[0] / -a[2]
        ay = 0.5 * float(height) - focal * a[1] / -a[2]
        bx = 0.5 * float(width) + focal * b[0] / -b[2]
        by = 0.5 * float(height) - focal * b[1] / -b[2]
        dx = bx - ax
        dy = by - ay
        long = wp.max(wp.abs(dx), wp.abs(dy))
        if long < 1.0e-3 or long > 400.0:
            continue
        if (
            wp.max(ax, bx) < 0.0
            or wp.min(ax, bx) > float(width)
            or wp.max(ay, by) < 0.0
            or wp.min(ay, by) > float(height)
        ):
            continue
        # Shade once for a segment: Kajiya and Kay's cylinder, darkened by the hair's own volume.
        tangent = wp.normalize(b - a)
        p = (a + b) * 0.5
        out_dir = wp.normalize(p - mid)
        view = -wp.normalize(p)
        light = lights[6] * (0.5 + 0.5 * out_dir[1]) + lights[7] * (0.5 - 0.5 * out_dir[1])
        shine = wp.vec3()
        for c in range(3):
            direction = lights[2 * c]
            strength = lights[2 * c + 1]
            volume = wp.clamp((wp.dot(out_dir, direction) + 0.35) / 1.35, 0.0, 1.0)
            along = wp.dot(tangent, direction)
            diffuse = wp.sqrt(wp.max(1.0 - along * along, 0.0))
            light += strength * (1.5 * diffuse * volume)
            h = wp.normalize(direction + view)
            th = wp.dot(tangent, h) + 0.06
            k = wp.sqrt(wp.max(1.0 - th * th, 0.0))
            k2 = k * k
            k4 = k2 * k2
            k16 = k4 * k4 * k4 * k4
            k64 = k16 * k16 * k16 * k16
            shine += strength * (volume * volume * (0.085 * k64 + 0.04 * k16))
        # a taper towards the tip
        fraction = float(s) / float(count)
        hw = half_width[i] * focal / -p[2] * (1.0 - 0.6 * fraction * fraction)
        if kind[i] == 8:
            hw = hw * widen
        dark = tone[i, s] * openness[person[i], 0]
        base = colour[i]
        value = wp.cw_mul(base, light) * dark + wp.cw_mul(shine, wp.vec3(0.55, 0.52, 0.5) + base * 1.5) * dark * dark
        opacity = wp.min(1.0, hw * 2.0)
        hw = wp.max(hw, 0.5)
        steps = int(long) + 1
        flat = wp.abs(dx) > wp.abs(dy)
        # the perpendicular distance per unit across the minor axis
        lean = long / wp.sqrt(dx * dx + dy * dy)
        reach = int(hw / lean + 1.0)
        for k in range(steps):
            f = (float(k) + 0.5) / float(steps)
            x = ax + dx * f
            y = ay + dy * f
            z = -(a[2] + (b[2] - a[2]) * f)
            sx = (x - 0.5 * float(width)) / focal
            sy = (y - 0.5 * float(height)) / focal
            far = z * wp.sqrt(1.0 + sx * sx + sy * sy)
            for m in range(-reach, reach + 1):
                px = int(wp.floor(x))
                py = int(wp.floor(y))
                away = float(0.0)
                if flat:
                    py = py + m
                    away = wp.abs(float(py) + 0.5 - y) * lean
                else:
                    px = px + m
                    away = wp.abs(float(px) + 0.5 - x) * lean
                if px < 0 or py < 0 or px >= width or py >= height:
                    continue
                alpha = opacity * wp.clamp(hw + 0.5 - away, 0.0, 1.0)
                if alpha <= 0.01 or far > depth[py, px] + 0.03:
                    continue
                picture[py, px] = picture[py, px] * (1.0 - alpha) + value * alpha
                if kind[i] != 0:
                    cover[py, px] = cover[py, px] + (1.0 - cover[py, px]) * alpha
                    if alpha > 0.3:
                        best[py, px] = i
