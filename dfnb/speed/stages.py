"""What each stage before the network does, as work to take the time of: rendered heads in, the report's own functions.

Faces are rendered at 720 px, so that boxes are about 280 px wide, as in 720p footage; the embedded benchmark itself is
rendered at the size that its profile has.
"""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pandas as pd

from dfnb import sbi
from dfnb.benchmark import layout, studio, video
from dfnb.data import catalogues, store
from dfnb.data import frames as videos
from dfnb.data.faces import FaceFinder
from dfnb.profile import Demo
from dfnb.speed.measure import Work

SIZE = 380  # of a network's input, pixels: EfficientNet-B4's
CLIP = 720  # side of a clip's frame, pixels
LENGTH, WANTED = 96, 8  # frames of a clip, and how many of them are looked at (SBI's protocol)
RENDERED = 4  # different frames of a clip, played forth and back
_CLIPS, _FACES = "clips", "faces"


def settings(size: int, frames: int) -> Demo:
    """A benchmark of a few videos with one person each."""
    return Demo(size=size, frames=frames, ff_train=8, ff_val=2, ff_test=2, celeb_real=4, celeb_fake=4, ffiw=2)


def _takes(demo: Demo) -> list[layout.Take]:
    return [job.takes[0] for job in layout.plan(demo) if job.takes[0].part == "ff" and not job.fakes]


def film(folder: Path, people: int = 2) -> None:
    """Make the clips and the face store that the stages work on. Takes seconds; nothing of it is timed."""
    demo = settings(CLIP, RENDERED)
    rows = []
    for take in _takes(demo)[:people]:
        filmed, path = studio.Studio(demo, take), folder / _CLIPS / f"{take.video.video}.mp4"
        forth_and_back = [*range(RENDERED), *range(RENDERED - 2, 0, -1)]
        filmed.release(path, filmed.frames[list(islice(cycle(forth_and_back), LENGTH))])
        rows.append([str(path), "FF++-like", take.video.video, "real", "original", take.video.group, "train"])
    listed = pd.DataFrame(rows, columns=list(catalogues.COLUMNS))
    store.prepare(listed, folder / _FACES, frames=WANTED, jobs=1, progress=False)


def still(side: int) -> np.ndarray:
    """One frame of a rendered head, (side, side, 3) uint8."""
    demo = settings(side, 1)
    return studio.Studio(demo, _takes(demo)[0]).frames[0]


def faces(folder: Path) -> store.FaceStore:
    """The store that `film` made."""
    return store.open_store(folder / _FACES)


def clip(folder: Path) -> Path:
    """One of the clips that `film` made."""
    return min((folder / _CLIPS).glob("*.mp4"))


def render(folder: Path) -> Work:
    """Frames of the embedded benchmark: rendered, filmed and encoded."""
    demo = settings(Demo().size, 2)
    take = _takes(demo)[0]
    path = folder / "rendered" / "one.mp4"

    def work() -> int:
        filmed = studio.Studio(demo, take)
        filmed.release(path, filmed.frames)
        return len(filmed.frames)

    return work


def decode(folder: Path) -> Work:
    """The wanted frames of a clip."""
    path = clip(folder)
    return lambda: sum(1 for _ in videos.sample_frames(path, WANTED))


def detect(folder: Path) -> Work:
    """Faces and landmarks of frames that are decoded already."""
    shots, find = [rgb for _, rgb in videos.sample_frames(clip(folder), 3)], FaceFinder()
    return lambda: len([find(rgb) for rgb in shots])


def extract(folder: Path) -> Work:
    """The face stage as a whole: a video's wanted frames decoded, and the faces in them found."""
    path, find = clip(folder), FaceFinder()
    return lambda: len([find(rgb) for _, rgb in videos.sample_frames(path, WANTED)])


def extract_plainly(folder: Path) -> Work:
    """The same the plain way: every frame decoded, faces found in the wanted ones at full size, once doubled."""
    path = clip(folder)
    find = FaceFinder(longest_side=CLIP, upsample=1, retry=0)

    def work() -> int:
        shots = video.read(path)
        return len([find(shots[place]) for place in videos.places(len(shots), WANTED)])

    return work


def read(folder: Path) -> Work:
    """Every byte of every stored face, copied."""
    kept = faces(folder)
    room = np.empty(max(face.rgb.size for face in kept), np.uint8)

    def work() -> int:
        for face in kept:
            np.copyto(room[: face.rgb.size], face.rgb.reshape(-1))
        return len(kept)

    return work


def gigabytes_of_a_face(folder: Path) -> float:
    """GiB of pixels, on average."""
    return float(np.mean([face.rgb.size for face in faces(folder)])) / 2**30


def pairs(folder: Path) -> Work:
    """Self-blended pairs, from the store to the network's input."""
    made, epoch = sbi.PairDataset(faces(folder), SIZE), iter(range(1 << 62))

    def work() -> int:
        number = next(epoch)
        return len([made[number, i] for i in range(len(made))])

    return work


WORKS = {
    "benchmark rendering": render,
    "decoding": decode,
    "detection and landmarks": detect,
    "face stage": extract,
    "store reading": read,
    "SBI pair": pairs,
}


def make(name: str, folder: Path) -> Work:
    """The work of a stage."""
    return WORKS[name](folder)
