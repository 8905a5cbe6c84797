"""A search for settings: trials of a plan (`search_plan`), short trainings judged by their AUC on the test parts.

    runs/<search>/<digest>/           network and scores of a trial; digest: of all settings that decide the training
    runs/<search>/journal.log         Optuna's record of the trials
    runs/<search>/search.csv          what every trial gave
    runs/<search>/search-choices.csv  what each value of each setting gave, on average
    runs/<search>/search.json         the plan, the best trials, what mattered, and what it was made with

Two numbers are maximised: the mean of the kinds' AUC, and that of the worst kind. Optuna's tree-structured Parzen
estimator (Bergstra et al. 2011; for two objectives, Ozaki et al. 2022) proposes. Faces are those of the base profile's
run. What is chosen so has seen the parts that judged it: on these its AUC is no longer a test.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfnb import profile as profiles
from dfnb.common import environment, files, locks
from dfnb.common.errors import UserError
from dfnb.common.randomness import generator
from dfnb.experiment import sweep_plan
from dfnb.experiment.artefacts import Network
from dfnb.experiment.jobs import finished
from dfnb.experiment.run import Run
from dfnb.experiment.search_plan import Plan, as_text
from dfnb.profile import Profile, resolve
from dfnb.scoring import metrics
from dfnb.training.key import code_digest, deciding

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

DRAWS = 1000  # at most, of settings that weren't tried yet, where Optuna proposes some again
ENOUGH = 10  # finished trials, before it is said what mattered


@dataclass(frozen=True)
class Choice:
    """Settings that a trial changes. profile: with them; None where they are out of range, for `reason`.

    key: equal for equal trainings, however their settings are said.
    """

    change: dict[str, Any]
    key: str
    profile: Profile | None
    reason: str = ""


@dataclass(frozen=True)
class Trial:
    """A training and what judges it."""

    run: Run
    parts: tuple[str, ...]

    @property
    def network(self) -> Network:
        """The one network of its run."""
        return self.run.networks[0]

    def finish(self) -> None:
        """Train and score what is missing."""
        self.run.trained(self.network)
        for part in self.parts:
            self.run.scores(part, self.network.name, self.network.seed)

    def result(self) -> dict[str, Any]:
        """aucs (auc, low and high by part), and the training's seconds, threads and checkpoint (SHA-256).

        By video under the profile's size rule, as `Run.results` has them.
        """
        from dfnb import networks

        aucs = {}
        for part in self.parts:
            scored = self.run.video_scores(part, self.network.name, self.network.seed)
            value = metrics.auc_groups(scored["label"] == "fake", scored["score"], scored["group"])
            aucs[part] = {"auc": float(value.value), "low": float(value.low), "high": float(value.high)}
        checkpoint = self.run.checkpoint(self.network)
        seconds = float(self.run.history(self.network.name, self.network.seed)["seconds"].iloc[-1])
        about = {"seconds": round(seconds, 1), "threads": networks.metadata(checkpoint).get("threads")}
        return {"aucs": aucs, **about, "checkpoint": files.sha256_known(checkpoint)}


class Search:
    """The trials of a plan over a base run. Nothing is trained until `work` is called.

    Raises UserError where the plan doesn't fit the base: an unknown setting, a part without videos, settings to start
    with that are the same under two names.
    """

    def __init__(self, plan: Plan, base: Run) -> None:
        self.plan, self.base = plan, base
        self.folder: Path = resolve(base.profile.runs) / plan.name
        if self.folder == base.folder:
            raise UserError(f"search {plan.name}: has the name of its base profile; give it another")
        self.network = plan.network or base.profile.train.networks[-1]
        short = {"train.steps": plan.steps, "train.epochs": None, "train.seeds": [plan.seed]}
        self.profile = profiles.changed(base.profile, short | {"train.networks": [self.network]})
        for key in [*plan.space, *(key for change in plan.start.values() for key in change)]:
            _require_setting(self.profile, key, f"search {plan.name}")
        self.kinds = self._kinds()
        self.parts = tuple(part for parts in self.kinds.values() for part in parts)
        self.starts = {name: self.choice(change) for name, change in plan.start.items()}
        self.names: dict[str, str] = {}  # of what is tried first, by key
        for name, choice in self.starts.items():
            if choice.key in self.names:
                raise UserError(f"search {plan.name}: {name} and {self.names[choice.key]} are the same settings")
            self.names[choice.key] = name

    def _kinds(self) -> dict[str, tuple[str, ...]]:
        plan, tests = self.plan, self.base.tests
        kinds = plan.kinds or {part: (part,) for part in (tests if plan.parts is None else plan.parts)}
        if not kinds:
            raise UserError(f"search {plan.name}: profile {self.base.profile.name} has no test part to judge trials by")
        for part in (part for parts in kinds.values() for part in parts):
            if part not in tests:
                known = ", ".join(tests) or "none"
                raise UserError(
                    f"search {plan.name}: {part!r} is no test part of profile {self.base.profile.name}: it has {known}"
                )
        return dict(kinds)

    def choice(self, change: Mapping[str, Any]) -> Choice:
        """Settings as a trial would have them."""
        change = dict(change)
        try:
            profile = profiles.changed(self.profile, change) if change else self.profile
            decides = deciding(profile, *self.network, self.plan.seed)
        except UserError as error:
            return Choice(change, files.digest(change), None, str(error))
        return Choice(change, files.digest(decides), profile)

    def place(self, choice: Choice) -> dict[str, str] | None:
        """The values (as texts) by which the space has these settings; None where they lie outside it.

        So a start that changes nothing teaches Optuna about the values that the base profile has.
        """
        if choice.profile is None:
            return None
        found = {}
        for key, values in self.plan.space.items():
            same = [value for value in values if self.choice(choice.change | {key: value}).key == choice.key]
            if not same:
                return None
            found[key] = as_text(same[0])
        return found if self.choice(self._values(found)).key == choice.key else None

    def _values(self, texts: Mapping[str, str]) -> dict[str, Any]:
        return {
            key: next(value for value in self.plan.space[key] if as_text(value) == text) for key, text in texts.items()
        }

    # ---- what is tried next ----

    @cached_property
    def study(self) -> "optuna.Study":
        """Optuna's record, opened, or begun where there is none. Raises UserError where it is damaged."""
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            backend = JournalFileBackend(str(self._journal), JournalFileOpenLock(str(self._journal)))
            what = {"storage": JournalStorage(backend), "study_name": self.plan.name}
            if self.plan.name in optuna.get_all_study_names(what["storage"]):
                return optuna.load_study(**what)  # which writes nothing
            return optuna.create_study(**what, directions=["maximize", "maximize"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self._journal}: damaged ({error}); delete it: the trials are gone through again, and what is "
                "trained is kept"
            ) from None

    @property
    def _journal(self) -> Path:
        return self.folder / "journal.log"

    def _tried(self) -> dict[str, "optuna.trial.FrozenTrial"]:
        """Optuna's trial of every choice so far by its key, in the order in which they were first tried."""
        tried: dict[str, Any] = {}
        for trial in self.study.get_trials() if self._journal.exists() else ():
            key = trial.user_attrs.get("key")
            interrupted = trial.state.name == "FAIL" and "reason" not in trial.user_attrs  # or a repetition
            if key and not interrupted:
                tried[key] = trial
        return tried

    def _resume(self) -> None:
        """Put what was interrupted back into Optuna's queue."""
        from optuna.trial import TrialState

        queued = {trial.user_attrs["key"] for trial in self.study.get_trials(states=(TrialState.WAITING,))}
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if trial.user_attrs.get("key", "") not in {"", *queued}:
                self.study.enqueue_trial(trial.params, trial.user_attrs)
            self.study.tell(trial.number, state=TrialState.FAIL)

    def _next(self, most: int) -> "tuple[optuna.Trial, Choice] | None":
        """What is tried next: what was interrupted, then what the plan starts with, then what Optuna proposes."""
        from optuna.trial import TrialState

        tried = self._tried()
        if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if len(tried) >= most:
                return None
            start = next((choice for choice in self.starts.values() if choice.key not in tried), None)
            if start is None:
                return self._proposed(tried)
            self._queue(start, self.place(start))
        return self._queued()

    def _queue(self, choice: Choice, texts: dict[str, str] | None) -> None:
        about = {"key": choice.key, "change": choice.change, "inside": texts is not None}
        self.study.enqueue_trial(texts or {}, about)

    def _queued(self) -> "tuple[optuna.Trial, Choice]":
        trial = self.study.ask()
        if trial.user_attrs["inside"]:
            self._suggested(trial)
        return trial, self.choice(trial.user_attrs["change"])

    def _suggested(self, trial: "optuna.Trial") -> dict[str, Any]:
        texts = {
            key: trial.suggest_categorical(key, [as_text(value) for value in values])
            for key, values in self.plan.space.items()
        }
        return self._values(texts)

    def _proposed(self, tried: Mapping[str, Any]) -> "tuple[optuna.Trial, Choice] | None":
        """What Optuna proposes; settings drawn evenly where it proposes what was tried. None where nothing is left.

        Both depend on the seed and on what the trials so far gave, not on whether the search was interrupted.
        """
        import optuna

        if not self.plan.space:
            return None
        key = (self.plan.seed, len(tried))
        self.study.sampler = optuna.samplers.TPESampler(seed=int(generator("proposals", *key).integers(2**32)))
        trial = self.study.ask()
        choice = self.choice(self._suggested(trial))
        if choice.key not in tried:
            for name, value in (("change", choice.change), ("inside", True), ("key", choice.key)):
                trial.set_user_attr(name, value)
            return trial, choice
        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)  # the same training again would teach nothing
        rng = generator("untried settings", *key)
        for _ in range(DRAWS):
            drawn = {name: values[rng.integers(len(values))] for name, values in self.plan.space.items()}
            choice = self.choice(drawn)
            if choice.key not in tried:
                self._queue(choice, {name: as_text(value) for name, value in drawn.items()})
                return self._queued()
        log.info("%s: nothing of its space is left to try", self.plan.name)
        return None

    # ---- work ----

    def work(self, most: int | None = None, jobs: int = 1, threads: int | None = None) -> None:
        """Go on until so many trials (the plan's, by default) are finished or failed, with a progress bar.

        jobs, threads: as in `Sweep.work`; with several jobs, what is proposed depends on which trial ends first.
        The tables are written anew after each trial. A trial that fails is a row, too, and isn't tried again.
        Raises UserError where another command works in the search's folder, or the search was begun with other
        settings, faces or code.
        """
        most = most or self.plan.trials
        threads = self.base.threads = threads or self.base.profile.threads
        for part in ("train", "validation", *self.parts):
            self.base.store(part)
        with locks.exclusive(self.folder, "searching", ("search", "search-choices", "journal")):
            _mend(self._journal)
            self._require_same()
            self._resume()
            asked: dict[str, optuna.Trial] = {}
            with tqdm(total=most, initial=len(self._ended()), desc=self.plan.name, unit="trial", disable=None) as bar:
                for trial, reason in finished(self._ahead(most, asked, bar), jobs, threads, bar):
                    self._tell(asked.pop(trial.run.folder.name), trial, str(reason or ""))
                    bar.update()
                    self.save(jobs)
            self.save(jobs)

    def _ahead(self, most: int, asked: "dict[str, optuna.Trial]", bar: tqdm) -> Iterator[Trial]:
        """Trials to be finished, each proposed when it is asked for; notes Optuna's of them in `asked`, by folder."""
        while (found := self._next(most)) is not None:
            ours, choice = found
            if choice.profile is None:
                self._fail(ours, choice.reason)
                bar.update()
                continue
            asked[choice.key] = ours
            run = Run(choice.profile, self.folder / choice.key, shared=self.base, build=self.base.build)
            run.threads = self.base.threads
            yield Trial(run, self.parts)

    def _tell(self, ours: "optuna.Trial", trial: Trial, reason: str) -> None:
        if reason:
            self._fail(ours, reason)
            return
        result = trial.result()
        _, mean, worst = judged(result["aucs"], self.kinds)
        ours.set_user_attr("result", result)
        self.study.tell(ours, [mean, worst])

    def _fail(self, ours: "optuna.Trial", reason: str) -> None:
        from optuna.trial import TrialState

        log.warning("%s failed: %s", ours.user_attrs["change"], reason)
        ours.set_user_attr("reason", reason)
        self.study.tell(ours, state=TrialState.FAIL)

    def _require_same(self) -> None:
        """Raises UserError where the trials so far can't be compared with those to come."""
        evaluate = self.profile.evaluate
        made_of = {
            "base profile, network, steps or seed": files.digest(deciding(self.profile, *self.network, self.plan.seed)),
            "faces": files.digest([self.base.store(part).digest for part in ("train", "validation", *self.parts)]),
            "code": code_digest(),
            "space": {key: [as_text(value) for value in values] for key, values in self.plan.space.items()},
            "kinds of parts": {kind: list(parts) for kind, parts in self.kinds.items()},
            "settings of evaluate": [evaluate.size_rule, evaluate.precision],
        }
        before = self.study.user_attrs.get("made of")
        if before is None:
            self.study.set_user_attr("made of", made_of)
        elif other := [name for name, value in made_of.items() if before.get(name) != value]:
            raise UserError(
                f"{self.folder}: this search was begun with another {', another '.join(other)}; give the plan another "
                "name, or remove the folder"
            )

    # ---- what came of it ----

    def _ended(self) -> list[tuple[int, "optuna.trial.FrozenTrial"]]:
        """Finished and failed trials, each with its place among all that were tried."""
        return [
            (k, trial) for k, trial in enumerate(self._tried().values()) if trial.state.name in ("COMPLETE", "FAIL")
        ]

    def states(self, most: int | None = None) -> Iterator[str]:
        """A line a trial: whether it is finished, failed or missing; and how many Optuna may still propose."""
        tried, words = self._tried(), {"COMPLETE": "finished", "FAIL": "failed"}
        for k, (key, trial) in enumerate(tried.items()):
            about = self.names.get(key) or as_text(trial.user_attrs["change"])
            yield f"{words.get(trial.state.name, 'missing')}  {k} {about}"
        missing = [name for name, choice in self.starts.items() if choice.key not in tried]
        yield from (f"missing  {name}" for name in missing)
        left = (most or self.plan.trials) - len(tried) - len(missing)
        if left > 0 and self.plan.space:
            yield f"missing  {left} to be proposed"

    def table(self) -> pd.DataFrame:
        """A row a trial that is finished or failed.

        Columns: trial (from 0, in the order of trying), name (of `start`; else empty), state, a column for each setting
        of the space (its value as text: words, else JSON), changed (in words, what a start changes outside the space),
        steps, seed, auc_PART, low_PART, high_PART (95 %; by video, under the profile's size rule), kind_KIND (mean AUC
        of its parts), mean and worst (of the kinds), seconds (of training), threads, checkpoint (SHA-256), reason (why
        it failed; else empty).
        """
        rows = []
        for k, trial in self._ended():
            change, inside = trial.user_attrs["change"], trial.user_attrs["inside"]
            row: dict[str, Any] = {"trial": k, "name": self.names.get(trial.user_attrs["key"], "")}
            row["state"] = "failed" if trial.state.name == "FAIL" else "finished"
            profile = self.choice(change).profile or self.profile
            for key in self.plan.space:
                value = change[key] if key in change else sweep_plan.at(profile, key)
                row[key] = trial.params[key] if inside else as_text(value)
            outside = {} if inside else {key: change[key] for key in change if key not in self.plan.space}
            row["changed"] = "; ".join(sweep_plan.differences(outside, self.base.profile))
            row |= {"steps": self.plan.steps, "seed": self.plan.seed}
            if result := trial.user_attrs.get("result"):
                row |= {f"{name}_{part}": v for part, auc in result["aucs"].items() for name, v in auc.items()}
                kinds, row["mean"], row["worst"] = judged(result["aucs"], self.kinds)
                row |= {f"kind_{kind}": value for kind, value in kinds.items()}
                row |= {name: result[name] for name in ("seconds", "threads")}
            row["checkpoint"] = (result or {}).get("checkpoint", "")
            rows.append(row | {"reason": trial.user_attrs.get("reason", "")})
        columns = ["trial", "name", "state", *self.plan.space, "changed", "steps", "seed"]
        columns += [f"{name}_{part}" for part in self.parts for name in ("auc", "low", "high")]
        columns += [f"kind_{kind}" for kind in self.kinds]
        return pd.DataFrame(rows, columns=[*columns, "mean", "worst", "seconds", "threads", "checkpoint", "reason"])

    def save(self, jobs: int = 1) -> None:
        """Write search.csv, search-choices.csv and search.json from what is finished."""
        table = self.table()
        with files.replacing(self.folder / "search.csv") as temporary:
            table.to_csv(temporary, index=False)
        with files.replacing(self.folder / "search-choices.csv") as temporary:
            choices(table, self.plan).to_csv(temporary, index=False)
        made_with = environment.describe()
        made_with["versions"]["optuna"] = metadata.version("optuna")
        record = {"search": self.plan.name, "base": self.base.profile.name, "embedded_benchmark": self.base.embedded}
        record |= {"plan": self.plan.model_dump(mode="json"), "network": self.network, "kinds": self.kinds}
        record |= {"finished": int((table["state"] == "finished").sum()), "environment": made_with, "jobs": jobs}
        record |= {"failed": int((table["state"] == "failed").sum()), "best": self.best()}
        record |= {"training_seconds": round(float(table["seconds"].sum()), 1), "importance": self.importance()}
        files.write_json(self.folder / "search.json", record)

    def best(self) -> list[dict[str, Any]]:
        """The trials than which no other is better in both the mean and the worst kind, the best mean first."""
        places = {trial.number: k for k, trial in self._ended()}
        rows = [
            {"trial": places[trial.number], "name": self.names.get(trial.user_attrs["key"], "")}
            | {"change": trial.user_attrs["change"], "mean": trial.values[0], "worst": trial.values[1]}
            for trial in self.study.best_trials
        ]
        return sorted(rows, key=lambda row: (-row["mean"], row["trial"]))

    def importance(self) -> dict[str, float] | None:
        """The share of each setting in how the mean varies (fANOVA, Hutter et al. 2014); None before 10 trials."""
        from optuna import importance

        of_the_space = [trial for trial in self.study.trials if trial.values and trial.params]
        if len(of_the_space) < ENOUGH:
            return None
        forest = importance.FanovaImportanceEvaluator(seed=self.plan.seed)
        keys = list(self.plan.space)
        return importance.get_param_importances(self.study, evaluator=forest, params=keys, target=_mean)


def _mean(trial: "optuna.trial.FrozenTrial") -> float:
    return trial.values[0]


def judged(
    aucs: Mapping[str, Mapping[str, float]], kinds: Mapping[str, Sequence[str]]
) -> tuple[dict[str, float], float, float]:
    """AUC by kind (the mean of its parts'), their mean, and the worst of them. aucs: "auc" and more, by part."""
    by_kind = {kind: float(np.mean([aucs[part]["auc"] for part in parts])) for kind, parts in kinds.items()}
    return by_kind, float(np.mean(list(by_kind.values()))), min(by_kind.values())


def choices(table: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """What each choice gave: columns setting, value (text), trials, mean, worst; in the plan's order.

    mean, worst: of `mean` and `worst` over the finished trials with that value, whatever their other settings
    (marginal means; NaN where there is none). Trials that change settings outside the space don't count.
    table: `Search.table`, or search.csv by `read_table`.
    """
    counted = table[(table["state"] == "finished") & (table["changed"] == "")]
    rows = []
    for key, values in plan.space.items():
        for value in map(as_text, values):
            chosen = counted[counted[key] == value]
            row = {"setting": key, "value": value, "trials": len(chosen)}
            rows.append(row | {"mean": chosen["mean"].mean(), "worst": chosen["worst"].mean()})
    return pd.DataFrame(rows, columns=["setting", "value", "trials", "mean", "worst"])


def read_table(path: Path, plan: Plan) -> pd.DataFrame:
    """`Search.table` from a search.csv. Raises UserError, naming the file, where it isn't one of this plan."""
    words = ["name", "state", *plan.space, "changed", "checkpoint", "reason"]
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(words, str), keep_default_na=False, na_values=[""])
        table[words] = table[words].fillna("")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: no table of the search {plan.name} ({error})") from None
    return table


def _require_setting(profile: Profile, key: str, what: str) -> None:
    """Raises UserError, naming `what`, where a profile has no such setting."""
    found: Any = profile.model_dump()
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            raise UserError(f"{what}: {key}: unknown setting")
        found = found[part]


def _mend(journal: Path) -> None:
    """Remove what a killed command left behind: Optuna's lock, and a line that it was writing."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if journal.exists():
        whole, end, torn = journal.read_bytes().rpartition(b"\n")
        if torn:
            with files.replacing(journal) as temporary:
                temporary.write_bytes(whole + end)
