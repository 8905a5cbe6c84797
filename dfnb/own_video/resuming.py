"""`dfnb score --resume`: which files are in the output already, and what was scored in the same way."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfnb.common import files
from dfnb.common.errors import UserError, printable
from dfnb.own_video import doubts, finders

if TYPE_CHECKING:
    from dfnb.own_video.answer import Detector

COLUMNS = ("file", "score", "made_with", "bytes", "modified")


def made_with(detector: "Detector") -> str:
    """Checkpoint and settings that decide an answer, in words. Precision isn't one: it moves scores by rounding."""
    find = detector.finder
    name, find = ("both", find.first) if isinstance(find, finders.LastResort) else (find.detector, find)
    looks = f"{detector.frames} frames" if detector.rate is None else f"{detector.rate:g} frames a second"
    measured = vars(doubts.Limits())
    changed = [f", {name} {value:g}" for name, value in vars(detector.limits).items() if value != measured[name]]
    about = f"checkpoint {detector.sha256[:16]}, {looks}, detector {name}, upsample {find.upsample}"
    return about + "".join(changed)


def version(path: Path) -> dict[str, Any]:
    """Size (bytes) and time of change (modified, ISO 8601) of a file: a file with both unchanged is taken for the same.

    Ask before it is scored, so that a file that is still being written counts as changed afterwards.
    """
    try:
        about = path.stat()
    except OSError:  # the row then has the reason
        return {"bytes": 0, "modified": ""}
    return {"bytes": about.st_size, "modified": datetime.fromtimestamp(about.st_mtime, UTC).isoformat()}


def resume(output: Path, as_json: bool, paths: Sequence[Path], how: str) -> tuple[list[dict[str, Any]], list[Path]]:
    """What `dfnb score` wrote into `output` and needn't score again, and which of `paths` are left to score.

    how: of `made_with`. Kept are rows of files that are as they were, and of files that aren't among `paths`; where
    there is no output yet, all are left. Raises UserError where `output` is something else, or was made with another
    checkpoint or other settings.
    """
    if not output.exists():
        return [], list(paths)
    rows = _read(output, as_json)
    for row in rows:
        if row["made_with"] != how:
            before = printable(str(row["made_with"]))
            raise UserError(
                f"{output}: made with {before}, and not with {how}; write to another file, or score all again without "
                "--resume"
            )
    now = {files.plain(str(path)): _key(version(path)) for path in paths}
    kept = [row for row in rows if now.get(row["file"], _key(row)) == _key(row)]
    known = {row["file"] for row in kept}
    return kept, [path for path in paths if files.plain(str(path)) not in known]


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return str(row["bytes"]), str(row["modified"])


def _read(output: Path, as_json: bool) -> list[dict[str, Any]]:
    """The rows of an output; of a CSV all values but the score are text."""
    try:
        if as_json:
            rows = files.read_json(output)["files"]
        else:
            with open(output, encoding="utf-8", newline="") as file:
                if not file.readline().startswith("# "):  # the warning
                    file.seek(0)
                table = csv.DictReader(file)
                rows = [row | {"score": float(row["score"]) if row["score"] else None} for row in table]
                if not set(COLUMNS) <= set(table.fieldnames or ()):
                    raise ValueError("other columns")
        if all(isinstance(row[name], int | float | str | None) for row in rows for name in COLUMNS):
            return rows
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        pass
    raise UserError(f"{output}: not an output of this version's `dfnb score`; write to another file")
