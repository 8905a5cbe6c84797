"""The sets of the paper: FaceForensics++, Celeb-DF and FFIW-10K."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dfnb.common.errors import UserError
from dfnb.data.catalogues import lists

FF_SPLITS = {"train": 720, "val": 140, "test": 140}  # videos, of the originals as of each manipulation
FF_FAKES = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
FF_UNSPLIT = {"actors": 363, "DeepFakeDetection": 3068}  # outside the official split
FF_METHODS = ("original", *FF_FAKES, *FF_UNSPLIT)
COMPRESSIONS = ("raw", "c23", "c40")
CELEB_LIST = "List_of_testing_videos.txt"
CELEB_EXPECTED = {"real": 178, "fake": 340}  # on version 2's test list
CELEB_V1_EXPECTED = {"real": 38, "fake": 62}
CELEB_V1_VIDEOS = {"Celeb-real": 158, "YouTube-real": 250, "Celeb-synthesis": 795}  # in the whole set
FFIW_EXPECTED = {"val": 250}  # of each label
_NAME = re.compile(r"[A-Za-z0-9-]+")


def face_forensics(
    root: str | Path, split: str = "train", compression: str = "c23", methods: Sequence[str] = ("original",)
) -> pd.DataFrame:
    """FaceForensics++ (Roessler et al. 2019): originals and manipulations of an official split.

    root: the folder with original_sequences/ and manipulated_sequences/, each .../<name>/<compression>/videos/*.mp4 (or
        without `videos`); or with the videos flat, as Kaggle's copies have them: original/*.mp4, Deepfakes/*.mp4, ...
        The lists of pairs lie at ROOT/<split>.json, in ROOT/splits/ or ROOT/dataset/splits/; Kaggle's copies lack them.
    split: "train", "val" or "test". compression: "raw", "c23" or "c40"; of a flat copy, what it is of.
    methods: of FF_METHODS. "original" are the YouTube videos; a pair ["033", "097"] stands for these two originals
        and the fakes 033_097 (097's face in video 033) and 097_033. "actors" and "DeepFakeDetection" have no official
        split and are given whole, for testing only.
    group: the target's id. Returns a catalogue (see `catalogues`). Raises UserError: an unknown setting, no list, a
    list that is damaged, names a video twice or shares one with another split, a flat copy whose name says another
    compression, or not a single video there.
    """
    root = lists.folder(root, "FaceForensics++", "FaceForensics++_C23")
    methods = (methods,) if isinstance(methods, str) else tuple(dict.fromkeys(methods))
    embedded = lists.is_embedded(root)
    made = {at.name for at in (root / "manipulated_sequences").glob("*")} if embedded else set()
    for what, value, known in [("split", split, FF_SPLITS), ("compression", compression, COMPRESSIONS)] + [
        ("method", method, FF_METHODS) for method in methods if method not in made
    ]:
        if value not in known:
            raise UserError(f"{what} {value!r} of FaceForensics++ is unknown; use one of {', '.join(known)}")
    if split != "test" and (unsplit := [m for m in methods if m in FF_UNSPLIT]):
        raise UserError(f"{unsplit[0]} has no official split of FaceForensics++; use it with split 'test'")
    flat = _is_flat(root, compression)
    dataset = f"FF++{'-like' if embedded else ''} {compression}"
    pairs = _pairs(root, split) if set(methods) - set(FF_UNSPLIT) else []
    rows: list[dict[str, str]] = []
    sets: list[dict[str, Any]] = []
    for method in methods:
        label = "real" if method in ("original", "actors") else "fake"
        kind = "original_sequences" if label == "real" else "manipulated_sequences"
        official = root / kind / {"original": "youtube"}.get(method, method) / compression
        place, there = lists.videos(root / method if flat else official)
        if method in FF_UNSPLIT:
            names, expected = list(there), FF_UNSPLIT[method]
        elif method == "original":
            names, expected = sorted(name for pair in pairs for name in pair), FF_SPLITS[split]
        else:
            names, expected = sorted(f"{a}_{b}" for x, y in pairs for a, b in ((x, y), (y, x))), FF_SPLITS[split]
        missing = [str((place / f"{name}.mp4").relative_to(root)) for name in names if name not in there]
        found = [there[name] for name in names if name in there]
        rows += [lists.row(f, dataset, method, label, _ff_group(method, f.stem), split) for f in found]
        if embedded:  # its counts are its own settings; the lists say what should be there
            expected = len(names)
        sets.append(lists.part(dataset, split, label, method, len(found), missing, expected))
    wanted = "original/*.mp4" if flat else f"original_sequences/youtube/{compression}/videos/*.mp4"
    return lists.catalogue(rows, sets, f"{root}: no video of {', '.join(methods)} in {compression} (such as {wanted})")


def _ff_group(method: str, stem: str) -> str:
    prefix = "actor" if method in FF_UNSPLIT else ""  # actors are numbered by themselves
    return prefix + stem.split("_")[0]


def _is_flat(root: Path, compression: str) -> bool:
    """Whether a copy has a folder of videos for each method and no others. Raises UserError where its name differs."""
    if any((root / kind).is_dir() for kind in ("original_sequences", "manipulated_sequences")):
        return False
    if not any((root / method).is_dir() for method in FF_METHODS):
        return False
    named = re.findall(r"(?<![a-z0-9])(raw|c23|c40)(?![a-z0-9])", root.resolve().name.lower().replace("_", " "))
    if named and compression not in named:
        raise UserError(f"{root}: {named[0]} by its name, not {compression}; set data.compression to {named[0]}")
    return True


def _pairs(root: Path, split: str) -> list[tuple[str, str]]:
    """The pairs of a split, checked against those of the others."""
    files = {name: _split_file(root, name) for name in FF_SPLITS}
    if files[split] is None:
        if (root / "real").is_dir() and (root / "fake").is_dir():
            raise UserError(
                f"{root}: has real/ and fake/, which is none of FaceForensics++'s layouts; give it in data.sets, "
                "{NAME: {root: ...}}, to test on it, or its real/ as data.faces, to train on that"
            )
        raise UserError(
            f"{root}: no {split}.json here or in splits/; copy FaceForensics++'s official split lists there, from "
            "dataset/splits of github.com/ondyari/FaceForensics"
        )
    lists_of = {name: _read_pairs(file) for name, file in files.items() if file}
    mine = {name for pair in lists_of[split] for name in pair}
    for other, pairs in lists_of.items():
        shared = mine & {name for pair in pairs for name in pair}
        if other != split and shared:
            raise UserError(
                f"{files[split]}: video {min(shared)!r} is also in {other}.json, and splits must be disjoint"
            )
    return lists_of[split]


def _split_file(root: Path, split: str) -> Path | None:
    places = (root, root / "splits", root / "dataset" / "splits")
    return next((at / f"{split}.json" for at in places if (at / f"{split}.json").is_file()), None)


def _read_pairs(file: Path) -> list[tuple[str, str]]:
    value = lists.read_json(file)
    if not isinstance(value, list) or not value:
        raise UserError(f'{file}: not a list of pairs such as ["033", "097"]')
    seen: set[str] = set()
    for number, pair in enumerate(value, 1):
        where = f"{file} entry {number}"
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(name, str) for name in pair):
            raise UserError(f'{where}: {pair!r} is not a pair such as ["033", "097"]')
        for name in pair:
            if not _NAME.fullmatch(name):
                raise UserError(f"{where}: {name!r} is not the name of a video")
            if name in seen:
                raise UserError(f"{where}: video {name!r} is listed twice")
            seen.add(name)
    return [(a, b) for a, b in value]


def celeb_df(root: str | Path) -> pd.DataFrame:
    """Celeb-DF (Li et al. 2020): the official test list of version 2, 178 real and 340 fake videos, or of version 1.

    root: the folder with Celeb-real/, YouTube-real/ (or Youtube-real/), Celeb-synthesis/, each with or without a folder
        `videos`, and List_of_testing_videos.txt: a line each, "1 YouTube-real/00170.mp4", where 1 means real.
    dataset: "Celeb-DF-v1" where the list has 38 real and 62 fake videos, or the folders have the 158, 250 and 795
        videos of version 1; else "Celeb-DF-v2".
    group: the identity "id3" of id3_0001 and of the target in id3_id5_0001; the file's stem in YouTube-real.
    Returns a catalogue (see `catalogues`), split "test". Raises UserError, naming file and line: no list, a damaged
    line, a label that its folder contradicts, a video listed twice, a path that leads out of the root; or not one
    video there.
    """
    root = lists.folder(root, "Celeb-DF-v2", "Celeb-DF-v1", "Celeb-DF")
    file = root / CELEB_LIST
    if not file.is_file():
        raise UserError(f"{file}: missing; copy Celeb-DF's official test list there")
    listed: dict[str, dict[str, str]] = {"Celeb-real": {}, "YouTube-real": {}, "Celeb-synthesis": {}}
    for number, line in lists.lines(file):
        method, stem, name = _celeb_line(line, f"{file} line {number}")
        if stem in listed[method]:
            raise UserError(f"{file} line {number}: {name} is listed twice")
        listed[method][stem] = name
    there = {method: lists.videos(_any_case(root, method))[1] for method in listed}
    named = {"real": len(listed["Celeb-real"]) + len(listed["YouTube-real"]), "fake": len(listed["Celeb-synthesis"])}
    if lists.is_embedded(root):
        dataset, expected = "Celeb-DF-like", named
    elif named == CELEB_V1_EXPECTED or {m: len(found) for m, found in there.items()} == CELEB_V1_VIDEOS:
        dataset, expected = "Celeb-DF-v1", CELEB_V1_EXPECTED
    else:
        dataset, expected = "Celeb-DF-v2", CELEB_EXPECTED
    rows: list[dict[str, str]] = []
    sets: list[dict[str, Any]] = []
    for method, names in listed.items():
        label = _celeb_label(method)
        found = [there[method][stem] for stem in sorted(names) if stem in there[method]]
        missing = [name for stem, name in sorted(names.items()) if stem not in there[method]]
        for video in found:
            group = video.stem if method == "YouTube-real" else video.stem.split("_")[0]
            rows.append(lists.row(video, dataset, method, label, group, "test"))
        part = lists.part(dataset, "test", label, method, len(found), missing, len(names))
        part["subset"] |= named[label] != expected[label]  # a list that was cut short, though all it names is there
        sets.append(part)
    table = lists.catalogue(rows, sets, f"{root}: not one video of {CELEB_LIST} is there (such as Celeb-real/*.mp4)")
    table.attrs["expected"] = sum(expected.values())
    return table


def _celeb_label(method: str) -> str:
    return "fake" if method == "Celeb-synthesis" else "real"


def _celeb_line(line: str, where: str) -> tuple[str, str, str]:
    """A line of the test list -> (method, stem, name as listed)."""
    fields = line.split(maxsplit=1)
    if len(fields) != 2 or fields[0] not in ("0", "1"):
        raise UserError(f"{where}: {line!r} is not a label (1 real, 0 fake) and a path")
    path = lists.inside(fields[1], where)
    folders = {"celeb-real": "Celeb-real", "youtube-real": "YouTube-real", "celeb-synthesis": "Celeb-synthesis"}
    method = folders.get(path.parts[0].lower())
    if method is None or len(path.parts) != 2 + (path.parts[1:2] == ("videos",)):
        raise UserError(f"{where}: {fields[1]!r} is in none of the folders {', '.join(folders.values())}")
    if (fields[0] == "1") != (_celeb_label(method) == "real"):
        raise UserError(f"{where}: label {fields[0]} contradicts the folder {path.parts[0]} (1 means real)")
    return method, path.stem, fields[1]


def _any_case(root: Path, name: str) -> Path:
    """The subfolder of that name, in whatever case it was unpacked."""
    found = [at for at in sorted(root.iterdir()) if at.is_dir() and at.name.lower() == name.lower()]
    return found[0] if found else root / name


def ffiw(root: str | Path, split: str = "val") -> pd.DataFrame:
    """FFIW-10K (Zhou et al. 2021): several people in a frame, one of them swapped in the fakes.

    root: the folder with source/ (originals) and target/ (manipulated), each with train/, val/ and test/, with or
        without a folder `videos`. split: "val" (250 + 250 videos, what is evaluated), "train" or "test".
    group: the file's stem, which a fake shares with its original. Returns a catalogue (see `catalogues`).
    Raises UserError: an unknown split, or not one video there.
    """
    root = lists.folder(root, "FFIW10K-v1-release")
    if split not in ("train", "val", "test"):
        raise UserError(f"split {split!r} of FFIW-10K is unknown; use one of train, val, test")
    embedded = lists.is_embedded(root)
    dataset = "FFIW-like" if embedded else "FFIW-10K"
    kinds = {"source": "real", "target": "fake"}
    there = {kind: lists.videos(root / kind / split) for kind in kinds}
    stems = sorted({stem for _, found in there.values() for stem in found})
    rows: list[dict[str, str]] = []
    sets: list[dict[str, Any]] = []
    for method, label in kinds.items():
        place, found = there[method]
        rows += [lists.row(found[s], dataset, method, label, s, split) for s in stems if s in found]
        # there is no list; a fake and its original share their name, so one without the other is a gap
        missing = [str((place / f"{s}.mp4").relative_to(root)) for s in stems if s not in found]
        expected = len(stems) if embedded else FFIW_EXPECTED.get(split)
        sets.append(lists.part(dataset, split, label, method, len(found), missing, expected))
    return lists.catalogue(
        rows, sets, f"{root}: no video in source/{split} or target/{split} (with or without videos/)"
    )
