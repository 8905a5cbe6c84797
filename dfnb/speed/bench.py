"""The bench: times every stage, prints a table, writes it with a picture, and compares it with an earlier one.

Speeds of different machines can't be compared, but ratios can: how many times longer a unit of work takes than a
yardstick measured in the same run.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from matplotlib.ticker import LogLocator, NullFormatter
from threadpoolctl import threadpool_limits
from torch.utils.benchmark import Timer

from dfnb.common import environment, files
from dfnb.common.errors import UserError
from dfnb.plots import style
from dfnb.speed.stages import BACKBONE, SIZE, Stage, stages

log = logging.getLogger(__name__)
COLUMNS = ["stage", "what", "unit", "per_second", "ms", "yardstick", "yardstick_ms", "ratio"]
KEY = ["stage", "what", "yardstick"]  # rows of two tables that belong together
ROUNDS = 2  # stage and yardstick take turns, and the better round counts: other programs only make it slower
SLOWER, SAME, FASTER, GONE, NEW = "slower", "same", "faster", "gone", "new"


def report(output: Path, against: Path | None, tolerance: float) -> bool:
    """Measure, print, and write the table and its picture into `output`; compare with the table `against`.

    Returns whether a stage is slower than it was there. Raises UserError, before anything is measured, where `against`
    is no such table or `output` can't be written into.
    """
    before = read(against) if against is not None else None
    about = environment.describe() | {
        "date": datetime.date.today().isoformat(),
        "cores": os.cpu_count(),
        "command": "dfnb bench",
        "networks": f"on the CPU, torch threads: {torch.get_num_threads()}; nothing of a GPU was measured",
    }
    file = output / f"{name_of(environment.processor(), about['date'])}.csv"
    files.check_writable(file, "--output")
    measured = run()
    write(file, measured, about)
    save(picture(measured, about), file.with_suffix(".png"))
    print(text(measured), f"written: {file}", sep="\n")
    if before is None:
        return False
    found = compare(measured, before, tolerance)
    print(f"against {against}:", found.to_string(index=False, float_format="%.3g"), sep="\n")
    return bool((found["verdict"] == SLOWER).any())


def run(seconds: float = 0.5, backbone: str = BACKBONE, size: int = SIZE) -> pd.DataFrame:
    """Time every stage. Returns the table, a row a stage, with `COLUMNS`: ratio is ms over yardstick_ms, a unit each.

    seconds: for how long each stage and each yardstick is repeated in a round, at least once. backbone, size: of the
    networks; size is the side of their input, pixels.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="dfnb-bench-") as folder:
        for stage in stages(Path(folder), backbone, size):
            log.info("bench: %s, %s", stage.name, stage.what)
            work, yard = measure(stage, seconds)
            named = (stage.name, stage.what, stage.unit)
            rows.append((*named, 1 / work, 1e3 * work, stage.yardstick, 1e3 * yard, work / yard))
    return pd.DataFrame(rows, columns=COLUMNS)


def measure(stage: Stage, seconds: float) -> tuple[float, float]:
    """Seconds that a unit of the stage's work and one of its yardstick take: the best round's median."""
    works = (stage.work, stage.yard)
    timers = [Timer("work()", globals={"work": work}, num_threads=stage.threads) for work in works]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(stage.threads)
    try:
        with threadpool_limits(stage.threads, user_api="blas"):
            counts = [work() for work in works]
            rounds = [[t.blocked_autorange(min_run_time=seconds).median for t in timers] for _ in range(ROUNDS)]
    finally:
        cv2.setNumThreads(threads)
    work, yard = np.min(rounds, axis=0) / counts
    return work, yard


def text(table: pd.DataFrame) -> str:
    """The table for a terminal."""
    shown = {
        "stage": table["stage"],
        "work": table["what"],
        "a second": [f"{_rate(row.per_second)} {row.unit}" for row in table.itertuples()],
        "ms each": [f"{v:.3g}" for v in table["ms"]],
        "yardstick": [f"{row.yardstick}, {row.yardstick_ms:.3g} ms" for row in table.itertuples()],
        "ratio": [f"{v:.3g}" for v in table["ratio"]],
    }
    return pd.DataFrame(shown).to_string(index=False)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def name_of(processor: str, date: str) -> str:
    """`bench-<processor>-<date>`, letters, digits and dashes only. date: YYYY-MM-DD."""
    return f"bench-{re.sub(r'[^a-z0-9]+', '-', processor.lower()).strip('-')}-{date}"


def write(path: Path, table: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """The table as CSV. Its first line, a comment, is `about` (versions, hardware, command) as JSON."""
    files.write_text(path, f"# {json.dumps(about, sort_keys=True)}\n" + table.to_csv(index=False, float_format="%.6g"))


def read(path: Path) -> pd.DataFrame:
    """A table that `write` wrote. Raises UserError, naming the file, where it is something else."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            file.readline()
            table = pd.read_csv(file, dtype=dict.fromkeys(KEY, str) | {"ratio": float})
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: not a table of `dfnb bench`") from error
    if missing := {*KEY, "ratio"} - set(table.columns):
        raise UserError(f"{path}: not a table of `dfnb bench`: it has no column {min(missing)}")
    return table.drop_duplicates(KEY)


def compare(now: pd.DataFrame, before: pd.DataFrame, tolerance: float = 1.25) -> pd.DataFrame:
    """By ratio: stage, what, before, now, change (now / before) and verdict for each row of either table.

    Rows belong together where stage, what and yardstick are equal. A stage is "slower" where its ratio grew by more
    than `tolerance`, "faster" where it fell by as much. Raises ValueError for a tolerance that isn't above 1.
    """
    if not tolerance > 1:
        raise ValueError(f"a tolerance of {tolerance} would call equal things different; give more than 1")
    new, old = (table.set_index(KEY)["ratio"] for table in (now, before))
    rows = new.index.append(old.index.difference(new.index, sort=False))
    found = pd.DataFrame({"before": old.reindex(rows), "now": new.reindex(rows)}).reset_index()
    found["change"] = found["now"] / found["before"]
    found["verdict"] = np.select(
        [found["before"].isna(), found["now"].isna(), found["change"] > tolerance, found["change"] < 1 / tolerance],
        [NEW, GONE, SLOWER, FASTER],
        SAME,
    )
    return found.drop(columns="yardstick")


def save(plot: style.Plot, path: Path) -> None:
    """The picture as PNG, with its alt text as the file's description."""
    about = {"Software": None, "Description": plot.alt}
    with files.replacing(path) as temporary, style.styled():
        plot.figure.savefig(temporary, format="png", dpi=style.DPI, metadata=about)


def picture(table: pd.DataFrame, about: Mapping[str, Any]) -> style.Plot:
    """Every stage's ratio to its yardstick, on a logarithmic axis, with its rate beside it."""
    with style.styled():
        figure = style.new_figure(0.42 * len(table) + 1.4, 9.2)
        axes = figure.subplots()
        places = np.arange(len(table))[::-1]
        axes.hlines(places, 1e-4, table["ratio"], color=style.GRID, linewidth=1.2)
        axes.plot(table["ratio"], places, "o", color=style.REAL)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(table["ratio"].min() / 2, table["ratio"].max() * 2)
        axes.set_yticks(places, [f"{r.stage}: {r.what}\nagainst {r.yardstick}" for r in table.itertuples()], fontsize=8)
        axes.set_ylim(-0.7, len(table) - 0.3)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("time of a unit of work, in times of its yardstick (less is faster)")
        for place, row in zip(places, table.itertuples(), strict=True):
            axes.annotate(
                f"{_rate(row.per_second)} {row.unit} a second", (1.01, place), xycoords=("axes fraction", "data"),
                va="center", fontsize=8, annotation_clip=False,
            )  # fmt: skip
        figure.suptitle(f"{about['hardware']}, {about['date']}", fontsize=11, weight="bold")
    ratios = [f"{r.stage} ({r.what}): {r.ratio:.2g} times {r.yardstick}" for r in table.itertuples()]
    return style.Plot(figure, table, "Time of each stage in times of its yardstick. " + "; ".join(ratios) + ".")
