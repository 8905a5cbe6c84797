"""Network x faces -> a table of per-face scores; every metric and figure is computed from such tables.

A face's score is the probability of class 1, fake. The rules that turn faces into frames and frames into videos
are in `metrics.video_scores`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from dfnb.common import devices, faults, files, loading, tuning
from dfnb.common.errors import UserError
from dfnb.data import faces
from dfnb.data.store import FaceStore
from dfnb.sbi import PairDataset, init_worker
from dfnb.scoring import score_table
from dfnb.scoring.inference import Precision, Scorer
from dfnb.scoring.score_table import MARGIN, PLACE


def to_input(crop: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(S, S, 3) uint8 RGB -> (3, S, S) float32 in the backbone's normalisation."""
    x = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1).float() / 255  # (3, S, S)
    return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def to_batch(crops: Sequence[NDArray[np.uint8]], net: nn.Module) -> Tensor:
    """Crops (S, S, 3) uint8 RGB -> (B, 3, S, S) float32 in the network's normalisation, on its device."""
    images = torch.stack([to_input(crop, net.mean, net.std) for crop in crops])
    return images.to(next(net.parameters()).device)


class Crops(Dataset):
    """The test crops of a store, ready for the network: [i] -> (3, S, S) float32."""

    def __init__(self, store: FaceStore, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        self.store, self.size, self.mean, self.std = store, size, mean, std

    def __len__(self) -> int:
        return len(self.store)

    @property
    def nbytes(self) -> int:
        """Bytes of a crop, float32."""
        return 3 * self.size**2 * 4

    def __getitem__(self, index: int) -> Tensor:
        face = self.store[index]
        return to_input(faces.crop(face.rgb, face.box, MARGIN, self.size), self.mean, self.std)


def predict(
    net: Scorer, batches: Iterable[Tensor], total: int, what: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Score batches of images (B, 3, S, S).

    Returns score (N,), the probability of fake, and embedding (N, D), what the head sees.
    """
    scores, embeddings = [], []
    bar = tqdm(total=total, desc=what, unit="face", leave=False, mininterval=1.0)
    with faults.named_faults(what), tuning.freed_memory_kept(), torch.inference_mode(), devices.exact_float32(), bar:
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
    made_with: Mapping[str, Any] = {}  # device, precision and versions, for the record


def score_store(
    net: nn.Module,
    store: FaceStore,
    size: int,
    batch: int = 32,
    what: str = "score",
    precision: Precision = "float32",
    workers: int | None = None,
) -> FaceScores:
    """Per-face scores of a store, in its order; batches run across frames and videos.

    net: on the device it scores on. size: side of its input, pixels. precision: see `inference`. workers: processes
    that read crops. Raises UserError for an empty store.
    """
    if not len(store):
        raise UserError(f"{store.root}: holds no faces to score; see its coverage report")
    crops = Crops(store, size, net.mean, net.std)
    scorer = Scorer(net, size, precision)
    pinned = scorer.device.type == "cuda"
    how = {"batch_size": batch, "worker_init_fn": init_worker, "pin_memory": pinned}
    loader = loading.batches(crops, batch * crops.nbytes, workers, **how)
    scores, embedding = predict(scorer, loader, len(store), what)
    table = store.manifest[list(PLACE)].reset_index(drop=True).assign(score=scores)
    return FaceScores(table, embedding, scorer.made_with)


def score_pairs(
    net: nn.Module,
    pairs: PairDataset,
    batch: int = 16,
    what: str = "score",
    precision: Precision = "float32",
    workers: int | None = None,
) -> FaceScores:
    """Scores of held-out SBI pairs: two rows a face, the real one and its self-blended fake (method "SBI")."""
    loader = loading.batches(pairs, batch * pairs.nbytes, workers, batch_size=batch, worker_init_fn=init_worker)
    images = (torch.cat([pair[0], pair[1]]) for pair in loader)
    scorer = Scorer(net, pairs.size, precision)
    scores, embedding = predict(scorer, images, 2 * len(pairs), what)
    sizes = [min(batch, len(pairs) - start) for start in range(0, len(pairs), batch)]
    starts = np.cumsum([0, *sizes[:-1]])
    order = np.concatenate([np.tile(np.arange(n), 2) + start for n, start in zip(sizes, starts, strict=True)])
    fake = np.concatenate([np.repeat([False, True], n) for n in sizes])
    table = pairs.store.manifest[list(PLACE)].iloc[order].reset_index(drop=True)
    table["label"], table["method"] = np.where(fake, "fake", "real"), np.where(fake, "SBI", table["method"])
    table["video"] += np.where(fake, "/SBI", "")
    table["score"] = scores
    return FaceScores(table, embedding, scorer.made_with)


def save(scored: FaceScores, path: Path, about: dict[str, str]) -> None:
    """Write a score table (Parquet), every row stamped with `about` (`score_table.STAMPS`).

    The embedding goes beside it as .npy, first, so that a table never stands without it.
    """
    with files.replacing(path.with_suffix(".npy")) as temporary:
        np.save(temporary, scored.embedding)
    with files.replacing(path) as temporary:
        score_table.write(temporary, scored.table.assign(**about), scored.made_with)
