"""Paths as people write them: with ~, environment variables, and relative to the project's folder."""

import os
import re
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")


def expanded(value: Value) -> Value | str:
    """A path with ~ and environment variables ($NAME, ${NAME}) written out; anything but a text or path as it is.

    Raises ValueError where a variable isn't set, unless a file or folder of that very name is there.
    """
    if not isinstance(value, str | Path):
        return value
    text = os.path.expanduser(os.path.expandvars(value))
    unset = re.search(r"\$(?:\w+|\{[^}]*\})", text)
    if unset and not os.path.exists(resolve(Path(text))):
        raise ValueError(f"{str(value)!r}: the environment variable {unset[0]} isn't set; set it, or give the path")
    return text


def resolve(path: Path) -> Path:
    """A profile's relative path, taken from the project's folder, so that it is the same from a notebook's folder.

    The project's folder is the nearest one upward from the working folder that holds a pyproject.toml, else the
    working folder itself.
    """
    here = Path.cwd()
    project = next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()), here)
    return project / path
