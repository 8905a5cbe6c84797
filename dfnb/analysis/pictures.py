"""Pictures of what a network does: attention maps over faces, and the videos it is most wrong about."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfnb.plots.pictures import crop_of, enlarged, grid, heat, outlined
from dfnb.plots.style import Plot

if TYPE_CHECKING:
    from dfnb.analysis.explain import Looks
    from dfnb.data.store import FaceStore


def attention(
    looks: "Looks",
    chosen: Sequence[int],
    true: NDArray[np.float32] | None = None,
    others: Mapping[str, NDArray[np.float32]] | None = None,
) -> Plot:
    """Attention maps over faces, on a fixed scale 0..1; below, the face mask and the true manipulation mask.

    true: (N, S, S) in 0..1, in the order of `looks`, if known. others: more maps (N, h, w) of the same faces by name,
    to be seen side by side; the masks are then left out.
    """
    side = max(200, looks.crops.shape[1])
    crops = [enlarged(looks.crops[i], side) for i in chosen]
    every = {"attention\nmap": looks.maps, **(others or {})}
    rows = [crops] + [[heat(rgb, maps[i]) for rgb, i in zip(crops, chosen, strict=True)] for maps in every.values()]
    labels = ["face", *every]
    under = (
        {}
        if others
        else {"face mask": (looks.masks, 0.4)} | ({"manipulated\nwhere": (true, 0.6)} if true is not None else {})
    )
    for name, (masks, dim) in under.items():
        large = [cv2.resize(masks[i], (side, side), interpolation=cv2.INTER_LINEAR) for i in chosen]
        rows.append([outlined(rgb, m, dim) if m.any() else None for rgb, m in zip(crops, large, strict=True)])
        labels.append(name)
    table = looks.rows.reset_index(drop=True).loc[list(chosen), ["dataset", "video", "frame", "label", "method"]]
    table = table.assign(score=looks.scores[list(chosen)]).reset_index(drop=True)
    columns = [f"{row.label}\n{row.score:.2f}" for row in table.itertuples()]
    alt = (
        f"Attention maps over {len(chosen)} faces: bright where the network looks, not what is fake. Scores: "
        + ", ".join(f"{row.label} {row.score:.2f}" for row in table.itertuples())
        + "."
    )
    return grid(rows, columns=columns, rows=labels, numbers=table, alt=alt)


def most_wrong(store: "FaceStore", faces_: pd.DataFrame, videos: pd.DataFrame, count: int = 6, size: int = 160) -> Plot:
    """The real videos with the highest scores and the fakes with the lowest, by the face nearest the video's score.

    Below each: score, manipulation, face size in pixels and how far it is turned aside in degrees.
    faces_: `Run.scores`, in the store's order; videos: `Run.video_scores`.
    """
    from dfnb.analysis import error_analysis

    shown, captions, used = [], [], []
    for label, highest_first in (("real", True), ("fake", False)):
        some = videos[(videos["label"] == label) & (videos["frames"] > 0)]
        some = some.sort_values("score", ascending=not highest_first, kind="stable").head(count)
        line = []
        for video in some.itertuples():
            own = faces_[(faces_["dataset"] == video.dataset) & (faces_["video"] == video.video)]
            index = int((own["score"] - video.score).abs().idxmin())
            line.append(crop_of(store[index], size))
            seen = error_analysis.described(store.subset([index])).iloc[0]
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
