"""Pictures of faces: grids with labels, landmarks and masks, the steps of self-blending, attention maps.

All take and make (H, W, 3) uint8 RGB. `grid` draws everything; the others prepare what stands in its cells.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfnb.benchmark.ground_truth import true_masks
from dfnb.data import faces
from dfnb.plots.style import INK, WIDTH, Plot, evenly, new_figure, styled

if TYPE_CHECKING:
    from dfnb.data.store import FaceStore, StoredFace
    from dfnb.experiment.run import Run
    from dfnb.sbi import Images, PairDataset, SelfBlender
    from dfnb.sbi.blend import Steps
    from dfnb.sbi.degrade import Degradation

Image = NDArray[np.uint8]
LANDMARK, MASK, BOX, MANIPULATED = (255, 214, 10), (0, 190, 255), (255, 120, 40), (255, 255, 255)


def grid(
    pictures: Sequence[Sequence[Image | None]],
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    captions: Sequence[Sequence[str]] | None = None,
    numbers: pd.DataFrame | dict[str, Any] | None = None,
    alt: str = "",
    width: float = WIDTH,
) -> Plot:
    """Pictures in rows and columns: labels above the columns and beside the rows, a caption under each picture.

    pictures: rows of (H, W, 3); None leaves a cell empty. A row is as high as its widest picture asks for.
    """
    count = max(len(row) for row in pictures)
    left = 1.05 if rows else 0.0
    cell, gap = (width - left) / count, 0.05
    heights = [
        max((p.shape[0] / p.shape[1] for p in row if p is not None), default=1.0) * (cell - gap) for row in pictures
    ]
    under = 0.2 * max((c.count("\n") + 1 for line in captions for c in line), default=0) if captions else 0.0
    above = 0.12 + 0.2 * max((c.count("\n") + 1 for c in columns), default=0) if columns else 0.04
    total = above + sum(heights) + len(pictures) * (gap + under)
    with styled():
        figure = new_figure(total, width)
        figure.set_layout_engine("none")
        top = total - above
        for r, row in enumerate(pictures):
            for c, picture in enumerate(row):
                if picture is None:
                    continue
                x, high = left + c * cell, (cell - gap) * picture.shape[0] / picture.shape[1]
                axes = figure.add_axes((x / width, (top - high) / total, (cell - gap) / width, high / total))
                axes.imshow(picture, interpolation="antialiased", aspect="auto")
                axes.set_axis_off()
                middle = (x + (cell - gap) / 2) / width
                if r == 0 and c < len(columns):
                    figure.text(
                        middle, (top + 0.05) / total, columns[c], ha="center", va="bottom", fontsize=9.5, weight="bold"
                    )
                if captions and captions[r][c]:
                    text = captions[r][c]
                    figure.text(
                        middle, (top - high - 0.03) / total, text, ha="center", va="top", fontsize=8.5, color=INK
                    )
            if r < len(rows):
                place = (top - heights[r] / 2) / total
                figure.text((left - 0.1) / width, place, rows[r], ha="right", va="center", fontsize=9.5, weight="bold")
            top -= heights[r] + gap + under
    return Plot(figure, numbers if numbers is not None else {}, alt, vector=False)


def grey(mask: NDArray[np.floating]) -> Image:
    """A mask (H, W) in 0..1 as a picture."""
    return np.repeat(np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def difference(a: Image, b: Image, gain: float) -> Image:
    """|a - b| times `gain`, so that faint differences can be seen; 255 is clipped."""
    return np.clip(np.abs(a.astype(np.float32) - b) * gain, 0, 255).astype(np.uint8)


def outlined(rgb: Image, mask: NDArray[np.floating], dim: float = 0.4) -> Image:
    """The picture, darker by the share `dim` outside a mask (H, W) in 0..1, and the mask's edge (at 0.5) drawn."""
    light = (1 - dim * (1 - np.clip(mask, 0, 1)))[..., None]
    out = np.rint(rgb * light).astype(np.uint8)
    edges, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(out, edges, -1, MASK, max(1, max(rgb.shape) // 300), cv2.LINE_AA)


def heat(rgb: Image, values: NDArray[np.floating], strength: float = 0.55) -> Image:
    """The picture in grey with a map (h, w) in 0..1 laid over it in colour, bilinear; always on the scale 0..1."""
    large = cv2.resize(values.astype(np.float32), (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)
    colours = mpl.colormaps["viridis"](np.clip(large, 0, 1))[..., :3] * 255
    plain = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None]
    return np.rint(plain * (1 - strength) + colours * strength).astype(np.uint8)


def enlarged(rgb: Image, side: int) -> Image:
    """A square picture (S, S, 3) as (side, side, 3), so that a small crop isn't blurred by whoever shows it."""
    return cv2.resize(rgb, (side, side), interpolation=cv2.INTER_CUBIC)


def marked(face: "StoredFace", size: int = 220) -> Image:
    """A stored face, enlarged or shrunk to `size` px wide, with its mask, landmarks and box drawn."""
    scale = size / face.rgb.shape[1]
    rgb = cv2.resize(face.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    points = face.landmarks * scale
    out = outlined(rgb, faces.face_mask(points, rgb.shape))
    x0, y0, x1, y1 = (round(v * scale) for v in face.box)
    cv2.rectangle(out, (x0, y0), (x1, y1), BOX, 1, cv2.LINE_AA)
    for radius, colour in ((2, (0, 0, 0)), (1, LANDMARK)):  # a dark rim, to be seen on any skin
        for x, y in points:
            cv2.circle(out, (round(float(x)), round(float(y))), radius, colour, -1, cv2.LINE_AA)
    return out


def sheet(store: "FaceStore", chosen: Sequence[int], columns: int = 6) -> Plot:
    """A contact sheet of stored faces with what was found on them."""
    pictures = [marked(store[int(i)]) for i in chosen]
    table = store.manifest.iloc[list(chosen)][["dataset", "video", "frame", "label", "method"]].reset_index(drop=True)
    alt = f"Contact sheet of {len(pictures)} faces, each with its 68 landmarks, face mask and box."
    return grid(_rows(pictures, columns), numbers=table, alt=alt)


def one_of_each(store: "FaceStore", count: int) -> list[int]:
    """Indices of up to `count` faces of different groups, evenly over the store; the first face of each."""
    firsts = store.manifest.reset_index(drop=True).drop_duplicates(["dataset", "group"]).index.to_numpy()
    return firsts[evenly(len(firsts), count)].tolist()


def face_size(store: "FaceStore") -> NDArray[np.float64]:
    """Size of each stored face, (N,): the square root of its box's area, pixels."""
    table = store.manifest
    return np.sqrt((table["x1"] - table["x0"]) * (table["y1"] - table["y0"])).to_numpy(float)


def frame_with_boxes(
    rgb: Image, rows: pd.DataFrame, labels: Sequence[str] = (), colour: tuple[int, int, int] = BOX
) -> Image:
    """A whole frame with the boxes (x0, y0, x1, y1 in pixels of the frame) of its faces, a label in each box's corner.

    labels: one a row, in ASCII; none by default.
    """
    out = np.ascontiguousarray(rgb.copy())
    thick, scale = max(2, rgb.shape[1] // 200), max(0.6, rgb.shape[1] / 500)
    boxes = rows[["x0", "y0", "x1", "y1"]].round().astype(int).itertuples(index=False)
    for box, label in itertools.zip_longest(boxes, labels, fillvalue=""):
        cv2.rectangle(out, (box.x0, box.y0), (box.x1, box.y1), colour, thick, cv2.LINE_AA)
        if label:
            (width, height), _ = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
            corner = (box.x0 + width + 2 * thick, box.y0 + height + 4 * thick)
            cv2.rectangle(out, (box.x0, box.y0), corner, colour, cv2.FILLED)
            at = (box.x0 + thick, box.y0 + height + 2 * thick)
            cv2.putText(out, label, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), thick, cv2.LINE_AA)
    return out


def sbi_steps(steps: "Steps") -> Plot:
    """Every step of one self-blended image (`SelfBlender.explain`), and what the fake differs by."""
    draw = steps.draw
    how = f"÷ {draw.factor} and back" if draw.factor > 1 else f"sharper by {draw.sharpness:.1f}"
    changed = f"colour changed\n{how}" if draw.factor > 1 or draw.sharpness else "colour changed"
    size = " and ".join(dict.fromkeys(f"{scale:.3f}" for scale in draw.scale))
    across, down = (f"{100 * share:+.1f} %" for share in draw.shift)
    cells = [
        ("target", steps.target, changed if draw.changed == "target" else "as it was"),
        ("source", steps.source, changed if draw.changed == "source" else "as it was"),
        ("source moved", steps.warped, f"size × {size}\nshift {across}, {down}"),
        ("hull", grey(steps.hull), draw.hull),
        ("deformed", grey(steps.deformed), f"amplitude {draw.deformation.amplitude:.1f} px"),
        ("blurred twice", grey(steps.softened), f"edge {draw.deformation.soften:.1f} px"),
        ("mask × ratio", grey(steps.mask), f"ratio {draw.ratio:g}"),
        ("fake", steps.fake, ""),
        ("real", steps.real, "the target itself"),
        ("difference × 8", difference(steps.real, steps.fake, 8), ""),
    ]
    pictures, columns = [cell[1] for cell in cells], 5
    texts = [f"{k}. {name}\n{note}" for k, (name, _, note) in enumerate(cells, 1)]
    alt = "Ten steps of self-blending one face: " + "; ".join(f"{name} {note}".strip() for name, _, note in cells) + "."
    numbers = {"draw": {**draw._asdict(), "colour": str(draw.colour), "deformation": draw.deformation._asdict()}}
    return grid(_rows(pictures, columns), captions=_rows(texts, columns), numbers=numbers, alt=alt)


def pairs(made: Sequence["Images"], gain: float = 6) -> Plot:
    """Self-blended pairs as the network gets them: real, fake, blending mask, difference amplified."""
    rows = [
        [p.real for p in made],
        [p.fake for p in made],
        [grey(p.blend) for p in made],
        [difference(p.real, p.fake, gain) for p in made],
    ]
    numbers = pd.DataFrame(
        {
            "pair": range(1, len(made) + 1),
            "mean_difference_levels": [float(np.abs(p.real.astype(float) - p.fake).mean()) for p in made],
            "share_blended": [float((p.blend > 1 / 255).mean()) for p in made],
            "highest_mask": [float(p.blend.max()) for p in made],
        }
    )
    alt = f"{len(made)} self-blended pairs: the face, its fake, the mask, and the difference times {gain:g}."
    return grid(rows, rows=["real", "fake", "mask", f"difference\n× {gain:g}"], numbers=numbers, alt=alt)


def fakes(pairs: "PairDataset", chosen: Sequence[int], names: Sequence[str] = (), gain: float = 4) -> Plot:
    """Some faces of `pairs`, by their places, made fakes in every way of `dfnb.sbi.FAKES`, and what that changed.

    names: what stands beside each; their numbers unless given.
    """
    from dfnb.sbi import FAKES

    rows, labels, numbers = [], [], []
    names = names or [f"face {k}" for k in range(1, len(chosen) + 1)]
    for place, name in zip(chosen, names, strict=True):
        made = [pairs.images((0, place), kind) for kind in FAKES]
        rows += [[made[0].real, *(p.fake for p in made)], [None, *(difference(p.real, p.fake, gain) for p in made)]]
        labels += [name, f"difference\n× {gain:g}"]
        for kind, p in zip(FAKES, made, strict=True):
            levels = float(np.abs(p.real.astype(float) - p.fake).mean())
            numbers.append({"face": len(rows) // 2, "kind": kind, "mean_difference_levels": levels})
    alt = f"{len(chosen)} real faces, each with fakes made in {len(FAKES)} ways: {', '.join(FAKES)}."
    return grid(rows, columns=["real", *FAKES], rows=labels, numbers=pd.DataFrame(numbers), alt=alt)


def degradations(pair: "Images", how: "Degradation") -> Plot:
    """A pair after each step that training pairs may go through, at the middle of its range in `how`."""
    from dfnb.sbi import degrade

    nothing = degrade.Steps(*[None] * 5, seed=0, swapped=False)
    middle = {name: sum(getattr(how, name)) / 2 for name in nothing._fields[:5]}
    middle["h264"] = round(middle["h264"])
    alone = [nothing, *(nothing._replace(**{name: value}) for name, value in middle.items())]
    made = [degrade.degrade_pair(pair.real, pair.fake, steps) for steps in alone]
    columns = ["as it was", *(f"{DEGRADATIONS[name]}\n{value:.3g}" for name, value in middle.items())]
    lost = [float(np.abs(pair.real.astype(float) - real).mean()) for real, _ in made]
    numbers = pd.DataFrame({"step": ["none", *middle], "strength": [0, *middle.values()], "mean_change_levels": lost})
    alt = f"A real face and its fake after each of {', '.join(DEGRADATIONS[name] for name in middle)}."
    rows = [[real for real, _ in made], [fake for _, fake in made]]
    return grid(rows, columns=columns, rows=["real", "fake"], numbers=numbers, alt=alt)


DEGRADATIONS = {
    "gamma": "gamma",
    "shrink": "shrunk to",
    "blur": "blur, px",
    "noise": "noise, levels",
    "h264": "H.264, CRF",
}


def hull_kinds(face: "StoredFace", size: int = 200) -> Plot:
    """The hulls self-blending draws from (`masks.KINDS`), on one face; the whole one with and without forehead."""
    from dfnb.sbi import masks

    scale = size / max(face.rgb.shape[:2])
    rgb = cv2.resize(face.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    points = face.landmarks * scale
    kinds = [("whole", True), *((kind, False) for kind in masks.KINDS)]
    names = ["whole, with\nforehead", "whole,\n68 points", *list(masks.KINDS)[1:]]
    hulls = [faces.fill(masks.polygon(points, kind, top), rgb.shape) for kind, top in kinds]
    numbers = pd.DataFrame({"hull": [n.replace("\n", " ") for n in names], "share": [float(m.mean()) for m in hulls]})
    alt = f"Six hulls of one face's landmarks: {', '.join(numbers['hull'])}."
    return grid([[outlined(rgb, hull, 0.65) for hull in hulls]], columns=names, numbers=numbers, alt=alt)


def ratios(face: "StoredFace", blender: "SelfBlender", chosen: Sequence[float], seed: int = 0, gain: float = 6) -> Plot:
    """One self-blended image at several blend ratios, all other choices alike, and its difference from the real one."""
    made = [
        blender.explain(face.rgb, face.landmarks, np.random.default_rng(seed), hull="whole", ratio=ratio)
        for ratio in chosen
    ]
    changes = [difference(steps.real, steps.fake, gain) for steps in made]
    levels = [float(np.abs(steps.real.astype(float) - steps.fake).mean()) for steps in made]
    numbers = pd.DataFrame({"ratio": list(chosen), "mean_difference_levels": levels})
    summary = "; ".join(f"{r:g}: {level:.2f}" for r, level in zip(chosen, levels, strict=True))
    alt = f"One face self-blended at several ratios. Mean difference from the real one, in levels of 255: {summary}."
    columns, rows = [f"ratio {ratio:g}" for ratio in chosen], ["fake", f"difference\n× {gain:g}"]
    return grid([[steps.fake for steps in made], changes], columns=columns, rows=rows, numbers=numbers, alt=alt)


def manipulations(store: "FaceStore", benchmark: Path | None, targets: int = 2, size: int = 200) -> Plot:
    """Originals and their manipulations side by side, the same frame of each; with the true mask where there is one.

    benchmark: root of the embedded benchmark, or None for real sets, which have no such masks.
    """
    table = store.manifest.reset_index(drop=True)
    table = table[table["face"] == 0]
    methods = ["original", *(m for m in pd.unique(table["method"]) if m != "original")]
    complete = table.groupby(["group", "frame"])["method"].nunique()
    places = complete[complete == complete.max()].reset_index().drop_duplicates("group")
    places = places.iloc[evenly(len(places), targets)]
    rows, labels, used = [], [], []
    for place in places.itertuples():
        here = table[(table["group"] == place.group) & (table["frame"] == place.frame)].drop_duplicates("method")
        index = {row.method: row.Index for row in here.itertuples()}
        used += [index[m] for m in methods if m in index]
        shown = [crop_of(store[index[m]], size) if m in index else None for m in methods]
        rows.append(shown)
        labels.append(f"video {place.group}")
        if benchmark is not None:
            fakes = [m for m in methods[1:] if m in index]
            masks = dict(zip(fakes, true_masks(benchmark, store.subset([index[m] for m in fakes]), size), strict=True))
            pairs_ = zip(methods, shown, strict=True)
            rows.append([outlined(rgb, masks[m], 0.6) if m in masks else None for m, rgb in pairs_])
            labels.append("where it was\nmanipulated")
    numbers = table.loc[used, ["dataset", "video", "frame", "method", "group"]].reset_index(drop=True)
    alt = f"One frame of {len(places)} videos as {', '.join(methods)}" + (
        "; below each fake, where it was manipulated." if benchmark is not None else "."
    )
    return grid(rows, columns=methods, rows=labels, numbers=numbers, alt=alt)


def scenes(run: "Run", part: str, count: int | None = None) -> Plot:
    """Whole frames of a test part, real above and fake below, with the faces found in them.

    On the embedded benchmark the boxes of manipulated faces are white.
    count: frames of each; by default as many as can be seen, 2 wide ones or 4 others.
    """
    from dfnb.data import frames

    store = run.store(part)
    manifest = store.manifest.reset_index(drop=True)
    clips = run.clips(part)
    clips = clips[clips["path"].isin(run.store(part).frames["path"])]  # without those that can't be read
    if count is None:
        wide = (manifest["frame_width"] / manifest["frame_height"]).median() > 1.4
        count = 2 if wide else 4
    shown, captions, used = [], [], []
    for label in ("real", "fake"):
        chosen = clips[clips["label"] == label].drop_duplicates("group")
        chosen = chosen.iloc[evenly(len(chosen), count)]
        line = []
        for clip in chosen.itertuples():
            index, rgb = next(iter(frames.sample_frames(clip.path, run.profile.data.test_frames)))
            found = manifest[(manifest["path"] == str(clip.path)) & (manifest["frame"] == index)]
            drawn, small = frame_with_boxes(rgb, found), min(1.0, 640 / rgb.shape[1])
            if run.embedded:
                masks = true_masks(run.benchmark, store.subset(found.index), 32)
                drawn = frame_with_boxes(drawn, found[masks.any(axis=(1, 2))], colour=MANIPULATED)
            line.append(cv2.resize(drawn, None, fx=small, fy=small, interpolation=cv2.INTER_AREA))
            used.append(
                {"dataset": clip.dataset, "video": clip.video, "label": label, "frame": index, "faces": len(found)}
            )
        shown.append(line)
        captions.append([f"{u['video'].split('/')[-1]}: {u['faces']} found" for u in used[-len(line) :]])
    alt = f"Frames of {run.title(part)}: real above, fake below, a box around each face found."
    return grid(shown, rows=["real", "fake"], captions=captions, numbers=pd.DataFrame(used), alt=alt)


def crop_of(face: "StoredFace", size: int) -> Image:
    return faces.crop(face.rgb, face.box, 0.125, size)


def _rows(items: Sequence[Any], columns: int) -> list[list[Any]]:
    filled = [*items, *[None if not isinstance(items[0], str) else ""] * (-len(items) % columns)]
    return [filled[k : k + columns] for k in range(0, len(filled), columns)]
