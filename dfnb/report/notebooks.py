"""papermill -> executed notebooks -> one HTML file, figures and results.json; publishing copies the chosen ones."""

import errno
import html
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from dfnb.analysis import ablations
from dfnb.common import environment, files
from dfnb.common.errors import UserError
from dfnb.experiment.run import Run
from dfnb.plots import style, tables
from dfnb.report import cards, index, page
from dfnb.scoring import metrics

log = logging.getLogger(__name__)
PACKAGE = Path(__file__).parents[1]
TITLE = "Deepfake detection from real faces alone"
SUMMARY = (
    "A detector that never sees a manipulated video in training: each real face becomes a pair, real and self-blended "
    "fake, and an EfficientNet with an attention branch and an ArcFace head learns to tell the two. This report "
    "reproduces and extends the paper that proposed it, and measures how far it recognises forgeries it has never met."
)


class NotebookError(Exception):
    """A notebook failed: names the notebook and the cell, and carries the traceback."""


@dataclass(frozen=True)
class Report:
    """Where the report lies and what it found."""

    html: Path
    results: pd.DataFrame
    executed: list[str]  # notebooks run now; the others were current


def find_notebooks(folder: Path | None = None) -> list[Path]:
    """The numbered notebooks, in order: of `folder`, or of the project.

    Raises UserError where there are none.
    """
    candidates = [folder] if folder else [Path("notebooks"), PACKAGE.parent / "notebooks"]
    for candidate in candidates:
        found = sorted(candidate.glob("[0-9][0-9]_*.ipynb"))
        if found:
            return found
    raise UserError(f"no numbered notebooks in {candidates[0]}: run from the project's folder, or give --notebooks")


def build(run: Run, profile: str, overrides: Mapping[str, Any] | None = None, notebooks: Path | None = None) -> Report:
    """Build what the run lacks, execute the notebooks that aren't current, and write the HTML and results.json.

    profile, overrides: as they are handed to the notebooks.
    Raises NotebookError where a notebook fails; the ones before it are kept.
    """
    began = time.monotonic()
    sources = find_notebooks(notebooks)
    whole = not any(run.checkpoint(one).exists() for one in run.networks)
    results = run.everything()
    folder = run.folder / "report"
    for inner in (folder, folder / "notebooks", folder / "figures"):
        files.tidy(inner)
    swept = ablations.swept(run).record
    state = files.digest([run.profile.hash(), library_hash(), results.to_dict("records"), run.data_digest(), swept])
    executed = []
    for source in sources:
        target = folder / "notebooks" / source.name
        stamp = target.with_suffix(".stamp")
        current = files.digest([source_hash_of(read_notebook(source)), state])
        if target.exists() and stamp.exists() and stamp.read_bytes() == current.encode():
            continue
        execute(source, target, {"profile": profile, "overrides": dict(overrides or {}), "rebuild": True})
        files.write_text(stamp, current)
        executed.append(source.name)
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
    return Report(path, results, executed)


def lead(run: Run) -> str:
    """What stands above the first notebook in the HTML: what this is about, and the table of results."""
    results = tables.video_results(run)
    tested = results[results["part"] != "sbi"]
    text = f"<p>{html.escape(SUMMARY)}</p>"
    if tested.empty:
        return text
    caption = f"ROC AUC by video with its 95 % interval ({metrics.INTERVAL}). {tables.counts(tested)}."
    caption += f" {style.NOTICE}" if run.embedded else ""
    return text + style.html_table(tables.wide(tested), "summary", caption, [])


def _record(path: Path, record: dict[str, Any], seconds: float | None) -> None:
    """Write results.json; hardware and time are those of the report that made the results, not of a later look.

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


def execute(source: Path, target: Path, parameters: dict[str, Any]) -> None:
    """Run one notebook through papermill into `target`, whole or not at all.

    Raises NotebookError naming notebook and cell, with the traceback; UserError where that is what a cell raised, and
    where the disk is full.
    """
    log.info("notebook %s", source.name)
    with files.replacing(target) as temporary:
        try:
            papermill.execute_notebook(
                source,
                temporary,
                parameters=parameters,
                kernel_name="python3",
                language="python",
                cwd=Path.cwd(),
                extra_arguments=["--log-level=CRITICAL"],  # what cells say is kept; a kernel that is stopped grumbles
            )
        except DeadKernelError:
            raise NotebookError(
                f"{source.name}: its kernel died, killed or out of memory; the notebooks before it are kept"
            ) from None
        except PapermillExecutionError as error:
            where = f"{source.name}, cell {error.cell_index + 1}"
            if error.ename == "UserError":  # one clear line already
                raise UserError(f"{where}: {error.evalue}") from None
            trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
            if os.strerror(errno.ENOSPC) in trace:  # an encoder has the system's error within one of its own
                raise UserError(
                    f"{where}: the disk is full; free some space and run it again, what is finished is kept"
                ) from None
            failed = target.with_suffix(".failed.ipynb")
            shutil.copyfile(temporary, failed)
            raise NotebookError(f"{where}: {error.ename}: {error.evalue}\n{trace}\nkept as {failed}") from error


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """A notebook in format 4. Raises UserError where it is no notebook."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, nbformat.ValidationError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a notebook ({reason}); put a sound one there") from None
    return notebook


def source_hash_of(notebook: nbformat.NotebookNode) -> str:
    """A hash of a notebook's cells without their outputs."""
    cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    return files.digest([(cell.cell_type, cell.source) for cell in cells])


def library_hash() -> str:
    """A hash of the library's code, so that a changed figure is drawn again."""
    return files.digest([files.sha256(path) for path in sorted(PACKAGE.rglob("*.py"))])


def publish(run: Run, report: Report, root: Path) -> list[Path]:
    """Copy executed notebooks, figures with their numbers, and results into the project; renew the README's table.

    The notebooks lose what papermill added (injected parameters, paths, times) and progress bars.
    Returns the files written.
    """
    folder, written = run.folder / "report", []
    for source in sorted((folder / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if source.name.endswith(".failed.ipynb"):
            continue
        notebook = clean(nbformat.read(source, as_version=4))
        with files.replacing(root / "notebooks" / source.name) as temporary:
            nbformat.write(notebook, temporary)
        written.append(root / "notebooks" / source.name)
    for figure in sorted(folder.glob("figures/*")):
        with files.replacing(root / "figures" / figure.name) as temporary:
            shutil.copyfile(figure, temporary)
        written.append(root / "figures" / figure.name)
    swept = ablations.swept(run)
    if swept and not swept.published and swept.folder is not None:
        for name in ablations.FILES:
            with files.replacing(root / "figures" / name) as temporary:
                shutil.copyfile(swept.folder / name, temporary)
            written.append(root / "figures" / name)
    with files.replacing(root / "figures" / "results.json") as temporary:
        shutil.copyfile(folder / "results.json", temporary)
    with files.replacing(root / "figures" / "results.csv") as temporary:
        report.results.to_csv(temporary, index=False)
    written += [root / "figures" / "results.json", root / "figures" / "results.csv"]
    written += publish_index(folder / "notebooks", root)
    readme = root / "README.md"
    files.write_text(readme, with_results(readme.read_text(encoding="utf-8"), root / "figures"))
    return [*written, readme, *cards.write(root)]


def publish_index(executed: Path, root: Path) -> list[Path]:
    """Renew the thumbnails, the run times and the index in notebooks/README.md. Returns the files written."""
    figures, notebooks = root / "figures", sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    seconds = index.run_times([executed / path.name for path in notebooks if (executed / path.name).is_file()])
    profile = json.loads((figures / "results.json").read_text(encoding="utf-8"))["profile"]["name"]
    hardware = environment.describe()["hardware"]
    files.write_json(figures / "run-times.json", {"profile": profile, "hardware": hardware, "seconds": seconds})
    thumbnails = [index.draw(index.read(path), figures) for path in notebooks]
    readme = root / "notebooks" / "README.md"
    files.write_text(readme, index.renewed(readme.read_text(encoding="utf-8"), root / "notebooks", figures))
    return [figures / "run-times.json", readme, *(path for path in thumbnails if path)]


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without what papermill added and without what was printed on standard error."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            widget = "application/vnd.jupyter.widget-view+json"
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" and widget not in o.get("data", {})]
    return notebook


def result_table(results: pd.DataFrame) -> str:
    """The README's table in Markdown: video AUC with its interval, a row a network, a column a set."""
    video = results[(results["level"] == "video") & results["size_rule"]]
    columns = list(dict.fromkeys(video["dataset"]))
    lines = ["| network | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for (network, seed), rows in video.groupby(["network", "seed"], sort=False):
        variant = network.rsplit("-", 1)[0]
        note = style.look(variant).note
        name = style.look(network).label + (f" ({note})" if note else "")
        name += f", seed {seed}" if results["seed"].nunique() > 1 else ""
        cells = {r.dataset: f"{r.auc:.3f} ({r.low:.3f} to {r.high:.3f})" for r in rows.itertuples()}
        lines.append(f"| {name} | " + " | ".join(cells.get(column, "") for column in columns) + " |")
    return "\n".join(lines)


def with_results(readme: str, figures: Path) -> str:
    """The README with the part between its two markers renewed from figures/results.csv and results.json."""
    start, end = "<!-- results: written by `dfnb report --publish` -->", "<!-- end of results -->"
    if start not in readme or end not in readme:
        raise UserError(f"README.md: the markers {start!r} and {end!r} are missing, so there's no place for the table")
    record = json.loads((figures / "results.json").read_text())
    results = pd.read_csv(figures / "results.csv")
    recipe, where = record["profile"]["train"], record["environment"]
    took = "" if record["seconds"] is None else f"; the whole report took {record['seconds'] / 60:.0f} minutes"
    note = (
        f"ROC AUC by video with its 95 % interval ({record.get('interval', 'DeLong')})."
        f" Profile `{record['profile']['name']}`, seed"
        f" {', '.join(map(str, recipe['seeds']))}, {where['hardware']}, torch {where['versions']['torch']}{took}."
    )
    if record["embedded_benchmark"]:
        note += (
            " **These are numbers of the embedded benchmark: rendered heads, no real people."
            " They can't be compared with published ones.**"
        )
    before, rest = readme.split(start)
    return f"{before}{start}\n{result_table(results)}\n\n{note}\n{end}{rest.split(end, 1)[1]}"
