"""The notebooks as sources: parameters, words beside every figure, links, style; and that each runs alone (slow)."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import viewers

from dfnb.report import page

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = [
    "01_data_preparation",
    "02_self_blended_images",
    "03_train_networks",
    "04_arcface_ablation",
    "05_evaluation_roc",
    "06_attention_maps",
    "07_robustness",
    "08_your_own_video",
    "09_genuine_faces",
    "10_further_ablations",
]
PARAMETERS = {"08_your_own_video": '\nvideo = ""\ncheckpoint = ""'}  # beside the two that all have


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(name: str) -> list[str]:
    return [cell.source for cell in read(name).cells if cell.cell_type == "code"]


def prose(name: str) -> str:
    return "\n\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")


def calls(name: str) -> list[tuple[str, ast.Call]]:
    found = [node for cell in code(name) for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Call)]
    return [(ast.unparse(call.func), call) for call in found]


def test_all_are_valid_and_none_is_left_out_here():
    assert sorted(path.stem for path in FOLDER.glob("[0-9]*.ipynb")) == NAMES
    for name in NAMES:
        nbformat.validate(read(name))


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_profile_and_overrides_and_what_a_notebook_says(name):
    tagged = [cell for cell in read(name).cells if "parameters" in cell.metadata.get("tags", [])]
    given = 'profile = "demo"\noverrides = {}' + PARAMETERS.get(name, "") + "\nrebuild = False"
    assert [cell.source for cell in tagged] == [given]
    assert 'run = dfnb.open_run(profile, overrides, build="all" if rebuild else "missing")' in code(name)
    assert code(name)[0].split("\n")[-1] == "" or "import dfnb" in code(name)[0]


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_thin(name):
    for cell in code(name):
        kinds = {type(node) for node in ast.walk(ast.parse(cell))}
        assert not kinds & {ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda}
        assert "sys.path" not in cell
        assert not re.search(r"""["'](?:/|~|\.\.?/|[A-Z]:\\)""", cell), "a path typed by hand"
        assert len(cell.splitlines()) <= 35


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_and_table_has_a_caption_a_name_and_its_run(name):
    names = []
    for function, call in calls(name):
        if function not in ("plots.show", "plots.table"):
            continue
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert len(given["caption"]) > 25
        assert given["run"] == "run"
        names.append(ast.unparse(call.args[1]))
    assert names
    assert len(set(names)) == len(names)


def test_names_of_figures_are_used_once_in_the_report():
    names = [
        ast.unparse(call.args[1])
        for name in NAMES
        for function, call in calls(name)
        if function in ("plots.show", "plots.table")
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_prose_asks_explains_and_says_what_is_not_shown(name):
    text = prose(name)
    title, *headings = re.findall(r"^#{1,2} (.+)$", text, flags=re.MULTILINE)
    assert title.endswith("?")
    assert sum(heading.rstrip().endswith(("?", "picture?")) for heading in headings) >= len(headings) - 1
    assert "what it doesn't" in text
    assert headings[-1] == "References"
    assert re.search(r"doi\.org|arxiv\.org", text)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_the_paper_are_not_typed_by_hand(name):
    everything = prose(name) + "".join(code(name))
    assert not re.search(r"0\.(9344|9374|9442|9459|8259)", everything)


@pytest.mark.parametrize("name", NAMES)
def test_links_between_notebooks_lead_somewhere(name):
    linked = re.findall(r"\]\(([^)#]+\.ipynb)", prose(name))
    assert linked
    assert all((FOLDER / target).is_file() for target in linked)


@pytest.mark.parametrize("name", NAMES)
def test_mathematics_can_be_typeset_without_a_script(name):
    made = page.section(read(name), name)
    body = made.body
    assert made.title
    assert "$" not in re.sub(r"<div class=\"highlight.*?</div>", "", body, flags=re.DOTALL)
    assert body.count("<math") == len(re.findall(r"\$\$.+?\$\$|(?<!\$)\$[^$\n]+\$(?!\$)", prose(name), flags=re.DOTALL))


def test_ruff_finds_nothing():
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff isn't installed")
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([ruff, *command, str(FOLDER)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_each_runs_alone_in_any_order(tmp_path):
    import papermill

    for name in reversed(NAMES):
        out = tmp_path / f"{name}.ipynb"
        settings = {"profile": "smoke", "overrides": {"runs": str(tmp_path / "runs")}}
        papermill.execute_notebook(FOLDER / f"{name}.ipynb", out, settings, kernel_name="python3", progress_bar=False)
        made = nbformat.read(out, as_version=4)
        outputs = [o for cell in made.cells for o in cell.get("outputs", [])]
        assert min(len(figure.data["text/plain"]) for figure in viewers.outputs_of(made, "figure").values()) >= 20
        assert not [o for o in outputs if o["output_type"] == "error"]
