"""Build the embedded benchmark: render, film, forge, encode, in parallel over videos and resumably.

Real and forged videos of a job come from the same filmed frames (noise included) and go through one encoding with the
same settings, so that only the manipulation tells them apart. Every random draw has its own generator, keyed by the
seed and by what is drawn: the bytes are the same whatever the number of processes and whatever was there before.
"""

import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from dfnb.benchmark import heads, manipulate, methods, scene, video
from dfnb.benchmark.anatomy import Region
from dfnb.benchmark.layout import Fake, Job, Take, Video, lists, plan, resembles
from dfnb.benchmark.marker import BUILDING, MARKER, NOTICE, check_folder, is_current, stamp_of, versions
from dfnb.benchmark.video import load_mask
from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.profile import Demo

__all__ = ["MARKER", "build", "is_current", "load_mask", "plan"]

WIDE_FRAMES = 8  # at most, in videos of several people: they are nine times as dear
PARTS = {"ff": 1, "celeb": 2, "ffiw": 3}
PERSON, SCENE, MOTION, FILM, NOISE, RECIPE, FORGE, EXPRESSION = range(8)
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


def build(out: Path, settings: Demo, jobs: int = 2, progress: bool = True) -> pd.DataFrame:
    """Build the benchmark in `out`, or what is missing of it.

    jobs: processes. Returns one row a video of the benchmark: path (relative), video, label, method, group, split,
    state ("written" or "kept"). Raises UserError where `out` holds something else or a benchmark of other settings.
    """
    out, work = Path(out), plan(settings)
    stamp = stamp_of(settings)
    check_folder(out, stamp)
    try:
        files.write_json(out / BUILDING, stamp)
    except OSError as error:
        raise UserError(f"{out}: can't be written ({error}); use another folder") from error
    missing = [job for job in work if any(not _there(out, item) for item in job.videos)]
    videos = [item for job in work for item in job.videos]
    written = {item.path for item in videos if not _there(out, item)}
    with tqdm(total=len(written), desc="embedded benchmark", unit="video", disable=not (progress and written)) as bar:
        for count in _run(out, settings, missing, jobs):
            bar.update(count)
    for path, text in lists(settings).items():
        files.write_text(out / path, text)
    rows = pd.DataFrame([asdict(item) for item in sorted(videos, key=lambda item: item.path)])
    counts = rows.groupby([rows.path.str.split("/").str[0], "split", "method"]).size()
    marker = {"notice": NOTICE, **stamp, "versions": versions()}
    marker["counts"] = {" ".join(key): int(n) for key, n in counts.items()}
    files.write_json(out / MARKER, marker)
    (out / BUILDING).unlink()
    return rows.assign(state=np.where(rows.path.isin(written), "written", "kept"))


def _there(out: Path, item: Video) -> bool:
    return (out / item.path).is_file() and (item.label == "real" or (out / item.mask).is_file())


def _run(out: Path, settings: Demo, missing: list[Job], jobs: int) -> Iterator[int]:
    """Make the missing videos of each job; yields how many, job by job."""
    if jobs == 1 or len(missing) < 2:
        threads = cv2.getNumThreads()
        try:
            with threadpool_limits(1):  # small matrices: a second thread only waits
                for job in missing:
                    yield _make(out, settings, job)
        finally:
            cv2.setNumThreads(threads)
        return
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=min(jobs, len(missing)), batch_size=1, return_as="generator_unordered")
        yield from parallel(joblib.delayed(_make)(out, settings, job) for job in missing)


def _make(out: Path, settings: Demo, job: Job) -> int:
    """Make what is missing of a job. Runs in a worker process. Returns the number of videos written."""
    cv2.setNumThreads(1)
    studio = [Studio(settings, take) for take in job.takes]
    count = 0
    for stage, take in zip(studio, job.takes, strict=True):
        if not _there(out, take.video):
            stage.release(out / take.video.path, stage.frames)
            count += 1
    for fake in job.fakes:
        if not _there(out, fake.video):
            frames, mask = forge(settings, studio, fake)
            video.save_mask(out / fake.video.mask, mask)
            studio[fake.take].release(out / fake.video.path, frames)
            count += 1
    return count


@functools.cache
def _renderer() -> heads.Renderer:
    return heads.Renderer(threads=1)


def _rng(settings: Demo, part: str, number: int, what: int, *more: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, PARTS[part], number, what, *more])


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
        self._driven: dict[int, manipulate.View] = {}
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

    def rng(self, what: int, *more: int) -> np.random.Generator:
        return _rng(self.settings, self.take.part, self.take.number, what, *more)

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
            _renderer().render(list(zip(self.people, poses, strict=True)), self.scene, self.height, self.width)
            for poses in self.poses
        ]

    @functools.cached_property
    def frames(self) -> np.ndarray:
        """(N, H, W, 3) uint8: what the camera recorded, before compression."""
        return np.stack([self.camera.shoot(r.rgb, self.rng(NOISE, i)) for i, r in enumerate(self.rendered)])

    def view(self, index: int, who: int) -> manipulate.View:
        """The face of one of the people in one frame, with the camera's noise."""
        rendered = self.rendered[index]
        return _view(self.frames[index], rendered, who, self.people[who])

    def generate(self, person: heads.Person, pose: heads.Pose, detail: float) -> manipulate.View:
        """A generator's picture of a person: the face alone, `detail` pixels high at most, without noise.

        Like a generator's input it is a camera turned to the face, so the head's turn is seen from there.
        """
        share = 1.5 * pose.size  # the cut's height in frame heights
        rows = 2 * round(0.5 * 1.5 * min(detail, pose.size * self.height))
        half = np.tan(0.5 * self.scene.field_of_view)
        aside, below = self._bearing(pose)
        turned = replace(pose, x=0.0, y=0.0, size=pose.size / share, yaw=pose.yaw + aside, pitch=pose.pitch + below)
        near = replace(self.scene, field_of_view=float(2 * np.arctan(share * half)), vignette=0.0)
        rendered = _renderer().render([(person, turned)], near, rows, rows)
        return _view(rendered.rgb, rendered, 0, person)

    def _bearing(self, pose: heads.Pose) -> tuple[float, float]:
        """How far aside and below the camera's axis a face is, radians."""
        half = np.tan(0.5 * self.scene.field_of_view)
        return float(np.arctan(2 * half * pose.x)), float(np.arctan(2 * half * pose.y))

    def _facing(self, pose: heads.Pose) -> heads.Pose:
        """The pose turned to the camera: people in a group look into it, wherever they stand."""
        aside, below = self._bearing(pose)
        return replace(pose, yaw=pose.yaw - aside, pitch=pose.pitch - below)

    def driven(self, index: int, driver: "Studio") -> manipulate.View:
        """This take's person with the expression of another take's: what Face2Face and NeuralTextures paste from."""
        if index not in self._driven:
            pose = self.poses[index][0]
            pose = replace(pose, actions=_transfer(pose.actions, driver.poses[index][0].actions))
            self._driven[index] = self.generate(self.people[0], pose, 160)
        return self._driven[index]

    def release(self, path: Path, frames: np.ndarray) -> None:
        """Publish frames the way this take's videos are published, real or forged."""
        video.write(path, video.degrade(frames, self.shrink), self.settings.fps, self.codec)


def _move(pose: heads.Pose, first: heads.Pose, x: float, y: float, size: float) -> heads.Pose:
    """A pose of a motion that is to start at another place and distance; its sway is scaled to the new size."""
    ratio = size / first.size
    return replace(pose, x=x + ratio * (pose.x - first.x), y=y + ratio * (pose.y - first.y), size=pose.size * ratio)


def _view(rgb: np.ndarray, rendered: heads.Rendered, who: int, person: heads.Person) -> manipulate.View:
    """What a tool sees of a face. A beard belongs to it; other hair, though in front of it, doesn't."""
    points = rendered.points[who]
    own = np.isin(rendered.region, FACE)
    if person.beard != "none":
        marks = points[heads.LANDMARK_VERTICES[[*range(2, 15), 30]]]
        below = np.zeros(own.shape, np.uint8)
        cv2.fillConvexPoly(below, cv2.convexHull(np.rint(marks).astype(np.int32)), 1)
        own |= (rendered.region == Region.HAIR) & (below > 0)
    return manipulate.View(rgb, points, own & (rendered.person == who), rendered.visible[who])


def forge(settings: Demo, studio: list[Studio], fake: Fake) -> tuple[np.ndarray, np.ndarray]:
    """The forged frames of one video, before compression (N, H, W, 3) uint8, and their masks (N, H, W) bool."""
    stage = studio[fake.take]
    rng = _rng(settings, stage.take.part, fake.number, RECIPE)
    recipe, drift = manipulate.draw_recipe(fake.method, rng), manipulate.draw_drift(rng)
    way = methods.WAYS.get(fake.method, methods.swapped)
    alone = way is methods.swapped  # needs nobody's video, but a person
    driver = None if alone else studio[fake.source]
    stranger = draw_person(settings, stage.take.part, fake.source) if alone else None
    out = []
    for index, poses in enumerate(stage.poses):
        noise = _rng(settings, stage.take.part, fake.number, FORGE, index)
        target, pose = stage.view(index, fake.victim), poses[fake.victim]
        out.append(way(methods.Shot(target, index, pose, stage, driver, stranger, recipe, drift, noise)))
    return np.stack([item.rgb for item in out]), np.stack([item.mask for item in out])


def _transfer(own: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """Expression transfer: the driver's actions in place of one's own.

    The chin outside the pasted part stays where it is, so the jaw follows the driver only so far.
    """
    jaw = own.get("jawOpen", 0.0)
    follows = float(np.clip(other.get("jawOpen", 0.0), jaw - 0.15, jaw + 0.15))
    return {name: other.get(name, 0.0) for name in sorted(own.keys() | other.keys())} | {"jawOpen": follows}
