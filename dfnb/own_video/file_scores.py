"""Score videos and images of any kind: find them, find their faces, run the network; a row a file."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm.auto import tqdm

from dfnb.common import faults, files
from dfnb.common.errors import UserError, printable
from dfnb.data import faces
from dfnb.data.catalogues.lists import videos_and_images
from dfnb.own_video.prefetch import FrameFaces, prefetch_faces
from dfnb.scoring import metrics
from dfnb.scoring.inference import Precision, Scorer
from dfnb.scoring.score import probability, to_input
from dfnb.scoring.score_table import MARGIN

BATCH = 16  # crops; larger batches gain nothing on a processor


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Videos and images named by `paths`; a folder stands for those in it, at any depth, sorted, hidden ones left out.

    Raises UserError for a path that doesn't exist, for a folder without videos or images, and for one that can't be
    listed.
    """
    found = []
    for path in paths:
        if path.is_dir():
            inside = videos_and_images(path)
            if not inside:
                raise UserError(f"{path}: no videos or images in this folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return found


class Scored(NamedTuple):
    """One file's scores, see `score_files`. crops, maps: of each face, for pictures; left out by default."""

    row: dict[str, Any]
    faces: pd.DataFrame  # a row a face, columns as in `FaceScores.table`
    crops: list[NDArray[np.uint8]]  # (S, S, 3) RGB, in the order of `faces`
    maps: NDArray[np.float32] | None  # (N, h, w) in 0..1; None where the network has no attention branch


def score_file(
    net: nn.Module | Scorer,
    finder: faces.FaceFinder,
    path: Path,
    size: int,
    count: int = 32,
    batch: int = BATCH,
    pictures: bool = False,
    precision: Precision = "auto",
) -> Scored:
    """Score one video or image; see `score_files`."""
    return next(score_files(net, finder, [path], size, count, batch, pictures, precision))


def score_files(
    net: nn.Module | Scorer,
    finder: faces.FaceFinder,
    paths: Sequence[Path],
    size: int,
    count: int = 32,
    batch: int = BATCH,
    pictures: bool = False,
    precision: Precision = "auto",
) -> Iterator[Scored]:
    """Score videos and images, in order.

    Faces are prefetched, and batches run across files, so that short files don't leave the network idle; a file's
    result comes when the batch with its last face is full. Without pictures, memory doesn't grow with a video's length.

    net: a network, or an `inference.Scorer`, which then decides size and precision. size: S, side of the network's
    input in pixels. count: evenly spaced frames scored in a video. batch: crops. pictures: keep crops and maps.
    precision: see `dfnb.scoring.inference`.
    A result's row has file, score (probability of fake in 0..1; None where there is none), frames, frames_with_face,
    faces, reason (why there is no score, or ""), and notes where more than decoding was needed to show the file's
    frames. A file that can't be read is a row with its reason, not an error.
    """
    scorer = net if isinstance(net, Scorer) else Scorer(net, size, precision)
    opened: deque[_File] = deque()
    waiting: list[tuple[_File, NDArray[np.uint8]]] = []
    with tqdm(unit="frame", leave=False, mininterval=1.0) as bar:
        for seen in prefetch_faces(finder, paths, count, MARGIN, scorer.size):
            if not opened or opened[-1].done:
                opened.append(_File(seen.path, pictures))
                bar.set_description_str(printable(seen.path.name), refresh=False)  # tqdm adds a colon itself here
            file = opened[-1]
            waiting += [(file, crop) for crop in seen.crops]
            file.add(seen)
            bar.update(seen.frame is not None)
            while len(waiting) >= batch:
                _run(scorer, waiting[:batch])
                del waiting[:batch]
            while opened and opened[0].is_complete:
                yield opened.popleft().result()
        if waiting:
            _run(scorer, waiting)
        yield from (file.result() for file in opened)


@dataclass
class _File:
    """A file while it is being scored."""

    path: Path
    pictures: bool
    done: bool = False  # no more frames will come
    frames: int = 0
    reason: str = ""
    notes: tuple[str, ...] = ()
    places: list[tuple] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    maps: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, seen: FrameFaces) -> None:
        self.done, self.frames = seen.frame is None, self.frames + (seen.frame is not None)
        self.reason = seen.reason or self.reason
        self.notes = seen.notes or self.notes
        self.places += [(seen.frame, rank, *box) for rank, box in enumerate(seen.boxes)]
        self.crops += seen.crops if self.pictures else []

    @property
    def is_complete(self) -> bool:
        return self.done and len(self.scores) == len(self.places)

    def result(self) -> Scored:
        name = files.plain(str(self.path))
        row: dict[str, Any] = {"file": name, "score": None, "frames": self.frames, "frames_with_face": 0}
        row |= {"faces": len(self.places), "reason": self.reason}
        row |= {"notes": "; ".join(self.notes)} if self.notes else {}
        table = pd.DataFrame(self.places, columns=["frame", "face", "x0", "y0", "x1", "y1"])
        about = {"dataset": "files", "split": "", "video": name, "label": "", "method": ""}
        table = table.assign(**about, group=name, score=np.array(self.scores, np.float32))
        if not self.places:
            return Scored(row | {"reason": self.reason or "no face found"}, table, [], None)
        video = metrics.video_scores(table).iloc[0]
        row |= {"score": float(video["score"]), "frames_with_face": int(video["frames"])}
        return Scored(row, table, self.crops, np.stack(self.maps) if self.maps else None)


def _run(scorer: Scorer, waiting: Sequence[tuple[_File, NDArray[np.uint8]]]) -> None:
    """Score crops, and give each file its scores and maps."""
    with faults.named_faults(waiting[0][0].path.name), torch.inference_mode():
        output = scorer(torch.stack([to_input(crop, scorer.mean, scorer.std) for _, crop in waiting]))
    for k, ((file, _), score) in enumerate(zip(waiting, probability(output.logits).tolist(), strict=True)):
        file.scores.append(score)
        if file.pictures and output.attention is not None:
            file.maps.append(output.attention[k, 0].float().cpu().numpy())
