"""The notebooks' index: of each its first figure as a thumbnail, its title, its questions, and how long it runs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from PIL import Image

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.plots.page import render
from dfnb.plots.style import PICTURES

START, END = "<!-- notebooks: written by `dfnb report --publish` -->", "<!-- end of notebooks -->"
WIDTH = 320  # of a thumbnail, pixels


@dataclass(frozen=True)
class Entry:
    """A notebook as the index shows it. figure, alt: its first figure's name and alt text; "" where it has none."""

    name: str
    title: str
    questions: list[str]
    figure: str
    alt: str


def read(path: Path) -> Entry:
    """What the index shows of a published notebook."""
    notebook = nbformat.read(path, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = next(iter(re.findall(r"^# (.+)$", prose, flags=re.MULTILINE)), path.stem)
    questions = [text for text in re.findall(r"^## (.+)$", prose, flags=re.MULTILINE) if text != "References"]
    shown = [o for cell in notebook.cells for o in cell.get("outputs", []) if "figure" in o.get("metadata", {})]
    figure = (shown[0].metadata["figure"], shown[0].data["text/plain"]) if shown else ("", "")
    return Entry(path.stem, title, questions, *figure)


def run_times(executed: Sequence[Path]) -> dict[str, float]:
    """Seconds that each notebook took when papermill ran it, by name; one that papermill didn't run is left out."""
    times = {}
    for path in executed:
        about = nbformat.read(path, as_version=4).metadata.get("papermill", {})
        if about.get("duration") is not None:
            times[path.stem] = round(float(about["duration"]), 1)
    return times


def draw(entry: Entry, figures: Path) -> Path | None:
    """Write figures/thumbnails/NAME.png, at most WIDTH pixels wide, from the notebook's first figure."""
    source = next((path for kind in PICTURES if (path := figures / f"{entry.figure}.{kind}").is_file()), None)
    if source is None:
        return None
    picture = Image.open(source).convert("RGB")
    picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    with files.replacing(figures / "thumbnails" / f"{entry.name}.png") as temporary:
        picture.quantize(64, kmeans=1).save(temporary, "png", optimize=True)
    return figures / "thumbnails" / f"{entry.name}.png"


def table(entries: Sequence[Entry], seconds: Mapping[str, float], figures: Path) -> str:
    """The index in Markdown, a row a notebook, for notebooks/README.md.

    Titles and questions are Markdown already. seconds: run times by name; a notebook without any has an empty cell.
    """
    pictured = {path.stem for path in (figures / "thumbnails").glob("*.png")}
    values = {"entries": entries, "seconds": seconds, "pictured": pictured, "width": WIDTH // 2}
    return render(Path(__file__).parent / "notebook_index.md.j2", **values).rstrip()


def renewed(readme: str, folder: Path, figures: Path) -> str:
    """notebooks/README.md with the part between its two markers renewed.

    folder: of the published notebooks. figures: with thumbnails/ and run-times.json. Raises UserError without markers.
    """
    if START not in readme or END not in readme:
        raise UserError(
            f"notebooks/README.md: the markers {START!r} and {END!r} are missing; put them around the index"
        )
    record = json.loads((figures / "run-times.json").read_text(encoding="utf-8"))
    entries = [read(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]
    note = f"Run times: on a finished run of the profile `{record['profile']}`, {record['hardware']}."
    before, rest = readme.split(START)
    return f"{before}{START}\n{table(entries, record['seconds'], figures)}\n\n{note}\n{END}{rest.split(END, 1)[1]}"
