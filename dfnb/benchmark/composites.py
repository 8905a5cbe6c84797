"""Forgeries without a blending edge, and real faces with one: what does a network trained on blending react to?

Yermakov et al. 2026 (arXiv:2605.10334) hold that detectors mainly search for alpha blending: the seam left where a
face was pasted into a frame. The embedded benchmark can take forgery and seam apart. From the scenes of its
Celeb-DF-like part, at other moments, this module makes every combination: the person's own face or another's, pasted
into the frame or drawn as one whole, at the camera's quality or through a generator of limited resolution. Each take
is released in all kinds alike: one camera, one codec. Nothing here is shared with the self-blended images that
networks are trained on; the pasting is that of the benchmark's own swap (`pasting`).
"""

import functools
import json
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from dfnb.benchmark import builder, layout, pasting, vertices, video
from dfnb.benchmark.layout import Fake, Job
from dfnb.benchmark.manipulations import MANIPULATIONS
from dfnb.benchmark.marker import stamp_of
from dfnb.benchmark.pasting import Recipe, View
from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.profile import Demo, Profile

if TYPE_CHECKING:
    from dfnb.benchmark.heads import Person
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
    _make_room(root, stamp_of(settings, "benchmark.composites"))
    missing = [job for job in jobs if not all(_path(root, kind, job).is_file() for kind in KINDS)]
    with tqdm(total=len(missing), desc="blending and redrawing", unit="scene", disable=not missing) as bar:
        for _ in builder.in_processes(functools.partial(_make, root, settings), missing, profile.processes):
            bar.update()


def state(profile: Profile, root: Path) -> str:
    """Whether all these videos are there: "missing" (or not all), "outdated" (other settings or code), "current"."""
    settings, jobs = _plan(profile)
    if not (root / MARKER).is_file():
        return "missing"
    if _stamp_in(root / MARKER) != stamp_of(settings, "benchmark.composites"):
        return "outdated"
    return "current" if all(_path(root, kind, job).is_file() for kind in KINDS for job in jobs) else "missing"


def _plan(profile: Profile) -> tuple[Demo, list[Job]]:
    """The settings of these videos, and their scenes."""
    if profile.data.source != "embedded":
        raise UserError(f"profile {profile.name} reads videos from folders: only rendered heads can be redrawn")
    settings = profile.demo.model_copy(update={"frames": profile.robustness.take_frames})
    return settings, takes(settings, profile.robustness.takes)


def takes(settings: Demo, most: int) -> list[Job]:
    """The scenes used: those of the Celeb-DF-like part that the benchmark also forges, at most `most`, evenly."""
    forged = [job for job in layout.plan(settings) if job.takes[0].part == "celeb" and job.fakes]
    forged.sort(key=lambda job: job.takes[0].number)
    return [forged[i] for i in np.unique(np.linspace(0, len(forged) - 1, min(most, len(forged))).round().astype(int))]


def slug(kind: str) -> str:
    """A kind's folder."""
    return "-".join("".join(c if c.isalnum() else " " for c in kind).split())


def _path(root: Path, kind: str, job: Job) -> Path:
    return root / slug(kind) / f"{job.takes[0].video.video}.mp4"


def _make_room(root: Path, stamp: dict[str, Any]) -> None:
    """An empty folder, or one with videos of this very stamp. Raises UserError where something else lies there."""
    stamp_file = root / MARKER
    if stamp_file.is_file():
        if _stamp_in(stamp_file) == stamp:
            return
        log.info("%s: of other settings or another version, made anew", root)
        shutil.rmtree(root)
    elif root.exists() and any(root.iterdir()):
        raise UserError(f"{root}: holds something else than this part's videos; move it away")
    files.write_json(stamp_file, stamp)


def _stamp_in(stamp_file: Path) -> Any:
    try:
        return json.loads(stamp_file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{stamp_file}: can't be read ({error}); delete its folder, it is made again") from error


def _make(root: Path, settings: Demo, job: Job) -> None:
    """All kinds of one scene. Runs in a worker process."""
    from dfnb.benchmark import studio

    stage = studio.Studio(settings, job.takes[0])
    for kind, frames in forge(stage, job.fakes[0]).items():
        stage.release(_path(root, kind, job), frames)


def forge(stage: "Studio", fake: Fake) -> dict[str, Frames]:
    """A scene in every kind, before compression: kind -> (N, H, W, 3) uint8.

    The redrawn and pasted ones share one recipe, that of the benchmark's forger, so that they differ in what is asked.
    """
    from dfnb.benchmark import studio

    person, stranger = stage.people[0], studio.draw_person(stage.settings, stage.take.part, fake.person)
    tool = MANIPULATIONS[fake.method]
    drawn = pasting.draw_recipe(tool.good, tool.bad, stage.rng(FORGE))
    drift = pasting.draw_drift(stage.rng(FORGE, 1))
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
        drawn_own, drawn_stranger = (stage.stranger(who, index, 0, recipe.detail) for who in (person, stranger))

        def pasted(source: View, how: Recipe, laid: bool, index: int = index, target: View = target):
            return _paste(target, source, how, laid, drift, stage.rng(FORGE, 2, index))

        made = {
            FILMED: target.rgb,
            "own frame redrawn whole": _whole(stage, index, person, recipe),
            "own face, second exposure": pasted(second, copied, False),
            "own face, 5 % brighter": pasted(bright, copied, False),
            "own face, brighter, Poisson": pasted(bright, brighter, False),
            "own face redrawn, pasted": pasted(drawn_own, recipe, True),
            "swap, filmed whole": stage.camera.shoot(_render(stage, index, stranger, 1.0), stage.rng(COPY, 1, index)),
            "swap, redrawn whole": _whole(stage, index, stranger, recipe),
            "swap, pasted": pasted(drawn_stranger, recipe, True),
            "swap, Poisson": pasted(drawn_stranger, seamless, True),
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
    return studio.renderer().render(cast, stage.scene, rows, columns).rgb


def _whole(stage: "Studio", index: int, person: "Person", recipe: Recipe) -> NDArray[np.uint8]:
    """The whole frame as the generator of a recipe draws it: its resolution, its softness, its share of the noise."""
    filmed = stage.frames[index]
    share = min(1.0, recipe.detail / (stage.poses[index][0].size * stage.height))
    small = _render(stage, index, person, share).astype(np.float32)
    if recipe.blur > 0:
        small = cv2.GaussianBlur(small, (0, 0), recipe.blur)
    picture = cv2.resize(small, filmed.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    level = recipe.grain * pasting.noise_level(filmed, np.ones(filmed.shape[:2], bool))
    return video.to_levels(picture + video.grain(picture, level, 0.0, 0.3, 0.6, stage.rng(NOISE, index)))


def _paste(
    target: View, source: View, recipe: Recipe, laid: bool, drift: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The source's face in the target's frame. laid: by its features; else it is a copy of that very frame."""
    anchors = vertices.inner_face() if laid else None
    return pasting.swap(target, source, vertices.face(), anchors, recipe, rng, drift).rgb


def _brighter(rgb: NDArray[np.uint8], gain: float) -> NDArray[np.uint8]:
    return np.clip(np.rint(rgb * np.float32(gain)), 0, 255).astype(np.uint8)
