"""Other ways of doing the same, timed by `dfnb bench --long`, so that choices can be seen again on another machine.

- Decoding a few frames: `data.frames` skips what no wanted frame depends on and seeks where that saves frames; beside
  it stand decoding everything, and grabbing (everything decoded, only the wanted frames converted).
- JPEG round trips by OpenCV, which self-blending uses, and by Pillow.
- `torch.compile`, which is not used: see `dfnb.common.devices`.
"""

from __future__ import annotations

import io
import logging
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import torch
from PIL import Image

from dfnb import networks, training
from dfnb.benchmark import video
from dfnb.common import processes
from dfnb.data import frames
from dfnb.profile import Train
from dfnb.sbi import augment
from dfnb.scoring.inference import Scorer
from dfnb.speed import measure as timing
from dfnb.speed import stages, steps
from dfnb.speed.table import Row, frame, row
from dfnb.training import loop

log = logging.getLogger(__name__)
CLIPS = ((96, 12), (96, 250), (960, 12), (960, 250))  # frames of a clip, and from one key frame to the next
QUALITY = 75
SMALL = "tf_efficientnet_lite0", 128, 32  # the embedded benchmark's network, its pixels and images a step
_SAM = {"optimizer": "sam", "steps": 1, "networks": (("proposed", "arcface"),)}
_COMPILING, _COMPILED, _AS_IT_IS = "compiling it", "compiled", "as it is"


def measure() -> pd.DataFrame:
    """All of them: columns of `table.Row`. `torch.compile` alone takes minutes."""
    with tempfile.TemporaryDirectory(prefix="dfnb-ways-") as temporary:
        folder = Path(temporary)
        with timing.one_thread():
            stages.film(folder, people=1)
        return frame([*decoding(folder), *jpeg(folder), *compiled(*SMALL)])


def decoding(folder: Path, repeats: int = 3) -> list[Row]:
    """8 frames of short and long clips, key frames close and far apart, by each way; against decoding everything."""
    wanted, rows = stages.WANTED, []
    pictures = np.stack([rgb for _, rgb in frames.at(stages.clip(folder), range(stages.RENDERED))])
    for length, apart in CLIPS:
        path = folder / f"{length}-{apart}.mp4"
        forth = islice(cycle([*range(len(pictures)), *range(len(pictures) - 2, 0, -1)]), length)
        video.write(path, pictures[list(forth)], 25.0, video.Codec(keyframe=apart))
        known = frames.timeline(path)
        places = frames.places(known.count, wanted)
        works: dict[str, Callable[[], Any]] = {
            "everything decoded and converted": lambda path=path: _all(path),
            "grabbed": lambda path=path, places=places: _grabbed(path, places),
            "skipping and seeking, as the report does": lambda path=path: list(frames.sample_frames(path, wanted)),
        }
        taken = timing.in_turn(list(works.values()), repeats)
        for way, seconds in zip(works, taken, strict=True):
            what = f"{wanted} of {length} frames, a key frame every {apart}: {way}"
            rows.append(row("ways of decoding", what, "frames", seconds / wanted, next(iter(works)), taken[0] / wanted))
    return rows


def _all(path: Path) -> int:
    """Every frame as a picture, one at a time."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        return sum(len(frame.to_ndarray(format="rgb24")) > 0 for frame in container.decode(video=0))


def _grabbed(path: Path, places: list[int]) -> int:
    """Every frame decoded up to the last wanted one; only the wanted ones become pictures."""
    last, wanted = places[-1], set(places)
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        shown = islice(enumerate(container.decode(video=0)), last + 1)
        return sum(len(frame.to_ndarray(format="rgb24")) > 0 for index, frame in shown if index in wanted)


def jpeg(folder: Path, repeats: int = 20) -> list[Row]:
    """A JPEG round trip of a stored face by each library, quality 75, 4:2:0."""
    rgb = np.ascontiguousarray(stages.faces(folder)[0].rgb)

    def pillow() -> Any:
        with io.BytesIO() as file:
            Image.fromarray(rgb).save(file, "JPEG", quality=QUALITY, subsampling=2)
            return np.asarray(Image.open(file))

    with timing.one_thread():
        ours, theirs, sha = timing.in_turn(
            [lambda: augment.jpeg(rgb, QUALITY), pillow, timing.sha256_16_mib()], repeats
        )
    size = f"{rgb.shape[1]} x {rgb.shape[0]} px, quality {QUALITY}"
    return [
        row("JPEG round trip", f"{size}: {name}", "times", seconds, "SHA-256 of 16 MiB", sha)
        for name, seconds in (("OpenCV, as the report does", ours), ("Pillow", theirs))
    ]


def compiled(backbone: str, size: int, count: int, repeats: int = 3) -> list[Row]:
    """A SAM step and scoring, compiled, against the same as it is; and how long compiling takes, as often the same.

    Empty, with a word in the log, where no C++ compiler is installed, which `torch.compile` needs on a processor.
    """
    from torch._dynamo.exc import BackendCompilerFailed  # seconds to import

    name = f"{backbone.split('.')[0].removeprefix('tf_')}, {size} px, {count} images"
    data = steps.batch(size, count)
    rows = []
    with torch.compiler.config.patch(force_disable_caches=True):
        for what, make in (("a SAM step, proposed arcface", _sam), ("scoring, proposed arcface", _scoring)):
            plain, quick = (make(data, backbone, with_compiler) for with_compiler in (False, True))
            try:
                first = _seconds(quick)
            except BackendCompilerFailed as error:
                reason = str(error).strip().splitlines()[0]
                log.info("torch.compile isn't measured: it fails here (%s)", reason)
                return []
            eager, ours = timing.in_turn([plain, quick], repeats)
            for way, seconds in ((_COMPILING, first - ours), (_COMPILED, ours)):
                rows.append(row("torch.compile", f"{what}, {name}: {way}", "times", seconds, _AS_IT_IS, eager))
            torch.compiler.reset()
    return rows


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _sam(data: Any, backbone: str, with_compiler: bool) -> Callable[[], Any]:
    """A whole optimisation step, two passes, in float32."""
    net = networks.build("proposed", "arcface", backbone, pretrained=False, seed=0)
    net = net.to(memory_format=torch.channels_last).train()
    recipe = Train(**_SAM, batch=len(data[0]) // 2)
    optimizer, accelerator = training.make_optimizer(net, recipe), processes.accelerator()
    model = torch.compile(net) if with_compiler else net
    return lambda: loop.optimise(model, optimizer, accelerator, data, 1e-3, recipe)


def _scoring(data: Any, backbone: str, with_compiler: bool) -> Callable[[], Any]:
    """A batch, by the arithmetic that `precision: auto` chooses."""
    net = networks.build("proposed", "arcface", backbone, pretrained=False, seed=0).eval()
    scorer = Scorer(net, data[0].shape[-1], "auto")
    if with_compiler:
        scorer.net = torch.compile(scorer.net)

    def work() -> Any:
        with torch.inference_mode():
            return scorer(data[0])

    return work
