"""The plain way to a video's faces, which the fast one is compared with: decode everything, detect at full size."""

from pathlib import Path

import av
import dlib
import numpy as np

from dfnb.data import faces, frames


def plain_faces(path: Path, n: int) -> dict[int, list[faces.Face]]:
    """The faces of n evenly spaced frames by frame index, the largest first.

    Every frame is decoded and converted; dlib's detector looks at the whole frame, doubled once.
    """
    with av.open(str(path)) as container:
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(faces.landmark_model()))
    found = {}
    for index in frames.places(len(every), n):
        shapes = [predictor(every[index], box) for box in detector(every[index], 1)]
        points = [np.array([(p.x, p.y) for p in shape.parts()], np.float32) for shape in shapes]
        found[index] = sorted((faces.Face(p, faces.box(p)) for p in points), key=lambda face: -face.area)
    return found
