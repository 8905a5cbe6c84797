"""The report's charts: each takes tables, draws one figure in one style and returns it with the numbers it shows.

`style.show` puts them on the page. Pictures of faces are in `pictures`, drawn diagrams in `diagrams`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dfnb.plots.style import FAINT, FAKE, INK, REAL, Plot, evenly, look, name_lines, new_figure, styled
from dfnb.scoring import metrics

_GRID = np.linspace(0, 1, 201)


def roc(scored: Mapping[str, pd.DataFrame], title: str, band: str | None = None, draws: int = 500) -> Plot:
    """ROC curves of several networks on the same videos: the whole, and enlarged where few real ones are called fake.

    scored: network name -> `metrics.video_scores` table (columns label, score, group).
    band: the network whose 95 % band is drawn, pointwise, from `draws` bootstrap samples of whole groups, since
    videos of one group aren't independent; by default the last one.
    """
    band = band or list(scored)[-1]
    rows = []
    values = {name: metrics.auc_groups(*_labels_scores(frame), frame["group"]) for name, frame in scored.items()}
    with styled():
        figure = new_figure(4.9)
        whole, zoom = figure.subplots(1, 2, width_ratios=(1.25, 1))
        low, high = roc_band(*_labels_scores(scored[band]), scored[band]["group"].to_numpy(), draws)
        for axes in (whole, zoom):
            axes.fill_between(_GRID, low, high, color=look(band).colour, alpha=0.16, linewidth=0)
        rows.append(pd.DataFrame({"network": band, "curve": "band", "fpr": _GRID, "tpr": low, "tpr_high": high}))
        for name, frame in scored.items():
            style, value = look(name), values[name]
            fpr, tpr, _ = metrics.roc(*_labels_scores(frame))
            label = f"{style.label}  {_with_interval(value)}"
            for axes in (whole, zoom):
                axes.plot(fpr, tpr, color=style.colour, ls=style.dashes, lw=style.width, label=label)
            rows.append(pd.DataFrame({"network": name, "curve": "roc", "fpr": fpr, "tpr": tpr}))
        whole.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=(0, (2, 3)))
        whole.set(xlim=(-0.01, 1), ylim=(0, 1.01), title=title, ylabel="fakes called fake")
        whole.set_xlabel("real videos called fake")
        zoom.set_xlabel("real videos called fake")
        handles, labels = whole.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=2, fontsize=9.5, handlelength=3,
            title="AUC with 95 % interval", title_fontsize=9.5,
        )  # fmt: skip
        zoom.set(xlim=(-0.002, 0.2), ylim=(0, 1.01), title="few false alarms")
    real, fake = (int((scored[band]["label"] == label).sum()) for label in ("real", "fake"))
    summary = "; ".join(f"{look(name).label} {_with_interval(value)}" for name, value in values.items())
    alt = f"ROC curves, {title}: {real} real and {fake} fake. AUC with 95 % interval: {summary}."
    return Plot(figure, pd.concat(rows, ignore_index=True), alt)


def roc_band(
    labels: NDArray[Any], scores: NDArray[Any], groups: NDArray[Any], draws: int = 500, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pointwise 95 % band of the true positive rate on 201 even false positive rates, resampling whole groups.

    labels: (N,) bool, True is fake; scores, groups: (N,). Samples without both classes are drawn again.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in pd.unique(groups)]
    curves: list[NDArray[np.float64]] = []
    while len(curves) < draws:
        chosen = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        if labels[chosen].all() or not labels[chosen].any():
            continue
        fpr, tpr, _ = metrics.roc(labels[chosen], scores[chosen])
        curves.append(np.interp(_GRID, fpr, tpr))
    low, high = np.percentile(curves, (2.5, 97.5), axis=0)
    return low, high


def forest(results: pd.DataFrame, title: str = "ROC AUC with 95 % interval") -> Plot:
    """AUC and interval of every network and seed, a panel for each set.

    results: rows of `Run.results` (network, seed, dataset, auc, low, high), in the order the networks are to stand.
    """
    names, sets = list(dict.fromkeys(results["network"])), list(dict.fromkeys(results["dataset"]))
    seeds = list(dict.fromkeys(results["seed"]))
    offsets = np.linspace(-0.2, 0.2, len(seeds)) if len(seeds) > 1 else [0.0]
    with styled():
        figure = new_figure(0.9 + 0.42 * len(names) * max(1, len(seeds) / 2))
        panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
        lowest = min(results["low"].min(), 0.98)
        for axes, dataset in zip(panels, sets, strict=True):
            for row in results[results["dataset"] == dataset].itertuples():
                style = look(row.network)
                y = names.index(row.network) + offsets[seeds.index(row.seed)]
                axes.plot([row.low, row.high], [y, y], color=style.colour, lw=style.width, solid_capstyle="butt")
                axes.plot(row.auc, y, style.marker, color=style.colour, ms=7, mec="white", mew=0.8)
                if len(seeds) == 1:
                    axes.annotate(
                        f"{row.auc:.3f}", (row.auc, y), (0, 6), textcoords="offset points", ha="center", fontsize=9
                    )
            axes.set_title(dataset, fontsize=12 if len(sets) < 4 else 10)
            axes.set(xlim=(max(0.0, lowest - 0.03), 1.005), ylim=(len(names) - 0.5, -0.65))
            axes.axvline(0.5, color=FAINT, lw=1, ls=(0, (2, 3)))
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(names)), [look(name).label for name in names])
        figure.supxlabel(title, fontsize=11)
    summary = "; ".join(
        f"{row.dataset}, {look(row.network).label}: {row.auc:.3f} ({row.low:.3f} to {row.high:.3f})"
        for row in results.itertuples()
    )
    return Plot(figure, results.reset_index(drop=True), f"{title}. {summary}.")


def learning_curves(histories: Mapping[str, pd.DataFrame]) -> Plot:
    """Class loss in training and AUC on pairs of validation faces against the step, a line a network.

    histories: network name -> `Run.history` (columns step, class_loss, validation_auc).
    """
    drawn = {"class_loss": "class loss in training", "validation_auc": "AUC, validation pairs"}
    rows = []
    with styled():
        figure = new_figure(3.7)
        panels = dict(zip(drawn, figure.subplots(1, 2), strict=True))
        for name, history in histories.items():
            style = look(name)
            for key, axes in panels.items():
                y = history[key]
                axes.plot(
                    history["step"], y, color=style.colour, ls=style.dashes, lw=style.width, marker=style.marker,
                    ms=4.5, mec="white", mew=0.5, label=style.label,
                )  # fmt: skip
                rows.append(pd.DataFrame({"network": name, "curve": key, "step": history["step"], "value": y}))
        for key, axes in panels.items():
            axes.set(title=drawn[key], xlabel="optimisation step")
            axes.margins(x=0.02)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        panels["class_loss"].set_ylim(bottom=0)
        panels["validation_auc"].set_ylim(top=1.0)
        ends = {n: (h["step"].iloc[-1], h["validation_auc"].iloc[-1]) for n, h in histories.items() if len(h)}
        name_lines(panels["validation_auc"], ends, gap=0.075)
    summary = "; ".join(f"{look(name).label} {auc:.3f}" for name, (_, auc) in ends.items())
    alt = f"Learning curves. AUC on validation pairs at the end: {summary}."
    return Plot(figure, pd.concat(rows, ignore_index=True), alt)


def ridges(groups: Mapping[str, Mapping[str, NDArray[Any]]], xlabel: str) -> Plot:
    """Smoothed distributions above one another: panels -> row label -> values; means marked; each panel has its axis.

    A row whose label is "real" or starts with "real" has the colour of real faces, the others that of fakes.
    """
    from scipy.stats import gaussian_kde

    width = 0.3  # of the kernel, in standard deviations of a row
    labels = list(dict.fromkeys(label for rows in groups.values() for label in rows))
    numbers = []
    with styled():
        figure = new_figure(1.3 + 0.5 * len(labels))
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for axes, (panel, rows) in zip(panels, groups.items(), strict=True):
            filled = [np.asarray(values, float) for values in rows.values() if len(values)]
            span = max(float(np.ptp(np.concatenate(filled))), 1e-6)
            reach = [3 * width * values.std() + 0.02 * span for values in filled]  # where the curves have come down
            low = min(values.min() - beyond for values, beyond in zip(filled, reach, strict=True))
            high = max(values.max() + beyond for values, beyond in zip(filled, reach, strict=True))
            grid = np.linspace(low, high, 240)
            for k, label in enumerate(labels):
                values = np.asarray(rows.get(label, ()), float)
                if not len(values):
                    continue
                colour = REAL if label.startswith("real") else FAKE
                flat = len(values) < 3 or np.ptp(values) < 1e-3 * span
                density = None if flat else gaussian_kde(values, bw_method=width)(grid)
                if density is None:  # too few for a curve: each value is a tick
                    axes.plot(values, np.full(len(values), k - 0.1), "|", color=colour, ms=12, mew=1.6)
                else:
                    top = k - 0.85 * density / density.max()
                    axes.fill_between(grid, k, top, color=colour, alpha=0.75, linewidth=0, zorder=2 + k)
                    axes.plot(grid, top, color="white", lw=1.0, zorder=2 + k)
                axes.plot([values.mean()] * 2, [k, k - 0.85], color=INK, lw=1.4, zorder=3 + k)
                numbers.append(pd.DataFrame({"panel": panel, "group": label, "value": values}))
            axes.set(title=panel, xlim=(grid[0], grid[-1]), ylim=(len(labels) - 0.7, -1.0))
            axes.grid(axis="y", visible=False)
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(np.arange(len(labels)) - 0.3, labels)
        figure.supxlabel(xlabel, fontsize=11)
    table_ = pd.concat(numbers, ignore_index=True)
    summary = "; ".join(
        f"{p}, {g}: {v:.3g}" for (p, g), v in table_.groupby(["panel", "group"], sort=False)["value"].mean().items()
    )
    return Plot(figure, table_, f"Distributions of {xlabel}, by group. Means: {summary}.")


def scatter(
    points: Mapping[str, tuple[NDArray[np.floating], NDArray[Any]]], xlabel: str, ylabel: str, most: int = 600
) -> Plot:
    """Points of two classes, a panel a network: title -> ((N, 2) coordinates, (N,) labels "real"/"fake").

    At most `most` points a panel are drawn, evenly picked.
    """
    numbers = []
    with styled():
        figure = new_figure(3.9)
        panels = figure.subplots(1, len(points), squeeze=False)[0]
        for axes, (title, (places, labels)) in zip(panels, points.items(), strict=True):
            keep = evenly(len(places), most)
            for label, colour, marker in (("real", REAL, "o"), ("fake", FAKE, "^")):
                which = keep[np.asarray(labels)[keep] == label]
                x, y = places[which].T
                axes.plot(
                    x, y, marker, color=colour, ms=4.8, mec="white", mew=0.4, alpha=0.85, ls="", label=label,
                    rasterized=True,
                )  # fmt: skip
                numbers.append(pd.DataFrame({"panel": title, "label": label, "x": x, "y": y}))
            axes.set(title=title)
        figure.supxlabel(xlabel, fontsize=11)
        figure.supylabel(ylabel, fontsize=11)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, markerscale=2)
    alt = f"Scatter of faces, real as circles and fake as triangles: {', '.join(points)}. Axes: {xlabel}; {ylabel}."
    return Plot(figure, pd.concat(numbers, ignore_index=True), alt)


def margins(chosen: Sequence[float], scale: float) -> Plot:
    """Logit of the true class against its angle for several margins (paper, equation 3), drawn from `ArcFace` itself.

    chosen: margins in radians; scale: s of the head.
    """
    import torch

    from dfnb.networks.arcface import ArcFace

    angles = torch.linspace(0, torch.pi, 181, dtype=torch.float64)
    features = torch.stack([angles.cos(), angles.sin()], dim=1)  # (181, 2), at these angles from the first axis
    greys = np.linspace(0.62, 0.0, len(chosen))  # the networks' colours mean networks
    dashes: list[Any] = ["-", (0, (9, 1.5)), (0, (5, 1.5)), (0, (1, 1.3))]
    rows = []
    with styled():
        figure = new_figure(3.9)
        axes = figure.subplots()
        for k, margin in enumerate(chosen):
            head = ArcFace(2, 2, scale=scale, margin=margin).double()
            with torch.no_grad():
                head.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
                logit = head(features, torch.zeros(len(angles), dtype=torch.long))[:, 0].numpy()
            degrees = np.degrees(angles.numpy())
            text = f"m = {margin:g} rad" + (", the plain cosine" if margin == 0 else "")
            axes.plot(degrees, logit, color=str(greys[k]), ls=dashes[k % 4], lw=2.2)
            at = int(np.argmin(np.abs(logit[1:-1] + 0.3 * scale))) + 1  # every curve comes down through this height
            slope = np.degrees(np.arctan2(logit[at + 1] - logit[at - 1], degrees[at + 1] - degrees[at - 1]))
            axes.text(
                degrees[at], logit[at], text, fontsize=9.5, rotation=slope, rotation_mode="anchor", ha="center",
                va="center", transform_rotates_text=True, bbox={"fc": "white", "ec": "none", "pad": 1.0},
            )  # fmt: skip
            rows.append(pd.DataFrame({"margin": margin, "degrees": degrees, "logit": logit}))
        axes.axhline(0, color=FAINT, lw=1)
        axes.set(xlim=(0, 180), xticks=range(0, 181, 30), xlabel="angle θ between a face and its class centre, degrees")
        axes.set(ylabel="logit of the true class", title=f"s · cos(θ + m), s = {scale:g}")
    alt = (
        "Logit of the true class against the angle to its centre for margins of "
        f"{', '.join(f'{m:g}' for m in chosen)} rad: the larger the margin, the further below the cosine."
    )
    return Plot(figure, pd.concat(rows, ignore_index=True), alt)


def face_sizes(sizes: Mapping[str, NDArray[np.floating]], needed: int) -> Plot:
    """Histogram of face sizes, a panel a set.

    sizes: square roots of the boxes' areas, pixels; needed: the network's input, pixels.
    """
    largest = max(float(values.max()) for values in sizes.values() if len(values))
    edges = np.linspace(0, max(largest, needed) * 1.02, 33)
    rows = []
    with styled():
        figure = new_figure(0.9 + 0.85 * len(sizes))
        panels = figure.subplots(len(sizes), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, values) in zip(panels, sizes.items(), strict=True):
            counts, _ = np.histogram(values, edges)
            axes.stairs(counts, edges, fill=True, color="#8A8A8A")
            axes.axvline(needed, color=INK, lw=1.6, ls=(0, (5, 1.5)))
            axes.set(yticks=[], ylim=(0, max(counts.max(), 1) * 1.1))
            axes.spines["left"].set_visible(False)
            axes.grid(visible=False)
            middle = f"median {np.median(values):.0f} px, " if len(values) else ""
            axes.set_title(f"{name}: {middle}{len(values)} faces", fontsize=10.5)
            rows.append(pd.DataFrame({"set": name, "from_px": edges[:-1], "to_px": edges[1:], "faces": counts}))
        panels[0].set_title(f"┆ network input, {needed} px", loc="right", color=INK, fontsize=10.5, weight="normal")
        panels[-1].set_xlabel("face size: square root of the box's area, pixels")
    summary = "; ".join(
        f"{name}: median {np.median(v):.0f} px of {len(v)} faces" for name, v in sizes.items() if len(v)
    )
    return Plot(figure, pd.concat(rows, ignore_index=True), f"Histograms of face sizes. {summary}.")


def _labels_scores(frame: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    return (frame["label"] == "fake").to_numpy(), frame["score"].to_numpy(float)


def _with_interval(value: metrics.AUC) -> str:
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


# Further figures go here, as CONTRIBUTING.md shows.
