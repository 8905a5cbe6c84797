"""Publishing: a finished report's notebooks, figures and numbers go into the project; README, index, cards follow."""

import json
import shutil
from pathlib import Path

import nbformat
import pandas as pd

from dfnb.analysis import ablations
from dfnb.common import environment, files
from dfnb.common.errors import UserError
from dfnb.experiment.run import Run
from dfnb.plots import style
from dfnb.report import cards, index
from dfnb.report.building import Report

START, END = "<!-- results: written by `dfnb report --publish` -->", "<!-- end of results -->"


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
        if figure.suffix[1:] in style.PICTURES:  # an earlier report may have had it as another kind of picture
            for kind in style.PICTURES.keys() - {figure.suffix[1:]}:
                (root / "figures" / f"{figure.stem}.{kind}").unlink(missing_ok=True)
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


def result_table(results: pd.DataFrame, size_rule: bool) -> str:
    """The README's table in Markdown: video AUC with its interval, a row a network, a column a set.

    size_rule: whether the profile has it (`evaluate.size_rule`).
    """
    video = results[(results["level"] == "video") & (results["size_rule"] == size_rule)]
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
    """The README with the part between its two markers renewed from figures/results.csv and results.json.

    Raises UserError where a marker is missing.
    """
    if START not in readme or END not in readme:
        raise UserError(f"README.md: the markers {START!r} and {END!r} are missing; put them where the table belongs")
    record = json.loads((figures / "results.json").read_text())
    results = files.read_csv(figures / "results.csv", "publish a run first")
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
    before, rest = readme.split(START)
    table = result_table(results, record["profile"]["evaluate"]["size_rule"])
    return f"{before}{START}\n{table}\n\n{note}\n{END}{rest.split(END, 1)[1]}"
