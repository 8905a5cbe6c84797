"""Grad-CAM (Selvaraju et al. 2017) by captum, beside the attention map: another answer to where a network looks.

The attention map is a part of the network, supervised by face masks. Grad-CAM is made afterwards from gradients: which
places of the last feature map raise the score for fake. Neither says what is forged.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from captum.attr import LayerGradCam
from numpy.typing import NDArray
from scipy.stats import rankdata
from timm.models.efficientnet import EfficientNet

from dfnb.networks import Network
from dfnb.scoring import score

Maps = NDArray[np.float32]
FAKE = 1  # the class whose logit is explained


def maps(net: Network, crops: NDArray[np.uint8], batch: int = 32) -> Maps:
    """Grad-CAM of the class fake at the last feature map, before the global average.

    crops: (N, S, S, 3) uint8. Returns (N, h, w) in 0..1, each divided by its highest value; all 0 where no place raises
    the score for fake, as in a plain ViT whose head reads its class token alone.
    """
    layer = (
        net.backbone.bn2 if isinstance(net.backbone, EfficientNet) else net.weighted
    )  # timm's bn2 has the activation
    method = LayerGradCam(lambda images: net(images).logits, layer)
    found = []
    for start in range(0, len(crops), batch):
        images = score.to_batch(crops[start : start + batch], net)
        values = method.attribute(images, target=FAKE, relu_attributions=True)  # (B, 1, h, w)
        found.append(values[:, 0].detach().float().cpu().numpy())
    out = np.concatenate(found)
    highest = out.max((1, 2), keepdims=True)
    return np.divide(out, highest, out=np.zeros_like(out), where=highest > 0)


def rank_correlation(a: Maps, b: Maps) -> NDArray[np.float64]:
    """Spearman's correlation of two maps (N, h, w) of each face over their cells: (N,); NaN where a map is flat."""
    out = np.full(len(a), np.nan)
    for k, (first, second) in enumerate(zip(a, b, strict=True)):
        if np.ptp(first) > 0 and np.ptp(second) > 0:
            out[k] = np.corrcoef(rankdata(first), rankdata(second))[0, 1]
    return out


def sanity(
    trained: Mapping[str, Maps],
    randomised: Mapping[str, Mapping[str, Maps]],
    groups: Sequence[str],
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """How much of a map is still there once weights are random (Adebayo et al. 2018).

    trained: method -> (N, h, w). randomised: method -> what was made random -> (N, h, w). groups: (N,) what isn't
    independent. Columns: map, made random, faces (where both maps vary), correlation (Spearman, mean over them), low,
    high (95 %, percentiles over resampled groups). Near 0: the map was learned. Near 1: it shows the picture.
    """
    rng, rows = np.random.default_rng(seed), []
    for method, by_what in randomised.items():
        for what, others in by_what.items():
            values = rank_correlation(trained[method], others)
            known = np.isfinite(values)
            row = {"map": method, "made random": what, "faces": int(known.sum()), "correlation": float("nan")}
            row |= {"low": float("nan"), "high": float("nan")}
            if known.any():
                correlations, names = values[known], np.asarray(groups)[known]
                members = [np.flatnonzero(names == name) for name in pd.unique(names)]
                means = [
                    correlations[
                        np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
                    ].mean()
                    for _ in range(draws)
                ]
                low, high = np.percentile(means, (2.5, 97.5))
                row |= {"correlation": float(correlations.mean()), "low": float(low), "high": float(high)}
            rows.append(row)
    return pd.DataFrame(rows)


def finding(table: pd.DataFrame, limit: float = 0.5) -> str:
    """Which maps of `sanity` stay much the same with random weights: the whole interval lies above `limit`."""
    alike = table[table["low"] > limit]
    maps = "; ".join(
        f"{what} with a random {part}" for what, part in zip(alike["map"], alike["made random"], strict=True)
    )
    return f"Maps whose correlation is clearly above {limit:g}, so that they **can't be trusted**: {maps or 'none'}."
