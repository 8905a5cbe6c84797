"""Sliders and pickers for JupyterLab, beside figures that say the same without them.

A notebook offers one with `offer(...)`: it appears where someone can move it, and nowhere else, so a notebook that
papermill ran holds no widget that would be dead without its kernel.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ipywidgets as ipw
import numpy as np

from dfnb.analysis import exploring
from dfnb.plots.style import INK, look
from dfnb.plots.widgets import WIDE, heads_row, note, picture_box, says
from dfnb.scoring import metrics

if TYPE_CHECKING:
    from dfnb.data.store import StoredFace
    from dfnb.experiment.run import Run
    from dfnb.sbi import SelfBlender


class SelfBlendSliders(ipw.VBox):
    """Four choices of a self-blended image as sliders: each move draws the pair again (notebook 2).

    faces: to choose from. blender, seed: all other choices are as this seed draws them (`exploring.blend_with`).
    """

    def __init__(self, faces: Sequence["StoredFace"], blender: "SelfBlender", seed: int = 0) -> None:
        self.blender, self.seed = blender, seed
        self._faces = [exploring.at_strip_size(face) for face in faces]
        self.face = ipw.Dropdown(
            options=[(f"face {k}", k - 1) for k in range(1, len(faces) + 1)], description="picture", layout=WIDE
        )
        self.sliders, rows = {}, []
        for name, choice in exploring.choices(blender).items():
            self.sliders[name] = ipw.FloatSlider(
                value=choice.start, min=choice.low, max=choice.high, step=choice.step, description=choice.label,
                readout_format="+.0f" if name == "colour" else ".2f" if name == "ratio" else ".1f",
                style={"description_width": "12em"}, layout=WIDE,
            )  # fmt: skip
            low, high = choice.drawn
            rows.append(ipw.HBox([self.sliders[name], ipw.Label(f"training draws {low:g} to {high:g}")]))
        self.image, self.said = picture_box(4), note()
        super().__init__(
            [
                self.face,
                *rows,
                heads_row(["real", "fake", "mask", f"difference × {exploring.GAIN}"]),
                self.image,
                self.said,
            ]
        )
        for control in (self.face, *self.sliders.values()):
            control.observe(self._redraw, names="value")
        self._redraw()

    def _redraw(self, _: object = None) -> None:
        chosen = {name: slider.value for name, slider in self.sliders.items()}
        steps = exploring.blend_with(*self._faces[self.face.value], self.blender, self.seed, **chosen)
        self.image.value = exploring.png(exploring.blend_strip(steps))
        level = np.abs(steps.real.astype(np.float32) - steps.fake).mean()
        self.said.value = says(f"Mean difference between real and fake: {level:.2f} of 255 levels.")


class ThresholdSlider(ipw.VBox):
    """A threshold on video scores: the ROC curve's point and the confusion table follow it (notebook 5).

    names: the networks to choose from, the last one first shown.
    """

    def __init__(self, run: "Run", names: Sequence[str]) -> None:
        self.run = run
        self.part = ipw.Dropdown(
            options=[(run.title(part), part) for part in run.tests],
            value=run.tests[-1],
            description="videos",
            layout=WIDE,
        )
        self.network = ipw.Dropdown(
            options=[(look(n).label, n) for n in names], value=names[-1], description="network", layout=WIDE
        )
        self.threshold = ipw.FloatSlider(
            value=0.5, min=0.0, max=1.0, step=0.01, description="threshold", layout=WIDE, readout_format=".2f"
        )
        self.image, self.table = picture_box(4), ipw.HTML()
        super().__init__([self.part, self.network, self.threshold, self.image, self.table])
        for control in (self.part, self.network):
            control.observe(self._load, names="value")
        self.threshold.observe(self._redraw, names="value")
        self._load()

    def _load(self, _: object = None) -> None:
        self.videos = self.run.video_scores(self.part.value, self.network.value)
        self.picture = exploring.ThresholdPicture(self.videos, self.network.value)
        self._redraw()

    def _redraw(self, _: object = None) -> None:
        self.image.value = exploring.png(self.picture.at(self.threshold.value))
        self.table.value = confusion_html(exploring.operate(self.videos, self.threshold.value))


def confusion_html(at: exploring.Operating) -> str:
    """The confusion table of a threshold as HTML, with its two shares in words."""
    cell = 'style="padding:.2em 1em;text-align:right"'
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{what} videos</th><td {cell}>{a}</td><td {cell}>{b}</td></tr>'
        for what, a, b in (
            ("real", at.real_called_real, at.real_called_fake),
            ("fake", at.fake_called_real, at.fake_called_fake),
        )
    )
    said = says(f"{at.fpr:.0%} of the real videos are called fake, and {at.tpr:.0%} of the fakes.")
    return (
        f'<table style="color:{INK}"><thead><tr><td></td><th scope="col" {cell}>called real</th>'
        f'<th scope="col" {cell}>called fake</th></tr></thead><tbody>{rows}</tbody></table>{said}'
    )


ORDERS = {
    "most wrong first": lambda videos: (videos["score"] - (videos["label"] == "fake")).abs(),
    "highest score first": lambda videos: videos["score"],
    "lowest score first": lambda videos: -videos["score"],
}


class AttentionBrowser(ipw.VBox):
    """Where one network looks, in any face of any test video (notebook 6).

    name: the network, which must have an attention branch. A video's faces go through it when it is chosen.
    """

    def __init__(self, run: "Run", name: str) -> None:
        self.run, self.name, self.net = run, name, run.network(name)
        self.part = ipw.Dropdown(
            options=[(run.title(part), part) for part in run.tests], description="videos", layout=WIDE
        )
        self.order = ipw.Dropdown(options=list(ORDERS), description="order", layout=WIDE)
        self.video = ipw.Select(rows=6, description="video", layout=WIDE)
        self.face = ipw.IntSlider(min=0, max=0, description="face", layout=WIDE)
        self.image, self.said = picture_box(4 if run.embedded else 3), note()
        heads = ["face", "attention map", "face mask", *(["manipulated where"] if run.embedded else [])]
        super().__init__([self.part, self.order, self.video, self.face, heads_row(heads), self.image, self.said])
        self.part.observe(self._list, names="value")
        self.order.observe(self._list, names="value")
        self.video.observe(self._open, names="value")
        self.face.observe(self._redraw, names="value")
        self._list()

    def _list(self, _: object = None) -> None:
        scores = self.run.scores(self.part.value, self.name)
        videos = metrics.video_scores(scores, rule=self.run.profile.evaluate.size_rule)
        key = ORDERS[self.order.value](videos)
        videos = videos.loc[key.sort_values(ascending=False, kind="stable").index]
        self.video.options = [
            (f"{row.score:.2f}  {row.label}, {row.method}: {row.video}", (row.dataset, row.video))
            for row in videos.itertuples()
        ]  # this chooses the first one, which calls _open; but not from nothing
        if self.video.index is None:
            self.video.index = 0

    def _open(self, _: object = None) -> None:
        from dfnb.analysis import attention_maps

        dataset, video = self.video.value
        store = self.run.store(self.part.value)
        rows = store.manifest
        own = store.subset(((rows["dataset"] == dataset) & (rows["video"] == video)).to_numpy())
        size = self.run.profile.model.size
        self.looks = attention_maps.look(self.net, own, size)
        self.true = attention_maps.true_masks(self.run.benchmark, own, size) if self.run.embedded else None
        self.face.value, self.face.max = 0, len(own) - 1
        self._redraw()

    def _redraw(self, _: object = None) -> None:
        k = min(self.face.value, len(self.looks.crops) - 1)
        masks = [self.looks.masks[k], *([] if self.true is None else [self.true[k]])]
        self.image.value = exploring.png(exploring.attention_strip(self.looks.crops[k], self.looks.maps[k], masks))
        row = self.looks.rows.iloc[k]
        self.said.value = says(
            f"Face {k + 1} of {len(self.looks.crops)}, frame {row['frame']}: score {self.looks.scores[k]:.2f}; "
            f"the video is {row['label']} ({row['method']}). Bright is where the network looks, not what is fake."
        )
