"""AUC of the networks as the test videos get worse: every corruption of `corruptions`, at every strength.

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
from dfnb.analysis.findings import NOTHING
from dfnb.common import code, devices, faults, files, loading, tuning
from dfnb.common.errors import UserError
from dfnb.common.randomness import generator
from dfnb.data import faces, frames
from dfnb.data.store import FaceStore
from dfnb.plots import tables
from dfnb.plots.style import evenly, look
from dfnb.plots.tables import SIGNIFICANT
from dfnb.scoring import comparisons, metrics, score, score_table

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

log = logging.getLogger(__name__)
VERSION = 1  # raised when scores made before can't be used any more


def names(run: "Run") -> list[str]:
    """The networks whose robustness is measured, as the profile says."""
    wanted = run.profile.robustness.networks
    if wanted is None:
        return tables.names(run)
    return [run.find(f"{variant}-{head}").name for variant, head in wanted]


def part(run: "Run") -> str:
    """The test part whose videos are corrupted. Raises UserError where the run has no data for it."""
    wanted = run.profile.robustness.part
    if wanted not in run.tests:
        raise UserError(f"robustness.part is {wanted!r}, and profile {run.profile.name} has no data for it")
    return wanted


def strength_table(run: "Run") -> pd.DataFrame:
    """How strongly each corruption is applied, from mild (1) on: a row a corruption."""
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
        faces_ = table[table["label"] == label]
        paths = faces_["path"].unique()
        for path in paths[evenly(len(paths), len(paths) if videos is None else max(1, videos // 2))]:
            rows = faces_[faces_["path"] == path]
            indices = rows["frame"].unique()
            wanted = indices if frames_ is None else indices[frames.places(len(indices), frames_)]
            kept.append(rows.index[rows["frame"].isin(wanted)].to_numpy())
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

    @property
    def nbytes(self) -> int:
        """Bytes of the largest item's crops."""
        most = max((sum(len(rows) for *_, rows in item) for item in self.items), default=0)
        return most * len(self.strengths) * self.size**2 * 3

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        crops = [self._frame(*place) for place in self.items[index]]
        return np.concatenate(crops), np.concatenate([rows for _, _, rows in self.items[index]])

    def _frame(self, path: Path, frame: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        kind = CORRUPTIONS[self.kind]
        stretch = read(path, frame, kind.stretch)
        key = (self.seed, zlib.crc32(path.name.encode()), frame)
        boxes = self.store.manifest.iloc[rows][["x0", "y0", "x1", "y1"]].to_numpy(float)
        out = np.empty((len(rows), len(self.strengths), self.size, self.size, 3), np.uint8)
        for k, strength in enumerate(self.strengths):
            rgb = kind.apply(stretch, strength, generator("corruption", *key))
            for j, box in enumerate(boxes):
                out[j, k] = faces.crop(rgb, tuple(box), score_table.MARGIN, self.size)
        return out


def read(path: str | Path, frame: int, count: int) -> NDArray[np.uint8]:
    """The frame and up to count - 1 before it, (N, H, W, 3). Raises UserError where the frame can't be decoded."""
    stretch = list(frames.at(path, range(max(0, frame - count + 1), frame + 1)))
    if not stretch or stretch[-1][0] != frame:
        raise UserError(f"{path}: frame {frame} can't be decoded any more; run `dfnb prepare` again")
    return np.stack([rgb for _, rgb in stretch])


def scores(run: "Run", kind: str) -> dict[str, pd.DataFrame]:
    """Per-face scores of every network under one corruption, by network; what is there already is kept.

    A row a face and strength: the columns of `Run.scores`, and corruption, level (1, 2, ...), strength.
    """
    settings, part_ = run.profile.robustness, part(run)
    whole = run.store(part_)
    store = whole.subset(chosen(whole.manifest, settings.videos, settings.frames))
    levels = corruptions.strengths(settings, kind)
    protocol = f"; {kind} {', '.join(f'{value:g}' for value in levels)}, seed {run.profile.seed}, version {VERSION}"
    protocol += f", code {code.digest_of('analysis.robustness', 'analysis.corruptions', 'data.frames')}"
    paths, stamps = {}, {}
    for name in names(run):
        network = run.find(name)
        run.trained(network)
        paths[name] = run.folder / "scores" / f"{part_}-corrupted" / kind / f"{network.folder}.parquet"
        stamps[name] = run.stamps(part_, network, protocol) | {"store": store.digest}
    states = {name: score_table.state_of(path, stamps[name], embeddings=False) for name, path in paths.items()}
    wanted = [
        name for name in paths if run.may_make(f"{paths[name]}: the score table", states[name], run.command("report"))
    ]
    if wanted:
        found, made_with = _score(run, store, kind, levels, wanted)
        for name in wanted:
            with files.replacing(paths[name]) as temporary:
                score_table.write(temporary, found[name].assign(**stamps[name]), made_with)
    return {name: score_table.load(path) for name, path in paths.items()}


def _score(
    run: "Run", store: FaceStore, kind: str, strengths: Sequence[float], networks: Sequence[str]
) -> tuple[dict[str, pd.DataFrame], Mapping[str, Any]]:
    """Scores of some networks, each crop made once for all of them; and what made them."""
    import torch

    from dfnb.sbi import init_worker
    from dfnb.scoring.inference import Scorer

    batch = run.profile.evaluate.batch
    data = Corrupted(store, kind, strengths, run.profile.model.size, run.profile.seed, batch)
    workers = max(1, run.profile.processes // 2)
    loader = loading.batches(data, data.nbytes, workers, batch_size=None, worker_init_fn=init_worker)
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

    Columns: network, corruption, level, strength (NaN at level 0), auc, low, high (95 %, `metrics.auc_groups`), drop
    (AUC of the same videos as they are, minus this), drop_low, drop_high, p (paired, over groups), p_holm (corrected
    for all cells of a network, Holm 1979), real_score and fake_score (mean scores of the videos), real, fake (videos).
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
            for level, strength, videos in sorted(levels, key=lambda entry: entry[0]):
                if not videos["video"].equals(clean["video"]):
                    raise ValueError(f"{kind} at level {level}: other videos than the clean ones")
                values, groups = videos["score"].to_numpy(), videos["group"].to_numpy()
                value = metrics.auc_groups(labels, values, groups)
                paired = comparisons.with_seeds(comparisons.over_groups(labels, clean["score"], values, groups), None)
                rows.append(
                    {"network": name, "corruption": kind, "level": level, "strength": strength}
                    | {"auc": value.value, "low": value.low, "high": value.high, "drop": paired.difference}
                    | {"drop_low": paired.low, "drop_high": paired.high, "p": paired.p_value}
                    | {"real_score": values[~labels].mean(), "fake_score": values[labels].mean()}
                    | {"real": int((~labels).sum()), "fake": int(labels.sum())}
                )
    table = pd.DataFrame(rows)
    table["p_holm"] = float("nan")
    for _, rows in table[table["level"] > 0].groupby("network"):
        table.loc[rows.index, "p_holm"] = comparisons.holm(rows["p"].to_numpy())
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """`curves` in short: a row per network and corruption, the videos as they are against the strongest level."""
    rows = []
    for (name, kind), cells in table.groupby(["network", "corruption"], sort=False):
        last, first = cells.iloc[-1], cells.iloc[0]
        clear = cells[(cells["level"] > 0) & (cells["p_holm"] < SIGNIFICANT) & (cells["drop"] > 0)]
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


def finding(table: pd.DataFrame, name: str) -> str:
    """From `curves`, for one network: which corruptions lower its AUC, and which moves real videos' scores most."""
    rows = table[table["network"] == name]
    clean, last = rows[rows["level"] == 0].iloc[0], rows[rows["level"] == rows["level"].max()]
    clear = last[(last["p_holm"] < SIGNIFICANT) & (last["drop"] > 0)].sort_values("drop", ascending=False)
    falls = ", ".join(f"{CORRUPTIONS[row.corruption].title} (by {row.drop:.3f})" for row in clear.itertuples())
    moved = last.loc[(last["real_score"] - clean["real_score"]).abs().idxmax()]
    return (
        f"{look(name).label}: at the strongest level the AUC falls significantly with **{len(clear)} of {len(last)}**"
        f"{': ' + falls if falls else f', so {NOTHING}'}. The mean score of *real* videos moves most with "
        f"{CORRUPTIONS[moved['corruption']].title}: from {clean['real_score']:.2f} to {moved['real_score']:.2f}."
    )
