"""Widgets appear where someone can use them, and nowhere else; they show the figure that their controls ask for."""

from types import SimpleNamespace

import cv2
import ipywidgets as ipw
import nbformat
import numpy as np
import pandas as pd
import pytest
import viewers
from drawn_faces import landmarks, picture
from jupyter_client.manager import start_new_kernel

from dfnb import networks, report, scoring
from dfnb.analysis import attention_maps, operating_points
from dfnb.data import catalogues, store
from dfnb.plots import blend_choices, style
from dfnb.plots import widgets as widgets_base
from dfnb.report import page, publishing, widgets
from dfnb.sbi import SelfBlender
from dfnb.scoring import metrics

OFFER = "import ipywidgets\nfrom dfnb import plots\nplots.offer(ipywidgets.IntSlider, value=3)"
VIEW = "application/vnd.jupyter.widget-view+json"


def test_no_widget_is_made_outside_a_notebook(capsys):
    assert not widgets_base.interactive()
    widgets_base.offer(pytest.fail, "a widget was made")
    assert capsys.readouterr().out == ""


def test_only_a_front_end_that_accepts_input_gets_the_widget():
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
    cleaned = publishing.clean(one)
    assert VIEW not in nbformat.writes(cleaned)
    assert "kept" in nbformat.writes(cleaned)


def controls(widget: ipw.Widget) -> dict[str, ipw.Widget]:
    """A widget's controls by their descriptions."""
    inner = {name: part for child in getattr(widget, "children", ()) for name, part in controls(child).items()}
    return inner | ({widget.description: widget} if getattr(widget, "description", "") else {})


def last(shown: list) -> tuple[str, str]:
    """The last figure's picture."""
    return viewers.image([output for output in shown if "figure" in output.metadata][-1])


def of(plot: style.Plot, run: SimpleNamespace, shown: list) -> tuple[str, str]:
    """The picture of a figure as a notebook shows it."""
    style.show(plot, "x", run=run, caption="x", private=True)
    picture = last(shown)
    del shown[-2:]
    return picture


def test_the_sliders_of_self_blending_show_the_pair_for_their_values(shown):
    faces = [SimpleNamespace(rgb=picture(420, 400, seed), landmarks=landmarks()) for seed in range(2)]
    run, blender = SimpleNamespace(embedded=True), SelfBlender()
    moved = controls(widgets.self_blending(run, faces, blender, seed=5))
    assert last(shown) == of(blend_choices.pair(faces[0], blender, 5), run, shown)
    values = {"ratio": 0.45, "amplitude": 7.5, "soften": 3.0, "colour": -14.0}
    labels = {name: choice.label for name, choice in blend_choices.choices(blender).items()}
    moved["picture"].value = 1
    for name, value in values.items():
        before, moved[labels[name]].value = last(shown), value
        assert last(shown) != before, name
    plot = blend_choices.pair(faces[1], blender, 5, **values)
    assert last(shown) == of(plot, run, shown)
    assert f"{plot.numbers['mean_difference_levels']:.2f} of 255 levels" in shown[-1].data["text/plain"]


def test_the_threshold_slider_shows_its_figure_and_its_confusion_table(shown, tmp_path):
    rng, label = np.random.default_rng(3), np.repeat(["real", "fake"], (40, 60))
    videos = pd.DataFrame({"label": label, "score": rng.uniform(0.2 * (label == "fake"), 1)})
    run = SimpleNamespace(
        folder=tmp_path, embedded=True, tests=("ff",), title=str, video_scores=lambda part, name: videos
    )
    moved = controls(widgets.threshold(run, ["plain-linear", "proposed-arcface"]))
    moved["threshold"].value = 0.65
    moved["network"].value = "plain-linear"
    caption, table = shown[-2:]
    assert last(shown) == of(operating_points.figure(videos, "plain-linear", [0.65]), run, shown)
    row = operating_points.confusion(videos, {"a": 0.65}).iloc[0]
    assert f"{row['real called fake, share']:.0%} of the real videos are called fake" in caption.data["text/plain"]
    for a in ("real", "fake"):
        assert str(row[f"{a} called fake"]) in viewers.rows(table.data["text/html"])[1]


def test_the_attention_list_shows_the_maps_of_the_chosen_video(shown, videos, tmp_path):
    table = catalogues.faces_folder(videos)
    store.prepare(table, tmp_path / "faces", frames=2, keep="all", jobs=1, progress=False)
    found = store.open_store(tmp_path / "faces")
    net = networks.build("proposed", "arcface", "tf_efficientnet_lite0", pretrained=False, seed=0).eval()
    scored = scoring.score_store(net, found, 64).table
    run = SimpleNamespace(
        network=lambda name: net, tests=("ff",), title=str, embedded=False, store=lambda part: found,
        scores=lambda part, name: scored,
        profile=SimpleNamespace(evaluate=SimpleNamespace(size_rule=True), model=SimpleNamespace(size=64)),
    )  # fmt: skip
    moved = controls(widgets.attention(run, "proposed-arcface"))
    values = metrics.video_scores(scored)
    assert len(moved["video"].options) == len(values)
    assert len(shown) == 2  # a picture with its caption before anyone moves anything
    moved["order"].value = "highest score first"
    assert moved["video"].value[2] == values.loc[values["score"].idxmax(), "video"]
    name = "real/two people"
    moved["video"].value = next(value for _, value in moved["video"].options if value[2].startswith(name))
    chosen = found.subset(found.manifest["video"].str.startswith(name).to_numpy())
    assert moved["face"].max == len(chosen) - 1 == 3
    predicted = attention_maps.predict(net, chosen, 64)
    for face in (3, 0):
        moved["face"].value = face
        assert f"score {predicted.scores[face]:.2f}" in shown[-1].data["text/plain"]
        assert last(shown) == of(widgets.one_face(predicted, face), run, shown)


def test_one_face_is_enlarged_and_has_a_blank_place_where_nothing_was_manipulated():
    crops, masks = np.stack([picture(64, 64)] * 2), np.ones((2, 64, 64), np.float32)
    predicted = attention_maps.Predictions(crops, np.ones((2, 2, 2)), masks, np.array([0.2, 0.8]), pd.DataFrame())
    true = np.stack([np.zeros((64, 64)), np.ones((64, 64))]).astype(np.float32)
    for face, cells in ((0, 3), (1, 4)):
        axes = widgets.one_face(predicted, face, true).figure.axes
        assert len(axes) == cells
        large = cv2.resize(crops[face], (256, 256), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_array_equal(axes[0].images[0].get_array(), large)
