"""Reading a face store: memory-mapped pixels, one row of the manifest for each face.

A store is a folder:

    manifest.parquet          a row for each face, in the catalogue's order; written last, so a store without it isn't
                              finished
    frames.parquet            a row for each frame that was looked at, with the number of faces found in it
    coverage.csv, problems.csv      how many videos gave faces; which were lost, and why
    shards/ab/ab....rgb       the crops of one video, (crop_h, crop_w, 3) uint8 each, one after the other
    shards/ab/ab....json      the frames and faces of that video; there only when its .rgb is whole
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.common.files import sha256

FORMAT = 1
_KEY = re.compile("[0-9a-f]{16}")  # of a shard; nothing else can be a part of a path
META = b"dfnb.store"  # the key in the Parquet file's metadata
CLIP_COLUMNS = ("path", "dataset", "video", "label", "method", "group", "split")
VIDEO = ("dataset", "split", "video")  # what names a video, wherever it lies
_CONTENT = ("dataset", "video", "label", "method", "group", "split", "frame", "face", "offset", "sha256")
_FARTHEST = 1 << 20  # pixels; no crop is as high or as wide
_MAPPED = 32  # shards kept open in one process


@dataclass(frozen=True, eq=False)
class StoredFace:
    """One stored face.

    rgb: (H, W, 3) uint8 at native resolution, the face's box and 35 % of its size on each side, clipped to the frame; a
        read-only view of the file, so copy it before changing it.
    landmarks: (68, 2) float32, pixels of `rgb`. box: (x0, y0, x1, y1), pixels of `rgb`; may reach beyond it.
    row: its row of the manifest, as a dict: path, dataset, video, label, method, group, split, frame (index in the
        video), face (0 is the largest of the frame), frame_height, frame_width, crop_x, crop_y, crop_h, crop_w (pixels
        of the frame), x0, y0, x1, y1 (the box in pixels of the frame), score (the detector's).
    """

    rgb: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    box: tuple[float, float, float, float]
    row: dict[str, Any]


def shard_path(root: str | os.PathLike[str], key: str, suffix: str = ".rgb") -> Path:
    """Where the video with this key lies in the store at `root`."""
    return Path(root) / "shards" / key[:2] / f"{key}{suffix}"


def record_of(root: Path, key: str) -> dict[str, Any]:
    """What is kept of a video: frames, faces, notes, shard_bytes, sha256. Raises UserError where it is damaged."""
    file = shard_path(root, key, ".json")
    try:
        record = json.loads(file.read_text("utf-8"))
        if (
            record.keys() >= {"frames", "faces", "notes", "shard_bytes", "sha256"}
            and all(isinstance(row, dict) for row in [*record["frames"], *record["faces"]])
            and all(isinstance(note, str) for note in record["notes"])
            and isinstance(record["shard_bytes"], int)
        ):
            return record
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise UserError(f"{file}: damaged; delete it and run `dfnb prepare` again")


class ContentDigest:
    """A hash of what a store holds, wherever it and the videos lie on disk; fed with parts of the manifest in order."""

    def __init__(self) -> None:
        self._rows, self._landmarks = hashlib.sha256(), hashlib.sha256()

    def add(self, part: pa.Table) -> None:
        """part: rows of the manifest, landmarks included."""
        for row in zip(*(part.column(name).to_pylist() for name in _CONTENT), strict=True):
            self._rows.update(json.dumps(row).encode())
        self._landmarks.update(np.ascontiguousarray(landmarks_of(part), "<f4"))

    def hexdigest(self) -> str:
        """16 hexadecimal digits."""
        return hashlib.sha256(self._rows.digest() + self._landmarks.digest()).hexdigest()[:16]


def landmarks_of(table: pa.Table) -> NDArray[np.float32]:
    """The landmarks of a manifest: (N, 68, 2) float32, pixels of the frame."""
    column = table.column("landmarks").combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, 68, 2).astype(np.float32, copy=False)


class FaceStore:
    """The faces of a store: `len(store)`, `store[i] -> StoredFace`.

    manifest: DataFrame with the columns of `StoredFace.row`, and shard, offset, shard_bytes, sha256 (where the
        pixels are).
    landmarks: (N, 68, 2) float32, pixels of the frame. digest: hash of the content. settings: those of `prepare`.
    paths: where videos lie now, by (dataset, split, video), where that isn't where they lay when they were prepared.
    Cheap to pickle: a worker process reads the manifest again and maps shards as it needs them.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        index: NDArray[np.int64] | None = None,
        paths: Mapping[tuple[str, str, str], str] | None = None,
    ) -> None:
        self.root, self._paths = Path(root), dict(paths or {})
        table, meta = _read_table(self.root / "manifest.parquet")
        about = _about(meta, self.root)
        if lacking := {*CLIP_COLUMNS, *_CONTENT, "landmarks", "shard", "shard_bytes"} - set(table.column_names):
            raise UserError(f"{self.root / 'manifest.parquet'}: lacks {min(lacking)}; run `dfnb prepare` again")
        self.settings: dict[str, Any] = about["settings"]
        self._whole: str = about["digest"]
        self._index = index
        landmarks, manifest = _sane(table, self.root / "manifest.parquet")
        manifest = relocated(manifest, self._paths)
        if index is not None:
            landmarks, manifest = landmarks[index], manifest.iloc[index].reset_index(drop=True)
        self.landmarks: NDArray[np.float32] = landmarks
        self.manifest: pd.DataFrame = manifest
        self._names = [c for c in manifest.columns if c not in ("shard", "offset", "shard_bytes", "sha256")]
        self._columns = {c: manifest[c].to_numpy() for c in manifest.columns}  # rows of a DataFrame are slow to fetch
        self._maps: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()

    @property
    def digest(self) -> str:
        """Hash of the content (16 hexadecimal digits); a subset has its own."""
        if self._index is None:
            return self._whole
        return hashlib.sha256(self._whole.encode() + self._index.astype("<i8").tobytes()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.manifest)

    def __iter__(self) -> Iterator[StoredFace]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> StoredFace:
        """Raises IndexError beyond the end, UserError where the shard is missing or truncated."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"face {i} of a store of {len(self)}")
        row = {name: _plain(self._columns[name][i]) for name in self._names}
        height, width, start = row["crop_h"], row["crop_w"], int(self._columns["offset"][i])
        pixels = self._shard(self._columns["shard"][i], int(self._columns["shard_bytes"][i]))
        rgb = pixels[start : start + height * width * 3].reshape(height, width, 3)
        x, y = row["crop_x"], row["crop_y"]
        box = (row["x0"] - x, row["y0"] - y, row["x1"] - x, row["y1"] - y)
        return StoredFace(rgb, self.landmarks[i] - np.array((x, y), np.float32), box, row)

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "index": self._index, "paths": self._paths, "digest": self._whole}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"], state["index"], state["paths"])
        if self._whole != state["digest"]:
            raise UserError(f"{self.root}: the face store was prepared anew while it was being read; start again")

    def subset(self, which: Sequence[int] | Sequence[bool] | NDArray | pd.Series) -> FaceStore:
        """The faces chosen by a boolean mask of length N or by indices, in their order."""
        chosen = np.asarray(which)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise ValueError(f"a mask for {len(self)} faces must have that length, not {chosen.shape}")
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(np.int64).reshape(-1)
        here = np.arange(len(self), dtype=np.int64) if self._index is None else self._index
        return FaceStore(self.root, here[chosen], self._paths)

    @property
    def frames(self) -> pd.DataFrame:
        """Every frame that was looked at: the catalogue's columns, frame (index), faces (found in it, 0 where none)."""
        return relocated(_read_table(self.root / "frames.parquet")[0].to_pandas(), self._paths)

    def verify(self) -> None:
        """Read everything again and compare it with the hashes. Raises UserError naming the first file that differs."""
        for fault in self.faults():
            raise UserError(fault)

    def faults(self) -> Iterator[str]:
        """Reads everything again and compares it with the hashes: a line for each file that differs."""
        for _, row in self.manifest.drop_duplicates("shard").iterrows():
            try:
                file = _sound(self.root, row["shard"], int(row["shard_bytes"]))
                if sha256(file) != row["sha256"]:
                    yield f"{file}: its bytes have changed since; delete it and run `dfnb prepare` again"
            except UserError as error:
                yield str(error)
            except OSError as error:
                yield f"{shard_path(self.root, row['shard'])}: can't be read ({error.strerror})"
        whole = ContentDigest()
        for batch in pq.ParquetFile(self.root / "manifest.parquet").iter_batches(4096):
            whole.add(pa.Table.from_batches([batch]))
        if whole.hexdigest() != self._whole:
            yield f"{self.root / 'manifest.parquet'}: was edited; delete it and run `dfnb prepare` again"

    def _shard(self, key: str, size: int) -> NDArray[np.uint8]:
        if key in self._maps:
            self._maps.move_to_end(key)
            return self._maps[key]
        pixels = np.memmap(_sound(self.root, key, size), np.uint8, "r")
        plain = pixels.view(np.ndarray)  # views of a memmap are slow to make; the array keeps the map alive
        self._maps[key] = plain
        if len(self._maps) > _MAPPED:
            self._maps.popitem(last=False)
        return plain


def open_store(root: str | os.PathLike[str], clips: pd.DataFrame | None = None) -> FaceStore:
    """The face store at `root`.

    clips: the catalogue it was prepared from, with the paths that its videos have now: rows name these, in memory.
    Raises UserError where there is no store, or it isn't whole, or of another version.
    """
    store = FaceStore(root, paths=None if clips is None else paths_of(clips))
    for key, size in store.manifest.drop_duplicates("shard")[["shard", "shard_bytes"]].itertuples(index=False):
        _sound(store.root, key, size)
    return store


def paths_of(clips: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """The path of each video of a catalogue, by what names it wherever it lies: (dataset, split, video)."""
    places = clips[list(VIDEO)].astype(str).itertuples(index=False, name=None)
    return dict(zip(places, clips["path"].astype(str), strict=True))


def relocated(table: pd.DataFrame, paths: Mapping[tuple[str, str, str], str]) -> pd.DataFrame:
    """A table of videos with the paths they have now, by (dataset, split, video); those not named keep theirs."""
    if not paths:
        return table
    places = table[list(VIDEO)].itertuples(index=False, name=None)
    now = [paths.get(place, path) for place, path in zip(places, table["path"], strict=True)]
    return table.assign(path=pd.Series(now, table.index, dtype=object))


def _sound(root: Path, key: str, size: int) -> Path:
    """The file of a shard, known to be there and of the right length."""
    file = shard_path(root, key)
    try:
        found = file.stat().st_size
    except OSError:
        raise UserError(f"{file}: missing from the face store; run `dfnb prepare` again") from None
    if found != size:
        raise UserError(f"{file}: {found} bytes where {size} were written; delete it and run `dfnb prepare` again")
    return file


def _read_table(file: Path) -> tuple[pa.Table, dict[bytes, bytes]]:
    """A Parquet file's table and metadata."""
    if not file.is_file():
        raise UserError(f"{file.parent}: no finished face store here (no {file.name}); run `dfnb prepare` first")
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            return parquet.read(), parquet.metadata.metadata or {}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last of a column's name
        reason = str(error).splitlines()[0]
        raise UserError(f"{file}: can't be read ({reason}); delete it and run `dfnb prepare` again") from None


def _sane(table: pa.Table, file: Path) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Landmarks and rows of a manifest that somebody else may have written: no row leads out of its shard or the store.

    Raises UserError.
    """
    fault = f"{file}: was edited or damaged ({{}}); delete it and run `dfnb prepare` again"
    try:
        landmarks = landmarks_of(table)
        rows = table.drop_columns(["landmarks"]).to_pandas()
        height, width, offset = (rows[c].to_numpy("int64") for c in ("crop_h", "crop_w", "offset"))
        last = offset + height * width * 3
        inside = (height > 0) & (width > 0) & (offset >= 0) & (last <= rows["shard_bytes"].to_numpy("int64"))
        inside &= (height < _FARTHEST) & (width < _FARTHEST) & (last > offset)  # nor around the end of the numbers
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, pa.ArrowException) as error:
        raise UserError(fault.format(f"columns of the wrong kind: {str(error).splitlines()[0]}")) from None
    if len(landmarks) != len(rows) or not np.isfinite(landmarks).all():
        raise UserError(fault.format("landmarks"))
    if not inside.all():
        raise UserError(fault.format(f"row {int(np.flatnonzero(~inside)[0])} leads out of its shard"))
    for key in rows["shard"].unique():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise UserError(fault.format(f"{key!r} is no shard's name"))
    return landmarks, rows


def read_about(root: Path) -> dict[str, Any]:
    """What a store says of itself: format, settings, digest, versions, made_of. Raises UserError where it is none."""
    file = root / "manifest.parquet"
    try:
        return _about(pq.read_metadata(file).metadata or {}, root)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file}: can't be read ({str(error).splitlines()[0]})") from None


def _about(meta: dict[bytes, bytes], root: Path) -> dict[str, Any]:
    try:
        about = json.loads(meta[META])
        version = about["format"]
        if not isinstance(about["settings"], dict) or not isinstance(about["digest"], str):
            raise TypeError
    except (KeyError, TypeError, ValueError, RecursionError):
        raise UserError(f"{root / 'manifest.parquet'}: not a face store's manifest") from None
    if version != FORMAT:
        raise UserError(
            f"{root}: a face store of format {version}, where {FORMAT} is read; prepare it again in a new folder"
        )
    return about


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
