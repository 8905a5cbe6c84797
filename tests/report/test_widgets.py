"""Widgets appear where someone can move them, and nowhere else."""

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from dfnb import report
from dfnb.plots import widgets as widgets_base
from dfnb.report import notebooks, page

OFFER = "import ipywidgets\nfrom dfnb import plots\nplots.offer(ipywidgets.IntSlider, value=3)"
VIEW = "application/vnd.jupyter.widget-view+json"


def test_there_is_nobody_to_move_a_slider_outside_a_notebook(capsys):
    assert not widgets_base.interactive()
    widgets_base.offer(pytest.fail, "a widget was made")
    assert capsys.readouterr().out == ""


def test_a_front_end_that_takes_input_gets_the_widget_and_no_other():
    manager, client = start_new_kernel()
    try:
        for someone in (True, False):
            shown: list[dict] = []
            client.execute_interactive(
                OFFER,
                allow_stdin=someone,
                timeout=120,
                stdin_hook=lambda _: None,
                output_hook=lambda message, shown=shown: shown.append(message["content"].get("data", {})),
            )
            assert any(VIEW in data for data in shown) == someone
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_papermill_leaves_no_dead_widget(tmp_path):
    cells = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(OFFER)])
    nbformat.write(cells, tmp_path / "01_x.ipynb")
    report.execute(tmp_path / "01_x.ipynb", tmp_path / "out.ipynb", {})
    done = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert [output for cell in done.cells for output in cell.outputs if output.output_type != "stream"] == []
    assert "widgets" not in done.metadata


def test_widgets_of_a_notebook_saved_by_hand_reach_neither_the_published_one_nor_the_page():
    cell = nbformat.v4.new_code_cell("widgets_base.offer(...)")
    cell.outputs = [
        nbformat.v4.new_output("display_data", {VIEW: {"model_id": "a1", "version_major": 2}, "text/plain": "VBox()"}),
        nbformat.v4.new_output("display_data", {"text/html": "<p>kept</p>"}),
    ]
    one = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A"), cell])
    one.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"a1": {}}, "version_major": 2}}
    body = page.section(one, "01_x").body
    assert "kept" in body
    assert "VBox" not in body
    assert "<script" not in body
    cleaned = notebooks.clean(one)
    assert VIEW not in nbformat.writes(cleaned)
    assert "kept" in nbformat.writes(cleaned)
