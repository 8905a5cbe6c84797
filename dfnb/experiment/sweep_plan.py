"""What a sweep tries: variations of a base profile, one question each, read from YAML (`dfnb/sweeps/`).

A variation changes the settings its question is about; all else is held fixed as in the base profile. Each of its
networks and seeds is a cell of the sweep.
"""

import operator
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from dfnb import profile as profiles
from dfnb.common.errors import UserError
from dfnb.networks.variants import check
from dfnb.profile import Head, Profile, Section, Variant

BASE = "base"  # the name of the unchanged networks among the variations
SWEPT = ("sbi", "model", "arcface", "train")  # sections of a profile that a variation may change
WORDS = {
    "train.attention_weight": "attention weight",
    "train.lr": "learning rate",
    "train.optimizer": "optimizer",
    "train.weight_decay": "weight decay",
    "train.ema_decay": "decay of the averaged weights",
    "train.steps": "steps",
    "data.people": "people",
    "demo.ff_val": "validation videos",
    "model.size": "input (px)",
    "model.attention": "attention",
    "model.tap_reading": "taps by",
    "model.normalise": "normalisation",
    "model.drop_rate": "drop-out",
    "model.drop_path_rate": "drop path",
    "sbi.degradation.h264_probability": "share of pairs through H.264",
    "sbi.fakes": "kinds of fake",
    "sbi.hull_variation": "hull variation",
    "sbi.preset": "self-blending",
    "arcface.margin": "margin (rad)",
    "arcface.scale": "scale",
}


class Variation(Section):
    """A question, and the settings that change to answer it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    label: str = Field(min_length=1, description="a few words for tables and figures")
    question: str = Field(min_length=1)
    networks: tuple[tuple[Variant, Head], ...] | Literal["all"] = Field("all", description="all: the base profile's")
    seeds: tuple[int, ...] | Literal["all"] | None = Field(
        None, description="the base profile's first unless given; all: each of the base profile's"
    )
    change: dict[str, Any] = Field(default_factory=dict, description="settings, such as arcface.margin: 0")


class Contrast(Section):
    """A question that two networks answer, over all their seeds: is the AUC of `ours` higher than that of `theirs`?

    Each is a network's name, such as proposed-arcface, after a variation's name and a slash where it is of one.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    question: str = Field(min_length=1)
    ours: str
    theirs: str


class Plan(Section):
    """A sweep: its name, the base profile, and the variations in order of value."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    base: str = Field("demo", description="profile that the variations change")
    variations: tuple[Variation, ...] = Field(min_length=1)
    contrasts: tuple[Contrast, ...] = Field((), description="comparisons decided together, on the mean over sets, too")
    kinds: dict[str, tuple[str, ...]] = Field(
        {}, description="sets that count as one in contrasts, by a name, where the base profile has them"
    )

    @model_validator(mode="after")
    def _names_and_keys(self) -> "Plan":
        names = [variation.name for variation in self.variations]
        if len({*names, BASE}) <= len(names):
            raise ValueError(f"variations need names of their own, other than {BASE!r}")
        for variation in self.variations:
            for variant, head in () if variation.networks == "all" else variation.networks:
                try:
                    check(variant, head)
                except UserError as error:
                    raise ValueError(f"{variation.name}: networks: {error}") from None
            for key in variation.change:
                swept = key.split(".")[0] in SWEPT or key == "data.people"
                if not swept or key in ("train.networks", "train.seeds"):
                    raise ValueError(
                        f"{variation.name}: {key} can't be changed; all cells share videos and faces, and networks and "
                        f"seeds have entries of their own (change settings of {', '.join(SWEPT)})"
                    )
        return self

    def knobs(self) -> list[str]:
        """Every setting that some variation asks about, in the plan's order."""
        return list(dict.fromkeys(key for variation in self.variations for key in variation.change))


def names() -> list[str]:
    """The sweeps that come with the package."""
    folder = resources.files("dfnb") / "experiment"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load(name: str | Path) -> Plan:
    """Read a sweep: one that comes with the package by its name, or a YAML file by its path.

    Raises UserError naming the file and what is unknown, missing or out of range.
    """
    path = Path(name)
    if str(name) in names():
        path = Path(str(resources.files("dfnb") / "experiment" / f"{name}.yaml"))
    elif path.suffix not in {".yaml", ".yml"} or not path.is_file():
        raise UserError(f"no sweep {str(name)!r}: use one of {', '.join(names())}, or the path of a .yaml file")
    return profiles.validated(Plan, profiles.read_yaml(path, "sweep"), f"sweep {path}")


def applied(variation: Variation, base: Profile) -> Profile:
    """The base profile with a variation's settings, networks and seeds. Raises UserError naming what doesn't fit."""
    changes: dict[str, Any] = {
        "name": f"{base.name}-{variation.name}",
        "train.seeds": seeds_of(variation, base),
    }
    if variation.networks != "all":
        changes["train.networks"] = variation.networks
    return profiles.changed(base, changes | variation.change)


def seeds_of(variation: Variation, base: Profile) -> tuple[int, ...]:
    """The seeds a variation is trained with."""
    return base.train.seeds if variation.seeds == "all" else variation.seeds or base.train.seeds[:1]


def same_base(profile: Profile) -> str:
    """A hash of what decides a base profile's numbers: a sweep belongs to every run with the same."""
    return profile.hash("demo", "data", "faces", *SWEPT, "evaluate")


def settings(profile: Profile) -> dict[str, Any]:
    """What decides a base profile's numbers beside its data, as JSON writes it; no paths, since it may be published."""
    chosen = {"demo", *SWEPT, "evaluate"}
    return profile.model_dump(mode="json", include=chosen, exclude={"model": {"weights"}, "train": {"workers"}})


def asked(variation: Variation, base: Profile) -> str:
    """What a variation changes, in words, with what the base has instead."""
    seeds = base.train.seeds[:1]
    words = differences(variation.change, base)
    if variation.seeds not in (None, "all", seeds):
        words.append(f"seed {_in_words(variation.seeds)} instead of {_in_words(seeds)}")
    return "; ".join(words) or "nothing"


def differences(change: Mapping[str, Any], base: Profile) -> list[str]:
    """Each changed setting in words, such as "margin (rad) 0 instead of 0.2"."""
    return [
        f"{WORDS.get(key, key)} {_in_words(value)} instead of {_in_words(at(base, key))}"
        for key, value in change.items()
    ]


def changed_since(recorded: Mapping[str, Any], profile: Profile) -> list[str]:
    """How the `settings` of an earlier base differ from a profile's, in words as `differences` has them.

    A setting that couldn't be set then is at its default. Raises UserError where they are no settings of a profile.
    """
    import pandas as pd  # slow to import, and the command's --help needs this module

    same = profile.model_dump(mode="json", include={"name", "data", "faces"})
    before = profiles.validated(Profile, same | dict(recorded), "the sweep's recorded settings")
    then, now = (pd.json_normalize(settings(of)).iloc[0] for of in (before, profile))
    keys = [key for key in now.index.intersection(then.index) if then[key] != now[key]]
    return differences({key: at(before, key) for key in keys if at(before, key) != at(profile, key)}, profile)


def held(variation: Variation, plan: Plan, base: Profile) -> str:
    """What a variation holds fixed: every other setting that the sweep asks about, with its value, and the rest."""
    fixed = [f"{WORDS.get(key, key)} {_in_words(at(base, key))}" for key in plan.knobs() if key not in variation.change]
    if variation.seeds in (None, "all", base.train.seeds[:1]):
        fixed.append(f"seed {_in_words(base.train.seeds[:1])}")
    return "; ".join([*fixed, f"all else as in profile {base.name}"])


def at(profile: Profile, key: str) -> Any:
    """The value of a setting such as "arcface.margin"; of self-blending, the preset's where the profile gives none."""
    section, _, name = key.partition(".")
    if section == "sbi" and name != "preset":
        from dfnb.sbi import presets

        return operator.attrgetter(name)(presets.resolve(profile.sbi))
    return operator.attrgetter(key)(profile)


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(
            " ".join(map(_in_words, of)) if isinstance(of, list | tuple) else _in_words(of) for of in value
        )
    return f"{value:g}" if isinstance(value, float) else str(value)
