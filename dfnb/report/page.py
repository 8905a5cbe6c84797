"""Executed notebooks -> one HTML file that opens offline: pictures inside it, mathematics as MathML, no script."""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import nbformat
from bs4 import BeautifulSoup, NavigableString, Tag
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from dfnb.plots.page import render

DISPLAY_MATH = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE_MATH = re.compile(r"(?<![\\$\w`])\$(?!\s)([^$\n`]+?)(?<!\s)\$(?![\d\w])")
CODE = re.compile(r"(```.*?```|`[^`]*`)", re.DOTALL)
LETTERS = re.compile(r'<mrow>((?:<mi mathvariant="normal">\w</mi>)+)</mrow>')
FUNCTION = re.compile(r'(</mi>|</mn>|</msub>|)<mi>(cos|exp|log)</mi>(<mo stretchy="false">&#x00028;|)')
JAPANESE = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]+")
NOTEBOOK_LINK = re.compile(r"^(?:\./)?([\w-]+)\.ipynb(?:#(.*))?$")
GLOSSARY_LINK = re.compile(r"^(?:\./)?GLOSSARY\.md(?:#(.*))?$")
FORBIDDEN = ("script", "iframe", "object", "embed", "link", "meta", "base", "form")
NUMBER = re.compile(r"[+−-]?[\d,]+(\.\d+)?(e[+−-]?\d+)?|–")
SHORT = 26  # characters of a table cell that isn't broken into lines
HIDDEN = {"parameters", "injected-parameters"}
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Section:
    """A notebook as HTML: its fragment and title. name: its anchor.

    headings: (anchor, text) of those that the contents list; a glossary's terms and the references aren't.
    """

    name: str
    body: str
    title: str
    headings: list[tuple[str, str]]


def mathml(latex: str, display: str = "inline") -> str:
    """LaTeX -> MathML in which a word is one identifier, to be read out as such, and functions keep their distance."""
    out = convert(latex.strip(), display=display)
    out = out.replace(' display="block"', ' display="block" tabindex="0"')  # long ones scroll, also by keyboard
    out = LETTERS.sub(lambda m: f"<mi>{re.sub('<[^>]+>', '', m[1])}</mi>", out)
    thin = '<mspace width="0.167em" />'
    return FUNCTION.sub(lambda m: f"{m[1]}{m[1] and thin}<mi>{m[2]}</mi><mo>&#x2061;</mo>{m[3] or thin}", out)


def mathematics(markdown: str, escape: bool = False) -> str:
    """Replace $$...$$ and $...$ in Markdown by MathML, outside code.

    escape: show a < as itself, so that Markdown made from data can't bring HTML of its own.
    """
    pieces = CODE.split(markdown)
    for index in range(0, len(pieces), 2):
        piece = pieces[index].replace("<", "&lt;") if escape else pieces[index]
        piece = DISPLAY_MATH.sub(lambda m: mathml(html.unescape(m[1]), "block"), piece)
        pieces[index] = INLINE_MATH.sub(lambda m: mathml(html.unescape(m[1])), piece)
    return "".join(pieces)


def section(notebook: nbformat.NotebookNode, name: str, figures: Path | None = None) -> Section:
    """One notebook as an HTML fragment whose anchors start with `name` and whose headings start at <h2>.

    figures: a folder with NAME.svg for some figures; these replace the notebook's pixels.
    """
    notebook = nbformat.from_dict(notebook)
    notebook.cells = [cell for cell in notebook.cells if not HIDDEN & set(cell.metadata.get("tags", []))]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = mathematics(cell.source)
        if "outputs" in cell:  # progress bars and warnings concern whoever runs the notebook; sliders need a kernel
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" and WIDGET not in o.get("data", {})]
            cell.outputs = _with_captions(cell.outputs)
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = mathematics(output.data["text/markdown"], escape=True)
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    soup = BeautifulSoup(body, "html.parser")
    _remove_active(soup)
    for link in soup.select("a.anchor-link"):
        link.decompose()
    _link(soup, name)
    for level in (4, 3, 2, 1):
        for heading in soup.find_all(f"h{level}"):
            heading.name = f"h{level + 1}"
    for cell in soup.select("div.cell"):
        del cell["id"]  # numbers of cells: nobody links to them
    for code in soup.find_all("pre"):  # long lines scroll, also by keyboard
        code["tabindex"], code["role"], code["aria-label"] = "0", "group", "Code"
    for code in soup.select("div.input"):
        code.wrap(_tag(soup, "details", **{"class": "code"})).insert(0, _tag(soup, "summary", "Code"))
    for figure in soup.find_all("figure"):
        _figure(soup, figure, figures)
    for number, table in enumerate(soup.find_all("table"), 1):
        _table(soup, table, number, name)
    _mark_japanese(soup)
    found = soup.find("h2")
    headings = [(h.get("id", ""), h.get_text(strip=True)) for h in soup.find_all("h3") if name != "glossary"]
    headings = [(anchor, text) for anchor, text in headings if text != "References"]
    return Section(name, str(soup), found.get_text(strip=True) if found else name, headings)


def build(
    notebooks: Sequence[Path],
    title: str,
    about: str,
    *,
    lead: str = "",
    glossary: Path | None = None,
    figures: Path | None = None,
) -> str:
    """All notebooks in one page, with a table of contents and the glossary.

    title, about: what it is and what was run; both are escaped. lead: HTML under them. glossary: a Markdown file with
    a heading a term, where it exists. figures: see `section`.
    """
    parts = [section(nbformat.read(path, as_version=4), path.stem, figures) for path in notebooks]
    if glossary is not None and glossary.is_file():
        text = nbformat.v4.new_markdown_cell(glossary.read_text(encoding="utf-8"))
        parts.append(section(nbformat.v4.new_notebook(cells=[text]), "glossary"))
    top = BeautifulSoup(lead, "html.parser")
    for number, table in enumerate(top.find_all("table"), 1):
        _table(top, table, number, "lead")
    return render(
        Path(__file__).parent / "report.html.j2",
        title=title,
        about=about,
        lead=str(top),
        parts=parts,
        colours=HtmlFormatter(style="default").get_style_defs(".highlight"),
    )


def _with_captions(outputs: Sequence[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """A figure and its caption are two outputs of a notebook; here they are one <figure>."""
    captions = {o.metadata["caption"]: o.data["text/plain"] for o in outputs if "caption" in o.get("metadata", {})}
    joined = []
    for output in outputs:
        about = output.get("metadata", {})
        if "figure" in about:
            name, (kind, data) = about["figure"], next(d for d in output.data.items() if d[0].startswith("image/"))
            output.data = {
                "text/html": f'<figure id="{html.escape(name)}"><img src="data:{kind};base64,{data}" '
                f'alt="{html.escape(about[kind]["alt"])}" width="{about[kind]["width"]}">'
                f"<figcaption>{html.escape(captions[name])}</figcaption></figure>"
            }
        if "caption" not in about:
            joined.append(output)
    return joined


def _remove_active(soup: BeautifulSoup) -> None:
    """Nothing that runs, loads or leads to a script, whatever an output holds."""
    for tag in soup.find_all(FORBIDDEN):
        tag.decompose()
    for tag in soup.find_all(True):
        for attribute in [name for name in tag.attrs if name.lower().startswith("on")]:
            del tag[attribute]
        if str(tag.get("href", "")).strip().lower().startswith(("javascript:", "data:")):
            del tag["href"]


def _link(soup: BeautifulSoup, name: str) -> None:
    """Anchors get the notebook's name before them; links between notebooks stay in the page, links to files go."""
    for tag in soup.find_all(id=True):
        tag["id"] = f"{name}-{_anchor(tag['id'], name)}"
    for link in soup.find_all("a", href=True):
        address = link["href"]
        if address.startswith("#"):
            link["href"] = f"#{name}-{_anchor(address[1:], name)}"
        elif found := NOTEBOOK_LINK.match(address):
            link["href"] = f"#{found[1]}" + (f"-{_anchor(found[2], found[1])}" if found[2] else "")
        elif found := GLOSSARY_LINK.match(address):
            link["href"] = "#glossary" + (f"-{found[1].lower()}" if found[1] else "")
        elif address == "README.md":  # the notebooks' index: here the contents
            link["href"] = "#contents"
        elif not address.startswith(("https:", "http:")):
            link.unwrap()


def _anchor(anchor: str, name: str) -> str:
    """A heading's anchor without quotes and other signs that an address writes as %22: the same in both places."""
    plain = re.sub(r"[^\w-]", "", unquote(anchor))
    return plain.lower() if name == "glossary" else plain


def _figure(soup: BeautifulSoup, figure: Tag, figures: Path | None) -> None:
    """A picture in vectors where there are some; on a narrow screen a link enlarges it, to be looked over sideways."""
    picture, name = figure.find("img"), figure.get("id", "")
    if picture is None or not name:
        return
    picture.wrap(_tag(soup, "div", **{"class": "wide"}))
    what = " ".join(name.split("-", 1)[-1].split("-"))
    for kind, target, text in (("enlarge", name, "Enlarge"), ("fit", f"{name}-whole", "Show the whole")):
        link = _tag(soup, "a", f"{text} picture", **{"class": kind, "href": f"#{target}"})
        link["aria-label"] = f"{text} picture: {what}"
        picture.parent.insert_after(link)
    figure.insert(0, _tag(soup, "span", id=f"{name}-whole"))
    path = figures / f"{name.split('-', 1)[-1]}.svg" if figures else None
    if path is not None and path.is_file():
        picture["src"] = f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _table(soup: BeautifulSoup, table: Tag, number: int, name: str) -> None:
    """A table that scrolls by itself, reachable by keyboard, its caption outside, with the scope of each header."""
    for header in table.select("thead th"):
        header["scope"] = "col"
    for cell in table.find_all(["th", "td"]):
        if len(cell.get_text()) <= SHORT:
            cell["class"] = ["short"]
    rows = [cells for row in table.select("tbody tr") if (cells := row.find_all(["th", "td"]))]
    columns = list(zip(table.select("thead th"), *rows, strict=False))
    for place, (head, *cells) in enumerate(columns):
        if all(NUMBER.fullmatch(cell.get_text(strip=True)) for cell in cells):
            for cell in (head, *cells):
                cell["class"] = [*cell.get("class", []), "number"]
        elif place == 0 and len(columns) > 1:  # says what a row is about
            for cell in cells:
                cell.name, cell["scope"] = "th", "row"
    outer = table.wrap(_tag(soup, "div", **{"class": "wide", "tabindex": "0", "role": "group"}))
    caption = table.find("caption")
    if caption is None:
        outer["aria-label"] = f"Table {number}"
        return
    caption = caption.extract()
    caption.name, caption.attrs = "figcaption", {"id": f"{name}-table-{number}"}
    outer["aria-labelledby"] = table["aria-labelledby"] = caption["id"]
    outer.wrap(_tag(soup, "figure", **{"class": "table"})).insert(0, caption)


def _mark_japanese(soup: BeautifulSoup) -> None:
    """Say which words are Japanese, so that they are read out and drawn as such."""
    for text in soup.find_all(string=JAPANESE):
        if isinstance(text, NavigableString) and text.parent.name not in ("style", "code"):
            marked = JAPANESE.sub(lambda m: f'<span lang="ja">{m[0]}</span>', html.escape(str(text), quote=False))
            text.replace_with(BeautifulSoup(marked, "html.parser"))


def _tag(soup: BeautifulSoup, name: str, text: str = "", **attributes: str) -> Tag:
    tag = soup.new_tag(name, attrs=attributes)
    tag.string = text
    return tag
