"""AUC of the networks as the test videos get worse: every corruption of `corrupt`, at every strength of the profile.

Only the network is tested: faces are cropped where they were found in the videos as they are. The same faces, in the
same crops, meet every network, so that each drop can be tested in pairs.
"""

import logging
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from dfnb.analysis import corruptions
from dfnb.analysis.corruptions import CORRUPTIONS
from dfnb.common import code, devices, faults, files, tuning
from dfnb.common.errors import UserError
from dfnb.data import faces, frames
from dfnb.data.store import FaceStore
from dfnb.plots.style import evenly, look
from dfnb.plots.tables import SIGNIFICANT, holm
from dfnb.scoring import metrics, score, score_table

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

log = logging.getLogger(__name__)
VERSION = 1  # raised when scores made before can't be used any more


def names(run: "Run") -> list[str]:
    """The networks whose robustness is measured, as the profile says."""
    wanted = run.profile.robustness.networks
    if wanted is None:
        return list(dict.fromkeys(one.name for one in run.networks))
    return [run.find(f"{variant}-{head}").name for variant, head in wanted]


def part(run: "Run") -> str:
    """The test part whose videos are corrupted. Raises UserError where the run has no data for it."""
    wanted = run.profile.robustness.part
    if wanted not in run.tests:
        raise UserError(f"robustness.part is {wanted!r}, and profile {run.profile.name} has no data for it")
    return wanted


def ladder(run: "Run") -> pd.DataFrame:
    """What is done to the videos, and how strongly: a row a corruption."""
    settings = run.profile.robustness
    rows = [
        {"corruption": about.title, "strength is": about.axis}
        | {str(k): f"{value:g}" for k, value in enumerate(corruptions.strengths(settings, kind), 1)}
        for kind, about in CORRUPTIONS.items()
    ]
    return pd.DataFrame(rows)


def chosen(manifest: pd.DataFrame, videos: int | None, frames_: int | None) -> NDArray[np.int64]:
    """Which rows of a face store's manifest are corrupted: positions, ascending.

    videos: at most this many, half of them real, evenly over the catalogue; frames_: of each, evenly over its frames
    with a face, and all faces of these. None takes all.
    """
    table = manifest.reset_index(drop=True)
    kept = []
    for label in ("real", "fake"):
        own = table[table["label"] == label]
        paths = own["path"].unique()
        for path in paths[evenly(len(paths), len(paths) if videos is None else max(1, videos // 2))]:
            rows = own[own["path"] == path]
            indices = rows["frame"].unique()
            some = indices if frames_ is None else indices[frames.places(len(indices), frames_)]
            kept.append(rows.index[rows["frame"].isin(some)].to_numpy())
    return np.sort(np.concatenate(kept)) if kept else np.empty(0, np.int64)


class Corrupted:
    """[i] -> the faces of some frames of a store at each strength: (F, strengths, S, S, 3) uint8, and their rows (F,).

    An item holds as many frames as give about `batch` crops. Noise is keyed by the seed, the video and the frame, the
    same for all strengths.
    """

    def __init__(
        self, store: FaceStore, kind: str, strengths: Sequence[float], size: int, seed: int = 0, batch: int = 32
    ) -> None:
        self.store, self.kind, self.strengths, self.size, self.seed = store, kind, tuple(strengths), size, seed
        grouped = store.manifest.reset_index(drop=True).groupby(["path", "frame"], sort=False)
        places = [(Path(path), int(frame), rows.index.to_numpy()) for (path, frame), rows in grouped]
        step = max(1, batch // len(strengths))
        self.items = [places[start : start + step] for start in range(0, len(places), step)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        crops = [self._frame(*place) for place in self.items[index]]
        return np.concatenate(crops), np.concatenate([rows for _, _, rows in self.items[index]])

    def _frame(self, path: Path, frame: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        kind = CORRUPTIONS[self.kind]
        stretch = read(path, frame, kind.stretch)
        key = [self.seed, zlib.crc32(path.name.encode()), frame]
        boxes = self.store.manifest.iloc[rows][["x0", "y0", "x1", "y1"]].to_numpy(float)
        out = np.empty((len(rows), len(self.strengths), self.size, self.size, 3), np.uint8)
        for k, strength in enumerate(self.strengths):
            rgb = kind.apply(stretch, strength, np.random.default_rng(key))
            for j, box in enumerate(boxes):
                out[j, k] = faces.crop(rgb, tuple(box), score_table.MARGIN, self.size)
        return out


def read(path: str | Path, frame: int, count: int) -> NDArray[np.uint8]:
    """The frame and up to count - 1 before it, (N, H, W, 3). Raises UserError where the frame can't be decoded."""
    read = list(frames.at(path, range(max(0, frame - count + 1), frame + 1)))
    if not read or read[-1][0] != frame:
        raise UserError(f"{path}: frame {frame} can't be decoded any more; run `dfnb prepare` again")
    return np.stack([rgb for _, rgb in read])


def scores(run: "Run", kind: str) -> dict[str, pd.DataFrame]:
    """Per-face scores of every network under one corruption, by network; what is there already is kept.

    A row a face and strength: the columns of `Run.scores`, and corruption, level (1, 2, ...), strength.
    """
    settings, part_ = run.profile.robustness, part(run)
    whole = run.store(part_)
    store = whole.subset(chosen(whole.manifest, settings.videos, settings.frames))
    strengths = corruptions.strengths(settings, kind)
    words = f"; {kind} {', '.join(f'{value:g}' for value in strengths)}, seed {run.profile.seed}, version {VERSION}"
    words += f", code {code.digest_of('analysis.robustness', 'analysis.corruptions', 'data.frames')}"
    paths, stamps = {}, {}
    for name in names(run):
        network = run.find(name)
        run.trained(network)
        paths[name] = run.folder / "scores" / f"{part_}-corrupted" / kind / f"{network.folder}.parquet"
        stamps[name] = run.stamps(part_, network, words) | {"store": store.digest}
    states = {name: score_table.state_of(path, stamps[name], embeddings=False) for name, path in paths.items()}
    wanted = [
        name for name in paths if run.may_make(f"{paths[name]}: the score table", states[name], run.command("report"))
    ]
    if wanted:
        found, made_with = _score(run, store, kind, strengths, wanted)
        for name in wanted:
            with files.replacing(paths[name]) as temporary:
                score_table.write(temporary, found[name].assign(**stamps[name]), made_with)
    return {name: score_table.load(path) for name, path in paths.items()}


def _score(
    run: "Run", store: FaceStore, kind: str, strengths: Sequence[float], networks: Sequence[str]
) -> tuple[dict[str, pd.DataFrame], Mapping[str, Any]]:
    """Scores of some networks, each crop made once for all of them; and what made them."""
    import torch
    from torch.utils.data import DataLoader

    from dfnb.sbi import init_worker
    from dfnb.scoring.inference import Scorer

    batch = run.profile.evaluate.batch
    data = Corrupted(store, kind, strengths, run.profile.model.size, run.profile.seed, batch)
    loader = DataLoader(data, batch_size=None, num_workers=max(1, run.profile.jobs // 2), worker_init_fn=init_worker)
    size, precision = run.profile.model.size, run.profile.evaluate.precision
    nets = {name: Scorer(run.network(name), size, precision) for name in networks}
    values = {name: np.empty((len(store), len(strengths)), np.float32) for name in networks}
    bar = tqdm(total=len(store) * len(strengths), desc=f"{kind}, {len(nets)} networks", unit="face", leave=False)
    with faults.named_faults(kind), tuning.freed_memory_kept(), bar, torch.inference_mode(), devices.exact_float32():
        for crops, rows in loader:  # (F, K, S, S, 3), (F,)
            for name, net in nets.items():
                images = [
                    score.to_input(crop, net.mean, net.std) for crop in np.asarray(crops).reshape(-1, *crops.shape[2:])
                ]
                found = score.probability(net(torch.stack(images)).logits)
                values[name][rows] = found.numpy().reshape(len(rows), -1)
            bar.update(len(rows) * len(strengths))
    place = store.manifest[list(score_table.PLACE)].reset_index(drop=True).assign(corruption=kind)
    tables = {
        name: pd.concat(
            [place.assign(level=k, strength=s, score=found[:, k - 1]) for k, s in enumerate(strengths, 1)],
            ignore_index=True,
        )
        for name, found in values.items()
    }
    return tables, next(iter(nets.values())).made_with


def curves(run: "Run", kinds: Sequence[str] = tuple(CORRUPTIONS)) -> pd.DataFrame:
    """Video AUC against strength: a row per network, corruption and level; level 0 is the videos as they are.

    Columns: network, corruption, level, strength (NaN at level 0), auc, low, high (95 %, `metrics.auc_logit`), drop
    (AUC of the same videos as they are, minus this), drop_low, drop_high, p (paired DeLong test), p_holm (corrected for
    all cells of a network, Holm 1979), real_score and fake_score (mean scores of the videos), real, fake (videos).
    """
    part_, settings = part(run), run.profile.robustness
    manifest = run.store(part_).manifest
    which = chosen(manifest, settings.videos, settings.frames)
    rule, rows = run.profile.evaluate.size_rule, []
    corrupted = {kind: scores(run, kind) for kind in kinds}
    for name in names(run):
        clean = metrics.video_scores(run.scores(part_, name).iloc[which], rule)
        labels = (clean["label"] == "fake").to_numpy()
        for kind in kinds:
            levels = [(0, float("nan"), clean)]
            for (level, strength), table in corrupted[kind][name].groupby(["level", "strength"]):
                levels.append((level, strength, metrics.video_scores(table, rule)))
            for level, strength, videos in sorted(levels, key=lambda one: one[0]):
                if not videos["video"].equals(clean["video"]):
                    raise ValueError(f"{kind} at level {level}: other videos than the clean ones")
                value, values = metrics.auc_logit(labels, videos["score"]), videos["score"].to_numpy()
                paired = metrics.compare(labels, clean["score"], values)
                rows.append(
                    {"network": name, "corruption": kind, "level": level, "strength": strength}
                    | {"auc": value.value, "low": value.low, "high": value.high, "drop": paired.difference}
                    | {"drop_low": paired.low, "drop_high": paired.high, "p": paired.p_value}
                    | {"real_score": values[~labels].mean(), "fake_score": values[labels].mean()}
                    | {"real": int((~labels).sum()), "fake": int(labels.sum())}
                )
    table = pd.DataFrame(rows)
    table["p_holm"] = float("nan")
    for _, own in table[table["level"] > 0].groupby("network"):
        table.loc[own.index, "p_holm"] = holm(own["p"].to_numpy())
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """`curves` in short: a row per network and corruption, the videos as they are against the strongest level."""
    rows = []
    for (name, kind), own in table.groupby(["network", "corruption"], sort=False):
        last, first = own.iloc[-1], own.iloc[0]
        clear = own[(own["level"] > 0) & (own["p_holm"] < SIGNIFICANT) & (own["drop"] > 0)]
        rows.append(
            {
                "corruption": CORRUPTIONS[kind].title,
                "network": look(name).label,
                "AUC as they are": first["auc"],
                "AUC at the strongest": last["auc"],
                "drop": last["drop"],
                "95 % from": last["drop_low"],
                "to": last["drop_high"],
                "first clear drop at": f"{clear['strength'].iloc[0]:g}" if len(clear) else "none",
            }
        )
    return pd.DataFrame(rows).sort_values("corruption", kind="stable", ignore_index=True)


def verdict(table: pd.DataFrame, name: str) -> str:
    """What `curves` says of one network: what hurts it, what doesn't, and what the scores do meanwhile."""
    own = table[table["network"] == name]
    last = own[own["level"] == own["level"].max()].sort_values("drop", ascending=False)
    clear = last[(last["p_holm"] < SIGNIFICANT) & (last["drop"] > 0)]
    parts = [
        f"{CORRUPTIONS[row.corruption].title} (to {row.auc:.3f}; "
        f"by {row.drop:.3f}, {row.drop_low:.3f} to {row.drop_high:.3f})"
        for row in clear.itertuples()
    ]
    start = own.loc[own["level"] == 0, "auc"].iloc[0]
    said = f"{look(name).label}, {start:.3f} on these videos as they are. "
    said += f"At the strongest level its AUC falls significantly with {'; '.join(parts)}. " if parts else ""
    unclear = [CORRUPTIONS[row.corruption].title for row in last.itertuples() if row.Index not in clear.index]
    if unclear:
        said += f"No significant fall at any tested strength's end: {', '.join(unclear)}. "
    first = own[own["level"] == 0].iloc[0]
    moved = last.loc[(last["real_score"] - first["real_score"]).abs().idxmax()]
    side = "up" if moved["real_score"] > first["real_score"] else "down"
    said += (
        "The AUC hides what a fixed threshold would suffer: with "
        f"{CORRUPTIONS[moved['corruption']].title} the mean score of *real* videos goes {side} from "
        f"{first['real_score']:.2f} to {moved['real_score']:.2f}."
    )
    return said + " (Paired DeLong tests, Holm's correction over all cells, 5 % level.)"
