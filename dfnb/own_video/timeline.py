"""One file's score over time with its interval, its strongest frames, and where the network looked there."""

import os
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from dfnb.common import files
from dfnb.common.errors import printable
from dfnb.own_video.file_scores import STRONGEST, Scored
from dfnb.own_video.people import interval
from dfnb.plots import pictures
from dfnb.plots.style import DPI, FAINT, INK, Plot, new_figure, styled, taken_literally
from dfnb.scoring import metrics

LINE = "#0072B2"
_LONGEST = 200  # bytes of a name; file systems have 255, and temporary files add some
CAPTION = "Faces of the strongest frames; below them the attention map: where the network looks, not what is fake."


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


def person_course(scored: Scored, person: int) -> Plot:
    """A person's score over time: a point a frame, their mean, and its interval. person: place in the row's people."""
    seen = scored.faces.query("person == @person")[["frame", "seconds", "score"]].reset_index(drop=True)
    about = scored.row["people"][person]
    with styled():
        figure = new_figure(1.7)
        axes = figure.subplots()
        if about["low"] is not None:
            _band(axes, about["low"], about["high"])
        axes.axhline(about["score"], color=FAINT, linewidth=1, linestyle="--")
        axes.plot(seen["seconds"], seen["score"], color=LINE, marker="o", markersize=3)
        first, last = scored.faces["seconds"].agg(["min", "max"])
        margin = 0.03 * (last - first) or 1.0
        axes.set(ylim=(-0.03, 1.03), xlim=(first - margin, last + margin), xlabel="seconds", ylabel="fake")
    alt = f"Person {person + 1}: probability of fake {about['score']:.2f}, from {seen['score'].min():.2f} to "
    alt += f"{seen['score'].max():.2f} over {len(seen)} frames between {about['from']:.1f} and {about['to']:.1f} s."
    return Plot(figure, seen, alt, vector=False)


def strongest(scored: Scored, fps: float = 0.0) -> Plot:
    """The faces with the highest frame scores, and their attention maps where the network has a branch."""
    _, best = _frames(scored)
    side = max(200, scored.crops[best[0]].shape[0])
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
        _band(axes, found.low, found.high, label=f"95 % interval {found.low:.2f} to {found.high:.2f}")
    axes.axhline(scored.row["score"], color=FAINT, linewidth=1, linestyle="--", label="mean: the protocol's score")
    axes.plot(when, frames["score"], color=LINE, marker="o", markersize=4, label="a frame's score")
    axes.set(ylim=(-0.03, 1.03), ylabel="probability of fake", xlabel="seconds" if fps else "frame")
    if len(frames) == 1:
        axes.set_xticks(when)
    for column, face in enumerate(best):
        at = (scored.faces.loc[face, "frame"] / (fps or 1), scored.faces.loc[face, "score"])
        away = (0, -15) if at[1] > 0.8 else (0, 5)  # the legend is above
        axes.annotate(str(column + 1), at, xytext=away, textcoords="offset points", ha="center")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8.5, borderaxespad=0.2)


def _band(axes: Axes, low: float, high: float, label: str | None = None) -> None:
    """An interval as a band with edges: where it is as wide as the panel, it isn't taken for a background."""
    axes.axhspan(low, high, facecolor=to_rgba(LINE, 0.13), edgecolor=to_rgba(LINE, 0.8), linewidth=1.2, label=label)


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
