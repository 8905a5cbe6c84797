"""Sentences made from numbers, in Markdown: what a result shows and what it doesn't. Nothing here is typed by hand."""

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from dfnb.plots.style import look, signed
from dfnb.plots.tables import SHUFFLED, SIGNIFICANT, published

if TYPE_CHECKING:
    from dfnb.experiment.run import Run


def coverage(table: pd.DataFrame) -> str:
    """What `Run.coverage` says: how many videos have a face in the store, and where videos were lost."""
    listed, kept = int(table["listed"].sum()), int(table["videos_with_face"].sum())
    frames, with_face = int(table["frames"].sum()), int(table["frames_with_face"].sum())
    said = f"Of {listed} videos, **{kept}** have at least one face; of {frames} frames looked at, **{with_face}** do"
    said += f" ({100 * with_face / frames:.1f} %)." if frames else "."
    lost = table[table["lost"] > 0]
    if len(lost):
        where = "; ".join(f"{row.lost} of {row.dataset}, {row.method}" for row in lost.itertuples())
        return f"{said} Without a face: {where}. Such a video is scored 0.5, and counted."
    return f"{said} No video was lost."


def differences(table: pd.DataFrame, reference: str, where: str) -> str:
    """What `tables.paired` says: which differences from the reference are significant after Holm's correction."""
    ours = look(reference).label
    known = bool(table["seed_sd"].notna().any())
    seeds = f" and seeds (SD of one AUC {table['seed_sd'].iloc[0]:.3f})" if known else ""
    clear = table[table["p_holm"] < SIGNIFICANT]
    unclear = table[table["p_holm"] >= SIGNIFICANT]
    parts = []
    for row in clear.itertuples():
        side = "better" if row.difference > 0 else "**worse**"
        parts.append(
            f"{ours} is {side} than {look(row.network).label} by {abs(row.difference):.3f} "
            f"(95 % interval of the difference {row.low:.3f} to {row.high:.3f}, corrected p {_p(row.p_holm)})"
        )
    said = f"On {where}: " + "; ".join(parts) + "." if parts else ""
    if len(unclear):
        names = _and([look(name).label for name in unclear["network"]])
        start = f"The difference from {names} is" if len(unclear) == 1 else f"The differences from {names} are"
        where_ = "" if parts else f" on {where}"
        largest = unclear["difference"].abs().max()
        size = f"at most {largest:.3f} in size" if len(unclear) > 1 else f"{largest:.3f} in size"
        how = f"paired, bootstrap over groups{seeds}, Holm's correction over the {len(table)} of this set, 5 % level"
        said += f" {start} **not significant**{where_} ({size}; {how})"
        said += ": these samples can't tell them apart."
    if not known:
        said += " One seed each: what another training would give is **not in these intervals**."
    return said.strip()


def order(results: pd.DataFrame, key: str, paired: pd.DataFrame) -> str:
    """Whether the order of the networks is the paper's, and whether that means anything.

    results: rows of `Run.results` of one set; of several seeds the mean counts. key: "taps" or "arcface", a table of
    the paper. paired: `tables.paired` of these networks on this set.
    """
    where, reported = results["dataset"].iloc[0], published()[key]
    aucs = results.groupby("network")["auc"].mean().to_dict()
    known = [name for name in reported if name in aucs]
    if len(known) < 2:
        return "The run has too few of the paper's networks to compare their order."
    theirs, ours = (sorted(known, key=values.__getitem__) for values in (reported, aucs))
    said = f"The paper's order is {_less(theirs, reported)}; on {where} it is {_less(ours, aucs)}. "
    wrong = [
        (a, b) for i, a in enumerate(theirs) for b in theirs[i + 1 :] if aucs[a] > aucs[b] and reported[a] < reported[b]
    ]
    if wrong:
        pairs = _and([f"{look(a).label} above {look(b).label}" for a, b in wrong])
        said += f"So this run **contradicts the paper's order** ({pairs})."
    elif any(aucs[a] == aucs[b] for a, b in itertools.pairwise(ours)):
        said += "Ties leave the paper's order neither shown nor contradicted."
    else:
        said += "The order is the paper's."
    unclear = paired[paired["network"].isin(known) & (paired["p_holm"] >= SIGNIFICANT)]
    if len(unclear):
        said += " With differences that aren't significant, either order may be chance."
    return said


def separation(tables: Mapping[str, pd.DataFrame], centres: Mapping[str, float]) -> str:
    """Which head separates the classes more: `embedding.separation` by network name, and the angle of the centres."""
    fakes = {name: t[t["group"] != "real"] for name, t in tables.items()}
    overall = {name: t["d_prime"].iloc[0] for name, t in fakes.items()}
    said = "; ".join(
        f"{look(name).label}: d′ = **{minus(value)}**, centres {centres[name]:.0f}° apart"
        for name, value in overall.items()
    )
    best, worst = max(overall, key=overall.__getitem__), min(overall, key=overall.__getitem__)
    more = overall[best] - overall[worst]
    said += f". By this number {look(best).label} separates real and fake faces more ({more:+.2f})."
    hardest = {name: t.loc[t["d_prime"].idxmin(), "group"] for name, t in fakes.items() if t["d_prime"].notna().any()}
    groups = {name for name in hardest.values() if name != "all fakes"}
    if groups:
        said += f" Nearest to the real faces: {_and(sorted(groups))}."
    return (
        said + " These are faces, not videos, and the frames of a video resemble each other: read d′ as a description."
    )


def agreement(table: pd.DataFrame, what: str) -> str:
    """Whether the first map of `attention_maps.compare_maps` agrees with the masks better than a map of ones does."""
    first = table.iloc[0]
    said = f"Against {what}, the map of {first['map']} has a mean IoU of **{first['iou']:.3f}**, "
    said += f"a map of ones {first['iou'] - first['above']:.3f}: "
    if first["low"] > 0:
        said += f"better by {first['above']:.3f} ({first['low']:.3f} to {first['high']:.3f})."
    elif first["high"] < 0:
        said += f"**worse** by {-first['above']:.3f} ({-first['high']:.3f} to {-first['low']:.3f})."
    else:
        said += f"a difference of {first['above']:+.3f} that may be chance ({first['low']:.3f} to {first['high']:.3f})."
    other = table[table["map"] == SHUFFLED]
    if len(other):
        gap = first["iou"] - other["iou"].iloc[0]
        said += f" Against the masks of *other* faces the same map has {other['iou'].iloc[0]:.3f}"
        said += (
            ": it knows where faces usually are, and little more of this one." if gap < 0.02 else f", {gap:.3f} less."
        )
    if pd.notna(first["pixel_auc"]):
        said += f" A pixel inside is ranked above one outside in {first['pixel_auc']:.0%} of pairs (chance: 50 %)."
    return said


def size_rule(results: pd.DataFrame, reference: str) -> str:
    """What dropping faces under half the area of the frame's largest does to one network's video AUC."""
    own = results[(results["network"] == reference) & (results["level"] == "video")]
    table = own.pivot_table(index="dataset", columns="size_rule", values="auc", sort=False)
    parts = [f"{name} {row[False]:.3f} to {row[True]:.3f}" for name, row in table.iterrows()]
    return (
        f"With the rule the video AUC of {look(reference).label} goes, without → with it, from "
        + "; ".join(parts)
        + "."
    )


def harder_set(results: pd.DataFrame, network: str) -> str:
    """Which test set one network finds harder, Celeb-DF or FFIW, beside the paper's finding.

    results: rows of `Run.results`, one a seed; with several, means. The sets' videos are independent, so the interval
    of the difference is made from theirs (Zou and Donner 2008).
    """
    own = results[results["network"] == network].groupby("part")[["auc", "low", "high"]].mean()
    ours = own["auc"]
    theirs = published()["sets"]
    if not {"celeb-df", "ffiw"} <= set(ours.index):
        return "This run hasn't both sets, so they can't be compared."
    paper_harder, harder = (
        min(theirs, key=theirs.__getitem__),
        "FFIW" if ours["ffiw"] < ours["celeb-df"] else "Celeb-DF",
    )
    said = f"The paper finds {paper_harder} harder. In this run {look(network).label} has "
    said += f"{ours['celeb-df']:.3f} on the Celeb-DF part and {ours['ffiw']:.3f} on the FFIW part: "
    if ours["ffiw"] == ours["celeb-df"]:
        return said + "the same."
    said += "the same order" if harder == paper_harder else "**the other way round**"
    one, other = own.loc["celeb-df"], own.loc["ffiw"]
    low = one["auc"] - other["auc"] - math.hypot(one["auc"] - one["low"], other["high"] - other["auc"])
    high = one["auc"] - other["auc"] + math.hypot(one["high"] - one["auc"], other["auc"] - other["low"])
    said += f" (difference {signed(one['auc'] - other['auc'], 3)}, 95 % interval {signed(low, 3)} to {signed(high, 3)})"
    return said + ("." if low > 0 or high < 0 else ", but the difference is **not significant** and may be chance.")


def supervision(run: "Run") -> str:
    """Whether the run's attention maps were taught, and whether there is an untaught one to compare with."""
    weight = run.profile.train.attention_weight
    if weight == 0:
        return "In this run no map was taught: what is shown above is attention **without** supervision."
    return (
        f"All networks of this run were taught (attention weight {weight:g}). For the maps of untaught ones, "
        'open these cells with `overrides = {"train.attention_weight": 0}`; that run gets a folder of its own. What '
        "teaching does to the AUC is below."
    )


def overlap(results: pd.DataFrame) -> str:
    """How wide the intervals are beside the differences between networks, set by set."""
    said = []
    for dataset, own in results.groupby("dataset", sort=False):
        half = ((own["high"] - own["low"]) / 2).mean()
        said.append(f"{dataset}: ±{half:.3f}, networks from {own['auc'].min():.3f} to {own['auc'].max():.3f}")
    return "Half-width of the 95 % intervals, on average, and range of the networks: " + "; ".join(said) + "."


def _less(names: list[str], values: Mapping[str, float]) -> str:
    said = look(names[0]).label
    for before, name in itertools.pairwise(names):
        said += f" {'=' if values[before] == values[name] else '<'} {look(name).label}"
    return said


def minus(value: float) -> str:
    """Two decimals, with a true minus sign."""
    return f"{value:.2f}".replace("-", "−")


def _and(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"
