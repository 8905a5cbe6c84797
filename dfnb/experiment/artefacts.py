"""What a run is made of: its networks, where their checkpoints and score tables lie, and in which state each is.

Nothing here trains, scores or writes; `dfnb.experiment.run` does, where that is allowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.experiment.parts import Parts
from dfnb.networks.checkpoint import metadata, trained_for
from dfnb.networks.variants import check
from dfnb.profile import Profile
from dfnb.sbi import presets
from dfnb.scoring import score_table
from dfnb.training.key import changes, training_key

PAIRS = ("sbi", "validation-pairs")  # scored parts that are held-out SBI pairs, which are faces
MANIFEST = "judged.json"  # beside score tables of others: where they come from
MIRROR = "+mirror"  # of a member of an ensemble: the network on the mirror image of each face


@dataclass(frozen=True)
class Network:
    """A network of the comparison: variant (which taps), head and seed."""

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


@dataclass(frozen=True)
class Given:
    """A checkpoint of ours, trained wherever, that is scored on a profile's test sets whatever that profile trains.

    Raises UserError where it is no checkpoint of ours, or doesn't say what it was trained on.
    """

    path: Path

    def __post_init__(self) -> None:
        trained_for(self.path)

    @property
    def name(self) -> str:
        """The first 12 digits of its SHA-256: the same wherever it lies."""
        return files.sha256_known(self.path)[:12]


@dataclass(frozen=True)
class Mirrored:
    """A network that is shown the mirror image of each face: a member of ensembles, in no comparison by itself."""

    network: Network

    @property
    def folder(self) -> str:
        """Its score tables' name."""
        return f"{self.network.folder}{MIRROR}"


@dataclass(frozen=True)
class Ensemble:
    """Networks and views of the run whose scores of each face are averaged (`evaluate.ensembles`).

    seed: the run's first, under which tables list what has no seed.
    """

    name: str
    seed: int
    members: tuple[Network | Mirrored, ...]

    @property
    def folder(self) -> str:
        """Its score tables' name, which begins no other's."""
        return f"{self.name}+mean"


@dataclass(frozen=True)
class Judged:
    """Scores of somebody's detector (`dfnb judge`). parts: the test parts it has scores of. seed: as of `Ensemble`.

    row: what a row of its score tables is: "video", "frame" or "face". source: a hash of what gave the scores.
    """

    name: str
    seed: int
    row: str
    source: str
    parts: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Name of its folder below `judged`."""
        return self.name


Scored = Network | Ensemble | Judged  # what tables and figures compare


class Artefacts(Parts):
    """The networks of a profile and their artefacts. folder: the profile's by default. shared, build: see `Parts`.

    blender: how it self-blends.
    Raises UserError where the profile names a variant, head, preset or member of an ensemble that isn't there, or
    blends out of range.
    """

    def __init__(
        self, profile: Profile, folder: Path | None = None, shared: Parts | None = None, build: str = "nothing"
    ) -> None:
        for variant, head in (*profile.train.networks, *(profile.robustness.networks or ())):
            check(variant, head)
        try:
            self.blender = presets.resolve(profile.sbi)
        except UserError as error:
            raise UserError(f"profile {profile.name}: {error}") from None
        self.folder = folder or profile.folder
        super().__init__(profile, self.folder, shared, build)
        self.ensembles = [self._ensemble(name, texts) for name, texts in profile.evaluate.ensembles.items()]

    def _ensemble(self, name: str, texts: Sequence[str]) -> Ensemble:
        """Raises UserError where it has a network's name, or a member is none or named twice."""
        where, members = f"profile {self.profile.name}: evaluate.ensembles.{name}", []
        if name in {network.name for network in self.networks}:
            raise UserError(f"{where}: a network has this name; use another")
        for text in texts:
            member, at, seed = text.removesuffix(MIRROR).partition("@")
            found = [n for n in self.networks if n.name == member and (not at or str(n.seed) == seed)][:1]
            if text.endswith(MIRROR):
                found = [Mirrored(n) for n in found]
            if not found or found[0] in members:
                known = ", ".join(dict.fromkeys(n.name for n in self.networks))
                fault = "is named twice" if found else f"is no NAME, NAME@SEED or either with {MIRROR}; it has {known}"
                raise UserError(f"{where}: {text!r} {fault}")
            members += found
        return Ensemble(name, self.networks[0].seed, tuple(members))

    @property
    def networks(self) -> list[Network]:
        """The networks of the comparison, all seeds, in the profile's order."""
        train = self.profile.train
        return [Network(variant, head, seed) for seed in train.seeds for variant, head in train.networks]

    @property
    def judged(self) -> list[Judged]:
        """Detectors of others with scores in this run (`dfnb judge`), by name."""
        found = []
        for path in sorted(self.folder.glob(f"judged/*/{MANIFEST}")):
            about, seed = files.read_json(path), self.networks[0].seed
            try:
                row, source, parts = str(about["row"]), str(about["sha256"]), tuple(map(str, about["parts"]))
            except (KeyError, TypeError):
                raise UserError(f"{path}: damaged; delete its folder, and run `dfnb judge` again") from None
            found.append(Judged(path.parent.name, seed, row, source, parts))
        return found

    @property
    def compared(self) -> list[Scored]:
        """All that results, tables and figures compare: others' detectors first, ensembles, the run's networks last."""
        return [*self.judged, *self.ensembles, *self.networks]

    def find(self, name: str, seed: int | None = None) -> Scored:
        """One of `compared` by its name, such as "proposed-arcface"; the first seed by default.

        Raises UserError where it is unknown.
        """
        for network in self.compared:
            if network.name == name and seed in (None, network.seed):
                return network
        known = ", ".join(dict.fromkeys(network.name for network in self.compared))
        raise UserError(f"no network {name!r} (seed {seed}) in profile {self.profile.name}: it has {known}")

    # ---- trainings ----

    def checkpoint(self, network: Network | Given) -> Path:
        """Where a network's weights lie once it is trained."""
        if isinstance(network, Given):
            return network.path
        return self.folder / "networks" / network.folder / "checkpoint.safetensors"

    def training_of(self, network: Network) -> tuple[Any, ...]:
        """What decides a network's weights: profile, variant, head, seed, training and validation faces."""
        faces = (self.store("train"), self.store("validation"))
        return (self.profile, network.variant, network.head, network.seed, *faces)

    def training_state(self, network: Network) -> str:
        """ "missing", "outdated" (trained with other settings, data or code) or "current"."""
        checkpoint = self.checkpoint(network)
        if not checkpoint.exists():
            return "missing"
        current = metadata(checkpoint).get("training") == training_key(*self.training_of(network))
        return "current" if current else "outdated"

    def training_changes(self, network: Network) -> str:
        """In words, what has changed since a network was trained."""
        return changes(metadata(self.checkpoint(network)), *self.training_of(network))

    # ---- scores ----

    @property
    def scored_parts(self) -> tuple[str, ...]:
        """What every network is scored on: held-out SBI pairs, and the tests there are data for."""
        return ("sbi", *self.tests)

    def scored_store(self, part: str) -> str:
        """The part whose faces are scored for `part`."""
        return {"sbi": self.pairs_from, "validation-pairs": "validation"}.get(part, part)

    def parts_of(self, network: Scored) -> tuple[str, ...]:
        """Those of `scored_parts` that it has scores of."""
        if isinstance(network, Judged):
            return tuple(part for part in self.tests if part in network.parts)
        return self.scored_parts

    def score_path(self, part: str, network: Scored | Mirrored | Given) -> Path:
        """Where a network's score table of a part lies."""
        if isinstance(network, Given):
            return self.checkpoint_folder(network.path) / f"{part}.parquet"
        if isinstance(network, Judged):
            return self.judged_folder(network.name) / f"{part}.parquet"
        return self.folder / "scores" / part / f"{network.folder}.parquet"

    def judged_folder(self, name: str) -> Path:
        """Where the scores of another's detector lie, with results.csv and compared.csv."""
        return self.folder / "judged" / name

    def checkpoint_folder(self, checkpoint: Path) -> Path:
        """Where the scores and results of a checkpoint from elsewhere lie."""
        return self.folder / "checkpoints" / Given(checkpoint).name

    def input_size(self, network: Network | Mirrored | Given) -> int:
        """Side of the network's input, pixels."""
        return trained_for(network.path)[0] if isinstance(network, Given) else self.profile.model.size

    def stamps(self, part: str, network: Scored | Mirrored | Given, words: str = "") -> dict[str, str]:
        """What every row of a score table says of it (`score_table.STAMPS`). words: added to the protocol's.

        Of an ensemble, checkpoint is a hash of its members'; of another's detector, one of what gave the scores,
        and store a hash of the part's catalogue.
        """
        if isinstance(network, Judged):
            videos = self.clips(part)[["dataset", "split", "video", "label", "method", "group"]]
            protocol = f"judged: scores of others, a row a {network.row}"
            about = {"network": network.name, "checkpoint": network.source, "protocol": protocol}
            return about | {"store": files.digest(videos.to_dict("records"))}
        if isinstance(network, Mirrored):
            return self.stamps(part, network.network, f"{words}; mirrored")
        if isinstance(network, Ensemble):
            about = [self.stamps(part, member) for member in network.members]
            words += f"; mean of {', '.join(member.folder for member in network.members)}"
            first = network.members[0]
            shared = self.stamps(part, first.network if isinstance(first, Mirrored) else first, words)
            checkpoint = files.digest([stamps["checkpoint"] for stamps in about])
            return shared | {"network": network.name, "checkpoint": checkpoint}
        store, size = self.store(self.scored_store(part)), self.input_size(network)
        pairs = presets.words(self.profile.sbi) if part in PAIRS else None
        protocol = score_table.describe(store.settings, size, pairs, self.profile.evaluate.precision) + words
        checkpoint = files.sha256_known(self.checkpoint(network))
        return {"network": network.name, "checkpoint": checkpoint, "store": store.digest, "protocol": protocol}

    def score_state(self, part: str, network: Scored | Mirrored | Given) -> str:
        """ "missing", "outdated" or "current". The network must be trained."""
        embeddings = not isinstance(network, Ensemble | Judged)
        return score_table.state_of(self.score_path(part, network), self.stamps(part, network), embeddings)

    def is_done(self, network: Network) -> bool:
        """Whether a network is trained and scored on everything."""
        return self.training_state(network) == "current" and all(
            self.score_state(part, network) == "current" for part in self.scored_parts
        )

    def listed(self, part: str) -> pd.DataFrame | None:
        """All videos of a part, for those without a face; None for held-out SBI pairs, which are faces."""
        return None if part in PAIRS else self.clips(part)

    def untrained(self, networks: Sequence[Network]) -> list[Network]:
        """Those of the networks that have no checkpoint yet."""
        return [network for network in networks if not self.checkpoint(network).exists()]
