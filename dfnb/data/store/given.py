"""Faces that needn't be looked for -> face store: crops of one face each, landmarks that lie with the pictures.

The store is as `prepare` makes it, and read alike. Its keys are its own: what is known of the set, this module's code
and the landmarks' bytes are in them, and in no other store's.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from joblib.externals.loky.process_executor import TerminatedWorkerError
from numpy.typing import NDArray
from tqdm.auto import tqdm

from dfnb.common import code
from dfnb.common.errors import UserError
from dfnb.common.files import replacing, sha256, write_text
from dfnb.data import frames as video_frames
from dfnb.data.catalogues.gathered import landmarks_beside
from dfnb.data.faces import Face, FaceFinder, box
from dfnb.data.frame_folders import frames_in
from dfnb.data.images import is_image
from dfnb.data.limits import first_line
from dfnb.data.store.coverage import Coverage
from dfnb.data.store.prepare import _assemble, _cut, _done, _gather, _tidy, _unread, alone, disk_fault, made_of
from dfnb.data.store.prepare import key_of as found_key
from dfnb.data.store.prepare import settings_of as found_settings
from dfnb.data.store.read import read_about, shard_path

KEYED_APART = True  # see `dfnb.common.code`
BEYOND = 0.1  # of the picture's longer side: so far outside of it a given landmark may lie, as dlib's do at its edge
_MAX_BYTES = 1 << 16  # of a file of landmarks
_POINTS = (68, 81)  # dlib's; and the 81-point model's, whose first 68 are in the same order


@dataclass(frozen=True)
class GivenFaces:
    """The faces of a picture, by what is known of its set: `GivenFaces(finder, ...)(rgb, file) -> list[Face]`.

    finder: finds the landmarks in a box, and faces where nothing is known.
    crops: every picture is the crop of one face, whose box, from the brows to the chin as a detector's, is the picture
        without these shares of its width and height: left, top, right, bottom. None: it may be any picture.
    landmarks: whether those that lie with a picture are its face (see `landmarks_beside`); before `crops`.
    """

    finder: FaceFinder
    crops: tuple[float, float, float, float] | None = None
    landmarks: bool = False

    def __call__(self, rgb: NDArray[np.uint8], file: Path | None) -> list[Face]:
        """rgb: (H, W, 3) uint8. file: where it lies as an image. Raises UserError where its landmarks can't be its."""
        if marks := self.beside(file):
            points = read_landmarks(marks, rgb.shape[:2])
            return [Face(points, box(points))]
        if self.crops is None:
            return self.finder(rgb)
        left, top, right, bottom = self.crops
        height, width = rgb.shape[:2]
        inner = (left * width, top * height, (1 - right) * width - 1, (1 - bottom) * height - 1)
        return self.finder._place(np.ascontiguousarray(rgb), [(inner, 0.0)])

    def beside(self, file: Path | None) -> Path | None:
        """The landmarks that lie with a picture, where they are to be used."""
        return landmarks_beside(file) if self.landmarks and file else None


def read_landmarks(file: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The landmarks in a .npy file, (68, 2) or (81, 2) of any kind of number, x then y -> the first 68, float32 pixels.

    shape: (H, W) of the picture. Raises UserError: not such a file, a number that isn't finite, a point farther outside
    of the picture than `BEYOND`, or all on one line or spot.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES >> 10} KiB")
        with file.open("rb") as opened:
            points = np.lib.format.read_array(opened, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, SyntaxError, OverflowError, TypeError) as error:
        raise UserError(f"{file}: not a .npy file of landmarks ({first_line(error)})") from None
    if points.dtype.kind not in "iuf":
        raise UserError(f"{file}: not a .npy file of landmarks (no numbers)")
    if points.shape not in [(count, 2) for count in _POINTS]:
        raise UserError(f"{file}: landmarks of shape {points.shape}, where (68, 2) or (81, 2) is needed")
    points = points[:68].astype(np.float64)
    height, width = shape
    slack = BEYOND * max(shape)
    if not np.isfinite(points).all():
        raise UserError(f"{file}: a landmark is not a number")
    if (points < -slack).any() or (points > np.array([width, height]) + slack).any():
        raise UserError(f"{file}: landmarks outside of the picture of {width} x {height} px; they are of another one")
    if (np.ptp(points, axis=0) < 2).any():
        raise UserError(f"{file}: landmarks all on one line or spot")
    return points.astype(np.float32)


def settings_of(frames: int, keep: str, given: GivenFaces) -> dict[str, Any]:
    """What, beside a clip's bytes and those of its landmarks, decides its record."""
    about = {"crops": given.crops and list(given.crops), "landmarks": given.landmarks}
    about["code"] = code.digest_of("data.store.given", "data.catalogues.gathered")
    return {**found_settings(frames, keep, given.finder), "given": about}


def key_of(file: Path, settings: dict[str, Any], given: GivenFaces) -> str:
    """The name of a clip's record. Raises OSError where it can't be read."""
    marks = [given.beside(picture) for picture in _pictures(file)]
    return found_key(file, {**settings, "landmarks given": [sha256(at) if at else None for at in marks]})


def one(path: str, file: Path, root: Path, settings: dict[str, Any], given: GivenFaces) -> tuple[str, dict[str, str]]:
    """Store one clip's faces, or find it done. Returns `path`, its key where it can be read, and any problem."""
    try:
        key = key_of(file, settings, given)
    except OSError as error:
        return path, {"problem": _unread(error)}
    try:
        if not _done(root, key):
            _extract(file, root, key, settings, given)
        return path, {"key": key}
    except UserError as error:
        problem = str(error).removeprefix(f"{file}: ")
    except MemoryError:
        problem = "out of memory"
    except (RuntimeError, cv2.error) as error:  # what dlib and OpenCV raise
        problem = f"the face finder failed ({first_line(error)})"
    return path, {"key": key, "problem": problem}


def prepare_given(
    clips: pd.DataFrame,
    root: str | os.PathLike[str],
    frames: int = 8,
    jobs: int | None = 2,
    keep: str = "largest",
    progress: bool = True,
    wait: bool = False,
    given: dict[str, Any] | None = None,
    **finder: Any,
) -> Coverage:
    """As `prepare`, for sets of which faces are known. given: `crops` and `landmarks` of `GivenFaces`.

    A frame whose landmarks can't be its has no face, and the reason is a row of the coverage's problems.
    """
    clips, sets = _gather(clips)
    faces = how(finder, given)
    faces.finder.check()
    settings, root = settings_of(frames, keep, faces), Path(root)
    try:
        (root / "shards").mkdir(parents=True, exist_ok=True)
        with alone(root, wait):
            _tidy(root)
            paths = list(dict.fromkeys(clips["path"]))
            keys = _keys(paths, settings, faces)
            outcomes = {path: {"key": key} for path, key in keys.items() if key and _done(root, key)}
            left = [path for path in paths if path not in outcomes]
            tasks = (joblib.delayed(one)(p, Path(p).absolute(), root.absolute(), settings, faces) for p in left)
            workers = jobs if jobs is None or jobs < 0 else max(1, min(jobs, len(left)))
            work = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")(tasks)
            bar = tqdm(work, f"faces {root.name}", len(left), unit="video", disable=not (progress and left))
            outcomes |= dict(bar)
            return _assemble(clips, [outcomes[path] for path in clips["path"]], sets, root, settings)
    except TerminatedWorkerError:
        raise UserError(
            f"{root}: a worker process died, killed or out of memory; run it again with fewer jobs"
        ) from None
    except OSError as error:
        raise UserError(disk_fault(root, error)) from None


def state_given(
    clips: pd.DataFrame,
    root: str | os.PathLike[str],
    frames: int = 8,
    jobs: int | None = 2,
    keep: str = "largest",
    given: dict[str, Any] | None = None,
    **finder: Any,
) -> str:
    """As `state`, of what `prepare_given` makes."""
    clips, _ = _gather(clips)
    manifest, root, faces = Path(root) / "manifest.parquet", Path(root), how(finder, given)
    if not manifest.is_file():
        return "missing"
    settings = settings_of(frames, keep, faces)
    keys = _keys(list(dict.fromkeys(clips["path"])), settings, faces)
    try:
        if read_about(root).get("made_of") != made_of(clips, settings, keys):
            return "outdated"
        kept = set(pq.read_table(manifest, columns=["shard"]).column("shard").to_pylist())
    except (UserError, pa.ArrowException, OSError, KeyError):
        return "missing"
    return "current" if all(_done(root, key) for key in kept) else "missing"


def _keys(paths: list[str], settings: dict[str, Any], given: GivenFaces) -> dict[str, str | None]:
    """The key of each clip; None where it can't be read."""

    def ask(path: str) -> str | None:
        try:
            return key_of(Path(path).absolute(), settings, given)
        except OSError:
            return None

    with ThreadPoolExecutor() as pool:
        return dict(zip(paths, pool.map(ask, paths), strict=True))


def how(finder: dict[str, Any], given: dict[str, Any] | None) -> GivenFaces:
    """What `prepare_given` goes by. Frames aren't looked at one after the other, so no face is followed."""
    return GivenFaces(FaceFinder(**{**finder, "follow": False}), **(given or {}))


def _pictures(path: Path) -> list[Path]:
    """The image of each frame, in order; none of a video."""
    return frames_in(path) or ([path] if path.is_file() and is_image(path) else [])


def _extract(path: Path, root: Path, key: str, settings: dict[str, Any], given: GivenFaces) -> None:
    """Write one clip's crops, and then its record."""
    looked, faces, notes, offset = [], [], [], 0
    hashed, file = hashlib.sha256(), shard_path(root, key)
    pictures, known = _pictures(path), video_frames.timeline(path)
    with replacing(file) as temporary, temporary.open("wb") as out:
        for index, rgb in video_frames.sample_frames(path, settings["frames"], known=known):
            try:
                these = given(rgb, pictures[index] if index < len(pictures) else None)
            except UserError as error:
                these = []
                notes.append(str(error))
            looked.append({"frame": index, "faces": len(these)})
            for rank, face in enumerate(these[:1] if settings["keep"] == "largest" else these):
                row, pixels = _cut(rgb, face)
                faces.append({"frame": index, "face": rank, **row, "offset": offset})
                hashed.update(pixels)
                out.write(pixels)
                offset += len(pixels)
    if len(looked) < min(settings["frames"], known.count):
        notes.append(f"only {len(looked)} of {min(settings['frames'], known.count)} frames could be decoded")
    record = {"frames": looked, "faces": faces, "notes": [*known.notes, *notes], "shard_bytes": offset}
    record["sha256"] = hashed.hexdigest()
    write_text(shard_path(root, key, ".json"), json.dumps(record, separators=(",", ":")))
