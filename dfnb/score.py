"""Network x faces -> a table of per-face scores; every metric and figure is computed from such tables.

A face's score is the probability of class 1, fake. The rules that turn faces into frames and frames into videos
are in `metrics.video_scores`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from dfnb import faces, files, memory, metrics, processes
from dfnb.ahead import Look, look
from dfnb.clips import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from dfnb.clips.lists import below
from dfnb.errors import UserError, printable
from dfnb.inference import Precision, Scorer
from dfnb.protocol import MARGIN, PLACE
from dfnb.sbi import PairDataset, init_worker
from dfnb.store import FaceStore

BATCH = 16  # crops a batch of files: larger ones gain nothing on a processor


def to_input(crop: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(S, S, 3) uint8 RGB -> (3, S, S) float32 in the backbone's normalisation."""
    x = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1).float() / 255  # (3, S, S)
    return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


class Crops(Dataset):
    """The test crops of a store, ready for the network: [i] -> (3, S, S) float32."""

    def __init__(self, store: FaceStore, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        self.store, self.size, self.mean, self.std = store, size, mean, std

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int) -> Tensor:
        face = self.store[index]
        return to_input(faces.crop(face.rgb, face.box, MARGIN, self.size), self.mean, self.std)


def predict(
    net: Scorer, batches: Iterator[Tensor] | DataLoader, total: int, what: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Score batches of images (B, 3, S, S).

    Returns score (N,), the probability of fake, and embedding (N, D), what the head sees.
    """
    scores, embeddings = [], []
    bar = tqdm(total=total, desc=what, unit="face", leave=False, mininterval=1.0)
    with processes.named_faults(what), memory.kept(), torch.inference_mode(), bar:
        for images in batches:
            output = net(images)
            scores.append(probability(output.logits))
            embeddings.append(output.embedding.float().cpu())
            bar.update(len(images))
    return torch.cat(scores).numpy(), torch.cat(embeddings).numpy()


def probability(logits: Tensor) -> Tensor:
    """Logits (B, 2) -> the probability of class 1, fake: (B,) float32 on the CPU."""
    return logits.float().softmax(1)[:, 1].cpu()


class FaceScores(NamedTuple):
    """Per-face scores: places, labels and `score` of N faces, and what the head saw of each, (N, D) float32."""

    table: pd.DataFrame
    embedding: NDArray[np.float32]


def score_store(
    net: nn.Module,
    store: FaceStore,
    size: int,
    batch: int = 32,
    what: str = "score",
    precision: Precision = "float32",
) -> FaceScores:
    """Per-face scores of a store, in its order; batches run across frames and videos.

    size: side of the network's input, pixels. precision: see `dfnb.inference`. Raises UserError for an empty store.
    """
    if not len(store):
        raise UserError(f"{store.root}: holds no faces to score; see its coverage report")
    crops = Crops(store, size, net.mean, net.std)
    loader = DataLoader(crops, batch_size=batch, num_workers=1, worker_init_fn=init_worker)
    scores, embedding = predict(Scorer(net, size, precision), loader, len(store), what)
    table = store.manifest[list(PLACE)].reset_index(drop=True).assign(score=scores)
    return FaceScores(table, embedding)


def score_pairs(
    net: nn.Module, pairs: PairDataset, batch: int = 16, what: str = "score", precision: Precision = "float32"
) -> FaceScores:
    """Scores of held-out SBI pairs: two rows a face, the real one and its self-blended fake (method "SBI")."""
    loader = DataLoader(pairs, batch_size=batch, num_workers=1, worker_init_fn=init_worker)
    images = (torch.cat([pair[0], pair[1]]) for pair in loader)
    scores, embedding = predict(Scorer(net, pairs.size, precision), images, 2 * len(pairs), what)
    sizes = [min(batch, len(pairs) - start) for start in range(0, len(pairs), batch)]
    starts = np.cumsum([0, *sizes[:-1]])
    order = np.concatenate([np.tile(np.arange(n), 2) + start for n, start in zip(sizes, starts, strict=True)])
    fake = np.concatenate([np.repeat([False, True], n) for n in sizes])
    table = pairs.store.manifest[list(PLACE)].iloc[order].reset_index(drop=True)
    table["label"], table["method"] = np.where(fake, "fake", "real"), np.where(fake, "SBI", table["method"])
    table["video"] += np.where(fake, "/SBI", "")
    table["score"] = scores
    return FaceScores(table, embedding)


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Videos and images named by `paths`; a folder stands for those in it, at any depth, sorted, hidden ones left out.

    Raises UserError for a path that doesn't exist, for a folder without videos or images, and as `lists.below`.
    """
    found = []
    for path in paths:
        if path.is_dir():
            inside = [file for file in below(path) if file.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES]
            if not inside:
                raise UserError(f"{path}: no videos or images in this folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return found


class Scored(NamedTuple):
    """What `score_files` found out of a file. crops, maps: of each face, for pictures; left out unless asked for."""

    row: dict[str, Any]
    faces: pd.DataFrame  # as in `FaceScores.table`
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
    """Score videos and images: for each, in order, a row for the file and its per-face table.

    Faces are found ahead of the network, and batches run across files, so that short ones don't leave it idle; a
    file's result comes when the batch with its last face is full. Without pictures memory doesn't grow with a video.

    net: a network, or one made ready (`inference.Scorer`), which then decides size and precision.
    count: evenly spaced frames looked at. pictures: keep what a picture needs. precision: see `dfnb.inference`.
    The row has file, score (None where there is none), frames, frames_with_face, faces, reason (why there is no score,
    or ""). A file that can't be read is a row with its reason, not an error.
    """
    scorer = net if isinstance(net, Scorer) else Scorer(net, size, precision)
    opened: deque[_File] = deque()
    waiting: list[tuple[_File, NDArray[np.uint8]]] = []
    with tqdm(unit="frame", leave=False, mininterval=1.0) as bar:
        for seen in look(finder, paths, count, MARGIN, scorer.size):
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
    places: list[tuple] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    maps: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, seen: Look) -> None:
        self.done, self.frames = seen.frame is None, self.frames + (seen.frame is not None)
        self.reason = seen.reason or self.reason
        self.places += [(seen.frame, rank, *box) for rank, box in enumerate(seen.boxes)]
        self.crops += seen.crops if self.pictures else []

    @property
    def is_complete(self) -> bool:
        return self.done and len(self.scores) == len(self.places)

    def result(self) -> Scored:
        name = files.plain(str(self.path))
        row: dict[str, Any] = {"file": name, "score": None, "frames": self.frames, "frames_with_face": 0}
        row |= {"faces": len(self.places), "reason": self.reason}
        table = pd.DataFrame(self.places, columns=["frame", "face", "x0", "y0", "x1", "y1"])
        about = {"dataset": "files", "split": "", "video": name, "label": "", "method": ""}
        table = table.assign(**about, group=name, score=np.array(self.scores, np.float32))
        if not self.places:
            return Scored(row | {"reason": self.reason or "no face found"}, table, [], None)
        video = metrics.video_scores(table).iloc[0]
        row |= {"score": float(video["score"]), "frames_with_face": int(video["frames"])}
        return Scored(row, table, self.crops, np.stack(self.maps) if self.maps else None)


def _run(scorer: Scorer, waiting: Sequence[tuple[_File, NDArray[np.uint8]]]) -> None:
    """Score crops, and hand each file what is its own."""
    with processes.named_faults(waiting[0][0].path.name), torch.inference_mode():
        output = scorer(torch.stack([to_input(crop, scorer.mean, scorer.std) for _, crop in waiting]))
    for k, ((file, _), score) in enumerate(zip(waiting, probability(output.logits).tolist(), strict=True)):
        file.scores.append(score)
        if file.pictures and output.attention is not None:
            file.maps.append(output.attention[k, 0].float().cpu().numpy())


def save(scored: FaceScores, path: Path, about: dict[str, str]) -> None:
    """Write a score table (Parquet), every row stamped with `about` (`protocol.STAMPS`).

    The embedding goes beside it as .npy, first, so that a table never stands without it.
    """
    with files.replacing(path.with_suffix(".npy")) as temporary:
        np.save(temporary, scored.embedding)
    with files.replacing(path) as temporary:
        scored.table.assign(**about).to_parquet(temporary, index=False, write_page_checksum=True)
