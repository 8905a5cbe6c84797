"""Where faces lie in feature space: angles to the class centres, and the plane of two principal components."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dfnb.networks import Network, arcface
from dfnb.plots.style import look, signed

Floats = NDArray[np.float64]


def class_angles(net: Network, embeddings: NDArray[np.floating]) -> Floats:
    """Angles in degrees between embeddings (N, D) and the head's two class centres: (N, 2), real then fake."""
    points = torch.from_numpy(np.ascontiguousarray(embeddings))
    return np.degrees(arcface.angles(points, net.head.weight.cpu()).double().numpy())


def centre_angle(net: Network) -> float:
    """The angle between the two class centres, degrees; 180 is as far apart as can be."""
    weight = net.head.weight
    return float(np.degrees(arcface.angles(weight[:1].float(), weight[1:].float()).item()))


def d_prime(real: NDArray[Any], fake: NDArray[Any]) -> float:
    """How far apart two samples lie: difference of the means over the pooled standard deviation (each at least 2)."""
    spread = np.sqrt((np.var(real, ddof=1) + np.var(fake, ddof=1)) / 2)
    return float((np.mean(fake) - np.mean(real)) / spread) if spread > 0 else float("nan")


def separation(net: Network, embeddings: NDArray[np.floating], rows: pd.DataFrame) -> pd.DataFrame:
    """Angles of faces to the class centres: a row for the real faces, one for all fakes and one for each manipulation.

    embeddings: (N, D); rows: their labels and methods. Columns: group, faces, to_real, to_fake (mean angles, degrees),
    d_prime (`d_prime` of the group against the real faces, by the angle to real minus the angle to fake).
    """
    angles = class_angles(net, embeddings)
    nearer = angles[:, 0] - angles[:, 1]
    real = (rows["label"] == "real").to_numpy()
    groups = {"real": real, "all fakes": ~real}
    groups |= {
        m: ((rows["method"] == m) & (rows["label"] == "fake")).to_numpy() for m in pd.unique(rows.loc[~real, "method"])
    }
    table = []
    for name, which in groups.items():
        if name == "all fakes" and len(groups) == 3:
            continue  # one manipulation only: it is all fakes
        row = {"group": name, "faces": int(which.sum())}
        row |= {"to_real": angles[which, 0].mean(), "to_fake": angles[which, 1].mean()}
        table.append(row | {"d_prime": float("nan") if name == "real" else d_prime(nearer[real], nearer[which])})
    return pd.DataFrame(table)


def finding(apart: Mapping[str, pd.DataFrame], centres: Mapping[str, float]) -> str:
    """How much nearer faces are to their own class centre than to the other, a line a network, in Markdown.

    apart: network name -> `separation`; centres: its `centre_angle`, degrees.
    """
    lines = []
    for name, table in apart.items():
        real, fake = table.iloc[0], table.iloc[1]
        nearer = [signed(gap, 1) for gap in (real["to_fake"] - real["to_real"], fake["to_real"] - fake["to_fake"])]
        lines.append(
            f"- {look(name).label}: centres {centres[name]:.0f}° apart. On average a real face is nearer to its own "
            f"centre by {nearer[0]}°, a fake by {nearer[1]}°; d′ = {fake['d_prime']:.2f}."
        )
    best = max(apart, key=lambda name: apart[name]["d_prime"].iloc[1])
    text = f"In this training **{look(best).label}** separates these faces more, by d′; no test stands behind it."
    return "\n".join([*lines, "", text])


def by_group(values: NDArray[Any], rows: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Values (N,) of the real faces ("real") and of the fakes of each manipulation."""
    real = (rows["label"] == "real").to_numpy()
    methods = pd.unique(rows.loc[~real, "method"])
    return {"real": values[real]} | {m: values[~real & (rows["method"] == m).to_numpy()] for m in methods}


def project(embeddings: NDArray[np.floating]) -> tuple[Floats, tuple[float, float]]:
    """Embeddings (N, D), made unit length, on their two first principal components: (N, 2), and the shares of variance.

    Signs are fixed (the largest coordinate of a component is positive), so that the picture doesn't flip between runs.
    """
    from sklearn.decomposition import PCA

    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    pca = PCA(n_components=2, svd_solver="full").fit(unit.astype(np.float64))
    signs = np.sign(pca.components_[np.arange(2), np.abs(pca.components_).argmax(1)])
    return pca.transform(unit) * signs, tuple(float(share) for share in pca.explained_variance_ratio_)
