"""On genuine faces: what more people, a larger input and a longer training bring, and what the benchmark foretells."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import permutation_test, spearmanr

from dfnb.analysis import genuine
from dfnb.analysis.studies import Study, label_of, side_of
from dfnb.plots.style import FAINT, INK, Plot, look, new_figure, signed, styled
from dfnb.scoring import contrasts

PARTS = {"dfdc": ("dfdc-crops",), "ff-c40": ("ff",), "forged": ("swaps", "mouths")}  # test parts of each kind
KINDS = {label: (PARTS[kind], colour, marker) for kind, (label, colour, marker) in genuine.KINDS.items()}
CHANGED = {"people": "people to train on", "size": "input, pixels a side", "steps": "steps of training"}


class Prediction(NamedTuple):
    """Rank correlation of networks' AUCs on two benchmarks. p: two-sided, by permutation."""

    table: pd.DataFrame
    rho: float
    p: float


def points(curve: pd.DataFrame) -> pd.DataFrame:
    """AUC of every training of the curve by kind of fake: changed, value, seed, kind, auc, low, high, pair_accuracy.

    curve: `Sweep.table` of a sweep that changes people, size or steps, one at a time. The unchanged network of the same
    name and seeds is a point of each; intervals and pair accuracies are means over the sets of a kind.
    Empty where the curve is.
    """
    if curve.empty:
        return pd.DataFrame()
    changed = curve[curve["variation"] != "base"]
    names, seeds = set(changed["network"]), set(changed["seed"])
    base = curve[(curve["variation"] == "base") & curve["network"].isin(names) & curve["seed"].isin(seeds)]
    rows = []
    for what in CHANGED:
        others = changed[changed["variation"].str.startswith(f"{what}-")]
        if others.empty:
            continue
        cells = pd.concat([others, base])
        for label, (parts, _, _) in KINDS.items():
            inside = cells[cells["part"].isin(parts)]
            means = inside.groupby([what, "seed"])[["auc", "low", "high", "pair_accuracy"]].mean().reset_index()
            rows.append(means.rename(columns={what: "value"}).assign(changed=what, kind=label))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def chart(found: pd.DataFrame) -> Plot:
    """AUC against people, input size and length of training: a panel each; small marks are trainings, lines means."""
    shown = list(dict.fromkeys(found["changed"]))
    with styled():
        figure = new_figure(3.6)
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, what in zip(panels, shown, strict=True):
            here = found[found["changed"] == what]
            for label, (_, colour, marker) in KINDS.items():
                cells = here[here["kind"] == label]
                means = cells.groupby("value")[["auc", "low", "high"]].mean()
                axes.fill_between(means.index, means["low"], means["high"], color=colour, alpha=0.12, linewidth=0)
                axes.plot(means.index, means["auc"], color=colour, lw=1.8, label=label)
                axes.plot(cells["value"], cells["auc"], marker, color=colour, ms=4.5, ls="")
            axes.axhline(0.5, color=FAINT, lw=0.9, ls=(0, (2, 3)))
            values = sorted(here["value"].unique())
            axes.set_xscale("log")
            axes.set_xticks(values, [f"{value:,.0f}" for value in values], fontsize=9)
            axes.minorticks_off()
            axes.set_xlabel(CHANGED[what])
        panels[0].set_ylabel("AUC")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=len(KINDS), fontsize=9.5)
    summary = "; ".join(
        f"{label}, {CHANGED[what]}: "
        + ", ".join(f"{value:,.0f}: {auc:.3f}" for value, auc in cells.groupby("value")["auc"].mean().items())
        for (what, label), cells in found.groupby(["changed", "kind"], sort=False)
    )
    return Plot(figure, found, f"AUC on genuine fakes against people, input and steps. {summary}.")


def readable(found: pd.DataFrame) -> pd.DataFrame:
    """A row a setting: AUC and pair accuracy by kind, means over seeds; the AUC's interval is that of one training."""
    lines = []
    for (what, value), cells in found.groupby(["changed", "value"], sort=False):
        line = {"changed": CHANGED[what], "value": f"{value:,.0f}", "seeds": cells["seed"].nunique()}
        for label, rows in cells.groupby("kind", sort=False):
            mean = rows[["auc", "low", "high", "pair_accuracy"]].mean()
            line[f"{label}, AUC (95 %)"] = f"{mean['auc']:.3f} ({mean['low']:.3f} to {mean['high']:.3f})"
            line[f"{label}, pairs"] = f"{mean['pair_accuracy']:.3f}"
        lines.append(line)
    return pd.DataFrame(lines).sort_values("changed", kind="stable", ignore_index=True)


def finding(found: pd.DataFrame) -> str:
    """What each value gives, on the mean over the kinds and seeds, in Markdown."""
    if found.empty:
        return "No such curve is here or published: `dfnb sweep --profile curve` makes it."
    texts = []
    for what, cells in found.groupby("changed", sort=False):
        means = cells.groupby("value")["auc"].mean()
        values = ", ".join(f"{value:,.0f}: **{auc:.3f}**" for value, auc in means.items())
        texts.append(f"- {CHANGED[what]}: AUC at {values}")
    missing = [words for what, words in CHANGED.items() if what not in set(found["changed"])]
    text = "Mean over the kinds and seeds (single kinds may differ, see the table):\n\n" + "\n".join(texts)
    return text + (f"\n- **not trained yet**: {', '.join(missing)}" if missing else "")


def prediction(here: Study, genuine: Study) -> Prediction:
    """How well networks' mean AUCs on one study's sets rank those on the other's.

    Networks both have; means over each study's kinds and seeds. Table: network, auc, sd, genuine_auc, genuine_sd.
    """
    tables = []
    for study in (here, genuine):
        aucs = contrasts.kind_aucs(study.table.assign(network=side_of(study.table)), study.kinds())
        tables.append(aucs[contrasts.MEAN].groupby("network", sort=False).agg(["mean", "std"]))
    there = tables[0].index.intersection(tables[1].index, sort=False)
    both = pd.concat([table.loc[there] for table in tables], axis=1).reset_index()
    both.columns = ["network", "auc", "sd", "genuine_auc", "genuine_sd"]
    a, b = both["auc"].to_numpy(), both["genuine_auc"].to_numpy()
    if len(both) < 3:
        return Prediction(both, float("nan"), float("nan"))
    rho = float(spearmanr(a, b).statistic)
    test = permutation_test(
        (a,),
        lambda x: spearmanr(x, b).statistic,
        permutation_type="pairings",
        n_resamples=np.inf,
        alternative="two-sided",
    )
    return Prediction(both, rho, float(test.pvalue))


def prediction_chart(found: Prediction) -> Plot:
    """Each network's AUC on genuine fakes against that on the embedded benchmark; bars: SD over seeds."""
    with styled():
        figure = new_figure(3.9)
        axes = figure.subplots()
        for row in found.table.itertuples():
            style = look(row.network.rsplit("/", 1)[-1])
            axes.errorbar(
                row.auc, row.genuine_auc, xerr=row.sd, yerr=row.genuine_sd, fmt=style.marker, color=style.colour,
                ms=8, elinewidth=1.2, label=label_of(row.network), mfc="white" if "/" in row.network else style.colour,
            )  # fmt: skip
        axes.set(xlabel="embedded benchmark: mean AUC over its sets", ylabel="genuine fakes: mean AUC")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right", fontsize=9)
        axes.tick_params(colors=INK)
    return Plot(figure, found.table, f"Networks on both; rank correlation {found.rho:.2f}, p = {found.p:.2f}.")


def prediction_finding(found: Prediction) -> str:
    """Whether the embedded benchmark ranks networks as genuine fakes do, in Markdown."""
    text = f"Spearman's rank correlation over {len(found.table)} networks: **{signed(found.rho, 2)}** "
    text += f"(p = {found.p:.2f} by permutation)"
    if found.p < 0.05:
        return text + ": the order on one says something of the order on the other."
    return text + ": **the embedded benchmark's order foretells nothing that could be shown here.**"
