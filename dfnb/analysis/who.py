"""Who a network is wrong about: its errors by complexion, sex and age of the people in the embedded benchmark.

The heads are rendered, so who they are is known by construction. It is drawn anew from the benchmark's settings;
nothing is rendered for it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dfnb.analysis import findings, thresholds
from dfnb.benchmark import layout, studio
from dfnb.common.errors import UserError
from dfnb.plots.style import Plot, look, new_figure, styled
from dfnb.scoring import metrics

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

# Bands of `people`, each from its first number up to, not including, its second; the outermost two are compared.
COMPLEXION = {"light": (0.0, 0.25), "medium": (0.25, 0.5), "dark": (0.5, 1.01)}  # melanin, 0 very light .. 1 very dark
SEX = {"man": (0.0, 0.5), "woman": (0.5, 1.01)}  # female, 0 .. 1
AGE = {"18 to 34": (18.0, 35.0), "35 to 54": (35.0, 55.0), "55 to 80": (55.0, 80.01)}  # years
BY = {"complexion": ("melanin", COMPLEXION), "sex": ("female", SEX), "age": ("age", AGE)}
LIMITS = "Complexion by melanin (0 very light, 1 very dark): " + ", ".join(
    f"{band} {start:g} to {min(end, 1):g}" for band, (start, end) in COMPLEXION.items()
)
RATES = {"false_positive": "real called fake", "missed": "fakes called real", "auc": "video AUC"}


def people(run: "Run", part: str) -> pd.DataFrame:
    """Who is in each video of a part, a row a video in the order of `Run.clips`.

    Of a fake it is the person whose face is manipulated (the other one, whose face or expression it takes, was chosen
    to look alike). Of a real video with several people it is the one whom its fake manipulates.
    Columns: dataset, video; melanin (0 very light .. 1 very dark), female (0 .. 1), age (years); people (how many are
    in the picture). Raises UserError where the run isn't of the embedded benchmark.
    """
    if not run.embedded:
        raise UserError(f"profile {run.profile.name}: who is in real videos isn't known; use the embedded benchmark")
    settings, shown = run.profile.demo, {}
    for job in layout.plan(settings):
        for number, take in enumerate(job.takes):
            fakes = [fake for fake in job.fakes if fake.take == number]
            for video, victim in [(take.video, fakes[0].victim if fakes else 0), *((f.video, f.victim) for f in fakes)]:
                shown[video.path] = (take.part, take.people[victim], len(take.people))
    clips = run.clips(part)
    found = [shown[Path(path).relative_to(run.benchmark).as_posix()] for path in clips["path"]]
    who = {key: studio.draw_person(settings, *key) for key in dict.fromkeys(entry[:2] for entry in found)}
    rows = []
    for of, key, number in found:
        person = who[of, key]
        rows.append({"melanin": person.melanin, "female": person.female, "age": person.age, "people": number})
    return pd.concat([clips[["dataset", "video"]].reset_index(drop=True), pd.DataFrame(rows)], axis=1)


def videos(run: "Run", name: str) -> pd.DataFrame:
    """`Run.video_scores` of all test parts with the columns of `people`; videos of several people are left out.

    Their score is the highest of several faces, so an error is nobody's in particular. Groups of different sets have
    different names: a group is a person.
    """
    scored = []
    for part in run.tests:
        table = run.video_scores(part, name).merge(people(run, part), on=["dataset", "video"], validate="1:1")
        table["group"] = part + " " + table["group"].astype(str)
        scored.append(table[table["people"] == 1])
    return pd.concat(scored, ignore_index=True)


def errors(table: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Error rates and AUC by group, a row a group: what `videos` gives, and a threshold for "fake where score >= it".

    Columns: by (complexion, sex or age), band, start, end (of the band), people, real, fake (videos); false_positive
    (share of the real called fake), missed (share of the fakes called real) and auc, each with _low and _high (95 %,
    over people: `metrics.share_groups`, `metrics.auc_groups`; NaN where there is no such video).
    """
    rows = []
    for by, (column, bands) in BY.items():
        for band, (start, end) in bands.items():
            members = table[(table[column] >= start) & (table[column] < end)]
            fake, called = members["label"] == "fake", members["score"] >= threshold
            row: dict[str, Any] = {"by": by, "band": band, "start": start, "end": end}
            row |= {"people": members["group"].nunique(), "real": int((~fake).sum()), "fake": int(fake.sum())}
            found = dict.fromkeys(RATES, (np.nan,) * 3)
            if (~fake).any():
                found["false_positive"] = metrics.share_groups(called[~fake], members.loc[~fake, "group"])
            if fake.any():
                found["missed"] = metrics.share_groups(~called[fake], members.loc[fake, "group"])
            if fake.nunique() == 2:
                found["auc"] = metrics.auc_groups(fake, members["score"], members["group"])
            for rate, (value, low, high) in found.items():
                row |= {rate: value, f"{rate}_low": low, f"{rate}_high": high}
            rows.append(row)
    return pd.DataFrame(rows)


def everywhere(run: "Run", name: str) -> pd.DataFrame:
    """`errors` of one network on all test sets together, first seed, at the threshold of `thresholds.fixed`.

    Further column: network, its name.
    """
    return errors(videos(run, name), thresholds.fixed(run, name)).assign(network=name)


def figure(table: pd.DataFrame, name: str) -> Plot:
    """`errors` as a forest: a panel a rate, a row a group, with 95 % intervals. name: of the network."""
    style, places, y = look(name), [], 0.0
    for number, by in enumerate(table["by"]):
        y += 0.6 if number and by != table["by"].iloc[number - 1] else 0.0  # a gap between attributes
        places.append(y)
        y += 1.0
    with styled():
        drawn = new_figure(1.1 + 0.33 * y)
        panels = drawn.subplots(1, len(RATES), sharey=True)
        for axes, (rate, words) in zip(panels, RATES.items(), strict=True):
            for place, value, low, high in zip(
                places, *(table[f"{rate}{end}"] for end in ("", "_low", "_high")), strict=True
            ):
                axes.plot([low, high], [place] * 2, color=style.colour, lw=style.width, solid_capstyle="butt")
                axes.plot(value, place, style.marker, color=style.colour, ms=6, mec="white", mew=0.6)
            ends = (0.0, 1.08 * table[f"{rate}_high"].max()) if rate != "auc" else (0.98 * table["auc_low"].min(), 1.0)
            axes.set(xlim=ends, ylim=(y - 0.4, -0.6), xlabel=words)
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(places, [f"{row.by}: {row.band}, {row.people} people" for row in table.itertuples()])
    summary = "; ".join(
        f"{row.by} {row.band}: {row.false_positive:.2f} of the real called fake, {row.missed:.2f} of the fakes called "
        f"real, AUC {row.auc:.2f}"
        for row in table.itertuples()
    )
    return Plot(drawn, table, f"Errors of {style.label} by complexion, sex and age. {summary}.")


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`errors` as a table to read: rates with their intervals, in per cent."""

    def cells(rate: str, scale: int, digits: int, unit: str) -> list[str]:
        columns = zip(table[rate], table[f"{rate}_low"], table[f"{rate}_high"], strict=True)
        return [
            "–" if np.isnan(a) else f"{scale * a:.{digits}f}{unit} ({scale * b:.{digits}f} to {scale * c:.{digits}f})"
            for a, b, c in columns
        ]

    return table[["by", "band", "people", "real", "fake"]].assign(
        **{
            RATES["false_positive"]: cells("false_positive", 100, 0, " %"),
            RATES["missed"]: cells("missed", 100, 0, " %"),
            "AUC": cells("auc", 1, 3, ""),
        }
    )


def finding(table: pd.DataFrame) -> str:
    """Whether the outermost bands differ in a rate: the 95 % interval of the difference leaves out 0. In Markdown."""
    clear, others = [], []
    for by, bands in table.groupby("by", sort=False):
        first, last = bands.iloc[0], bands.iloc[-1]
        for rate, words in RATES.items():
            a, b = ({"auc": row[rate], "low": row[f"{rate}_low"], "high": row[f"{rate}_high"]} for row in (last, first))
            change = findings.independent(a, b)
            if not np.isfinite(change).all():
                continue
            if change.low > 0 or change.high < 0:
                clear.append(f"{words}, {last['band']} minus {first['band']} ({by}) {change}")
            else:
                others.append((change.high - change.low) / 2)
    found = ": " + "; ".join(clear) if clear else f", so {findings.NOTHING}"
    text = f"Differences whose 95 % interval leaves out 0: **{len(clear)} of {len(clear) + len(others)}**{found}."
    if others:
        text += f" {'The other' if clear else 'The'} intervals are ±{min(others):.2f} to ±{max(others):.2f}: "
        text += "with so few people, a smaller difference can't be seen."
    return text
