"""When a network can't tell, and why: what is measured on a file against limits beyond which scores mean little.

The limits are measured: figures/genuine-limits.csv has the AUC on genuine faces and forgeries of them as faces get
smaller, more blurred or more compressed, of a network with an input of 128 px that reaches 0.84 on them as they are.
Beyond a limit its AUC is below 0.6. `frames` is what an interval needs (`people.FEWEST`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfnb.common.errors import UserError


@dataclass(frozen=True)
class Limits:
    """What a person's faces need. An image needs one frame, whatever `frames` says.

    frames: with the face. pixels: side of its box in the picture (median). sharpness: of its crop (median of
    `sharpness`). quantiser: of an H.264 file, 0..51 (mean), at most. distance: from held-out real faces
    (`real_people.distance`, median), as a share of what 99 % of those stay below, at most.
    """

    frames: float = 5
    pixels: float = 70
    sharpness: float = 0.08
    quantiser: float = 42
    distance: float = 1.0


def limits(changes: Sequence[str] = ()) -> Limits:
    """The limits, some of them changed, each as NAME=NUMBER. Raises UserError where one can't be read."""
    known = {field.name for field in fields(Limits)}
    given = {}
    for text in changes:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if name not in known or not value >= 0:
            raise UserError(f"--limit {text!r}: write it as NAME=NUMBER, the name one of {', '.join(sorted(known))}")
        given[name] = value
    return replace(Limits(), **given)


def sharpness(crop: NDArray[np.uint8]) -> float:
    """How fine the detail of a crop is: mean size of its Laplacian, in standard deviations of its grey levels.

    crop: (S, S, 3) uint8 RGB. Contrast and brightness don't change it.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean() / max(float(grey.std()), 1e-3))


def reasons(faces: pd.DataFrame, is_video: bool, about: Mapping[str, Any], at: Limits | None = None) -> list[str]:
    """Why nothing can be told of a person, a sentence each; empty where something can.

    faces: the person's, with x0, y0, x1, y1 (pixels), sharpness, and distance (NaN where it isn't known) as a share of
    the held-out faces' limit. about: of the file (`about.about`). at: the measured limits unless given.
    """
    at, found = at or Limits(), []
    if is_video and len(faces) < at.frames:
        found.append(f"The face is seen in {len(faces)} of the frames looked at; {at.frames:g} are needed.")
    sides = np.sqrt((faces["x1"] - faces["x0"]) * (faces["y1"] - faces["y0"]))
    if (pixels := float(sides.median())) < at.pixels:
        found.append(f"The face is {pixels:.0f} px in size; {at.pixels:g} px are needed.")
    if (fine := float(faces["sharpness"].median())) < at.sharpness:
        found.append(f"The face is too blurred: its sharpness is {fine:.3f}, and {at.sharpness:g} is needed.")
    quantiser = about.get("quantiser") or {}
    if about.get("codec") == "h264" and quantiser.get("mean", 0) > at.quantiser:
        found.append(
            f"The file is compressed too strongly: quantiser {quantiser['mean']:.0f} on average, {at.quantiser:g} at "
            "most."
        )
    if (far := float(faces["distance"].median())) > at.distance:
        found.append(
            f"The face is unlike those the network knows: it lies {far:.1f} times as far from the real faces held out "
            "in training as 99 % of these do."
        )
    return found
