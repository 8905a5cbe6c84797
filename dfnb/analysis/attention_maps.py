"""Attention maps over faces, and how well they agree with face masks and with the true masks of manipulations.

A face mask covers a large part of a test crop, and every crop's middle. So each agreement is given beside that of a map
that is 1 everywhere, and beside that of the same map with the masks of other faces.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from dfnb.analysis.findings import Difference
from dfnb.benchmark.ground_truth import Maps, square
from dfnb.common.errors import UserError
from dfnb.data import faces
from dfnb.data.store import FaceStore
from dfnb.networks import Network
from dfnb.plots.pictures import enlarged, grid, heat, outlined
from dfnb.plots.style import Plot, signed
from dfnb.scoring import score, score_table

ALL_ONES, CEILING, SHUFFLED = "all-ones map", "mask at the map's resolution", "{}, against the masks of other faces"
NAMES = {"iou": "IoU", "pointing": "pointing", "energy": "energy", "pixel_auc": "pixel AUC"}
MEASURES = tuple(NAMES)


class Predictions(NamedTuple):
    """What a network makes of N faces."""

    crops: NDArray[np.uint8]  # (N, S, S, 3) RGB
    maps: Maps  # (N, h, w) in 0..1, the attention map as it is
    masks: Maps  # (N, S, S) in 0..1, the face mask
    scores: Maps  # (N,) probability of fake
    rows: pd.DataFrame  # their rows of the store's manifest


@torch.inference_mode()
def predict(net: Network, store: FaceStore, size: int, batch: int = 32) -> Predictions:
    """Run a network with an attention branch over the test crops of a store.

    size: S, the network's input in pixels. Raises UserError for a network without a branch and an empty store.
    """
    if net.attention is None:
        raise UserError(f"network {net.settings['variant']} has no attention branch, so there's no map to show")
    if not len(store):
        raise UserError(f"{store.root}: holds no faces; see its coverage report")
    crops, maps, masks, scores = [], [], [], []
    for start in range(0, len(store), batch):
        seen = [store[i] for i in range(start, min(start + batch, len(store)))]
        crops += [faces.crop(face.rgb, face.box, score_table.MARGIN, size) for face in seen]
        masks += [square(faces.face_mask(face.landmarks, face.rgb.shape), face, size) for face in seen]
        output = net(score.to_batch(crops[start:], net))
        maps.append(output.attention[:, 0].float().cpu().numpy())
        scores.append(score.probability(output.logits).numpy())
    return Predictions(np.stack(crops), np.concatenate(maps), np.stack(masks), np.concatenate(scores), store.manifest)


def one_of_each_method(rows: pd.DataFrame, real: int = 2, fake: int = 4) -> list[int]:
    """Positions of faces to show: `real` real ones and `fake` fakes, of as many methods and groups as possible."""
    chosen: list[int] = []
    rows = rows.reset_index(drop=True)
    for label, wanted in (("real", real), ("fake", fake)):
        largest = rows[(rows["label"] == label) & (rows["face"] == 0)]
        methods = pd.unique(largest["method"])
        for k in range(wanted if len(methods) else 0):
            left = largest[(largest["method"] == methods[k % len(methods)]) & ~largest.index.isin(chosen)]
            other_groups = left[~left["group"].isin(rows.loc[chosen, "group"])]
            left = other_groups if len(other_groups) else left
            if len(left):
                chosen.append(int(left.index[(k * 7) % len(left)]))
    return chosen


def agreement(maps: Maps, masks: Maps) -> pd.DataFrame:
    """How well maps (N, h, w) agree with masks (N, S, S), both in 0..1: a row a face, all measures in 0..1.

    The map is resized to the mask's pixels (bilinear); a pixel is inside where the mask is above 0.5.
    iou: intersection over union of the map above 0.5 and the mask; 0 where both are empty.
    pointing: whether the map's highest pixel is inside; ties count by their share (the pointing game, Zhang et al.).
    energy: the share of the map's sum that is inside (Wang et al. 2020).
    pixel_auc: the share of (inside, outside) pairs of pixels in which the inside one is higher, ties half; a map that
        is the same everywhere has 0.5. NaN where the mask is full or empty.
    """
    rows = []
    for small, mask in zip(maps, masks, strict=True):
        inside = mask > 0.5
        large = cv2.resize(small.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
        marked = large > 0.5
        union = np.count_nonzero(marked | inside)
        top = large >= large.max() - 1e-6
        total = float(large.sum())
        rows.append(
            {
                "iou": np.count_nonzero(marked & inside) / union if union else 0.0,
                "pointing": float(inside[top].mean()),
                "energy": float(large[inside].sum()) / total if total > 0 else 0.0,
                "pixel_auc": _pixel_auc(large, inside),
            }
        )
    return pd.DataFrame(rows, columns=list(MEASURES))


def _pixel_auc(values: NDArray[Any], inside: NDArray[np.bool_]) -> float:
    m, n = np.count_nonzero(inside), np.count_nonzero(~inside)
    if not m or not n:
        return float("nan")
    # in steps of 1e-5: pixels that bilinear interpolation should leave equal differ in their last digits
    steps = np.rint(np.clip(values, 0, None) * np.float32(1e5)).astype(np.int64)
    most = int(steps.max()) + 1
    within, without = (np.bincount(steps[which], minlength=most) for which in (inside, ~inside))
    return float((within * (np.cumsum(without) - without / 2)).sum() / (m * n))


def compare_maps(
    maps: Mapping[str, Maps], masks: Maps, groups: Sequence[str], draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Mean agreement of several maps with the same masks, and of what any map must be measured against.

    maps: name -> (N, h, w). groups: (N,) names of what is not independent, such as a video's person.
    Added rows: the all-ones map; the mask shrunk to the first map's resolution by area, which is what supervision aims
    at; and the first map against the masks of other faces (each of the face half the list further on, sorted by group).
    Columns: map, faces, the four measures; by how much each exceeds the all-ones map's (MEASURE_above, with its 95 %
    interval MEASURE_low, MEASURE_high: bootstrap over groups, percentiles); and own, own_low, own_high: by how much the
    IoU exceeds that of the same map with the masks of other faces, NaN in added rows.
    """
    name_of_first, first = next(iter(maps.items()))
    shrunk = np.stack([cv2.resize(mask, first.shape[:0:-1], interpolation=cv2.INTER_AREA) for mask in masks])
    order = np.argsort(np.asarray(groups, str), kind="stable")
    other = np.empty_like(order)
    other[order] = np.roll(order, len(order) // 2)
    others = {name: agreement(values, masks[other]) for name, values in maps.items()}
    tables = {name: agreement(values, masks) for name, values in maps.items()}
    tables |= {
        ALL_ONES: agreement(np.ones_like(first), masks),
        CEILING: agreement(shrunk, masks),
        SHUFFLED.format(name_of_first): others[name_of_first],
    }
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(np.asarray(groups) == group) for group in pd.unique(pd.Series(groups))]
    drawn = rng.integers(len(members), size=(draws, len(members)))
    weights = np.stack([np.bincount(np.concatenate([members[k] for k in row]), minlength=len(masks)) for row in drawn])
    rows = []
    for name, table in tables.items():
        above = (table - tables[ALL_ONES]).add_suffix("_above")
        above["own"] = table["iou"] - others[name]["iou"] if name in others else float("nan")
        row = {"map": name, "faces": len(masks), **table.mean()}
        for column, values in above.items():
            known = values.notna().to_numpy()
            row[column] = values.mean()
            counts = (weights @ known).clip(1)  # of a draw's faces, those with a value
            resampled = weights @ values.fillna(0).to_numpy() / counts if known.any() else np.full(draws, np.nan)
            prefix = column.removesuffix("_above")
            row[f"{prefix}_low"], row[f"{prefix}_high"] = np.percentile(resampled, (2.5, 97.5))
        rows.append(row)
    return pd.DataFrame(rows)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`compare_maps` as a table to read: of the differences those of the IoU, each with its interval in one cell."""
    differences = {
        "IoU above all-ones": "iou_above iou_low iou_high",
        "above other faces' masks": "own own_low own_high",
    }
    cells = {
        title: ["–" if np.isnan(row[0]) else str(Difference(*row)) for row in table[columns.split()].to_numpy()]
        for title, columns in differences.items()
    }
    return table[["map", *MEASURES]].rename(columns=NAMES).assign(**cells)


def finding(table: pd.DataFrame, what: str) -> str:
    """What the first map of `compare_maps` shows of masks (`what`, in words), in Markdown.

    Whether it agrees with them better than the all-ones map, by all measures where these disagree; and whether better
    than with other faces' masks: only so much of the agreement is about this face.
    """
    first = table.iloc[0]
    above = {
        measure: Difference(*first[[f"{measure}_above", f"{measure}_low", f"{measure}_high"]]) for measure in MEASURES
    }
    own, text = Difference(*first[["own", "own_low", "own_high"]]), f"{first['map']}, against {what}: "
    sides = {"better": [], "worse": [], "undecided": []}
    for measure, about in above.items():
        side = "better" if about.low > 0 else "worse" if about.high < 0 else "undecided"
        sides[side].append(f"{NAMES[measure]} ({signed(about.value, 3)})")
    if max(map(len, sides.values())) == len(MEASURES):
        verdict = above["iou"].read("better than no map", "worse than no map")
        text += f"IoU minus that of the all-ones map {above['iou']}, {verdict}"
    else:
        listed = "; ".join(f"{side} by {', '.join(names)}" for side, names in sides.items() if names)
        text += f"the measures **disagree**, each minus that of the all-ones map: {listed}"
    text += f". Its IoU minus that with other faces' masks is {own}: "
    if own.low > 0:
        return f"{text}**this much is about this face**; the rest depends on where faces usually are."
    if own.high < 0:
        return f"{text}**it fits other faces better** than this one."
    usual = ", only where faces usually are" if above["iou"].low > 0 else ""
    return f"{text}**it shows nothing that is clearly about this face**{usual}."


def randomised(net: Network, what: Literal["attention", "all"], seed: int = 0) -> Network:
    """A copy whose attention branch, or everything, has random weights (sanity check of Adebayo et al. 2018).

    A map that still looks the same shows the picture, not what was learned.
    """
    copied = copy.deepcopy(net)
    part = copied.attention if what == "attention" else copied
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
                module.reset_parameters()
    return copied.eval()


def picture(
    predicted: Predictions,
    chosen: Sequence[int],
    true: NDArray[np.float32] | None = None,
    others: Mapping[str, NDArray[np.float32]] | None = None,
) -> Plot:
    """Attention maps over faces, on a fixed scale 0..1; below, the face mask and the true manipulation mask.

    true: (N, S, S) in 0..1, true manipulation masks in this order, if known. others: further maps (N, h, w) of the same
    faces by name, shown in rows below; the masks are then left out.
    """
    side = max(200, predicted.crops.shape[1])
    crops = [enlarged(predicted.crops[i], side) for i in chosen]
    every = {"attention\nmap": predicted.maps, **(others or {})}
    rows = [crops] + [[heat(rgb, maps[i]) for rgb, i in zip(crops, chosen, strict=True)] for maps in every.values()]
    labels = ["face", *every]
    under = {} if others else {"face mask": (predicted.masks, 0.4)}
    if true is not None and not others:
        under["where it was\nmanipulated"] = (true, 0.6)
    for name, (masks, dim) in under.items():
        large = [cv2.resize(masks[i], (side, side), interpolation=cv2.INTER_LINEAR) for i in chosen]
        rows.append([outlined(rgb, m, dim) if m.any() else None for rgb, m in zip(crops, large, strict=True)])
        labels.append(name)
    table = predicted.rows.reset_index(drop=True).loc[list(chosen), ["dataset", "video", "frame", "label", "method"]]
    table = table.assign(score=predicted.scores[list(chosen)]).reset_index(drop=True)
    columns = [f"{row.label}\n{row.score:.2f}" for row in table.itertuples()]
    alt = (
        f"Attention maps over {len(chosen)} faces: bright where the network looks, not what is fake. Scores: "
        + ", ".join(f"{row.label} {row.score:.2f}" for row in table.itertuples())
        + "."
    )
    return grid(rows, columns=columns, rows=labels, numbers=table, alt=alt)
