"""Whether a network's stated rate holds: how often real test videos stand as high among real people as p says.

A network keeps its scores of held-out real people (`dfnb.scoring.real_people`). If real test videos are like theirs, a
share p of them gets a p-value of at most p, but for chance: both kinds of people are a sample. How far chance alone
moves the share is known exactly (`by_chance`). On another dataset, or after compression, it may lie farther off; that
is what is measured here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import betabinom, binomtest

from dfnb.analysis import corruptions, robustness
from dfnb.networks.checkpoint import metadata
from dfnb.plots.style import FAINT, Plot, look, new_figure, styled
from dfnb.plots.tables import SIGNIFICANT
from dfnb.scoring import comparisons, metrics, real_people

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

RATES = (0.1, 0.05, 0.01)


def kept(run: "Run", name: str, seed: int | None = None) -> dict[str, Any]:
    """What the network's checkpoint keeps of held-out real people (`real_people.record`); {} for an older one."""
    return metadata(run.trained(run.find(name, seed))).get("real_people", {})


def p_values(videos: pd.DataFrame, about: dict[str, Any], unit: real_people.Unit = "video") -> np.ndarray:
    """p of the real videos, one a person (the first of each group), ascending: (n,).

    videos: `Run.video_scores`; those without a face have no p. Empty where too few people were held out.
    """
    return np.sort(by_person(videos, about, unit))


def by_person(videos: pd.DataFrame, about: dict[str, Any], unit: real_people.Unit = "video") -> pd.Series:
    """`p_values` by group, in the videos' order."""
    real = videos[(videos["label"] == "real") & (videos["frames"] > 0)].drop_duplicates("group")
    standings = (real_people.standing(score, about, unit) for score in real["score"])
    found = {group: standing.p for group, standing in zip(real["group"], standings, strict=True) if standing}
    return pd.Series(found, dtype=float)


def by_chance(rate: float, held_out: int, tested: int) -> tuple[float, float]:
    """Between which shares the realised rate lies in 95 % of cases if the tested people are like the held-out ones.

    With k = rate * (held_out + 1), rounded down, the rate given the held-out people is Beta(k, held_out + 1 - k), so
    the count is beta-binomial. Source: Vovk 2012, Conditional validity of inductive conformal predictors.
    """
    k = int(rate * (held_out + 1) + 1e-9)
    if k == 0:
        return 0.0, 0.0
    low, high = betabinom.ppf((0.025, 0.975), tested, k, held_out + 1 - k) / tested
    return float(low), float(high)


def unit_of(run: "Run", part: str) -> real_people.Unit:
    """What has a score in a test part: single images, or videos."""
    units = {real_people.unit_of(Path(path)) for path in run.clips(part)["path"]}
    return "image" if units == {"image"} else "video"


def held_out(about: dict[str, Any], unit: real_people.Unit) -> int:
    """How many real people a score of this unit is compared with; 0 where there are too few."""
    standing = real_people.standing(0.5, about, unit)
    return standing.people if standing else 0


def realised(run: "Run", name: str, seed: int | None = None) -> pd.DataFrame:
    """Stated against realised rates on every test part; a row a part and rate that its people can tell.

    Columns: part, dataset, people (held out), tested (real people of the part), stated, realised, low, high (95 %,
    Clopper and Pearson 1934), chance_low, chance_high (`by_chance`). Empty where too few people were held out.
    """
    rows, about = [], kept(run, name, seed)
    for part in run.tests:
        p = p_values(run.video_scores(part, name, seed), about, unit_of(run, part))
        people = held_out(about, unit_of(run, part))
        for rate in (rate for rate in RATES if len(p) and rate >= 1 / (people + 1)):
            hits = int((p <= rate).sum())
            low, high = binomtest(hits, len(p)).proportion_ci(0.95)
            row = {"part": part, "dataset": run.title(part), "people": people, "tested": len(p), "stated": rate}
            row |= {"realised": hits / len(p), "low": float(low), "high": float(high)}
            rows.append(row | dict(zip(("chance_low", "chance_high"), by_chance(rate, people, len(p)), strict=True)))
    columns = ["part", "dataset", "people", "tested", "stated", "realised", "low", "high", "chance_low", "chance_high"]
    return pd.DataFrame(rows, columns=columns)


def of_networks(run: "Run") -> pd.DataFrame:
    """`realised` of every network of a run that is trained and scored; further columns: network, seed."""
    tables = [
        realised(run, network.name, network.seed).assign(network=network.name, seed=network.seed)
        for network in run.networks
        if run.is_done(network)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def over_networks(rates: pd.DataFrame) -> pd.DataFrame:
    """Published rates as a table to read: a row a set and stated rate, the realised one over all networks and seeds."""
    rows = []
    for (name, stated), cells in rates.groupby(["dataset", "stated"], sort=False):
        first, share = cells.iloc[0], 100 * cells["realised"]
        inside = ((cells["realised"] >= cells["chance_low"]) & (cells["realised"] <= cells["chance_high"])).sum()
        row = {"set": name, "people held out": first["people"], "real people tested": first["tested"]}
        row |= {"stated": f"{100 * stated:g} %", "realised, mean": f"{share.mean():.1f} %"}
        row |= {"of single networks": f"{share.min():.1f} to {share.max():.1f} %"}
        row |= {"by chance": f"{100 * first['chance_low']:.1f} to {100 * first['chance_high']:.1f} %"}
        rows.append(row | {"networks inside": f"{inside} of {len(cells)}"})
    return pd.DataFrame(rows)


def finding_over_networks(rates: pd.DataFrame) -> str:
    """On which sets the stated rates hold, in Markdown.

    Judged by the mean over networks: whether it lies where chance would leave a single one (`by_chance`).
    """
    if rates.empty:
        return "No rates are published: `dfnb sweep --profile study --base genuine --publish` makes them."
    lines = []
    for name, cells in rates.groupby("dataset", sort=False):
        mean = cells.groupby("stated")[["realised", "chance_low", "chance_high"]].mean()
        off = mean[(mean["realised"] > mean["chance_high"]) | (mean["realised"] < mean["chance_low"])]
        broken = ", ".join(f"{100 * row.realised:.1f} % instead of {100 * row.Index:g} %" for row in off.itertuples())
        if broken:
            lines.append(f"- {name}: **it doesn't hold** ({broken})")
            continue
        stated, row = mean.index.max(), mean.loc[mean.index.max()]
        chance = f"{100 * row.chance_low:.0f} to {100 * row.chance_high:.0f} %"
        lines.append(
            f"- {name}: **within what chance allows** ({100 * row.realised:.1f} % where {100 * stated:g} % is stated; "
            f"with {cells['tested'].iloc[0]} people tested, chance would leave {chance})"
        )
    return "Judged by the mean over networks:\n\n" + "\n".join(lines)


def curve(run: "Run", name: str) -> Plot:
    """The share of real people with p of at most the stated rate, against that rate, with its pointwise 95 % interval.

    A panel a test part. On the diagonal the rate holds; above it real people are flagged more often than stated. Grey:
    where chance alone would leave it (`by_chance`).
    """
    style, about, rows = look(name), kept(run, name), []
    grid = np.linspace(0, 0.5, 101)
    with styled():
        figure = new_figure(3.3)
        panels = figure.subplots(1, len(run.tests), sharey=True, squeeze=False)[0]
        for axes, part in zip(panels, run.tests, strict=True):
            p = p_values(run.video_scores(part, name), about, unit_of(run, part))
            hits = np.searchsorted(p, grid, side="right")
            bounds = [binomtest(int(k), len(p)).proportion_ci(0.95) for k in hits]
            low, high = np.transpose([(bound.low, bound.high) for bound in bounds])
            people = held_out(about, unit_of(run, part))
            chance = np.transpose([by_chance(rate, people, len(p)) for rate in grid])
            axes.fill_between(grid, *chance, color=FAINT, alpha=0.35, linewidth=0)
            axes.fill_between(grid, low, high, color=style.colour, alpha=0.16, linewidth=0)
            axes.plot(grid, hits / len(p), color=style.colour, lw=style.width, drawstyle="steps-post")
            axes.plot([0, 0.5], [0, 0.5], color=FAINT, lw=1, ls=(0, (2, 3)))
            axes.set_title(f"{run.title(part)}\n{len(p)} real people", fontsize=11)
            axes.set(xlim=(0, 0.5), ylim=(0, 1), xlabel="stated rate")
            shares = {"stated": grid, "realised": hits / len(p), "low": low, "high": high}
            shares |= {"chance_low": chance[0], "chance_high": chance[1]}
            rows.append(pd.DataFrame({"part": part, **shares}))
        panels[0].set_ylabel("real people at or below it")
    table = pd.concat(rows, ignore_index=True)
    told = "; ".join(
        f"{run.title(part)}: {cells.loc[cells['stated'].sub(0.1).abs().idxmin(), 'realised']:.2f} at a stated 0.10"
        for part, cells in table.groupby("part", sort=False)
    )
    return Plot(figure, table, f"Realised against stated rate of {style.label} on real test videos. {told}.")


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`realised` as a table to read."""
    shares = zip(table["realised"], table["low"], table["high"], strict=True)
    return pd.DataFrame(
        {
            "set": table["dataset"],
            "people held out": table["people"],
            "real people tested": table["tested"],
            "stated": [f"{100 * rate:g} %" for rate in table["stated"]],
            "realised (95 %)": [f"{100 * a:.0f} % ({100 * b:.0f} to {100 * c:.0f})" for a, b, c in shares],
            "by chance": [
                f"{100 * a:.0f} to {100 * b:.0f} %"
                for a, b in zip(table["chance_low"], table["chance_high"], strict=True)
            ],
        }
    )


def finding(table: pd.DataFrame) -> str:
    """Where the realised rate lies farther off than chance would have it, in Markdown."""
    if table.empty:
        return f"Too few real people were held out ({real_people.FEWEST} are needed), so no rate can be stated."
    off = table[(table["realised"] > table["chance_high"]) | (table["realised"] < table["chance_low"])]
    cases = "; ".join(
        f"{row.dataset}: {100 * row.realised:.0f} % instead of {100 * row.stated:g} %" for row in off.itertuples()
    )
    return f"Farther off than chance would have it in **{len(off)} of {len(table)} cases**" + (
        f": {cases}." if cases else "."
    )


def under_corruption(run: "Run", name: str, rate: float = 0.05) -> pd.DataFrame:
    """By how much a rate breaks under notebook 7's corruptions: the share of real people with p of at most `rate`.

    A row a corruption and level; level 0 is the same videos as they are. Columns: corruption, level, strength (NaN at
    level 0), tested, realised, low, high (95 %, Clopper and Pearson 1934); p, whether the same people are flagged as at
    level 0 (exact test of McNemar 1947), p_holm (corrected for all cells, Holm 1979); all_frames, the share at level 0
    from all frames of these videos, as in `realised`. Empty where too few people were held out.
    """
    rows, about, part = [], kept(run, name), robustness.part(run)
    settings, rule, unit = run.profile.robustness, run.profile.evaluate.size_rule, unit_of(run, part)
    manifest, scores = run.store(part).manifest, run.scores(part, name)
    which = robustness.chosen(manifest, settings.videos, settings.frames)
    columns = ["corruption", "level", "strength", "tested", "realised", "low", "high", "p", "p_holm", "all_frames"]

    def flagged(table: pd.DataFrame) -> pd.Series:
        return by_person(metrics.video_scores(table, rule), about, unit) <= rate

    clean = flagged(scores.iloc[which])
    if clean.empty:
        return pd.DataFrame(columns=columns)
    same_videos = manifest["path"].isin(manifest["path"].iloc[which]).to_numpy()
    all_frames = flagged(scores[same_videos]).mean()
    for kind in corruptions.CORRUPTIONS:
        levels = [(0, float("nan"), clean)]
        for (level, strength), table in robustness.scores(run, kind)[name].groupby(["level", "strength"]):
            levels.append((level, strength, flagged(table)))
        for level, strength, found in sorted(levels, key=lambda entry: entry[0]):
            low, high = binomtest(int(found.sum()), len(found)).proportion_ci(0.95)
            more, fewer = int((found & ~clean).sum()), int((clean & ~found).sum())
            p = binomtest(more, more + fewer).pvalue if more + fewer else 1.0
            row = {"corruption": kind, "level": level, "strength": strength, "tested": len(found)}
            row |= {"realised": found.mean(), "low": float(low), "high": float(high), "all_frames": all_frames}
            rows.append(row | {"p": p if level else float("nan")})
    table = pd.DataFrame(rows)
    corrupted = table["level"] > 0
    table.loc[corrupted, "p_holm"] = comparisons.holm(table.loc[corrupted, "p"].to_numpy())
    return table[columns]


def finding_under_corruption(table: pd.DataFrame) -> str:
    """From `under_corruption`: under what the share of flagged real people rises or falls, in Markdown."""
    clean, cells = table[table["level"] == 0].iloc[0], table[table["level"] > 0]
    clear = cells[cells["p_holm"] < SIGNIFICANT]
    text = (
        f"Of the {clean['tested']} people {100 * clean['realised']:.0f} % are flagged in the videos as they are; with "
        f"all frames of the same videos, as in notebook 5, it is {100 * clean['all_frames']:.0f} %. "
    )
    parts = []
    for word, rows, extreme in (
        ("rises", clear[clear["realised"] > clean["realised"]], "idxmax"),
        ("falls", clear[clear["realised"] < clean["realised"]], "idxmin"),
    ):
        parts.append(f"**{word} significantly in {len(rows)} of {len(cells)}** cells")
        if len(rows):
            most = rows.loc[getattr(rows["realised"], extreme)()]
            title = corruptions.CORRUPTIONS[most["corruption"]].title
            parts[-1] += f" (most with {title}, level {most['level']}: {100 * most['realised']:.0f} %)"
    highest = cells.loc[cells["realised"].idxmax()]
    return (
        f"{text}Corrupted, the share {' and '.join(parts)}, after Holm's correction. The highest is "
        f"{100 * highest['realised']:.0f} %, with {corruptions.CORRUPTIONS[highest['corruption']].title}, level "
        f"{highest['level']}."
    )


def by_level(table: pd.DataFrame) -> pd.DataFrame:
    """`under_corruption` as a table to read: a row a corruption, a column a level."""
    cells = [
        {"corruption": corruptions.CORRUPTIONS[row.corruption].title}
        | {"level": "as they are" if row.level == 0 else str(row.level)}
        | {"share": f"{100 * row.realised:.0f} % ({100 * row.low:.0f} to {100 * row.high:.0f})"}
        for row in table.itertuples()
    ]
    wide = pd.DataFrame(cells).pivot_table(index="corruption", columns="level", values="share", aggfunc="first")
    order = ["as they are", *sorted(column for column in wide.columns if column != "as they are")]
    return wide.reindex(pd.unique(pd.DataFrame(cells)["corruption"]))[order].reset_index()
