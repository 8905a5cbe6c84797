"""One run's artefacts by name, built when missing: what the notebooks and the commands call.

Everything lies in `runs/<profile>/`:

    benchmark/                     the embedded benchmark, where the profile uses it
    faces/<part>/                  face stores
    networks/<network>-s<seed>/    checkpoint.safetensors, history.csv
    scores/<part>/                 per-face score tables (Parquet) and embeddings (npy)
    report/                        executed notebooks, HTML, figures, results.json
"""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from dfnb import clips as catalogues
from dfnb import faces as face_finding
from dfnb import files, metrics, parameters, processes
from dfnb import profile as profiles
from dfnb import store as stores
from dfnb.errors import UserError
from dfnb.profile import Profile
from dfnb.store import FaceStore

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

PARTS = {
    "train": "real faces to train on",
    "validation": "real faces for held-out SBI pairs",
    "validation-fakes": "manipulated validation videos, for diagnosis only",
    "ff": "FF++ test videos, originals and manipulations",
    "celeb-df": "Celeb-DF test videos",
    "ffiw": "FFIW validation videos, the part that is evaluated",
}
TESTS = ("ff", "celeb-df", "ffiw")


@dataclass(frozen=True)
class Network:
    """A network of the comparison: variant (which taps) and head."""

    variant: str
    head: str
    seed: int

    @property
    def name(self) -> str:
        """Such as "proposed-arcface"; all seeds of a network share it."""
        return f"{self.variant}-{self.head}"

    @property
    def folder(self) -> str:
        """Name of its folder in a run."""
        return f"{self.name}-s{self.seed}"


def open_run(profile: str | Path | Profile, overrides: Mapping[str, Any] | None = None) -> "Run":
    """Open a run by its profile (a name, a path, or a loaded one). Nothing is built until it is asked for.

    With overrides the run gets a folder of its own, so that it can't be taken for the profile's.
    """
    parameters.refuse_unknown()
    if isinstance(profile, Profile):
        return Run(profile)
    loaded = profiles.load(profile, overrides)
    if overrides and "name" not in overrides:
        loaded = loaded.model_copy(update={"name": f"{loaded.name}-{files.digest(dict(overrides))[:6]}"})
    return Run(loaded)


class Run:
    """Artefacts of one profile. Each method builds what it needs and is missing, and reuses what is there."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.folder = profile.folder
        self.jobs: int | None = profile.jobs  # None: where faces are found is up to joblib.parallel_config
        self._stores: dict[str, FaceStore] = {}
        self._coverages: dict[str, stores.Coverage] = {}

    @property
    def embedded(self) -> bool:
        """Whether the videos are the embedded benchmark's: rendered heads, no real people."""
        return self.profile.data.source == "embedded"

    # ---- data ----

    @cached_property
    def roots(self) -> dict[str, Path]:
        """The folders of the sets, by name; builds the embedded benchmark where the profile uses it."""
        data = self.profile.data
        if not self.embedded:
            named = {"faces": data.faces, "ff": data.face_forensics, "celeb-df": data.celeb_df, "ffiw": data.ffiw}
            return {name: profiles.resolve(root) for name, root in named.items() if root is not None}
        out = self.benchmark
        return {
            "ff": out / "FaceForensics++",
            "celeb-df": out / "Celeb-DF-v2",
            "ffiw": out / "FFIW10K-v1-release",
        }

    @cached_property
    def benchmark(self) -> Path:
        """The embedded benchmark's folder, built now where it is missing or of other settings or another version.

        Raises UserError where the profile reads folders instead.
        """
        if not self.embedded:
            raise UserError(f"profile {self.profile.name} reads videos from folders: it has no embedded benchmark")
        from dfnb.demo import build

        out = self.folder / "benchmark"
        if not processes.is_main():
            return out
        if not build.is_current(out, self.profile.demo):
            log.info("%s: of other settings or another version, built anew", out)
            shutil.rmtree(out)
        build.build(out, self.profile.demo, jobs=self.profile.jobs)
        return out

    @cached_property
    def landmark_model(self) -> Path:
        """dlib's 68-point model, its hash checked; asked for first, so that a missing one is named before long work."""
        path = self.profile.faces.landmarks
        return face_finding.landmark_model(profiles.resolve(path) if path else None)

    @property
    def tests(self) -> tuple[str, ...]:
        """The test parts this profile has data for."""
        return tuple(part for part in TESTS if part in self.roots)

    def clips(self, part: str) -> pd.DataFrame:
        """The catalogue of a part (see PARTS): one row a video, labels from paths and lists."""
        data = self.profile.data
        if part not in PARTS:
            raise UserError(f"no part {part!r} in a run: use one of {', '.join(PARTS)}")
        if part == "celeb-df":
            return catalogues.celeb_df(self._root(part))
        if part == "ffiw":
            return catalogues.ffiw(self._root(part))
        if part in ("train", "validation") and data.faces is not None:
            return catalogues.real_faces(self._root("faces"), data.person, data.held_out)[part]
        split = {"train": "train", "ff": "test"}.get(part, "val")
        methods = ("original",) if part in ("train", "validation") else ("original", *data.manipulations)
        return catalogues.face_forensics(self._root("ff"), split, data.compression, methods)

    def _root(self, name: str) -> Path:
        if name not in self.roots:
            setting = {"ff": "face_forensics", "celeb-df": "celeb_df", "ffiw": "ffiw"}[name]
            raise UserError(f"profile {self.profile.name}: data.{setting} isn't set; give the set's root folder")
        return self.roots[name]

    def prepare(self, part: str) -> stores.Coverage:
        """Detect and store the faces of a part; what is there already is kept. Returns its coverage report."""
        coverage = stores.prepare(self.clips(part), self.folder / "faces" / part, **self._how(part))
        self._coverages[part] = coverage
        return coverage

    def _covered(self, part: str) -> stores.Coverage:
        return self._coverages.get(part) or self.prepare(part)

    def estimate(self, part: str) -> stores.Estimate:
        """What preparing a part will still take, from a few of its videos."""
        return stores.estimate(self.clips(part), self.folder / "faces" / part, **self._how(part))

    def _how(self, part: str) -> dict[str, Any]:
        data, faces = self.profile.data, self.profile.faces
        frames = {"train": data.train_frames, "validation": data.validation_frames}
        return {
            "frames": (frames | {"validation-fakes": data.validation_frames}).get(part, data.test_frames),
            "jobs": self.jobs,
            "keep": "largest" if part in ("train", "validation") else "all",
            "upsample": faces.upsample,
            "longest_side": faces.longest_side,
            "landmarks": self.landmark_model,
        }

    def store(self, part: str) -> FaceStore:
        """The face store of a part."""
        if part not in self._stores:
            if processes.is_main():
                self._covered(part)
            self._stores[part] = stores.open(self.folder / "faces" / part)
        return self._stores[part]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the report: training, validation, and the tests there are data for."""
        return ("train", "validation", *self.tests)

    def coverage(self) -> pd.DataFrame:
        """What was listed, opened, decoded and found in every part, a row per part, dataset and method."""
        tables = [self._covered(part).table().assign(part=part) for part in self.parts]
        table = pd.concat(tables, ignore_index=True)
        table["dataset"] += np.where(table["subset"], " (subset)", "")
        return table[["part", *[column for column in table.columns if column != "part"]]]

    def problems(self) -> pd.DataFrame:
        """Videos that are missing from this copy, unreadable, damaged or without a face, and why: a row each."""
        tables = [self._covered(part).problems.assign(part=part) for part in self.parts]
        return pd.concat(tables, ignore_index=True)[["part", "dataset", "method", "video", "path", "lost", "reason"]]

    # ---- networks ----

    @property
    def networks(self) -> list[Network]:
        """The networks of the comparison, all seeds, in the profile's order."""
        train = self.profile.train
        return [Network(variant, head, seed) for seed in train.seeds for variant, head in train.networks]

    def find(self, name: str, seed: int | None = None) -> Network:
        """A network by its name, such as "proposed-arcface"; the first seed unless told."""
        for one in self.networks:
            if one.name == name and seed in (None, one.seed):
                return one
        known = ", ".join(dict.fromkeys(one.name for one in self.networks))
        raise UserError(f"no network {name!r} (seed {seed}) in profile {self.profile.name}: it has {known}")

    def train(self, one: Network) -> Path:
        """The checkpoint of a network, trained now if it isn't yet; a finished training is reused."""
        from dfnb import train

        with processes.main_first():
            faces, held_out = self.store("train"), self.store("validation")
        folder = self.folder / "networks" / one.folder
        checkpoint = folder / "checkpoint.safetensors"
        what = (self.profile, one.variant, one.head, one.seed, faces, held_out)
        if not train.is_finished(checkpoint, train.training_key(*what)):
            processes.launch(train.fit, *what, folder, batch=self.profile.train.batch)
        return checkpoint

    def network(self, name: str, seed: int | None = None) -> "nn.Module":
        """A trained network in eval mode."""
        from dfnb import network

        return network.load(self.train(self.find(name, seed)))

    def history(self, name: str, seed: int | None = None) -> pd.DataFrame:
        """Learning curve of a network: step, losses, accuracy, validation AUC on held-out SBI pairs."""
        checkpoint = self.train(self.find(name, seed))
        return pd.read_csv(checkpoint.parent / "history.csv")

    # ---- scores ----

    def scores(self, part: str, name: str, seed: int | None = None) -> pd.DataFrame:
        """Per-face scores of one network on a test part.

        "sbi" is held-out SBI pairs, made of FF++ test originals, or of validation faces where there is no FF++.
        """
        one = self.find(name, seed)
        path, about = self._score_path(part, one)
        if not self._is_current(path, about):
            self._score(part, one, path, about)
        return pd.read_parquet(path)

    def embeddings(self, part: str, name: str, seed: int | None = None) -> np.ndarray:
        """What the head sees of each face, (N, D) float32, in the order of `scores`."""
        self.scores(part, name, seed)
        return np.load(self._score_path(part, self.find(name, seed))[0].with_suffix(".npy"))

    def video_scores(
        self, part: str, name: str, seed: int | None = None, size_rule: bool | None = None
    ) -> pd.DataFrame:
        """One row a video: max over a frame's faces, mean over frames; videos without a face get 0.5 and frames 0.

        size_rule: drop faces under half the area of the frame's largest; the profile's setting unless told.
        """
        rule = self.profile.evaluate.size_rule if size_rule is None else size_rule
        return metrics.video_scores(self.scores(part, name, seed), rule=rule, clips=self._listed(part))

    def results(self) -> pd.DataFrame:
        """ROC AUC of every network on every test part with 95 % intervals; also in results.csv."""
        path = self.folder / "results.csv"
        rows = []
        parts = {part: (self.title(part), self._listed(part)) for part in ("sbi", *self.tests)}
        for one in self.networks:
            for part, (title, listed) in parts.items():
                table = self.scores(part, one.name, one.seed)
                for level, size_rule, scored in _levels(table, listed):
                    value = metrics.auc((scored["label"] == "fake").to_numpy(), scored["score"].to_numpy())
                    rows.append(
                        {
                            "network": one.name,
                            "seed": one.seed,
                            "part": part,
                            "dataset": title,
                            "level": level,
                            "size_rule": size_rule,
                            "auc": value.value,
                            "low": value.low,
                            "high": value.high,
                            "real": int((scored["label"] == "real").sum()),
                            "fake": int((scored["label"] == "fake").sum()),
                            "checkpoint": table["checkpoint"].iloc[0],
                        }
                    )
        results = pd.DataFrame(rows)
        with files.replacing(path) as temporary:
            results.to_csv(temporary, index=False)
        return results

    def title(self, part: str) -> str:
        """The part's set as tables and figures name it; a copy that isn't whole says "subset"."""
        return catalogues.title(self.clips(self._pairs_from if part == "sbi" else part))

    @property
    def _pairs_from(self) -> str:
        """The part whose real faces give the held-out SBI pairs."""
        return "ff" if "ff" in self.roots else "validation"

    def _listed(self, part: str) -> pd.DataFrame | None:
        """All videos of a part, for those without a face; None for held-out SBI pairs, which are faces."""
        return None if part == "sbi" else self.clips(part)

    def _score_path(self, part: str, one: Network) -> tuple[Path, dict[str, str]]:
        store = self.store(self._pairs_from if part == "sbi" else part)
        about = {"network": one.name, "checkpoint": files.sha256(self.train(one)), "store": store.digest}
        return self.folder / "scores" / part / f"{one.folder}.parquet", about

    @staticmethod
    def _is_current(path: Path, about: dict[str, str]) -> bool:
        if not (path.exists() and path.with_suffix(".npy").exists()):
            return False
        if not set(about) <= set(pq.read_schema(path).names):
            return False
        stamps = pd.read_parquet(path, columns=list(about)).drop_duplicates()
        return len(stamps) == 1 and stamps.iloc[0].to_dict() == about

    def _score(self, part: str, one: Network, path: Path, about: dict[str, str]) -> None:
        from dfnb import network, score
        from dfnb.sbi import PairDataset, SelfBlender

        net, size = network.load(self.train(one)), self.profile.model.size
        what = f"score {one.folder} on {part}"
        if part == "sbi":
            store = self.store(self._pairs_from)
            real = store.subset((store.manifest["label"] == "real").to_numpy())
            blender = SelfBlender(**self.profile.sbi.model_dump())
            pairs = PairDataset(real, size=size, seed=0, train=False, mean=net.mean, std=net.std, blender=blender)
            scored = score.score_pairs(net, pairs, what=what)
        else:
            scored = score.score_store(net, self.store(part), size, self.profile.evaluate.batch, what)
        score.save(scored, path, about)

    # ---- everything ----

    def data_digest(self) -> str:
        """A hash of all faces the run holds."""
        return files.digest([self.store(part).digest for part in self.parts])

    def everything(self) -> pd.DataFrame:
        """Build all that the notebooks show, in the order of the report; returns `results`."""
        for part in self.parts:
            self.store(part)
        for one in self.networks:
            self.train(one)
        return self.results()


def _levels(table: pd.DataFrame, listed: pd.DataFrame | None) -> list[tuple[str, bool, pd.DataFrame]]:
    """Per-face scores as results show them: (level, face-size rule, units); faces alone where no videos are listed."""
    if listed is None:
        return [("face", False, table)]
    return [
        ("video", True, metrics.video_scores(table, rule=True, clips=listed)),
        ("video", False, metrics.video_scores(table, rule=False, clips=listed)),
        ("frame", True, metrics.frame_scores(table, rule=True)),
    ]
