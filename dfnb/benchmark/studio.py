"""One take of the embedded benchmark: its people, its scene, its frames; and the forgeries made of them.

Real and forged videos of a job come from the same filmed frames (noise included) and go through one encoding with the
same settings, so that only the manipulation tells them apart. Every random draw has its own generator, keyed by the
seed and by what is drawn: the bytes are the same whatever the number of processes and whatever was there before.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from dfnb.benchmark import heads, pasting, scene, vertices, video
from dfnb.benchmark.anatomy import Region
from dfnb.benchmark.layout import Fake, Take, resembles
from dfnb.benchmark.manipulations import MANIPULATIONS, Shot
from dfnb.benchmark.pasting import View
from dfnb.profile import Demo

WIDE_FRAMES = 8  # at most, in videos of several people: they cost nine times as much
PARTS = {"ff": 1, "celeb": 2, "ffiw": 3}
PERSON, SCENE, MOTION, FILM, NOISE, RECIPE, FORGE = range(7)  # keys of the random draws
FACE = (Region.SKIN, Region.LIP, Region.MOUTH, Region.EYE, Region.BROW)


@dataclass(frozen=True)
class Film:
    """How a part's videos are filmed and compressed: ranges a video draws from."""

    nearness: tuple[float, float]  # face height relative to the motion's own, which is a close-up
    softness: tuple[float, float]
    noise: tuple[float, float]
    sharpen: tuple[float, float]
    shrink: tuple[float, float]
    crf: tuple[int, int]
    preset: str


# What is trained on (ff) varies most, as uploads do, so that size or softness alone says nothing of the other parts.
FILMS = {
    "ff": Film((0.8, 1.0), (0.1, 0.5), (0.8, 2.5), (0.0, 0.6), (0.9, 1.0), (23, 23), "medium"),
    "celeb": Film((0.8, 1.0), (0.1, 0.6), (1.0, 3.0), (0.0, 0.6), (0.85, 1.0), (19, 25), "fast"),
    "ffiw": Film((1.0, 1.0), (0.1, 0.4), (0.8, 2.5), (0.0, 0.5), (0.95, 1.0), (19, 24), "fast"),
}


@functools.cache
def renderer() -> heads.Renderer:
    """This process's renderer."""
    return heads.Renderer(threads=1)


def _rng(settings: Demo, part: str, number: int, what: int, *index: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, PARTS[part], number, what, *index])


@functools.lru_cache(maxsize=64)
def draw_person(settings: Demo, part: str, key: int) -> heads.Person:
    """The identity `key` of a part, the same whoever asks: of a few drawn, the likest to whom it is to resemble."""
    other = resembles(settings, part, key)
    if other is None:
        return heads.Person.draw(_rng(settings, part, key, PERSON))
    model = draw_person(settings, part, other)
    drawn = [heads.Person.draw(_rng(settings, part, key, PERSON, n)) for n in range(8)]
    return replace(min(drawn, key=lambda person: _unlikeness(person, model)), beard=model.beard)


def _unlikeness(a: heads.Person, b: heads.Person) -> float:
    """How far apart two people look at a glance: sex, complexion, age (40 years count as much as sex), hair colour."""
    apart = abs(a.female - b.female) + 2 * abs(a.melanin - b.melanin) + abs(a.age - b.age) / 40
    return apart + np.abs(np.sqrt(a.hair_colour) - np.sqrt(b.hair_colour)).sum() / 2


class Studio:
    """A take's people, scene and frames, made when first asked for."""

    def __init__(self, settings: Demo, take: Take) -> None:
        self.settings, self.take = settings, take
        self._reenacted: dict[int, View] = {}
        self.width, self.height = settings.wide if take.part == "ffiw" else (settings.size, settings.size)
        film, rng = FILMS[take.part], self.rng(FILM)
        noise = rng.uniform(*film.noise)
        self.camera = video.Camera(
            softness=rng.uniform(*film.softness),
            read=0.5 * noise,
            shot=noise,
            chroma=rng.uniform(0.2, 0.6),
            clump=rng.uniform(0.3, 0.7),
            sharpen=rng.uniform(*film.sharpen),
        )
        self.shrink = rng.uniform(*film.shrink)
        self.codec = video.Codec(int(rng.integers(film.crf[0], film.crf[1] + 1)), film.preset)

    def rng(self, what: int, *index: int) -> np.random.Generator:
        return _rng(self.settings, self.take.part, self.take.number, what, *index)

    @functools.cached_property
    def scene(self) -> scene.Scene:
        return replace(scene.draw_scene(self.rng(SCENE)), noise=0.0)  # noise is this camera's: a generator has none

    @functools.cached_property
    def people(self) -> list[heads.Person]:
        return [draw_person(self.settings, self.take.part, key) for key in self.take.people]

    @functools.cached_property
    def poses(self) -> list[list[heads.Pose]]:
        """Poses by frame, then by person; several people stand side by side, each at a distance of their own."""
        n, frames, fps = len(self.take.people), self.settings.frames, self.settings.fps
        frames = min(frames, WIDE_FRAMES) if self.take.part == "ffiw" else frames
        motions = [scene.draw_motion(self.rng(MOTION, k), frames, fps) for k in range(n)]
        rng = self.rng(MOTION, n)
        if n == 1:
            first, ratio = motions[0][0], rng.uniform(*FILMS[self.take.part].nearness)
            motions = [[_move(pose, first, first.x, first.y, ratio * first.size) for pose in motions[0]]]
        else:
            slot = self.width / self.height / n
            for k in range(n):
                size = rng.uniform(0.26, min(0.38, 0.8 * slot))
                x, y = (k - (n - 1) / 2 + rng.uniform(-0.06, 0.06)) * slot, rng.uniform(-0.07, 0.07)
                motions[k] = [self._facing(_move(pose, motions[k][0], x, y, size)) for pose in motions[k]]
        return [list(frame) for frame in zip(*motions, strict=True)]

    @functools.cached_property
    def rendered(self) -> list[heads.Rendered]:
        return [
            renderer().render(list(zip(self.people, poses, strict=True)), self.scene, self.height, self.width)
            for poses in self.poses
        ]

    @functools.cached_property
    def frames(self) -> np.ndarray:
        """(N, H, W, 3) uint8: what the camera recorded, before compression."""
        return np.stack([self.camera.shoot(r.rgb, self.rng(NOISE, i)) for i, r in enumerate(self.rendered)])

    def view(self, index: int, who: int) -> View:
        """The face of one of the people in one frame, with the camera's noise."""
        rendered = self.rendered[index]
        return _view(self.frames[index], rendered, who, self.people[who])

    def generate(self, person: heads.Person, pose: heads.Pose, detail: float) -> View:
        """A generator's picture of a person: the face alone, `detail` pixels high at most, without noise.

        Like a generator's input it is a camera turned to the face, so the head's turn is seen from there.
        """
        share = 1.5 * pose.size  # the cut's height in frame heights
        rows = 2 * round(0.5 * 1.5 * min(detail, pose.size * self.height))
        half = np.tan(0.5 * self.scene.field_of_view)
        aside, below = self._bearing(pose)
        turned = replace(pose, x=0.0, y=0.0, size=pose.size / share, yaw=pose.yaw + aside, pitch=pose.pitch + below)
        near = replace(self.scene, field_of_view=float(2 * np.arctan(share * half)), vignette=0.0)
        rendered = renderer().render([(person, turned)], near, rows, rows)
        return _view(rendered.rgb, rendered, 0, person)

    def _bearing(self, pose: heads.Pose) -> tuple[float, float]:
        """How far aside and below the camera's axis a face is, radians."""
        half = np.tan(0.5 * self.scene.field_of_view)
        return float(np.arctan(2 * half * pose.x)), float(np.arctan(2 * half * pose.y))

    def _facing(self, pose: heads.Pose) -> heads.Pose:
        """The pose turned to the camera: people in a group look into it, wherever they stand."""
        aside, below = self._bearing(pose)
        return replace(pose, yaw=pose.yaw - aside, pitch=pose.pitch - below)

    def stranger(self, person: heads.Person, index: int, who: int, detail: float) -> View:
        """Another person's face in a pose of this take, as a generator knows people: a face, no fringe."""
        bald = replace(person, hair="bald", key=person.key ^ 1)  # another key, since the renderer keeps heads by it
        return self.generate(bald, self.poses[index][who], detail)

    def reenacted(self, index: int, driver: "Studio") -> View:
        """This take's person with the expression of another take's: what Face2Face and NeuralTextures paste from."""
        if index not in self._reenacted:
            pose = self.poses[index][0]
            pose = replace(pose, actions=_transfer(pose.actions, driver.poses[index][0].actions))
            self._reenacted[index] = self.generate(self.people[0], pose, 160)
        return self._reenacted[index]

    def turned_like(self, pose: heads.Pose) -> View:
        """The frame of this take whose head is turned most like the pose, and whose mouth is open as far."""

        def turn(pose: heads.Pose) -> list[float]:
            return [pose.yaw, pose.pitch, 0.5 * pose.actions.get("jawOpen", 0.0)]

        turns = np.array([turn(poses[0]) for poses in self.poses])
        return self.view(int(np.argmin(((turns - turn(pose)) ** 2).sum(axis=1))), 0)

    def release(self, path: Path, frames: np.ndarray) -> None:
        """Publish frames the way this take's videos are published, real or forged."""
        video.write(path, video.degrade(frames, self.shrink), self.settings.fps, self.codec)


def _move(pose: heads.Pose, first: heads.Pose, x: float, y: float, size: float) -> heads.Pose:
    """A pose of a motion that is to start at another place and distance; its sway is scaled to the new size."""
    ratio = size / first.size
    return replace(pose, x=x + ratio * (pose.x - first.x), y=y + ratio * (pose.y - first.y), size=pose.size * ratio)


def _view(rgb: np.ndarray, rendered: heads.Rendered, who: int, person: heads.Person) -> View:
    """What a tool sees of a face. A beard belongs to it; other hair, though in front of it, doesn't."""
    points = rendered.points[who]
    face = np.isin(rendered.region, FACE)
    if person.beard != "none":
        marks = points[vertices.landmarks()[[*range(2, 15), 30]]]
        below = np.zeros(face.shape, np.uint8)
        cv2.fillConvexPoly(below, cv2.convexHull(np.rint(marks).astype(np.int32)), 1)
        face |= (rendered.region == Region.HAIR) & (below > 0)
    return View(rgb, points, face & (rendered.person == who), rendered.visible[who])


def forge(settings: Demo, studio: list[Studio], fake: Fake) -> tuple[np.ndarray, np.ndarray]:
    """The forged frames of one video, before compression (N, H, W, 3) uint8, and their masks (N, H, W) bool.

    studio: the takes of the fake's job.
    """
    stage, manipulation = studio[fake.take], MANIPULATIONS[fake.method]
    part, driver = stage.take.part, None if fake.driver is None else studio[fake.driver]
    rng = _rng(settings, part, fake.number, RECIPE)
    recipe, drift = pasting.draw_recipe(manipulation.good, manipulation.bad, rng), pasting.draw_drift(rng)
    person = draw_person(settings, part, fake.person)
    forged = []
    for index, poses in enumerate(stage.poses):
        shot = Shot(
            target=stage.view(index, fake.victim),
            stranger=functools.partial(stage.stranger, person, index, fake.victim, recipe.detail),
            reenacted=functools.partial(stage.reenacted, index, driver),
            texture=functools.partial(Studio.turned_like, driver, poses[fake.victim]),
            recipe=recipe,
            drift=drift,
            noise=_rng(settings, part, fake.number, FORGE, index),
        )
        forged.append(manipulation.forge(shot))
    return np.stack([frame.rgb for frame in forged]), np.stack([frame.mask for frame in forged])


def _transfer(actions: dict[str, float], driver: dict[str, float]) -> dict[str, float]:
    """Expression transfer: the driver's facial actions in place of the person's.

    The chin outside the pasted part stays where it is, so the jaw follows the driver only so far.
    """
    jaw = actions.get("jawOpen", 0.0)
    follows = float(np.clip(driver.get("jawOpen", 0.0), jaw - 0.15, jaw + 0.15))
    return {name: driver.get(name, 0.0) for name in sorted(actions.keys() | driver.keys())} | {"jawOpen": follows}
