"""What SECURITY.md promises and no other test shows: no unpickling, no shell, parameters as data, escaping, privacy."""

import ast
import html
import os
import re
import stat
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
import viewers
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from papermill.parameterize import parameterize_notebook

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.networks import tensors
from dfnb.plots import style
from dfnb.report import page

LIBRARY = sorted((Path(__file__).parents[2] / "dfnb").rglob("*.py"))
ALLOWED = {("pretrained.py", "torch.load"), ("importing.py", "torch.load")}  # tensors alone: weights_only
SHELLS = {"os.system", "os.popen", "eval", "exec", "subprocess.run", "subprocess.Popen", "subprocess.check_output"}
PICKLES = {"pickle.load", "pickle.loads", "torch.load", "joblib.load", "pd.read_pickle", "pandas.read_pickle",
           "marshal.loads", "shelve.open", "yaml.unsafe_load", "yaml.full_load"}  # fmt: skip


@cache
def trees() -> list[tuple[str, ast.Module]]:
    """The library's modules, read once: file name and tree."""
    return [(path.name, ast.parse(path.read_text("utf-8"))) for path in LIBRARY]


@cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """Every call in the library: file, dotted name, node."""
    nodes = [(name, node) for name, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(name, ast.unparse(node.func), node) for name, node in nodes]


def test_the_library_starts_no_shell_and_unpickles_nothing_but_tensors():
    found = {(name, call) for name, call, _ in calls() if call in PICKLES | SHELLS}
    assert found == ALLOWED
    for _, call, node in calls():
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert given.get("allow_pickle", "False") == "False"
        assert given.get("shell", "False") == "False"
        if call == "torch.load":
            assert given["weights_only"] == "True"
        if call == "yaml.load":
            assert ast.unparse(node.args[1]) == "_Loader"


def test_no_module_imports_what_starts_processes_or_pickles():
    for file, tree in trees():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported = {name.split(".")[0] for name in names}
            assert not {"pickle", "subprocess", "shelve", "marshal", "dill"} & imported, file


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(profile=st.text(), overrides=st.dictionaries(st.text(), VALUES, max_size=3))
def test_parameters_reach_a_notebook_as_the_very_same_data(profile, overrides):
    """The cell papermill puts in is two assignments of literals, whatever quotes and line ends the values hold."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell('profile = "demo"\noverrides = {}')])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["papermill"] = {}
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    given = {"profile": profile, "overrides": overrides}
    done = parameterize_notebook(notebook, given, kernel_name="python3", language="python")
    (cell,) = [c for c in done.cells if "injected-parameters" in c.metadata.get("tags", [])]
    tree = ast.parse(cell.source)
    assert [type(node) for node in tree.body] == [ast.Assign, ast.Assign]
    assert {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body} == given


NASTY = "<script>alert(1)</script> \"' onerror=alert(1) </table><img src=x> & $x$ `y`"


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_names_and_descriptions_are_escaped_on_the_page(tmp_path, shown):
    """A file name, a label and a description that are markup: in a table, a figure and the page's head."""
    run = SimpleNamespace(
        folder=tmp_path, embedded=False, networks=[], profile=SimpleNamespace(name="x", hash=lambda *parts: "0")
    )
    style.table(pd.DataFrame({NASTY: [NASTY]}), "table", run=run, caption=NASTY)
    plot = style.Plot(Figure(figsize=(1, 1)), {"value": 1}, NASTY, vector=False)
    style.show(plot, "figure", run=run, caption=NASTY)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("x"), nbformat.v4.new_markdown_cell("# Heading")]
    )
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text=NASTY)]
    notebook.cells[0].outputs += shown
    viewers.check(notebook)
    nbformat.write(notebook, tmp_path / "01_x.ipynb")
    text = page.build([tmp_path / "01_x.ipynb"], NASTY, NASTY)
    tags = Tags(text).found
    assert len(shown) == 3
    assert "script" not in [tag for tag, _ in tags]
    assert not [attrs for _, attrs in tags if "onerror" in attrs]
    assert [attrs["src"][:11] for tag, attrs in tags if tag == "img"] == ["data:image/"]
    assert html.escape("<script>alert(1)</script>") in text


def test_temporary_files_are_private_and_finished_ones_ordinary(tmp_path):
    with files.replacing(tmp_path / "a.txt") as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        temporary.write_text("x")
    mask = stat.S_IMODE((tmp_path / "a.txt").stat().st_mode)
    (tmp_path / "b.txt").write_text("x")
    assert mask == stat.S_IMODE((tmp_path / "b.txt").stat().st_mode)


def test_the_lock_pins_everything_by_hash_and_the_policy_names_tests_that_exist():
    root = Path(__file__).parents[2]
    policy = (root / "SECURITY.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)::(test_\w+)`", policy))
    assert len(named) > 25
    where = {path.stem: path for path in (root / "tests").rglob("test_*.py")}
    for file, function in named:
        assert f"\ndef {function}(" in where[file].read_text("utf-8"), function
    rows = [line for line in policy.splitlines() if line.startswith("| ") and "promise" not in line]
    assert all("::test_" in row for row in rows)
    assert "--require-hashes" in (root / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("name", ["a\nb", "$(touch x)", "<b>", "-rf"])
def test_names_reach_a_table_unchanged(name, tmp_path):
    from dfnb.data import catalogues

    (tmp_path / f"{name}.jpg").write_text("x")
    assert catalogues.faces_folder(tmp_path, "real")["video"].tolist() == [f"{name}.jpg"]


def test_files_over_their_limit_are_named_unread(tmp_path, monkeypatch):
    """Lists, tensors and score tables; videos, images and profiles: test_frames, test_bad_files. Holes, no bytes."""
    from dfnb.data.catalogues import lists
    from dfnb.scoring import score_table

    large = tmp_path / "large"
    for size, read, says in (
        ((256 << 20) + 1, lists.text, "larger than 256 MiB"),
        ((4 << 30) + 1, tensors.refuse_other_formats, "more than the 4096 MiB that are read"),
    ):
        large.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
        os.truncate(large, size)
        with pytest.raises(UserError, match=says):
            read(large)
    large.unlink()
    monkeypatch.setattr(score_table, "MAX_ROWS", 1)
    pd.DataFrame({"score": [0.5, 0.5]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError, match="more than 1 rows"):
        score_table.load(tmp_path / "t.parquet")
