"""What a sweep found: this machine's, or the published one. Its tables, and which of its differences count."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dfnb.analysis import findings, studies
from dfnb.common import files
from dfnb.experiment import sweep_plan
from dfnb.plots.style import look
from dfnb.plots.tables import set_name
from dfnb.profile import resolve
from dfnb.scoring import comparisons

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

FILES = ("sweep.csv", "sweep-differences.csv", "sweep.json")


@dataclass(frozen=True)
class Swept:
    """A sweep's files. record: sweep.json, empty where there is no sweep for this run."""

    record: dict[str, Any]
    table: pd.DataFrame
    differences: pd.DataFrame
    published: bool
    same_base: bool  # whether its unchanged networks are those of this run
    folder: Path | None = None  # where its files lie

    def __bool__(self) -> bool:
        return bool(self.record)

    def spread(self, part: str) -> comparisons.SeedSpread | None:
        """The spread over seeds on a part; None where the sweep is of another base, or has one seed."""
        if not self or not self.same_base:
            return None
        return comparisons.seed_spread(seeds_of(self.table)[lambda t: t["part"] == part])

    def made(self) -> str:
        """How and on what it was made, and what is missing, in a sentence; empty where there is no sweep."""
        if not self:
            return ""
        missing = len(self.record["missing"])
        text = studies.made("sweep", self.record, self.table, self.published)
        text += f" {missing} of its {self.record['cells']} cells are missing." if missing else ""
        return text + ("" if self.same_base else " Trained with other settings than this run's networks.")


def swept(run: "Run") -> Swept:
    """The sweep that belongs to a run: one on this machine with the same base, else the published one.

    A published sweep of another base is shown only where it and the run are both of the embedded benchmark: its numbers
    never stand among those of real sets. Without any sweep the result is empty (false).
    Raises UserError where a table of the sweep is damaged.
    """
    mine = sweep_plan.same_base(run.profile)
    for path in sorted(resolve(run.profile.runs).glob("*/sweep.json")):
        if (found := _read(path.parent, False, mine)).same_base:
            return found
    found = _read(resolve(Path("figures")), True, mine)
    if found and (found.same_base or (run.embedded and found.record["embedded_benchmark"])):
        return found
    return Swept({}, pd.DataFrame(), pd.DataFrame(), False, False)


def _read(folder: Path, published: bool, mine: str) -> Swept:
    if not all((folder / name).is_file() for name in FILES):
        return Swept({}, pd.DataFrame(), pd.DataFrame(), published, False)
    record = files.read_json(folder / "sweep.json")
    texts = {"asked": str, "same_as": str, "taps": str}
    table, differences = (files.read_csv(folder / name, studies.REMEDY, dtype=texts) for name in FILES[:2])
    return Swept(record, table, differences, published, record.get("same_base") == mine, folder)


def seeds_of(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `Sweep.table` whose networks are unchanged but for the seed."""
    return table[(table["asked"] == "nothing") | table["asked"].str.match(r"seed \S+ instead of \S+$")]


def seeds(found: Swept) -> pd.DataFrame:
    """Spread over seeds beside the sampling interval: a row per network and set.

    Columns: network, set, seeds, mean AUC, sd over seeds, lowest, highest, half-width of one training's 95 % interval.
    """
    rows = []
    trained = seeds_of(found.table)
    trained = trained.assign(set=set_name(trained))
    for (network, where), cells in trained.groupby(["network", "set"], sort=False):
        values = cells["auc"]
        rows.append(
            {"network": look(network).label, "set": where, "seeds": len(cells), "mean AUC": values.mean()}
            | {"SD over seeds": values.std(ddof=1) if len(cells) > 1 else np.nan}
            | {"lowest": values.min(), "highest": values.max()}
            | {"half-width of one 95 % interval": ((cells["high"] - cells["low"]) / 2).mean()}
        )
    return pd.DataFrame(rows)


def changing(found: Swept, *settings: str) -> pd.DataFrame:
    """The differences whose variation changes one of these settings, such as "arcface.margin"; maybe none."""
    plan = found.record["plan"]["variations"] if found else []
    names = [variation["name"] for variation in plan if set(variation["change"]) & set(settings)]
    if not len(found.differences):
        return found.differences
    return found.differences[found.differences["variation"].isin(names)]


def readable(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences as a table to read: what was changed, network, set, AUC, the unchanged network's, difference, p."""
    table = pd.DataFrame(
        {
            "changed": rows["asked"],
            "network": [look(name).label for name in rows["network"]],
            "set": set_name(rows),
            "AUC": rows["auc"],
            "unchanged": rows["reference_auc"],
            "difference": rows["difference"],
            "95 % from": rows["low"],
            "to": rows["high"],
            "smallest that could be seen": comparisons.smallest_of(rows["low"], rows["high"]),
            "p, corrected": rows["p_holm"],
            "seeds": [f"{row.seeds} and {row.reference_seeds}" for row in rows.itertuples()],
        }
    )
    return table.reset_index(drop=True)


def questions(found: Swept) -> pd.DataFrame:
    """Every variation of the sweep: its question, what it changes and holds fixed, and whether it is finished."""
    plan = pd.DataFrame(found.record["plan"]["variations"])[["name", "question"]]
    first = found.table.drop_duplicates("variation").set_index("variation")
    state = ["finished" if name in first.index else "missing" for name in plan["name"]]
    changed, fixed = ([first[column].get(name, "") for name in plan["name"]] for column in ("asked", "held"))
    return plan.assign(changed=changed, fixed=fixed, state=state).drop(columns="name")


def finding(found: Swept, rows: pd.DataFrame) -> str:
    """Which changes of the AUC are significant. rows: from `changing`."""
    if not found:
        return "This run has no sweep to show: `dfnb sweep` trains it (hours on a CPU), and this section fills."
    if rows.empty:
        return f"No cell of this question is finished. {found.made()}"
    changed = zip(rows["asked"], rows["network"], set_name(rows), strict=True)
    return findings.significant(rows, [f"{look(name).label}, {where}, {what}:" for what, name, where in changed])


def seeds_finding(found: Swept, reference: str) -> str:
    """Which networks differ significantly from the reference over all seeds, on each set."""
    rows = found.differences
    if found:
        rows = rows[(rows["variation"] == sweep_plan.BASE) & (rows["reference"] == reference)]
        rows = rows.assign(asked=f"instead of {look(reference).label}")
    return finding(found, rows)
