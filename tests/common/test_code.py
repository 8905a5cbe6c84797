"""What counts as a change of the code: anything that can change a number, and nothing that can't."""

import ast
from pathlib import Path

import pytest

import dfnb
from dfnb.common import code

PLAIN = """
import numpy as np

def blur(x, radius=2.0):
    y = np.round(x * radius)
    return y + 1
"""
WORDED = '''
"""A module."""
import numpy as np
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from collections.abc import Sequence

def blur(x: "Sequence[float]", radius: float = 2.0) -> float:
    """Blurs."""
    y = np.round(x * radius)  # to whole levels

    return (y + 1)
'''


def test_words_annotations_and_layout_change_nothing():
    tree = code.tree_of(WORDED)
    tree[1][1] = [part for part in tree[1][1] if "typing" not in str(part)]  # an import is code
    assert tree == code.tree_of(PLAIN)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("2.0", "2"),
        ("y + 1", "1 + y"),
        ("np.round", "np.floor"),
        ("x * radius", "x * radius * 1"),
        ("def blur", "def b"),
    ],
)
def test_anything_that_could_change_a_number_does(before, after):
    assert code.tree_of(PLAIN.replace(before, after)) != code.tree_of(PLAIN)


def test_fields_of_classes_count_without_their_types():
    first, second, third = (f"class A:\n    {line}" for line in ("size: int = 3", "size: float = 3", "size: int = 4"))
    assert code.tree_of(first) == code.tree_of(second) != code.tree_of(third)


def test_a_room_is_all_its_files_and_parts_can_be_left_out():
    whole = code.digest_of("sbi")
    assert whole == code.digest_of(*(f"sbi.{path.stem}" for path in (Path(dfnb.__file__).parent / "sbi").glob("*.py")))
    assert whole != code.digest_of("sbi", without=("sbi.masks",))
    with pytest.raises(ValueError, match="no module and no room"):
        code.digest_of("sbi.nothing")


def test_every_file_of_the_library_has_a_tree_of_plain_values():
    def leaves(tree):
        return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, list) else [tree]

    for path in Path(dfnb.__file__).parent.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        names = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
        assert {f"str {name!r}" for name in names} <= set(leaves(code.tree_of(source))), path
