"""What decides the weights of a training: a hash of it, and what has changed since, in words."""

from typing import Any

from dfnb.common import code, files
from dfnb.common.errors import UserError
from dfnb.data.store import FaceStore
from dfnb.networks.heads import HEADS
from dfnb.networks.variants import VARIANTS
from dfnb.profile import Profile, Sbi
from dfnb.sbi import presets

SECTIONS = ("model", "train", "sbi", "arcface")  # of a profile, that decide weights
# of these, what decides none: which trainings there are, how pairs are made, and what only guards what is read
DECIDE_NOTHING = {"model": {"weights_sha256"}, "train": {"networks", "seeds", "workers"}}


def training_key(profile: Profile, variant: str, head: str, seed: int, faces: FaceStore, held_out: FaceStore) -> str:
    """A hash of all that decides the weights: a finished training is reused while it stays the same.

    It names what was asked for, so that it is the same on every machine: a precision of "auto" stays "auto".
    """
    settings = deciding(profile, variant, head, seed)
    return files.digest([*settings, [faces.digest, held_out.digest], code_digest()])


def code_digest() -> str:
    """A hash of the code that decides weights: pairs, networks and the loop."""
    return code.digest_of("sbi", "networks", "training", "data.faces", without=code.FILES_OF_NETWORKS)


def deciding(profile: Profile, variant: str, head: str, seed: int) -> list[Any]:
    """The settings that decide the weights, but for the data: model, recipe, self-blending, ArcFace, which network.

    Of self-blending every setting as it is, whether a preset or the profile says so.
    """
    settings = profile.asked()
    for section, names in DECIDE_NOTHING.items():
        settings[section] = {key: value for key, value in settings[section].items() if key not in names}
    arcface = settings["arcface"] if HEADS[head].settings else None
    return [settings["model"], settings["train"], presets.settings_of(profile.sbi), arcface, variant, head, seed]


def same_training(profile: Profile, variant: str, head: str, seed: int) -> str:
    """A hash that is equal for trainings that differ in name only: equal taps, or settings of parts that aren't there.

    Two readings of the taps may name the same Blocks (network2 by Block and proposed by resolution, say).
    """
    from dfnb.networks.network import taps as taps_of

    model, recipe, sbi, arcface, *_ = deciding(profile, variant, head, seed)
    attention = model["attention"] and not VARIANTS[variant].plain
    taps = taps_of(model["backbone"], variant, model["tap_reading"])
    model = {key: value for key, value in model.items() if key not in {"tap_reading", "attention"}}
    if not attention:
        recipe.pop("attention_weight")
    return files.digest([model, recipe, sbi, arcface, taps, attention, VARIANTS[variant].norm, head, seed])


def changes(
    metadata: dict[str, Any],
    profile: Profile,
    variant: str,
    head: str,
    seed: int,
    faces: FaceStore,
    held_out: FaceStore,
) -> str:
    """What has changed since a checkpoint was trained, such as "train.steps 320 -> 50".

    metadata: of the checkpoint. The rest: what decides its weights now, as in `training_key`.
    """
    now, before = profile.model_dump(mode="json"), dict(metadata.get("profile", {}))
    now["sbi"] = presets.settings_of(profile.sbi)
    try:
        before["sbi"] = presets.settings_of(Sbi.model_validate(before.get("sbi", {})))
    except (ValueError, UserError):  # a preset or setting of another version
        before["sbi"] = {}
    changed = []
    for section in SECTIONS:
        fields = type(getattr(profile, section)).model_fields
        for name, value in now[section].items():
            default = fields[name].default if name in fields else None
            was = before.get(section, {}).get(name, default)  # what couldn't be set was at its default
            if was != value and name not in DECIDE_NOTHING.get(section, ()):
                changed.append(f"{section}.{name} {was} -> {value}")
    if [metadata.get("faces"), metadata.get("held_out")] != [faces.digest, held_out.digest]:
        changed.append("other faces")
    if metadata.get("code") != code_digest():
        changed.append("other code")
    return ", ".join(changed) or "another format"
