"""Somebody's detector in the comparison: its scores, or the function that gives them, become score tables of a run.

Rows are joined to the videos of the profile's test sets. Every video of a set counts: one without a score has 0.5, as a
video without a face has, so that nobody gains by leaving out what is hard; how many these are is said, and so is the
AUC without them. In `runs/<profile>/judged/<name>/` lie a table a part (`score_table`), problems.csv (videos without a
score, and rows that name no video of the sets) and, last of all, judged.json.
"""

import importlib
import logging
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit
from tqdm.auto import tqdm

from dfnb.common import files, locks
from dfnb.common.errors import UserError, printable
from dfnb.data.catalogues import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from dfnb.experiment.artefacts import MANIFEST, Judged
from dfnb.experiment.run import Run
from dfnb.scoring import score_table
from dfnb.scoring.score_table import PLACE, STAMPS

log = logging.getLogger(__name__)
NAMES = ("path", "name", "video")  # columns that may name the video
BOX = ("x0", "y0", "x1", "y1")
NUMBERS = ("score", "frame", "face", *BOX)
COLUMNS = ("score", *NAMES, "frame", "face", *BOX, "dataset", "split", "label", "method", "group", *STAMPS)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
MAX_BYTES = 4 << 30  # of a file of scores
SHOWN = 5  # failures of a detector that are printed

Fake = Literal["high", "low"]  # which scores mean fake
Takes = Literal["path", "face"]  # what a detector is given


def judge_scores(
    run: Run, paths: Sequence[Path], name: str, fake: Fake = "high", logits: bool = False, parts: Sequence[str] = ()
) -> pd.DataFrame:
    """Scores in CSV or Parquet files become a detector of the run's comparison.

    A row is a video, or a frame where there is a column `frame`, or a face where there is `face`, too. One of the
    columns `NAMES` names the video: its name in the catalogue, or enough of its path. Score tables of ours are such
    files. fake: "low" where low scores mean fake. logits: scores are log odds, not probabilities. parts: those to be
    judged on; by default all test parts that have a row.
    Returns what couldn't be joined, a row each: part, problem ("missing": a video without a score; "unknown": a row of
    no video), video.
    Raises UserError, before anything is written, where a file isn't such a table, a score is no probability, a row is
    there twice, names two videos or a path that climbs, a label contradicts the catalogue, or no row fits.
    """
    chosen = _parts(run, name, parts)
    read = [_read(path, fake, logits) for path in paths]
    if len({frozenset(table) for table in read}) > 1:
        raise UserError(f"{paths[1]}: has other columns than {paths[0]}; give all files the same")
    given = pd.concat(read, ignore_index=True)
    row = "face" if "face" in given else "frame" if "frame" in given else "video"
    clips = pd.concat([run.clips(part).assign(part=part) for part in chosen], ignore_index=True)
    given["clip"] = _joined(run, given, clips)
    known = given[given["clip"] >= 0].reset_index(drop=True)
    if known.empty:
        first = f"{given['named'].iloc[0]!r}" if len(given) else "no row"
        raise UserError(f"{paths[0]}: no row names a video of {', '.join(chosen)}; its first is {first}")
    _refuse_twice(paths, known, row)
    about = clips.iloc[known["clip"]].reset_index(drop=True)
    _refuse_other_labels(paths, known, about)
    table = known.assign(**{column: about[column] for column in PLACE if column in about})
    for column in ("frame", "face", *BOX):
        if column not in table:
            table[column] = 0
    tables = {part: table.loc[about["part"] == part, [*PLACE, "score"]] for part in chosen}
    tables = {part: rows.reset_index(drop=True) for part, rows in tables.items() if len(rows)}
    hashes = {path.name: files.sha256(path) for path in paths}
    source = next(iter(hashes.values())) if len(hashes) == 1 else files.digest(hashes)
    judged = Judged(name, run.networks[0].seed, row, source, tuple(tables))
    with locks.exclusive(run.judged_folder(name), "judging", tables):
        _begin(run, judged)
        for part, rows in tables.items():
            _write(run, judged, part, rows)
        unknown = given.loc[given["clip"] < 0, "named"].unique()
        return _finish(run, judged, {"files": hashes, "fake": fake, "logits": logits}, unknown)


def judge_detector(
    run: Run,
    detector: str,
    takes: Takes,
    name: str,
    fake: Fake = "high",
    logits: bool = False,
    parts: Sequence[str] = (),
) -> pd.DataFrame:
    """A function MODULE:FUNCTION becomes a detector of the run's comparison, on all test parts or on `parts`.

    takes: "path": it is called with the path of a video (of a picture, or of a folder of frames), a str; "face": with a
    face of a frame as the run's networks see it, (S, S, 3) uint8 RGB. It returns one number. The module may lie in the
    working folder. Where it raises anything, or returns no probability, there is no score; the log says why. A part
    that is done is kept for as long as the module's file stays as it is. Returns and raises as `judge_scores` does.
    """
    chosen = _parts(run, name, parts)
    function, source = _imported(detector)
    row = "video" if takes == "path" else "face"
    about = {"detector": detector, "takes": takes, "fake": fake, "logits": logits, "size": run.profile.model.size}
    judged = Judged(name, run.networks[0].seed, row, files.digest([source, about]), chosen)
    with locks.exclusive(run.judged_folder(name), "judging", chosen):
        _begin(run, judged)
        for part in chosen:
            if run.score_state(part, judged) == "current":
                continue
            places, inputs = _inputs(run, part, takes)
            scores = _called(function, zip(places["video"], inputs, strict=True), f"{name} on {part}", fake, logits)
            rows = places.assign(score=scores)[np.isfinite(scores)]
            if rows.empty:
                raise UserError(f"{detector}: gave no score on {part}, see above")
            _write(run, judged, part, rows.reset_index(drop=True))
        return _finish(run, judged, about | {"module": source}, ())


# ---- files ----


def _read(path: Path, fake: Fake, logits: bool) -> pd.DataFrame:
    """A file of scores with numbers as numbers: `named`, `score` as the probability of fake, and further `COLUMNS`."""
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: no file of scores, or larger than {MAX_BYTES >> 30} GiB")
    table = _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _csv(path)
    if odd := [str(column) for column in table if column not in COLUMNS]:
        raise UserError(f"{path}: unknown column {odd[0]!r}; leave it out, known are {', '.join(COLUMNS)}")
    naming = [column for column in NAMES if column in table]
    if len(naming) != 1 or "score" not in table:
        raise UserError(f"{path}: needs a column score, and one of {', '.join(NAMES)}, which names the video")
    if 0 < len(set(BOX) & set(table)) < 4 or ("face" in table and "frame" not in table):
        raise UserError(f"{path}: a box needs all of {', '.join(BOX)}, and a face needs its frame")
    for column in set(table) & set(NUMBERS):
        table[column] = _numbers(path, table[column])
    for column in set(table) - set(NUMBERS):
        table[column] = table[column].astype(str)
    scores = probabilities(table["score"].to_numpy(), fake, logits)
    if (bad := ~((scores >= 0) & (scores <= 1))).any():
        row = int(np.argmax(bad))
        raise UserError(
            f"{path}: row {row + 1}: the score {table['score'].iloc[row]:g} is no probability (0 to 1); for log odds "
            "there is --logits"
        )
    return table.assign(score=scores).rename(columns={naming[0]: "named"})


def _csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path}: not a CSV file of scores ({str(error).splitlines()[0]})") from None


def _parquet(path: Path) -> pd.DataFrame:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            if file.metadata.num_rows > score_table.MAX_ROWS or len(set(names)) < len(names):
                raise UserError(f"{path}: too many rows, or a column twice")
            return file.read(use_threads=False).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: not a Parquet file of scores ({str(error).splitlines()[0]})") from None


def _numbers(path: Path, column: pd.Series) -> pd.Series:
    """A column as finite numbers of their own kind (float32 stays float32). Raises UserError naming the first other."""
    try:
        found = pd.to_numeric(column, errors="coerce")
        if pd.api.types.is_bool_dtype(found):
            raise ValueError
        finite = np.isfinite(found.to_numpy(float))
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: column {column.name} holds something else than numbers") from None
    if not finite.all():
        row = int(np.argmin(finite))
        raise UserError(f"{path}: row {row + 1}: {column.name} is {str(column.iloc[row])[:40]!r}, not a finite number")
    return found


def probabilities(scores: np.ndarray, fake: Fake, logits: bool) -> np.ndarray:
    """Somebody's scores (N,) -> the probability of fake, of the same kind of float; what is none comes out as it is."""
    if logits:
        scores = expit(scores)
    return 1 - scores if fake == "low" else scores


# ---- rows and videos ----


def _joined(run: Run, given: pd.DataFrame, clips: pd.DataFrame) -> np.ndarray:
    """For every row the position of its video in `clips`, or -1. Raises UserError where it may be two."""
    by_video, by_path, whole = defaultdict(set), defaultdict(set), defaultdict(set)
    for k, clip in enumerate(clips.itertuples()):
        path, root = _parts_of(clip.path), _parts_of(str(run.roots[clip.part]))
        by_video[clip.video].add(k)
        for start in range(len(path)):
            by_path["/".join(path[start:])].add(k)
        whole["/".join(path[len(root) :] if path[: len(root)] == root else path)].add(k)
    keys = ["named", *(column for column in ("dataset", "split") if column in given)]
    numbers, distinct = given.groupby(keys, sort=False).ngroup(), given[keys].drop_duplicates()
    positions = np.full(len(distinct), -1)
    for k, row in enumerate(distinct.to_dict("records")):
        parts = _parts_of(row["named"])
        if ".." in parts:
            raise UserError(f"{row['named']!r}: a path that climbs; name the video by its path in the set")
        tails = ["/".join(parts[start:]) for start in range(len(parts))]  # of a path on another machine, say
        found = by_video.get(row["named"]) or by_path.get(tails[0] if tails else "")
        found = found or next((whole[tail] for tail in tails if tail in whole), set())
        found = {j for j in found if all(clips.at[j, column] == row[column] for column in keys[1:])}
        if len(found) > 1:
            a, b, *_ = sorted(clips.at[j, "path"] for j in found)
            raise UserError(f"{row['named']!r} names {len(found)} videos, such as {a} and {b}; give more of its path")
        positions[k] = found.pop() if found else -1
    return positions[numbers]


def _parts_of(path: str) -> list[str]:
    """The steps of a path, on whichever system it was written, without a video's or a picture's suffix."""
    found = PurePosixPath(path.strip().replace("\\", "/"))
    if found.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
        found = found.with_suffix("")
    return [part for part in found.parts if part != "/"]


def _refuse_twice(paths: Sequence[Path], known: pd.DataFrame, row: str) -> None:
    key = ["clip", *(["frame"] if row != "video" else []), *(["face"] if row == "face" else [])]
    twice = known[known.duplicated(key)]
    if len(twice):
        first = twice.iloc[0]
        where = "".join(f", {column} {first[column]:g}" for column in key[1:])
        remedy = {"video": "frames need a column frame", "frame": "faces need a column face"}.get(row, "keep one")
        raise UserError(f"{paths[0]}: {first['named']}{where} is named twice ({len(twice)} such rows); {remedy}")


def _refuse_other_labels(paths: Sequence[Path], known: pd.DataFrame, about: pd.DataFrame) -> None:
    if "label" in known:
        labels = known["label"].str.lower().replace({"0": "real", "1": "fake"})
        if (other := (labels != about["label"])).any():
            k = int(np.argmax(other))
            row, label = known.iloc[k], about["label"].iloc[k]
            raise UserError(f"{paths[0]}: {row['named']} is {row['label']!r} there, {label} in the set; mend the file")


# ---- detectors ----


def _imported(detector: str) -> tuple[Callable[[Any], Any], str]:
    """The function of MODULE:FUNCTION, and the SHA-256 of the module's file."""
    module, colon, function = detector.partition(":")
    if not (module and colon and function):
        raise UserError(f"--detector {detector!r}: write it as MODULE:FUNCTION")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(module)
        called = getattr(found, function)
        source = files.sha256(found.__file__)
    except Exception as error:  # noqa: BLE001 (a stranger's module may raise anything)
        raise UserError(
            f"--detector {detector}: can't be imported ({type(error).__name__}: {printable(str(error))})"
        ) from None
    if not callable(called):
        raise UserError(f"--detector {detector}: {function} is no function")
    return called, source


def _inputs(run: Run, part: str, takes: Takes) -> tuple[pd.DataFrame, Iterable[Any]]:
    """`PLACE` of each thing that a detector scores, and these things one by one."""
    if takes == "path":
        clips = run.clips(part)
        return clips.assign(**dict.fromkeys(("frame", "face", *BOX), 0))[list(PLACE)], clips["path"]
    places = run.store(part).manifest[list(PLACE)].reset_index(drop=True)
    return places, (run.crops(part, [k])[0] for k in range(len(places)))


def _called(
    function: Callable[[Any], Any], inputs: Iterable[tuple[str, Any]], what: str, fake: Fake, logits: bool
) -> np.ndarray:
    """The scores (N,) float64 as probabilities of fake; NaN where the function failed. inputs: video, what it takes."""
    found, failed = [], 0
    for video, value in tqdm(inputs, desc=what, unit="call", disable=None, mininterval=1.0):
        try:
            score = float(probabilities(np.float64(float(function(value))), fake, logits))
            if not 0 <= score <= 1:
                raise ValueError(f"{score:g} is no probability (0 to 1)")
        except Exception as error:  # noqa: BLE001 (a stranger's function may raise anything; the others go on)
            failed += 1
            if failed <= SHOWN:
                log.warning(
                    "%s: %s: no score (%s: %s)", what, printable(video), type(error).__name__, printable(str(error))
                )
            score = np.nan
        found.append(score)
    if failed:
        log.warning("%s: %d of %d calls gave no score", what, failed, len(found))
    return np.array(found)


# ---- what is kept ----


def _parts(run: Run, name: str, parts: Sequence[str]) -> tuple[str, ...]:
    """The test parts to be judged on. Raises UserError for another part, or a name that can't be."""
    if not _NAME.fullmatch(name) or name in {each.name for each in (*run.networks, *run.ensembles)}:
        raise UserError(f"--name {name!r}: give a name of letters, digits, _, . and - that no network of the run has")
    if not run.tests:
        raise UserError(f"profile {run.profile.name}: no set with real videos and fakes to test on; see data.sets")
    if odd := [part for part in parts if part not in run.tests]:
        raise UserError(f"--part {odd[0]!r}: no test part of the profile; it has {', '.join(run.tests)}")
    return tuple(part for part in run.tests if part in parts or not parts)


def _begin(run: Run, judged: Judged) -> None:
    """From here on the detector is in no comparison until it is finished; what is of other scores goes."""
    folder = run.judged_folder(judged.name)
    (folder / MANIFEST).unlink(missing_ok=True)
    for path in folder.glob("*.parquet"):
        if path.stem not in judged.parts or run.score_state(path.stem, judged) != "current":
            path.unlink()


def _write(run: Run, judged: Judged, part: str, rows: pd.DataFrame) -> None:
    with files.replacing(run.score_path(part, judged)) as temporary:
        score_table.write(temporary, rows.assign(**run.stamps(part, judged)), {})


def _finish(run: Run, judged: Judged, about: dict[str, Any], unknown: Sequence[str]) -> pd.DataFrame:
    rows = [{"part": "", "problem": "unknown", "video": name} for name in unknown]
    for part in judged.parts:
        scored = score_table.load(run.score_path(part, judged))
        key = ["dataset", "split", "video"]
        clips = run.clips(part).set_index(key).index
        lost = clips[~clips.isin(scored.set_index(key).index)]
        rows += [{"part": part, "problem": "missing", "video": video} for *_, video in lost]
    problems = pd.DataFrame(rows, columns=["part", "problem", "video"])
    folder = run.judged_folder(judged.name)
    with files.replacing(folder / "problems.csv") as temporary:
        problems.to_csv(temporary, index=False)
    about |= {"row": judged.row, "sha256": judged.source, "parts": list(judged.parts)}
    about |= {problem: int((problems["problem"] == problem).sum()) for problem in ("missing", "unknown")}
    files.write_json(folder / MANIFEST, about)
    return problems
