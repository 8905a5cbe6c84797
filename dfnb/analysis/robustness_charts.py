"""The figures of notebook 7: AUC against strength, what the corruptions look like, and the question of blending."""

import textwrap
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from dfnb.analysis import corruptions, robustness
from dfnb.analysis.corruptions import CORRUPTIONS
from dfnb.benchmark.composites import FILMED, KINDS
from dfnb.data import faces
from dfnb.plots import pictures
from dfnb.plots.style import FAINT, INK, Plot, look, name_lines, new_figure, styled
from dfnb.scoring.score_table import MARGIN

if TYPE_CHECKING:
    from dfnb.experiment.run import Run


def curves(table: pd.DataFrame, title: str) -> Plot:
    """AUC with its 95 % band against strength, a panel a corruption, a line a network. table: `robustness.curves`."""
    names, kinds = list(dict.fromkeys(table["network"])), list(dict.fromkeys(table["corruption"]))
    columns = min(3, len(kinds))
    lowest = min(0.45, float(table["low"].min()))
    with styled():
        figure = new_figure(0.8 + 2.2 * -(-len(kinds) // columns))
        panels = figure.subplots(-(-len(kinds) // columns), columns, sharey=True, squeeze=False)
        for axes, kind in zip(panels.ravel(), kinds, strict=False):
            cells = table[table["corruption"] == kind]
            for name in names:
                rows, style = cells[cells["network"] == name].sort_values("level"), look(name)
                axes.fill_between(rows["level"], rows["low"], rows["high"], color=style.colour, alpha=0.15, linewidth=0)
                axes.plot(
                    rows["level"], rows["auc"], color=style.colour, ls=style.dashes, lw=style.width,
                    marker=style.marker, ms=5, mec="white", mew=0.6,
                )  # fmt: skip
            steps = cells.drop_duplicates("level").sort_values("level")
            axes.set_xticks(steps["level"], ["as is", *(f"{value:g}" for value in steps["strength"][1:])], fontsize=9)
            axes.set_title(CORRUPTIONS[kind].title, fontsize=11)
            axes.set_xlabel(CORRUPTIONS[kind].axis, fontsize=9.5)
            axes.axhline(0.5, color=FAINT, lw=1, ls=(0, (2, 3)))
            axes.set(ylim=(max(0.0, lowest - 0.02), 1.01), xlim=(-0.2, steps["level"].max() + 0.2))
        for axes in panels.ravel()[len(kinds) :]:
            axes.set_visible(False)
        ends = table[(table["level"] == table["level"].max()) & (table["corruption"] == kinds[columns - 1])]
        name_lines(panels[0, -1], {row.network: (row.level, row.auc) for row in ends.itertuples()})
        figure.supylabel("video AUC, 95 % band", fontsize=11)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
    ends = table[table["level"] == table["level"].max()]
    summary = "; ".join(
        f"{CORRUPTIONS[row.corruption].title}, {look(row.network).label}: {row.auc:.3f} "
        f"({row.low:.3f} to {row.high:.3f})"
        for row in ends.itertuples()
    )
    alt = f"AUC against the strength of {len(kinds)} corruptions, {title}. At the strongest level: {summary}."
    return Plot(figure, table.reset_index(drop=True), alt)


def examples(run: "Run", size: int = 150) -> Plot:
    """One face of the corrupted part as it is and under every corruption, mild to strong."""
    settings, part = run.profile.robustness, robustness.part(run)
    store = run.store(part)
    table = store.manifest.reset_index(drop=True)
    place = int(table.index[(table["label"] == "real") & (table["face"] == 0)][0])
    row = table.iloc[place]
    rows, captions, numbers = [], [], []
    for kind, about in CORRUPTIONS.items():
        stretch = robustness.read(row["path"], int(row["frame"]), about.stretch)
        line, texts = [faces.crop(stretch[-1], tuple(row[["x0", "y0", "x1", "y1"]]), MARGIN, size)], ["as is"]
        for strength in corruptions.strengths(settings, kind):
            rgb = about.apply(stretch, strength, np.random.default_rng(run.profile.seed))
            line.append(faces.crop(rgb, tuple(row[["x0", "y0", "x1", "y1"]]), MARGIN, size))
            texts.append(f"{strength:g}")
            error = float(np.mean((line[-1].astype(float) - line[0]) ** 2))
            psnr = float("inf") if error == 0 else 10 * np.log10(255**2 / error)
            numbers.append({"corruption": kind, "strength": strength, "psnr_db": psnr})
        rows.append(line)
        captions.append(texts)
    labels = [about.title.replace(" and ", "\nand ") for about in CORRUPTIONS.values()]
    alt = f"One face under {', '.join(about.title for about in CORRUPTIONS.values())}, from mild to strong."
    return pictures.grid(rows, rows=labels, captions=captions, numbers=pd.DataFrame(numbers), alt=alt)


def blending(table: pd.DataFrame) -> Plot:
    """How often each kind of video is scored above real ones as filmed, by network, with its 95 % interval.

    table: `blending.table`. Three blocks: nothing forged, forged without an edge, forged with one.
    """
    names = list(dict.fromkeys(table["network"]))
    blocks = {"nothing forged": [], "forged, no edge": [], "forged and blended": []}
    for kind, about in KINDS.items():
        if kind != FILMED:
            block = "nothing forged" if not about.forged else f"forged{', no edge' * (about.edge == 'none')}"
            blocks[block if block in blocks else "forged and blended"].append(kind)
    offsets = np.linspace(-0.18, 0.18, len(names)) if len(names) > 1 else [0.0]
    places, at, headings = {}, 0.0, []
    for block, kinds in blocks.items():
        headings.append((at, block))
        at += 0.8
        for kind in kinds:
            places[kind] = at
            at += 1
        at += 0.25
    with styled():
        figure = new_figure(0.9 + 0.36 * at)
        axes = figure.subplots()
        axes.axvline(0.5, color=FAINT, lw=1.2, ls=(0, (2, 3)))
        for name, offset in zip(names, offsets, strict=True):
            style = look(name)
            for row in table[(table["network"] == name) & table["kind"].isin(list(places))].itertuples():
                y = places[row.kind] + offset
                axes.plot([row.low, row.high], [y, y], color=style.colour, lw=style.width, solid_capstyle="butt")
                axes.plot(row.auc, y, style.marker, color=style.colour, ms=7, mec="white", mew=0.8)
        axes.set_yticks(list(places.values()), [f"{kind}  [{_edge(kind)}]" for kind in places], fontsize=9.5)
        axes.set(ylim=(at - 0.3, -0.6), xlim=(0, 1.01))
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        for y, block in headings:
            axes.text(0.005, y, block, fontsize=10, weight="bold", color=INK, va="center")
        axes.set_xlabel("share of pairs in which it is scored above a real video")
        for k, name in enumerate(names):
            style, y = look(name), 1.03 + 0.05 * (len(names) - 1 - k)
            axes.plot(0.55, y, style.marker, color=style.colour, ms=7, transform=axes.transAxes, clip_on=False)
            axes.text(0.58, y, style.label, color=style.colour, va="center", fontsize=10, transform=axes.transAxes)
    summary = "; ".join(
        f"{row.kind}, {look(row.network).label}: {row.auc:.2f} ({row.low:.2f} to {row.high:.2f})"
        for row in table[table["kind"] != FILMED].itertuples()
    )
    return Plot(
        figure, table.reset_index(drop=True), f"Scores of blended and redrawn videos against real ones. {summary}."
    )


def _edge(kind: str) -> str:
    about = KINDS[kind]
    edge = "no edge" if about.edge == "none" else f"{about.edge} edge"
    return edge + (", generated" if about.generated else "")


def composites(run: "Run", scene: int = 0, size: int = 180) -> Plot:
    """One scene in every kind: the face, and what differs from the frame as filmed, four times amplified."""
    from dfnb.data import frames

    clips = run.clips("blending")
    scenes = clips.loc[clips["method"] == FILMED, "video"].str.split("/").str[-1].tolist()
    wanted = scenes[scene % len(scenes)]
    manifest = run.store("blending").manifest
    face = manifest[manifest["video"].str.endswith(f"/{wanted}") & (manifest["method"] == FILMED)].iloc[0]
    box = tuple(face[["x0", "y0", "x1", "y1"]])
    shown = {}
    for clip in clips[clips["video"].str.endswith(f"/{wanted}")].itertuples():
        _, rgb = next(frames.at(clip.path, [int(face["frame"])]))
        shown[clip.method] = faces.crop(rgb, box, 0.3, size)
    kinds, half = list(shown), -(-len(shown) // 2)
    rows, captions = [], []
    for part in (kinds[:half], kinds[half:]):
        amplified = [pictures.difference(shown[FILMED], shown[kind], 4) for kind in part]
        rows.append([np.concatenate([shown[kind], below]) for kind, below in zip(part, amplified, strict=True)])
        captions.append(["\n".join(textwrap.wrap(kind, 18)) for kind in part])
    numbers = pd.DataFrame(
        {
            "kind": kinds,
            "mean_difference_levels": [
                float(cv2.absdiff(shown[kind], shown[FILMED]).astype(float).mean()) for kind in kinds
            ],
        }
    )
    alt = (
        f"One scene in {len(kinds)} kinds, and below each its difference from the frame as filmed: {', '.join(kinds)}."
    )
    return pictures.grid(rows, captions=captions, numbers=numbers, alt=alt)
