"""The bench's table: a row a stage, on the screen, in a CSV file and as a picture, and compared with an earlier one.

Speeds of different machines can't be compared, but ratios can: how many times longer a unit of work takes than a
yardstick measured in the same run.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.plots import style

FORMAT = 1
KEY = ["stage", "what"]
TOLERANCE = 1.25  # a ratio that grew by more than this is slower: runs on a busy machine differ by 10 to 20 %
SLOWER, SAME, FASTER, GONE, NEW = "slower", "same", "faster", "gone", "new"


class Row(NamedTuple):
    """One line. Times are the best of several, since whatever else runs only ever makes them longer.

    what: the work, in a few words; unit: what is counted; ms: milliseconds a unit; yardstick, yardstick_ms: what it is
    compared with; ratio: ms / yardstick_ms; limit: the highest ratio we want, NaN where there is none; scaling:
    throughput of two workers or threads over that of one; share: of the time of a training epoch whose pairs are made
    by the training process itself, 0 for what is done before it.
    """

    stage: str
    what: str
    unit: str
    per_second: float
    ms: float
    yardstick: str
    yardstick_ms: float
    ratio: float
    limit: float = math.nan
    scaling: float = math.nan
    share: float = 0.0


def row(stage: str, what: str, unit: str, seconds: float, yardstick: str, yard: float, limit: float = math.nan) -> Row:
    """A row from the seconds a unit and the yardstick take."""
    return Row(stage, what, unit, 1 / seconds, 1e3 * seconds, yardstick, 1e3 * yard, seconds / yard, limit)


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a table with the columns of `Row`."""
    return pd.DataFrame(rows, columns=Row._fields)


def shares(per_pair: Mapping[str, float]) -> dict[str, float]:
    """Seconds a pair in each part of an epoch -> share of each; they sum to 1."""
    total = sum(per_pair.values())
    return {name: seconds / total for name, seconds in per_pair.items()}


def text(table: pd.DataFrame) -> str:
    """The table for a terminal."""
    shown = pd.DataFrame(
        {
            "stage": table["stage"],
            "work": table["what"],
            "a second": [f"{_rate(v)} {unit}" for v, unit in zip(table["per_second"], table["unit"], strict=True)],
            "ms each": [f"{v:.3g}" for v in table["ms"]],
            "yardstick": [f"{n}, {v:.3g} ms" for n, v in zip(table["yardstick"], table["yardstick_ms"], strict=True)],
            "ratio": [f"{v:.3g}" for v in table["ratio"]],
            "limit": [_limit(*pair) for pair in zip(table["ratio"], table["limit"], strict=True)],
            "2 workers": ["" if np.isnan(v) else f"x {v:.2f}" for v in table["scaling"]],
            "of an epoch": [f"{v:.1%}" if v else "" for v in table["share"]],
        }
    )
    return shown.to_string(index=False)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _limit(ratio: float, limit: float) -> str:
    return "" if np.isnan(limit) else f"{limit:.3g} {'met' if ratio <= limit else 'NOT met'}"


def name_of(processor: str, date: str) -> str:
    """`bench-<cpu>-<date>`, letters, digits and dashes only. date: YYYY-MM-DD."""
    return f"bench-{re.sub(r'[^a-z0-9]+', '-', processor.lower()).strip('-')}-{date}"


def write(path: Path, table: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """The table as CSV. Its first line, a comment, is JSON: `about` (versions, hardware, command) and the format."""
    head = json.dumps({"format": FORMAT, **about}, sort_keys=True)
    files.write_text(path, f"# {head}\n" + table.to_csv(index=False, float_format="%.6g"))


def read(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """What `write` wrote. Raises UserError, naming the file, where it is something else."""
    try:
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        about = json.loads(first.removeprefix("# "))
        version = about["format"]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read ({error})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not a table of `dfnb bench`") from error
    if version != FORMAT:
        raise UserError(f"{path}: a bench table of format {version}, where {FORMAT} is read; measure it again")
    try:
        table = pd.read_csv(path, skiprows=1)
    except ValueError as error:
        raise UserError(f"{path}: not a table of `dfnb bench` ({error})") from None
    if lacking := set(Row._fields) - set(table.columns):
        raise UserError(f"{path}: a bench table without {min(lacking)}; measure it again")
    return table, about


def compare(now: pd.DataFrame, before: pd.DataFrame, tolerance: float = TOLERANCE) -> pd.DataFrame:
    """By ratio: stage, what, before, now, change (now / before) and verdict for each row of either table.

    Rows belong together where stage, what and yardstick are equal. A stage is "slower" where its ratio grew by more
    than `tolerance`, "faster" where it fell by as much. Raises ValueError for a tolerance that isn't above 1.
    """
    if not tolerance > 1:
        raise ValueError(f"a tolerance of {tolerance} would call equal things different; give more than 1")
    keys = [*KEY, "yardstick"]
    both = now[[*keys, "ratio"]].merge(before[[*keys, "ratio"]], on=keys, how="outer", suffixes=("_now", "_before"))
    change = both["ratio_now"] / both["ratio_before"]
    verdict = np.select(
        [both["ratio_before"].isna(), both["ratio_now"].isna(), change > tolerance, change < 1 / tolerance],
        [NEW, GONE, SLOWER, FASTER],
        SAME,
    )
    found = both[KEY].assign(before=both["ratio_before"], now=both["ratio_now"], change=change, verdict=verdict)
    order = {tuple(key): n for n, key in enumerate(now[KEY].itertuples(index=False, name=None))}
    rank = [order.get(key, len(order)) for key in found[KEY].itertuples(index=False, name=None)]
    return found.iloc[np.argsort(rank, kind="stable")].reset_index(drop=True)


def save(plot: style.Plot, path: Path) -> None:
    """The picture as PNG, its words for those who can't see it in it."""
    with files.replacing(path) as temporary, style.styled():
        plot.figure.savefig(
            temporary, format="png", dpi=style.DPI, metadata={"Software": None, "Description": plot.alt}
        )


def picture(table: pd.DataFrame, about: Mapping[str, Any]) -> style.Plot:
    """Every stage's ratio to its yardstick, with the limit where there is one."""
    with style.styled():
        figure = style.new_figure(0.42 * len(table) + 1.4, 9.2)
        axes = figure.subplots()
        places = np.arange(len(table))[::-1]
        limited = table["limit"].notna().to_numpy()
        axes.hlines(places, 1e-4, table["ratio"], color=style.GRID, linewidth=1.2)
        axes.plot(table["ratio"], places, "o", color=style.REAL, label="measured")
        axes.plot(table["limit"][limited], places[limited], "|", color=style.FAKE, ms=15, mew=2.5, label="limit")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(table["ratio"].min() / 2, table["ratio"].max() * 2)
        axes.set_yticks(places, [f"{r.stage}: {r.what}\nagainst {r.yardstick}" for r in table.itertuples()], fontsize=8)
        axes.set_ylim(-0.7, len(table) - 0.3)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("time of a unit of work, in times of its yardstick (less is faster)")
        for place, one in zip(places, table.itertuples(), strict=True):
            axes.annotate(
                f"{_rate(one.per_second)} {one.unit} a second", (1.01, place), xycoords=("axes fraction", "data"),
                va="center", fontsize=8, annotation_clip=False,
            )  # fmt: skip
        axes.set_title(f"{about['hardware']}, {about['date']}")
        axes.legend(loc="lower right", fontsize=8)
    said = [f"{r.stage} ({r.what}): {r.ratio:.2g} times {r.yardstick}" for r in table.itertuples()]
    return style.Plot(figure, table, "Time of each stage in times of its yardstick. " + "; ".join(said) + ".")
