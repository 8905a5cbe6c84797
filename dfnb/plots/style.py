"""How a figure or a table reaches the page and the disk: one style, alt text, caption, numbers, provenance.

`show` and `table` display in a notebook and write into `<run>/report/figures/`: NAME.png or, for photographs, NAME.jpg
(and NAME.svg where vectors make sense), NAME.csv with the plotted numbers, and NAME.json, which says what the rest is:
caption, alt text, profile, data and the hashes of the checkpoints behind it.

What they display are a notebook's standard outputs, so that every viewer shows them: a picture, Markdown, a table
without a style sheet. An output's metadata name it: `figure`, `caption` (of a figure) or `table`.
"""

import base64
import html
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from pandas.io.formats.style import Styler
from PIL import Image

from dfnb.common import files
from dfnb.networks.heads import HEADS

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

NOTICE = "Embedded benchmark: rendered heads, no real people; not comparable with published numbers."
WIDTH = 7.4  # inches of a figure as wide as the text
DPI = 130
LARGEST = 300_000  # bytes of a PNG of photographs
PICTURES = {"png": "image/png", "jpg": "image/jpeg"}  # types by the ending of a file's name; every viewer shows them
INK, FAINT, GRID = "#222222", "#6E6E6E", "#DDDDDD"
REAL, FAKE = "#075E64", "#D072A8"  # classes: dark teal and light pink differ in grey too

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 2.0,
    "legend.frameon": False,
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "dfnb",  # the same figure gives the same file
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Look:
    """How a network is called and drawn, everywhere: colour, dash pattern and marker each tell it from the others.

    note: a remark that follows the label in the README's table.
    """

    label: str
    colour: str
    dashes: Any
    marker: str
    width: float = 1.9
    note: str = ""


LOOKS: dict[str, Look] = {  # by variant; Okabe and Ito's colours, safe for the colour-blind
    "plain": Look("plain backbone", "#444444", (0, (1, 1.3)), "X", note="SBI's baseline"),
    "plain-norm": Look("plain backbone + batch norm", "#56B4E9", (0, (3, 1.2, 1, 1.2, 1, 1.2)), "P"),
    "network1": Look("network1", "#E69F00", (0, (5, 1.5)), "o"),
    "network2": Look("network2", "#009E73", (0, (6, 1.5, 1, 1.5)), "s"),
    "proposed": Look("proposed", "#0072B2", (0, (9, 1.5)), "^"),
}
OTHERS = ("#CC79A7", "#8C564B", "#5B2A86", "#7A7A00", "#A6761D", "#1B7F8C")  # of names that aren't in the report
DASHES = ((0, (3, 3)), (0, (4, 1, 1, 1)), (0, (2, 1)), (0, (7, 2, 2, 2)))
MARKERS = ("v", "<", ">", "p", "h")
HEAD_LABELS = {"arcface": "ArcFace"}  # others go by their name


def look(network: str) -> Look:
    """The look of a network by its name, such as "proposed-arcface"; also of names this report doesn't know."""
    if network == "proposed-arcface":
        return Look("proposed + ArcFace", "#C1440E", "-", "D", 2.6)
    variant, _, head = network.rpartition("-")  # a variant's name may have a hyphen
    if head not in HEADS:
        variant = network
    of = LOOKS.get(variant) or _other(variant)
    if head in HEADS and head != "linear":
        return Look(f"{of.label} + {HEAD_LABELS.get(head, head)}", of.colour, "-", of.marker)
    return of


def _other(name: str) -> Look:
    """The look of a name that isn't in the report: always the same of one name, mostly another of another name."""
    number = zlib.crc32(name.encode())
    chosen = [of[number // len(OTHERS) ** place % len(of)] for place, of in enumerate((OTHERS, DASHES, MARKERS))]
    return Look(name, *chosen)


@dataclass
class Plot:
    """A figure with the numbers it was drawn from and the words for those who can't see it.

    numbers: a row per plotted point or bar, or a dict of a few values. vector: whether an SVG is worth having.
    """

    figure: Figure
    numbers: pd.DataFrame | Mapping[str, Any]
    alt: str
    vector: bool = True


@contextmanager
def styled() -> Iterator[None]:
    """Everything drawn inside has the report's style; matplotlib's own settings are left as they were."""
    with mpl.rc_context({**mpl.rcParamsDefault, "backend": mpl.rcParams["backend"], **STYLE}):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of the report, sizes in inches. It isn't known to pyplot, so nothing shows it a second time."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the indices 0..count-1, evenly spread: which of many are shown."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))


def apart(places: Sequence[float], gap: float) -> list[float]:
    """The places moved as little as needed so that no two are nearer than `gap`: where labels of lines can stand.

    Their order stays. By pooling neighbours (isotonic regression of the places minus their rank times the gap).
    """
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(places, kind="stable")
    shifted = np.asarray(places, float)[order] - gap * np.arange(len(places))
    out = np.empty(len(places))
    out[order] = isotonic_regression(shifted) + gap * np.arange(len(places))
    return out.tolist()


def name_lines(axes: Axes, ends: Mapping[str, tuple[float, float]], gap: float = 0.09) -> None:
    """Networks' names beside the right ends (x, y) of their lines, instead of a legend.

    gap: between two names, as a share of the axis, whose limits must be set before.
    """
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    for (name, (x, y)), place in zip(
        ends.items(), apart([y for _, y in ends.values()], gap * (high - low)), strict=True
    ):
        colour = look(name).colour
        axes.annotate(
            look(name).label, (x, y), (right + 0.05 * (right - left), place), fontsize=9.5, color=colour, va="center",
            annotation_clip=False, arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.7, "relpos": (0, 0.5)},
        )  # fmt: skip


def show(
    plot: Plot,
    name: str,
    *,
    run: "Run",
    caption: str,
    alt: str | None = None,
    networks: Sequence[str] = (),
    embedded: bool = True,
    private: bool = False,
) -> None:
    """Display a figure with its caption and alt text, and write it with its numbers (see the module).

    caption: what is drawn, as HTML-free text; on the embedded benchmark the notice is added.
    alt: for those who can't see it; the plot's own words unless given. networks: whose checkpoints it rests on.
    embedded: False where the numbers aren't the embedded benchmark's, though the run is of it.
    private: of a reader's own video: only shown and not written, since the report's files may be published.
    Raises ValueError without words: a figure nobody can read out is not finished.
    """
    alt = " ".join((alt or plot.alt).split())
    caption = _caption(caption, run, embedded and not private)
    if not alt:
        raise ValueError(f"figure {name} has no alt text")
    kind, image = picture(plot)
    if not private:
        _keep(plot, kind, image, name, run, caption, alt, networks, embedded)
    about = {"alt": alt, "width": round(plot.figure.get_figwidth() * 110)}
    mime, data = PICTURES[kind], base64.b64encode(image).decode()
    display({mime: data, "text/plain": alt}, metadata={mime: about, "figure": name}, raw=True)
    words = {"text/markdown": f"**Figure.** {in_markdown(caption)}", "text/plain": caption}
    display(words, metadata={"caption": name}, raw=True)


def _keep(
    plot: Plot,
    kind: str,
    image: bytes,
    name: str,
    run: "Run",
    caption: str,
    alt: str,
    networks: Sequence[str],
    embedded: bool,
) -> None:
    """Write a figure into the report with its numbers and what it is."""
    folder = run.folder / "report" / "figures"
    written = [f"{name}.{kind}"]
    for ending in PICTURES.keys() - {kind}:
        (folder / f"{name}.{ending}").unlink(missing_ok=True)  # of an earlier report
    _write(folder / f"{name}.{kind}", image)
    if plot.vector:
        _write(folder / f"{name}.svg", encode(plot.figure, "svg"))
        written.append(f"{name}.svg")
    about = {"kind": "figure", "alt": alt, "caption": caption}
    if isinstance(plot.numbers, pd.DataFrame):
        _write(folder / f"{name}.csv", plot.numbers.to_csv(index=False, float_format="%.6g").encode())
        written.append(f"{name}.csv")
    else:
        about["numbers"] = dict(plot.numbers)
    _describe(folder, name, about, written, run, networks, embedded)


def table(
    frame: pd.DataFrame,
    name: str,
    *,
    run: "Run",
    caption: str,
    digits: int = 3,
    networks: Sequence[str] = (),
    embedded: bool = True,
    private: bool = False,
) -> None:
    """Display a table with its caption, and write it as CSV with its description beside it.

    Floats are shown with `digits` decimals and written in full. The index isn't shown.
    embedded: False where the numbers aren't the embedded benchmark's, such as the paper's. private: see `show`.
    """
    caption = _caption(caption, run, embedded and not private)
    folder = run.folder / "report" / "figures"
    if not private:
        _write(folder / f"{name}.csv", frame.to_csv(index=False).encode())
        _describe(folder, name, {"kind": "table", "caption": caption}, [f"{name}.csv"], run, networks, embedded)
    plain = frame.to_string(index=False, na_rep="–", float_format=partial(_number, digits=digits))
    shown = {"text/html": html_table(frame, caption, digits), "text/plain": f"{caption}\n\n{plain}"}
    display(shown, metadata={"table": name}, raw=True)


def html_table(frame: pd.DataFrame, caption: str, digits: int = 3) -> str:
    """A table as pandas' Styler writes it, without styles: a viewer that strips them leaves nothing of them behind."""
    formats: dict[Any, Any] = dict.fromkeys(frame.columns, str)
    for column, values in frame.items():
        if pd.api.types.is_float_dtype(values):
            formats[column] = partial(_number, digits=digits)
        elif pd.api.types.is_integer_dtype(values) and (values.abs() >= 10_000).any():
            formats[column] = "{:,}".format
    styler = Styler(frame.reset_index(drop=True), caption=html.escape(caption), cell_ids=False).hide(axis="index")
    styler.format(formats, na_rep="–", escape="html")
    styler.format_index(lambda column: str(column).replace("_", " "), axis="columns", escape="html")
    return styler.to_html(exclude_styles=True)


def in_markdown(text: str) -> str:
    """Words as they stand, in Markdown: no sign in them means anything."""
    return re.sub(r"([\\`*_\[\]$~|#])", r"\\\1", html.escape(text, quote=False))


def _number(value: float, digits: int) -> str:
    if pd.isna(value):
        return "–"
    text = f"{value:.1e}" if 0 < abs(value) < 0.5 * 10**-digits else f"{value:.{digits}f}"
    return text.replace("-", "−")


def signed(value: float, digits: int) -> str:
    """A number with its sign, a true minus for one that is negative as it is printed."""
    return f"{value:+z.{digits}f}".replace("-", "−")


def with_interval(difference: float, low: float, high: float) -> str:
    """A difference and its interval, such as "+0.010 (−0.020 to +0.040)"."""
    return f"{signed(difference, 3)} ({signed(low, 3)} to {signed(high, 3)})"


def _caption(caption: str, run: "Run", embedded: bool = True) -> str:
    caption = " ".join(caption.split())
    if not caption:
        raise ValueError("a figure or table needs a caption")
    return f"{caption} {NOTICE}" if run.embedded and embedded else caption


def _describe(
    folder: Path,
    name: str,
    about: dict[str, Any],
    written: list[str],
    run: "Run",
    networks: Sequence[str],
    embedded: bool,
) -> None:
    """embedded: False where the numbers are none of this run's."""
    source = "embedded benchmark" if run.embedded else "folders"
    checkpoints = {
        network.folder: files.sha256_known(run.trained(network)) for network in run.networks if network.name in networks
    }
    judged = run.judged if networks else []
    checkpoints |= {detector.name: detector.source for detector in judged if detector.name in networks}
    about |= {
        "name": name,
        "files": written,
        "run": run.profile.name,
        "profile": run.profile.hash(),
        "data": source if embedded else "elsewhere",
        "checkpoints": checkpoints,
    }
    files.write_json(folder / f"{name}.json", about)


def taken_literally(figure: Figure) -> Figure:
    """The same figure, its words as they stand: a $ in somebody's file name begins no formula. Ticks keep theirs."""
    for text in figure.findobj(Text):
        text.set_parse_math(text.get_text().startswith(r"$\mathdefault{"))  # matplotlib's own numbers
    return figure


def picture(plot: Plot) -> tuple[str, bytes]:
    """A plot as "png", or as "jpg" if it is of photographs that make a large PNG: all in full colour."""
    data = encode(plot.figure, "png")
    if plot.vector or len(data) <= LARGEST:
        return "png", data
    out = io.BytesIO()  # quality and whole colour resolution without a visible loss, also of letters
    Image.open(io.BytesIO(data)).convert("RGB").save(out, "jpeg", quality=92, subsampling=0, optimize=True)
    return "jpg", out.getvalue()


def encode(figure: Figure, kind: str) -> bytes:
    """A figure as "png" or "svg", in the report's style; the same figure gives the same bytes."""
    data, figure = io.BytesIO(), taken_literally(figure)
    with styled():
        if kind == "png":
            figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
        else:
            figure.savefig(data, format=kind, metadata={"Date": None})
    return data.getvalue()


def _write(path: Path, content: bytes) -> None:
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)
