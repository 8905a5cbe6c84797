"""What each choice of self-blending does to one face: a figure with one choice at a time, and one for given values."""

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfnb.plots import pictures
from dfnb.plots.pictures import Image
from dfnb.plots.style import Plot
from dfnb.sbi.augment import Colour

if TYPE_CHECKING:
    from dfnb.data.store import StoredFace
    from dfnb.sbi import SelfBlender
    from dfnb.sbi.blend import Steps

SIDE = 256  # pixels: width of a face as drawn here
GAIN = 8  # differences between real and fake are shown times this


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
    """The four choices by name, in pixels, levels of 255, or a share; sliders go beyond what training draws."""
    shift = blender.colour.rgb_shift
    wide, soft = blender.amplitude[1], blender.soften[1]
    ratios = (min(blender.ratios), max(blender.ratios))
    return {
        "ratio": Choice("blend ratio", 0.0, 1.0, 0.05, ratios, 1.0),
        "amplitude": Choice("mask deformation, px", 0.0, 2 * wide, 0.5, blender.amplitude, sum(blender.amplitude) / 2),
        "soften": Choice("edge softness, px", 0.0, 2 * soft, 0.5, blender.soften, sum(blender.soften) / 2),
        "colour": Choice("colour shift, levels", -2 * shift, 2 * shift, 1.0, (-shift, shift), shift),
    }


def at_side(face: "StoredFace") -> tuple[Image, NDArray[np.float32]]:
    """A stored face resized to (H, SIDE, 3), and its landmarks (68, 2) there: large faces take no longer to blend."""
    scale = SIDE / face.rgb.shape[1]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    rgb = cv2.resize(face.rgb, (SIDE, round(face.rgb.shape[0] * scale)), interpolation=method)
    return rgb, (face.landmarks + 0.5) * np.float32(scale) - 0.5


def blend_with(face: "StoredFace", blender: "SelfBlender", seed: int, **chosen: float) -> "Steps":
    """A self-blended image, `SIDE` pixels wide, whose `choices` are set by name; all others are as `seed` draws them.

    The hull is the whole face, and only the source changes, by its colour alone: `colour` levels more red and as many
    less blue, so that the choices are the only difference between two pictures. Any choice left out is at
    `Choice.start`.
    """
    values = {name: choice.start for name, choice in choices(blender).items()} | chosen
    shift = float(values.pop("colour"))
    plain = {"hull": "whole", "forehead": True, "changed": "source", "factor": 1, "sharpness": 0.0}
    colour = Colour(rgb=(shift, 0.0, -shift))
    return blender.explain(*at_side(face), np.random.default_rng(seed), **plain, colour=colour, **values)


def pair(face: "StoredFace", blender: "SelfBlender", seed: int = 0, **chosen: float) -> Plot:
    """Real, fake, mask and amplified difference side by side, for the choices given; see `blend_with`."""
    steps = blend_with(face, blender, seed, **chosen)
    level = _mean_difference(steps)
    difference = pictures.difference(steps.real, steps.fake, GAIN)
    return pictures.grid(
        [[steps.real, steps.fake, pictures.grey(steps.mask), difference]],
        columns=["real", "fake", "mask", f"difference × {GAIN}"],
        numbers={"mean_difference_levels": level},
        alt=f"A face, the face self-blended, the mask and the difference: {level:.2f} of 255 levels in the mean.",
    )


def one_at_a_time(face: "StoredFace", blender: "SelfBlender", seed: int = 0) -> Plot:
    """Each of the four choices at three values, the others held: the fake, its mask, the difference amplified."""
    rows, captions, numbers = [], [], []
    for name, choice in choices(blender).items():
        row, texts = [], []
        middle = {"colour": 0.0, "ratio": 0.5}.get(name, sum(choice.drawn) / 2)
        for value in (choice.drawn[0], middle, choice.drawn[1]):
            steps = blend_with(face, blender, seed, **{name: value})
            mask = pictures.grey(steps.mask)
            row += [steps.fake, mask if name != "colour" else pictures.difference(steps.real, steps.fake, GAIN)]
            text = f"{value:+g}" if name == "colour" and value else f"{value:g}"
            texts += [text.replace("-", "−"), ""]
            level = _mean_difference(steps)
            numbers.append({"choice": choice.label, "value": value, "mean_difference_levels": level})
        rows.append(row)
        captions.append(texts)
    labels = ["ratio", "deformed,\npx", "softened,\npx", "colour,\nlevels"]
    levels = "; ".join(f"{n['choice']} {n['value']:g}: {n['mean_difference_levels']:.2f}" for n in numbers)
    alt = (
        "One face self-blended with one choice at its lowest, middle and highest at a time, and the mask beside it "
        f"(for the colour: the difference times {GAIN}). Mean difference from the real face, levels of 255: {levels}."
    )
    return pictures.grid(rows, rows=labels, captions=captions, numbers=pd.DataFrame(numbers), alt=alt)


def _mean_difference(steps: "Steps") -> float:
    return float(np.abs(steps.real.astype(float) - steps.fake).mean())
