"""What the catalogues share: reading lists that strangers wrote, finding files, and putting the table together."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from dfnb.common.errors import UserError
from dfnb.common.files import plain

log = logging.getLogger(__name__)
COLUMNS = ("path", "dataset", "video", "label", "method", "group", "split")
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".m2t"}
    | {".flv", ".f4v", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".mxf"}
)
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
    | {".avif", ".heic", ".heif", ".hif"}
)
MARKER = "EMBEDDED_BENCHMARK.json"
_MAX_LIST = 256 << 20  # bytes
_MAX_NAME = 255  # bytes of a file's name, as file systems have it
_link_roots: ContextVar[tuple[Path, ...]] = ContextVar("link_roots", default=())


def folder(root: str | Path, *nested: str) -> Path:
    """`root`, or its subfolder of one of the names that releases unpack to. Raises UserError where there is none."""
    root = Path(root).expanduser()
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the root of the set")
    return next((root / name for name in nested if (root / name).is_dir()), root)


def is_embedded(root: Path) -> bool:
    """Whether this is the embedded benchmark: its marker lies in the root or up to two levels above."""
    root = root.resolve()
    return any((at / MARKER).is_file() for at in (root, *list(root.parents)[:2]))


def text(file: Path) -> str:
    """A list file's text, any byte-order mark removed and line ends made plain. Raises UserError."""
    try:
        if not file.is_file():
            raise UserError(f"{file}: not an ordinary file, so not a list of videos")
        if file.stat().st_size > _MAX_LIST:
            raise UserError(f"{file}: larger than {_MAX_LIST >> 20} MiB, so not a list of videos")
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror})") from None


def lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list that aren't blank, with their numbers from 1."""
    for number, line in enumerate(text(file).split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def read_json(file: Path) -> Any:
    """A JSON file's value; a key that comes twice is an error, since the first would silently go. Raises UserError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise UserError(f"{file}: {key!r} is listed twice")
            seen[key] = value
        return seen

    try:
        return json.loads(text(file), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UserError(f"{file} line {error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise UserError(f"{file}: not a list of videos (nested too deep)") from None
    except ValueError as error:  # a number of thousands of digits
        raise UserError(f"{file}: not a list of videos ({error})") from None


def inside(name: Any, where: str) -> PurePosixPath:
    """A path from a list, known to stay inside its root. where: file and line, for the error."""
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise UserError(f"{where}: {name!r} is not a file name")
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if not path.parts or plain(name) != name or any(len(os.fsencode(part)) > _MAX_NAME for part in path.parts):
        raise UserError(f"{where}: {name[:80]!r} is not a file name")
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(f"{where}: {name!r} leads out of the set's folder")
    return path


@contextmanager
def links_inside(roots: Iterable[str | Path]) -> Iterator[None]:
    """Within it, symbolic links in a set may also end below these folders, such as the cache of DVC or of a cluster.

    Raises UserError where one of the folders isn't there.
    """
    folders = tuple(Path(root).expanduser() for root in roots)
    if lost := [at for at in folders if not at.is_dir()]:
        raise UserError(f"data.links_inside: {lost[0]}: no such folder; name folders that links may lead to")
    before = _link_roots.set(folders)
    try:
        yield
    finally:
        _link_roots.reset(before)


def _leads_out(file: Path, root: Path | None) -> bool:
    """Whether a file or folder ends elsewhere than below `root` or the folders that links may lead to."""
    target = file.resolve()
    return not any(target.is_relative_to(at.resolve()) for at in (*((root,) if root else ()), *_link_roots.get()))


def contained(file: Path, root: Path) -> Path:
    """A file that is there, known to lie below `root` even where it is a symbolic link, as archives can hold.

    `root` itself may be a link, so a set's folders can lie on another disk; other links may end where `links_inside`
    says. Raises UserError.
    """
    if _leads_out(file, root):
        raise UserError(
            f"{file}: a link that leads out of {root}; put the file itself there, or name the folder it leads to in "
            "data.links_inside"
        )
    return file


def below(root: Path) -> list[Path]:
    """The files at any depth below a folder, sorted; hidden ones are left out.

    A link to a folder is followed where `links_inside` says so. Raises UserError where something would be left out
    unnoticed: a folder that can't be listed, another link to a folder, or one that leads back to where it came from.
    """
    found: list[Path] = []

    def unlisted(error: OSError) -> None:
        raise UserError(f"{error.filename}: can't be listed ({error.strerror}); make it readable, or move it away")

    for at, folders, names in os.walk(root, onerror=unlisted, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for link in (Path(at) / name for name in folders):
            if not link.is_symlink():
                continue
            if _leads_out(link, None):
                raise UserError(
                    f"{link}: a link to a folder, which isn't followed; name that folder itself, move it here, or name "
                    "the folder it leads to in data.links_inside"
                )
            if Path(at).resolve().is_relative_to(link.resolve()):
                raise UserError(f"{link}: a link back to a folder it lies in; remove it")
        found += [Path(at) / name for name in names if not name.startswith(".")]
    return sorted(found)


def videos_and_images(root: Path) -> list[Path]:
    """Those of `below(root)`, by their suffixes; one line of the log says how many others there are, and of which.

    Raises UserError as `below` does.
    """
    files = below(root)
    known = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES]
    others = Counter(file.suffix.lower() or "no suffix" for file in set(files) - set(known))
    if others:
        kinds = ", ".join(f"{count} of {suffix}" for suffix, count in others.most_common())
        log.warning("%s: left out %d files that are no video or image by their suffix: %s", root, others.total(), kinds)
    return known


def media(at: Path) -> dict[str, Path]:
    """The videos directly in a folder by their stem, sorted; none where the folder isn't there."""
    found: dict[str, Path] = {}
    if not at.is_dir():
        return found
    for file in sorted(at.iterdir()):
        if file.suffix.lower() in VIDEO_SUFFIXES and not file.name.startswith("."):
            if file.stem in found:
                raise UserError(f"{file}: {found[file.stem].name} is there too; keep one of the two")
            found[file.stem] = contained(file, at)
    return found


def videos(at: Path) -> tuple[Path, dict[str, Path]]:
    """The folder that holds a part's videos, `at/videos` or `at`, and the videos in it by stem.

    Where neither has any it is `at/videos`, as the sets are released.
    """
    inner, beside = media(at / "videos"), media(at)
    return (at, beside) if beside and not inner else (at / "videos", inner)


def row(path: Path, dataset: str, method: str, label: str, group: str, split: str, video: str = "") -> dict[str, str]:
    """A row of a catalogue, all of it UTF-8 (see `files.plain`). video: METHOD/STEM unless given."""
    values = (str(path), dataset, video or f"{method}/{path.stem}", label, method, group, split)
    return dict(zip(COLUMNS, map(plain, values), strict=True))


def part(dataset: str, split: str, label: str, method: str, found: int, missing: list[str], expected: int | None):
    """What a catalogue says of one method: how many videos it should have, and whether it is whole."""
    subset = bool(missing) or (expected is not None and found != expected)
    keys = ("dataset", "split", "label", "method", "expected", "found", "missing", "subset")
    return dict(zip(keys, (dataset, split, label, method, expected, found, missing, subset), strict=True))


def catalogue(rows: Iterable[dict[str, str]], sets: list[dict[str, Any]], empty: str) -> pd.DataFrame:
    """The table with its attrs. Raises UserError with the text `empty` where there is no row."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(object)
    if table.empty:
        raise UserError(empty)
    table.attrs.update(_summary(sets))
    return table


def _summary(sets: list[dict[str, Any]]) -> dict[str, Any]:
    known = [part["expected"] for part in sets]
    return {
        "expected": sum(known) if known and None not in known else None,
        "missing": [name for part in sets for name in part["missing"]],
        "subset": any(part["subset"] for part in sets),
        "sets": sets,
    }


def join(*catalogues: pd.DataFrame) -> pd.DataFrame:
    """Several catalogues as one, attrs included (pandas' concat drops them)."""
    table = pd.concat(catalogues, ignore_index=True)
    table.attrs = _summary([part for each in catalogues for part in each.attrs.get("sets", [])])
    return table


def title(clips: pd.DataFrame) -> str:
    """The set's name as figures and tables print it: "Celeb-DF-v2", or "Celeb-DF-v2 (subset: 100 of 518)"."""
    name = " + ".join(dict.fromkeys(clips["dataset"]))
    if not clips.attrs.get("subset"):
        return name
    expected = clips.attrs.get("expected")
    return f"{name} (subset: {len(clips)} of {expected})" if expected else f"{name} (subset)"
