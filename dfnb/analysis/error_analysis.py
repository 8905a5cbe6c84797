"""Where a network goes wrong: its video AUC by face size and by how far the head is turned."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dfnb.analysis import pose
from dfnb.plots.pictures import crop_of, grid
from dfnb.plots.style import FAINT, Plot, look, new_figure, signed, styled
from dfnb.scoring import metrics

if TYPE_CHECKING:
    from dfnb.data.store import FaceStore
    from dfnb.experiment.run import Run

BY = {"size": "face size, px", "aside": "turned aside, °", "nod": "nodding, °"}


def described(store: "FaceStore") -> pd.DataFrame:
    """Size and pose of each stored face, in the store's order.

    Columns: size (square root of the box's area, pixels), aside and nod (degrees away from the camera, 0 and more).
    """
    table = store.manifest
    size = np.sqrt((table["x1"] - table["x0"]) * (table["y1"] - table["y0"])).to_numpy(float)
    turns = pose.turns(store.landmarks, table["frame_height"].to_numpy(), table["frame_width"].to_numpy())
    return pd.DataFrame({"size": size, "aside": np.abs(turns[:, 0]), "nod": np.abs(turns[:, 1])})


def videos(run: "Run", part: str, name: str) -> pd.DataFrame:
    """`Run.video_scores` with size and pose: of each frame the face that decides its score, then the median."""
    faces = run.scores(part, name)
    faces = pd.concat([faces, described(run.store(part))], axis=1)
    deciding = faces.loc[faces.groupby(["dataset", "video", "frame"])["score"].idxmax()]
    middle = deciding.groupby(["dataset", "video"])[list(BY)].median().reset_index()
    return run.video_scores(part, name).merge(middle, on=["dataset", "video"], how="inner")


def by_bins(table: pd.DataFrame, bins: int = 3) -> pd.DataFrame:
    """AUC in bins of equally many videos, by each of `BY`: what `videos` gives -> a row per attribute and bin.

    Columns: dataset, by, bin (1, 2, ...), start, end (of the values in it), real, fake, auc, low, high (95 %,
    `metrics.auc_logit`; NaN where a bin lacks a class).
    """
    rows = []
    for by in BY:
        known = table[np.isfinite(table[by])].sort_values(by, kind="stable")
        for k, places in enumerate(np.array_split(np.arange(len(known)), bins), 1):
            own = known.iloc[places]
            fake = (own["label"] == "fake").to_numpy()
            both = fake.any() and not fake.all()
            value = metrics.auc_logit(fake, own["score"]) if both else metrics.AUC(*(float("nan"),) * 3)
            rows.append(
                {"dataset": table["dataset"].iloc[0], "by": by, "bin": k}
                | {"start": own[by].min(), "end": own[by].max(), "real": int((~fake).sum()), "fake": int(fake.sum())}
                | {"auc": value.value, "low": value.low, "high": value.high}
            )
    return pd.DataFrame(rows)


def everywhere(run: "Run", name: str) -> pd.DataFrame:
    """`by_bins` of all test parts of a run, one below the other; a copy that isn't whole says "subset"."""
    each = [by_bins(videos(run, part, name)).assign(dataset=run.title(part)) for part in run.tests]
    return pd.concat(each, ignore_index=True)


def figure(table: pd.DataFrame, name: str) -> Plot:
    """`by_bins` of one or several sets: a row of panels a set, a panel an attribute, with 95 % intervals."""
    sets, style = list(dict.fromkeys(table["dataset"])), look(name)
    lowest = min(0.5, float(table["low"].min()))
    with styled():
        drawn = new_figure(0.7 + 2.2 * len(sets))
        panels = drawn.subplots(len(sets), len(BY), sharey=True, squeeze=False)
        for line, dataset in zip(panels, sets, strict=True):
            for axes, (by, words) in zip(line, BY.items(), strict=True):
                own = table[(table["dataset"] == dataset) & (table["by"] == by)]
                for row in own.itertuples():
                    axes.plot([row.bin] * 2, [row.low, row.high], color=style.colour, lw=style.width)
                    axes.plot(row.bin, row.auc, style.marker, color=style.colour, ms=7, mec="white", mew=0.8)
                    if np.isfinite(row.auc):
                        axes.annotate(f"{row.auc:.2f}", (row.bin, row.auc), (8, 0), textcoords="offset points",
                                      va="center", fontsize=9)  # fmt: skip
                axes.axhline(0.5, color=FAINT, lw=1, ls=(0, (2, 3)))
                axes.set_xticks(own["bin"], [f"{r.start:.0f}–{r.end:.0f}" for r in own.itertuples()], fontsize=9)
                axes.set(xlim=(0.6, own["bin"].max() + 0.7), ylim=(lowest - 0.03, 1.02), xlabel=words)
                axes.grid(axis="x", visible=False)
            line[0].set_title(dataset, fontsize=11)
        drawn.supylabel("video AUC", fontsize=11)
    told = "; ".join(
        f"{r.dataset}, {BY[r.by]} {r.start:.0f} to {r.end:.0f}: {r.auc:.2f} ({r.low:.2f} to {r.high:.2f})"
        for r in table.itertuples()
    )
    return Plot(drawn, table.reset_index(drop=True), f"AUC of {style.label} by face size and pose. {told}.")


def verdict(table: pd.DataFrame) -> str:
    """Whether the outermost bins of `by_bins` differ: the difference with its 95 % interval, the two independent.

    The interval of a difference from those of its parts, which needn't be symmetric. Source: Zou and Donner 2008.
    """
    clear, unclear = [], []
    for (dataset, by), own in table.groupby(["dataset", "by"], sort=False):
        first, last = own.iloc[0], own.iloc[-1]
        if not np.isfinite((first["auc"], last["auc"])).all():
            unclear.append(f"{dataset}, {BY[by].split(',')[0]}: real or fake videos are lacking in a third")
            continue
        gap = last["auc"] - first["auc"]
        low = gap - np.hypot(last["auc"] - last["low"], first["high"] - first["auc"])
        high = gap + np.hypot(last["high"] - last["auc"], first["auc"] - first["low"])
        said = f"{dataset}, {BY[by].split(',')[0]}: {signed(gap, 2)} ({signed(low, 2)} to {signed(high, 2)})"
        (clear if low > 0 or high < 0 else unclear).append(said)
    parts = [f"From the lowest third to the highest the AUC changes by: {'; '.join(clear)}."] if clear else []
    if clear:
        count = len(clear) + len(unclear)
        parts.append(f"Each of the {count} comparisons is at the 5 % level by itself: of so many, one may be chance.")
    if unclear:
        parts.append(f"No change that these samples could show: {'; '.join(unclear)}.")
    return " ".join(parts)


def most_wrong(store: "FaceStore", faces_: pd.DataFrame, videos: pd.DataFrame, count: int = 6, size: int = 160) -> Plot:
    """The real videos with the highest scores and the fakes with the lowest, by the face nearest the video's score.

    Below each: score, manipulation, face size in pixels and how far it is turned aside in degrees.
    faces_: `Run.scores`, in the store's order; videos: `Run.video_scores`.
    """
    shown, captions, used = [], [], []
    for label, highest_first in (("real", True), ("fake", False)):
        some = videos[(videos["label"] == label) & (videos["frames"] > 0)]
        some = some.sort_values("score", ascending=not highest_first, kind="stable").head(count)
        line = []
        for video in some.itertuples():
            own = faces_[(faces_["dataset"] == video.dataset) & (faces_["video"] == video.video)]
            index = int((own["score"] - video.score).abs().idxmin())
            line.append(crop_of(store[index], size))
            seen = described(store.subset([index])).iloc[0]
            about = {"label": label, "video": video.video, "method": video.method, "score": video.score}
            used.append(about | {"size_px": seen["size"], "aside_degrees": seen["aside"]})
        says = [
            f"{u['score']:.2f}\n{u['method']}\n{u['size_px']:.0f} px, {u['aside_degrees']:.0f}°"
            for u in used[len(used) - len(line) :]
        ]
        captions.append(says + [""] * (count - len(line)))
        shown.append(line + [None] * (count - len(line)))
    alt = "The most wrong videos: real ones with the highest scores above, fakes with the lowest below. Scores: "
    alt += "; ".join(f"{u['label']} {u['video']} {u['score']:.2f}" for u in used) + "."
    rows = ["real, called\nfake most", "fake, called\nreal most"]
    return grid(shown, rows=rows, captions=captions, numbers=pd.DataFrame(used), alt=alt)
