"""The code that decides numbers, as a hash: part of the keys of checkpoints, face stores, score tables and videos.

Syntax trees are hashed, without comments, docstrings, annotations and what is imported for types alone, so that a
reworded comment voids nothing. The form doesn't depend on Python's version: empty fields are left out.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any

from dfnb.common import files

PACKAGE = Path(__file__).parents[1]
FILES_OF_NETWORKS = ("networks.checkpoint", "networks.hub", "networks.importing")  # they decide no number
_APART = "\nKEYED_APART = True"
_IGNORED = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx", "simple"}


def digest_of(*names: str, without: tuple[str, ...] = ()) -> str:
    """A hash of modules and rooms, such as "sbi" (all its files) or "data.faces". without: files left out, likewise.

    A module with the line `KEYED_APART = True` counts only where it is named itself: no other of its room uses it, so
    it decides nothing but what has its hash in its key. Raises ValueError where a name is neither.
    """
    left_out = {path for name in without for path in _files(name)}
    paths = sorted({path for name in names for path in _files(name)} - left_out)
    return files.digest([[path.relative_to(PACKAGE).as_posix(), _tree(path)] for path in paths])


def _files(name: str) -> list[Path]:
    place = PACKAGE.joinpath(*name.split("."))
    found = [place.with_suffix(".py")]
    if place.is_dir():
        found = sorted(file for file in place.rglob("*.py") if _APART not in file.read_text(encoding="utf-8"))
    if not found or not found[0].is_file():
        raise ValueError(f"dfnb.{name} is no module and no room")
    return found


@cache
def _tree(path: Path) -> str:
    return files.digest(tree_of(path.read_text(encoding="utf-8")))


def tree_of(source: str) -> Any:
    """What is hashed of a module's source: nested lists of node names, field names and constants."""
    return _plain(ast.parse(source))


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node if not _says_nothing(item)]
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__} {node!r}"
    fields = [(name, value) for name, value in ast.iter_fields(node) if name not in _IGNORED]
    return [type(node).__name__, *([name, _plain(value)] for name, value in fields if value not in (None, []))]


def _says_nothing(node: Any) -> bool:
    """Docstrings and other bare texts, and `if TYPE_CHECKING:`."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
