"""Score videos and images of any kind: find them, find their faces, run the network; a row a file."""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm.auto import tqdm

from dfnb.common import devices, faults, files
from dfnb.common.errors import UserError, printable
from dfnb.data import faces
from dfnb.data.catalogues.lists import videos_and_images
from dfnb.own_video.doubts import sharpness
from dfnb.own_video.people import ranked
from dfnb.own_video.prefetch import FrameFaces, prefetch_faces
from dfnb.own_video.recognition import Recognition
from dfnb.own_video.tracks import Tracks
from dfnb.scoring import metrics, real_people
from dfnb.scoring.inference import Precision, Scorer
from dfnb.scoring.score import probability, to_input
from dfnb.scoring.score_table import MARGIN

BATCH = 16  # crops; larger batches gain nothing on a processor
STRONGEST = 4  # faces of a person, and frames of a file, whose pictures are kept
SCHEMA = 2  # of `as_json`


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
    """One file's scores, see `score_files`. crops, maps: for pictures; left out by default.

    faces: a row a face, columns as in `FaceScores.table`, with seconds (when its frame is shown) and person (its place
        in the row's people).
    crops: (S, S, 3) uint8 RGB by row of `faces`: of each person, and of the file's frames, those with the `STRONGEST`
        highest scores.
    maps: (N, h, w) float32 in 0..1, in the order of `faces`; None where the network has no attention branch.
    """

    row: dict[str, Any]
    faces: pd.DataFrame
    crops: dict[int, NDArray[np.uint8]]
    maps: NDArray[np.float32] | None


def score_file(
    net: nn.Module | Scorer,
    finder: faces.FaceFinder,
    path: Path,
    size: int,
    count: int = 32,
    batch: int = BATCH,
    pictures: bool = False,
    precision: Precision = "auto",
    rate: float | None = None,
) -> Scored:
    """Score one video or image; see `score_files`."""
    return next(score_files(net, finder, [path], size, count, batch, pictures, precision, rate))


def score_files(
    net: nn.Module | Scorer,
    finder: faces.FaceFinder,
    paths: Sequence[Path],
    size: int,
    count: int = 32,
    batch: int = BATCH,
    pictures: bool = False,
    precision: Precision = "auto",
    rate: float | None = None,
    held_out: Mapping[str, Any] | None = None,
) -> Iterator[Scored]:
    """Score videos and images, in order.

    Faces are prefetched, and batches run across files, so that short files don't leave the network idle; a file's
    result comes when the batch with its last face is full. Of a video's length, memory grows with
    a row a face alone.

    net: a network, or an `inference.Scorer`, which then decides size and precision. size: S, side of the network's
    input in pixels. count: evenly spaced frames scored in a video. batch: crops. pictures: keep crops and maps.
    precision: see `dfnb.scoring.inference`. rate: frames a second scored in a video, instead of `count`. held_out: what
    the checkpoint keeps of real people (`real_people.record`), for the distance of faces from theirs.
    A result's row has file, score (the protocol's: the mean over frames of the highest face; probability of fake in
    0..1; None where there is none), people (of `people.ranked`), frames, frames_with_face, faces, reason (why there is
    no score, or ""), and notes where more than decoding was needed to show the file's frames. A file that can't be read
    is a row with its reason, not an error.
    """
    scorer = net if isinstance(net, Scorer) else Scorer(net, size, precision)
    opened: deque[_File] = deque()
    waiting: list[_Waiting] = []
    with tqdm(unit="frame", leave=False, mininterval=1.0) as bar:
        for seen in prefetch_faces(finder, paths, count, MARGIN, scorer.size, rate=rate):
            if not opened or opened[-1].done:
                opened.append(_File(seen.path, pictures))
                bar.set_description_str(printable(seen.path.name), refresh=False)  # tqdm adds a colon itself here
            file = opened[-1]
            waiting += [_Waiting(file, *pair) for pair in zip(seen.crops, seen.chips, strict=True)]
            file.add(seen)
            bar.update(seen.frame is not None)
            while len(waiting) >= batch:
                _run(scorer, waiting[:batch], held_out)
                del waiting[:batch]
            while opened and opened[0].is_complete:
                yield opened.popleft().result()
        if waiting:
            _run(scorer, waiting, held_out)
        yield from (file.result() for file in opened)


def as_json(rows: Sequence[dict[str, Any]], warning: str | None = None) -> dict[str, Any]:
    """What `dfnb score --json` prints, as the README describes it. rows: of `Scored`."""
    return {"schema": SCHEMA} | ({"warning": warning} if warning else {}) | {"files": list(rows)}


def as_csv(rows: Sequence[dict[str, Any]], warning: str | None = None) -> str:
    """A line a file, after a line with the warning; what isn't a single value, such as people, is left out."""
    flat = [{name: value for name, value in row.items() if not isinstance(value, list | dict)} for row in rows]
    return (f"# {warning}\n" if warning else "") + pd.DataFrame(flat).to_csv(index=False)


@dataclass
class _File:
    """A file while it is being scored. Frames wait until all their faces are scored, then these are linked."""

    path: Path
    pictures: bool
    done: bool = False  # no more frames will come
    frames: int = 0
    reason: str = ""
    notes: tuple[str, ...] = ()
    waiting: deque[FrameFaces] = field(default_factory=deque)
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)  # of the frames that wait
    tracks: Tracks = field(default_factory=Tracks)
    places: list[tuple] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    maps: list[NDArray[np.float32]] = field(default_factory=list)
    crops: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    strongest: dict[int | None, list[tuple[float, int]]] = field(default_factory=dict)  # by person; None: all frames

    def add(self, seen: FrameFaces) -> None:
        self.done, self.frames = seen.frame is None, self.frames + (seen.frame is not None)
        self.reason = seen.reason or self.reason
        self.notes = seen.notes or self.notes
        self.waiting += [seen] if seen.boxes else []
        self.sharpness += [sharpness(crop) for crop in seen.crops]

    def score(self, score: float, distance: float, embedding: NDArray[np.float32]) -> None:
        """The next face's score, distance from held-out real faces, and embedding."""
        self.scores.append(score)
        self.distances.append(distance)
        self.embeddings.append(embedding)
        if len(self.embeddings) == len(self.waiting[0].boxes):
            self._link(self.waiting.popleft())

    def _link(self, seen: FrameFaces) -> None:
        people = self.tracks.add(seen.seconds, seen.boxes, np.stack(self.embeddings))
        self.embeddings.clear()
        start = len(self.places)
        for rank, (box, person) in enumerate(zip(seen.boxes, people, strict=True)):
            self.places.append((seen.frame, rank, *box, seen.seconds, person))
        if self.pictures:
            self.crops |= dict(enumerate(seen.crops, start))
            self._keep_strongest(start, people, np.asarray(seen.boxes))

    def _keep_strongest(self, start: int, people: Sequence[int], boxes: NDArray[np.float64]) -> None:
        """Forget the crops that are neither among their person's strongest nor those of the strongest frames."""
        scores, area = self.scores[start:], np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        faces = [*zip(people, scores, range(start, len(self.places)), strict=True)]
        highest = max((face for face in faces if 2 * area[face[2] - start] >= area.max()), key=lambda face: face[1])
        for group, score, row in [*faces, (None, *highest[1:])]:
            best = self.strongest.setdefault(group, [])
            heapq.heappush(best, (score, -row))  # of equal scores the earlier
            if len(best) > STRONGEST:
                heapq.heappop(best)
        kept = {-row for best in self.strongest.values() for _, row in best}
        self.crops = {row: crop for row, crop in self.crops.items() if row in kept}

    @property
    def is_complete(self) -> bool:
        return self.done and not self.waiting

    def result(self) -> Scored:
        name = files.plain(str(self.path))
        row: dict[str, Any] = {"file": name, "score": None, "people": [], "frames": self.frames, "frames_with_face": 0}
        row |= {"faces": len(self.places), "reason": self.reason}
        row |= {"notes": "; ".join(self.notes)} if self.notes else {}
        columns = ["frame", "face", "x0", "y0", "x1", "y1", "seconds", "person"]
        table = pd.DataFrame(self.places, columns=columns)
        about = {"dataset": "files", "split": "", "video": name, "label": "", "method": ""}
        measured = {"sharpness": self.sharpness, "distance": self.distances, "score": np.array(self.scores, np.float32)}
        table = table.assign(**about, group=name, **measured)
        if not self.places:
            return Scored(row | {"reason": self.reason or "no face found"}, table, {}, None)
        video = metrics.video_scores(table).iloc[0]
        people, table = ranked(table)
        row |= {"score": float(video["score"]), "people": people, "frames_with_face": int(video["frames"])}
        return Scored(row, table, self.crops, np.stack(self.maps) if self.maps else None)


class _Waiting(NamedTuple):
    """A face that waits for the networks, as they want it: see `FrameFaces`."""

    file: _File
    crop: NDArray[np.uint8]
    chip: NDArray[np.uint8]


def _run(scorer: Scorer, waiting: Sequence[_Waiting], held_out: Mapping[str, Any] | None) -> None:
    """Score and embed faces, and give each file what is its own."""
    with faults.named_faults(waiting[0].file.path.name), torch.inference_mode(), devices.exact_float32():
        output = scorer(torch.stack([to_input(face.crop, scorer.mean, scorer.std) for face in waiting]))
        embeddings = Recognition.load().to(scorer.device).embed([face.chip for face in waiting])
    distances = np.full(len(waiting), np.nan)
    if held_out and held_out["limit"] > 0:
        seen = output.embedding.float().cpu().numpy()
        distances = real_people.distance(seen, held_out) / held_out["limit"]
    for k, (face, score) in enumerate(zip(waiting, probability(output.logits).tolist(), strict=True)):
        if face.file.pictures and output.attention is not None:
            face.file.maps.append(output.attention[k, 0].float().cpu().numpy())
        face.file.score(score, float(distances[k]), embeddings[k])
