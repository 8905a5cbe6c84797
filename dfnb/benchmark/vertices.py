"""Named sets of the head's vertices: the same anatomical points in everybody."""

import functools

import numpy as np

from dfnb.benchmark import anatomy

# Vertices of MakeHuman's base mesh nearest the iBUG points: least mean squared distance to what dlib's model
# found on 60 drawn frontal faces, mirrored pairs found together.
_LANDMARKS = (
    5415, 5185, 5176, 5206, 735, 5298, 5295, 5221, 5296, 11831, 11901, 11903, 7455, 11817, 11788, 11797, 12014,
    255, 224, 204, 205, 209, 6984, 6980, 6979, 6998, 7024, 132, 131, 164, 294, 286, 314, 343, 7077, 7055,
    6780, 0, 54, 6764, 47, 41, 13360, 6838, 6784, 13376, 6825, 6831,
    3734, 5351, 450, 455, 7210, 11953, 10402, 7239, 7241, 492, 486, 484, 417, 462, 468, 7221, 7177, 7242, 493, 487,
)  # fmt: skip


@functools.cache
def landmarks() -> np.ndarray:
    """(68,) int: the head's vertices nearest the iBUG points."""
    a = anatomy.load()
    place = np.full(a.source.max() + 1, -1)
    place[a.source] = np.arange(len(a.source))
    return place[list(_LANDMARKS)]


@functools.cache
def skin_triangles() -> np.ndarray:
    """(T, 3) int32: triangles of the head's skin, cavities and shoulders left out."""
    a = anatomy.load()
    return a.triangles[(a.material == anatomy.Material.SKIN) & (a.triangles.max(1) < a.skin_count)]


def _where(low: float, high: float, side: float) -> np.ndarray:
    """Front skin vertices between two heights of the rest head (decimetres) and within `side` of its middle."""
    a = anatomy.load()
    p = a.template[: a.skin_count]
    chosen = (p[:, 1] > low) & (p[:, 1] < high) & (np.abs(p[:, 0]) < side) & (p[:, 2] > 0.35)
    # Below the jaw's edge the skin looks down: that is neck, however far forward it lies.
    jaw = p[landmarks()[:17]]
    edge = np.interp(p[:, 0], jaw[:, 0], jaw[:, 1], left=9.0, right=9.0)
    chosen &= p[:, 1] > edge - 0.02
    return np.nonzero(chosen & (a.ears[: a.skin_count] < 0.3))[0]


@functools.cache
def face() -> np.ndarray:
    """The face proper: forehead to chin, cheek to cheek, no ears, no neck."""
    return _where(5.9, 7.95, 0.72)


@functools.cache
def inner_face() -> np.ndarray:
    """From the brows to under the mouth, between the outer corners of the eyes."""
    marks = anatomy.load().template[landmarks()]
    return _where(float(marks[57, 1]) - 0.12, float(marks[17:27, 1].max()) + 0.06, float(marks[45, 0]) + 0.06)


@functools.cache
def mouth() -> np.ndarray:
    """Lips and their surroundings, from under the nose to above the chin."""
    marks = anatomy.load().template[landmarks()]
    return _where(float(marks[57, 1]) - 0.1, float(marks[33, 1]) - 0.06, float(marks[54, 0]) + 0.12)


@functools.cache
def rigid() -> np.ndarray:
    """Vertices of the head that no facial action moves: by them the same head is laid on itself."""
    a = anatomy.load()
    actions = [name.startswith("action:") for name in a.names]
    moved = np.abs(a.shapes[actions][:, : a.skin_count]).max(axis=(0, 2))
    return np.nonzero((moved < 1e-4) & (a.turn[: a.skin_count] > 0.99))[0]


@functools.cache
def mesh_landmarks() -> np.ndarray:
    """Landmarks for FaceSwap: iBUG's without the inner lips (which meet), and vertices of cheeks and forehead."""
    marks = landmarks()[:60]
    place = anatomy.load().template
    far = np.linalg.norm(place[face(), None] - place[marks], axis=-1).min(axis=1) > 0.25  # decimetres
    return np.unique(np.concatenate([marks, face()[far][::4]]))
