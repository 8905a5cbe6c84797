"""Where a network goes wrong: its video AUC by face size and by the head's yaw and pitch, and its worst videos."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dfnb.analysis import findings, pose
from dfnb.plots.pictures import crop_of, face_size, grid
from dfnb.plots.style import FAINT, Plot, look, new_figure, styled
from dfnb.scoring import metrics
from dfnb.scoring.score_table import PLACE

if TYPE_CHECKING:
    from dfnb.data.store import FaceStore
    from dfnb.experiment.run import Run

BY = {"size": "face size, px", "yaw": "yaw, °", "pitch": "pitch, °"}


def described(store: "FaceStore") -> pd.DataFrame:
    """Size and pose of each stored face, in the store's order.

    Columns: size (square root of the box's area, pixels), yaw and pitch (degrees away from the camera, without sign).
    """
    table = store.manifest
    angles = np.abs(pose.angles(store.landmarks, table["frame_height"].to_numpy(), table["frame_width"].to_numpy()))
    return pd.DataFrame({"size": face_size(store), "yaw": angles[:, 0], "pitch": angles[:, 1]})


def faces_scored(run: "Run", part: str, name: str) -> pd.DataFrame:
    """`Run.scores` in the order of the part's face store.

    Of a detector of others that gave no score for each of these faces, every face of a video has the video's score.
    """
    scores, stored = run.scores(part, name), run.store(part).manifest
    key = ["dataset", "video", "frame", "face"]
    if len(scores) == len(stored) and (scores[key].to_numpy(object) == stored[key].to_numpy(object)).all():
        return scores
    stored = stored[list(PLACE)].reset_index(drop=True)
    return stored.merge(run.video_scores(part, name)[["dataset", "video", "score"]], on=["dataset", "video"])


def videos(run: "Run", part: str, name: str) -> pd.DataFrame:
    """`Run.video_scores` with size and pose: of each frame the face that decides its score, then the median.

    A face that the profile's face-size rule leaves out decides nothing.
    """
    faces = faces_scored(run, part, name)
    faces = pd.concat([faces, described(run.store(part))], axis=1)
    if run.profile.evaluate.size_rule:
        faces = faces[metrics.large_enough(faces)]
    deciding = faces.loc[faces.groupby(["dataset", "video", "frame"])["score"].idxmax()]
    middle = deciding.groupby(["dataset", "video"])[list(BY)].median().reset_index()
    return run.video_scores(part, name).merge(middle, on=["dataset", "video"], how="inner")


def by_bins(table: pd.DataFrame, bins: int = 3) -> pd.DataFrame:
    """AUC in bins of equally many videos, by each of `BY`: what `videos` gives -> a row per attribute and bin.

    Columns: dataset, by, bin (1, 2, ...), start, end (of the values in it), real, fake, auc, low, high (95 %,
    `metrics.auc_groups`; NaN where a bin lacks a class).
    """
    rows = []
    for by in BY:
        known = table[np.isfinite(table[by])].sort_values(by, kind="stable")
        for k, places in enumerate(np.array_split(np.arange(len(known)), bins), 1):
            members = known.iloc[places]
            fake = (members["label"] == "fake").to_numpy()
            both = fake.any() and not fake.all()
            value = metrics.AUC(*(float("nan"),) * 3)
            if both:
                value = metrics.auc_groups(fake, members["score"], members["group"])
            rows.append(
                {"dataset": table["dataset"].iloc[0], "by": by, "bin": k, "start": members[by].min()}
                | {"end": members[by].max(), "real": int((~fake).sum()), "fake": int(fake.sum())}
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
                bins = table[(table["dataset"] == dataset) & (table["by"] == by)]
                for row in bins.itertuples():
                    axes.plot([row.bin] * 2, [row.low, row.high], color=style.colour, lw=style.width)
                    axes.plot(row.bin, row.auc, style.marker, color=style.colour, ms=7, mec="white", mew=0.8)
                    if np.isfinite(row.auc):
                        axes.annotate(f"{row.auc:.2f}", (row.bin, row.auc), (8, 0), textcoords="offset points",
                                      va="center", fontsize=9)  # fmt: skip
                axes.axhline(0.5, color=FAINT, lw=1, ls=(0, (2, 3)))
                axes.set_xticks(bins["bin"], [f"{r.start:.0f}–{r.end:.0f}" for r in bins.itertuples()], fontsize=9)
                axes.set(xlim=(0.6, bins["bin"].max() + 0.7), ylim=(lowest - 0.03, 1.02), xlabel=words)
                axes.grid(axis="x", visible=False)
            line[0].set_title(dataset, fontsize=11)
        drawn.supylabel("video AUC", fontsize=11)
    values = "; ".join(
        f"{r.dataset}, {BY[r.by]} {r.start:.0f} to {r.end:.0f}: {r.auc:.2f} ({r.low:.2f} to {r.high:.2f})"
        for r in table.itertuples()
    )
    return Plot(drawn, table.reset_index(drop=True), f"AUC of {style.label} by face size, yaw and pitch. {values}.")


def finding(table: pd.DataFrame) -> str:
    """By which attribute the AUC of the last bin differs from that of the first: the 95 % interval leaves out 0.

    table: `by_bins` of one or several sets. A set and attribute whose outer bins lack a class isn't compared.
    """
    clear, count = [], 0
    for (dataset, by), bins in table.groupby(["dataset", "by"], sort=False):
        first, last = bins.iloc[0], bins.iloc[-1]
        if not np.isfinite((first["auc"], last["auc"])).all():
            continue
        count += 1
        change = findings.independent(last, first)
        if change.low > 0 or change.high < 0:
            clear.append(f"{dataset}, {BY[by].split(',')[0]} {change}")
    found = ": " + "; ".join(clear) if clear else f", so {findings.NOTHING}"
    return (
        "AUC of the highest third minus that of the lowest: the 95 % interval leaves out 0 in "
        f"**{len(clear)} of {count} comparisons**{found}."
    )


def most_wrong(store: "FaceStore", scores: pd.DataFrame, videos: pd.DataFrame, count: int = 6, size: int = 160) -> Plot:
    """The real videos with the highest scores and the fakes with the lowest, by the face nearest the video's score.

    Below each: score, manipulation, face size in pixels and yaw in degrees, without sign.
    scores: `faces_scored`; videos: `Run.video_scores`; size: of the pictures, pixels.
    """
    shown, captions, used = [], [], []
    for label, highest_first in (("real", True), ("fake", False)):
        wrong = videos[(videos["label"] == label) & (videos["frames"] > 0)]
        wrong = wrong.sort_values("score", ascending=not highest_first, kind="stable").head(count)
        empty = count - len(wrong)
        pictures, texts = [], []
        for video in wrong.itertuples():
            faces = scores[(scores["dataset"] == video.dataset) & (scores["video"] == video.video)]
            index = int((faces["score"] - video.score).abs().idxmin())
            face = described(store.subset([index])).iloc[0]
            pictures.append(crop_of(store[index], size))
            texts.append(f"{video.score:.2f}\n{video.method}\n{face['size']:.0f} px, {face['yaw']:.0f}°")
            about = {"label": label, "video": video.video, "method": video.method, "score": video.score}
            used.append(about | {"size_px": face["size"], "yaw_degrees": face["yaw"]})
        shown.append(pictures + [None] * empty)
        captions.append(texts + [""] * empty)
    alt = "The most wrong videos: real ones with the highest scores above, fakes with the lowest below. Scores: "
    alt += "; ".join(f"{row['label']} {row['video']} {row['score']:.2f}" for row in used) + "."
    rows = ["real, called\nfake most", "fake, called\nreal most"]
    return grid(shown, rows=rows, captions=captions, numbers=pd.DataFrame(used), alt=alt)
