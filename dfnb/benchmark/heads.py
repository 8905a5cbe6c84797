"""Drawing heads: people, poses and a scene become pixels, with the truth about every pixel beside them.

>>> renderer = Renderer()
>>> frame = renderer.render([(person, pose)], scene, 320, 320)
>>> frame.rgb, frame.region, frame.points

Which of the points are landmarks, face or mouth: see `vertices`.
"""

import os
import sys
import tempfile
from dataclasses import dataclass

import cv2
import numpy as np
import scipy.sparse
import warp as wp

from dfnb.benchmark import anatomy, film, hair, materials, raster, shading, textures, vertices, wig
from dfnb.benchmark.anatomy import Material, Region
from dfnb.benchmark.materials import Garment
from dfnb.benchmark.person import Person
from dfnb.benchmark.scene import Pose, Scene
from dfnb.benchmark.strands import Strands

__all__ = ["Person", "Pose", "Region", "Rendered", "Renderer", "Scene"]


@dataclass(frozen=True)
class Rendered:
    """A frame and the truth about it."""

    rgb: np.ndarray  # (H, W, 3) uint8
    region: np.ndarray  # (H, W) uint8, codes of Region
    person: np.ndarray  # (H, W) int8: which person, -1 none
    points: np.ndarray  # (people, V, 2) float32: the head's skin vertices in pixels
    visible: np.ndarray  # (people, V) bool: not hidden


@dataclass
class _Body:
    """What one person's geometry needs, made once and kept."""

    rest: np.ndarray  # (V, 3) float32, the person's neutral shape, cloth included
    openness: np.ndarray  # (V,) float32
    skin: np.ndarray  # the skin map
    strands: Strands
    centre: np.ndarray  # (3,) between the eyes and the mouth: what Pose.x, y place
    height: float  # chin to hairline, decimetres


class _Mesh:
    """The shared mesh with the clothes' shell added, and how its normals are found."""

    def __init__(self) -> None:
        a = anatomy.load()
        self.anatomy = a
        skin = a.material == Material.SKIN
        low = (a.template[a.triangles][..., 1].max(1) < 6.0) & (a.turn[a.triangles].max(1) < 0.5)
        shell = a.triangles[skin & low]
        self.covered = np.unique(shell)
        new = np.full(len(a.template), -1, np.int32)
        new[self.covered] = len(a.template) + np.arange(len(self.covered))
        self.triangles = np.concatenate([a.triangles, new[shell]]).astype(np.int32)
        self.material = np.concatenate([a.material, np.full(len(shell), Material.CLOTH)]).astype(np.int32)
        self.canon = np.concatenate([a.template, a.template[self.covered]])
        self.turn = np.concatenate([a.turn, a.turn[self.covered]])[:, None]
        self.paint = np.concatenate([np.stack([a.lips, a.ears], 1), np.zeros((len(self.covered), 2), np.float32)])
        self.count = len(self.canon)
        t = len(self.triangles)
        rows, columns = self.triangles.ravel(), np.repeat(np.arange(t), 3)
        self.gather = scipy.sparse.csr_matrix((np.ones(3 * t, np.float32), (rows, columns)), (self.count, t))
        self.index = {name: i for i, name in enumerate(a.names)}
        self.actions = [i for i, name in enumerate(a.names) if name.startswith("action:")]
        self.action_row = {a.names[i][7:]: row for row, i in enumerate(self.actions)}
        self.action_shapes = self.with_cloth(a.shapes[self.actions]).reshape(len(self.actions), -1)

    def with_cloth(self, values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, values[..., self.covered, :]], -2)

    def normals(self, points: np.ndarray) -> np.ndarray:
        a, b, c = (points[self.triangles[:, k]] for k in range(3))
        face = np.cross(b - a, c - a)
        n = self.gather @ face
        return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9)


class Renderer:
    """Owns the meshes and what was prepared for the people seen last. One a process; runs on the CPU."""

    def __init__(self, threads: int = 1) -> None:
        cv2.setNumThreads(threads)
        _start_warp()
        self._mesh = _Mesh()
        self._bodies: dict[int, _Body] = {}
        self._people: tuple[int, ...] = ()
        self._geometry: raster.Geometry | None = None
        self._film = film.Film()
        self._sphere = _even_directions(44)

    def render(self, people: list[tuple[Person, Pose]], scene: Scene, height: int, width: int) -> Rendered:
        """Draw `people` (at least one) into a (height, width) frame."""
        bodies = [self._body(person) for person, _ in people]
        focal = 0.5 * height / np.tan(0.5 * scene.field_of_view)
        posed = [self._pose(b, pose, scene, focal, height) for b, (_, pose) in zip(bodies, people, strict=True)]
        points = np.concatenate([p[0] for p in posed]).astype(np.float32)
        normals = np.concatenate([self._mesh.normals(p[0]) for p in posed]).astype(np.float32)
        self._load([person for person, _ in people], bodies, points, normals)
        looks = [
            _look(i, person, pose, p, scene) for i, ((person, pose), p) in enumerate(zip(people, posed, strict=True))
        ]
        lights = np.array(
            [scene.key_direction, scene.key_colour, scene.fill_direction, scene.fill_colour, scene.rim_direction,
             scene.rim_colour, scene.sky, scene.ground], np.float32,
        )  # fmt: skip
        looks_w = wp.array(looks, dtype=materials.Look, device="cpu")
        lights_w = wp.array(lights, dtype=wp.vec3, device="cpu")

        layers = [
            wp.zeros((2 * height, 2 * width), dtype=float, device="cpu"),
            wp.full((2 * height, 2 * width), -1, dtype=wp.int32, device="cpu"),
            wp.empty((2 * height, 2 * width), dtype=wp.vec2, device="cpu"),
        ]
        wp.launch(
            raster.rasterise, len(people) * len(self._mesh.triangles),
            [self._device_mesh.points, self._geometry, looks_w, float(2 * focal), *layers], device="cpu",
        )  # fmt: skip

        def shade(pixels: np.ndarray, slots: np.ndarray, count: int) -> np.recarray:
            samples = np.zeros(count, shading.Sample.numpy_dtype())
            samples["lit"], samples["depth"], samples["person"] = -1.0, 1.0e4, -1  # where nobody is seen
            wp.launch(
                shading.shade, len(pixels),
                [wp.array(pixels, dtype=wp.int32, device="cpu"), wp.array(slots, dtype=wp.int32, device="cpu"),
                 *layers, float(2 * focal), self._geometry, self._maps, looks_w, lights_w, scene.softness],
                [wp.array(samples, dtype=shading.Sample, device="cpu", copy=False)], device="cpu",
            )  # fmt: skip
            return samples.view(np.recarray)

        scale = float(np.mean([pose.size for _, pose in people])) * height

        def comb(colour: np.ndarray, region: np.ndarray, person_at: np.ndarray, depth: np.ndarray) -> None:
            self._wig.paint(
                posed, self._device_mesh.points, lights_w, float(focal), scale, colour, region, person_at, depth
            )

        rgb, region, person_at = self._film.expose(shade, comb, layers[1].numpy(), scene, height, width, scale)
        count = self._mesh.anatomy.skin_count
        pixels = np.stack([_project(p[0][:count], focal, height, width) for p in posed])
        return Rendered(rgb, region, person_at, pixels, self._visible(len(people)))

    def _body(self, person: Person) -> _Body:
        if person.key not in self._bodies:
            while len(self._bodies) >= 8:
                self._bodies.pop(next(iter(self._bodies)))
            self._bodies[person.key] = self._make_body(person)
        return self._bodies[person.key]

    def _make_body(self, person: Person) -> _Body:
        mesh, a = self._mesh, self._mesh.anatomy
        index = [mesh.index[name] for name in person.shape]
        weights = np.array(list(person.shape.values()), np.float32)
        rest = a.template + np.tensordot(weights, a.shapes[index], 1)
        rest = mesh.with_cloth(rest)
        normals = mesh.normals(rest)
        cloth = slice(len(a.template), None)
        thick = 0.05 + 0.10 * np.clip((5.6 - mesh.canon[cloth, 1:2]) / 1.2, 0, 1)
        rest[cloth] += normals[cloth] * thick
        marks = rest[vertices.landmarks()]
        centre = (marks[36:48].mean(0) + marks[48:68].mean(0)) / 2
        tall = 1.3 * (marks[17:27, 1].mean() - marks[8, 1])
        skin_mesh = wp.Mesh(
            wp.array(rest.astype(np.float32), dtype=wp.vec3, device="cpu"),
            wp.array(mesh.anatomy.triangles.ravel(), dtype=wp.int32, device="cpu"),
        )
        count = len(a.template)
        opened = wp.empty(count, dtype=float, device="cpu")
        normals_w = wp.array(normals[:count].astype(np.float32), dtype=wp.vec3, device="cpu")
        directions = wp.array(self._sphere, dtype=wp.vec3, device="cpu")
        wp.launch(
            raster.openness,
            count,
            [skin_mesh.id, skin_mesh.points, normals_w, directions, 1.5],
            [opened],
            device="cpu",
        )
        skull = (a.template[a.triangles][..., 1].max(1) > 6.3) & (a.material == Material.SKIN)
        grown = hair.grow(person, rest, normals, _reach(rest, a.triangles[skull]))
        openness = opened.numpy() * wig.cover_of(grown, rest, normals, count)
        openness = np.concatenate([openness, openness[mesh.covered]])
        return _Body(rest.astype(np.float32), openness, textures.skin_map(person), grown, centre, float(tall))

    def _pose(self, body: _Body, pose: Pose, scene: Scene, focal: float, height: int):
        mesh = self._mesh
        weights = np.zeros(len(mesh.actions), np.float32)
        for name, value in pose.actions.items():
            weights[mesh.action_row[name]] = value
        points = body.rest + (weights @ mesh.action_shapes).reshape(-1, 3)
        head = _rotation(pose.yaw, pose.pitch, pose.roll)
        torso = _rotation(scene.body_yaw + 0.3 * pose.yaw, 0.0, 0.15 * pose.roll)
        pivot = np.array([0.0, 6.55, 0.1], np.float32)
        turned = (points - pivot) @ head.T * mesh.turn + (points - pivot) @ torso.T * (1 - mesh.turn)
        distance = focal * body.height / (pose.size * height)
        face = (body.centre - pivot) @ head.T
        place = np.array([pose.x * height, -pose.y * height, 0.0]) * distance / focal
        shift = place - face + [0, 0, -distance]
        return (turned + shift).astype(np.float32), head, torso, shift, pivot

    def _load(self, people: list[Person], bodies: list[_Body], points: np.ndarray, normals: np.ndarray) -> None:
        keys = tuple(person.key for person in people)
        mesh, n = self._mesh, len(keys)
        if keys == self._people:
            self._device_mesh.points.assign(points)
            self._device_mesh.refit()
            self._geometry.normals.assign(normals)
            return
        self._people = keys
        offset = np.repeat(np.arange(n, dtype=np.int32) * mesh.count, len(mesh.triangles))[:, None]
        triangles = wp.array((np.tile(mesh.triangles, (n, 1)) + offset).ravel(), dtype=wp.int32, device="cpu")
        self._device_mesh = wp.Mesh(wp.array(points, dtype=wp.vec3, device="cpu"), triangles)
        g = raster.Geometry()
        g.mesh = self._device_mesh.id
        g.normals = wp.array(normals, dtype=wp.vec3, device="cpu")
        g.canon = wp.array(np.tile(mesh.canon, (n, 1)), dtype=wp.vec3, device="cpu")
        paint = [np.concatenate([mesh.paint, b.openness[:, None]], 1) for b in bodies]
        g.paint = wp.array(np.concatenate(paint).astype(np.float32), dtype=wp.vec3, device="cpu")
        g.triangles = triangles
        g.material = wp.array(np.tile(mesh.material, n), dtype=wp.int32, device="cpu")
        g.person = wp.array(np.repeat(np.arange(n, dtype=np.int32), len(mesh.triangles)), dtype=wp.int32, device="cpu")
        self._geometry = g
        self._wig = wig.Wig(people, [b.strands for b in bodies], [b.rest for b in bodies])
        self._maps = wp.array(np.stack([b.skin for b in bodies]), dtype=wp.vec4ub, device="cpu")

    def _visible(self, people: int) -> np.ndarray:
        count = self._mesh.anatomy.skin_count
        out = wp.empty(people * count, dtype=wp.int32, device="cpu")
        wp.launch(
            raster.visible, people * count,
            [self._device_mesh.id, self._device_mesh.points, self._geometry.normals, count, self._mesh.count],
            [out], device="cpu",
        )  # fmt: skip
        return out.numpy().reshape(people, count) > 0


def _start_warp() -> None:
    """Initialise Warp without its remark that a machine has no graphics driver, which its C++ side always prints."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as captured:
        stderr = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        captured.seek(0)
        lines = captured.read().decode(errors="replace").splitlines()
    for line in lines:
        if "NVIDIA CUDA driver" not in line:
            print(line, file=sys.stderr)


def _look(index: int, person: Person, pose: Pose, posed, scene: Scene) -> materials.Look:
    points, head, _, _, _ = posed
    left, right = (points[eye].mean(0) for eye in anatomy.load().eyes)
    look = materials.Look()
    look.head = wp.mat33(*head.ravel().tolist())
    look.left_eye, look.right_eye = wp.vec3(*map(float, left)), wp.vec3(*map(float, right))
    look.gaze = wp.vec2(*pose.gaze)
    look.iris_rim = wp.vec3(*person.iris)
    look.iris_inner = wp.vec3(*(np.array(person.iris) * [1.25, 1.05, 0.8] + [0.02, 0.01, 0.0]).tolist())
    look.iris_radius, look.pupil = person.iris_radius, 0.42
    look.lips, look.oil = wp.vec3(*person.lips), person.oil
    look.cloth = wp.vec3(*scene.cloth[index % len(scene.cloth)])
    look.phase = (person.key % 1000) / 159.0
    kind = scene.neckline[index % len(scene.neckline)]
    if kind < 0.6:
        look.garment = int(Garment.CHECKED if person.key % 6 == 1 else Garment.PULLOVER)
        look.neckline = wp.vec4(5.52, 0.42, 0.0, 1.0) if kind < 0.4 else wp.vec4(5.52, 0.4, 1.2 * kind, 1.3)
    elif kind < 0.8:
        look.garment, look.neckline = int(Garment.SHIRT), wp.vec4(5.86, 0.25, 0.75, 2.2)
    else:
        look.garment, look.neckline = int(Garment.JACKET), wp.vec4(5.86, 0.28, 0.35, 2.0)
    return look


def _reach(rest: np.ndarray, triangles: np.ndarray) -> hair.Reach:
    """How far out the skull lies from hair.CENTRE in every direction."""
    mesh = wp.Mesh(
        wp.array(rest.astype(np.float32), dtype=wp.vec3, device="cpu"),
        wp.array(triangles.ravel(), dtype=wp.int32, device="cpu"),
    )
    rays = wp.array(hair.Reach.directions(), dtype=wp.vec3, device="cpu")
    radius = wp.empty(len(rays), dtype=float, device="cpu")
    centre = wp.vec3(*hair.CENTRE.tolist())
    wp.launch(raster.outermost, len(rays), [mesh.id, centre, rays], [radius], device="cpu")
    return hair.Reach(radius.numpy().copy(), hair.CENTRE)


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turn left by `yaw`, after nodding down by `pitch`, after tilting by `roll`; (3, 3) float32."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return (about_y @ about_x @ about_z).astype(np.float32)


def _project(points: np.ndarray, focal: float, height: int, width: int) -> np.ndarray:
    scale = focal / -points[:, 2]
    return np.stack([0.5 * width + points[:, 0] * scale, 0.5 * height - points[:, 1] * scale], 1).astype(np.float32)


def _even_directions(count: int) -> np.ndarray:
    k = np.arange(count) + 0.5
    z, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(turn), r * np.sin(turn), z], 1).astype(np.float32)
