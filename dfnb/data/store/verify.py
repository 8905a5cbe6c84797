"""Whether every byte of the face stores in a folder is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dfnb.common.errors import UserError
from dfnb.data.store.read import FaceStore


class Verified(NamedTuple):
    """One store: its name, how many faces it holds (0 where it can't be opened), and its faults in words."""

    name: str
    faces: int
    faults: list[str]


def verify(folder: Path) -> Iterator[Verified]:
    """Check every store in `folder`, one after another. Raises UserError where there is none."""
    roots = sorted(at for at in folder.glob("*") if (at / "shards").is_dir())
    if not roots:
        raise UserError(f"{folder}: no face store here; run `dfnb prepare` first")
    for root in roots:
        try:
            opened = FaceStore(root)
            yield Verified(root.name, len(opened), list(opened.faults()))
        except UserError as error:
            yield Verified(root.name, 0, [str(error)])
