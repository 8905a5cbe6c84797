"""The charts of a sweep: spread over seeds beside the sampling interval, and what each change does to the AUC."""

import numpy as np
import pandas as pd

from dfnb.analysis.ablations import seeds_of
from dfnb.plots.style import FAINT, INK, Plot, look, new_figure, signed, styled, with_interval
from dfnb.plots.tables import SIGNIFICANT, set_name


def seeds(table: pd.DataFrame) -> Plot:
    """AUC of every network and seed, a panel a set: small marks are trainings, the thick bar is mean ± SD over seeds,
    the thin bar the 95 % interval of one training (bounds averaged over seeds).

    table: `Sweep.table`.
    """
    trained = seeds_of(table)
    trained = trained.assign(set=set_name(trained))
    trained = trained[trained["part"] != "sbi"] if (trained["part"] != "sbi").any() else trained
    names, sets = list(dict.fromkeys(trained["network"])), list(dict.fromkeys(trained["set"]))
    lowest = max(0.0, min(float(trained["low"].min()), 0.97) - 0.02)
    rows = []
    with styled():
        figure = new_figure(1.0 + 0.55 * len(names))
        panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
        for axes, where in zip(panels, sets, strict=True):
            for y, name in enumerate(names):
                cells = trained[(trained["set"] == where) & (trained["network"] == name)]
                if cells.empty:
                    continue
                style, values = look(name), cells["auc"].to_numpy()
                mean, sd = values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0
                low, high = cells["low"].mean(), cells["high"].mean()
                axes.plot([low, high], [y, y], color=style.colour, lw=1.3, solid_capstyle="butt")
                axes.plot([mean - sd, mean + sd], [y, y], color=style.colour, lw=6, alpha=0.45, solid_capstyle="butt")
                axes.plot(values, np.full(len(values), y + 0.26), style.marker, color=style.colour, ms=4.5, ls="")
                axes.plot(mean, y, style.marker, color=style.colour, ms=7, mec="white", mew=0.8)
                text = f"{mean:.3f}" + (f" ± {sd:.3f}" if len(values) > 1 else "")
                axes.annotate(text, (mean, y), (0, 7), textcoords="offset points", ha="center", fontsize=8.5)
                about = {"set": where, "network": name, "mean": mean, "sd": sd if len(values) > 1 else np.nan}
                rows.append(about | {"seeds": len(values), "low": low, "high": high})
            axes.set(xlim=(lowest, 1.005), ylim=(len(names) - 0.4, -0.6))
            axes.set_title(where, fontsize=12 if len(sets) < 4 else 9.5)
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(names)), [look(name).label for name in names])
        figure.supxlabel("video AUC: mean ± SD over seeds (thick), 95 % interval of one training (thin)", fontsize=11)
    summary = "; ".join(
        f"{row['set']}, {look(row['network']).label}: {row['mean']:.3f} over {row['seeds']} seeds, SD {row['sd']:.3f}"
        for row in rows
    )
    return Plot(figure, pd.DataFrame(rows), f"AUC by network over training seeds. {summary}.")


def effects(rows: pd.DataFrame) -> Plot:
    """What each change does to the AUC, with its 95 % interval, a panel a set; filled marks are significant.

    rows: of `Sweep.differences`, drawn in their order.
    """
    rows = rows.assign(set=set_name(rows))
    several = rows["network"].nunique() > 1
    labels = [f"{row.label}\n{look(row.network).label}" if several else row.label for row in rows.itertuples()]
    rows = rows.assign(line=labels)
    lines, sets = list(dict.fromkeys(labels)), list(dict.fromkeys(rows["set"]))
    with styled():
        figure = new_figure(1.2 + (0.55 if several else 0.42) * len(lines))
        panels = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False)[0]
        for axes, where in zip(panels, sets, strict=True):
            for row in rows[rows["set"] == where].itertuples():
                style, y = look(row.network), lines.index(row.line)
                clear = row.p_holm < SIGNIFICANT
                axes.plot([row.low, row.high], [y, y], color=style.colour, lw=style.width, solid_capstyle="butt")
                axes.plot(
                    row.difference, y, style.marker, color=style.colour, ms=7.5, mew=1.5,
                    mfc=style.colour if clear else "white", zorder=4,
                )  # fmt: skip
                axes.annotate(
                    signed(row.difference, 3), (row.difference, y), (0, 7), textcoords="offset points", ha="center",
                    fontsize=8.5, bbox={"fc": "white", "ec": "none", "pad": 0.5},
                )  # fmt: skip
            axes.axvline(0, color=INK, lw=1.0)
            axes.set_title(where, fontsize=12 if len(sets) < 4 else 9.5)
            axes.set_ylim(len(lines) - 0.4, -0.7)
            axes.margins(x=0.12)
            axes.locator_params(axis="x", nbins=4 if len(sets) < 4 else 2)
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(lines)), lines)
        figure.supxlabel("AUC minus that of the unchanged network (95 %; filled: significant)", fontsize=11)
        figure.supylabel("", color=FAINT)
    summary = "; ".join(
        f"{row.set}, {row.asked}, {look(row.network).label}: {with_interval(row.difference, row.low, row.high)}"
        for row in rows.itertuples()
    )
    rows = rows.rename(columns={"asked": "changed"})
    columns = ["label", "changed", "network", "set", "auc", "reference_auc", "difference", "low", "high", "p", "p_holm"]
    return Plot(figure, rows[columns].reset_index(drop=True), f"Changes of the AUC. {summary}.")
