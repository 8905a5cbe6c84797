"""A sweep: the cells of a plan (`sweep_plan`) trained and scored, what is finished kept, and their table.

    runs/<sweep>/<variation>/      networks and scores of its cells, as in a run
    runs/<sweep>/sweep.csv         AUC of every finished cell by set, with what was asked and what was held fixed
    runs/<sweep>/sweep-differences.csv    every variation against the unchanged networks, and these among themselves
    runs/<sweep>/sweep-contrasts.csv      the plan's questions, over all seeds, by set and on the mean over sets
    runs/<sweep>/sweep.json        how long it took, on what, and which cells are missing

Videos, faces and unchanged networks are those of the base profile's run. Cells whose training is the very same (equal
taps under two readings, say) are trained once.
"""

import logging
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from dfnb.common import environment, files, locks
from dfnb.common.errors import UserError
from dfnb.experiment import sweep_plan
from dfnb.experiment.artefacts import Network
from dfnb.experiment.jobs import finished
from dfnb.experiment.run import Run
from dfnb.experiment.sweep_plan import Plan, Variation
from dfnb.profile import resolve
from dfnb.scoring import comparisons, contrasts, metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """One network and seed of a variation, and the run it is trained in."""

    variation: Variation
    network: Network
    run: Run

    @property
    def name(self) -> str:
        """Such as "margin-0/proposed-arcface-s0"."""
        return f"{self.variation.name}/{self.network.folder}"

    def is_finished(self) -> bool:
        """Whether it is trained and scored on everything."""
        return self.run.is_done(self.network)

    def has_other_pairs(self, part: str) -> bool:
        """Whether a part is held-out SBI pairs, made in another way than the reference's."""
        return part == "sbi" and any(key.startswith("sbi.") for key in self.variation.change)

    def scores(self, part: str) -> pd.DataFrame:
        """Its video scores of a part; held-out SBI pairs by face."""
        read = self.run.scores if part == "sbi" else self.run.video_scores
        return read(part, self.network.name, self.network.seed)

    def finish(self) -> None:
        """Train and score what is missing."""
        self.run.trained(self.network)
        for part in self.run.scored_parts:
            self.run.scores(part, self.network.name, self.network.seed)


class Sweep:
    """The cells of a plan over a base run. Nothing is trained until `work` is called."""

    def __init__(self, plan: Plan, base: Run) -> None:
        self.plan, self.base = plan, base
        name = plan.name if base.profile.name == plan.base else f"{plan.name}-{base.profile.name}"
        self.folder: Path = resolve(base.profile.runs) / name
        unchanged = Variation(name=sweep_plan.BASE, label=f"as in {base.profile.name}", question="the reference")
        self.cells = [Cell(unchanged, network, base) for network in base.networks]
        for variation in plan.variations:
            profile = sweep_plan.applied(variation, base.profile)
            run = Run(profile, self.folder / variation.name, shared=base, build=base.build)
            self.cells += [Cell(variation, network, run) for network in run.networks]
        sides = {_side(cell) for cell in self.cells}
        for asked in plan.contrasts:
            if unknown := {asked.ours, asked.theirs} - sides:
                known = ", ".join(sorted(sides))
                raise UserError(f"sweep {plan.name}: {asked.name}: no network {min(unknown)!r}; it has {known}")

    @cached_property
    def origins(self) -> dict[str, Cell]:
        """Cell name -> the first cell of the very same training, which may be itself: that one is trained."""
        from dfnb import training

        first: dict[tuple[str, int | None], Cell] = {}
        found = {}
        for cell in self.cells:
            network = cell.network
            same = training.same_training(cell.run.profile, network.variant, network.head, network.seed)
            found[cell.name] = first.setdefault((same, cell.run.profile.data.people), cell)
        return found

    def missing(self) -> list[Cell]:
        """The cells still to be trained or scored, in the plan's order (of contrasts by seed), each training once."""
        trained = [cell for cell in self.cells if self.origins[cell.name] is cell]
        if self.plan.contrasts:  # a seed of all networks answers more than all seeds of one
            trained.sort(key=lambda cell: cell.network.seed)
        return [cell for cell in trained if not cell.is_finished()]

    def states(self) -> Iterator[str]:
        """A line a cell: whether it is finished, and which cell is trained in its stead."""
        missing = {cell.name for cell in self.missing()}
        for cell in self.cells:
            origin = self.origins[cell.name]
            state = "missing" if origin.name in missing else "finished"
            yield f"{state}  {cell.name}" + ("" if origin is cell else f" (the same training as {origin.name})")

    def work(self, jobs: int | None = None, threads: int | None = None) -> dict[str, str]:
        """Finish every missing cell, with a progress bar; the table is written anew after each.

        jobs: cells at the same time, in processes of their own; by default as in `Run.at_once`.
        threads: of each; by default the base profile's, else torch's choice for one job, and an equal share of
        the processors for several. They are part of "the same numbers", and in the table.
        Returns cell name -> reason for those that failed; the others go on.
        Raises UserError where another command works in the sweep's folder.
        """
        threads = threads or self.base.profile.threads
        for cell in self.cells:
            cell.run.threads = threads
        for part in self.base.parts:
            self.base.store(part)
        with locks.exclusive(self.folder, "sweeping", ("sweep",)):
            todo, failed = self.missing(), {}
            jobs = jobs or self.base.at_once(len(todo))
            spent, began = self._spent() if todo else None, time.monotonic()
            try:
                with tqdm(total=len(todo), desc=self.plan.name, unit="cell", disable=None) as bar:
                    for cell, reason in finished(todo, jobs, threads, bar):
                        if reason:
                            failed[cell.name] = str(reason)
                            log.warning("%s failed: %s", cell.name, reason)
                        bar.update()
                        self.save(failed, spent + time.monotonic() - began, jobs)
            finally:  # interrupted, too: what is finished is compared
                if not todo:
                    self.save(failed, None, jobs)
                self.compare()
        return failed

    def compare(self) -> None:
        """Write sweep-differences.csv from what is finished."""
        with files.replacing(self.folder / "sweep-differences.csv") as temporary:
            self.differences().to_csv(temporary, index=False)
        if self.plan.contrasts:
            with files.replacing(self.folder / "sweep-contrasts.csv") as temporary:
                self.contrasts().to_csv(temporary, index=False)

    def contrasts(self) -> pd.DataFrame:
        """The plan's questions: a row for each and every kind of test set, and the mean over kinds.

        Columns: contrast, question, ours, theirs, those of `contrasts.contrast`, p_holm (for all questions on a kind)
        and seed_sd (of one AUC, pooled over the networks). Over all finished seeds of each side; a question
        with an unfinished side is left out.
        """
        kinds, rows = self.kinds(), []
        if not kinds:
            return pd.DataFrame()
        parts = [part for group in kinds.values() for part in group]
        finished: dict[str, list[Cell]] = {}
        for cell in self.cells:
            if self.origins[cell.name].is_finished():
                finished.setdefault(_side(cell), []).append(self.origins[cell.name])
        spreads = self._spreads(finished, kinds)
        for asked in self.plan.contrasts:
            if not {asked.ours, asked.theirs} <= set(finished):
                continue
            sides = (
                {part: [cell.scores(part) for cell in finished[side]] for part in parts}
                for side in (asked.ours, asked.theirs)
            )
            about = {"contrast": asked.name, "question": asked.question, "ours": asked.ours, "theirs": asked.theirs}
            table = contrasts.contrast(*sides, kinds, spreads)
            deviations = {kind: math.sqrt(spread.variance) if spread else math.nan for kind, spread in spreads.items()}
            rows.append(table.assign(**about, seed_sd=table["kind"].map(deviations)))
        if not rows:
            return pd.DataFrame()
        frame = pd.concat(rows, ignore_index=True)
        for _, family in frame.groupby("kind"):
            frame.loc[family.index, "p_holm"] = comparisons.holm(family["p"].to_numpy())
        first = ["contrast", "question", "ours", "theirs"]
        return frame[[*first, *(column for column in frame if column not in first)]]

    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The base profile's test sets by kind: those of the plan, and each other set by itself."""
        there = {kind: parts for kind, parts in self.plan.kinds.items() if set(parts) <= set(self.base.tests)}
        named = {part for parts in there.values() for part in parts}
        return {part: (part,) for part in self.base.tests if part not in named} | there

    def _spreads(
        self, finished: dict[str, list[Cell]], kinds: dict[str, tuple[str, ...]]
    ) -> dict[str, comparisons.SeedSpread | None]:
        rows = []
        for side, cells in finished.items():
            for cell in cells:
                about = {"network": side, "seed": cell.network.seed}
                rows += [about | {"part": row["part"], "auc": row["auc"]} for row in self._results(cell)]
        return contrasts.seed_spreads(pd.DataFrame(rows), kinds)

    def publish(self, root: Path) -> list[Path]:
        """Copy the tables into the project's figures, under the sweep's name: study.csv, study-contrasts.csv, ..."""
        written = []
        for source in sorted(self.folder.glob("sweep*.*")):
            target = root / "figures" / source.name.replace("sweep", self.folder.name)
            with files.replacing(target) as temporary:
                shutil.copyfile(source, temporary)
            written.append(target)
        return written

    def table(self) -> pd.DataFrame:
        """AUC of every finished cell by set, by video under the profile's size rule (SBI pairs by face).

        A variation of self-blending has no row for held-out SBI pairs: its own would be others than the reference's.

        Columns: variation, label, question, asked, held (fixed), network, seed, taps (Blocks), part, dataset, auc, low,
        high (95 %), real, fake, seconds (of training), threads, same_as (the cell that was trained instead; empty where
        it is itself), checkpoint.
        """
        rows = []
        for cell in self.cells:
            origin = self.origins[cell.name]
            if not origin.is_finished():
                continue
            about = {
                "variation": cell.variation.name,
                "label": cell.variation.label,
                "question": cell.variation.question,
            }
            about |= {"asked": sweep_plan.asked(cell.variation, self.base.profile)}
            about |= {"held": sweep_plan.held(cell.variation, self.plan, self.base.profile)}
            for row in self._results(origin):
                if cell.has_other_pairs(row["part"]):
                    continue
                named = about | row | {"network": cell.network.name, "seed": cell.network.seed}
                rows.append(named | {"same_as": "" if origin is cell else origin.name})
        columns = [
            "variation",
            "label",
            "question",
            "asked",
            "held",
            "network",
            "seed",
            "taps",
            "part",
            "dataset",
            "auc",
        ]
        columns += ["low", "high", "real", "fake", "pair_accuracy", "pair_low", "pair_high", "people", "steps", "size"]
        columns += ["seconds", "threads", "same_as", "checkpoint"]
        return pd.DataFrame(rows, columns=columns)

    def _results(self, cell: Cell) -> list[dict[str, Any]]:
        """A finished cell's rows of `table`, kept as long as its checkpoint stays."""
        from dfnb import networks

        checkpoint = cell.run.checkpoint(cell.network)
        key = (cell.name, checkpoint.stat().st_mtime_ns)
        if key not in self._known:
            about = networks.metadata(checkpoint)
            taps = networks.load(checkpoint).taps
            history = files.read_csv(checkpoint.with_name("history.csv"), "remove its folder to train again")
            training = {"taps": ", ".join(map(str, taps)), "seconds": history["seconds"].iloc[-1]}
            training |= {"threads": about.get("threads")}
            profile, people = cell.run.profile, cell.run.store("train").manifest["group"].nunique()
            training |= {"people": people, "steps": profile.train.steps, "size": profile.model.size}
            rule = cell.run.profile.evaluate.size_rule
            self._known[key] = [
                row | training | self._pairs(cell, row)
                for row in cell.run.results_of(cell.network)
                if row["level"] == "face" or (row["level"] == "video" and row["size_rule"] == rule)
            ]
        return self._known[key]

    def _pairs(self, cell: Cell, row: dict[str, Any]) -> dict[str, float]:
        if row["level"] != "video":
            return {}
        found = cell.run.pair_accuracy(row["part"], cell.network.name, cell.network.seed)
        return {"pair_accuracy": found.value, "pair_low": found.low, "pair_high": found.high}

    @cached_property
    def _known(self) -> dict[tuple[str, int], list[dict[str, Any]]]:
        return {}

    def differences(self) -> pd.DataFrame:
        """What each change does: a row for every variation and set, and for every network against the last one.

        Columns: variation, label, asked, network, reference, part, dataset, auc, reference_auc, difference (this minus
        the reference), low, high (95 %), p, p_holm (corrected for all variations, or all networks, on a set), seeds,
        reference_seeds, sampling_sd (over groups), seed_sd (of one AUC, pooled; NaN where no network has two seeds),
        p_groups (sampling alone), p_delong (first seeds, each video by itself). Method: `comparisons`.
        The reference is the same network unchanged, over all its finished seeds; on held-out SBI pairs variations of
        self-blending are left out, as in `table`, and everywhere a change that changes nothing (equal taps).
        """
        done = [cell for cell in self.cells if self.origins[cell.name].is_finished()]
        unchanged, changed = ([c for c in done if bool(c.variation.change) == wanted] for wanted in (False, True))
        last = self.base.networks[-1].name
        table = self.table()
        alike = table[table["variation"].isin([cell.variation.name for cell in unchanged])]
        rows = []
        for part in self.base.scored_parts:
            spread = comparisons.seed_spread(alike[alike["part"] == part])
            for cells in _together(changed):
                reference = [cell for cell in unchanged if cell.network.name == cells[0].network.name]
                trained = {self.origins[cell.name].name for cell in reference}
                same = any(self.origins[cell.name].name in trained for cell in cells)  # equal taps: nothing changes
                if reference and not same and not cells[0].has_other_pairs(part):
                    rows.append(self._difference(part, cells, reference, spread))
            reference = [cell for cell in unchanged if cell.network.name == last]
            for name in dict.fromkeys(
                cell.network.name for cell in unchanged if reference and cell.network.name != last
            ):
                cells = [cell for cell in unchanged if cell.network.name == name]
                rows.append(self._difference(part, cells, reference, spread))
        frame = pd.DataFrame(rows)
        if len(frame):
            among = frame["variation"] == sweep_plan.BASE
            for _, family in frame.groupby(["part", among]):
                frame.loc[family.index, "p_holm"] = comparisons.holm(family["p"].to_numpy())
        return frame

    def _difference(
        self, part: str, cells: list[Cell], reference: list[Cell], spread: comparisons.SeedSpread | None
    ) -> dict[str, Any]:
        labels, groups, ours = comparisons.align([self.origins[cell.name].scores(part) for cell in cells])
        same, _, theirs = comparisons.align([self.origins[cell.name].scores(part) for cell in reference])
        if not same.index.equals(labels.index):
            raise UserError(f"{cells[0].name} and {reference[0].name} were scored on different samples of {part}")
        sampling = comparisons.over_groups(labels.to_numpy(), ours, theirs, groups)
        seeds = (len(ours), len(theirs))
        outcome = comparisons.with_seeds(sampling, spread, seeds)
        variation = cells[0].variation
        return {
            "variation": variation.name, "label": variation.label,
            "asked": sweep_plan.asked(variation, self.base.profile),
            "network": cells[0].network.name, "reference": reference[0].network.name, "part": part,
            "dataset": self.base.title(part), "auc": comparisons.mean_auc(labels, ours),
            "reference_auc": comparisons.mean_auc(labels, theirs), "difference": outcome.difference,
            "low": outcome.low, "high": outcome.high, "p": outcome.p_value, "p_holm": float("nan"),
            "seeds": seeds[0], "reference_seeds": seeds[1], "sampling_sd": sampling.error,
            "seed_sd": math.sqrt(spread.variance) if spread else float("nan"),
            "p_groups": comparisons.with_seeds(sampling, None).p_value,
            "p_delong": metrics.compare(labels, ours[0], theirs[0]).p_value,
        }  # fmt: skip

    def save(self, failed: dict[str, str], seconds: float | None, jobs: int) -> None:
        """Write sweep.csv and sweep.json. seconds: spent on the sweep so far; None leaves what was written before."""
        table = self.table()
        with files.replacing(self.folder / "sweep.csv") as temporary:
            table.to_csv(temporary, index=False)
        record = self.record()
        there = {f"{row.variation}/{row.network}-s{row.seed}" for row in table.itertuples()}
        record |= {"sweep": self.plan.name, "base": self.base.profile.name, "embedded_benchmark": self.base.embedded}
        record |= {
            "same_base": sweep_plan.same_base(self.base.profile),
            "settings": sweep_plan.settings(self.base.profile),
            "plan": self.plan.model_dump(mode="json"),
            "failed": failed,
        }
        record |= {"cells": len(self.cells), "missing": [c.name for c in self.cells if c.name not in there]}
        trained = table[table["same_as"] == ""].drop_duplicates(["variation", "network", "seed"])
        record |= {"trainings": len(trained), "training_seconds": round(float(trained["seconds"].sum()), 1)}
        if seconds is not None or "seconds" not in record:
            most = max(jobs, record.get("jobs", 1))  # of all the times it was started
            record |= {"seconds": round(seconds or 0.0, 1), "environment": environment.describe(), "jobs": most}
        files.write_json(self.folder / "sweep.json", record)

    def record(self) -> dict[str, Any]:
        """What sweep.json says so far; nothing where there is none, or one of another base."""
        path = self.folder / "sweep.json"
        found = files.read_json(path) if path.exists() else {}
        return found if found.get("same_base") == sweep_plan.same_base(self.base.profile) else {}

    def _spent(self) -> float:
        return float(self.record().get("seconds", 0.0))


def _side(cell: Cell) -> str:
    """A cell's network as contrasts name it: see `sweep_plan.Contrast`."""
    variation = cell.variation.name
    return cell.network.name if variation == sweep_plan.BASE else f"{variation}/{cell.network.name}"


def _together(cells: list[Cell]) -> list[list[Cell]]:
    """The seeds of each variation and network."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.variation.name, cell.network.name), []).append(cell)
    return list(groups.values())
