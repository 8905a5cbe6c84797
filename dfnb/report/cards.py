"""The model card and the data card, in Markdown: what this is for, what it can't do, whose terms bind.

Their words are in the templates beside this module; numbers come from the published files in `figures/`, and a file
that isn't there leaves its sentence out. Headings follow Mitchell et al. 2019 (model cards, arXiv:1810.03993) and Gebru
et al. 2021 (datasheets, arXiv:1803.09010).
"""

import json
from pathlib import Path

import pandas as pd

from dfnb.analysis import photographs, who
from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.plots.page import render
from dfnb.plots.style import look

HERE = Path(__file__).parent
MODEL, DATA = "MODEL_CARD.md", "DATA_CARD.md"
STRENGTHS = {  # what the number of a corruption's strength means
    "h264": "H.264 at CRF",
    "jpeg": "JPEG quality",
    "blur": "blur, px,",
    "resize": "resized to",
    "noise": "noise, levels,",
    "dark": "darker, stops,",
}
BLENDS = {
    "own face, 5 % brighter": "A harmless edit with a blending edge (the person's own face, 5 % brighter)",
    "swap, redrawn whole": "A forgery without an edge (another person, drawn whole)",
}


def write(root: Path) -> list[Path]:
    """Write both cards into the project's folder from its `figures/`. Returns the files."""
    made = {root / MODEL: model_card(root / "figures"), root / DATA: data_card(root / "figures")}
    for path, text in made.items():
        files.write_text(path, text)
    return list(made)


def model_card(figures: Path) -> str:
    """The model card of the published run. Raises UserError where its results are missing."""
    record, results, coverage = _record(figures), _table(figures, "results"), _table(figures, "coverage")
    if results is None:
        raise UserError(f"{figures / 'results.csv'}: missing, so there is no run to describe; publish one first")
    final = results["network"].iloc[-1]
    train = record["profile"]["train"]
    by_manipulation, curves, blends = (
        _table(figures, name, final) for name in ("auc-by-manipulation", "robustness", "blending")
    )
    errors, flagged = _table(figures, "errors-by-person", final), _table(figures, "flagged-photographs")
    strongest = None if curves is None else curves[curves["level"] == curves["level"].max()]
    rule = record["profile"]["evaluate"]["size_rule"]
    shown = results["level"].eq("video") & results["size_rule"].eq(rule) & results["network"].eq(final)
    return render(
        HERE / "model_card.md.j2",
        rendered=record["embedded_benchmark"],
        profile=record["profile"],
        environment=record["environment"],
        length=f"{train['steps']} steps" if train["steps"] else f"{train['epochs']} epochs",
        trained_on=None if coverage is None else coverage[coverage["part"] == "train"],
        label=look(final).label,
        results=results[shown],
        hardest=None if by_manipulation is None else by_manipulation.loc[by_manipulation["auc"].idxmin()],
        intact=None if curves is None else curves[curves["level"] == 0].iloc[0],
        degraded=None if strongest is None else strongest.sort_values("auc"),
        strengths=STRENGTHS,
        limits=who.LIMITS,
        people=None if errors is None else (who.readable(errors), who.finding(errors)),
        flagged=flagged,
        photographs=None if flagged is None else (photographs.readable(flagged), photographs.finding(flagged)),
        blends=[] if blends is None else [(row, BLENDS[row.kind]) for row in blends.itertuples() if row.kind in BLENDS],
    )


def data_card(figures: Path) -> str:
    """The data card: the embedded benchmark and the real sets; what the published run found is beside its kind.

    Raises UserError where the record is missing.
    """
    record = _record(figures)
    return render(
        HERE / "data_card.md.j2",
        rendered=record["embedded_benchmark"],
        demo=record["profile"]["demo"],
        catalogue=_table(figures, "catalogue"),
        coverage=_table(figures, "coverage"),
    )


def _record(figures: Path) -> dict:
    path = figures / "results.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: can't be read ({error}); publish a run first") from error


def _table(figures: Path, name: str, network: str | None = None) -> pd.DataFrame | None:
    """A published table, or its rows of one network; None where there are none."""
    path = figures / f"{name}.csv"
    if not path.is_file():
        return None
    table = files.read_csv(path, "restore it, or publish a run")
    rows = table if network is None else table[table["network"] == network]
    return rows if len(rows) else None
