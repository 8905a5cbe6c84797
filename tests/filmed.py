"""A folder of small videos with its faults, and the store made of it, in this process or in one of its own."""

import hashlib
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from rendered_heads import rendered_heads

from dfnb.data import catalogues, store

FRAMES = 4


@pytest.fixture(scope="module")
def heads():
    """Three heads, (320, 320, 3) uint8 each."""
    return [frame.rgb for frame in rendered_heads(3, seed=11)]


def film(path: Path, picture: np.ndarray, count: int = 12, blank=()) -> None:
    """A video in which the picture drifts to the right, a pixel a frame; frames listed in blank are grey."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"g": "6"})
        stream.height, stream.width, stream.pix_fmt = picture.shape[0], picture.shape[1], "yuv420p"
        for i in range(count):
            rgb = np.full_like(picture, 128) if i in blank else np.roll(picture, i, 1)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        out.mux(stream.encode())


@pytest.fixture(scope="module")
def videos(tmp_path_factory, heads) -> Path:
    """A folder of faces with its faults: three sound videos, an image, one half without a face, and four bad ones."""
    at = tmp_path_factory.mktemp("videos")
    for kind in ("real", "fake"):
        (at / kind).mkdir()
    film(at / "real/one.mp4", heads[0])
    film(at / "real/two people.mp4", np.hstack([heads[1], cv2.resize(heads[2], (320, 320))]))
    film(at / "fake/some blank.mp4", heads[2], blank=range(6))
    cv2.imwrite(str(at / "fake/picture.png"), heads[1][..., ::-1])
    film(at / "fake/nobody.mp4", np.full((240, 320, 3), 90, np.uint8))
    (at / "fake/empty.mp4").write_bytes(b"")
    (at / "real/noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    data = (at / "real/one.mp4").read_bytes()
    (at / "real/truncated.mp4").write_bytes(data[: len(data) // 2])
    return at


@pytest.fixture(scope="module")
def catalogue(videos) -> pd.DataFrame:
    table = catalogues.faces_folder(videos)
    lost = {"path": str(videos / "real/lost.mp4"), "video": "real/lost.mp4", "label": "real", "method": "original"}
    out = pd.concat([table, pd.DataFrame([{**table.iloc[0], **lost}])], ignore_index=True)
    out.attrs = table.attrs
    return out


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, catalogue):
    """The store of that folder, made in one go by one process; and its coverage."""
    root = tmp_path_factory.mktemp("stores") / "plain"
    return root, store.prepare(catalogue, root, frames=FRAMES, jobs=1, keep="all", progress=False)


def tree(root: Path) -> dict[str, str]:
    """Every file below a folder, but for the lock, with its hash."""
    files = [f for f in sorted(root.rglob("*")) if f.is_file() and f.name != ".lock"]
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


SCRIPT = """
import json, sys
import pandas as pd
from dfnb.data import store
from dfnb.common.errors import UserError
if sys.argv[3:]:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    store.prepare(pd.read_json(sys.argv[1], dtype=False), sys.argv[2], frames=4, jobs=1, keep="all", progress=False)
except UserError as error:
    print(error, file=sys.stderr)
    raise SystemExit(2)
"""


def start(catalogue: pd.DataFrame, folder: Path, *more: str, script: str = SCRIPT) -> subprocess.Popen:
    """`prepare` in a process of its own."""
    folder.mkdir(exist_ok=True)
    catalogue.to_json(folder / "clips.json", orient="records")
    command = [sys.executable, "-c", script, str(folder / "clips.json"), str(folder / "store"), *more]
    return subprocess.Popen(command, cwd=Path(__file__).parents[1], stderr=subprocess.PIPE, text=True)
