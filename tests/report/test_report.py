"""The page, the published notebooks and the README's table."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
import viewers
from matplotlib.figure import Figure

from dfnb import profile, report
from dfnb.common.errors import UserError
from dfnb.experiment import run
from dfnb.plots import style
from dfnb.report import building, notebooks, page, publishing


def notebook(*cells: tuple[str, str]) -> nbformat.NotebookNode:
    new = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    return nbformat.v4.new_notebook(cells=[new[kind](source) for kind, source in cells])


class Reader(HTMLParser):
    """Collects ids, links, tags and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.tags, self.sources = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []
        self.sources += [values["src"]] if "src" in values else []


@pytest.fixture
def two_notebooks(tmp_path):
    first = notebook(
        ("markdown", "# What is a fake?\n\nWith $\\theta$ and\n\n$$\\cos(\\theta + m)$$\n\ncosts `$5` or 5$ and 6$."),
        ("markdown", "## Method\n\nSee [the second](02_second.ipynb)."),
        ("code", "print('<b>')"),
    )
    first.cells[2].outputs = [nbformat.v4.new_output("stream", text="<script>alert(1)</script>")]
    second = notebook(("markdown", "# And then?\n\n## Method\n\n[above](#Method)"))
    paths = [tmp_path / "01_first.ipynb", tmp_path / "02_second.ipynb"]
    for path, one in zip(paths, (first, second), strict=True):
        nbformat.write(one, path)
    return paths


def test_the_page_is_one_file_with_mathml_and_links_that_lead_somewhere(two_notebooks):
    text = page.build(two_notebooks, "Title & more", "made <here>")
    read = Reader(text)
    assert read.tags.count("math") == 2
    assert "\\theta" not in text
    assert "<code>$5</code> or 5$ and 6$" in text
    assert "script" not in read.tags
    assert "&lt;script&gt;" in text
    assert "Title &amp; more" in text
    assert "made &lt;here&gt;" in text
    assert len(read.ids) == len(set(read.ids))
    assert {link.removeprefix("#") for link in read.links} <= set(read.ids)
    assert not read.sources


def test_the_table_of_contents_names_every_heading(two_notebooks):
    text = page.build(two_notebooks, "t", "a")
    contents = text[text.index("<nav") : text.index("</nav>")]
    assert [contents.count(title) for title in ("What is a fake?", "And then?", ">Method<")] == [1, 1, 2]


def test_headings_are_in_order_and_the_page_says_what_it_is(two_notebooks):
    text = page.build(two_notebooks, "t", "a")
    levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert levels == [1, 2, 3, 2, 3]
    assert '<html lang="en">' in text
    assert 'name="viewport"' in text
    assert "default-src 'none'" in text
    assert Reader(text).tags.count("main") == 1


def with_outputs(*outputs: nbformat.NotebookNode, text: str = "# A?") -> nbformat.NotebookNode:
    one = notebook(("markdown", text), ("code", "show()"))
    one.cells[1].outputs = list(outputs)
    return one


def test_data_brings_no_html_of_its_own_and_nothing_runs():
    evil = "On **<img src=x onerror=alert(1)>**: better by $a < b$, `<b>`"
    one = with_outputs(
        nbformat.v4.new_output("execute_result", data={"text/markdown": evil}),
        nbformat.v4.new_output(
            "display_data",
            data={
                "text/html": '<p onclick="x()">kept</p><script src="https://x"></script><a href=" JavaScript:x()">y</a>'
            },
        ),
        nbformat.v4.new_output(
            "display_data",
            data={"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "interactive(...)"},
        ),
    )
    body = page.section(one, "x").body
    read = Reader(body)
    assert "img" not in read.tags
    assert "&lt;img src=x onerror=alert(1)&gt;" in body
    assert "<code>&lt;b&gt;</code>" in body
    assert read.tags.count("math") == 1
    assert "<p>kept</p>" in body
    assert not read.links
    assert not {"script", "iframe"} & set(read.tags)
    assert "interactive" not in body


def test_figures_take_their_vectors_and_tables_their_captions_along(tmp_path, shown):
    (tmp_path / "one.svg").write_text("<svg/>")
    run = SimpleNamespace(embedded=False, folder=tmp_path)
    for name in ("one", "two"):
        plot = style.Plot(Figure(figsize=(1, 1)), {"value": 1}, 'what "it" shows')
        style.show(plot, name, run=run, caption=f"<{name}> & *its* caption", private=True)
    style.table(pd.DataFrame({"network": ["<a>"], "AUC": [0.5]}), "t", run=run, caption="A caption", private=True)
    body = page.section(with_outputs(*shown), "x", tmp_path).body
    read = Reader(body)
    assert [source[:20] for source in read.sources] == ["data:image/svg+xml;b", "data:image/png;base6"]
    assert body.count("alt='what \"it\" shows'") == 2
    for name in ("one", "two"):
        assert f"<figcaption>&lt;{name}&gt; &amp; *its* caption</figcaption>" in body
    assert {link.removeprefix("#") for link in read.links} <= set(read.ids)
    assert '<th class="short" scope="row">&lt;a&gt;</th>' in body
    assert '<td class="short number">0.500</td>' in body
    assert body.count('scope="col"') == 2
    caption = re.search(r'<figcaption id="([^"]+)">A caption</figcaption>', body)[1]
    assert f'aria-labelledby="{caption}"' in body


def test_links_stay_in_the_page_or_lead_to_the_web(tmp_path):
    (tmp_path / "GLOSSARY.md").write_text("# Glossary\n\n## ROC curve\n\nA curve.\n", encoding="utf-8")
    text = "# A?\n\n[b](02_b.ipynb#What-now-%22b%22?) [c](02_b.ipynb) [d](GLOSSARY.md#roc-curve)"
    text += " [e](../dfnb/plots/page.py) [f](https://doi.org/1) [g](README.md)"
    first, second = tmp_path / "01_a.ipynb", tmp_path / "02_b.ipynb"
    nbformat.write(notebook(("markdown", text)), first)
    nbformat.write(notebook(("markdown", '# B\n\n## What now "b"?')), second)
    made = page.build([first, second], "t", "a", glossary=tmp_path / "GLOSSARY.md")
    read = Reader(made)
    assert {"#02_b-What-now-b", "#02_b", "#glossary-roc-curve", "https://doi.org/1"} <= set(read.links)
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)
    assert "#contents" in read.links
    assert "page.py" not in made


def test_japanese_is_marked_as_such_and_words_in_formulas_are_words():
    body = page.section(
        notebook(("markdown", "# A?\n\nmaps (特徴マップ), $p(\\mathrm{fake})$, $s\\cos\\theta$")), "x"
    ).body
    assert '(<span lang="ja">特徴マップ</span>)' in body
    assert "<mi>fake</mi>" in body
    assert '<mi>s</mi><mspace width="0.167em"></mspace><mi>cos</mi>' in body


def test_the_published_report_is_small_and_every_picture_has_words():
    folder = notebooks.PACKAGE.parent
    published = report.find_notebooks(folder / "notebooks")
    made = page.build(
        published, building.TITLE, "", glossary=folder / "notebooks" / "GLOSSARY.md", figures=folder / "figures"
    )
    read = Reader(made)
    assert len(made.encode()) < 15e6
    words = re.findall(r'<img [^>]*?alt="([^"]*)"', made)
    assert len(words) == read.tags.count("img") > 20
    assert min(len(word) for word in words) > 40
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)
    assert all(link.startswith(("#", "https://")) for link in read.links)
    assert len(read.ids) == len(set(read.ids))


@pytest.mark.parametrize("path", report.find_notebooks(notebooks.PACKAGE.parent / "notebooks"), ids=lambda p: p.stem)
def test_a_published_notebook_shows_everything_wherever_it_is_opened(path):
    viewers.check(nbformat.read(path, as_version=4))
    assert path.stat().st_size < 3e6


def test_published_notebooks_lose_what_papermill_added():
    one = notebook(
        ("markdown", "# A"), ("code", "profile = 'demo'"), ("code", "profile = '/somewhere/mine.yaml'"), ("code", "1")
    )
    one.metadata["papermill"] = {"output_path": "/somewhere/out.ipynb"}
    one.cells[2].metadata["tags"] = ["injected-parameters"]
    one.cells[3].metadata["papermill"] = {"duration": 3}
    one.cells[3].outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="100%|####|"),
        nbformat.v4.new_output("stream", name="stdout", text="kept"),
    ]
    cleaned = publishing.clean(one)
    nbformat.validate(cleaned)
    assert "/somewhere" not in nbformat.writes(cleaned)
    assert [output.name for output in cleaned.cells[-1].outputs] == ["stdout"]
    assert notebooks.source_hash_of(cleaned) == notebooks.source_hash_of(one)


def test_a_failing_notebook_is_named_with_its_cell_and_traceback(tmp_path):
    source, target = tmp_path / "03_bad.ipynb", tmp_path / "out" / "03_bad.ipynb"
    nbformat.write(notebook(("code", "fine = 1"), ("code", "fine / 0")), source)
    with pytest.raises(report.NotebookError, match=r"03_bad\.ipynb, cell 2: ZeroDivisionError") as error:
        report.execute(source, target, {})
    assert "fine / 0" in str(error.value)
    assert not target.exists()


MEET = """
import os, pathlib, time
here = pathlib.Path({here!r})
(here / "{name}").write_text(os.environ["OMP_NUM_THREADS"])
end = time.monotonic() + 120
while not (here / "{other}").exists() and time.monotonic() < end:
    time.sleep(0.1)
assert (here / "{other}").exists(), "executed alone"
"""


def test_notebooks_are_executed_two_at_a_time_and_one_that_fails_leaves_the_others(tmp_path):
    """The first two wait for each other, so that each alone would fail otherwise; then the first fails."""
    meet = [MEET.format(here=str(tmp_path), name=name, other=other) for name, other in (("a", "b"), ("b", "a"))]
    cells = [meet[0] + "\n1 / 0", meet[1] + "\ntime.sleep(5)", "3"]
    for number, cell in enumerate(cells, 1):
        nbformat.write(notebook(("code", cell)), tmp_path / f"0{number}_x.ipynb")
    out = tmp_path / "out"
    todo = [notebooks.Notebook(path, out, {}, "state") for path in sorted(tmp_path.glob("*.ipynb"))]
    with pytest.raises(report.NotebookError, match=r"01_x\.ipynb, cell 1: ZeroDivisionError"):
        notebooks.execute_all(todo, 2, 1)
    assert [each.is_current() for each in todo] == [False, True, False]
    assert {(tmp_path / name).read_text() for name in "ab"} == {"1"}
    nbformat.write(notebook(("code", "1")), todo[0].source)
    again = [notebooks.Notebook(each.source, out, {}, "state") for each in todo]
    assert [each.is_current() for each in again] == [False, True, False]
    notebooks.execute_all([again[0], again[2]], 1, None)
    assert all(each.is_current() for each in again)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize(
    "around", ["", "try:\n    1 / 0\nexcept ZeroDivisionError:\n    "], ids=["plain", "within another"]
)
def test_a_full_disk_is_one_line(tmp_path, around):
    source, target = tmp_path / "07_full.ipynb", tmp_path / "out" / "07_full.ipynb"
    nbformat.write(notebook(("code", f"{around}with open('/dev/full', 'w') as file: file.write('x')")), source)
    with pytest.raises(UserError, match=r"^07_full\.ipynb, cell 1: the disk is full; free some space and run it again"):
        report.execute(source, target, {})
    assert not list(target.parent.iterdir())


def test_an_unknown_parameter_stops_a_notebook(tmp_path):
    source = tmp_path / "01_x.ipynb"
    cells = notebook(
        ("code", "profile = 'demo'\noverrides = {}"), ("code", "import dfnb\nrun = dfnb.open_run(profile, overrides)")
    )
    cells.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(cells, source)
    report.execute(source, tmp_path / "good.ipynb", {"profile": "smoke"})
    with pytest.raises(UserError, match=r"01_x\.ipynb, cell 3: unknown parameter profil"):
        report.execute(source, tmp_path / "bad.ipynb", {"profil": "paper"})


@pytest.fixture
def results():
    rows = [
        ("plain-linear", 0, "celeb-df", "Celeb-DF-like", "video", True, 0.9, 0.85, 0.95),
        ("plain-linear", 0, "celeb-df", "Celeb-DF-like", "frame", True, 0.1, 0.0, 0.2),
        ("proposed-arcface", 0, "celeb-df", "Celeb-DF-like", "video", True, 0.95, 0.9, 1.0),
        ("proposed-arcface", 0, "ffiw", "FFIW-like", "video", True, 0.8, 0.7, 0.9),
    ]
    return pd.DataFrame(
        rows, columns=["network", "seed", "part", "dataset", "level", "size_rule", "auc", "low", "high"]
    )


def test_the_readme_table_holds_the_video_numbers_of_the_file_and_no_others(results, tmp_path):
    results.to_csv(tmp_path / "results.csv", index=False)
    record = {
        "profile": profile.load("demo").model_dump(mode="json"),
        "environment": {"hardware": "some CPU", "versions": {"torch": "2.0"}},
        "seconds": 600,
        "embedded_benchmark": True,
    }
    (tmp_path / "results.json").write_text(json.dumps(record))
    readme = "# x\n<!-- results: written by `dfnb report --publish` -->\nold\n<!-- end of results -->\nrest"
    text = publishing.with_results(readme, tmp_path)
    assert "| proposed + ArcFace | 0.950 (0.900 to 1.000) | 0.800 (0.700 to 0.900) |" in text
    assert "0.100" not in text
    assert "old" not in text
    assert "rendered heads, no real people" in text
    assert text.endswith("rest")
    assert publishing.with_results(text, tmp_path) == text
    with pytest.raises(UserError, match="markers"):
        publishing.with_results("# no markers", tmp_path)


def test_no_notebooks_are_named(tmp_path):
    with pytest.raises(UserError, match="no numbered notebooks"):
        report.find_notebooks(tmp_path)


def test_a_run_with_overrides_has_a_folder_of_its_own():
    plain, changed = run.open_run("smoke"), run.open_run("smoke", {"train.steps": 5})
    assert plain.folder.name == "smoke"
    assert changed.folder.name.startswith("smoke-")
    assert changed.folder.name == run.open_run("smoke", {"train.steps": 5}).folder.name


def test_an_unknown_part_or_network_lists_the_known_ones():
    smoke = run.open_run("smoke")
    with pytest.raises(UserError, match="celeb-df"):
        smoke.clips("celebdf")
    with pytest.raises(UserError, match="proposed-arcface"):
        smoke.find("propsed")
