"""Network x faces -> a table of per-face scores; every metric and figure is computed from such tables.

A face's score is the probability of class 1, fake. The rules that turn faces into frames and frames into videos
are in `metrics.video_scores`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from dfnb import faces, files, frames, metrics, processes
from dfnb.clips import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from dfnb.errors import UserError
from dfnb.protocol import MARGIN, PLACE
from dfnb.sbi import PairDataset, init_worker
from dfnb.store import FaceStore


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
    net: nn.Module, batches: Iterator[Tensor] | DataLoader, total: int, what: str, maps: bool = False
) -> dict[str, NDArray[np.float32]]:
    """Run a network in eval mode over batches of images (B, 3, S, S).

    Returns score (N,), the probability of fake, and embedding (N, D), what the head sees; where `maps` asks for it
    and the network has an attention branch, attention (N, h, w) in 0..1, too.
    """
    device = next(net.parameters()).device
    net.to(memory_format=torch.channels_last)  # not in inference mode: no gradient could pass through it afterwards
    scores, embeddings, attention = [], [], []
    bar = tqdm(total=total, desc=what, unit="face", leave=False, mininterval=1.0)
    with processes.named_faults(what), torch.inference_mode(), bar:
        for images in batches:
            output = net(images.to(device, memory_format=torch.channels_last))
            scores.append(output.logits.float().softmax(1)[:, 1].cpu())
            embeddings.append(output.embedding.float().cpu())
            if maps and output.attention is not None:
                attention.append(output.attention[:, 0].float().cpu())
            bar.update(len(images))
    found = {"score": scores, "embedding": embeddings} | ({"attention": attention} if attention else {})
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


class FaceScores(NamedTuple):
    """Per-face scores: places, labels and `score` of N faces, and what the head saw of each, (N, D) float32."""

    table: pd.DataFrame
    embedding: NDArray[np.float32]


def score_store(net: nn.Module, store: FaceStore, size: int, batch: int = 32, what: str = "score") -> FaceScores:
    """Per-face scores of a store, in its order.

    size: side of the network's input, pixels. Raises UserError for an empty store.
    """
    if not len(store):
        raise UserError(f"{store.root}: holds no faces to score; see its coverage report")
    crops = Crops(store, size, net.mean, net.std)
    loader = DataLoader(crops, batch_size=batch, num_workers=1, worker_init_fn=init_worker)
    predicted = predict(net, loader, len(store), what)
    table = store.manifest[list(PLACE)].reset_index(drop=True).assign(score=predicted["score"])
    return FaceScores(table, predicted["embedding"])


def score_pairs(net: nn.Module, pairs: PairDataset, batch: int = 16, what: str = "score") -> FaceScores:
    """Scores of held-out SBI pairs: two rows a face, the real one and its self-blended fake (method "SBI")."""
    loader = DataLoader(pairs, batch_size=batch, num_workers=1, worker_init_fn=init_worker)
    images = (torch.cat([pair[0], pair[1]]) for pair in loader)
    predicted = predict(net, images, 2 * len(pairs), what)
    sizes = [min(batch, len(pairs) - start) for start in range(0, len(pairs), batch)]
    starts = np.cumsum([0, *sizes[:-1]])
    order = np.concatenate([np.tile(np.arange(n), 2) + start for n, start in zip(sizes, starts, strict=True)])
    fake = np.concatenate([np.repeat([False, True], n) for n in sizes])
    table = pairs.store.manifest[list(PLACE)].iloc[order].reset_index(drop=True)
    table["label"], table["method"] = np.where(fake, "fake", "real"), np.where(fake, "SBI", table["method"])
    table["video"] += np.where(fake, "/SBI", "")
    table["score"] = predicted["score"]
    return FaceScores(table, predicted["embedding"])


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Videos and images named by `paths`; a folder stands for those in it, at any depth, sorted, hidden ones left out.

    Raises UserError for a path that doesn't exist and for a folder without videos or images.
    """
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if _is_media(p))
            if not inside:
                raise UserError(f"{path}: no videos or images in this folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return found


def _is_media(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES and not path.name.startswith(".") and path.is_file()


class Scored(NamedTuple):
    """What `score_file` found out. crops, maps: of each face, for pictures; left out unless asked for."""

    row: dict[str, Any]
    faces: pd.DataFrame  # as in `FaceScores.table`
    crops: list[NDArray[np.uint8]]  # (S, S, 3) RGB, in the order of `faces`
    maps: NDArray[np.float32] | None  # (N, h, w) in 0..1; None where the network has no attention branch


def score_file(
    net: nn.Module,
    finder: faces.FaceFinder,
    path: Path,
    size: int,
    count: int = 32,
    batch: int = 32,
    pictures: bool = False,
) -> Scored:
    """Score one video or image: a row for the file, and its per-face table.

    count: evenly spaced frames looked at. pictures: keep what a picture needs.
    The row has file, score (None where there is none), frames, frames_with_face, faces, reason (why there is no score,
    or ""). A file that can't be read is a row with its reason, not an error.
    """
    places, crops, seen = [], [], 0
    row: dict[str, Any] = {
        "file": str(path),
        "score": None,
        "frames": 0,
        "frames_with_face": 0,
        "faces": 0,
        "reason": "",
    }
    try:
        for frame, rgb in frames.sample(path, count):
            seen += 1
            for rank, face in enumerate(finder(rgb)):
                places.append((frame, rank, *face.box))
                crops.append(faces.crop(rgb, face.box, MARGIN, size))
    except UserError as error:
        row["reason"] = str(error).removeprefix(f"{path}: ")
    row |= {"frames": seen, "faces": len(crops)}
    table = pd.DataFrame(places, columns=["frame", "face", "x0", "y0", "x1", "y1"])
    table = table.assign(dataset="files", split="", video=str(path), label="", method="", group=str(path))
    if not crops:
        row["reason"] = row["reason"] or "no face found"
        return Scored(row, table.assign(score=pd.Series(dtype="float32")), [], None)
    stacks = (
        torch.stack([to_input(crop, net.mean, net.std) for crop in crops[start : start + batch]])
        for start in range(0, len(crops), batch)
    )
    predicted = predict(net, stacks, len(crops), path.name, maps=pictures)
    table["score"] = predicted["score"]
    video = metrics.video_scores(table).iloc[0]
    row |= {"score": float(video["score"]), "frames_with_face": int(video["frames"])}
    return Scored(row, table, crops if pictures else [], predicted.get("attention"))


def save(scored: FaceScores, path: Path, about: dict[str, str]) -> None:
    """Write a score table (Parquet), every row stamped with `about` (`protocol.STAMPS`).

    The embedding goes beside it as .npy, first, so that a table never stands without it.
    """
    with files.replacing(path.with_suffix(".npy")) as temporary:
        np.save(temporary, scored.embedding)
    with files.replacing(path) as temporary:
        scored.table.assign(**about).to_parquet(temporary, index=False)
