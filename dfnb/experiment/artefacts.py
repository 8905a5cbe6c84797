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


class Artefacts(Parts):
    """The networks of a profile and their artefacts. folder: the profile's by default. shared, build: see `Parts`.

    blender: how it self-blends.
    Raises UserError where the profile names a variant, head or preset that isn't there, or blends out of range.
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

    @property
    def networks(self) -> list[Network]:
        """The networks of the comparison, all seeds, in the profile's order."""
        train = self.profile.train
        return [Network(variant, head, seed) for seed in train.seeds for variant, head in train.networks]

    def find(self, name: str, seed: int | None = None) -> Network:
        """A network by its name, such as "proposed-arcface"; the first seed by default. Raises UserError if unknown."""
        for network in self.networks:
            if network.name == name and seed in (None, network.seed):
                return network
        known = ", ".join(dict.fromkeys(network.name for network in self.networks))
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

    def score_path(self, part: str, network: Network | Given) -> Path:
        """Where a network's score table of a part lies."""
        if isinstance(network, Given):
            return self.checkpoint_folder(network.path) / f"{part}.parquet"
        return self.folder / "scores" / part / f"{network.folder}.parquet"

    def checkpoint_folder(self, checkpoint: Path) -> Path:
        """Where the scores and results of a checkpoint from elsewhere lie."""
        return self.folder / "checkpoints" / Given(checkpoint).name

    def input_size(self, network: Network | Given) -> int:
        """Side of the network's input, pixels."""
        return trained_for(network.path)[0] if isinstance(network, Given) else self.profile.model.size

    def stamps(self, part: str, network: Network | Given, words: str = "") -> dict[str, str]:
        """What every row of a score table says of it (`score_table.STAMPS`). words: added to the protocol's."""
        store, size = self.store(self.scored_store(part)), self.input_size(network)
        pairs = presets.words(self.profile.sbi) if part in PAIRS else None
        protocol = score_table.describe(store.settings, size, pairs, self.profile.evaluate.precision) + words
        checkpoint = files.sha256_known(self.checkpoint(network))
        return {"network": network.name, "checkpoint": checkpoint, "store": store.digest, "protocol": protocol}

    def score_state(self, part: str, network: Network | Given) -> str:
        """ "missing", "outdated" or "current". The network must be trained."""
        return score_table.state_of(self.score_path(part, network), self.stamps(part, network))

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
