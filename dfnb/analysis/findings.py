"""What a table of comparisons shows, in one or two Markdown sentences: which differences count, and where none does.

Every word that depends on numbers is chosen here from the numbers; how to read a table is the notebooks' prose.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from dfnb.plots.style import look, with_interval
from dfnb.plots.tables import SIGNIFICANT, published

NOTHING = "nothing here decides"


class Difference(NamedTuple):
    """A difference and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return with_interval(*self)

    def read(self, above: str, below: str) -> str:
        """`above` or `below` where the whole interval is on that side of 0, otherwise that nothing decides."""
        return f"**{above if self.low > 0 else below if self.high < 0 else NOTHING}**"


def independent(a: Mapping[str, float], b: Mapping[str, float]) -> Difference:
    """AUC of `a` minus AUC of `b`, on different videos. a, b: auc, low, high, such as a row of `Run.results`.

    The interval needn't be symmetric. Source: Zou and Donner 2008, Statistics in Medicine 27.
    """
    value = a["auc"] - b["auc"]
    low = value - math.hypot(a["auc"] - a["low"], b["high"] - b["auc"])
    high = value + math.hypot(a["high"] - a["auc"], b["auc"] - b["low"])
    return Difference(value, low, high)


def significant(differences: pd.DataFrame, names: Sequence[str]) -> str:
    """Which differences are significant after Holm's correction, how large the others are, what the intervals cover.

    differences: columns difference, low, high (95 %), p_holm, seed_sd (of one AUC; NaN: one seed). names: of its rows.
    """
    clear = (differences["p_holm"] < SIGNIFICANT).to_numpy()
    rows = differences.loc[clear, ["difference", "low", "high"]].itertuples(index=False)
    found = [f"{name} {Difference(*row)}" for name, row in zip(itertools.compress(names, clear), rows, strict=True)]
    text = f"Significant at the 5 % level after Holm's correction: **{len(found)} of {len(clear)}**"
    text += f": {'; '.join(found)}. " if found else f", so {NOTHING}. "
    others = differences[~clear]
    if len(others):
        half = ((others["high"] - others["low"]) / 2).min()
        largest = others["difference"].abs().max()
        text += f"None{' of the others' if found else ''} is larger than {largest:.3f} in size; "
        text += f"the 95 % intervals are ±{half:.3f} or wider. "
    deviation = differences["seed_sd"]
    if deviation.isna().all():
        return text + "One seed each: what another training would give is **not in these intervals**."
    spread = " to ".join(dict.fromkeys(f"{value:.3f}" for value in (deviation.min(), deviation.max())))
    text += "The intervals cover other videos of the same kind and other seeds "
    return text + f"(SD of one AUC, pooled over networks: {spread})."


def paired(table: pd.DataFrame, reference: str) -> str:
    """`significant` for `tables.paired`: the reference minus each other network."""
    return significant(table, [f"{look(reference).label} minus {look(name).label}" for name in table["network"]])


def order(results: pd.DataFrame, key: str, compared: pd.DataFrame) -> str:
    """The order of the networks beside the paper's, and whether it could be chance.

    results: rows of `Run.results` of one set; of several seeds the mean counts. key: "taps" or "arcface", a table of
    the paper. compared: `tables.paired` of these networks on this set.
    """
    reported, here = published()[key], results.groupby("network")["auc"].mean()
    known = sorted((name for name in reported if name in here), key=reported.__getitem__)
    if len(known) < 2:
        return "The run has too few of the paper's networks to compare their order."
    text = f"The paper's order: {_chain(known, reported)}. Here: {_chain(sorted(known, key=here.get), here)}"
    wrong = [(a, b) for a, b in itertools.combinations(known, 2) if here[a] > here[b] and reported[a] < reported[b]]
    if wrong:
        text += (
            ", **against the paper's** (" + "; ".join(f"{look(a).label} above {look(b).label}" for a, b in wrong) + ")"
        )
    elif here[known].is_unique:
        text += ", the same"
    clear = compared.loc[compared["network"].isin(known), "p_holm"] < SIGNIFICANT
    if not clear.all():
        tested = "not all differences are" if clear.any() else "no difference is"
        text += f". Since {tested} significant, the order may be chance"
    return text + "."


def harder_set(results: pd.DataFrame, network: str) -> str:
    """Which test set one network finds harder, Celeb-DF or FFIW, beside the paper's finding.

    results: rows of `Run.results`, one a seed; of several seeds the means count.
    """
    means = results[results["network"] == network].groupby("part")[["auc", "low", "high"]].mean()
    if not {"celeb-df", "ffiw"} <= set(means.index):
        return "This run hasn't both sets, so they can't be compared."
    reported = published()["sets"]
    gap = independent(means.loc["celeb-df"], means.loc["ffiw"])
    return (
        f"The paper finds {min(reported, key=reported.__getitem__)} harder. Here the AUC of {look(network).label} on "
        f"the Celeb-DF part minus that on the FFIW part is {gap}: {gap.read('FFIW is harder', 'Celeb-DF is harder')}."
    )


def _chain(names: Sequence[str], values: Mapping[str, float]) -> str:
    """Labels in ascending order of their values, "a < b = c"."""
    signs = ["", *(" = " if values[a] == values[b] else " < " for a, b in itertools.pairwise(names))]
    return "".join(sign + look(name).label for sign, name in zip(signs, names, strict=True))
