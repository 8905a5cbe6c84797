"""What a sweep found: this machine's, or the published one. Its tables, and which of its differences count."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dfnb.analysis import findings, studies
from dfnb.common import files
from dfnb.experiment import sweep_plan
from dfnb.plots.style import look, with_interval
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
    otherwise: str = ""  # how its base's settings differ from this run's, where they do and are recorded

    def __bool__(self) -> bool:
        return bool(self.record)

    def spread(self, part: str) -> comparisons.SeedSpread | None:
        """The spread over seeds on a part; None where the sweep is of another base, or has one seed."""
        if not self or not self.same_base:
            return None
        return comparisons.seed_spread(seeds_of(self.table)[lambda t: t["part"] == part])

    def made(self) -> str:
        """How and on what it was made, and what is missing, in sentences; empty where there is no sweep."""
        if not self:
            return ""
        missing, then = len(self.record["missing"]), "" if self.same_base else ", as it was then"
        record = self.record | {"base": self.record["base"] + then}
        text = studies.made("sweep", record, self.table, self.published)
        text += f" {missing} of its {self.record['cells']} cells are missing." if missing else ""
        if self.same_base:
            return text
        differing = f": {self.otherwise}" if self.otherwise else "; which ones isn't recorded"
        return f"{text} Its unchanged networks were trained with **other settings** than this run's{differing}."

    def source(self) -> str:
        """The same in a few words, for captions."""
        otherwise = "" if self.same_base else ", trained with other settings than this run"
        return f"{studies.whose('sweep', self.published)}{otherwise}."


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
        recorded = None if found.same_base else found.record.get("settings")
        differing = sweep_plan.changed_since(recorded, run.profile) if recorded else []
        return replace(found, otherwise="; ".join(differing))
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
            "changed": rows["label"],
            "network": [look(name).label for name in rows["network"]],
            "set": set_name(rows),
            "AUC": rows["auc"],
            "unchanged": rows["reference_auc"],
            "difference (95 %)": list(map(with_interval, rows["difference"], rows["low"], rows["high"])),
            "smallest that could be seen": comparisons.smallest_of(rows["low"], rows["high"]),
            "p, corrected": rows["p_holm"],
            "seeds": [f"{row.seeds} and {row.reference_seeds}" for row in rows.itertuples()],
        }
    )
    return table.reset_index(drop=True)


def questions(found: Swept) -> pd.DataFrame:
    """Every variation of the sweep: its question, what it changes, and how charts and tables call it."""
    plan = pd.DataFrame(found.record["plan"]["variations"])[["name", "question", "label"]]
    asked = found.table.drop_duplicates("variation").set_index("variation")["asked"]
    plan.insert(2, "changed", [asked.get(name, "not finished") for name in plan["name"]])
    return plan.drop(columns="name").rename(columns={"label": "called"})


def unchanged(found: Swept) -> str:
    """What the sweep's questions hold fixed, each but its own: the settings of the unchanged networks."""
    rest = f"; all else as in profile {found.record['base']}"
    fixed = found.table.loc[found.table["variation"] == sweep_plan.BASE, "held"]
    return fixed.iloc[0].removesuffix(rest) if len(fixed) else "–"


def finding(found: Swept, rows: pd.DataFrame) -> str:
    """Which changes of the AUC are significant. rows: from `changing`."""
    if not found:
        return "This run has no sweep to show: `dfnb sweep` trains it (hours on a CPU), and this section fills."
    if rows.empty:
        return f"No cell of this question is finished. {found.made()}"
    changed = zip(rows["label"], rows["network"], set_name(rows), strict=True)
    return findings.significant(rows, [f"{look(name).label}, {where}, {what}:" for what, name, where in changed])
