"""Self-blending as a whole by name, and a profile's section `sbi` -> the `SelfBlender` it asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

from dfnb.common.errors import UserError
from dfnb.sbi.augment import ColourRange, Photometric
from dfnb.sbi.degrade import Degradation
from dfnb.sbi.fakes import Edgeless
from dfnb.sbi.self_blender import SelfBlender

if TYPE_CHECKING:
    from dfnb.profile import Sbi

Settings = TypeVar("Settings", SelfBlender, ColourRange, Photometric, Edgeless, Degradation)

# Each entry holds what differs from `SelfBlender`'s defaults: SelfBlender(**PRESETS[name]).
PRESETS: dict[str, dict[str, Any]] = {
    "ours": {},
    # What SBI's authors' recipe does to pixels: the whole face always, at most without the forehead.
    "original": {
        "hull_variation": False,
        # contrast about black: fitted to the same measurement, too
        "colour": ColourRange(hue=0.0, saturation=0.0, value=0.0, pivot=0.0),
        "shrink": "nearest",
        "sharpen": (0.2, 0.5),
        "sharpening": "laplacian",
        "resize": (0.95, 1 / 0.95),
        "resize_apart": True,
        "shift": (0.03, 0.015),
        # 50 times uniform noise in -1..1, smoothed by a Gaussian of 7 px
        "amplitude": (50 / math.sqrt(3) / (2 * math.sqrt(math.pi) * 7),) * 2,
        "smoothness": (7.0, 7.0),
        "grid": (192, 256),
        "erode": (0.0, 0.0),
        "erode_kernel": (5, 25),
        # The original keeps "values at the maximum". Of exact numbers these are so few that fakes change less of the
        # crop than was measured of the original (tests/sbi/test_presets.py). Half the maximum agrees with what was
        # measured, as it would if the mask held whole numbers, 0 and 1, which a blur rounds.
        "kept": 0.5,
        "soften": (5.0, 45.0),
        "soften_kernel": (5, 25),
        "full": True,
        "photometric": Photometric(
            ColourRange(
                hue=0.0, saturation=0.0, value=0.0, brightness=0.3, contrast=0.3, pivot=0.0,
                rgb_probability=0.3, hsv_probability=0.0, brightness_probability=0.3,
            )
        ),
    },
}  # fmt: skip

# Further presets go here; a profile names one in `sbi.preset`.


def resolve(section: Sbi) -> SelfBlender:
    """The self-blending that a profile's section `sbi` asks for: its preset, with the fields that are given instead.

    Raises UserError, naming the field as `sbi.FIELD`, where a preset or a name in a field is unknown, or a value is
    out of range.
    """
    if section.preset not in PRESETS:
        raise UserError(f"sbi.preset: {section.preset!r} is unknown; there are {', '.join(PRESETS)}")
    return _with(SelfBlender(**PRESETS[section.preset]), section.model_dump(exclude={"preset"}), "sbi")


def _with(settings: Settings, given: Mapping[str, Any], where: str) -> Settings:
    """Settings with the fields that are given, not None; fields of a field likewise. where: its name, for errors."""
    values = {}
    for name, value in given.items():
        if isinstance(value, Mapping):
            values[name] = _with(getattr(settings, name), value, f"{where}.{name}")
        elif value is not None:
            values[name] = value
    try:
        return replace(settings, **values)
    except UserError as error:
        raise UserError(f"{where}.{error}") from None


def settings_of(section: Sbi) -> dict[str, Any]:
    """Every setting of a section, resolved: {"hull_variation": True, "colour.hue": 4.0, ...}, whoever set it."""
    return _flat(asdict(resolve(section)))


def words(section: Sbi) -> dict[str, Any]:
    """The same in short: the preset, and the settings that differ from the preset's."""
    preset = _flat(asdict(SelfBlender(**PRESETS[section.preset])))
    return {"preset": section.preset} | {k: v for k, v in settings_of(section).items() if preset[k] != v}


def _flat(nested: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: value}
    return flat
