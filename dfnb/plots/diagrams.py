"""Drawn diagrams: the network, read from a built one, and how a self-blended image comes about."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import NDArray

from dfnb.networks.variants import VARIANTS
from dfnb.plots.style import FAINT, HEAD_LABELS, INK, WIDTH, Plot, look, new_figure, styled

if TYPE_CHECKING:
    from dfnb.networks import Network
    from dfnb.sbi.blend import Steps

_BLOCK, _TAP, _MAP, _HEAD = "#D9E4EE", "#0072B2", "#E8C9DA", "#F3D9C8"
_MOST = 7  # Blocks drawn
_LINE = "#A03B77"  # of the attention map, and of the mask


def network(net: "Network") -> Plot:
    """The network as it is built: Blocks with their channels and resolutions, taps, attention branch, head.

    A Block's height falls with its resolution. Of more than seven Blocks the tapped are drawn, and others between.
    Numbers are read from the model.
    """
    from dfnb.networks.backbones import blocks

    taps, made = net.taps, blocks(net.backbone)
    last = len(made)
    drawn = _drawn(taps, last)
    reduction = {k: made[k - 1].reduction for k in drawn}
    channels = {k: made[k - 1].channels for k in drawn}
    head, branch = HEAD_LABELS.get(net.settings["head"], net.settings["head"]), net.attention is not None
    width = net.head.weight.shape[1]
    with styled():
        figure, axes = _canvas(4.5, 12.4)
        middle, half = 5.55, {k: 1.45 - 0.24 * np.log2(reduction[k]) for k in reduction}
        _text(axes, 0.35, middle, "face\n(B, 3, S, S)", rotation=90, size=9.5)
        _arrow(axes, (0.68, middle), (0.95, middle))
        _box(axes, 0.95, middle - 1.25, 0.6, 2.5, "stem", _BLOCK, rotation=90)
        x, right = 1.55, {}
        for k in drawn:
            x += 0.22
            tapped = k in taps
            _arrow(axes, (x - 0.22, middle), (x, middle))
            _box(
                axes, x, middle - half[k], 0.72, 2 * half[k], f"{k}", _TAP if tapped else _BLOCK,
                colour="white" if tapped else INK, weight="bold",
            )  # fmt: skip
            _text(axes, x + 0.36, middle + half[k] + 0.42, f"{channels[k]}", size=9)
            _text(axes, x + 0.36, middle + half[k] + 0.18, f"1/{reduction[k]}", size=8, color=FAINT)
            right[k] = x + 0.36
            x += 0.72
        _text(axes, 1.25, middle + 1.72, "channels", size=8, ha="center")
        _text(axes, 1.25, middle + 1.48, "resolution", size=8, color=FAINT, ha="center")
        weighing, joined = 2.55, 9.1
        if branch:
            _box(axes, 8.6, middle - 0.66, 2.2, 1.32, "attention branch\n3×3 conv, BN, ReLU\n(twice), 1×1, σ", _MAP)
            _arrow(axes, (x, middle), (8.6, middle))
            _text(axes, 11.62, middle + 0.16, "map\n0..1", size=9)
            _arrow(axes, (10.8, middle), (11.3, middle), colour=_LINE)
            axes.plot([11.62, 11.62], [middle - 0.35, weighing + 0.75], color=_LINE, lw=1.4)
            axes.plot([right[taps[0]] + 0.55, 11.62], [weighing + 0.75] * 2, color=_LINE, lw=1.4)
        for tap in taps:
            bottom = middle - half[tap]
            end = weighing + 0.18 if branch else weighing - 0.55
            _arrow(axes, (right[tap], bottom), (right[tap], end), colour=_TAP)
            if branch:
                axes.plot(right[tap], weighing, "o", ms=15, mfc="white", mec=_LINE, mew=1.5)
                _text(axes, right[tap], weighing - 0.01, "×", size=12)
                beside = right[tap] + 0.55
                axes.plot([beside, beside], [weighing + 0.75, weighing], color=_LINE, lw=1.4)
                axes.plot(beside, weighing + 0.75, "o", ms=3.5, color=_LINE)
                _arrow(axes, (beside, weighing), (right[tap] + 0.17, weighing), colour=_LINE)
                if reduction[tap] != reduction[last]:
                    _text(axes, beside + 0.12, weighing + 0.35, "resized", ha="left", size=8, color=FAINT)
                _arrow(axes, (right[tap], weighing - 0.18), (right[tap], weighing - 0.55), colour=_TAP)
            pooling = "1×1 conv\naverage" if hasattr(net.backbone, "conv_head") else "timm's\npooling"
            text = pooling if tap == last else "average"
            _box(axes, right[tap] - 0.52, weighing - 1.2, 1.04, 0.65, text, "white", size=8.5)
        y = 0.62
        for tap in taps:
            axes.plot([right[tap]] * 2, [weighing - 1.2, y], color=_TAP, lw=1.6)
        start = right[taps[0]]
        _arrow(axes, (start, y), (joined, y), colour=_TAP)
        vector = f"{width} numbers" + ("\nbatch norm" if VARIANTS[net.settings["variant"]].norm else "")
        _box(axes, joined, y - 0.4, 1.4, 0.8, vector, "white", size=8.5)
        _arrow(axes, (joined + 1.4, y), (joined + 1.65, y))
        _box(axes, joined + 1.65, y - 0.4, 1.1, 0.8, head, _HEAD, weight="bold", size=9.5)
        _text(axes, joined + 2.2, y + 0.65, "real | fake", size=9.5)
        label = look(f"{net.settings['variant']}-{net.settings['head']}").label
        title = f"{label}: {net.settings['backbone']}, taps: " + " and ".join(f"Block {tap}" for tap in taps)
        _text(axes, 0.1, 7.75, title, ha="left", weight="bold", size=11)
    numbers = {
        "taps": list(taps), "channels": channels, "reduction": reduction, "vector": width, "attention": branch,
        "head": net.settings["head"],
    }  # fmt: skip
    alt = (
        f"Diagram of {label} on {net.settings['backbone']}: {last} Blocks; Block "
        + " and ".join(f"{k} ({channels[k]} channels, 1/{reduction[k]} resolution)" for k in taps)
        + (" weighted by the attention map made from the last, " if branch else " ")
        + f"averaged and joined to {width} numbers for the {head} head."
    )
    return Plot(figure, numbers, alt)


def _drawn(taps: tuple[int, ...], last: int) -> list[int]:
    """Numbers of the Blocks that a diagram has room for, the taps and the last among them, in order."""
    others = np.linspace(1, last, _MOST).round().astype(int).tolist()
    return sorted({*taps, *[k for k in dict.fromkeys(others) if k not in taps][: _MOST - len(taps)]})


def sbi(steps: "Steps") -> Plot:
    """How a self-blended image comes about, with the pictures of one (`SelfBlender.explain`)."""
    from dfnb.plots.pictures import grey

    start = steps.real if steps.draw.changed == "source" else steps.source
    side = 1.7  # of a picture in the diagram's units
    x0, y0, size = _square(steps.hull)
    images = {
        "one real face": (0.1, 2.35, start),
        "source": (4.4, 4.6, steps.warped),
        "hull of landmarks": (4.4, 2.35, grey(steps.hull)),
        "target": (4.4, 0.1, steps.target),
        "mask m": (7.0, 2.35, grey(steps.mask)),
        "self-blended fake": (10.1, 2.35, steps.fake),
    }
    change = "colour and sharpness\nchange"
    with styled():
        figure, axes = _canvas((WIDTH + 1) * 6.6 / 12.0, 12.0, 6.6)  # a unit is as long across as up
        for label, (x, y, picture) in images.items():
            part = picture[y0 : y0 + size, x0 : x0 + size]
            axes.imshow(part, extent=(x, x + side, y, y + side), aspect="auto", zorder=3, interpolation="antialiased")
            _text(axes, x + side / 2, y + side + 0.17, label, size=10, weight="bold")
        _arrow(axes, (1.85, 3.7), (4.35, 5.4))
        source_changed = steps.draw.changed == "source"
        _text(axes, 2.2, 5.1, f"{change}, resize, shift" if source_changed else "resize, shift", size=9)
        _arrow(axes, (1.85, 3.2), (4.35, 3.2))
        _text(axes, 3.1, 3.38, "68 landmarks", size=9)
        _arrow(axes, (1.85, 2.7), (4.35, 1.0))
        _text(axes, 2.2, 1.3, "unchanged" if source_changed else change, size=9)
        _arrow(axes, (6.15, 3.2), (6.95, 3.2))
        _text(axes, 6.55, 3.55, "deform,\nblur", size=9)
        for y, start, share in ((5.45, 4.4, "m"), (0.95, 2.3, "1 − m")):  # each copy weighted by its share, then added
            up = 1 if y > start else -1
            _arrow(axes, (6.15, y), (7.62, y))
            axes.plot(7.85, y, "o", ms=19, mfc="white", mec=_LINE, mew=1.5, zorder=3)
            _text(axes, 7.85, y - 0.01, "×", size=13)
            _arrow(axes, (7.85, start), (7.85, y - 0.25 * up), colour=_LINE)
            _text(axes, 8.0, (start + y) / 2, share, ha="left", size=11, weight="bold", color=_LINE)
            axes.plot([8.09, 9.4], [y, y], color=FAINT, lw=1.6, zorder=2)
            _arrow(axes, (9.4, y), (9.4, 3.2 + 0.42 * up))
        _box(axes, 9.15, 2.8, 0.5, 0.8, "+", _HEAD, weight="bold", size=14)
        _arrow(axes, (9.65, 3.2), (10.05, 3.2))
    draw = steps.draw
    numbers = {
        "hull": draw.hull,
        "changed": draw.changed,
        "ratio": draw.ratio,
        "scale": draw.scale,
        "shift": draw.shift,
    }
    alt = (
        "Diagram of self-blending: one real face gives a source, resized and shifted, and a target; its landmarks give "
        f"a soft mask; the source is blended into the target through the mask. The {draw.changed} changed colour here."
    )
    return Plot(figure, numbers, alt)


def _square(hull: NDArray[np.floating]) -> tuple[int, int, int]:
    """A square around a hull (H, W): its left, its top and its side, pixels."""
    rows, columns = (np.flatnonzero((hull > 0.5).any(axis)) for axis in (1, 0))
    size = min(round(1.35 * max(np.ptp(rows), np.ptp(columns))), *hull.shape)
    middle = ((columns[0] + columns[-1]) // 2, (rows[0] + rows[-1]) // 2)
    x0, y0 = (int(np.clip(m - size // 2, 0, n - size)) for m, n in zip(middle, hull.shape[::-1], strict=True))
    return x0, y0, size


def _canvas(height: float, wide: float, high: float = 8.0) -> tuple[Figure, Axes]:
    figure = new_figure(height, WIDTH + 1.0)
    axes = figure.subplots()
    axes.set(xlim=(0, wide), ylim=(0, high))
    axes.set_axis_off()
    return figure, axes


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, text: str, fill: str,
    colour: str = INK, rotation: float = 0, weight: str = "normal", size: float = 9.0,
) -> None:  # fmt: skip
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=fill,
            edgecolor=FAINT,
            lw=1.0,
            zorder=2,
        )
    )
    _text(axes, x + width / 2, y + height / 2, text, color=colour, rotation=rotation, weight=weight, size=size)


def _text(axes: Axes, x: float, y: float, text: str, ha: str = "center", **style: object) -> None:
    axes.text(x, y, text, ha=ha, va="center", zorder=5, **{"color": INK, "linespacing": 1.15, **style})


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = FAINT) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=10, color=colour, lw=1.6, shrinkA=0, shrinkB=0, zorder=2
        )
    )
