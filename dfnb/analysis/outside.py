"""Do pairs differ where nothing was blended? A small network that sees only what lies outside the blending mask.

A self-blended fake and its real image should be equal outside the mask. Where they aren't (another file format, another
number of compressions), a detector may learn that instead of blending, and fail on forgeries that share it not. The
network here is given the pixels outside, black elsewhere, of real and fake alike. An AUC of 0.5 means nothing leaks.
That it would find a leak is shown by planting one: the fakes are saved as JPEG once more.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from tqdm.auto import tqdm

from dfnb.common.randomness import generator
from dfnb.sbi import augment
from dfnb.scoring import metrics

if TYPE_CHECKING:
    from dfnb.sbi import PairDataset

EPOCHS, BATCH, RATE = 12, 32, 4e-3
FEWEST = 10  # people
FIRST = 0.6  # share of the faces that the network learns from; it is tested on the others
QUALITY = 75  # of the JPEG that plants a leak
OUTSIDE, PLANTED, INSIDE = "outside the mask", "outside, fakes saved once more", "inside the mask"


class Views(NamedTuple):
    """Pairs with one part of them black. faces: (N,), whose faces they are, to keep them on one side of the split."""

    real: NDArray[np.uint8]  # (N, S, S, 3)
    fake: NDArray[np.uint8]  # (N, S, S, 3)
    faces: NDArray[np.str_]


def views(pairs: "PairDataset", count: int) -> dict[str, Views]:
    """Pairs of the first epoch, evenly over the faces: `OUTSIDE` the blending mask alone, `INSIDE` it alone, and
    `PLANTED`: outside again, where the fakes were saved as JPEG once more.

    count: how many. Outside is where the mask is 0, whole pixels after it was shrunk to the pair's size.
    """
    rows = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)
    found = [pairs.images((0, int(i))) for i in tqdm(rows, desc="pairs", unit="pair", leave=False)]
    faces = pairs.store.manifest["group"].to_numpy(str)[rows]
    real, fake = np.stack([pair.real for pair in found]), np.stack([pair.fake for pair in found])
    within = np.stack([pair.blend > 0 for pair in found])[..., None]
    again = np.stack([augment.jpeg(image, QUALITY) for image in fake])
    return {
        OUTSIDE: Views(real * ~within, fake * ~within, faces),
        PLANTED: Views(real * ~within, again * ~within, faces),
        INSIDE: Views(real * within, fake * within, faces),
    }


def small_network(seed: int) -> nn.Module:
    """Images (B, 3, S, S) -> logits (B,): four convolutions and a global average, 60,000 weights."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for wide, wider in ((3, 16), (16, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(wide, wider, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))


def leak(seen: Views, seed: int = 0) -> metrics.AUC:
    """How well the network tells fake from real on faces that it hasn't learned from, with a 95 % interval over faces.

    Raises ValueError where there are fewer than `FEWEST` people.
    """
    names = np.unique(seen.faces)
    if len(names) < FEWEST:
        raise ValueError(f"{len(names)} people are too few to learn from and to test on")
    rng = generator("outside", seed)
    learned = np.isin(seen.faces, rng.permutation(names)[: int(FIRST * len(names))])
    net = _trained(_images(seen, np.flatnonzero(learned)), seed, rng)
    tested = np.flatnonzero(~learned)
    with torch.inference_mode():
        scores = torch.cat([net.eval()(part) for part in _images(seen, tested).split(BATCH)]).numpy()
    labels = np.repeat([0, 1], len(tested))
    return metrics.auc_groups(labels, scores, np.tile(seen.faces[tested], 2))


def _images(seen: Views, rows: NDArray[np.int64]) -> torch.Tensor:
    """Real, then fake images of these pairs: (2 n, 3, S, S) float32, what differs from the mean of 3 x 3 pixels.

    Compression and resampling leave their traces there; so small a network would first have to learn to look there.
    """
    both = torch.from_numpy(np.concatenate([seen.real[rows], seen.fake[rows]])).permute(0, 3, 1, 2).float()
    return (both - F.avg_pool2d(both, 3, stride=1, padding=1)) / 8


def _trained(images: torch.Tensor, seed: int, rng: np.random.Generator) -> nn.Module:
    """images: real, then as many fake ones, in the same order."""
    net, half = small_network(seed), len(images) // 2
    steps = EPOCHS * max(1, half // (BATCH // 2))
    optimizer = torch.optim.AdamW(net.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    target = torch.arange(BATCH) >= BATCH // 2
    for _ in range(steps):  # real and fake of the same faces
        rows = torch.from_numpy(rng.choice(half, BATCH // 2, replace=half < BATCH // 2))
        loss = F.binary_cross_entropy_with_logits(net(images[torch.cat([rows, rows + half])]), target.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net


def table(pairs: "PairDataset", count: int = 600, seed: int = 0) -> pd.DataFrame:
    """What leaks outside the mask; for comparison a planted leak, and what the same network learns inside the mask.

    Columns: seen (as `views`), pairs, people, auc, low, high. Empty where there are fewer than `FEWEST` people.
    """
    rows = []
    if pairs.store.manifest["group"].nunique() < FEWEST:
        return pd.DataFrame(columns=["seen", "pairs", "people", "auc", "low", "high"])
    for where, seen in views(pairs, count).items():
        value, low, high = leak(seen, seed)
        about = {"seen": where, "pairs": len(seen.faces), "people": len(np.unique(seen.faces))}
        rows.append(about | {"auc": value, "low": low, "high": high})
    return pd.DataFrame(rows)


def readable(found: pd.DataFrame) -> pd.DataFrame:
    """`table` as a table to read."""
    intervals = zip(found["auc"], found["low"], found["high"], strict=True)
    about = {"seen": found["seen"], "pairs": found["pairs"], "people": found["people"]}
    return pd.DataFrame(about | {"AUC (95 %)": [f"{value:.3f} ({a:.3f} to {b:.3f})" for value, a, b in intervals]})


def finding(found: pd.DataFrame) -> str:
    """Whether anything leaks, in Markdown."""
    if found.empty:
        return f"There are fewer than {FEWEST} people, too few to learn from and to test on."
    rows = {row.seen: row for row in found.itertuples()}
    here, planted, within = rows[OUTSIDE], rows[PLANTED], rows[INSIDE]
    text = f"From what lies outside the mask the AUC is {here.auc:.3f} ({here.low:.3f} to {here.high:.3f}): "
    if here.low > 0.5:
        return f"{text}**something of the fake leaks**."
    if planted.low <= 0.5:
        return f"{text}but the network doesn't find the planted leak either ({planted.auc:.3f}), so this shows nothing."
    text += f"**nothing that this network could find leaks**. It does find the planted leak ({planted.auc:.3f})."
    if within.low <= 0.5:
        text += f" Inside the mask it finds nothing ({within.auc:.3f}): blending is harder to find than such a leak."
    return text
