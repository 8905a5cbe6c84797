"""Further sets, by their label files: DFDC, its preview, and any folder of faces."""

from __future__ import annotations

import csv
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from dfnb.common.errors import UserError
from dfnb.data.catalogues import lists
from dfnb.data.catalogues.gathered import gather, in_order

log = logging.getLogger(__name__)
_LABELS = {"REAL": "real", "FAKE": "fake", "0": "real", "1": "fake"}


def dfdc(root: str | Path, split: str = "test") -> pd.DataFrame:
    """The Deepfake Detection Challenge set (Dolhansky et al. 2020), by whichever label files are there.

    root: a folder with metadata.json (one entry a video: "label": "REAL" or "FAKE", or "is_fake": 0 or 1, false or
        true; "original": the source of a fake) or labels.csv (header filename,label; 1 or FAKE means fake), or with
        subfolders that have one, such as dfdc_train_part_0. The videos lie beside the label file, or in `videos`,
        `test` or `test_videos` there.
    split: what to call these videos. group: the original's stem. method: "original" or "DFDC".
    Returns a catalogue (see `catalogues`). Raises UserError, naming the file and entry: no label file, an unknown
    label, a video listed twice, a path that leads out, or not one video there.
    """
    root = lists.folder(root)
    rows: list[dict[str, str]] = []
    counts: dict[str, tuple[list[Path], list[str]]] = {"original": ([], []), "DFDC": ([], [])}
    seen: dict[str, Path] = {}
    for file in _label_files(root):
        for where, name, label, original in _metadata(file) if file.suffix == ".json" else _labels(file):
            path = lists.inside(name, where)
            if path.stem in seen:
                raise UserError(f"{where}: {name} is listed twice (also in {seen[path.stem]})")
            seen[path.stem] = file
            method = "original" if label == "real" else "DFDC"
            folders = [file.parent / sub for sub in ("", "videos", "test", "test_videos")]
            found = next((at for at in folders if (at / path).is_file()), None)
            if found is None:
                counts[method][1].append(str((file.parent / path).relative_to(root)))
                continue
            video = lists.contained(found / path, found)
            counts[method][0].append(video)
            rows.append(lists.row(video, "DFDC", method, label, Path(original or name).stem, split))
    sets = [
        _counted("DFDC", split, method, "real" if method == "original" else "fake", *each)
        for method, each in counts.items()
    ]
    return lists.catalogue(rows, sets, f"{root}: not one video of its label files is there")


def _counted(
    dataset: str, split: str, method: str, label: str, found: list[Path], missing: list[str]
) -> dict[str, Any]:
    return lists.part(dataset, split, label, method, len(found), missing, len(found) + len(missing))


def _label_files(root: Path) -> list[Path]:
    def here(at: Path) -> list[Path]:
        return [at / name for name in ("metadata.json", "labels.csv") if (at / name).is_file()][:1]

    found = here(root) or [file for at in sorted(root.iterdir()) if at.is_dir() for file in here(at)]
    if not found:
        raise UserError(f"{root}: no metadata.json or labels.csv here or one folder below; DFDC's labels are needed")
    return found


def _entries(file: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(where, name, entry) for each video of a JSON file that is an object with an object for each."""
    value = lists.read_json(file)
    if not isinstance(value, dict) or not value:
        raise UserError(f"{file}: not an object with an entry for each video")
    for name, entry in value.items():
        where = f"{file} entry {name!r}"
        if not isinstance(entry, dict):
            raise UserError(f"{where}: {entry!r} is not an object with a label")
        yield where, name, entry


def _metadata(file: Path) -> Iterator[tuple[str, str, str, str | None]]:
    """(where, name, label, original) for each entry of a metadata.json."""
    for where, name, entry in _entries(file):
        is_fake = entry.get("is_fake")
        label = _label(entry.get("label", int(is_fake) if isinstance(is_fake, bool) else is_fake), where)
        original = entry.get("original")
        if original is not None and not isinstance(original, str):
            raise UserError(f"{where}: original {original!r} is not a file name")
        yield where, name, label, original


def _labels(file: Path) -> Iterator[tuple[str, str, str, None]]:
    """(where, name, label, None) for each row of a labels.csv."""
    rows = lists.lines(file)
    header = next(rows, (0, ""))[1]
    names = [name.strip().lower() for name in header.split(",")]
    if "filename" not in names or "label" not in names:
        raise UserError(f"{file} line 1: the header is {header!r}, and filename and label are needed")
    for number, line in rows:
        where = f"{file} line {number}"
        try:
            fields = next(csv.reader([line]))
        except csv.Error as error:
            raise UserError(f"{where}: not a row of a table ({error})") from None
        if len(fields) != len(names):
            raise UserError(f"{where}: {len(fields)} columns where the header has {len(names)}")
        entry = dict(zip(names, fields, strict=True))
        yield where, entry["filename"], _label(entry["label"], where), None


def _label(value: Any, where: str) -> str:
    label = _LABELS.get(str(value).strip().upper()) if isinstance(value, str | int) else None
    if label is None:
        raise UserError(f"{where}: label {value!r} is unknown; it must be REAL or FAKE (or 0 or 1)")
    return label


def dfdc_preview(root: str | Path, split: str = "test") -> pd.DataFrame:
    """The preview of the Deepfake Detection Challenge set (Dolhansky et al. 2019), by its dataset.json.

    root: the folder with dataset.json: path -> "label" ("real" or "fake"), "set" ("train" or "test"), "target_id".
    method: the first folder of the path ("original_videos", "method_A", ...). group: the target's id.
    Returns a catalogue (see `catalogues`) of one split. Raises UserError, naming file and entry.
    """
    root = lists.folder(root, "dfdc_preview_set")
    file = root / "dataset.json"
    if not file.is_file():
        raise UserError(f"{file}: missing; it has the preview's labels")
    if split not in ("train", "test"):
        raise UserError(f"split {split!r} of the DFDC preview is unknown; use train or test")
    rows: list[dict[str, str]] = []
    counts: dict[tuple[str, str], tuple[list[Path], list[str]]] = {}
    for where, name, entry in _entries(file):
        path, label = lists.inside(name, where), _label(entry.get("label"), where)
        if entry.get("set") not in ("train", "test"):
            raise UserError(f"{where}: set {entry.get('set')!r} is unknown; it must be train or test")
        if entry["set"] != split:
            continue
        if len(path.parts) < 2:
            raise UserError(f"{where}: the path has no folder, which says how the video was made")
        found, missing = counts.setdefault((path.parts[0], label), ([], []))
        if not (root / path).is_file():
            missing.append(name)
            continue
        found.append(lists.contained(root / path, root))
        group = str(entry.get("target_id") or path.parent.name)
        video = str(path.with_suffix(""))
        rows.append(lists.row(root / path, "DFDC-preview", path.parts[0], label, group, split, video))
    sets = [_counted("DFDC-preview", split, method, label, *each) for (method, label), each in counts.items()]
    return lists.catalogue(rows, sets, f"{root}: not one {split} video of dataset.json is there")


def faces_folder(
    root: str | Path,
    label: str | None = None,
    group: str | None = None,
    split: str = "all",
    video: str | None = None,
    name: str | None = None,
) -> pd.DataFrame:
    """Any folder of videos or images, subfolders included.

    label: "real" or "fake" for all of it, or None where the folders `real` and `fake` (one or both) inside say it.
    group: a regular expression whose first group says whose face it is. It is searched in a file's name and, where it
        isn't found there, in the path below the folder (below `real` or `fake`), such as r"_(\\d+)_" for
        a_007_x.jpg or r"^([^/]+)/" for a folder a person. Without it each file is a person.
    video: a regular expression. Without a group: a folder of images is one video, and they are its frames, where this
        is found in its path below `root`, such as "." for all of them or "^frames/"; images directly in `root` are
        never one. With a group: all images in whose path below `root` the group finds the same text are one video of
        that name, such as r"([^/]+)_f\\d+\\.\\w+$" for a_1_f9.jpg and a_1_f10.jpg, in this order (see `gather`).
    split: what to call these files. name: of the set, as a profile's `data.sets` has it; else it is the folder's.
    dataset: that name; method: "original" (real) or "unknown" (fake); video: the path inside the folder.
    Returns a catalogue (see `catalogues`). Raises UserError: no such folder, no label, both kinds of label, no file, a
    regular expression that is none, or that is found nowhere.
    """
    root = lists.folder(root)
    inner = {
        at.name.lower(): at for at in sorted(root.iterdir()) if at.is_dir() and at.name.lower() in ("real", "fake")
    }
    if label not in (None, "real", "fake"):
        raise UserError(f"label {label!r} is unknown; it must be 'real' or 'fake'")
    if label is None and not inner:
        raise UserError(f"{root}: no folder real/ or fake/ in it, so say which label the files have")
    if label is not None and inner:
        raise UserError(f"{root}: has the folder {next(iter(inner))}/, so leave out the label {label!r}")
    of_group, of_video, whose = "data.person", "data.video", "person"
    if name is not None:
        of_group, of_video, whose = f"data.sets.{name}.group", f"data.sets.{name}.video", "group"
    person_in, video_in = _pattern(group, of_group), _pattern(video, of_video)
    if person_in is not None and not person_in.groups:
        raise UserError(f"{of_group} {group!r}: needs a group in parentheses, which is the {whose}'s name")
    # a part of the embedded benchmark stays marked as one, however deep it lies
    rendered = any((at / lists.MARKER).is_file() for at in (root.resolve(), *root.resolve().parents))
    dataset = (name or root.resolve().name) + ("-like" if rendered else "")
    rows, sets, without_person = [], [], []
    for kind, at in (inner or {label: root}).items():
        files = [lists.contained(f, at) for f in lists.videos_and_images(at)]
        clips = _frames_as_videos(files, root, video_in) if video_in and not video_in.groups else files
        named = {clip: clip.relative_to(root).as_posix() for clip in clips}  # a.jpg and a.png may lie side by side
        faces = {clip: (clip, place) for clip, place in named.items()}
        if video_in and video_in.groups:
            faces = _frames_by_name(named, f"{at.name}/" if inner else "", video_in)
        method = "original" if kind == "real" else "unknown"
        for first, (clip, place) in faces.items():
            person = _person(first, at, person_in)
            if person_in and person is None:
                without_person.append(place)
            rows.append(lists.row(clip, dataset, method, kind, person or place, split, place))
        sets.append(lists.part(dataset, split, kind, method, len(faces), [], None))
    if rows and len(without_person) == len(rows):
        raise UserError(
            f"{root}: {of_group} {group!r} is found in no file's name or path (such as {without_person[0]}); "
            "change it, or leave it out"
        )
    if without_person:
        log.warning(
            "%s: %s isn't found in %d of %d files (such as %s); each of them counts as a %s",
            *(root, of_group, len(without_person), len(rows), without_person[0], whose),
        )
    if video_in and not any(Path(row["path"]).is_dir() for row in rows):
        what = "path of an image" if video_in.groups else "folder of images"
        raise UserError(f"{root}: {of_video} {video!r} matches no {what} in it; change it, or leave it out")
    return lists.catalogue(rows, sets, f"{root}: no video or image in it")


def _pattern(text: str | None, setting: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text is not None else None
    except re.error as error:
        raise UserError(f"{setting} {text!r}: not a regular expression ({error})") from None


def _person(clip: Path, below: Path, pattern: re.Pattern[str] | None) -> str | None:
    """Whose face it is, by the name or the path; None where neither says it."""
    if pattern is None:
        return None
    found = pattern.search(clip.name) or pattern.search(clip.relative_to(below).as_posix())
    return found.group(1) or None if found else None


def _frames_as_videos(files: list[Path], root: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The files, but a folder in place of its images where the pattern is found in its path below `root`."""
    clips = []
    for file in files:
        at = file.parent
        is_frame = file.suffix.lower() in lists.IMAGE_SUFFIXES and at != root
        clips.append(at if is_frame and pattern.search(at.relative_to(root).as_posix()) else file)
    return list(dict.fromkeys(clips))


def _frames_by_name(files: dict[Path, str], prefix: str, pattern: re.Pattern[str]) -> dict[Path, tuple[Path, str]]:
    """First file of each video -> (its path, its name): images grouped by the pattern's group, the other files alone.

    files: path -> place below the root. prefix: of the names, `real/` or `fake/`, so that the two are never one video.
    """
    frames: dict[str, list[Path]] = {}
    clips: dict[Path, tuple[Path, str]] = {}
    for file, place in files.items():
        found = pattern.search(place) if file.suffix.lower() in lists.IMAGE_SUFFIXES else None
        if name := (found.group(1) or "").strip("/") if found else "":
            frames.setdefault(name, []).append(file)
        else:
            clips[file] = (file, place)
    inside = Counter(file.parent for file in files if file.suffix.lower() in lists.IMAGE_SUFFIXES)
    for name, some in frames.items():
        some.sort(key=lambda file: in_order(files[file]))
        at = some[0].parent
        whole = {file.parent for file in some} == {at} and inside[at] == len(some)
        clips[some[0]] = (at if whole else gather(some, name), prefix + name.removeprefix(prefix))
    return clips


def real_faces(
    root: str | Path, person: str | None, held_out: float, video: str | None = None
) -> dict[str, pd.DataFrame]:
    """A folder of real faces to train on, parted by person: "train" and "validation", none in both.

    root, person, video: as `faces_folder` has them (person: there `group`); where it has a folder `real`, only that is
        taken.
    held_out: share of the people, about, for validation. A hash of the name decides, so files that come later move
        nobody. Returns two catalogues. Raises UserError where one would be empty.
    """
    sorted_already = any(at.is_dir() and at.name.lower() in ("real", "fake") for at in lists.folder(root).iterdir())
    clips = faces_folder(root, None if sorted_already else "real", person, video=video)
    clips = clips[clips["label"] == "real"]
    draw = clips["group"].map(lambda name: int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32)
    parts = {"train": clips[draw >= held_out], "validation": clips[draw < held_out]}
    for name, part in parts.items():
        if part.empty:
            raise UserError(
                f"{root}: {clips['group'].nunique()} people with real faces are too few to hold {held_out:.0%} of them "
                "out; add some, or change data.held_out"
            )
        parts[name] = part.assign(split={"train": "train", "validation": "val"}[name]).reset_index(drop=True)
        parts[name].attrs = {"expected": None, "missing": [], "subset": False, "sets": []}
    return parts
