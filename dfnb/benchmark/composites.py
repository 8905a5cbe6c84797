"""Forgeries without a blending edge, and real faces with one: what does a network trained on blending react to?

Yermakov et al. 2026 (arXiv:2605.10334) hold that detectors mainly search for alpha blending: the seam left where a
face was pasted into a frame. The embedded benchmark can take forgery and seam apart. From the scenes of its
Celeb-DF-like part, at other moments, this module makes every combination: the person's own face or another's, pasted
into the frame or drawn as one whole, at the camera's quality or through a generator of limited resolution. Each take
is released in all kinds alike: one camera, one codec. Nothing here is shared with the self-blended images that
networks are trained on; the pasting is that of the benchmark's own forger (`demo.manipulate`).
"""

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.profile import Demo, Profile

if TYPE_CHECKING:
    from dfnb.benchmark.heads import Person
    from dfnb.benchmark.layout import Fake, Job
    from dfnb.benchmark.manipulate import Recipe, View
    from dfnb.benchmark.studio import Studio

log = logging.getLogger(__name__)
Frames = NDArray[np.uint8]  # (N, H, W, 3) RGB
FILMED = "as filmed"
MARKER = "COMPOSITES.json"
COPY, FORGE, NOISE = 101, 102, 103  # keys of the random draws; the benchmark's own are below 10


@dataclass(frozen=True)
class Kind:
    """One way to make a take's video.

    forged: whether it shows somebody else's face. edge: "none", "alpha" or "Poisson": how a face was pasted into the
    frame, if it was. generated: whether what is new went through a generator of limited resolution, without noise.
    """

    forged: bool
    edge: str
    generated: bool

    @property
    def label(self) -> str:
        return "fake" if self.forged else "real"


KINDS = {
    FILMED: Kind(False, "none", False),
    "own frame redrawn whole": Kind(False, "none", True),
    "own face, second exposure": Kind(False, "alpha", False),
    "own face, 5 % brighter": Kind(False, "alpha", False),
    "own face, brighter, Poisson": Kind(False, "Poisson", False),
    "own face redrawn, pasted": Kind(False, "alpha", True),
    "swap, filmed whole": Kind(True, "none", False),
    "swap, redrawn whole": Kind(True, "none", True),
    "swap, pasted": Kind(True, "alpha", True),
    "swap, Poisson": Kind(True, "Poisson", True),
}


def clips(profile: Profile, root: Path) -> pd.DataFrame:
    """The catalogue of these videos (columns: `data.catalogues`; method is the kind), whether they are there or not.

    root: the folder they lie in. Raises UserError where the profile has no embedded benchmark.
    """
    rows = [
        {
            "path": str(_path(root, kind, job)),
            "dataset": "blending",
            "video": f"{slug(kind)}/{job.takes[0].video.video}",
            "label": about.label,
            "method": kind,
            "group": job.takes[0].video.group,
            "split": "test",
        }
        for kind, about in KINDS.items()
        for job in _plan(profile)[1]
    ]
    return pd.DataFrame(rows)


def build(profile: Profile, root: Path) -> None:
    """Make the videos that are missing, or all where settings or code have changed. Raises UserError as `clips`."""
    settings, jobs = _plan(profile)
    _make_room(root, _stamp(settings))
    missing = [job for job in jobs if not all(_path(root, kind, job).is_file() for kind in KINDS)]
    _build(root, settings, missing, profile.jobs)


def state(profile: Profile, root: Path) -> str:
    """Whether all these videos are there: "missing" (or not all), "outdated" (other settings or code), "current"."""
    settings, jobs = _plan(profile)
    if not (root / MARKER).is_file():
        return "missing"
    if _stamp_in(root / MARKER) != _stamp(settings):
        return "outdated"
    return "current" if all(_path(root, kind, job).is_file() for kind in KINDS for job in jobs) else "missing"


def _plan(profile: Profile) -> tuple[Demo, list["Job"]]:
    """The settings of these videos, and their scenes."""
    if profile.data.source != "embedded":
        raise UserError(f"profile {profile.name} reads videos from folders: only rendered heads can be redrawn")
    settings = profile.demo.model_copy(update={"frames": profile.robustness.take_frames})
    return settings, takes(settings, profile.robustness.takes)


def _stamp(settings: Demo) -> dict[str, Any]:
    return {"demo": settings.model_dump(mode="json"), "code": _code()}


def takes(settings: Demo, most: int) -> list["Job"]:
    """The scenes used: those of the Celeb-DF-like part that the benchmark also forges, at most `most`, evenly."""
    from dfnb.benchmark import layout

    forged = [job for job in layout.plan(settings) if job.takes[0].part == "celeb" and job.fakes]
    forged.sort(key=lambda job: job.takes[0].number)
    return [forged[i] for i in np.unique(np.linspace(0, len(forged) - 1, min(most, len(forged))).round().astype(int))]


def slug(kind: str) -> str:
    """A kind's folder."""
    return "-".join("".join(c if c.isalnum() else " " for c in kind).split())


def _path(root: Path, kind: str, job: "Job") -> Path:
    return root / slug(kind) / f"{job.takes[0].video.video}.mp4"


def _code() -> str:
    """A hash of the code that decides the pixels."""
    from dfnb.benchmark import marker

    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return files.digest([own, marker.stamp_of(Demo())["code"]])


def _make_room(root: Path, stamp: dict[str, Any]) -> None:
    """An empty folder, or one with videos of this very stamp. Raises UserError where something else lies there."""
    marker = root / MARKER
    if marker.is_file() and _stamp_in(marker) == stamp:
        return
    if root.exists() and any(root.iterdir()) and not marker.is_file():
        raise UserError(f"{root}: holds something else than this part's videos; move it away")
    if marker.is_file():
        log.info("%s: of other settings or another version, made anew", root)
        shutil.rmtree(root)
    files.write_json(marker, stamp)


def _stamp_in(marker: Path) -> Any:
    try:
        return json.loads(marker.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{marker}: can't be read ({error}); delete its folder, it is made again") from error


def _build(root: Path, settings: Demo, missing: list["Job"], jobs: int) -> None:
    bar = tqdm(total=len(missing), desc="blending and redrawing", unit="scene", disable=not missing)
    with bar, joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        tasks = (joblib.delayed(_make)(root, settings, job) for job in missing)
        for _ in joblib.Parallel(n_jobs=min(jobs, max(1, len(missing))), return_as="generator_unordered")(tasks):
            bar.update()


def _make(root: Path, settings: Demo, job: "Job") -> None:
    """All kinds of one scene. Runs in a worker process."""
    from dfnb.benchmark import studio

    cv2.setNumThreads(1)
    with threadpool_limits(1):
        stage = studio.Studio(settings, job.takes[0])
        for kind, frames in forge(stage, job.fakes[0]).items():
            stage.release(_path(root, kind, job), frames)


def forge(stage: "Studio", fake: "Fake") -> dict[str, Frames]:
    """A scene in every kind, before compression: kind -> (N, H, W, 3) uint8.

    The redrawn and pasted ones share one recipe, that of the benchmark's forger, so that they differ in what is asked.
    """
    from dfnb.benchmark import manipulate, studio

    own, other = stage.people[0], studio.draw_person(stage.settings, stage.take.part, fake.source)
    drawn = manipulate.draw_recipe("Celeb-synthesis", stage.rng(FORGE))
    drift = manipulate.draw_drift(stage.rng(FORGE, 1))
    recipe, seamless = replace(drawn, poisson=0.0), replace(drawn, poisson=1.0)
    copied = replace(
        drawn, detail=1e6, blur=0.0, grain=0.0, colour=0.0, tint=0.0, misfit=0.0, jitter=0.0, opacity=1.0, poisson=0.0
    )
    brighter = replace(copied, poisson=1.0)
    out: dict[str, list[NDArray[np.uint8]]] = {kind: [] for kind in KINDS}
    for index in range(len(stage.poses)):
        target = stage.view(index, 0)
        second = replace(target, rgb=stage.camera.shoot(stage.rendered[index].rgb, stage.rng(COPY, index)))
        bright = replace(target, rgb=_brighter(target.rgb, 1.05))
        faces = {who: _generated(stage, index, who, recipe) for who in (own, other)}

        def pasted(source: "View", how: "Recipe", laid: bool, index: int = index, target: "View" = target):
            return _paste(target, source, how, laid, drift, stage.rng(FORGE, 2, index))

        made = {
            FILMED: target.rgb,
            "own frame redrawn whole": _whole(stage, index, own, recipe),
            "own face, second exposure": pasted(second, copied, False),
            "own face, 5 % brighter": pasted(bright, copied, False),
            "own face, brighter, Poisson": pasted(bright, brighter, False),
            "own face redrawn, pasted": pasted(faces[own], recipe, True),
            "swap, filmed whole": stage.camera.shoot(_render(stage, index, other, 1.0), stage.rng(COPY, 1, index)),
            "swap, redrawn whole": _whole(stage, index, other, recipe),
            "swap, pasted": pasted(faces[other], recipe, True),
            "swap, Poisson": pasted(faces[other], seamless, True),
        }
        for kind, rgb in made.items():
            out[kind].append(rgb)
    return {kind: np.stack(rgbs) for kind, rgbs in out.items()}


def _render(stage: "Studio", index: int, person: "Person", share: float) -> NDArray[np.uint8]:
    """The whole frame with this person in it, without a camera's faults; share: of the frame's size."""
    from dfnb.benchmark import studio

    if person is stage.people[0] and share == 1:
        return stage.rendered[index].rgb
    rows, columns = (2 * max(8, round(side * share / 2)) for side in (stage.height, stage.width))
    cast = [(person, stage.poses[index][0])]
    return studio._renderer().render(cast, stage.scene, rows, columns).rgb


def _whole(stage: "Studio", index: int, person: "Person", recipe: "Recipe") -> NDArray[np.uint8]:
    """The whole frame as the generator of a recipe draws it: its resolution, its softness, its share of the noise."""
    from dfnb.benchmark import manipulate, video

    filmed = stage.frames[index]
    share = min(1.0, recipe.detail / (stage.poses[index][0].size * stage.height))
    small = _render(stage, index, person, share).astype(np.float32)
    if recipe.blur > 0:
        small = cv2.GaussianBlur(small, (0, 0), recipe.blur)
    picture = cv2.resize(small, filmed.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    level = recipe.grain * manipulate.noise_level(filmed, np.ones(filmed.shape[:2], bool))
    return video.to_levels(picture + video.grain(picture, level, 0.0, 0.3, 0.6, stage.rng(NOISE, index)))


def _generated(stage: "Studio", index: int, person: "Person", recipe: "Recipe") -> "View":
    """The face alone as the benchmark's forger has it drawn, ready to be pasted."""
    known = replace(
        person, hair="bald", key=person.key ^ 1
    )  # a generator knows no fringe; the renderer keeps heads by key
    return stage.generate(known, stage.poses[index][0], recipe.detail)


def _paste(
    target: "View", source: "View", recipe: "Recipe", laid: bool, drift: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The source's face in the target's frame. laid: by its features; else it is a copy of that very frame."""
    from dfnb.benchmark import heads, manipulate

    anchors = heads.INNER_FACE_VERTICES if laid else None
    return manipulate.swap(target, source, heads.FACE_VERTICES, anchors, recipe, rng, drift).rgb


def _brighter(rgb: NDArray[np.uint8], gain: float) -> NDArray[np.uint8]:
    return np.clip(np.rint(rgb * np.float32(gain)), 0, 255).astype(np.uint8)
