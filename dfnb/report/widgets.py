"""Sliders and lists for JupyterLab, beside figures that show the same without them.

Each draws an ordinary figure anew whenever a control changes. A notebook shows them by `plots.offer(...)`: where
someone can use them, and nowhere else, so a notebook that papermill ran holds no widget that is dead without a kernel.
What they draw is not written into the report.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import ipywidgets as ipw
import numpy as np

from dfnb.plots import blend_choices, pictures, style
from dfnb.plots.style import Plot, look
from dfnb.plots.widgets import WIDE, dropdown, with_output
from dfnb.scoring import metrics

if TYPE_CHECKING:
    from dfnb.analysis.attention_maps import Predictions
    from dfnb.data.store import StoredFace
    from dfnb.experiment.run import Run
    from dfnb.sbi import SelfBlender


def self_blending(run: "Run", faces: Sequence["StoredFace"], blender: "SelfBlender", seed: int = 0) -> ipw.VBox:
    """Four choices of a self-blended image as sliders (notebook 2); see `blend_choices.blend_with`."""
    choices = blend_choices.choices(blender)
    formats = {"colour": "+.0f", "ratio": ".2f"}
    face = dropdown("picture", [(f"face {k + 1}", k) for k in range(len(faces))])
    sliders = {
        name: ipw.FloatSlider(
            value=choice.start, min=choice.low, max=choice.high, step=choice.step, description=choice.label,
            readout_format=formats.get(name, ".1f"), style={"description_width": "12em"}, layout=WIDE,
            continuous_update=False,
        )
        for name, choice in choices.items()
    }  # fmt: skip
    ranges = [ipw.Label("training draws {:g} to {:g}".format(*choice.drawn)) for choice in choices.values()]
    rows = [ipw.HBox(row) for row in zip(sliders.values(), ranges, strict=True)]

    def draw(face: int, **chosen: float) -> None:
        plot = blend_choices.pair(faces[face], blender, seed, **chosen)
        caption = f"Mean difference between real and fake: {plot.numbers['mean_difference_levels']:.2f} of 255 levels."
        style.show(plot, "chosen-blend", run=run, caption=caption, private=True)

    return with_output(draw, face, *rows, face=face, **sliders)


def threshold(run: "Run", names: Sequence[str]) -> ipw.VBox:
    """A threshold on video scores as a slider: the ROC curve's point and the confusion table follow it (notebook 5).

    names: the networks to choose from, the last one first shown.
    """
    from dfnb.analysis import operating_points

    def draw(part: str, network: str, threshold: float) -> None:
        videos = run.video_scores(part, network)
        table = operating_points.confusion(videos, {look(network).label: threshold})
        false_positives, found = table.loc[0, "real called fake, share"], table.loc[0, "fake called fake, share"]
        caption = f"{false_positives:.0%} of the real videos are called fake, and {found:.0%} of the fakes."
        plot = operating_points.figure(videos, network, [threshold])
        style.show(plot, "chosen-threshold", run=run, caption=caption, private=True)
        caption = "Confusion table of this threshold: videos, and shares."
        style.table(table, "chosen-confusion", run=run, caption=caption, private=True)

    return with_output(
        draw,
        part=dropdown("videos", [(run.title(part), part) for part in run.tests], run.tests[-1]),
        network=dropdown("network", [(look(name).label, name) for name in names], names[-1]),
        threshold=ipw.FloatSlider(
            value=0.5, min=0.0, max=1.0, step=0.01, description="threshold", layout=WIDE, continuous_update=False
        ),
    )


ORDERS = {
    "most wrong first": lambda videos: (videos["score"] - (videos["label"] == "fake")).abs(),
    "highest score first": lambda videos: videos["score"],
    "lowest score first": lambda videos: -videos["score"],
}


def attention(run: "Run", name: str) -> ipw.VBox:
    """The attention maps of any face of any test video, videos sorted by their scores (notebook 6).

    name: the network, which must have an attention branch. It sees a video's faces when the video is chosen.
    """
    from dfnb.analysis import attention_maps
    from dfnb.benchmark import true_masks

    net, size = run.network(name), run.profile.model.size

    @lru_cache(maxsize=1)
    def predict(part: str, dataset: str, video: str) -> tuple["Predictions", np.ndarray | None]:
        store = run.store(part)
        rows = store.manifest
        chosen = store.subset(((rows["dataset"] == dataset) & (rows["video"] == video)).to_numpy())
        true = true_masks(run.benchmark, chosen, size) if run.embedded else None
        return attention_maps.predict(net, chosen, size), true

    def videos(part: str, order: str) -> list[tuple[str, tuple[str, str, str]]]:
        table = metrics.video_scores(run.scores(part, name), rule=run.profile.evaluate.size_rule)
        table = table.loc[ORDERS[order](table).sort_values(ascending=False, kind="stable").index]
        return [
            (f"{row.score:.2f}  {row.label}, {row.method}: {row.video}", (part, row.dataset, row.video))
            for row in table.itertuples()
        ]

    def draw(video: tuple[str, str, str], face: int) -> None:
        predicted, true = predict(*video)
        row = predicted.rows.iloc[face]
        caption = (
            f"Face {face + 1} of {len(predicted.rows)}, frame {row['frame']}: score {predicted.scores[face]:.2f}; the "
            f"video is {row['label']} ({row['method']}). Bright is where the network looks, not what is fake."
        )
        plot = one_face(predicted, face, true)
        style.show(plot, "chosen-attention", run=run, caption=caption, private=True)

    part = dropdown("videos", [(run.title(part), part) for part in run.tests])
    order = dropdown("order", list(ORDERS))
    video = ipw.Select(options=videos(part.value, order.value), rows=6, description="video", layout=WIDE)
    face = ipw.IntSlider(min=0, max=0, description="face", layout=WIDE, continuous_update=False)

    def list_videos(_: object) -> None:
        video.options = videos(part.value, order.value)  # chooses the first

    def count_faces(_: object = None) -> None:
        face.value, face.max = 0, len(predict(*video.value)[0].rows) - 1

    part.observe(list_videos, names="value")
    order.observe(list_videos, names="value")
    video.observe(count_faces, names="value")
    count_faces()
    return with_output(draw, part, order, video, face, video=video, face=face)


def one_face(predicted: "Predictions", face: int, true: np.ndarray | None = None) -> Plot:
    """A face, its attention map, its face mask and, if known, its true manipulation mask, side by side.

    true: (N, S, S) in 0..1, in the order of `predicted`; a real face's is empty, and its place stays blank.
    """
    side = max(256, predicted.crops.shape[1])
    rgb = pictures.enlarged(predicted.crops[face], side)
    row, names = [rgb, pictures.heat(rgb, predicted.maps[face])], ["face", "attention map", "face mask"]
    for masks in (predicted.masks, *([] if true is None else [true])):
        mask = cv2.resize(masks[face], (side, side), interpolation=cv2.INTER_LINEAR)
        row.append(pictures.outlined(rgb, mask, 0.6) if mask.any() else None)
    columns = [*names, "manipulated where"][: len(row)]
    alt = f"{', '.join(columns)} of one face; its score is {predicted.scores[face]:.2f}."
    return pictures.grid([row], columns=columns, numbers={"score": float(predicted.scores[face])}, alt=alt)
