"""The model card and the data card, in Markdown: what this is for, what it can't do, whose terms bind.

Numbers come from the published files in `figures/`; a file that isn't there leaves its sentence out. Headings follow
Mitchell et al. 2019 (model cards, arXiv:1810.03993) and Gebru et al. 2021 (datasheets, arXiv:1803.09010).
"""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from dfnb.common.errors import UserError
from dfnb.plots.style import look

MODEL, DATA = "MODEL_CARD.md", "DATA_CARD.md"
MADE = "<!-- written by `dfnb report --publish` from figures/; change dfnb/report/templates/, not this file -->"
NOTICE = (
    "> **The published networks have only ever seen rendered heads. They are not valid for videos of real people,\n"
    "> and their numbers say nothing about real deepfakes.**\n\n"
)


def write(root: Path) -> list[Path]:
    """Write both cards into the project's folder from its `figures/`. Returns the files."""
    from dfnb.common import files

    made = {root / MODEL: model_card(root / "figures"), root / DATA: data_card(root / "figures")}
    for path, text in made.items():
        files.write_text(path, text)
    return list(made)


def model_card(figures: Path) -> str:
    """The model card of the published run. Raises UserError where its results are missing."""
    record, results = _record(figures), _table(figures, "results")
    if results is None:
        raise UserError(f"{figures / 'results.csv'}: missing, so there is no run to describe; publish one first")
    final = results["network"].iloc[-1]
    model, train = record["profile"]["model"], record["profile"]["train"]
    rendered = record["embedded_benchmark"]
    return _filled(
        "model_card",
        notice=NOTICE if rendered else "",
        profile=record["profile"]["name"],
        backbone=model["backbone"],
        size=model["size"],
        length=f"{train['steps']} steps" if train["steps"] else f"{train['epochs']} epochs",
        batch=train["batch"],
        optimizer=train["optimizer"],
        seeds=", ".join(map(str, train["seeds"])),
        torch=record["environment"]["versions"]["torch"],
        hardware=record["environment"]["hardware"],
        training=_training(figures, rendered),
        final=look(final).label + (", rendered heads" if rendered else ""),
        results=_results(results, final),
        failures=_failures(figures, final),
    )


def data_card(figures: Path) -> str:
    """The data card: the embedded benchmark and the real sets; what the published run found stands with its kind.

    Raises UserError where the record is missing.
    """
    record, table = _record(figures), _table(figures, "catalogue")
    catalogue, coverage = _markdown(table) if table is not None else "Not published.", _coverage(figures)
    real, demo = "", record["profile"]["demo"]
    if not record["embedded_benchmark"]:
        real = f"The published run has of them:\n\n{catalogue}\n\n{coverage}\n\n"
        catalogue = coverage = "Not published: the published run reads [the real sets](#the-real-sets)."
    return _filled(
        "data_card",
        catalogue=catalogue,
        coverage=coverage,
        real=real,
        side=demo["size"],
        **{key: demo[key] for key in ("frames", "fps", "wide", "seed")},
    )


def _filled(name: str, **values: Any) -> str:
    texts = resources.files("dfnb") / "report" / "templates"
    card, terms = ((texts / f"{part}.md").read_text(encoding="utf-8") for part in (name, "licences"))
    return f"{MADE}\n{card.format(terms=terms.strip(), **values)}"


def _record(figures: Path) -> dict:
    path = figures / "results.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: can't be read ({error}); publish a run first") from error


def _table(figures: Path, name: str) -> pd.DataFrame | None:
    path = figures / f"{name}.csv"
    return pd.read_csv(path) if path.is_file() else None


def _markdown(table: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + "---|" * len(table.columns)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False))])


def _training(figures: Path, rendered: bool) -> str:
    coverage = _table(figures, "coverage")
    if coverage is None:
        return "Real faces of the profile's training part."
    own = coverage[coverage["part"] == "train"]
    where = own["dataset"].iloc[0]
    heads = " (rendered heads)" if rendered else ""
    return f"{own['faces'].sum()} real faces of {own['videos_with_face'].sum()} videos of {where}{heads}."


def _results(results: pd.DataFrame, final: str) -> str:
    own = results[(results["network"] == final) & (results["level"] == "video") & results["size_rule"].astype(bool)]
    seeds = own["seed"].nunique() > 1
    rows = [
        {
            "set": row.dataset + (f", seed {row.seed}" if seeds else ""),
            "AUC": f"{row.auc:.3f} ({row.low:.3f} to {row.high:.3f})",
        }
        | {"real videos": row.real, "fake videos": row.fake}
        for row in own.itertuples()
    ]
    return _markdown(pd.DataFrame(rows))


def _failures(figures: Path, final: str) -> str:
    said, label = [], look(final).label
    kinds = _table(figures, "auc-by-manipulation")
    if kinds is not None and (kinds["network"] == final).any():
        own = kinds[kinds["network"] == final]
        row = own.loc[own["auc"].idxmin()]
        said.append(f"**Hardest manipulation**: {row['dataset']}, AUC {_interval(row)}.")
    worse = _table(figures, "robustness")
    if worse is not None and (worse["network"] == final).any():
        own = worse[worse["network"] == final]
        ends = own[own["level"] == own["level"].max()].sort_values("auc")
        start = own.loc[own["level"] == 0].iloc[0]
        fall = "; ".join(
            f"{_KINDS.get(row.corruption, row.corruption)} {row.strength:g}: {row.auc:.3f} ({row.low:.3f} to "
            f"{row.high:.3f})"
            for row in ends.itertuples()
        )
        said.append(
            f"**Bad copies**: from {start['auc']:.3f} on the videos as they are, at the strongest level tested to "
            f"{fall}."
        )
    blends = _table(figures, "blending")
    if blends is not None and (blends["network"] == final).any():
        own = blends[blends["network"] == final].set_index("kind")
        kinds_ = {
            "own face, 5 % brighter": "A harmless edit with a blending edge (the person's own face, 5 % brighter)",
            "swap, redrawn whole": "A forgery without an edge (another person, drawn whole)",
        }
        for kind, words in kinds_.items():
            if kind in own.index:
                said.append(
                    f"**{words}** is scored above a real video in {own.loc[kind, 'auc']:.0%} of pairs "
                    f"({own.loc[kind, 'low']:.0%} to {own.loc[kind, 'high']:.0%}); 50% is no difference."
                )
    said.append("**Faces not found** give no score; videos without any count as 0.5 in the tables.")
    said.append(
        "**Without a network trained on the material at hand** scores drift: a threshold fixed elsewhere doesn't hold."
    )
    return f"Measured for {label}:\n\n" + "\n".join(f"- {line}" for line in said)


_KINDS = {
    "h264": "H.264 at CRF",
    "jpeg": "JPEG quality",
    "blur": "blur, px,",
    "resize": "resized to",
    "noise": "noise, levels,",
    "dark": "darker, stops,",
}


def _interval(row: pd.Series) -> str:
    return f"{row['auc']:.3f} ({row['low']:.3f} to {row['high']:.3f})"


def _coverage(figures: Path) -> str:
    coverage = _table(figures, "coverage")
    if coverage is None:
        return "Not published."
    videos, kept, lost = (int(coverage[c].sum()) for c in ("listed", "videos_with_face", "lost"))
    frames, seen = int(coverage["frames"].sum()), int(coverage["frames_with_face"].sum())
    return (
        f"Of the {videos} videos the run reads, {kept} have a face in the store and {lost} were lost; dlib's finder "
        f"sees a face in {seen} of {frames} frames ([figures/coverage.csv](figures/coverage.csv))."
    )
