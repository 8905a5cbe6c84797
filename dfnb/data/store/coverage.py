"""What became of every video: listed, opened, decoded, with a face, kept; and why the rest was lost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.data.store.read import paths_of, relocated

BY = ["dataset", "split", "label", "method"]
COUNTS = ["listed", "opened", "frames", "frames_with_face", "faces", "videos_with_face", "lost"]
PROBLEM_COLUMNS = [*BY, "video", "path", "lost", "reason"]


@dataclass(frozen=True, eq=False)
class Coverage:
    """The coverage report of a face store.

    counts: a row for each dataset, split, label and method, and in it: expected (videos of the whole set; <NA> where no
        number is known), listed (by the catalogue), opened (readable), frames (decoded), frames_with_face, faces
        (kept), videos_with_face, lost (videos without any face in the store), subset (True where the copy isn't
        whole).
    problems: a row for each video that is missing, unreadable, without a face or damaged: its place, path, lost (False
        where something of it could be kept), and the reason in words.
    """

    counts: pd.DataFrame
    problems: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """The counts, a row for each dataset, split, label and method."""
        return self.counts.copy()

    def summary(self) -> str:
        """One line: how many videos have faces, of how many."""
        listed, kept = int(self.counts["listed"].sum()), int(self.counts["videos_with_face"].sum())
        faces, lost = int(self.counts["faces"].sum()), int(self.counts["lost"].sum())
        return f"{kept} of {listed} videos have faces ({faces} faces); {lost} lost"

    def marked(self) -> Coverage:
        """The same with " (subset)" after the name of each set whose copy isn't whole, as a report prints it."""
        partial = {tuple(row[k] for k in BY) for row in self.counts[self.counts["subset"]].to_dict("records")}

        def named(table: pd.DataFrame) -> pd.DataFrame:
            places = table[BY].itertuples(index=False, name=None)
            mark = [" (subset)" if place in partial else "" for place in places]
            return table.assign(dataset=table["dataset"] + pd.Series(mark, table.index, dtype=object))

        return Coverage(named(self.counts), named(self.problems))

    def at(self, clips: pd.DataFrame) -> Coverage:
        """The same with the paths that the videos of this catalogue have now."""
        return Coverage(self.counts, relocated(self.problems, paths_of(clips)))

    def save(self, root: str | os.PathLike[str]) -> None:
        """Write coverage.csv and problems.csv into the folder."""
        for name, table in (("coverage", self.counts), ("problems", self.problems)):
            with files.replacing(Path(root) / f"{name}.csv") as temporary:
                table.to_csv(temporary, index=False, lineterminator="\n")

    @staticmethod
    def load(root: str | os.PathLike[str]) -> Coverage:
        """Read it back. Raises UserError where it is missing or no longer a coverage report."""
        texts = dict.fromkeys(["video", "path", "reason", "split", "method", "dataset", "label"], str)
        found = []
        for name, columns in (("coverage", [*BY, *COUNTS]), ("problems", PROBLEM_COLUMNS)):
            file = Path(root) / f"{name}.csv"
            how = {"dtype": texts, "keep_default_na": False, "na_values": {"expected": [""]}}
            table = files.read_csv(file, "run `dfnb prepare` again", **how)
            if not set(columns) <= set(table.columns):
                raise UserError(f"{file}: not a coverage report; run `dfnb prepare` again")
            found.append(table)
        found[0]["expected"] = found[0]["expected"].astype("Int64")
        return Coverage(*found)


def tally(clips: pd.DataFrame, records: list[dict[str, Any]], sets: list[dict[str, Any]]) -> Coverage:
    """Count what became of the clips.

    records: for each row of clips its problem, or frames, frames_with_face, faces (numbers) and notes (texts).
    sets: what the catalogues said of their sets.
    """
    rows, problems = [], []
    for clip, record in zip(clips.to_dict("records"), records, strict=True):
        faces = record.get("faces", 0)
        reasons = list(record.get("notes", []))
        if record.get("problem"):
            reasons.append(record["problem"])
        elif not faces:
            reasons.append("no face found in any frame")
        place = {k: clip[k] for k in (*BY, "video", "path")}
        problems += [{**place, "lost": not faces, "reason": reason} for reason in reasons]
        rows.append(
            {
                **{k: clip[k] for k in BY},
                "listed": 1,
                "opened": int(not record.get("problem")),
                "frames": record.get("frames", 0),
                "frames_with_face": record.get("frames_with_face", 0),
                "faces": faces,
                "videos_with_face": int(bool(faces)),
                "lost": int(not faces),
            }
        )
    here = {tuple(row[k] for k in BY) for row in rows}
    for listed in sets:  # a method of which nothing is there is a row of zeros
        place = {k: listed.get(k) or "" for k in BY}
        if not listed.get("found", 1) and tuple(place.values()) not in here:
            rows.append(place | dict.fromkeys(COUNTS, 0))
    counts = pd.DataFrame(rows, columns=[*BY, *COUNTS]).groupby(BY, sort=False, as_index=False).sum()
    expected, subset = [], []
    for row in counts.to_dict("records"):
        known = [s for s in sets if all(s.get(k) in (None, row[k]) for k in BY)]
        expected.append(sum(s["expected"] for s in known) if known and all(s["expected"] for s in known) else pd.NA)
        subset.append(any(s["subset"] for s in known))
    counts.insert(len(BY), "expected", pd.array(expected, "Int64"))
    counts["subset"] = subset
    for listed in sets:
        place = {k: listed.get(k) or "" for k in BY}
        problems += [
            {**place, "video": Path(name).stem, "path": name, "lost": True, "reason": "missing from this copy"}
            for name in listed["missing"]
        ]
    return Coverage(counts, pd.DataFrame(problems, columns=PROBLEM_COLUMNS))
