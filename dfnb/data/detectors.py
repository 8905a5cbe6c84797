"""Face detectors: a picture to the boxes of its faces. `dfnb.data.faces` decides at which sizes a detector looks."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
Detector = Callable[[NDArray[np.uint8]], list[tuple[Box, float]]]
_thread = threading.local()


def hog(rgb: NDArray[np.uint8]) -> list[tuple[Box, float]]:
    """dlib's detector of frontal faces of 80 px and more; the score is the distance to its margin, above 0.

    Source: features of Dalal and Triggs 2005, max-margin training of King 2015.
    """
    if not hasattr(_thread, "hog"):  # a thread's own, since it keeps notes while it looks
        import dlib

        _thread.hog = dlib.get_frontal_face_detector()
    found, scores, _ = _thread.hog.run(rgb, 0, 0.0)
    return [((r.left(), r.top(), r.right(), r.bottom()), score) for r, score in zip(found, scores, strict=True)]


DETECTORS: dict[str, Detector] = {"hog": hog}
"""Name -> a function from a picture, (H, W, 3) uint8 RGB, to its faces: boxes (x0, y0, x1, y1) in pixels, and scores.

A box reaches from the brows to the chin, as the 68-point model was trained on dlib's; a score is comparable within one
detector only. A profile names the detector in `faces.detector`.
"""

# Further detectors go here, as CONTRIBUTING.md shows.
