"""What difference a test can show at all: how many videos and how many seeds it takes.

Simulated from what was measured: for another number of videos, as many groups are drawn from those that were scored;
the spread over seeds is that of trainings of the same kind. See `comparisons.smallest`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dfnb.plots.style import Plot, new_figure, styled
from dfnb.scoring import comparisons, contrasts
from dfnb.scoring.comparisons import Sampling, SeedSpread

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

SIZES = (0.5, 1.0, 3.0, 10.0)  # of the test, as multiples of the run's
SEEDS = (1, 2, 3, 5, 10, 20)


def table(run: "Run", ours: str, theirs: str, spread: SeedSpread | None) -> pd.DataFrame:
    """The smallest difference of two networks' mean AUC over the run's test sets that is found with 80 % probability.

    ours, theirs: networks of the run, whose scores stand for those of any two alike. spread: over seeds, of the mean
    AUC. A row a size of the test and number of seeds; columns size, videos, groups, seeds, sampling_sd, seed_sd,
    smallest.
    """
    parts = {
        part: contrasts.part_of([run.video_scores(part, ours)], [run.video_scores(part, theirs)]) for part in run.tests
    }
    return of_parts(parts, spread)


def of_parts(
    parts: Mapping[str, contrasts.Part], spread: SeedSpread | None, sizes: Sequence[float] = SIZES
) -> pd.DataFrame:
    """`table` from scores. The spread over seeds is taken as known, and as 0 where there is none."""
    rows, known = [], spread and SeedSpread(spread.variance, 10**6)
    videos = sum(len(part.fake) for part in parts.values())
    groups = sum(len(set(part.groups)) for part in parts.values())
    for size in sizes:
        drawn = contrasts.draw({name: (part.fake, part.groups) for name, part in parts.items()}, size=size)
        values = np.mean([contrasts.differences(part, drawn[name]) for name, part in parts.items()], axis=0)
        fewest = min(max(2, round(size * found.fewest)) for found in drawn.values())
        sampling = Sampling(0.0, float(np.std(values, ddof=1)), fewest)
        about = {"size": size, "videos": round(size * videos), "groups": round(size * groups)}
        for seeds in SEEDS:
            row = about | {"seeds": seeds, "sampling_sd": sampling.error}
            row |= {"seed_sd": spread.variance**0.5 if spread else float("nan")}
            rows.append(row | {"smallest": comparisons.smallest(sampling, known, (seeds, seeds))})
    return pd.DataFrame(rows)


def chart(found: pd.DataFrame) -> Plot:
    """The smallest difference against the number of seeds, a line a size of the test."""
    with styled():
        figure = new_figure(3.4)
        axes = figure.subplots()
        shades = ("#6baed6", "#2171b5", "#08306b", "#222222")
        for (size, rows), colour in zip(found.groupby("size"), shades, strict=False):
            axes.plot(rows["seeds"], rows["smallest"], "o-", color=colour, ms=4.5)
            last = rows.iloc[-1]
            text = f"{last['videos']:,.0f} videos" + (" (this test)" if size == 1 else "")
            axes.annotate(
                text, (last["seeds"], last["smallest"]), (8, 0), textcoords="offset points", va="center", fontsize=9.5,
                color=colour,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks(SEEDS, [str(seeds) for seeds in SEEDS])
        axes.minorticks_off()
        axes.set(xlabel="training seeds of each network", ylabel="smallest difference", xlim=(0.9, 60))
        axes.set_ylim(0, 1.08 * found["smallest"].max())
    summary = "; ".join(
        f"{row.videos:,} videos and {row.seeds} seeds: {row.smallest:.3f}"
        for row in found.itertuples()
        if row.seeds in (1, 5)
    )
    return Plot(figure, found, f"Smallest difference of two mean AUCs that is found with 80 % probability. {summary}.")


def finding(found: pd.DataFrame) -> str:
    """What more seeds, and what more videos would buy, in Markdown."""
    cell = {(row.size, row.seeds): row.smallest for row in found.itertuples()}
    few, seeds, videos, both = (cell[key] for key in ((1.0, 1), (1.0, 5), (3.0, 1), (3.0, 5)))
    return (
        f"One seed on these videos finds a difference of **{few:.3f}** four times in five. Five seeds instead: "
        f"{seeds:.3f}; three times the videos instead: {videos:.3f}; both: **{both:.3f}**."
    )
