"""What the notebooks' sliders draw, as plain functions, and the figures that say the same without a slider.

Strips are arrays (H, W, 3) uint8 RGB: a few milliseconds each, so that a picture follows the hand. `report.widgets`
puts sliders beside them; the figures are for whoever only reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from dfnb.plots import pictures
from dfnb.plots.style import FAINT, FAKE, INK, REAL, Plot, look, new_figure, styled
from dfnb.sbi.augment import Colour
from dfnb.scoring import metrics

if TYPE_CHECKING:
    from dfnb.data.store import StoredFace
    from dfnb.sbi import SelfBlender
    from dfnb.sbi.blend import Steps

Image = NDArray[np.uint8]
SIDE = 256  # pixels: width of a face in a strip
GAIN = 8  # differences between real and fake are shown times this


# ---- one choice of self-blending at a time ----


class Choice(NamedTuple):
    """One choice of a self-blended image that a slider sets.

    low, high, step: of the slider; drawn: lowest and highest that training draws; start: where the slider begins.
    """

    label: str
    low: float
    high: float
    step: float
    drawn: tuple[float, float]
    start: float


def choices(blender: "SelfBlender") -> dict[str, Choice]:
    """The four sliders by name; their ranges go beyond what training draws, which `drawn` says."""
    shift = blender.colour.rgb_shift
    wide, soft = blender.amplitude[1], blender.soften[1]
    ratios = (min(blender.ratios), max(blender.ratios))
    return {
        "ratio": Choice("blend ratio", 0.0, 1.0, 0.05, ratios, 1.0),
        "amplitude": Choice("mask deformation, px", 0.0, 2 * wide, 0.5, blender.amplitude, sum(blender.amplitude) / 2),
        "soften": Choice("edge softness, px", 0.0, 2 * soft, 0.5, blender.soften, sum(blender.soften) / 2),
        "colour": Choice("colour shift, levels", -2 * shift, 2 * shift, 1.0, (-shift, shift), shift),
    }


def at_strip_size(face: "StoredFace") -> tuple[Image, NDArray[np.float32]]:
    """A stored face as strips show it: (H, SIDE, 3) and its landmarks (68, 2), so that large faces cost no more."""
    scale = SIDE / face.rgb.shape[1]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    rgb = cv2.resize(face.rgb, (SIDE, round(face.rgb.shape[0] * scale)), interpolation=how)
    return rgb, (face.landmarks + 0.5) * np.float32(scale) - 0.5


def blend_with(
    rgb: Image, landmarks: NDArray[np.floating], blender: "SelfBlender", seed: int, **chosen: float
) -> "Steps":
    """A self-blended image whose `choices` are set by name; all others are as `seed` draws them.

    The hull is the whole face, and only the source changes, by its colour alone: `colour` levels more red and as many
    less blue, so that the sliders are the only difference between two pictures. Any choice left out starts at
    `Choice.start`.
    """
    values = {name: choice.start for name, choice in choices(blender).items()} | chosen
    shift = float(values.pop("colour"))
    plain = {"hull": "whole", "forehead": True, "changed": "source", "factor": 1, "sharpness": 0.0}
    colour = Colour(rgb=(shift, 0.0, -shift))
    return blender.explain(rgb, landmarks, np.random.default_rng(seed), **plain, colour=colour, **values)


def blend_strip(steps: "Steps") -> Image:
    """Real, fake, mask, and what the two differ by, side by side: (H, 4 W, 3)."""
    return np.hstack(
        [steps.real, steps.fake, pictures.grey(steps.mask), pictures.difference(steps.real, steps.fake, GAIN)]
    )


def one_choice_at_a_time(face: "StoredFace", blender: "SelfBlender", seed: int = 0) -> Plot:
    """Each of the four choices at three values, the others held: the fake, its mask, the difference amplified."""
    rgb, landmarks = at_strip_size(face)
    rows, captions, numbers = [], [], []
    for name, choice in choices(blender).items():
        row, texts = [], []
        middle = {"colour": 0.0, "ratio": 0.5}.get(name, sum(choice.drawn) / 2)
        for value in (choice.drawn[0], middle, choice.drawn[1]):
            steps = blend_with(rgb, landmarks, blender, seed, **{name: value})
            mask = pictures.grey(steps.mask)
            row += [steps.fake, mask if name != "colour" else pictures.difference(steps.real, steps.fake, GAIN)]
            text = f"{value:+g}" if name == "colour" and value else f"{value:g}"
            texts += [text.replace("-", "−"), ""]
            level = float(np.abs(steps.real.astype(float) - steps.fake).mean())
            numbers.append({"choice": choice.label, "value": value, "mean_difference_levels": level})
        rows.append(row)
        captions.append(texts)
    labels = ["ratio", "deformed,\npx", "softened,\npx", "colour,\nlevels"]
    told = "; ".join(f"{n['choice']} {n['value']:g}: {n['mean_difference_levels']:.2f}" for n in numbers)
    alt = (
        "One face self-blended with one choice at its lowest, middle and highest at a time, and the mask beside it "
        f"(for the colour: the difference times {GAIN}). Mean difference from the real face, levels of 255: {told}."
    )
    return pictures.grid(rows, rows=labels, captions=captions, numbers=pd.DataFrame(numbers), alt=alt)


# ---- a threshold on video scores ----


@dataclass(frozen=True)
class Operating:
    """What "fake where the score >= threshold" makes of videos: counts of real and fake ones called real and fake."""

    threshold: float
    real_called_real: int
    real_called_fake: int
    fake_called_real: int
    fake_called_fake: int

    @property
    def fpr(self) -> float:
        """Share of the real videos called fake."""
        return self.real_called_fake / (self.real_called_real + self.real_called_fake)

    @property
    def tpr(self) -> float:
        """Share of the fakes called fake."""
        return self.fake_called_fake / (self.fake_called_real + self.fake_called_fake)

    def table(self) -> pd.DataFrame:
        """The confusion table: a row for what a video is, a column for what it is called, and the share called fake."""
        return pd.DataFrame(
            {
                "video is": ["real", "fake"],
                "called real": [self.real_called_real, self.fake_called_real],
                "called fake": [self.real_called_fake, self.fake_called_fake],
                "called fake, share": [self.fpr, self.tpr],
            }
        )


def operate(videos: pd.DataFrame, threshold: float) -> Operating:
    """videos: columns label ("real" or "fake") and score. Raises ValueError where a class is missing."""
    labels, scores = (videos["label"] == "fake").to_numpy(), videos["score"].to_numpy(float)
    rates = metrics.error_rates(labels, scores, threshold)
    false_alarms, missed = round(rates.false_positive * rates.real), round(rates.false_negative * rates.fake)
    return Operating(threshold, rates.real - false_alarms, false_alarms, missed, rates.fake - missed)


def thresholds(videos: pd.DataFrame) -> dict[str, float]:
    """Thresholds worth a look: one half, where both errors are equal, and where one real video in ten is called fake.

    The last two are found on the very videos they are counted on, and so flatter the network.
    """
    labels, scores = (videos["label"] == "fake").to_numpy(), videos["score"].to_numpy(float)
    return {
        "one half": 0.5,
        "both errors equal": metrics.threshold_at(labels, scores),
        "1 in 10 real called fake": metrics.threshold_at(labels, scores, 0.1),
    }


def confusion(videos: pd.DataFrame, chosen: Mapping[str, float] | None = None) -> pd.DataFrame:
    """The confusion tables of several thresholds (`thresholds` unless told), a row each."""
    rows = []
    for name, threshold in (chosen or thresholds(videos)).items():
        at = operate(videos, threshold)
        rows.append(
            {
                "threshold": name,
                "value": threshold,
                "real called real": at.real_called_real,
                "real called fake": at.real_called_fake,
                "fake called real": at.fake_called_real,
                "fake called fake": at.fake_called_fake,
                "real called fake, share": at.fpr,
                "fake called fake, share": at.tpr,
            }
        )
    return pd.DataFrame(rows)


def threshold_plot(videos: pd.DataFrame, network: str, chosen: Sequence[float]) -> Plot:
    """Scores of real and fake videos with thresholds drawn through them, and where these lie on the ROC curve.

    videos: `Run.video_scores` of one network. chosen: thresholds, numbered in this order.
    """
    points = [operate(videos, threshold) for threshold in chosen]
    with styled():
        figure, spread, curve = _scores_and_roc(videos, network)
        for number, at in enumerate(points, 1):
            _mark(spread, curve, at)
            if len(points) > 1:
                # each number lower than the one before, since thresholds may lie close together
                where, low = {"textcoords": "offset points", "va": "center"}, 14 * (number - 1)
                top = spread.get_ylim()[1]
                spread.annotate(f"{number}", (at.threshold, top), xytext=(4, -8 - low), **where)
                arrow = {"arrowstyle": "-", "color": FAINT, "lw": 0.8, "shrinkA": 1, "shrinkB": 3}
                curve.annotate(f"{number}", (at.fpr, at.tpr), xytext=(16, -12 - low), arrowprops=arrow, **where)
    told = "; ".join(
        f"at {at.threshold:.2f}, {at.real_called_fake} of {at.real_called_fake + at.real_called_real} real and "
        f"{at.fake_called_fake} of {at.fake_called_fake + at.fake_called_real} fake videos are called fake"
        for at in points
    )
    numbers = confusion(videos, {f"{k}": at.threshold for k, at in enumerate(points, 1)})
    return Plot(figure, numbers, f"Video scores of {look(network).label} and its ROC curve with thresholds: {told}.")


class ThresholdPicture:
    """`threshold_plot` with one threshold, for a slider: what doesn't move is drawn once, the rest each time."""

    def __init__(self, videos: pd.DataFrame, network: str) -> None:
        self.videos = videos
        with styled():
            figure, *self._axes = _scores_and_roc(videos, network)
            self._canvas = FigureCanvasAgg(figure)
            self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    def at(self, threshold: float) -> Image:
        """The picture (H, W, 3) with this threshold."""
        self._canvas.restore_region(self._still)
        with styled():
            for artist in _mark(*self._axes, operate(self.videos, threshold)):
                artist.axes.draw_artist(artist)
                artist.remove()
        return np.array(self._canvas.buffer_rgba())[..., :3]


def _scores_and_roc(videos: pd.DataFrame, network: str) -> tuple[Figure, Axes, Axes]:
    """Histograms of real (above) and fake scores (below), and the ROC curve, without any threshold."""
    labels, scores = (videos["label"] == "fake").to_numpy(), videos["score"].to_numpy(float)
    roc, edges = metrics.roc(labels, scores), np.linspace(0, 1, 26)
    figure = new_figure(3.3)
    figure.set_layout_engine("none")  # the same places whatever the scores, and quicker than a constrained layout
    spread, curve = figure.add_axes((0.03, 0.17, 0.53, 0.7)), figure.add_axes((0.68, 0.17, 0.3, 0.7))
    most, counts = 0, {}
    for label, colour, side in (("real", REAL, 1), ("fake", FAKE, -1)):
        counts[label], _ = np.histogram(scores[labels == (label == "fake")], edges)
        spread.stairs(side * counts[label], edges, fill=True, color=colour)
        most = max(most, counts[label].max())
    spread.axhline(0, color=INK, lw=0.8)
    spread.set(xlim=(0, 1), ylim=(-1.1 * most, 1.2 * most), yticks=[], xlabel="score of a video")
    spread.set_title(f"{counts['real'].sum()} real videos above, {counts['fake'].sum()} fake ones below")
    spread.spines["left"].set_visible(False)
    curve.plot(roc.fpr, roc.tpr, color=look(network).colour, lw=look(network).width)
    curve.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=(0, (2, 3)))
    half = (0, 0.5, 1)
    curve.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), xticks=half, yticks=half, title="on the ROC curve")
    curve.set(xlabel="real called fake", ylabel="fakes called fake")
    return figure, spread, curve


def _mark(spread: Axes, curve: Axes, at: Operating) -> list[Line2D]:
    """A threshold as a line through the scores and as a point of the curve."""
    line = spread.axvline(at.threshold, color=INK, lw=1.5)
    return [line, *curve.plot(at.fpr, at.tpr, "o", ms=8, color=INK, mec="white", clip_on=False, zorder=5)]


# ---- attention, face by face ----


def attention_strip(rgb: Image, attention: NDArray[np.floating], masks: Sequence[NDArray[np.floating]]) -> Image:
    """A face, its attention map laid over it, and masks outlined on it, side by side: (SIDE, k SIDE, 3).

    rgb: (S, S, 3), the test crop. attention: (h, w) in 0..1. masks: (S, S) each in 0..1; one that is empty stays blank.
    """
    large = pictures.enlarged(rgb, SIDE)
    cells: list[Any] = [large, pictures.heat(large, attention)]
    for mask in masks:
        wide = cv2.resize(np.asarray(mask, np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        cells.append(pictures.outlined(large, wide, 0.6) if wide.any() else np.full_like(large, 255))
    return np.hstack(cells)


def png(rgb: Image) -> bytes:
    """A picture (H, W, 3) as PNG, quickly: the pixels come back exactly."""
    done, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise RuntimeError(f"a picture of {rgb.shape[1]} x {rgb.shape[0]} px can't be encoded")
    return data.tobytes()
