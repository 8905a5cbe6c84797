"""A folder of real faces and forgeries of them: which faces are used, who is put onto whom, and the files.

Half of the pairs go through a video, shrunk and compressed as such are on the web. Real and fake go through the same
one, and the same encoder of pictures, so that compression can't tell them apart.
"""

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from dfnb.benchmark import forgeries, video
from dfnb.common import code, files, locks
from dfnb.common.errors import UserError, printable
from dfnb.common.randomness import generator
from dfnb.data import faces, frames
from dfnb.data.catalogues import lists

log = logging.getLogger(__name__)
MARKER = "FORGERIES.json"
NOTICE = (
    "Forgeries of real faces, made by `dfnb forge` for choosing settings. They show real people: they may not be "
    "published where the faces they were made from may not."
)
CODE = tuple(f"benchmark.{name}" for name in ("forgery_folder", "forgeries", "pasting", "video"))
FILMED = 0.5  # share of the pairs that go through a video
SHRUNK, FACTOR = (0.7, 1.0), (18, 30)  # a video's share of the picture's size; x264's constant rate factor
CANDIDATES, USES = 24, 3  # faces looked at for each target; how often one may be the source
SMALLEST = 48.0  # pixels of a face's height
TURNED = 2.5  # times the nose is nearer to one end of the jaw than to the other


def build(folder: Path, out: Path, count: int = 300, seed: int = 0) -> dict[str, Any]:
    """Forge `count` faces of a folder by each method; what is in `out` already is kept.

    folder: images or videos, a person a file; of a video one frame is taken, of a frame the largest face.
    out: gets METHOD/real/TARGET.jpg and METHOD/fake/TARGET_SOURCE.jpg, which `dfnb.data.faces_folder` reads, and
        FORGERIES.json. Each target is forged once a method, as far as the faces suffice.
    Returns what FORGERIES.json holds: "made" (method -> pairs), "problems" (file -> why its face can't be used),
    the settings. Raises UserError: no folder, fewer than two usable faces, names that collide, an `out` with other
    contents, settings or code.
    """
    if out.resolve().is_relative_to(lists.folder(folder).resolve()):
        raise UserError(f"{out}: lies in the folder of faces, and would be read as some; use another folder")
    if (folder / "fake").is_dir():
        raise UserError(f"{folder}: has a folder fake/, and only real faces are forged; name its folder of real ones")
    found = _named(lists.videos_and_images(folder), folder)
    listed = [[path.relative_to(folder).as_posix(), path.stat().st_size] for path in found.values()]
    hashed = code.digest_of(*CODE, "data.faces", "data.detectors")
    settings = {"count": count, "seed": seed, "faces": files.digest(listed), "code": hashed}
    if (state := _state(out, settings))["finished"]:
        return state
    usable, problems = _find(found)
    if len(usable) < 2:
        why = next(iter(problems.values()), "no other video or image in it")
        raise UserError(f"{folder}: {len(usable)} usable faces ({why}); a forgery needs two people's, so add some")
    with locks.exclusive(out, "forging", ()):
        files.write_json(out / MARKER, state)
        made = {name: _forge(name, found, usable, out / name, count, seed) for name in forgeries.METHODS}
        state |= {"made": made, "problems": problems, "finished": True}
        files.write_json(out / MARKER, state)
    return state


def _state(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What FORGERIES.json of these settings holds, or will; raises UserError where `out` has something else."""
    if (out / MARKER).is_file():
        state = files.read_json(out / MARKER)
        changed = [key for key, value in settings.items() if state.get(key) != value]
        if changed:
            raise UserError(f"{out}: holds forgeries made with another {', '.join(changed)}; delete it, or use another")
        return state
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder for the forgeries")
    if out.exists() and any(not at.name.startswith(".") for at in out.iterdir()):
        raise UserError(f"{out}: is not empty and holds no forgeries of this command; use another folder")
    return {"notice": NOTICE, **settings, "made": {}, "problems": {}, "finished": False}


def _named(paths: list[Path], folder: Path) -> dict[str, Path]:
    """Files by a name without underscores, which part target and source. Raises UserError where two would collide."""
    named: dict[str, Path] = {}
    for path in paths:
        name = re.sub(r"[\s_/\\]", "-", files.plain(path.relative_to(folder).with_suffix("").as_posix()))
        if name in named:
            raise UserError(f"{path}: would be named {name}, as {named[name]} is; rename one of the two")
        named[name] = path
    return named


def _frame(path: Path) -> NDArray[np.uint8]:
    return next(iter(frames.sample_frames(path, 1)))[1]


def _find(found: dict[str, Path]) -> tuple[dict[str, forgeries.Look], dict[str, str]]:
    """The usable faces by name, and why the others aren't, by path."""
    finder, usable, problems = faces.FaceFinder(pad=True), {}, {}
    for name, path in tqdm(found.items(), desc="finding faces", unit="file", disable=None):
        try:
            rgb = _frame(path)
        except (UserError, StopIteration) as error:
            problems[printable(str(path))] = str(error) or "no frame can be read"
            continue
        seen = finder(rgb)
        if reason := "no face found" if not seen else _unusable(seen[0].landmarks, rgb.shape):
            problems[printable(str(path))] = reason
        else:
            usable[name] = forgeries.look(rgb, seen[0].landmarks)
    return usable, problems


def _unusable(points: NDArray[np.float32], shape: tuple[int, ...]) -> str:
    """Why no tool would take this face, or an empty text."""
    ends = np.hypot(*(points[[2, 14]] - points[30]).T)
    if forgeries.face_height(points) < SMALLEST:
        return f"a face of {forgeries.face_height(points):.0f} px is too small"
    if ends.max() > TURNED * ends.min():
        return "turned too far to the side"
    inner = ((points >= 0) & (points < (shape[1], shape[0]))).all(1)
    return "" if inner[17:].mean() >= 0.9 and inner[:17].mean() >= 0.5 else "cut off by the picture's edge"


def _forge(
    method: str, found: dict[str, Path], usable: dict[str, forgeries.Look], out: Path, count: int, seed: int
) -> int:
    """Write the pairs of one method that aren't there yet; returns how many there are."""
    index, names, used = list(forgeries.METHODS).index(method), list(usable), Counter()
    order = generator("development forgery", seed, index).permutation(len(names))[:count]
    if len(order) < count:
        log.warning("%s: %d forgeries, not %d, since there are no more usable faces", method, len(order), count)
    for i, at in enumerate(tqdm(order, desc=method, unit="face", disable=None)):
        rng = generator("development forgery", seed, index, i)
        target = names[at]
        free = [name for name in names if name != target and used[name] < USES]
        candidates = rng.choice(free, min(CANDIDATES, len(free)), replace=False)
        source = min(candidates, key=lambda name: forgeries.METHODS[method].unfit(usable[target], usable[name]))
        used[source] += 1
        real, fake = out / "real" / f"{target}.jpg", out / "fake" / f"{target}_{source}.jpg"
        if real.is_file() and fake.is_file():
            continue
        a, b = (forgeries.Portrait(_frame(found[name]), usable[name].landmarks) for name in (target, source))
        pair = [a.rgb, forgeries.METHODS[method].forge(a, b, rng)]
        scale, codec = rng.uniform(*SHRUNK), video.Codec(crf=int(rng.integers(FACTOR[0], FACTOR[1] + 1)))
        if rng.random() < FILMED:
            pair = [_filmed(rgb, scale, codec) for rgb in pair]
        for path, rgb in zip((real, fake), pair, strict=True):
            with files.replacing(path) as temporary:
                Image.fromarray(rgb).save(temporary, "JPEG", quality=95, subsampling="4:2:0")
    return len(order)


def _filmed(rgb: NDArray[np.uint8], scale: float, codec: video.Codec) -> NDArray[np.uint8]:
    """A picture (H, W, 3) as it comes out of a video that was shrunk to `scale` of its size and compressed."""
    height, width = rgb.shape[:2]
    small = tuple(2 * max(8, round(side * scale / 2)) for side in (width, height))  # yuv420p wants even sides
    shrunk = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(video.recompress(shrunk[None], codec)[0], (width, height), interpolation=cv2.INTER_CUBIC)
