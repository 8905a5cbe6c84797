"""Clips -> face store: every video on its own, in parallel, resumable, with a report of what was lost.

A video's result is kept under a key made from its bytes and the settings, so that a rerun finds it wherever the
file was moved and does it anew when either changed. The manifest is put together from the kept results in the
catalogue's order: it is the same bytes whatever the number of processes, and however often the work was cut short.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from dfnb.common import code, environment, locks
from dfnb.common.errors import UserError
from dfnb.common.files import digest, replacing, sha256, write_text
from dfnb.data import frames as video_frames
from dfnb.data.faces import LANDMARKS_SHA256, Face, FaceFinder, window
from dfnb.data.frame_folders import frames_in
from dfnb.data.images import is_image
from dfnb.data.store.coverage import Coverage, tally
from dfnb.data.store.read import (
    CLIP_COLUMNS,
    FORMAT,
    META,
    VIDEO,
    ContentDigest,
    read_about,
    record_of,
    shard_path,
)

MARGIN = 0.35  # of the box, on each side of a stored crop: room for augmentation
_BATCH = 32  # videos whose rows are written at once
_ESCAPED = re.compile(r"\\ud[89a-f][0-9a-f]{2}")  # a byte of a name that is no UTF-8, see `files.plain`
_SAMPLED = 32 << 20  # bytes; larger videos are hashed by parts of this size in all

_CLIPS = [(c, pa.string()) for c in CLIP_COLUMNS]
_FRAMES_SCHEMA = pa.schema([*_CLIPS, ("frame", pa.int32()), ("faces", pa.int32())])
_PLACE = ("frame", "face", "frame_height", "frame_width", "crop_x", "crop_y", "crop_h", "crop_w")
_MANIFEST_SCHEMA = pa.schema(
    [
        *_CLIPS,
        *((c, pa.int32()) for c in _PLACE),
        *((c, pa.float32()) for c in ("x0", "y0", "x1", "y1", "score")),
        ("landmarks", pa.list_(pa.float32(), 136)),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("shard_bytes", pa.int64()),
        ("sha256", pa.string()),
    ]
)


def prepare(
    clips: pd.DataFrame | Iterable[pd.DataFrame],
    root: str | os.PathLike[str],
    frames: int = 8,
    jobs: int | None = 2,
    keep: str = "largest",
    progress: bool = True,
    wait: bool = False,
    **finder: Any,
) -> Coverage:
    """Find and store the faces of all clips; what is there already is kept.

    clips: a catalogue of `dfnb.data.catalogues`, or several. frames: evenly spaced frames looked at in each video.
    jobs: processes; None leaves number and kind to `joblib.parallel_config`, such as a Dask cluster's.
    keep: "largest" face of a frame, or "all". finder: settings of `dfnb.data.faces.FaceFinder`.
    wait: for another command that prepares the same store, where that is no error.
    Returns the coverage; one bad video is a row of its `problems` and never ends the run.
    Raises UserError: a setting out of range, no landmark model, another command preparing the same store, a full disk
    or read-only folder, a worker process that died. Whatever was finished is kept then, too.
    """
    clips, sets = _gather(clips)
    if frames < 1 or jobs == 0:
        raise UserError(f"frames {frames}, jobs {jobs}: each must be 1 or more")
    if keep not in ("largest", "all"):
        raise UserError(f"keep: {keep!r} is unknown; use 'largest' or 'all'")
    find = FaceFinder(**finder)
    find.check()
    settings = settings_of(frames, keep, find)
    root = Path(root)
    try:
        (root / "shards").mkdir(parents=True, exist_ok=True)
        with alone(root, wait):
            _tidy(root)
            outcomes = _process(clips, root, settings, find, jobs, progress)
            return _assemble(clips, outcomes, sets, root, settings)
    except OSError as error:
        raise UserError(disk_fault(root, error)) from None


def state(
    clips: pd.DataFrame | Iterable[pd.DataFrame],
    root: str | os.PathLike[str],
    frames: int = 8,
    jobs: int | None = 2,
    keep: str = "largest",
    **finder: Any,
) -> str:
    """Whether a store is what `prepare` with the same arguments makes: "missing" (or not whole), "outdated", "current".

    "outdated": of other videos, settings or code, wherever the videos lie. Nothing is written.
    Raises UserError where the catalogue is unsound.
    """
    clips, _ = _gather(clips)
    manifest, root = Path(root) / "manifest.parquet", Path(root)
    if not manifest.is_file():
        return "missing"
    settings = settings_of(frames, keep, FaceFinder(**finder))
    keys = _keys(list(dict.fromkeys(clips["path"])), settings)
    try:
        if read_about(root).get("made_of") != made_of(clips, settings, keys):
            return "outdated"
        kept = set(pq.read_table(manifest, columns=["shard"]).column("shard").to_pylist())
    except (UserError, pa.ArrowException, OSError, KeyError):
        return "missing"  # damaged: it is put together again
    return "current" if all(_done(root, key) for key in kept) else "missing"


def made_of(clips: pd.DataFrame, settings: dict[str, Any], keys: dict[str, str | None]) -> str:
    """A hash of all that decides a store: the clips' rows without their paths, the settings, and each video's key."""
    return digest([settings, clips.drop(columns="path").values.tolist(), [keys[path] for path in clips["path"]]])


def _keys(paths: list[str], settings: dict[str, Any]) -> dict[str, str | None]:
    """The key of each video; None where it can't be read."""

    def ask(path: str) -> str | None:
        try:
            return key_of(Path(path).absolute(), settings)
        except OSError:
            return None

    with ThreadPoolExecutor() as pool:  # hashing lets go of Python's lock
        return dict(zip(paths, pool.map(ask, paths), strict=True))


def alone(root: Path, wait: bool = False) -> AbstractContextManager[None]:
    """One command at a time fills a store. Raises UserError where another does, unless it is to wait for that one."""
    busy = f"{root}: another command is preparing this face store"
    return locks.held(root / ".lock", busy, "wait for it, or give another", wait)


# catalogues, reports and readers decide no face
CODE_THAT_FINDS_NOTHING = (
    "data.__init__", "data.catalogues", "data.store.__init__", "data.store.coverage", "data.store.estimate",
    "data.store.verify", "data.store.read",
)  # fmt: skip


def settings_of(frames: int, keep: str, find: FaceFinder) -> dict[str, Any]:
    """What, beside a video's bytes, decides its record."""
    return {
        "format": FORMAT,
        "frames": frames,
        "keep": keep,
        "margin": MARGIN,
        "detector": find.detector,
        "longest_side": find.longest_side,
        "upsample": find.upsample,
        "retry": find.retry,
        "landmarks": LANDMARKS_SHA256,
        "code": code.digest_of("data", without=CODE_THAT_FINDS_NOTHING),
        **({"follow": True} if find.follow and keep == "largest" else {}),  # else other faces could be missed
        **({"pad": True} if find.pad else {}),
    }


def _tidy(root: Path) -> None:
    """Remove the temporary files of a run that was killed, and nothing else of what may lie there."""
    names = [f".{name}-*" for name in ("manifest", "frames", "coverage", "problems")]
    digit = "[0-9a-f]"
    for pattern in (*names, f"shards/{digit * 2}/.{digit * 16}-*"):
        for stray in root.glob(pattern):
            stray.unlink(missing_ok=True)


def _gather(clips: pd.DataFrame | Iterable[pd.DataFrame]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """One catalogue from several, and what each says of its set."""
    parts = [clips] if isinstance(clips, pd.DataFrame) else list(clips)
    for part in parts:
        missing = [c for c in CLIP_COLUMNS if c not in part.columns]
        if missing:
            raise UserError(f"the catalogue lacks the columns {', '.join(missing)}; make it with dfnb.data.catalogues")
    sets = [counted for part in parts for counted in part.attrs.get("sets", [])]
    bare = [
        pd.DataFrame({c: part[c].astype(str).to_numpy(object) for c in CLIP_COLUMNS}) for part in parts if len(part)
    ]
    whole = pd.concat(bare, ignore_index=True) if bare else pd.DataFrame(columns=list(CLIP_COLUMNS), dtype=object)
    twice = whole.duplicated(list(VIDEO))
    if twice.any():
        row = whole[twice].iloc[0]
        raise UserError(f"{row['path']}: the video {row['video']} of {row['dataset']} {row['split']} is listed twice")
    return whole, sets


def _process(
    clips: pd.DataFrame, root: Path, settings: dict[str, Any], find: FaceFinder, jobs: int | None, progress: bool
) -> list[dict[str, str]]:
    """For every clip, in order, the key of its record or the problem that stood in the way."""
    paths = list(dict.fromkeys(clips["path"]))
    outcomes = _done_before(paths, root, settings)
    left = [path for path in paths if path not in outcomes]
    # absolute, since the processes of a cluster may work in other folders
    tasks = (joblib.delayed(_one)(path, Path(path).absolute(), root.absolute(), settings, find) for path in left)
    workers = jobs if jobs is None or jobs < 0 else max(1, min(jobs, len(left)))
    shown = progress and bool(left)
    bar = tqdm(total=len(paths), initial=len(outcomes), desc=f"faces {root.name}", unit="video", disable=not shown)
    try:
        with bar:
            for path, outcome in joblib.Parallel(n_jobs=workers, return_as="generator_unordered")(tasks):
                outcomes[path] = outcome
                bar.update()
    except TerminatedWorkerError:
        raise UserError(
            f"{root}: a worker process died after {len(outcomes)} of {len(paths)} videos, killed or out of memory; "
            "finished videos are kept, so run it again, with fewer jobs"
        ) from None
    return [outcomes[path] for path in clips["path"]]


def _done_before(paths: list[str], root: Path, settings: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What an earlier run finished, by path; asked here, since starting processes to ask takes seconds."""
    if next(root.glob("shards/*/*.json"), None) is None:
        return {}  # files needn't be read twice

    def ask(path: str) -> dict[str, str] | None:
        try:
            key = key_of(Path(path).absolute(), settings)
        except OSError as error:
            return {"problem": _unread(error)}
        return {"key": key} if _done(root, key) else None

    with ThreadPoolExecutor() as pool:  # hashing lets go of Python's lock
        return {path: outcome for path, outcome in zip(paths, pool.map(ask, paths), strict=True) if outcome}


def _unread(error: OSError) -> str:
    return f"can't be read ({error.strerror or error})"


def _one(path: str, file: Path, root: Path, settings: dict[str, Any], find: FaceFinder) -> tuple[str, dict[str, str]]:
    """Process one video, or find it done. Returns `path`, its key where it can be read, and any problem there was."""
    try:
        key = key_of(file, settings)
    except OSError as error:
        return path, {"problem": _unread(error)}
    if _ESCAPED.search(path) and not file.exists():
        problem = "its name, or a folder's, is not UTF-8, so no table can hold it; rename it"
        return path, {"key": key, "problem": problem}
    try:
        if not _done(root, key):
            _extract(file, root, key, settings, find)
        return path, {"key": key}
    except UserError as error:
        problem = str(error).removeprefix(f"{file}: ")
    except MemoryError:
        problem = "out of memory"
    except (RuntimeError, cv2.error) as error:  # what dlib and OpenCV raise
        problem = f"the face finder failed ({str(error).strip().splitlines()[0]})"
    return path, {"key": key, "problem": problem}


def key_of(file: Path, settings: dict[str, Any]) -> str:
    """The name of a video's record: its bytes, the settings, and where it is decoded by FFmpeg the version of that.

    Raises OSError where it can't be read.
    """
    return digest([settings, _identity(file), *([_decoder()] if file.is_file() and not is_image(file) else [])])


def _decoder() -> dict[str, Any]:
    """The versions of FFmpeg's libraries that decide the pixels of a video's frames."""
    return {name: av.library_versions[name] for name in ("libavcodec", "libavfilter", "libswscale")}


def _identity(path: Path) -> list[Any]:
    """Size and hash of a file's bytes (a large one's first, last and evenly spaced parts); of a folder, its frames'."""
    if frames := frames_in(path):
        return [_identity(frame) for frame in frames]
    size = path.stat().st_size if path.is_file() else 0
    if size <= _SAMPLED:
        return [size, sha256(path) if size else ""]
    hashed, part = hashlib.sha256(), _SAMPLED // 32
    with path.open("rb") as file:
        for k in range(32):
            file.seek(k * (size - part) // 31)
            hashed.update(file.read(part))
    return [size, hashed.hexdigest()]


def _done(root: Path, key: str) -> bool:
    """Whether this video's record and its pixels are whole."""
    try:
        return shard_path(root, key).stat().st_size == record_of(root, key)["shard_bytes"]
    except (OSError, UserError):
        return False


def _extract(path: Path, root: Path, key: str, settings: dict[str, Any], find: FaceFinder) -> None:
    """Write one video's crops, and then its record."""
    looked, faces, offset = [], [], 0
    hashed = hashlib.sha256()
    file = shard_path(root, key)
    known, last = video_frames.timeline(path), None
    with replacing(file) as temporary, temporary.open("wb") as out:
        for index, rgb in video_frames.sample_frames(path, settings["frames"], known=known):
            found = find(rgb, last)
            last = found[0] if found and settings.get("follow") else None
            looked.append({"frame": index, "faces": len(found)})
            for rank, face in enumerate(found[:1] if settings["keep"] == "largest" else found):
                row, pixels = _cut(rgb, face)
                faces.append({"frame": index, "face": rank, **row, "offset": offset})
                hashed.update(pixels)
                out.write(pixels)
                offset += len(pixels)
    notes = list(known.notes)
    if known.claimed and abs(known.claimed - known.count) > 1:
        notes.append(f"its header claims {known.claimed} frames and {known.count} are there")
    if len(looked) < min(settings["frames"], known.count):
        notes.append(f"only {len(looked)} of {min(settings['frames'], known.count)} frames could be decoded")
    record = {"frames": looked, "faces": faces, "notes": notes, "shard_bytes": offset, "sha256": hashed.hexdigest()}
    write_text(shard_path(root, key, ".json"), json.dumps(record, separators=(",", ":")))


def _cut(rgb: np.ndarray, face: Face) -> tuple[dict[str, Any], bytes]:
    """A face's row and the bytes of its crop."""
    x0, y0, x1, y1 = window(face.box, MARGIN, rgb.shape)
    row = {
        "frame_height": rgb.shape[0],
        "frame_width": rgb.shape[1],
        "crop_x": x0,
        "crop_y": y0,
        "crop_h": y1 - y0,
        "crop_w": x1 - x0,
        **dict(zip(("x0", "y0", "x1", "y1"), face.box, strict=True)),
        "score": round(face.score, 6),
        "landmarks": face.landmarks.ravel().tolist(),
    }
    return row, rgb[y0:y1, x0:x1].tobytes()


def _assemble(
    clips: pd.DataFrame,
    outcomes: list[dict[str, str]],
    sets: list[dict[str, Any]],
    root: Path,
    settings: dict[str, Any],
) -> Coverage:
    """Write frames.parquet, coverage and, last, manifest.parquet, from the records kept for the clips.

    Batch by batch, so that memory stays flat however many videos there are.
    """
    counted: list[dict[str, Any]] = []
    whole = ContentDigest()
    with replacing(root / "manifest.parquet") as manifest, replacing(root / "frames.parquet") as looked:
        with _writer(manifest, _MANIFEST_SCHEMA) as faces_out, _writer(looked, _FRAMES_SCHEMA) as frames_out:
            rows = zip(clips.to_dict("records"), outcomes, strict=True)
            while batch := list(islice(rows, _BATCH)):
                looked_at: list[dict[str, Any]] = []
                kept: list[dict[str, Any]] = []
                for clip, outcome in batch:
                    counted.append(_rows_of(clip, outcome, root, looked_at, kept))
                part, seen = _as_tables(kept, looked_at, root)
                whole.add(part)
                faces_out.write_table(part)
                frames_out.write_table(seen)
            versions = environment.versions("av", "dlib", "numpy", "opencv")
            keys = {path: outcome.get("key") for path, outcome in zip(clips["path"], outcomes, strict=True)}
            meta = {"format": FORMAT, "settings": settings, "digest": whole.hexdigest(), "versions": versions}
            meta["made_of"] = made_of(clips, settings, keys)
            faces_out.add_key_value_metadata({META: json.dumps(meta, sort_keys=True)})
        coverage = tally(clips, counted, sets)
        coverage.save(root)
    return coverage


def _as_tables(kept: list[dict[str, Any]], looked: list[dict[str, Any]], root: Path) -> tuple[pa.Table, pa.Table]:
    try:
        return pa.Table.from_pylist(kept, _MANIFEST_SCHEMA), pa.Table.from_pylist(looked, _FRAMES_SCHEMA)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:  # a record that was edited
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{root}: a record in shards/ was edited ({reason}); delete the folder and prepare again"
        ) from None


def _writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True)


def _rows_of(
    clip: dict[str, str], outcome: dict[str, str], root: Path, looked: list[dict[str, Any]], kept: list[dict[str, Any]]
) -> dict[str, Any]:
    """Add a clip's frames to `looked` and its faces to `kept`; returns what `tally` counts."""
    if "problem" in outcome:
        return {"problem": outcome["problem"]}
    key = outcome["key"]
    record = record_of(root, key)
    frames, faces = record["frames"], record["faces"]
    shard = {"shard": key, "shard_bytes": record["shard_bytes"], "sha256": record["sha256"]}
    looked += [{**clip, **frame} for frame in frames]
    kept += [{**clip, **face, **shard} for face in faces]
    with_face = sum(1 for frame in frames if frame.get("faces"))
    return {"frames": len(frames), "frames_with_face": with_face, "faces": len(faces), "notes": record["notes"]}


def disk_fault(root: Path, error: OSError) -> str:
    """What keeps the store from being written, in words."""
    reason = error.strerror or str(error)
    advice = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the folder"
    return f"{root}: the face store can't be written ({reason}); {advice} and run it again, finished videos are kept"
