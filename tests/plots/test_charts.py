"""The report's figures: the numbers they show, the words beside them, what they leave on disk."""

import base64
import hashlib
import io
import json
from types import SimpleNamespace

import matplotlib as mpl
import mistune
import numpy as np
import pandas as pd
import pytest
import viewers
from bs4 import BeautifulSoup
from faces_in_memory import DrawnFaces
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image
from sklearn.metrics import roc_auc_score

from dfnb import networks
from dfnb.plots import charts, diagrams, pictures, style, tables
from dfnb.sbi import FAKES, PairDataset, SelfBlender
from dfnb.sbi.degrade import Degradation
from dfnb.sbi.masks import KINDS

NETWORKS = ["plain-linear", "network1-linear", "network2-linear", "proposed-linear", "proposed-arcface"]


def videos(shift: float, n: int = 40, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    label = np.repeat(["real", "fake"], n)
    score = rng.normal(np.where(label == "fake", shift, 0.0))
    return pd.DataFrame({"label": label, "score": score, "group": np.tile(np.arange(n) // 2, 2).astype(str)})


def a_run(tmp_path, embedded: bool = True) -> SimpleNamespace:
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(b"weights")
    return SimpleNamespace(
        folder=tmp_path,
        embedded=embedded,
        profile=SimpleNamespace(name="smoke", hash=lambda: "0123"),
        networks=[SimpleNamespace(name="proposed-linear", folder="proposed-linear-s0")],
        judged=[],
        trained=lambda network: checkpoint,
    )


def test_roc_holds_the_areas_and_curves_that_another_library_gives():
    scored = {name: videos(k / 2, 41) for k, name in enumerate(NETWORKS)}
    plot = charts.roc(scored, "Test", draws=50)
    for name, frame in scored.items():
        curve = plot.numbers[(plot.numbers["network"] == name) & (plot.numbers["curve"] == "roc")]
        area = np.trapezoid(curve["tpr"], curve["fpr"])
        assert area == pytest.approx(roc_auc_score(frame["label"] == "fake", frame["score"]), abs=1e-12)
        assert f"{style.look(name).label} {area:.3f}" in plot.alt


def test_roc_band_covers_the_curve_and_narrows_with_more_groups():
    widths = []
    for n in (20, 320):
        frame = videos(1.0, n)
        low, high = charts.roc_band(
            (frame["label"] == "fake").to_numpy(), frame["score"], frame["group"].to_numpy(), 200
        )
        assert (low <= high).all()
        assert low.min() >= 0
        assert high.max() <= 1
        widths.append((high - low).mean())
    assert widths[1] < 0.5 * widths[0]  # about a quarter, as the square root of 16 says


def test_every_network_has_a_look_of_its_own_in_colour_and_without():
    looks = [style.look(name) for name in [*NETWORKS, "plain-norm-linear"]]
    assert len({look.colour for look in looks}) == len({str(look.dashes) for look in looks}) == len(looks)
    assert len({look.marker for look in looks}) == len(looks)
    assert style.look("network1-arcface") != style.look("network1-linear")
    assert style.look("something-linear").label == "something"
    assert style.look("plain-norm") == style.look("plain-norm-linear")  # a hyphen in a variant's name
    assert style.look("plain-norm-arcface").label == "plain backbone + batch norm + ArcFace"
    assert style.look("plain").note == style.look("plain-linear").note != style.look("plain-norm").note
    grey = [float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722))) for colour in (style.REAL, style.FAKE)]
    assert abs(grey[0] - grey[1]) > 0.1  # the two classes differ in a grey print as well


def test_networks_keep_their_colour_in_every_chart():
    results = pd.DataFrame({"network": NETWORKS, "seed": 0, "dataset": "A", "auc": 0.8, "low": 0.7, "high": 0.9})
    history = pd.DataFrame({"step": [1, 2], "class_loss": [1.0, 0.5], "validation_auc": [0.5, 0.6]})
    drawn = [
        charts.roc({name: videos(1.0) for name in NETWORKS}, "A", draws=10),
        charts.forest(results),
        charts.learning_curves(dict.fromkeys(NETWORKS, history)),
    ]
    for chart in drawn:
        drawn = {line.get_color() for axes in chart.figure.axes for line in axes.lines}
        assert {style.look(name).colour for name in NETWORKS} <= drawn


def test_forest_shows_every_seed_and_interval():
    rows = [
        {"network": n, "seed": s, "dataset": d, "auc": 0.8 + 0.01 * s, "low": 0.7, "high": 0.9}
        for n in NETWORKS
        for s in range(3)
        for d in ("A", "B")
    ]
    plot = charts.forest(pd.DataFrame(rows))
    for axes in plot.figure.axes:
        bars = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_linewidth() > 1]
        assert len(bars) == 15
        assert all(tuple(bar.get_xdata()) == (0.7, 0.9) for bar in bars)


def test_margins_are_the_shifted_cosine():
    plot = charts.margins([0.0, 0.3], scale=16.0)
    for margin, curve in plot.numbers.groupby("margin"):
        expected = 16 * np.cos(np.radians(curve["degrees"]) + margin)
        np.testing.assert_allclose(curve["logit"], expected, atol=1e-6)


def test_face_sizes_and_ridges_keep_every_value():
    rng = np.random.default_rng(0)
    plot = charts.face_sizes({"a": rng.uniform(50, 200, 70), "b": rng.uniform(80, 90, 30)}, needed=128)
    assert plot.numbers.groupby("set")["faces"].sum().to_dict() == {"a": 70, "b": 30}
    values = {"net": {"real": rng.normal(size=50), "FaceSwap": rng.normal(size=2), "none": np.array([])}}
    numbers = charts.ridges(values, "angle").numbers
    assert numbers.groupby("group").size().to_dict() == {"real": 50, "FaceSwap": 2}


def test_ridges_are_drawn_to_their_ends_on_a_scale_of_each_panel():
    rng = np.random.default_rng(0)
    narrow, wide = ({"real": rng.normal(90, sd, 200), "FaceSwap": rng.normal(80, 3 * sd, 200)} for sd in (1, 10))
    panels = charts.ridges({"narrow": narrow, "wide": wide}, "angle").figure.axes
    assert np.ptp(panels[0].get_xlim()) < np.ptp(panels[1].get_xlim()) / 5
    for axes in panels:
        outlines = [line.get_ydata() for line in axes.lines if len(line.get_xdata()) > 2]
        assert len(outlines) == 2
        assert all(abs(y[end] - k) < 0.01 for k, y in enumerate(outlines) for end in (0, -1))


def test_show_writes_picture_vector_numbers_and_where_they_come_from(tmp_path, shown):
    run = a_run(tmp_path)
    plot = charts.forest(
        pd.DataFrame({"network": ["proposed-linear"], "seed": 0, "dataset": "A", "auc": 0.8, "low": 0.7, "high": 0.9})
    )
    style.show(plot, "auc", run=run, caption="Areas & more.", networks=["proposed-linear"])
    folder = tmp_path / "report" / "figures"
    about = json.loads((folder / "auc.json").read_text())
    assert about["files"] == ["auc.png", "auc.svg", "auc.csv"]
    assert pd.read_csv(folder / "auc.csv")["auc"].tolist() == [0.8]
    assert about["checkpoints"] == {"proposed-linear-s0": hashlib.sha256(b"weights").hexdigest()}
    assert about["run"] == "smoke"
    assert style.NOTICE in about["caption"]
    with Image.open(folder / "auc.png") as image:
        assert image.size[0] == round(style.WIDTH * style.DPI)
    assert (folder / "auc.png").stat().st_size < style.LARGEST
    figure, caption = shown
    kind, data = viewers.image(figure)
    assert (kind, base64.b64decode(data)) == ("image/png", (folder / "auc.png").read_bytes())
    assert figure.metadata[kind]["alt"].startswith("ROC AUC with 95 % interval. A, proposed: 0.800")
    assert caption.data["text/markdown"].startswith("**Figure.** Areas &amp; more.")


def test_photographs_keep_their_colours_and_are_no_longer_than_a_notebook_can_bear(tmp_path, shown):
    y, x = np.mgrid[:300, :300]
    smooth = np.stack([x * 0.8, y * 0.8, (x + y) * 0.4], 2)
    faces = [[np.uint8(smooth + np.random.default_rng(k).integers(0, 12, smooth.shape)) for k in range(3)]]
    small, large = (pictures.grid([row], alt="A surface of many colours.") for row in (faces[0][:1], faces[0]))
    small.figure.set_size_inches(1, 1)
    (tmp_path / "report" / "figures").mkdir(parents=True)
    (tmp_path / "report" / "figures" / "many.png").write_bytes(b"of an earlier report")
    for plot, kind in ((small, "png"), (large, "jpg")):
        shown.clear()
        style.show(plot, "many", run=a_run(tmp_path), caption="Many colours.")
        (path,) = [p for p in (tmp_path / "report" / "figures").glob("many.*") if p.suffix in (".png", ".jpg")]
        assert path.suffix == f".{kind}"
        assert json.loads(path.with_suffix(".json").read_text())["files"] == [path.name]
        data = base64.b64decode(viewers.image(shown[0])[1])
        assert path.read_bytes() == data
        assert len(data) < style.LARGEST
        exact = np.asarray(Image.open(io.BytesIO(style.encode(plot.figure, "png"))).convert("RGB"), int)
        seen = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)
        assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 1000
        assert np.abs(seen - exact).mean() < 2


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1))
def test_a_caption_shows_its_words_as_they_stand(words):
    html = mistune.html(f"**Figure.** {style.in_markdown(words)}")
    assert BeautifulSoup(html, "html.parser").get_text().strip() == f"Figure. {words}".strip()


def test_show_gives_the_same_bytes_again(tmp_path, shown):
    run, files = a_run(tmp_path), []
    for _ in range(2):
        plot = charts.margins([0.0, 0.2], 16.0)
        style.show(plot, "margins", run=run, caption="Margins.")
        files.append([(tmp_path / "report/figures" / f"margins.{kind}").read_bytes() for kind in ("png", "svg", "csv")])
    assert files[0] == files[1]


def test_show_refuses_a_figure_without_words(tmp_path, shown):
    plot = charts.margins([0.0], 16.0)
    with pytest.raises(ValueError, match="alt text"):
        style.show(style.Plot(plot.figure, {}, " "), "x", run=a_run(tmp_path), caption="Something.")
    with pytest.raises(ValueError, match="caption"):
        style.show(plot, "x", run=a_run(tmp_path), caption="")


def test_only_the_embedded_benchmark_carries_the_notice(tmp_path, shown):
    frame = pd.DataFrame({"network": ["a <b>"], "auc": [0.98765], "tiny": [1e-9], "none": [np.nan]})
    style.table(frame, "t", run=a_run(tmp_path, embedded=False), caption="Table.")
    style.table(frame, "t", run=a_run(tmp_path), caption="Table.")
    style.table(frame, "t", run=a_run(tmp_path), caption="Other data.", embedded=False)
    assert [style.NOTICE in output.data["text/html"] for output in shown] == [False, True, False]
    assert [style.NOTICE in output.data["text/plain"] for output in shown] == [False, True, False]
    head, row = viewers.rows(shown[0].data["text/html"])
    assert head == ["network", "auc", "tiny", "none"]
    assert row == ["a <b>", "0.988", "1.0e−09", "–"]
    assert shown[0].data["text/plain"].split() == " ".join(["Table.", *head, *row]).split()
    written = pd.read_csv(tmp_path / "report/figures/t.csv")
    assert written["auc"].tolist() == [0.98765]  # on disk in full


def test_drawing_leaves_the_readers_own_style_alone():
    before = dict(mpl.rcParams)
    charts.margins([0.0], 16.0)
    assert dict(mpl.rcParams) == before


def a_face(size: int = 160) -> SimpleNamespace:
    """A made-up face: landmarks on ellipses, smooth colours."""
    angle = np.linspace(np.pi, 0, 17)
    jaw = np.stack([80 + 45 * np.cos(angle), 70 + 60 * np.sin(angle)], 1)
    brows = np.stack([np.r_[np.linspace(45, 72, 5), np.linspace(88, 115, 5)], np.full(10, 58)], 1)
    nose = np.stack([np.r_[np.full(4, 80), np.linspace(72, 88, 5)], np.r_[np.linspace(65, 85, 4), np.full(5, 92)]], 1)
    eyes = np.concatenate([[[x + 8 * np.cos(t), 68 + 4 * np.sin(t)] for t in np.arange(6)] for x in (60, 100)])
    mouth = np.array([[80 + 18 * np.cos(t), 108 + 7 * np.sin(t)] for t in np.linspace(0, 6, 20)])
    points = np.concatenate([jaw, brows, nose, eyes, mouth]).astype(np.float32)
    y, x = np.mgrid[:size, :size]
    rgb = np.stack([x + 40, y + 30, (x + y) // 2 + 20], 2).astype(np.uint8)
    return SimpleNamespace(rgb=rgb, landmarks=points, box=(35.0, 20.0, 125.0, 130.0))


def test_pictures_of_self_blending_show_one_draw():
    face = a_face()
    steps = SelfBlender().explain(face.rgb, face.landmarks, np.random.default_rng(0), ratio=0.5)
    plot = pictures.sbi_steps(steps)
    assert len(plot.figure.axes) == 10
    assert plot.numbers["draw"]["ratio"] == 0.5
    assert not plot.vector
    assert "ratio 0.5" in plot.alt
    diagram = diagrams.sbi(steps)
    assert diagram.numbers["changed"] == steps.draw.changed
    assert pictures.hull_kinds(face).numbers.shape == (len(KINDS) + 1, 2)


def test_pictures_of_fakes_and_degradations_show_every_kind():
    pairs = PairDataset(DrawnFaces(3, seed=1), size=128)
    pairs.store.manifest["group"] = ["a", "b", "c"]
    pairs.store.landmarks = np.stack([face.landmarks for face in pairs.store.faces])
    numbers = pictures.fakes(pairs, (0, 2)).numbers
    assert list(numbers["kind"]) == [*FAKES, *FAKES]
    assert (numbers["mean_difference_levels"] > 0.2).all()
    named = {text.get_text() for text in pictures.fakes(pairs, (0, 2), ["hers", "his"]).figure.texts}
    assert {"hers", "his"} < named
    lost = pictures.degradations(pairs.images(0), Degradation()).numbers.set_index("step")["mean_change_levels"]
    assert list(lost.index) == ["none", "gamma", "shrink", "blur", "noise", "h264"]
    assert lost["none"] == 0
    assert (lost.drop("none") > 0.5).all()


def test_higher_blend_ratios_differ_more():
    levels = pictures.ratios(a_face(), SelfBlender(), (0.25, 0.5, 1.0)).numbers["mean_difference_levels"]
    assert levels.is_monotonic_increasing
    assert levels.iloc[2] == pytest.approx(4 * levels.iloc[0], rel=0.1)


def test_pictures_of_masks_are_what_they_say():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    mask = np.zeros((40, 40), np.float32)
    mask[10:30, 10:30] = 1
    drawn = pictures.outlined(rgb, mask, dim=0.4)
    np.testing.assert_array_equal(drawn[13:27, 13:27], rgb[13:27, 13:27])
    np.testing.assert_array_equal(drawn[:8], np.rint(rgb[:8] * 0.6).astype(np.uint8))
    np.testing.assert_array_equal(pictures.grey(mask)[..., 1], mask * 255)
    assert pictures.difference(rgb, rgb, 8).max() == 0
    dark, bright = (pictures.heat(rgb, np.full((2, 2), value)).mean() for value in (0.0, 1.0))
    assert dark < bright  # the scale is fixed: an even map isn't stretched


@pytest.mark.parametrize("variant", ["plain", "plain-norm", "network1", "network2", "proposed"])
def test_the_diagram_reads_its_numbers_from_the_model(variant):
    net = networks.build(variant, "linear", "tf_efficientnet_lite0", pretrained=False)
    plot = diagrams.network(net)
    assert tuple(plot.numbers["taps"]) == net.taps
    assert plot.numbers["vector"] == net.head.in_features
    assert [plot.numbers["reduction"][k] for k in range(1, 8)] == [2, 4, 8, 16, 16, 32, 32]
    texts = {text.get_text() for axes in plot.figure.axes for text in axes.texts}
    assert (f"{net.head.in_features} numbers" in texts) is (variant == "plain")  # the others' with batch norm
    assert {str(plot.numbers["channels"][k]) for k in range(1, 8)} <= texts


@pytest.mark.parametrize(("backbone", "last"), [("vit_xsmall_patch16_clip_224", 10), ("convnext_atto", 4)])
def test_the_diagram_of_another_backbone_shows_its_taps_among_at_most_seven_blocks(backbone, last):
    net = networks.build("network2", "arcface", backbone, pretrained=False, size=64)
    plot = diagrams.network(net)
    drawn = plot.numbers["channels"]
    assert {*net.taps, 1, last} <= set(drawn) <= set(range(1, last + 1))
    assert len(drawn) == min(last, 7)
    info = [(stage["num_chs"], stage["reduction"]) for stage in net.backbone.feature_info]
    assert [(drawn[k], plot.numbers["reduction"][k]) for k in drawn] == [info[k - 1] for k in drawn]


def test_the_papers_numbers_stand_in_one_place():
    assert [row for row in tables.paper("taps")["AUC in the paper"]] == [0.9344, 0.9374, 0.9442]
    counts = tables.paper("videos").set_index("set")
    assert counts.loc["Celeb-DF", ["real", "fake"]].sum() == 518
    assert counts.loc["FFIW", ["real", "fake"]].sum() == 500
