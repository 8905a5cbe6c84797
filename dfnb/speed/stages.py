"""What `dfnb bench` times: every stage of the report, each beside a yardstick that does comparable work.

The stages call the report's own functions, on a clip of one rendered head at 720 px, whose face is about 280 px wide,
as in 720p footage. Networks have random weights, which take the same time as trained ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnb import networks
from dfnb.benchmark import layout, studio, video
from dfnb.common import processes, tuning
from dfnb.data import FaceFinder, FaceStore, StoredFace, catalogues, frames, open_store, prepare
from dfnb.own_video import file_scores
from dfnb.profile import Demo, Train
from dfnb.sbi import PairDataset, SelfBlender
from dfnb.sbi.degrade import Degradation
from dfnb.scoring import Scorer
from dfnb.training import loop

BACKBONE, SIZE = "tf_efficientnet_b4.ap_in1k", 380  # the paper's network; side of its input, pixels
LITE, LITE_SIZE = "tf_efficientnet_lite0", 128  # of the embedded benchmark, which laptops train
NETWORKS = (("network1", "linear"), ("network2", "linear"), ("proposed", "arcface"))
SIDE = 720  # of the clip's frames, pixels
LENGTH, WANTED = 96, 8  # frames of the clip, and how many of them are looked at (SBI's protocol)
IMAGES = 2  # of a training step and of a scored batch
SHA = "SHA-256 of 16 MiB"

Work = Callable[[], int]  # does some work and returns how many units it was


class Stage(NamedTuple):
    """A row of the bench: a unit of `work`, such as a frame, is compared with a unit of `yard`.

    what: the work in a few words; unit: what is counted, in the plural; yardstick: what `yard` is called; threads: of
    torch and OpenCV in both.
    """

    name: str
    what: str
    unit: str
    work: Work
    yardstick: str
    yard: Work
    threads: int = 1


def stages(folder: Path, backbone: str = BACKBONE, size: int = SIZE) -> Iterator[Stage]:
    """Every stage, made when its turn comes. Writes a clip and a face store into `folder`.

    backbone, size: of the networks; size is the side of their input, pixels. Stages before the networks have a single
    thread, as in a loader's worker.
    """
    clip, store = film(folder)
    sha, pairs = sha256_16_mib(), self_blended_pairs(store)
    some = f"{WANTED} of {LENGTH} frames"
    yield Stage("benchmark rendering", "a 320 px frame, encoded", "frames", render(folder), SHA, sha)
    yield Stage("decoding", f"{some}, {SIDE} px", "frames", decode(clip), "decoding all frames", decode_all(clip))
    yield Stage("detection and landmarks", f"a {SIDE} px frame", "frames", detect(clip), SHA, sha)
    yield Stage("face stage", f"both, {some}", "frames", extract(clip), "plain loop", extract_plainly(clip))
    own = f"{some}, efficientnet_lite0, {LITE_SIZE} px"
    yield Stage("own video", own, "frames", score_video(clip), "face stage", extract(clip))
    copied = read(in_memory(store))
    yield Stage("store reading", "faces of 720p footage", "faces", read(store), "copy in memory", copied)
    yield Stage("SBI pair", f"two inputs of {SIZE} px and their mask", "pairs", pairs, SHA, sha)
    degraded = self_blended_pairs(store, SelfBlender(degradation=Degradation(h264_probability=0.5)))
    yield Stage("SBI pair, degraded", "H.264 in half of the pairs", "pairs", degraded, "the same without", pairs)
    yield Stage("loading", "the same by one worker", "pairs", load(store), "pairs in this process", pairs)

    threads, name = torch.get_num_threads(), f"{backbone.split('.')[0].removeprefix('tf_')}, {size} px"
    data, proposed = batch(size), build("proposed", "arcface", backbone, size)
    with tuning.freed_memory_kept():  # as in a training, and where `dfnb score` scores
        exact, fast = (score(proposed, data[0], precision) for precision in ("float32", "auto"))
        yield Stage("scoring", f"proposed arcface, {name}", "images", fast, "torch, float32", exact, threads)
        plain = step(timm.create_model(backbone, num_classes=2), data)
        yield Stage("training step", f"timm's {name}", "images", plain, "2048 x 2048 product", product(), threads)
        for variant, head in NETWORKS:
            ours = step(build(variant, head, backbone, size), data)
            yield Stage("training step", f"{variant} {head}, {name}", "images", ours, "timm's", plain, threads)
        exact, bf16 = step(proposed, data), step(proposed, data, bf16=True)
        yield Stage("training step", f"proposed arcface, {name}, bf16", "images", bf16, "float32", exact, threads)


# ---- yardsticks ----


def sha256_16_mib() -> Work:
    """SHA-256 over 16 MiB: one core, hardly any memory."""
    data = bytes(16 << 20)

    def work() -> int:
        hashlib.sha256(data).digest()
        return 1

    return work


def product() -> Work:
    """The product of two 2048 x 2048 float32 matrices."""
    a, b = torch.rand(2, 2048, 2048)

    def work() -> int:
        torch.mm(a, b)
        return 1

    return work


def in_memory(store: FaceStore) -> list[StoredFace]:
    """The store's faces without the store's files."""
    return [replace(face, rgb=np.array(face.rgb)) for face in store]


def decode_all(clip: Path) -> Work:
    """Every frame of the clip decoded and converted to RGB, for the few that are wanted."""
    return lambda: len(frames.places(len(video.read(clip)), WANTED))


def extract_plainly(clip: Path) -> Work:
    """The face stage as a plain loop: all frames decoded, faces found in the wanted ones at full size, doubled once."""
    find = FaceFinder(longest_side=SIDE, upsample=1, retry=0)

    def work() -> int:
        shots = video.read(clip)
        return len([find(shots[place]) for place in frames.places(len(shots), WANTED)])

    return work


# ---- from videos to pairs ----


def _studio(size: int, count: int) -> studio.Studio:
    """A head of the embedded benchmark, ready to be rendered: `count` frames of `size` px."""
    settings = Demo(size=size, frames=count)
    return studio.Studio(settings, layout.plan(settings)[-1].takes[0])


def film(folder: Path) -> tuple[Path, FaceStore]:
    """The clip and the face store that the stages work on. Takes seconds; nothing of it is timed."""
    clip, filmed = folder / "clip.mp4", _studio(SIDE, 4)
    back_and_forth = [0, 1, 2, 3, 2, 1]
    filmed.release(clip, filmed.frames[back_and_forth * (LENGTH // 6)])
    row = [str(clip), "FF++-like", "clip", "real", "original", "clip", "train"]
    listed = pd.DataFrame([row], columns=list(catalogues.COLUMNS))
    prepare(listed, folder / "faces", frames=WANTED, jobs=1, progress=False)
    return clip, open_store(folder / "faces")


def render(folder: Path) -> Work:
    """Frames of the embedded benchmark: rendered, filmed and encoded."""

    def work() -> int:
        filmed = _studio(320, 2)
        filmed.release(folder / "rendered.mp4", filmed.frames)
        return len(filmed.frames)

    return work


def decode(clip: Path) -> Work:
    """The wanted frames of the clip."""
    return lambda: sum(1 for _ in frames.sample_frames(clip, WANTED))


def detect(clip: Path) -> Work:
    """Faces and landmarks of frames that are decoded already."""
    shots, find = [rgb for _, rgb in frames.sample_frames(clip, 3)], FaceFinder()
    return lambda: len([find(rgb) for rgb in shots])


def extract(clip: Path) -> Work:
    """The face stage as a whole: the wanted frames decoded, and the faces in them found."""
    find = FaceFinder()
    return lambda: len([find(rgb) for _, rgb in frames.sample_frames(clip, WANTED)])


def score_video(clip: Path) -> Work:
    """The wanted frames as `dfnb score` scores them: their faces found, scored and linked into people."""
    scorer, find = Scorer(build("plain", "linear", LITE).eval(), LITE_SIZE), FaceFinder()
    return lambda: file_scores.score_file(scorer, find, clip, LITE_SIZE, WANTED).row["frames"]


def read(faces: FaceStore | list[StoredFace]) -> Work:
    """Every byte of every stored face, copied."""
    targets = [np.empty_like(face.rgb) for face in faces]

    def work() -> int:
        for face, target in zip(faces, targets, strict=True):
            np.copyto(target, face.rgb)
        return len(targets)

    return work


def self_blended_pairs(store: FaceStore, blender: SelfBlender | None = None) -> Work:
    """Self-blended pairs, from the store to the network's input; the next epoch each time."""
    pairs, epochs = PairDataset(store, SIZE, blender=blender), iter(range(1 << 62))

    def work() -> int:
        epoch = next(epochs)
        return len([pairs[epoch, i] for i in range(len(pairs))])

    return work


def load(store: FaceStore) -> Work:
    """The same as a training gets them: from a worker process, batch by batch."""
    recipe = Train(batch=len(store), workers=1, steps=1)
    batches = iter(loop.make_loader(PairDataset(store, SIZE), recipe, 0, 1 << 40, processes.accelerator()))
    return lambda: len(next(batches)[0])


# ---- networks ----


def batch(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images (N, 3, size, size), channels last, targets (N,) and masks (N, 1, size, size), drawn at random."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, size, size, generator=draw).contiguous(memory_format=torch.channels_last)
    return images, torch.arange(IMAGES) % 2, torch.rand(IMAGES, 1, size, size, generator=draw)


def build(variant: str, head: str, backbone: str, size: int | None = None) -> networks.Network:
    """One of the report's networks, its weights random."""
    return networks.build(variant, head, backbone, pretrained=False, seed=0, size=size)


def score(net: networks.Network, images: Tensor, precision: str) -> Work:
    """A batch scored as `dfnb score` does, with this `precision`."""
    scorer = Scorer(net.eval(), images.shape[-1], precision)

    def work() -> int:
        with torch.inference_mode():
            return len(scorer(images).logits)

    return work


def step(net: nn.Module, data: tuple[Tensor, Tensor, Tensor], bf16: bool = False) -> Work:
    """Forward and backward of timm's own model or of one of ours, which learns its attention map, too."""
    net = net.to(memory_format=torch.channels_last).train()

    def work() -> int:
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            if isinstance(net, networks.Network):
                loss = loop.losses(net, *data, attention_weight=1.0).total
            else:
                loss = F.cross_entropy(net(data[0]).float(), data[1])
        loss.backward()
        return len(data[0])

    return work
