"""One run's artefacts by name, built when missing: what the notebooks and the commands call.

Everything lies in `runs/<profile>/`:

    benchmark/                     the embedded benchmark, where the profile uses it
    faces/<part>/                  face stores
    networks/<network>-s<seed>/    checkpoint.safetensors, history.csv
    scores/<part>/                 per-face score tables (Parquet) and embeddings (npy)
    report/                        executed notebooks, HTML, figures, results.json
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dfnb import profile as profiles
from dfnb.common import devices, files, locks, processes, tuning
from dfnb.common.errors import UserError
from dfnb.data import faces
from dfnb.experiment import parameters
from dfnb.experiment.parts import Data
from dfnb.networks.variants import check
from dfnb.profile import Profile
from dfnb.scoring import metrics, score, score_table
from dfnb.training.key import is_finished, training_key

if TYPE_CHECKING:
    from torch import nn

PAIRS = ("sbi", "validation-pairs")  # scored parts that are held-out SBI pairs, which are faces


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
    tuning.wait_asleep()
    parameters.refuse_unknown()
    if isinstance(profile, Profile):
        return Run(profile)
    loaded = profiles.load(profile, overrides)
    if overrides and "name" not in overrides:
        loaded = loaded.model_copy(update={"name": f"{loaded.name}-{files.digest(dict(overrides))[:6]}"})
    return Run(loaded)


class Run(Data):
    """Artefacts of one profile. Each method builds what it needs and is missing, and reuses what is there.

    folder: where they lie, the profile's folder unless told. shared: see `Data`.
    """

    def __init__(self, profile: Profile, folder: Path | None = None, shared: Data | None = None) -> None:
        for variant, head in (*profile.train.networks, *(profile.robustness.networks or ())):
            check(variant, head)
        self.folder = folder or profile.folder
        super().__init__(profile, self.folder, shared)
        self._videos: dict[Any, pd.DataFrame] = {}  # of score tables as they are on disk, see `video_scores`
        self._results: tuple[Any, pd.DataFrame] | None = None

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
        self.require_weights(one)
        with processes.main_first():
            faces, held_out = self.store("train"), self.store("validation")
        checkpoint = self.checkpoint(one)
        what = (self.profile, one.variant, one.head, one.seed, faces, held_out)
        if not is_finished(checkpoint, training_key(*what)):
            from dfnb import training

            processes.launch(training.fit, *what, checkpoint.parent, batch=self.profile.train.batch)
        return checkpoint

    def require_weights(self, *networks: Network) -> None:
        """Raises UserError where one of them isn't trained yet and the ImageNet weights can't be had or don't fit.

        Asked first, since finding the faces of a whole set takes hours.
        """
        untrained = [one for one in networks if not self.checkpoint(one).exists()]
        if untrained and self.profile.model.pretrained:
            from dfnb import training

            training.initial_network(self.profile, untrained[0].variant, untrained[0].head, untrained[0].seed)

    def network(self, name: str, seed: int | None = None) -> "nn.Module":
        """A trained network in eval mode."""
        from dfnb import networks

        return networks.load(self.train(self.find(name, seed)))

    def history(self, name: str, seed: int | None = None) -> pd.DataFrame:
        """Learning curve of a network: step, losses, accuracy, validation AUC on held-out SBI pairs."""
        file = self.train(self.find(name, seed)).parent / "history.csv"
        try:
            table = pd.read_csv(file)
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: can't be read ({error}); remove its folder to train again") from None
        if lacking := {"step", "class_loss", "validation_auc"} - set(table):
            raise UserError(f"{file}: lacks the column {min(lacking)}; remove its folder to train again")
        return table

    def checkpoints(self) -> pd.DataFrame:
        """A row a network: network, seed, variant, head, steps, validation_auc (held-out SBI pairs), checkpoint, path.

        checkpoint: its SHA-256, as in score tables. path: of the checkpoint.
        """
        rows = []
        for one in self.networks:
            path = self.train(one)
            last = self.history(one.name, one.seed).iloc[-1]
            about = {"network": one.name, "seed": one.seed, "variant": one.variant, "head": one.head}
            learned = {"steps": int(last["step"]), "validation_auc": float(last["validation_auc"])}
            rows.append(about | learned | {"checkpoint": files.sha256_known(path), "path": str(path)})
        return pd.DataFrame(rows)

    # ---- faces ----

    def crops(self, part: str, rows: Sequence[int] | pd.Index | None = None) -> np.ndarray:
        """Faces of a part as the networks are tested on them: (N, S, S, 3) uint8 RGB.

        rows: positions in `scores` of that part, such as the index of some of its rows; all of them unless told.
        Raises UserError for held-out SBI pairs, which are made anew each time and aren't stored.
        """
        if part == "sbi":
            raise UserError("part 'sbi' holds pairs that are made when asked for: dfnb.sbi.PairDataset gives them")
        store, size = self.store(part), self.profile.model.size
        chosen = range(len(store)) if rows is None else rows
        found = [store[int(i)] for i in chosen]
        crops = [faces.crop(face.rgb, face.box, score_table.MARGIN, size) for face in found]
        return np.stack(crops) if crops else np.zeros((0, size, size, 3), np.uint8)

    # ---- scores ----

    def scores(self, part: str, name: str, seed: int | None = None) -> pd.DataFrame:
        """Per-face scores of one network on a test part.

        "sbi" is held-out SBI pairs, made of FF++ test originals, or of validation faces where there is no FF++;
        "validation-pairs" is those of validation faces, for what must be fixed before the test.
        """
        return score_table.load(self._scored(part, self.find(name, seed)))

    def _scored(self, part: str, one: Network) -> Path:
        """A network's score table of a part on disk, made now if it is missing or out of date."""
        path, about = self._score_path(part, one)
        if not score_table.is_current(path, about):
            self._score(part, one, path, about)
        return path

    def embeddings(self, part: str, name: str, seed: int | None = None) -> np.ndarray:
        """What the head sees of each face, (N, D) float32, in the order of `scores`."""
        rows = len(self.scores(part, name, seed))
        return score_table.embeddings(self._score_path(part, self.find(name, seed))[0], rows)

    def video_scores(
        self, part: str, name: str, seed: int | None = None, size_rule: bool | None = None
    ) -> pd.DataFrame:
        """One row a video: max over a frame's faces, mean over frames; videos without a face get 0.5 and frames 0.

        size_rule: drop faces under half the area of the frame's largest; the profile's setting unless told.
        """
        rule = self.profile.evaluate.size_rule if size_rule is None else size_rule
        path = self._scored(part, self.find(name, seed))
        key = (rule, path, score_table.state(path))
        if key not in self._videos:
            self._videos[key] = metrics.video_scores(score_table.load(path), rule=rule, clips=self._listed(part))
        return self._videos[key].copy()

    def results(self) -> pd.DataFrame:
        """ROC AUC of every network on every test part with 95 % intervals (`metrics.auc_logit`); also in results.csv.

        Raises UserError where a part has videos of one class only, or was scored in different ways.
        """
        made_of = [score_table.state(self._scored(part, one)) for part in self.scored_parts for one in self.networks]
        if self._results and self._results[0] == made_of and (self.folder / "results.csv").exists():
            return self._results[1].copy()
        for part in self.scored_parts:
            score_table.together((self.scores(part, one.name, one.seed) for one in self.networks), self.title(part))
        results = pd.DataFrame([row for one in self.networks for row in self.results_of(one)])
        with files.replacing(self.folder / "results.csv") as temporary:
            results.to_csv(temporary, index=False)
        self._results = (made_of, results)
        return results.copy()

    def results_of(self, one: Network) -> list[dict[str, Any]]:
        """The rows of `results` of one network: every part, by video, frame or face, with and without the size rule.

        low, high: `metrics.auc_logit`, each sample by itself; group_low, group_high: `metrics.bootstrap_auc`.
        """
        rows = []
        for part in self.scored_parts:
            table = self.scores(part, one.name, one.seed)
            about = {"network": one.name, "seed": one.seed, "part": part, "dataset": self.title(part)}
            for level, size_rule, scored in self._levels(part, one, table):
                fake = (scored["label"] == "fake").to_numpy()
                if fake.all() or not fake.any():
                    raise UserError(f"{about['dataset']}: {len(fake)} {level}s, all of one class: an AUC needs both")
                value = metrics.auc_logit(fake, scored["score"].to_numpy())
                over = (np.nan, np.nan)
                if level != "frame":
                    over = metrics.bootstrap_auc(fake, scored["score"].to_numpy(), scored["group"].to_numpy())[1:]
                rows.append(
                    about
                    | {"level": level, "size_rule": size_rule, "auc": value.value, "low": value.low, "high": value.high}
                    | dict(zip(("group_low", "group_high"), over, strict=True))
                    | {"real": int((~fake).sum()), "fake": int(fake.sum()), "checkpoint": table["checkpoint"].iloc[0]}
                )
        return rows

    def _levels(self, part: str, one: Network, table: pd.DataFrame) -> list[tuple[str, bool, pd.DataFrame]]:
        """What results show of a table of faces: (level, face-size rule, units); of SBI pairs the faces alone."""
        if part in PAIRS:
            return [("face", False, table)]
        return [
            ("video", True, self.video_scores(part, one.name, one.seed, size_rule=True)),
            ("video", False, self.video_scores(part, one.name, one.seed, size_rule=False)),
            ("frame", True, metrics.frame_scores(table, rule=True)),
        ]

    @property
    def scored_parts(self) -> tuple[str, ...]:
        """What every network is scored on: held-out SBI pairs, and the tests there are data for."""
        return ("sbi", *self.tests)

    def is_done(self, one: Network) -> bool:
        """Whether a network is trained and scored on everything. Neither trains nor scores."""
        what = (self.profile, one.variant, one.head, one.seed, self.store("train"), self.store("validation"))
        if not is_finished(self.checkpoint(one), training_key(*what)):
            return False
        return all(score_table.is_current(*self._score_path(part, one)) for part in self.scored_parts)

    def checkpoint(self, one: Network) -> Path:
        """Where a network's weights lie once it is trained."""
        return self.folder / "networks" / one.folder / "checkpoint.safetensors"

    def _listed(self, part: str) -> pd.DataFrame | None:
        """All videos of a part, for those without a face; None for held-out SBI pairs, which are faces."""
        return None if part in PAIRS else self.clips(part)

    def _scored_store(self, part: str) -> str:
        """The part whose faces are scored for `part`."""
        return {"sbi": self.pairs_from, "validation-pairs": "validation"}.get(part, part)

    def _score_path(self, part: str, one: Network) -> tuple[Path, dict[str, str]]:
        store = self.store(self._scored_store(part))
        pairs, size = self.profile.sbi.model_dump() if part in PAIRS else None, self.profile.model.size
        how = devices.here(self.profile.evaluate.precision, size)
        about = {"network": one.name, "checkpoint": files.sha256_known(self.train(one)), "store": store.digest}
        about["protocol"] = score_table.describe(store.settings, size, pairs, how)
        return self.folder / "scores" / part / f"{one.folder}.parquet", about

    def _score(self, part: str, one: Network, path: Path, about: dict[str, str]) -> None:
        with locks.exclusive(path.parent, "scoring", (one.folder,), f".{one.folder}.lock"):
            self._score_alone(part, one, path, about)

    def _score_alone(self, part: str, one: Network, path: Path, about: dict[str, str]) -> None:
        from dfnb import networks, scoring
        from dfnb.sbi import PairDataset, SelfBlender

        evaluate, size = self.profile.evaluate, self.profile.model.size
        net = networks.load(self.train(one)).to(devices.device())
        what = f"score {one.folder} on {part}"
        if part in PAIRS:
            store = self.store(self._scored_store(part))
            real = store.subset((store.manifest["label"] == "real").to_numpy())
            blender = SelfBlender(**self.profile.sbi.model_dump())
            pairs = PairDataset(real, size=size, seed=0, train=False, mean=net.mean, std=net.std, blender=blender)
            scored = scoring.score_pairs(net, pairs, what=what, precision=evaluate.precision)
        else:
            scored = scoring.score_store(net, self.store(part), size, evaluate.batch, what, evaluate.precision)
        score.save(scored, path, about)

    # ---- everything ----

    def everything(self) -> pd.DataFrame:
        """Build all that the notebooks show, in the order of the report; returns `results`."""
        self.require_weights(*self.networks)
        for part in self.parts:
            self.store(part)
        for one in self.networks:
            self.train(one)
        return self.results()
