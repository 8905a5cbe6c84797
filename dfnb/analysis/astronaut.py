"""One genuine face that may be shown: Eileen Collins, photographed by NASA, in the public domain.

The picture comes inside scikit-image's wheel (`skimage.data.astronaut`), so nothing is downloaded and every report,
whatever its data, shows the same face. No network learns from it, and no number of a report rests on it.
"""

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfnb.data import FaceFinder, FaceStore, StoredFace, faces
from dfnb.sbi import PairDataset
from dfnb.sbi.self_blender import STORED

CREDIT = "Eileen Collins, astronaut (photograph: NASA, public domain)"


def picture() -> NDArray[np.uint8]:
    """The photograph, (512, 512, 3) uint8 RGB."""
    from skimage import data

    return data.astronaut()


@cache
def face() -> StoredFace:
    """Her face as `FaceFinder` finds it, cut out as faces of a store are (`StoredFace`)."""
    rgb = picture()
    found = FaceFinder()(rgb)[0]
    x0, y0, x1, y1 = faces.window(found.box, STORED, rgb.shape)
    crop = np.ascontiguousarray(rgb[y0:y1, x0:x1])
    crop.flags.writeable = False
    row = {"path": "skimage.data.astronaut", "dataset": "NASA", "video": "Eileen Collins", "label": "real"}
    row |= {"method": "original", "group": "Eileen Collins", "split": "", "frame": 0, "face": 0}
    row |= {"frame_height": rgb.shape[0], "frame_width": rgb.shape[1], "crop_x": x0, "crop_y": y0}
    row |= {"crop_h": y1 - y0, "crop_w": x1 - x0, **dict(zip(("x0", "y0", "x1", "y1"), found.box, strict=True))}
    box = (found.box[0] - x0, found.box[1] - y0, found.box[2] - x0, found.box[3] - y0)
    return StoredFace(crop, found.landmarks - np.float32((x0, y0)), box, {**row, "score": found.score})


class Joined:
    """A store's faces and, as the last one, hers: for what takes a store and reads faces, manifest and landmarks."""

    def __init__(self, store: FaceStore) -> None:
        last = face()
        self.store, self.last = store, len(store)
        self.root = store.root
        self.manifest = pd.concat([store.manifest, pd.DataFrame([last.row])], ignore_index=True)
        corner = np.float32((last.row["crop_x"], last.row["crop_y"]))
        self.landmarks = np.concatenate([store.landmarks, (last.landmarks + corner)[None]])

    def __len__(self) -> int:
        return self.last + 1

    def __getitem__(self, i: int) -> StoredFace:
        return face() if i == self.last else self.store[i]


def joined(pairs: PairDataset) -> PairDataset:
    """The same pairs as pictures, and as the last one hers.

    The others stay as they are, unless their fakes are of another person's face: then it may now be hers.
    """
    return PairDataset(Joined(pairs.store), pairs.size, pairs.seed, pairs.train, blender=pairs.blender)
