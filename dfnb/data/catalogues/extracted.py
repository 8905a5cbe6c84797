"""Frames that a benchmark's own tools extracted, by that benchmark's lists: DeepfakeBench."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from dfnb.common.errors import UserError
from dfnb.data.catalogues import lists
from dfnb.data.catalogues.gathered import gather
from dfnb.data.frame_folders import frames_in

log = logging.getLogger(__name__)
_FF = ("FaceForensics++", "FF-DF", "FF-F2F", "FF-FS", "FF-NT", "DeepFakeDetection", "FaceShifter")
_OTHERS = ("Celeb-DF-v1", "Celeb-DF-v2", "DFDCP", "DFDC", "DeeperForensics-1.0", "UADFV")
_FOLDERS = dict.fromkeys(_FF, _FF[0]) | {name: name for name in _OTHERS}  # of the lists' names
_REAL = ("FF-real", "DFD_real", "CelebDFv1_real", "CelebDFv2_real", "DFDCP_Real", "DFDC_Real", "DF_real", "UADFV_Real")
_FAKE = ("FF-DF", "FF-F2F", "FF-FS", "FF-NT", "FF-FH", "FF-SH", "DFD_fake", "CelebDFv1_fake", "CelebDFv2_fake")
_FAKE += ("DFDCP_FakeA", "DFDCP_FakeB", "DFDC_Fake", "DF_fake", "UADFV_Fake")
_LABELS = dict.fromkeys(_REAL, "real") | dict.fromkeys(_FAKE, "fake")
_BY_IDENTITY = (*_FF, "Celeb-DF-v1", "Celeb-DF-v2")  # whose videos are named by whom they show: 033_097, id3_id5_0001


def deepfake_bench(
    root: str | Path, split: str = "test", compression: str | None = None, label: str | None = None
) -> pd.DataFrame:
    """A set as DeepfakeBench lays it out (Yan et al. 2023), by the list that its rearrange.py wrote.

    root: that list, NAME.json; or a folder with one list in it, in `dataset_json/` or in `preprocessing/dataset_json/`.
        The folder of the set, FaceForensics++/, Celeb-DF-v2/, ..., lies beside the list, beside its folder or in
        `datasets/` there; in it, at any depth, `frames/VIDEO/*.png`, by preprocess.py aligned crops of 256 px of the
        largest face. With them may lie `landmarks/VIDEO/*.npy`, 81 points in pixels of the crop, of which the first 68
        are dlib's.
    The list: {NAME: {LABEL: {"train" | "val" | "test": {VIDEO: {"label": LABEL, "frames": [path, ...]}}}}}; in
        FaceForensics++'s (also FF-DF, FF-F2F, FF-FS, FF-NT, DeepFakeDetection, FaceShifter) a level of compressions
        lies between split and videos. What comes before the set's folder in a path, with slashes or backslashes, is
        where the list was made, and says nothing here.
    compression: of such a list; by default c23, or the only one there is. label: "real" or "fake" for those alone.
    dataset: such as "Celeb-DF-v2 (DeepfakeBench)". method: LABEL, such as "FF-DF"; real or fake by the table of
        labels in its test_config.yaml. video: LABEL/VIDEO. group: the target's identity where the names say it
        (FaceForensics++, Celeb-DF), else the video. A video of whose frames none is there is missing.
    Returns a catalogue (see `catalogues`). Raises UserError, naming list and entry: a list that is damaged or of a set
        or label that isn't known, a path that leads out of the set's folder, frames of one video in two folders, or not
        one video there.
    Source: github.com/SCLBD/DeepfakeBench, README.md, preprocessing/{preprocess,rearrange}.py,
        training/dataset/abstract_dataset.py, training/config/test_config.yaml (facts of the layout; no code).
    """
    file = _list_file(Path(root).expanduser())
    name, entries = _entries(file, split, compression)
    up = file.absolute().parents
    base = next((at for at in (*up[:2], *(at / "datasets" for at in up[1:3])) if (at / _FOLDERS[name]).is_dir()), None)
    if base is None:
        raise UserError(f"{file}: no folder {_FOLDERS[name]} beside it or beside its folder; the frames lie in one")
    rendered = "-like" if lists.is_embedded(base / _FOLDERS[name]) else ""
    rows: list[dict[str, str]] = []
    counts: dict[tuple[str, str], tuple[list[Path], list[str]]] = {}
    short = 0
    for where, method, dataset, video, entry in entries:
        if label not in (None, _LABELS[method]):
            continue
        frames = _frames(entry, method, where)
        found, missing = counts.setdefault((dataset, method), ([], []))
        clip, lost = _clip(
            base / _FOLDERS[name],
            [_below(frame, _FOLDERS[name], where) for frame in frames],
            f"{method}/{video}",
            where,
        )
        if clip is None:
            missing.append(f"{method}/{video}")
            continue
        short += lost
        found.append(clip)
        group = video.split("_")[0] if name in _BY_IDENTITY else video
        called = f"{dataset}{rendered} (DeepfakeBench)"
        rows.append(lists.row(clip, called, method, _LABELS[method], group, split, f"{method}/{video}"))
    if short:
        log.warning("%s: of %d videos some frames of the list aren't there; the others are taken", file, short)
    sets = [
        lists.part(
            *(f"{dataset}{rendered} (DeepfakeBench)", split, _LABELS[method], method, len(found), missing),
            len(found) + len(missing),
        )
        for (dataset, method), (found, missing) in counts.items()
    ]
    return lists.catalogue(rows, sets, f"{file}: not one {split} video of it is in {base / _FOLDERS[name]}")


def _list_file(root: Path) -> Path:
    if root.suffix.lower() == ".json":
        return root
    root = lists.folder(root)
    folders = (root, root / "dataset_json", root / "preprocessing" / "dataset_json")
    found = [file for at in folders for file in sorted(at.glob("*.json"))]
    found = [file for file in found if file.stem in _FOLDERS and file.is_file()]
    if not found:
        raise UserError(f"{root}: no list of DeepfakeBench's (such as Celeb-DF-v2.json, by its rearrange.py) in it")
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise UserError(f"{root}: several lists ({names}); give the path of one of them instead of the folder's")
    return found[0]


def _entries(
    file: Path, split: str, compression: str | None
) -> tuple[str, Iterator[tuple[str, str, str, str, dict[str, Any]]]]:
    """The list's name, and (where, label of the part, dataset, video, entry) for each of its videos."""
    whole = lists.read_json(file)
    if not isinstance(whole, dict) or len(whole) != 1 or (name := next(iter(whole))) not in _FOLDERS:
        raise UserError(f"{file}: not a list of one of DeepfakeBench's sets ({', '.join(_FOLDERS)}) by its name")

    def of(value: Any, key: str, where: str) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get(key), dict):
            raise UserError(f"{file} {where}: has no {key!r} with entries; make the list again with rearrange.py")
        return value[key]

    def entries() -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
        for method in of(whole, name, "at its top"):
            where, dataset = f"entry {name}/{method}", name
            if method not in _LABELS:
                raise UserError(f"{file} {where}: label {method!r} is none of DeepfakeBench's ({', '.join(_LABELS)})")
            videos = of(of(whole[name], method, f"entry {name}"), split, where)
            if name in _FF:
                chosen = compression or (next(iter(videos)) if len(videos) == 1 else "c23")
                videos, dataset = of(videos, chosen, f"{where}/{split}"), f"{name} {chosen}"
            for video in videos:
                at = f"{file} {where}/{split}/{video}"
                lists.inside(video, at)
                if not isinstance(videos[video], dict):
                    raise UserError(f"{at}: not a video with a label and frames")
                yield at, method, dataset, video, videos[video]

    return name, entries()


def _frames(entry: dict[str, Any], method: str, where: str) -> list[Any]:
    """A video's frames as listed; its label is that of the part it is in."""
    if entry.get("label") != method:
        raise UserError(f"{where}: label {entry.get('label')!r} contradicts its place in the list, {method}")
    if not isinstance(entry.get("frames"), list):
        raise UserError(f"{where}: frames {str(entry.get('frames'))[:80]!r} is not a list of paths")
    return entry["frames"]


def _below(frame: Any, folder: str, where: str) -> PurePosixPath:
    """A listed path from the set's folder on, whatever comes before it."""
    parts = frame.replace("\\", "/").split("/") if isinstance(frame, str) else []
    if folder not in parts[:-1]:
        raise UserError(f"{where}: {str(frame)[:80]!r} leads out of the set's folder, {folder}")
    return lists.inside("/".join(parts[len(parts) - 1 - parts[::-1].index(folder) :]), where)


def _clip(root: Path, frames: list[PurePosixPath], name: str, where: str) -> tuple[Path | None, bool]:
    """The folder with a video's frames, None where none of them is there; and whether some aren't.

    root: the set's folder; frames: below the folder that it lies in.
    """
    folders = {frame.parent for frame in frames}
    if len(folders) > 1:
        raise UserError(
            f"{where}: its frames lie in several folders, such as {' and '.join(map(str, sorted(folders)[:2]))}"
        )
    at = root.parent.joinpath(*folders)
    there = frames_in(at) if folders else []
    listed = {frame.name for frame in frames}
    some = [file for file in there if file.name in listed]
    if not some:
        return None, False
    for file in some:
        lists.contained(file, root)
    return (at if len(some) == len(there) else gather(some, name)), len(some) < len(listed)
