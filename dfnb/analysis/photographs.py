"""How often a network flags photographs in which nobody swapped a face, by set and by what is known of the people.

The photographs may often not be handed out; anybody who has such a folder makes the scores with
`dfnb score checkpoint.safetensors FOLDER -o scores.json`, once a seed, and the table from them with `flagged`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dfnb.analysis.stated_rate import by_chance
from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.networks.checkpoint import metadata
from dfnb.scoring import metrics, real_people

RATES = (0.1, 0.05)  # stated, of the real people held out from training
HALF = "score ≥ 0.5"
KNOWN = ("file", "source", "person")  # columns of an index that aren't groups of people


def flagged(
    scored: Mapping[Path, Path], index: pd.DataFrame, about: Mapping[str, str], network: str, trained_on: str
) -> pd.DataFrame:
    """The share of photographs that a network calls fake; a row a set, group and rule.

    scored: checkpoint -> what `dfnb score -o FILE.json` wrote of the photographs with it; one a training seed.
    index: a row a photograph, with file (its name) and source (its set); person, where several are of one (by default
        each is of another); any further column, such as sex, divides the sets into groups.
    about: set -> what it is, in words. network, trained_on: the network's name, and its training faces in words.
    A stated rate of 10 % flags who stands no lower than that among the held-out real people of the network
    (`real_people.standing`: p of at most 0.1). Photographs without a face have no score and aren't counted.
    Columns: set, about, group ("all", or such as "sex woman"), photographs, with_face, people (of these), cannot_tell
    (share of these of which `dfnb score` says itself that it can't tell), rule, stated (the rate; NaN for `HALF`),
    flagged, low, high (share over photographs and seeds, 95 % interval over people, `metrics.share_groups`), lowest,
    highest (of the seeds), chance_low, chance_high (where chance alone leaves it, one seed and one photograph a person:
    `stated_rate.by_chance`), network, seeds, held_out (people), trained_on.
    Raises UserError where a set isn't described, a table isn't of these photographs,
    or a checkpoint holds too few real people.
    """
    if unknown := sorted(set(index["source"]) - set(about)):
        raise UserError(f"the set {unknown[0]} of the index isn't described: say in `about` what it is")
    tables = [_hits(index, file, _held_out(checkpoint)) for checkpoint, file in scored.items()]
    seeds = [str(metadata(checkpoint).get("seed", "?")) for checkpoint in scored]
    held_out = min(len(_held_out(checkpoint)["image"]) for checkpoint in scored)
    rows, every = [], pd.concat(tables, keys=seeds, names=["seed"]).reset_index("seed")
    for source, photographs in every.groupby("source", sort=False):
        groups = {"all": photographs}
        for column in index.columns.difference([*KNOWN], sort=False):
            groups |= {f"{column} {value}": members for value, members in photographs.groupby(column)}
        for group, members in groups.items():
            seen = members[members["score"].notna()]
            if seen.empty:
                continue
            row = {"set": source, "about": about[source], "group": group, "photographs": members["file"].nunique()}
            row |= {
                "with_face": seen["file"].nunique(),
                "people": seen["person"].nunique(),
                "cannot_tell": seen["unsure"].mean(),
            }
            for rule, rate in {**{_words(rate): rate for rate in RATES}, HALF: np.nan}.items():
                by_seed = seen.groupby("seed")[rule].mean()
                share = metrics.share_groups(seen[rule], seen["person"])
                chance = (np.nan,) * 2 if np.isnan(rate) else by_chance(rate, held_out, row["people"])
                rows.append(
                    row
                    | {"rule": rule, "stated": rate}
                    | dict(zip(("flagged", "low", "high"), share, strict=True))
                    | {"lowest": by_seed.min(), "highest": by_seed.max()}
                    | dict(zip(("chance_low", "chance_high"), chance, strict=True))
                    | {"network": network, "seeds": ", ".join(seeds), "held_out": held_out, "trained_on": trained_on}
                )
    return pd.DataFrame(rows)


def _held_out(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint keeps of single images of real people."""
    kept = metadata(checkpoint).get("real_people", {})
    found = real_people.standing(0.5, kept, "image")
    if found is None or found.unit != "image":
        fewest = real_people.FEWEST
        raise UserError(f"{checkpoint}: single images of fewer than {fewest} real people were held out of its training")
    return kept


def _hits(index: pd.DataFrame, file: Path, kept: dict[str, Any]) -> pd.DataFrame:
    """The index with person, score (NaN: no face), unsure and a column a rule: whether it flags the photograph."""
    try:
        read = {Path(row["file"]).name: (row["score"], row["cannot_tell"]) for row in files.read_json(file)["files"]}
    except (KeyError, TypeError):
        raise UserError(
            f"{file}: not what `dfnb score CHECKPOINT FOLDER -o {file.name}` writes; make it anew"
        ) from None
    scores = pd.DataFrame(read.values(), index=list(read), columns=["score", "cannot_tell"])
    if lacking := sorted(set(index["file"]) - set(scores.index)):
        raise UserError(f"{file}: no row for {lacking[0]} ({len(lacking)} lack one); score the index's whole folder")
    known = scores.loc[index["file"]]
    found = index.assign(score=known["score"].to_numpy(float), unsure=known["cannot_tell"].map(bool).to_numpy())
    if "person" not in found:
        found["person"] = found["file"]
    standings = [None if np.isnan(score) else real_people.standing(score, kept, "image") for score in found["score"]]
    p = np.array([np.nan if standing is None else standing.p for standing in standings])
    return found.assign(**{_words(rate): p <= rate for rate in RATES}, **{HALF: found["score"] >= 0.5})


def _words(rate: float) -> str:
    return f"p ≤ {rate:g}"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`flagged` as a table to read: a row a set and group, shares in per cent."""
    rows = []
    for (source, group), rules in table.groupby(["set", "group"], sort=False):
        first = rules.iloc[0]
        row = {"set": source, "group": group, "with a face": f"{first['with_face']} of {first['photographs']}"}
        row["beyond its limits"] = f"{100 * first['cannot_tell']:.0f} %"
        for rule in rules.itertuples():
            name = rule.rule if np.isnan(rule.stated) else f"flagged at a stated {100 * rule.stated:g} %"
            row[name] = f"{100 * rule.flagged:.0f} % ({100 * rule.low:.0f} to {100 * rule.high:.0f})"
            if rule.lowest < rule.highest:
                row[name] += f", seeds {100 * rule.lowest:.0f} to {100 * rule.highest:.0f}"
        rows.append(row)
    return pd.DataFrame(rows)


def finding(table: pd.DataFrame) -> str:
    """Which sets are flagged more or less often than stated, beyond what chance would do. In Markdown."""
    whole = table[(table["group"] == "all") & table["stated"].notna()]
    above, below = whole["low"] > whole["chance_high"], whole["high"] < whole["chance_low"]
    cases = "; ".join(
        f"{row.set}: {100 * row.flagged:.0f} % instead of {100 * row.stated:g} %"
        for row in whole[above | below].itertuples()
    )
    return f"The stated rate doesn't hold in **{(above | below).sum()} of {len(whole)} cases**" + (
        f": {cases}." if cases else "."
    )
