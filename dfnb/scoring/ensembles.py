"""Scores averaged over networks, and over a face and its mirror image."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor, nn

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.networks import Output
from dfnb.scoring import score_table


class Mirror(nn.Module):
    """A network that is shown the mirror image of what it is given: (B, 3, S, S), left and right exchanged."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.mean, self.std = net, net.mean, net.std

    def forward(self, images: Tensor) -> Output:
        return self.net(images.flip(-1))


def mean(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Score tables of the same faces -> the first's, with the mean score of each face, float64.

    Raises UserError where they hold other faces, or the same in another order.
    """
    places = [table[list(score_table.PLACE)] for table in tables]
    for table, place in zip(tables, places, strict=True):
        if not place.equals(places[0]):
            names = " and ".join(str(t["network"].iloc[0]) for t in (tables[0], table))
            raise UserError(f"{names} were scored on different faces; score them again with one profile")
    scores = np.mean([table["score"].to_numpy(np.float64) for table in tables], axis=0)
    return tables[0].assign(score=scores)


def save_mean(paths: Sequence[Path], path: Path, about: Mapping[str, str]) -> None:
    """Write `mean` of score tables on disk as a score table, stamped with `about` (`score_table.STAMPS`)."""
    table = mean([score_table.load(member) for member in paths])
    with files.replacing(path) as temporary:
        score_table.write(temporary, table.assign(**about), score_table.made_with(paths[0]))
