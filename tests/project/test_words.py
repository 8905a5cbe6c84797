"""What is written: links lead somewhere, words are spelt, the glossary has the terms, README and notebooks agree."""

import json
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

import dfnb
from dfnb import cli
from dfnb.report import building, index

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(FOLDER.glob("*.md"))]
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
# abbreviations that need no word: units, formats, names of sets, methods and authors' bodies
KNOWN = {
    "HTML", "JSON", "CSV", "PNG", "CPU", "GPU", "RGB", "JPEG", "DOI", "FF", "DF", "IT", "IBUG", "GB", "SBI", "FFIW",
    "DFDC", "NASA",
}  # fmt: skip


def text_of(path: Path) -> str:
    """A page's Markdown, or a notebook's prose."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return path.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$", " ", text, flags=re.DOTALL)


def slug(heading: str) -> str:
    """The anchor that a heading gets on the web pages that show Markdown."""
    plain = re.sub(r"[`*\[\]]|\(.*?\)", "", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text_of(path), flags=re.MULTILINE)
    return {slug(heading) for heading in headings} | {heading.strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_links_and_pictures_lead_to_what_exists(path):
    text = without_code(text_of(path))
    for target in [*LINK.findall(text), *(target for _, target in IMAGE.findall(text))]:
        if re.match(r"[a-z]+:", target):
            assert re.match(r"https://[\w.-]+\.[a-z]+(/|$)", target), target
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target
    for source in re.findall(r'(?:src|href)="([^"#]+)"', text):
        assert re.match(r"https:", source) or (path.parent / source).exists(), source
    assert all(len(words) > 20 for words, _ in IMAGE.findall(text)), "a picture without words"


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_files_names_commands_and_targets_in_the_text_exist(path):
    text = text_of(path)
    spans = re.findall(r"`([^`\n]+)`", text)
    for span in spans:
        file = span.removeprefix("dfnb/")
        if re.fullmatch(r"(\w+/)*(\w+\.(py|yaml))?", file) and (file != span or file.split("/")[0] in dfnb.ROOMS):
            assert (ROOT / "dfnb" / file).exists(), span
        name = re.fullmatch(r"(dfnb(?:\.\w+)+)(?:\(.*\))?", span)
        assert not name or pkgutil.resolve_name(name[1]) is not None, span
    shell = "\n".join([*re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL), *spans])
    assert set(re.findall(r"^(?:\w+ )*?dfnb ([a-z]+)", shell, flags=re.MULTILINE)) <= commands()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(re.findall(r"^make ([a-z-]+)", shell, flags=re.MULTILINE)) <= set(targets)


def commands() -> set[str]:
    import typer

    return set(typer.main.get_command(cli.app).commands)


def test_the_prose_of_the_notebooks_is_spelt(tmp_path):
    codespell = shutil.which("codespell", path=str(Path(sys.executable).parent)) or shutil.which("codespell")
    if codespell is None:
        pytest.skip("codespell isn't installed")
    for path in NOTEBOOKS:
        (tmp_path / f"{path.stem}.md").write_text(text_of(path), encoding="utf-8")
    words = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["codespell"]
    command = [codespell, "--ignore-words-list", words["ignore-words-list"], str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def glossary() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", (FOLDER / "GLOSSARY.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def test_the_glossary_is_in_order_and_says_something_of_each_term():
    text = (FOLDER / "GLOSSARY.md").read_text(encoding="utf-8")
    terms = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert terms == sorted(set(terms), key=str.lower)
    assert all(len(meaning) > 30 for meaning in glossary().values())


def test_every_term_of_the_glossary_is_linked_where_a_notebook_first_needs_it():
    linked = {path: set(re.findall(r"\]\(GLOSSARY\.md#([^)]+)\)", text_of(path))) | {""} for path in NOTEBOOKS}
    everywhere = set().union(*linked.values()) | set(re.findall(r"\]\(#([^)]+)\)", text_of(FOLDER / "GLOSSARY.md")))
    assert {slug(term) for term in glossary()} <= everywhere
    assert all(len(terms) > 2 for terms in linked.values()), "a notebook that links no terms"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_abbreviations_are_explained_somewhere(path):
    prose = LINK.sub(" ", without_code(text_of(path))).split("## References")[0]
    found = set(re.findall(r"\b[A-Z]{2,}\d?\b", prose))
    explained = set(re.findall(r"\b[A-Z]{2,}\b", text_of(FOLDER / "GLOSSARY.md")))
    assert found <= explained | KNOWN, found - explained - KNOWN


def test_the_readme_opens_with_what_the_report_opens_with():
    assert building.SUMMARY in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_the_citation_file_agrees_with_the_project():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # what the format's schema requires
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert cited["title"].startswith(project["name"])
    dois = set(re.findall(r"doi\.org/(10\.[^)\s]+)", "".join(text_of(path) for path in NOTEBOOKS)))
    assert {reference["doi"] for reference in cited["references"]} <= dois


def test_the_index_of_the_notebooks_is_that_of_the_published_ones():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    part = readme.split(index.START)[1].split(index.END)[0]
    shown = re.findall(r"\*\*\[(.+?)\]\((.+?)\.ipynb\)", part)
    titles = {path.stem: index.read(path).title for path in NOTEBOOKS}
    assert all(titles.get(name) == title for title, name in shown)
    times = ROOT / "figures" / "run-times.json"
    if not times.is_file():
        pytest.skip("no run times are published yet")
    assert index.renewed(readme, FOLDER, ROOT / "figures") == readme
    seconds = json.loads(times.read_text(encoding="utf-8"))["seconds"]
    assert all(0 < value < 600 for value in seconds.values())
