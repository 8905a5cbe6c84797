"""One file's score over time with its interval, its strongest frames, and where the network looked there."""

import os
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from scipy.stats import t as student

from dfnb.common import files
from dfnb.common.errors import printable
from dfnb.own_video.file_scores import Scored
from dfnb.plots import pictures
from dfnb.plots.style import DPI, FAINT, INK, Plot, new_figure, styled, taken_literally
from dfnb.scoring import metrics

STRONGEST = 4  # frames shown
FEWEST = 5  # frames that an interval needs
LINE = "#0072B2"
_LONGEST = 200  # bytes of a name; file systems have 255, and temporary files add some
CAPTION = "Faces of the strongest frames; below them the attention map: where the network looks, not what is fake."


class Interval(NamedTuple):
    """95 % interval of a video's score, both in 0..1, and how many independent frames its frames are worth."""

    low: float
    high: float
    effective: float


def interval(scores: ArrayLike) -> Interval | None:
    """How far a video's score might move with other frames of the same video. None for fewer than `FEWEST` frames.

    scores: (n,) in 0..1, a score a frame, in order, evenly spaced. The interval doesn't say whether the network is
    right.
    Neighbouring frames resemble one another, so n of them are worth fewer independent ones: n (1 - r) / (1 + r), with r
    the correlation of neighbours (Bayley and Hammersley 1946), corrected for its bias in short series (Kendall 1954)
    and clipped to 0..0.9. The interval is Student's for the mean of that many samples.
    On simulated series whose neighbours correlate by 0, 0.5 and 0.8 it covers the true mean in 97, 93 and 93 % of cases
    with 32 frames, in 97, 91 and 84 % with 6; resampling single frames would in 93, 74 and 45 %, and 88, 65 and 35 %.
    """
    values = np.asarray(scores, float)
    n, deviations = len(values), values - values.mean()
    squares = float(deviations @ deviations)
    if n < FEWEST:
        return None
    if squares < 1e-12:
        return Interval(float(values.mean()), float(values.mean()), float(n))
    neighbours = float(deviations[1:] @ deviations[:-1]) / squares
    r = min(max((n * neighbours + 1) / (n - 3), 0.0), 0.9)
    effective = max(2.0, n * (1 - r) / (1 + r))
    variance = squares / n / (1 - 1 / effective)  # of single frames
    half = float(student.ppf(0.975, effective - 1) * np.sqrt(variance / effective))
    return Interval(max(values.mean() - half, 0.0), min(values.mean() + half, 1.0), effective)


def timeline(scored: Scored, fps: float = 0.0, warning: str | None = None) -> Plot:
    """A file's score over time and its strongest frames with their attention maps, in one picture.

    scored: with a score, and scored with pictures=True. fps: frames a second of the video; 0 where unknown, and then
    the axis counts frames. warning: written above everything. Raises ValueError where there is no score to draw.
    """
    frames, best = _frames(scored)
    rows = 3 if scored.maps is not None else 2
    heads = [line for line in (warning, _headline(scored)) if line]
    with styled():
        figure = new_figure(5.6 if rows == 3 else 4.4)
        title = "\n".join(textwrap.fill(line, 80) for line in heads)  # matplotlib's own wrapping takes $ for formulas
        figure.suptitle(title, fontsize=11, x=0.02, ha="left", color=INK)
        cells = figure.add_gridspec(rows, STRONGEST, height_ratios=[1.2, *[1] * (rows - 1)])
        _draw_course(figure.add_subplot(cells[0, :]), scored, frames, best, fps)
        for column, face in enumerate(best):
            _picture(figure.add_subplot(cells[1, column]), scored.crops[face], _label(scored, column, face, fps))
            if scored.maps is not None:
                heat = pictures.heat(scored.crops[face], scored.maps[face])
                _picture(figure.add_subplot(cells[2, column]), heat, "")
        if scored.maps is not None:
            figure.supxlabel(CAPTION, fontsize=8, color=FAINT)
    return Plot(figure, _numbers(frames, fps), _alt(scored, frames), vector=False)


def course(scored: Scored, fps: float = 0.0) -> Plot:
    """A file's score over time: a point a frame, their mean, and its interval. Arguments as for `timeline`."""
    frames, best = _frames(scored)
    with styled():
        figure = new_figure(2.9)
        _draw_course(figure.subplots(), scored, frames, best, fps)
    return Plot(figure, _numbers(frames, fps), _alt(scored, frames), vector=False)


def strongest(scored: Scored, fps: float = 0.0) -> Plot:
    """The faces with the highest frame scores, and their attention maps where the network has a branch."""
    _, best = _frames(scored)
    side = max(200, scored.crops[0].shape[0])
    crops = [pictures.enlarged(scored.crops[face], side) for face in best]
    rows = [crops]
    if scored.maps is not None:
        rows.append([pictures.heat(crop, scored.maps[face]) for crop, face in zip(crops, best, strict=True)])
    empty = [None] * (STRONGEST - len(best))
    titles = [_label(scored, column, face, fps) for column, face in enumerate(best)]
    numbers = scored.faces.loc[best, ["frame", "face", "x0", "y0", "x1", "y1", "score"]].reset_index(drop=True)
    maps = ", each with its attention map: bright where the network looks, not what is fake" if len(rows) == 2 else ""
    alt = f"The faces of the {len(best)} frames with the highest scores{maps}. {'; '.join(titles)}."
    return pictures.grid([row + empty for row in rows], columns=titles, numbers=numbers, alt=alt)


def save(plot: Plot, folder: Path, file: Path) -> Path:
    """Write the picture as PNG into `folder`, named after `file` and where it lies, whole or not at all."""
    path = folder / named_after(file, ".png")
    with files.replacing(path) as temporary, styled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a letter that the font lacks is drawn as a box
        taken_literally(plot.figure).savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    return path


def named_after(file: Path, suffix: str) -> str:
    """`file`'s name (of a long one, its beginning), a hash of its path, and `suffix`.

    Two files of one name in two folders get two names.
    """
    name = os.fsencode(file.name)[:_LONGEST].decode("utf-8", "ignore")
    return f"{name}-{files.digest(str(file.resolve()))[:6]}{suffix}"


def _frames(scored: Scored) -> tuple[pd.DataFrame, list[int]]:
    """Frame scores, and the rows of `scored.faces` with the highest of them, highest first, one for each frame."""
    if scored.row["score"] is None:
        raise ValueError(f"{scored.row['file']} has no score to draw")
    frames = metrics.frame_scores(scored.faces)
    merged = scored.faces.reset_index().merge(frames[["frame", "score"]], on=["frame", "score"])
    merged = merged.sort_values(["score", "frame"], ascending=[False, True], kind="stable").drop_duplicates("frame")
    return frames, merged["index"].head(STRONGEST).tolist()


def _draw_course(axes: Axes, scored: Scored, frames: pd.DataFrame, best: Sequence[int], fps: float) -> None:
    when, found = frames["frame"] / (fps or 1), interval(frames["score"])
    if found:
        axes.axhspan(found.low, found.high, color=LINE, alpha=0.13, linewidth=0, label="95 % interval of the mean")
    axes.axhline(scored.row["score"], color=FAINT, linewidth=1, linestyle="--", label="mean: the video's score")
    axes.plot(when, frames["score"], color=LINE, marker="o", markersize=4, label="a frame's score")
    axes.set(ylim=(-0.03, 1.03), ylabel="probability of fake", xlabel="seconds" if fps else "frame")
    if len(frames) == 1:
        axes.set_xticks(when)
    for column, face in enumerate(best):
        at = (scored.faces.loc[face, "frame"] / (fps or 1), scored.faces.loc[face, "score"])
        away = (0, -15) if at[1] > 0.8 else (0, 5)  # the legend is above
        axes.annotate(str(column + 1), at, xytext=away, textcoords="offset points", ha="center")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8.5, borderaxespad=0.2)


def _label(scored: Scored, column: int, face: int, fps: float) -> str:
    frame, value = scored.faces.loc[face, "frame"], scored.faces.loc[face, "score"]
    return f"{column + 1}: " + (f"{frame / fps:.1f} s" if fps else f"frame {frame}") + f", {value:.2f}"


def _headline(scored: Scored) -> str:
    return f"{printable(Path(scored.row['file']).name)}: probability of fake {scored.row['score']:.2f}"


def _numbers(frames: pd.DataFrame, fps: float) -> pd.DataFrame:
    return frames[["frame", "score", "faces"]].assign(time=frames["frame"] / (fps or 1))


def _alt(scored: Scored, frames: pd.DataFrame) -> str:
    text = f"{_headline(scored)}, from {frames['score'].min():.2f} to {frames['score'].max():.2f} over its frames"
    found = interval(frames["score"])
    return text + (f"; 95 % interval of the mean {found.low:.2f} to {found.high:.2f}." if found else ".")


def _picture(axes: Axes, rgb, title: str) -> None:
    axes.imshow(rgb)
    axes.set_title(title, fontsize=9, fontweight="normal", loc="center")
    axes.set_axis_off()
