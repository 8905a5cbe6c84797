"""What a sweep found, for the notebooks: this machine's own, or the published one; as tables, and as sentences.

Where neither is there, notebooks say so and name the command.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.experiment import sweep_plan
from dfnb.plots.style import look, signed
from dfnb.plots.tables import SIGNIFICANT, set_name
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
        """How and on what it was made, and what is missing, in a sentence."""
        if not self:
            return ""
        about = self.record["environment"]
        whose = "Published sweep" if self.published else "Sweep of this machine"
        said = f"{whose}, profile {self.record['base']}: {self.record['trainings']} trainings in "
        said += (
            f"{self.record['training_seconds'] / 60:.0f} minutes of training (up to {self.record['jobs']} at a time), "
        )
        said += f"{about['hardware'].split(',')[0]}, torch {about['versions']['torch']}."
        missing = len(self.record["missing"])
        return said + (f" {missing} of its {self.record['cells']} cells are missing." if missing else "")

    def absent(self) -> str:
        """What to say instead of a section that needs the sweep."""
        return "This run has no sweep to show: `dfnb sweep` trains it (hours on a CPU), and this section fills."


def swept(run: "Run") -> Swept:
    """The sweep that belongs to a run: one on this machine with the same base, else the published one.

    Another profile's published sweep is shown only where both are of the embedded benchmark: its numbers never stand
    among those of real sets.
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
    try:
        table, differences = (pd.read_csv(folder / name, dtype=texts, keep_default_na=True) for name in FILES[:2])
    except ValueError as error:
        raise UserError(f"{folder}: a table of the sweep is damaged ({error}); run `dfnb sweep --tables`") from None
    return Swept(record, table, differences, published, record.get("same_base") == mine, folder)


def seeds_of(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `Sweep.table` whose networks are unchanged but for the seed."""
    return table[(table["asked"] == "nothing") | table["asked"].str.match(r"seed \S+ instead of \S+$")]


def seeds(found: Swept) -> pd.DataFrame:
    """Spread over seeds beside the sampling interval: a row per network and set.

    Columns: network, set, seeds, mean AUC, sd over seeds, lowest, highest, half-width of one training's 95 % interval.
    """
    rows = []
    own = seeds_of(found.table)
    own = own.assign(set=set_name(own))
    for (network, where), cells in own.groupby(["network", "set"], sort=False):
        values = cells["auc"]
        rows.append(
            {"network": look(network).label, "set": where, "seeds": len(cells), "mean AUC": values.mean()}
            | {"SD over seeds": values.std(ddof=1) if len(cells) > 1 else np.nan}
            | {"lowest": values.min(), "highest": values.max()}
            | {"half-width of one 95 % interval": ((cells["high"] - cells["low"]) / 2).mean()}
        )
    return pd.DataFrame(rows)


def asked(found: Swept, *knobs: str) -> pd.DataFrame:
    """Those differences whose variation changes one of these settings, such as "arcface.margin"; maybe none."""
    plan = found.record["plan"]["variations"] if found else []
    chosen = [one["name"] for one in plan if set(one["change"]) & set(knobs)]
    if not len(found.differences):
        return found.differences
    return found.differences[found.differences["variation"].isin(chosen)]


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences as a table to read: what was asked, network, set, AUC, the unchanged network's, difference, p."""
    table = pd.DataFrame(
        {
            "asked": rows["asked"],
            "network": [look(name).label for name in rows["network"]],
            "set": set_name(rows),
            "AUC": rows["auc"],
            "unchanged": rows["reference_auc"],
            "difference": rows["difference"],
            "95 % from": rows["low"],
            "to": rows["high"],
            "p, corrected": rows["p_holm"],
        }
    )
    return table.reset_index(drop=True)


def knobs(found: Swept) -> pd.DataFrame:
    """Every variation of the sweep: its question, what is asked and what is held fixed, and whether it is finished."""
    plan = pd.DataFrame(found.record["plan"]["variations"])[["name", "question"]]
    first = found.table.drop_duplicates("variation").set_index("variation")
    state = ["finished" if name in first.index else "missing" for name in plan["name"]]
    words = {column: [first[column].get(name, "") for name in plan["name"]] for column in ("asked", "held")}
    return plan.assign(asked=words["asked"], held=words["held"], state=state).drop(columns="name")


def verdict(found: Swept, rows: pd.DataFrame) -> str:
    """Which changes make a difference that is more than chance, set by set; everything else is said not to.

    rows: from `asked`.
    """
    if not found:
        return found.absent()
    if rows.empty:
        return f"No cell of this question is finished. {found.made()}"
    rows = rows.assign(set=set_name(rows))
    clear = rows[rows["p_holm"] < SIGNIFICANT]
    said = []
    for row in clear.itertuples():
        how = "raises" if row.difference > 0 else "lowers"
        said.append(
            f"{row.asked} {how} the AUC of {look(row.network).label} on {row.set} by {abs(row.difference):.3f} "
            f"({signed(row.low, 3)} to {signed(row.high, 3)})"
        )
    text = "; ".join(said) + ". " if said else ""
    text = text[:1].upper() + text[1:]
    unclear = rows[rows["p_holm"] >= SIGNIFICANT]
    if len(unclear):
        largest = unclear["difference"].abs().max()
        text += f"{'The other' if said else 'All'} {len(unclear)} differences are **not significant** (at most "
        text += f"{largest:.3f} in size; 5 % level, Holm's correction over all variations)"
        text += ": with these videos and seeds nothing can be said of them. "
    return text + uncertainty(rows)


def seeds_verdict(found: Swept, network: str) -> str:
    """What seeds do beside sampling, and which networks one network differs from over all seeds."""
    if not found:
        return found.absent()
    spread = seeds(found)
    several = spread[spread["seeds"] > 1]
    if several.empty:
        return f"Only one seed of each network is finished. {found.made()}"
    said = "Spread over seeds (SD) beside the half-width of one training's 95 % interval, by set: "
    said += "; ".join(
        f"{name} {own['SD over seeds'].mean():.3f} beside ±{own['half-width of one 95 % interval'].mean():.3f}"
        for name, own in several.groupby("set", sort=False)
    )
    rows = found.differences[(found.differences["variation"] == sweep_plan.BASE)]
    rows = rows.assign(set=set_name(rows))
    rows = rows[rows["reference"] == network]
    clear = rows[rows["p_holm"] < SIGNIFICANT]
    said += ". "
    if len(clear):
        said += f"Over all seeds {look(network).label} differs significantly from " + "; ".join(
            f"{look(row.network).label} on {row.set} (by {signed(-row.difference, 3)})" for row in clear.itertuples()
        )
        said += ". "
    if len(clear) < len(rows):
        said += (
            f"{len(rows) - len(clear)} of {len(rows)} differences from it are **not significant** (5 % level, Holm). "
        )
    return said + uncertainty(rows)


def uncertainty(rows: pd.DataFrame) -> str:
    """What the intervals of a table of differences take into account."""
    if rows["seed_sd"].isna().all():
        return (
            "The intervals hold for other videos of the same kind (bootstrap over groups). With one seed **nothing is "
            "known of the spread over seeds**, so they are too narrow."
        )
    return (
        f"The intervals take in other videos of the same kind (bootstrap over groups) and other seeds (SD of one AUC "
        f"{rows['seed_sd'].min():.3f} to {rows['seed_sd'].max():.3f} by set, pooled over networks)."
    )
