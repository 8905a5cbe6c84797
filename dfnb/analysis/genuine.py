"""What each choice of the generator gives on genuine fakes: a published search (`dfnb search`) and its finals.

The faces may not be handed out, so most readers see the published numbers: `figures/genuine-search.csv`, with
genuine-search.json (plan, versions, hardware), and `figures/genuine-finals.csv`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dfnb.analysis.findings import Difference
from dfnb.common import files
from dfnb.plots.style import INK, Plot, new_figure, styled
from dfnb.profile import resolve

KINDS = {
    "dfdc": ("DFDC crops", "#0072b2", "o"),
    "ff-c40": ("FF++ c40 clips", "#d55e00", "s"),
    "forged": ("our forgeries", "#009e73", "^"),
}  # of the published search: label, colour, marker


class Published(NamedTuple):
    """A search as `dfnb search` wrote it, and the comparisons of its best with three seeds (`checkpoints.compare`).

    trials: of search.csv, the finished ones; record: search.json; finals: with the columns recipe and reference before
    those of `compare`. All empty where nothing is published.
    """

    trials: pd.DataFrame
    record: dict[str, Any]
    finals: pd.DataFrame


def published(folder: Path = Path("figures")) -> Published:
    """Read them. Raises UserError where a table is damaged."""
    at = resolve(folder)
    paths = [at / name for name in ("genuine-search.csv", "genuine-finals.csv")]
    if not all(path.is_file() for path in paths):
        return Published(pd.DataFrame(), {}, pd.DataFrame())
    trials, finals = (files.read_csv(path, "restore it") for path in paths)
    finished = trials[trials["state"] == "finished"]
    return Published(finished, files.read_json(at / "genuine-search.json"), finals)


def made(found: Published) -> str:
    """How and on what the search was made, in a sentence."""
    plan, about = found.record["plan"], found.record["environment"]
    return (
        f"{len(found.trials)} trainings of {plan['steps']} steps, seed {plan['seed']}, on DFDC crops, 4,000 training "
        f"faces, {about['hardware'].split(',')[0]}, torch {about['versions']['torch']}. Judged on 350 + 350 "
        "development faces of DFDC crops, 50 FF++ c40 clips, and forgeries of the real development faces."
    )


def chart(trials: pd.DataFrame) -> Plot:
    """AUC of every trial by kind of fake, and the mean; the best on top."""
    ordered = trials.sort_values("mean", ascending=False).reset_index(drop=True)
    names = [_name(row) for _, row in ordered.iterrows()]
    with styled():
        figure = new_figure(1.4 + 0.36 * len(ordered))
        axes = figure.subplots()
        for k, (kind, (label, colour, marker)) in enumerate(KINDS.items()):
            y = np.arange(len(ordered)) + 0.18 * (k - 1)
            axes.plot(ordered[f"kind_{kind}"], y, marker, color=colour, ms=5.5, ls="", label=label)
        axes.plot(ordered["mean"], range(len(ordered)), "|", color=INK, ms=15, mew=2.2, ls="", label="mean")
        axes.axvline(0.5, color=INK, lw=0.8, ls=(0, (2, 3)))
        axes.set_yticks(range(len(ordered)), names)
        axes.set(ylim=(len(ordered) - 0.4, -0.6), xlabel="AUC (0.5: chance)")
        axes.tick_params(axis="y", length=0)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9.5)
    summary = "; ".join(f"{name}: {mean:.3f}" for name, mean in zip(names, ordered["mean"], strict=True))
    columns = ["trial", "name", "changed", *(f"kind_{kind}" for kind in KINDS), "mean", "worst"]
    return Plot(figure, ordered[columns], f"AUC of {len(names)} settings on three kinds of fakes; means: {summary}.")


def settings(trials: pd.DataFrame, keys: Iterable[str]) -> pd.DataFrame:
    """What each trial changed against the first, in words, with its AUC: a row a trial, the best first.

    keys: of the settings that the search's space holds, which are columns of the table.
    """
    first, rows = trials.iloc[0], []
    for _, row in trials.sort_values("mean", ascending=False).iterrows():
        words = [_in_words(key, row[key]) for key in keys if str(row[key]) != str(first[key])]
        words += [row["changed"]] if isinstance(row["changed"], str) else []
        about = {"name": _name(row), "changed": "; ".join(words) or "nothing"}
        rows.append(about | {KINDS[kind][0]: row[f"kind_{kind}"] for kind in KINDS} | {"mean": row["mean"]})
    return pd.DataFrame(rows)


def _name(trial: pd.Series) -> str:
    """Of a start as the plan has it; what Optuna proposed has a number."""
    return trial["name"] if isinstance(trial["name"], str) else f"proposed, {trial['trial']}"


def _in_words(key: str, value: Any) -> str:
    """Such as "sbi.fakes: 0.5 self-blended, 0.5 edgeless"; value: as search.csv has it, lists and mappings as JSON."""
    read = json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value
    if isinstance(read, dict):
        read = ", ".join(f"{name.removesuffix('_probability')} {given:g}" for name, given in read.items()) or "none"
    elif isinstance(read, list):
        read = ", ".join(f"{share:g} {name}" for name, share in read)
    return f"{key}: {read}"


def readable(finals: pd.DataFrame) -> pd.DataFrame:
    """The finals as a reader wants them: a row a comparison and kind."""
    rows = []
    for row in finals.itertuples():
        kind = KINDS[row.kind][0] if row.kind in KINDS else row.kind
        rows.append(
            {"recipe": row.recipe, "against": row.reference, "kind": kind, "AUC": f"{row.auc:.3f}"}
            | {"AUC of the other": f"{row.reference_auc:.3f}"}
            | {"difference (95 %)": str(Difference(row.difference, row.low, row.high))}
            | {"AUC of averaged scores": f"{row.averaged_auc:.3f}", "seeds": f"{row.seeds} and {row.reference_seeds}"}
        )
    return pd.DataFrame(rows)


def finding(finals: pd.DataFrame) -> str:
    """Which differences of the means are clear, in Markdown."""
    if finals.empty:
        return "No comparison is published."
    lines = []
    for row in finals[finals["kind"] == "mean"].itertuples():
        difference = Difference(row.difference, row.low, row.high)
        better = difference.read(f"{row.recipe} is better", f"{row.reference} is better")
        lines.append(f"- {row.recipe} against {row.reference} {difference}: {better}")
    return "Mean over the three kinds:\n\n" + "\n".join(lines)
