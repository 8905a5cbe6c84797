"""One file's score over time, its strongest frames, and where the network looked there: `dfnb score --plot`."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from dfnb import files, metrics, pictures
from dfnb.score import Scored
from dfnb.style import DPI, FAINT, INK, Plot, new_figure, styled

STRONGEST = 4  # frames shown
LINE = "#0072B2"
CAPTION = "Faces of the strongest frames; below them the attention map: where the network looks, not what is fake."


def timeline(scored: Scored, fps: float = 0.0, warning: str | None = None) -> Plot:
    """A file's score over time and its strongest frames with their attention maps.

    scored: with a score, and with the pictures kept. fps: of the video; 0 where unknown, and then frames are counted.
    warning: stands above everything. Raises ValueError where there is no score to draw.
    """
    if scored.row["score"] is None:
        raise ValueError(f"{scored.row['file']} has no score to draw")
    frames = metrics.frame_scores(scored.faces)
    when = frames["frame"] / fps if fps else frames["frame"]
    best = _strongest(scored.faces, frames)
    name, score = Path(scored.row["file"]).name, scored.row["score"]
    heads = [line for line in (warning, f"{name}: probability of fake {score:.2f}") if line]
    with styled():
        figure = new_figure(5.6 if scored.maps is not None else 4.4)
        figure.suptitle("\n".join(heads), fontsize=11, x=0.02, ha="left", color=INK, wrap=True)
        rows = 3 if scored.maps is not None else 2
        cells = figure.add_gridspec(rows, STRONGEST, height_ratios=[1.2, *[1] * (rows - 1)])
        axes = figure.add_subplot(cells[0, :])
        axes.plot(when, frames["score"], color=LINE, marker="o", markersize=4)
        axes.axhline(score, color=FAINT, linewidth=1, linestyle="--")
        axes.set(ylim=(-0.03, 1.03), ylabel="probability of fake", xlabel="seconds" if fps else "frame")
        for column, face in enumerate(best):
            at = scored.faces.loc[face, "frame"] / (fps or 1)
            value = scored.faces.loc[face, "score"]
            axes.annotate(str(column + 1), (at, value), xytext=(0, 5), textcoords="offset points", ha="center")
            label = f"{column + 1}: {at:.1f} s, {value:.2f}" if fps else f"{column + 1}: frame {at:.0f}, {value:.2f}"
            _picture(figure.add_subplot(cells[1, column]), scored.crops[face], label)
            if scored.maps is not None:
                heat = pictures.heat(scored.crops[face], scored.maps[face])
                _picture(figure.add_subplot(cells[2, column]), heat, "")
        if scored.maps is not None:
            figure.supxlabel(CAPTION, fontsize=8, color=FAINT)
    numbers = frames[["frame", "score", "faces"]].assign(time=when)
    alt = f"{name}: probability of fake {score:.2f}, from {frames['score'].min():.2f} to {frames['score'].max():.2f}."
    return Plot(figure, numbers, alt, vector=False)


def save(plot: Plot, folder: Path, file: Path) -> Path:
    """Write the picture as PNG into `folder`, named after `file` and where it lies, whole or not at all."""
    path = folder / f"{file.name}-{files.digest(str(file.resolve()))[:6]}.png"
    with files.replacing(path) as temporary, styled():
        plot.figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    return path


def _strongest(faces: pd.DataFrame, frames: pd.DataFrame) -> Sequence[int]:
    """Rows of `faces` that gave the highest frame scores, highest first: a face a frame."""
    merged = faces.reset_index().merge(frames[["frame", "score"]], on=["frame", "score"])
    merged = merged.sort_values(["score", "frame"], ascending=[False, True], kind="stable").drop_duplicates("frame")
    return merged["index"].head(STRONGEST).tolist()


def _picture(axes: Axes, rgb, title: str) -> None:
    axes.imshow(rgb)
    axes.set_title(title, fontsize=9, fontweight="normal", loc="center")
    axes.set_axis_off()
