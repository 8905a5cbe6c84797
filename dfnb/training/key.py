"""What decides the weights of a training, and whether a checkpoint is its end."""

from pathlib import Path
from typing import Any

from dfnb.common import files
from dfnb.common.devices import precision
from dfnb.data.store import FaceStore
from dfnb.networks.checkpoint import metadata
from dfnb.networks.heads import HEADS
from dfnb.networks.variants import VARIANTS
from dfnb.profile import Profile


def is_finished(checkpoint: Path, key: str) -> bool:
    """Whether this is the end of the training `key` (see `training_key`)."""
    return checkpoint.exists() and metadata(checkpoint).get("training") == key


def training_key(profile: Profile, variant: str, head: str, seed: int, faces: FaceStore, held_out: FaceStore) -> str:
    """A hash of all that decides the weights: a finished training is reused while it stays the same."""
    return files.digest([*deciding(profile, variant, head, seed), [faces.digest, held_out.digest]])


def deciding(profile: Profile, variant: str, head: str, seed: int) -> list[Any]:
    """The settings that decide the weights, but for the data: model, recipe, self-blending, ArcFace, which network."""
    settings = profile.model_dump(mode="json")
    settings["model"].pop("weights_sha256")  # it only guards what is read
    recipe = {key: value for key, value in settings["train"].items() if key not in {"networks", "seeds", "workers"}}
    recipe["mixed_precision"] = precision(profile.train.mixed_precision, profile.model.size)
    arcface = settings["arcface"] if HEADS[head].settings else None
    return [settings["model"], recipe, settings["sbi"], arcface, variant, head, seed]


def same_training(profile: Profile, variant: str, head: str, seed: int) -> str:
    """A hash that is equal for trainings that differ in name only: equal taps, or settings of parts that aren't there.

    Two readings of the taps may name the same Blocks (network2 by Block and proposed by resolution, say).
    """
    from dfnb.networks.network import taps as taps_of_name

    model, recipe, sbi, arcface, *_ = deciding(profile, variant, head, seed)
    plain = VARIANTS[variant].plain
    attention = model["attention"] and not plain
    taps = "plain" if plain else taps_of_name(model["backbone"], variant, model["tap_reading"])
    model = {key: value for key, value in model.items() if key not in {"tap_reading", "attention"}}
    if not attention:
        recipe.pop("attention_weight")
    return files.digest([model, recipe, sbi, arcface, taps, attention, head, seed])
