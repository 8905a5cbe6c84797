"""What viewers show of a notebook: its outputs, nbconvert's HTML of them, and what a code host leaves of that."""

import bleach
import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

from dfnb.plots import style

TABLE = {"table", "caption", "thead", "tbody", "tr", "th", "td"}  # what a code host leaves of a table, no attribute


@pytest.fixture
def shown(monkeypatch) -> list[nbformat.NotebookNode]:
    """The outputs of all that is displayed, in order."""
    outputs: list[nbformat.NotebookNode] = []

    def display(data: dict, metadata: dict, raw: bool) -> None:
        assert raw
        outputs.append(nbformat.v4.new_output("display_data", data, metadata=metadata))

    monkeypatch.setattr(style, "display", display)
    return outputs


def outputs_of(notebook: nbformat.NotebookNode, kind: str) -> dict[str, nbformat.NotebookNode]:
    """A notebook's figures, captions or tables by their names. kind: "figure", "caption" or "table"."""
    found = [o for cell in notebook.cells for o in cell.get("outputs", []) if kind in o.get("metadata", {})]
    return {output.metadata[kind]: output for output in found}


def image(output: nbformat.NotebookNode) -> tuple[str, str]:
    """Type and data (base64) of a figure's picture."""
    ((kind, data),) = [item for item in output.data.items() if item[0].startswith("image/")]
    return kind, data


def words(text: str) -> str:
    """The words of HTML, or of a text, with single spaces."""
    return " ".join(BeautifulSoup(text, "html.parser").get_text(" ").split())


def rows(table: str) -> list[list[str]]:
    """The cells of a table in HTML, a list a row."""
    return [
        [cell.get_text().strip() for cell in row.find_all(["th", "td"])]
        for row in BeautifulSoup(table, "html.parser").find_all("tr")
    ]


def check(notebook: nbformat.NotebookNode) -> None:
    """Every figure is a picture with words and a caption, and every table stays one, wherever they are looked at."""
    figures, captions, tables = (outputs_of(notebook, kind) for kind in ("figure", "caption", "table"))
    assert figures
    assert captions.keys() == figures.keys()
    html, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)  # "lab" knows no words for pictures
    page = BeautifulSoup(html, "html.parser")
    pictures = page.select(":is(.output_png, .output_jpeg) img")
    seen = [(picture["alt"], picture["src"].split(",")[1]) for picture in pictures]
    assert seen == [(figure.data["text/plain"], image(figure)[1]) for figure in figures.values()]
    markdown = [" ".join(part.get_text().split()) for part in page.select(".output_markdown")]
    for name, caption in captions.items():
        assert f"Figure. {caption.data['text/plain']}" in markdown, name
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for tag in BeautifulSoup(output.get("data", {}).get("text/html", ""), "html.parser").find_all(True):
                assert tag.name not in ("style", "script"), "a code host would drop it"
                assert not [name for name, value in tag.attrs.items() if name == "style" or "data:" in value], tag
    for name, table in tables.items():
        whole = table.data["text/html"]
        left = bleach.clean(whole, tags=TABLE, attributes={}, strip=True)
        assert rows(left) == rows(whole), name
        assert len(rows(left)) > 1, name
        assert words(left) == words(whole), name
        assert len(words(BeautifulSoup(left, "html.parser").caption.decode_contents())) > 20, name
        assert table.data["text/plain"].count("\n") >= len(rows(left)), name
