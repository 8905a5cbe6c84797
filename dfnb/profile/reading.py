"""Profiles read from YAML and checked; settings given on a command line."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from dfnb.common.errors import UserError
from dfnb.profile.schema import Profile

MAX_BYTES = 1 << 20  # of a profile
Kind = TypeVar("Kind", bound=BaseModel)


def names() -> list[str]:
    """The profiles that come with the package."""
    folder = resources.files("dfnb") / "profile"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load(name: str | Path, overrides: Mapping[str, Any] | None = None) -> Profile:
    """Read a profile: one that comes with the package by its name, or a YAML file by its path.

    overrides: {"train.steps": 10} style, applied on top; each key must exist.
    Raises UserError naming the profile and the key where something is unknown, missing or out of range.
    """
    path = _find(name)
    values = read_yaml(path, "profile")
    if not isinstance(overrides or {}, Mapping):
        raise UserError(f"overrides {overrides!r}: give {{'train.steps': 10}} or the like")
    for key, value in (overrides or {}).items():
        _set(values, key, value)
    return validated(Profile, values, f"profile {path}")


def changed(profile: Profile, overrides: Mapping[str, Any]) -> Profile:
    """The same profile with some settings changed, as `load` does it. Raises UserError as that does."""
    values = profile.model_dump(mode="json")
    for key, value in overrides.items():
        _set(values, key, value)
    return validated(Profile, values, f"profile {profile.name} with {', '.join(overrides)} changed")


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """The settings in a YAML file. Raises UserError, naming `what` and the file, where it isn't one."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{what} {path}: larger than {MAX_BYTES >> 20} MiB, so not a {what}")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{what} {path}: can't be read ({error})") from error
    try:
        values = _yaml(text)
    except ValueError as error:
        raise UserError(f"{what} {path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{what} {path}: expected settings as 'key: value' lines")
    return values


def validated(kind: type[Kind], values: dict[str, Any], what: str) -> Kind:
    """`values` as a model. Raises UserError naming `what`, the setting, and what is wrong with it."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{what}: {_explain(error)}") from error


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """`["train.steps=10"]` -> {"train.steps": 10}; the value is read as YAML data, so 10 is a number.

    Raises UserError for an item without '=' or with a value that isn't YAML.
    """
    overrides = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise UserError(f"override {item!r}: write it as key=value, such as train.steps=10")
        try:
            overrides[key.strip()] = _yaml(text)
        except ValueError as error:
            raise UserError(f"override {item!r}: the value is not valid YAML ({error})") from error
    return overrides


class _Loader(yaml.SafeLoader):
    """YAML as plain data, as `yaml.safe_load` reads it, but a key that comes twice is an error, and so are aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # a few lines of them can stand for billions of values
            raise yaml.YAMLError(f"aliases (*{self.peek_event().anchor}) are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := sorted(key for key in set(keys) if keys.count(key) > 1):
            raise yaml.YAMLError(f"{twice[0]!r} is set twice")
        return super().construct_mapping(node, deep)


def _yaml(text: str) -> Any:
    """YAML as plain data: no objects are built. Raises ValueError with the reason in one line."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError("nested too deep") from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:  # tags on values they don't fit
        raise ValueError(f"a value of the wrong kind ({' '.join(str(error).split())})") from error


def _find(name: str | Path) -> Path:
    if str(name) in names():
        return Path(str(resources.files("dfnb") / "profile" / f"{name}.yaml"))
    path = Path(str(name)).expanduser()
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return path
    raise UserError(f"no profile {str(name)!r}: use one of {', '.join(names())}, or the path of a .yaml file")


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = str(key).split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UserError(f"override {key!r}: {parent!r} is a single setting, not a section")
    values[last] = value


def _explain(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        what = "unknown setting" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts)
