"""A run's report: what the run lacks is built, its notebooks are executed; report.html, figures and results.json."""

import html
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from dfnb.analysis import ablations, robustness, studies, thresholds
from dfnb.analysis.corruptions import CORRUPTIONS
from dfnb.common import environment, files
from dfnb.common.errors import UserError
from dfnb.experiment import jobs
from dfnb.experiment.run import Run
from dfnb.plots import style, tables
from dfnb.report import page
from dfnb.report.notebooks import PACKAGE, Notebook, execute_all, find_notebooks
from dfnb.scoring import metrics

TITLE = "Deepfake detection from real faces alone"
SUMMARY = (
    "A detector that never sees a manipulated video in training: each real face becomes a pair, real and self-blended "
    "fake, and an EfficientNet with an attention branch and an ArcFace head learns to tell the two. This report "
    "reproduces and extends the paper that proposed it, and measures how far it recognises forgeries it has never met."
)


@dataclass(frozen=True)
class Report:
    """Where the report lies, and what was found."""

    html: Path
    results: pd.DataFrame
    executed: list[str]  # notebooks run now; the others were current


def build(run: Run, profile: str, overrides: Mapping[str, Any] | None = None, notebooks: Path | None = None) -> Report:
    """Build what the run lacks, execute the notebooks that aren't current, and write the HTML and results.json.

    profile, overrides: parameters of every notebook. notebooks: their folder, the project's by default.
    Raises NotebookError where a notebook fails; the finished ones are kept.
    """
    began = time.monotonic()
    sources = find_notebooks(notebooks)
    whole = not any(run.checkpoint(network).exists() for network in run.networks)
    results = run.everything()
    folder = run.folder / "report"
    for inner in (folder, folder / "notebooks", folder / "figures"):
        files.tidy(inner)
    swept = ablations.swept(run).record
    shown = [results.to_dict("records"), run.data_digest(), swept, studies.state(run)]
    state = files.digest([run.profile.hash(), library_hash(), *shown])
    parameters = {"profile": profile, "overrides": dict(overrides or {}), "rebuild": True}
    chosen = [Notebook(source, folder / "notebooks", parameters, state) for source in sources]
    stale = [notebook for notebook in chosen if not notebook.is_current()]
    if stale and notebooks is None:
        make_ahead(run)
    execute_all(stale, run.profile.processes, run.threads)
    made = f"{environment.describe()['hardware']}, torch {version('torch')}"
    about = f"Profile {run.profile.name}: {run.profile.description}. {made}."
    path = folder / "report.html"
    text = page.build(
        [folder / "notebooks" / source.name for source in sources],
        TITLE,
        about,
        lead=lead(run),
        glossary=sources[0].parent / "GLOSSARY.md",
        figures=folder / "figures",
    )
    files.write_text(path, text)
    record = {"profile": run.profile.model_dump(mode="json"), "embedded_benchmark": run.embedded}
    record["interval"] = metrics.INTERVAL
    record["results"] = json.loads(results.to_json(orient="records", double_precision=15))
    _record(folder / "results.json", record, seconds=round(time.monotonic() - began, 1) if whole else None)
    return Report(path, results, [notebook.source.name for notebook in stale])


def make_ahead(run: Run) -> None:
    """Make what the project's notebooks need beside the results, several at a time; they would make it one by one."""
    run.finish([network for network in run.networks if network.seed == run.networks[0].seed], [thresholds.VALIDATION])
    if run.embedded:
        run.finish([run.find(name) for name in robustness.names(run)], ["blending"])
    if run.profile.robustness.part not in run.tests:
        return
    reading = Run(run.profile, run.folder, shared=run)
    todo = [Corrupted(run, kind) for kind in CORRUPTIONS if not Corrupted(reading, kind).is_made()]
    with tqdm(total=len(todo), desc="corruptions", unit="corruption", disable=None if todo else True) as bar:
        for piece, error in jobs.finished(todo, run.at_once(len(todo)), run.threads, bar):
            if error:
                raise error
            jobs.done(bar, piece.kind)


@dataclass(frozen=True)
class Corrupted:
    """The score tables of one corruption of the test videos, as a process of its own makes them."""

    run: Run
    kind: str

    def finish(self) -> None:
        """Make those that are missing."""
        robustness.scores(self.run, self.kind)

    def is_made(self) -> bool:
        """Whether the run, which only reads, has them all."""
        try:
            self.finish()
        except UserError:
            return False
        return True


def lead(run: Run) -> str:
    """HTML above the first notebook: what the report is about, and the table of results."""
    results = tables.video_results(run)
    tested = results[results["part"] != "sbi"]
    text = f"<p>{html.escape(SUMMARY)}</p>"
    if tested.empty:
        return text
    caption = f"ROC AUC by video with its 95 % interval ({metrics.INTERVAL}). {tables.counts(tested)}."
    caption += f" {style.NOTICE}" if run.embedded else ""
    return text + style.html_table(tables.wide(tested), caption)


def _record(path: Path, record: dict[str, Any], seconds: float | None) -> None:
    """Write results.json; hardware and time stay those of the report that made the results when it is built again.

    seconds: of the whole report, or None where networks were there before, so that its time says nothing.
    """
    try:
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        same = before.get("results") == record["results"] and before.keys() >= {"environment", "seconds"}
    except (ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error}); delete it and run the report again") from None
    if same:
        record |= {key: before[key] for key in ("environment", "seconds")}
    else:
        record |= {"environment": environment.describe(), "seconds": seconds}
    files.write_json(path, record)


def library_hash() -> str:
    """A hash of the library's code and templates: when it changes, figures and pages are made anew."""
    return files.digest([files.sha256(path) for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2")])])
