"""Executed notebooks -> one HTML file that opens offline: pictures inside it, mathematics as MathML, no script."""

import html
import re
from pathlib import Path

import nbformat
from latex2mathml.converter import convert as to_mathml
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

DISPLAY_MATH = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE_MATH = re.compile(r"(?<![\\$\w`])\$(?!\s)([^$\n`]+?)(?<!\s)\$(?![\d\w])")
NOTEBOOK_LINK = re.compile(r'href="([\w-]+)\.ipynb(?:#[^"]*)?"')

STYLE = """
:root { color-scheme: light; }
body { font: 17px/1.6 Georgia, "Source Serif 4", serif; color: #222; background: #fff; margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem 1.25rem 6rem; }
h1, h2, h3, nav, table, figcaption, .about { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.25; margin: 3.5rem 0 1rem; border-top: 3px solid #222; padding-top: 1rem; }
header h1 { border: 0; margin-top: 1rem; }
h2 { font-size: 1.3rem; margin-top: 2.4rem; }
a { color: #0b5394; }
nav ol { columns: 2 18rem; padding-left: 1.3rem; font-size: .95rem; }
nav li { break-inside: avoid; margin-bottom: .5rem; }
nav li ul { list-style: none; padding-left: .2rem; color: #555; font-size: .88rem; }
img, svg { max-width: 100%; height: auto; }
figure { margin: 1.5rem 0; overflow-x: auto; }
figcaption { font-size: .86rem; color: #444; line-height: 1.45; margin-top: .4rem; }
.output_html, .output_subarea { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .86rem; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #222; }
caption { caption-side: bottom; text-align: left; color: #444; font-size: .86rem; padding-top: .4rem; }
pre { font-size: .8rem; line-height: 1.45; background: #f6f6f4; padding: .7rem .9rem; overflow-x: auto; }
.prompt, .anchor-link { display: none; }
math[display="block"] { margin: 1rem 0; overflow-x: auto; }
.about { font-size: .86rem; color: #444; }
@media print { nav { display: none } .input { display: none } h1 { break-before: page } figure { break-inside: avoid } }
"""


def mathematics(markdown: str) -> str:
    """Replace $$...$$ and $...$ in Markdown by MathML, outside code."""
    pieces = re.split(r"(```.*?```|`[^`]*`)", markdown, flags=re.DOTALL)
    for index in range(0, len(pieces), 2):
        piece = DISPLAY_MATH.sub(lambda m: to_mathml(m[1].strip(), display="block"), pieces[index])
        pieces[index] = INLINE_MATH.sub(lambda m: to_mathml(m[1]), piece)
    return "".join(pieces)


def section(notebook: nbformat.NotebookNode, name: str) -> tuple[str, str, list[tuple[str, str]]]:
    """One notebook as an HTML fragment whose anchors start with `name`.

    Returns the fragment, its title (first heading) and its second-level headings as (anchor, text).
    """
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = mathematics(cell.source)
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = mathematics(output.data["text/markdown"])
        if "outputs" in cell:  # progress bars and warnings are for whoever runs the notebook
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    hidden = {"parameters", "injected-parameters"}
    notebook.cells = [cell for cell in notebook.cells if not hidden & set(cell.metadata.get("tags", []))]
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r'(?<=\sid=")', f"{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = NOTEBOOK_LINK.sub(r'href="#\1"', body)
    headings = re.findall(r'<h([12]) id="([^"]+)">(.*?)<a class="anchor-link"', body, flags=re.DOTALL)
    title = next((re.sub(r"<[^>]+>", "", text) for level, _, text in headings if level == "1"), name)
    return body, title, [(anchor, re.sub(r"<[^>]+>", "", text)) for level, anchor, text in headings if level == "2"]


def build(notebooks: list[Path], title: str, about: str) -> str:
    """All notebooks in one page with a table of contents.

    about: a line on what was run, shown under the title. Both are escaped.
    """
    contents, bodies = [], []
    for path in notebooks:
        body, heading, parts = section(nbformat.read(path, as_version=4), path.stem)
        inner = "".join(f'<li><a href="#{anchor}">{text}</a></li>' for anchor, text in parts)
        contents.append(f'<li><a href="#{path.stem}">{heading}</a><ul>{inner}</ul></li>')
        bodies.append(f'<section id="{path.stem}">{body}</section>')
    colours = HtmlFormatter(style="default").get_style_defs(".highlight")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{colours}{STYLE}</style></head><body><main><header><h1>{html.escape(title)}</h1>"
        f'<p class="about">{html.escape(about)}</p></header>'
        f'<nav aria-label="Contents"><ol>{"".join(contents)}</ol></nav>'
        f"{''.join(bodies)}</main></body></html>\n"
    )
