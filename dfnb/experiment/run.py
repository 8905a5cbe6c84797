"""One run's results by name, made where that is allowed: what the notebooks and the commands call.

Everything lies in `runs/<profile>/`:

    benchmark/                     the embedded benchmark, where the profile uses it
    faces/<part>/                  face stores
    networks/<network>-s<seed>/    checkpoint.safetensors, history.csv
    scores/<part>/                 per-face score tables (Parquet) and embeddings (npy); of ensembles tables alone
    judged/<name>/                 score tables of another's detector, a table a part; judged.json says whose
    checkpoints/<checkpoint>/      the same of a checkpoint from elsewhere, by its SHA-256, a table a part; results.csv
    report/                        executed notebooks, HTML, figures, results.json
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfnb import profile as profiles
from dfnb.common import devices, files, locks, processes, tuning
from dfnb.common.errors import UserError
from dfnb.data import faces
from dfnb.experiment import jobs, parameters
from dfnb.experiment.artefacts import PAIRS, Artefacts, Ensemble, Given, Judged, Mirrored, Network, Scored
from dfnb.experiment.parts import Parts
from dfnb.networks.checkpoint import trained_for
from dfnb.profile import Profile
from dfnb.scoring import metrics, score_table

if TYPE_CHECKING:
    from torch import nn

    from dfnb.sbi import PairDataset

log = logging.getLogger(__name__)


def open_run(
    profile: str | Path | Profile, overrides: Mapping[str, Any] | None = None, build: str = "nothing"
) -> "Run":
    """Open a run by its profile (a name, a path, or a loaded one).

    With overrides the run gets a folder of its own, so that it can't be taken for the profile's.
    build: what may be made when it is asked for. "nothing": the run is only read. "scores": faces and scores.
        "missing": whatever doesn't exist yet, trainings too; before what is out of date it stops. "all": that, too.
    """
    tuning.wait_asleep()
    parameters.refuse_unknown()
    if isinstance(profile, Profile):
        return Run(profile, build=build)
    loaded = profiles.load(profile, overrides)
    if overrides and "name" not in overrides:
        loaded = loaded.model_copy(update={"name": f"{loaded.name}-{files.digest(dict(overrides))[:6]}"})
    return Run(loaded, build=build)


class Run(Artefacts):
    """The results of one profile. See `Artefacts` for where things lie and `Parts` for what is made when."""

    def __init__(
        self, profile: Profile, folder: Path | None = None, shared: Parts | None = None, build: str = "nothing"
    ) -> None:
        super().__init__(profile, folder, shared, build)
        tuning.small_tables()
        self.threads = profile.threads  # of trainings and scoring; a sweep may be asked for others
        self._videos: dict[Any, pd.DataFrame] = {}  # of score tables as they are on disk, see `video_scores`
        self._results: tuple[Any, pd.DataFrame] | None = None

    # ---- networks ----

    def train(self, network: Network) -> Path:
        """The checkpoint of a network, trained now unless it is current."""
        self.require_weights(network)
        with processes.main_first():
            what = self.training_of(network)
        checkpoint = self.checkpoint(network)
        if self.training_state(network) != "current":
            from dfnb import training

            gpus = len(devices.hardware().gpus)
            with tuning.threads(self.threads):
                processes.launch(training.fit, *what, checkpoint.parent, batch=self.profile.train.batch, gpus=gpus)
        with processes.main_first():
            if processes.is_main():
                with tuning.threads(self.threads):
                    self._keep_real_people(network)
        return checkpoint

    def _keep_real_people(self, network: Network) -> None:
        """Score the held-out real faces once a network is trained, and keep that with its weights.

        So `dfnb score` can say what a score means among real people, wherever the checkpoint goes.
        """
        from dfnb import networks
        from dfnb.scoring import real_people, score

        path, store = self.checkpoint(network), self.store("validation")
        about = networks.metadata(path)
        if "real_people" in about:
            return
        net, evaluate = networks.load(path).to(devices.scoring_device()), self.profile.evaluate
        what = f"score real people with {network.folder}"
        scored = score.score_store(
            net, store, self.input_size(network), evaluate.batch, what, evaluate.precision, evaluate.workers
        )
        networks.save(net, path, about | {"real_people": real_people.record(scored, store)})

    def trained(self, network: Scored) -> Path:
        """The checkpoint of a network, trained now where that is allowed (see `Parts`).

        Raises UserError for an ensemble or somebody's detector: there are only scores of these.
        """
        if not isinstance(network, Network):
            raise UserError(f"{network.name}: of it there are scores alone, and no network")
        if self._may_train(network):
            self.train(network)
        return self.checkpoint(network)

    def _may_train(self, network: Network) -> bool:
        """Whether a network is to be trained now. Raises UserError where it must be and may not."""
        state = self.training_state(network)
        what = f"{self.checkpoint(network)}: the network {network.name} (seed {network.seed})"
        if state == "outdated":
            what += f" ({self.training_changes(network)})"
        return self.may_make(what, state, self.command("train"), training=True)

    def require_weights(self, *networks: Network) -> None:
        """Raises UserError where one isn't trained yet and can't be built, or its published weights can't be had.

        Asked first, since finding the faces of a whole set takes hours.
        """
        untrained = self.untrained(networks)
        if untrained:
            from dfnb import training

            training.initial_network(self.profile, untrained[0].variant, untrained[0].head, untrained[0].seed)

    def network(self, name: str, seed: int | None = None) -> "nn.Module":
        """A trained network in eval mode, on the device it scores on."""
        from dfnb import networks

        return networks.load(self.trained(self.find(name, seed))).to(devices.scoring_device())

    def history(self, name: str, seed: int | None = None) -> pd.DataFrame:
        """Learning curve of a network: step, losses, accuracy, validation AUC on held-out SBI pairs."""
        file = self.trained(self.find(name, seed)).parent / "history.csv"
        table = files.read_csv(file, "remove its folder to train again")
        if lacking := {"step", "class_loss", "validation_auc"} - set(table):
            raise UserError(f"{file}: lacks the column {min(lacking)}; remove its folder to train again")
        return table

    def checkpoints(self) -> pd.DataFrame:
        """A row a network: network, seed, variant, head, steps, validation_auc (held-out SBI pairs), checkpoint, path.

        checkpoint: its SHA-256, as in score tables. path: of the checkpoint.
        """
        rows = []
        for network in self.networks:
            path = self.trained(network)
            last = self.history(network.name, network.seed).iloc[-1]
            about = {"network": network.name, "seed": network.seed, "variant": network.variant, "head": network.head}
            learned = {"steps": int(last["step"]), "validation_auc": float(last["validation_auc"])}
            rows.append(about | learned | {"checkpoint": files.sha256_known(path), "path": str(path)})
        return pd.DataFrame(rows)

    # ---- faces ----

    def pairs(self, part: str = "train", seed: int | None = None) -> "PairDataset":
        """The self-blended pairs of a part, as networks see them.

        "train": those that networks learn from; "validation": held-out pairs they are validated on; "sbi" and
        "validation-pairs": held-out pairs they are scored on (see `scores`). seed: of the training, the profile's first
        by default.
        """
        from dfnb import networks, training

        mean, std = networks.normalisation(self.profile.model.backbone, self.profile.model.normalise)
        store = self.store(self.scored_store(part))
        if part in PAIRS:
            store, seed = store.subset((store.manifest["label"] == "real").to_numpy()), 0
        elif seed is None:
            seed = self.profile.train.seeds[0]
        return training.pairs_of(self.profile, store, seed, part == "train", mean, std)

    def crops(self, part: str, rows: Sequence[int] | pd.Index | None = None) -> np.ndarray:
        """Faces of a part as the networks are tested on them: (N, S, S, 3) uint8 RGB.

        rows: positions in `scores` of that part, such as the index of some of its rows; all of them by default.
        Raises UserError for held-out SBI pairs, which are made anew each time and aren't stored.
        """
        if part in PAIRS:
            raise UserError(f"part {part!r} holds pairs that are made when asked for: run.pairs({part!r}) gives them")
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

    def _scored(self, part: str, network: Scored | Mirrored | Given) -> Path:
        """A network's score table of a part on disk, scored now where that is allowed."""
        command, lock = self.command("evaluate"), ".lock"
        if isinstance(network, Judged):
            return self._judged(part, network)
        if isinstance(network, Given):
            self.clips(part)  # names a part that can't be, held-out SBI pairs too
            command += f" --checkpoint {network.path}"
        else:
            for member in network.members if isinstance(network, Ensemble) else (network,):
                self.trained(member.network if isinstance(member, Mirrored) else member)
            lock = f".{network.folder}.lock"  # others may be scored on this part meanwhile
        path, state = self.score_path(part, network), self.score_state(part, network)
        if self.may_make(f"{path}: the score table", state, command):
            # of two notebooks that need the same table the first makes it, and the other waits
            with locks.exclusive(path.parent, "scoring", (path.stem,), lock, wait=True), tuning.threads(self.threads):
                if self.score_state(part, network) != "current":
                    self._score(part, network, path)
        return path

    def _judged(self, part: str, network: Judged) -> Path:
        if part not in network.parts:
            raise UserError(f"{network.name} has no scores of the part {part}; it has {', '.join(network.parts)}")
        path = self.score_path(part, network)
        if self.score_state(part, network) != "current":
            raise UserError(f"{path}: missing or of other videos; run `dfnb judge` again, or delete its folder")
        return path

    def _score(self, part: str, network: Network | Ensemble | Mirrored | Given, path: Path) -> None:
        from dfnb import networks
        from dfnb.scoring import ensembles, score

        if isinstance(network, Ensemble):
            paths = [self._scored(part, member) for member in network.members]
            ensembles.save_mean(paths, path, self.stamps(part, network))
            return
        evaluate = self.profile.evaluate
        how = {"precision": evaluate.precision, "workers": evaluate.workers}
        of = network.network if isinstance(network, Mirrored) else network
        net = networks.load(self.checkpoint(of)).to(devices.scoring_device())
        if isinstance(network, Mirrored):
            net = ensembles.Mirror(net)
        what = f"score {network.name if isinstance(network, Given) else network.folder} on {part}"
        if part in PAIRS:
            scored = score.score_pairs(net, self.pairs(part), what=what, **how)
        else:
            scored = score.score_store(net, self.store(part), self.input_size(of), evaluate.batch, what, **how)
        score.save(scored, path, self.stamps(part, network))

    def embeddings(self, part: str, name: str, seed: int | None = None) -> np.ndarray:
        """What the head sees of each face, (N, D) float32, in the order of `scores`."""
        network = self.find(name, seed)
        if not isinstance(network, Network):
            raise UserError(f"{name}: of it there are scores alone, and no embeddings")
        return score_table.embeddings(self._scored(part, network), len(self.scores(part, name, seed)))

    def video_scores(
        self, part: str, name: str, seed: int | None = None, size_rule: bool | None = None
    ) -> pd.DataFrame:
        """One row a video: max over a frame's faces, mean over frames; videos without a face get 0.5 and frames 0.

        size_rule: drop faces under half the area of the frame's largest; by default as the profile says.
        """
        return self._video_scores(part, self.find(name, seed), size_rule)

    def _video_scores(self, part: str, network: Scored | Given, size_rule: bool | None = None) -> pd.DataFrame:
        rule = self.profile.evaluate.size_rule if size_rule is None else size_rule
        path = self._scored(part, network)
        key = (rule, path, score_table.state(path))
        if key not in self._videos:
            self._videos[key] = metrics.video_scores(score_table.load(path), rule=rule, clips=self.listed(part))
        return self._videos[key].copy()

    def pair_accuracy(self, part: str, name: str, seed: int | None = None) -> metrics.PairAccuracy:
        """How often a fake video scores higher than its original, see `metrics.pair_accuracy`."""
        return _pair_accuracy(self.video_scores(part, name, seed))

    # ---- a checkpoint from elsewhere ----

    def checkpoint_scores(self, part: str, checkpoint: str | Path) -> pd.DataFrame:
        """As `scores`, of any checkpoint of ours on a test part; network: the first 12 digits of its SHA-256."""
        return score_table.load(self._scored(part, Given(Path(checkpoint))))

    def checkpoint_video_scores(self, part: str, checkpoint: str | Path, size_rule: bool | None = None) -> pd.DataFrame:
        """As `video_scores`, of any checkpoint of ours on a test part."""
        return self._video_scores(part, Given(Path(checkpoint)), size_rule)

    def evaluate(self, checkpoint: str | Path) -> pd.DataFrame:
        """One checkpoint of ours on every test set of the profile, whatever the profile trains: a row a part, by video.

        Faces are cut out at the size the checkpoint was trained at. Kept in `checkpoints/`, with results.csv.
        Columns: part, dataset; auc, low, high, sample_low, sample_high, real, fake as in `results`; pair_accuracy,
        pair_low, pair_high, pairs (`metrics.pair_accuracy`; NaN where there are none); trained_on, the domain of its
        training faces or which project it was imported from; checkpoint, its SHA-256.
        Raises UserError where it is no checkpoint of ours, or the profile has no test set.
        """
        given = Given(Path(checkpoint))
        if not self.tests:
            raise UserError(
                f"profile {self.profile.name}: no set with real videos and fakes to test on; name some in data.sets"
            )
        rows, digest, (_, domain) = [], files.sha256_known(given.path), trained_for(given.path)
        for part in self.tests:
            videos, title = self._video_scores(part, given), self.title(part)
            pairs = dict(zip(("pair_accuracy", "pair_low", "pair_high", "pairs"), _pair_accuracy(videos), strict=True))
            about, origin = {"part": part, "dataset": title}, {"trained_on": domain, "checkpoint": digest}
            rows.append(about | auc_of(title, "video", videos) | pairs | origin)
        results = pd.DataFrame(rows)
        if self.build != "nothing":
            self._write(results, self.checkpoint_folder(given.path) / "results.csv")
        self._say_where_scored(self.input_size(given), [self.score_path(part, given) for part in self.tests])
        return results

    # ---- results ----

    def results(self) -> pd.DataFrame:
        """ROC AUC of every network on every test part with 95 % intervals over groups; also in results.csv.

        Detectors of others and ensembles come first, see `compared`.
        Raises UserError where a part has videos of one class only, or was scored in different ways.
        """
        everything = [(part, network) for network in self.compared for part in self.parts_of(network)]
        made_of = [(network, score_table.state(self._scored(part, network))) for part, network in everything]
        if self._results and self._results[0] == made_of:
            return self._results[1].copy()
        for part in self.scored_parts:
            tables = (self.scores(part, network.name, network.seed) for network in self.networks)
            score_table.together(tables, self.title(part))
        results = pd.DataFrame([row for network in self.compared for row in self.results_of(network)])
        if self.build != "nothing":
            self._write(results, self.folder / "results.csv")
        paths = [self.score_path(part, network) for part in self.scored_parts for network in self.networks]
        self._say_where_scored(self.profile.model.size, paths)
        self._results = (made_of, results)
        return results.copy()

    def _write(self, results: pd.DataFrame, path: Path) -> None:
        with files.replacing(path) as temporary:
            results.to_csv(temporary, index=False)

    def _say_where_scored(self, size: int, paths: Sequence[Path]) -> None:
        """One line where scores were made on another device or in another precision than this machine would use."""
        kind = devices.kind_of_scoring()
        here = score_table.how(devices.choose(self.profile.evaluate.precision, size, kind), kind)
        others = {score_table.made_with(path).get("how", "") for path in paths} - {here, ""}
        if others:
            log.info(
                "scores were made in %s; this machine would use %s: they are kept", "; ".join(sorted(others)), here
            )

    def results_of(self, network: Scored) -> list[dict[str, Any]]:
        """The rows of `results` of one network: every part, by video, frame or face, with and without the size rule.

        low, high: over groups (`metrics.auc_groups`); sample_low, sample_high: each sample by itself (`auc_logit`).
        """
        rows = []
        for part in self.parts_of(network):
            table = self.scores(part, network.name, network.seed)
            about = {"network": network.name, "seed": network.seed, "part": part, "dataset": self.title(part)}
            for level, size_rule, scored in self._levels(part, network, table):
                how = {"level": level, "size_rule": size_rule}
                checkpoint = {"checkpoint": table["checkpoint"].iloc[0]}
                rows.append(about | how | auc_of(about["dataset"], level, scored) | checkpoint)
        return rows

    def _levels(self, part: str, network: Scored, table: pd.DataFrame) -> list[tuple[str, bool, pd.DataFrame]]:
        """What results show of a table of faces: (level, face-size rule, units); of SBI pairs the faces alone."""
        if part in PAIRS:
            return [("face", False, table)]
        videos = [
            ("video", True, self.video_scores(part, network.name, network.seed, size_rule=True)),
            ("video", False, self.video_scores(part, network.name, network.seed, size_rule=False)),
        ]
        if isinstance(network, Judged) and network.row == "video":
            return videos
        return [*videos, ("frame", True, metrics.frame_scores(table, rule=True))]

    def everything(self) -> pd.DataFrame:
        """Make all that the notebooks show, in the order of the report; returns `results`."""
        self.require_weights(*self.networks)
        for part in self.parts:
            self.store(part)
        self.finish(self.networks, self.scored_parts)
        return self.results()

    def at_once(self, pieces: int) -> int:
        """How many of so many networks are trained or scored at the same time: see `jobs.at_once`.

        Results don't depend on it.
        """
        return jobs.at_once(pieces, self.profile.jobs, self.threads)

    def finish(self, networks: Sequence[Network], parts: Sequence[str] = ()) -> None:
        """Train what isn't trained of these networks, and score them on these parts, several at a time (`at_once`).

        One that fails doesn't end the others; the first failure is then raised, a UserError.
        """
        untrained = [network for network in networks if self._may_train(network)]
        if untrained:
            self.require_weights(*untrained)
            self.training_of(untrained[0])  # finds its faces
        for part in parts:
            self.store(self.scored_store(part))
        waiting, failed = set(untrained), dict[Network, Exception]()
        tables = [(n, p) for n in networks for p in parts if n in waiting or self.score_state(p, n) != "current"]

        def pieces() -> Iterator[Piece | None]:
            """Trainings, then the score tables of what is trained; None while there is no such."""
            yield from (Piece(self, network) for network in untrained)
            left = list(tables)
            while left := [table for table in left if table[0] not in failed]:
                ready = next((table for table in left if table[0] not in waiting), None)
                if ready is None:
                    yield None
                    continue
                left.remove(ready)
                yield Piece(self, *ready)

        most = self.at_once(len(untrained) or len(tables))
        total, disable = len(untrained) + len(tables), None if most > 1 else True  # alone, each draws a bar of its own
        with tqdm(total=total, desc="train and score", unit="piece", disable=disable) as bar:
            for piece, error in jobs.finished(pieces(), most, self.threads, bar):
                if piece.part is None:
                    waiting.remove(piece.network)
                if error:
                    failed.setdefault(piece.network, error)
                jobs.done(bar, f"{piece.network.folder} {'trained' if piece.part is None else f'on {piece.part}'}")
        if failed:
            raise next(iter(failed.values()))


@dataclass(frozen=True)
class Piece:
    """A training, or a score table, as a process of its own makes it (`jobs.finished`)."""

    run: Run
    network: Network
    part: str | None = None

    def finish(self) -> None:
        """Train the network, or score it on the part."""
        if self.part is None:
            self.run.trained(self.network)
        else:
            self.run.scores(self.part, self.network.name, self.network.seed)


def auc_of(title: str, level: str, scored: pd.DataFrame) -> dict[str, Any]:
    """AUC of videos, frames or faces with both intervals, and how many there are: auc, low, high, sample_low, ..."""
    fake, scores = (scored["label"] == "fake").to_numpy(), scored["score"].to_numpy()
    if fake.all() or not fake.any():
        raise UserError(f"{title}: {len(fake)} {level}s, all of one class: an AUC needs both")
    value = metrics.auc_groups(fake, scores, scored["group"].to_numpy())
    alone = metrics.auc_logit(fake, scores)
    counts = {"real": int((~fake).sum()), "fake": int(fake.sum())}
    names = ("auc", "low", "high", "sample_low", "sample_high")
    return dict(zip(names, (*value, alone.low, alone.high), strict=True)) | counts


def _pair_accuracy(videos: pd.DataFrame) -> metrics.PairAccuracy:
    return metrics.pair_accuracy(videos["label"] == "fake", videos["score"], videos["group"])
