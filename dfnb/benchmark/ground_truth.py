"""Where the faces of the embedded benchmark were manipulated. No network is needed for it, so none is imported."""

from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfnb.data import faces
from dfnb.data.store import FaceStore, StoredFace
from dfnb.scoring.score_table import MARGIN

Maps = NDArray[np.float32]


def square(mask: NDArray[Any], face: StoredFace, size: int) -> Maps:
    """A mask (H, W) of a stored face's picture, cut and resized like its test crop: (size, size) float32."""
    x0, y0, x1, y1 = faces.window(face.box, MARGIN, mask.shape)
    return faces.square(mask[y0:y1, x0:x1].astype(np.float32), size)


def true_masks(benchmark: Path, store: FaceStore, size: int) -> Maps:
    """Where each face of the embedded benchmark was manipulated, cut like its test crop: (N, size, size) float32.

    Real faces have zeros. benchmark: the benchmark's root. Raises UserError where a mask file is missing or damaged.
    """
    from dfnb.benchmark.video import load_mask

    masks, read = np.zeros((len(store), size, size), np.float32), (None, None)
    for i, face in enumerate(store):
        row = face.row
        if row["label"] != "fake":
            continue
        if read[0] != row["path"]:
            relative = PurePath(Path(row["path"]).resolve().relative_to(benchmark.resolve()))
            read = (row["path"], load_mask(benchmark / "masks" / relative.with_suffix(".npz")))
        x, y = row["crop_x"], row["crop_y"]
        whole = read[1][row["frame"]]
        masks[i] = square(whole[y : y + row["crop_h"], x : x + row["crop_w"]], face, size)
    return masks
