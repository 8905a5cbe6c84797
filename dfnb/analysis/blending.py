"""Does a network react to the forgery or to the blending edge? `composites`, scored, and what the scores say."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from dfnb.benchmark.composites import FILMED, KINDS
from dfnb.plots.style import look
from dfnb.scoring import metrics

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

EDGE_ONLY = tuple(kind for kind, about in KINDS.items() if not about.forged and about.edge == "alpha")
NO_EDGE = tuple(kind for kind, about in KINDS.items() if about.forged and about.edge == "none")


def table(run: "Run", names: Sequence[str], draws: int = 1000) -> pd.DataFrame:
    """How each kind is scored: a row per network and kind.

    Columns: network, kind, forged, edge, generated, videos, score (mean over videos), auc, low, high: how often a video
    of the kind scores above one as filmed (0.5: no difference), whatever it shows, with the 95 % interval from
    resampling people, since the kinds of a scene depend on each other. NaN for the kind "as filmed" itself.
    """
    rows = []
    for name in names:
        videos = run.video_scores("blending", name, size_rule=False)
        for kind, about in KINDS.items():
            own = videos[videos["method"] == kind]
            auc = (float("nan"),) * 3 if kind == FILMED else tuple(_above(videos, (kind,), (FILMED,), draws))
            rows.append(
                {"network": name, "kind": kind, "forged": about.forged, "edge": about.edge}
                | {"generated": about.generated, "videos": len(own), "score": own["score"].mean()}
                | dict(zip(("auc", "low", "high"), auc, strict=True))
            )
    return pd.DataFrame(rows)


def claims(run: "Run", names: Sequence[str], draws: int = 1000) -> pd.DataFrame:
    """The claim in three numbers a network: "edge" (real faces with an alpha edge above real ones as filmed), "forgery"
    (forgeries without an edge above real ones as filmed), and "edge above forgery" (the former above the latter).

    Then "only KIND", for each kind of the first group: real faces with that edge above real ones as filmed, since one
    kind can make up the whole of a mean.

    Each is the share of pairs of videos, ties half, 0.5 where there is no difference; low and high: 95 %, resampling
    people.
    """
    questions = {
        "edge": (EDGE_ONLY, (FILMED,)),
        "forgery": (NO_EDGE, (FILMED,)),
        "edge above forgery": (EDGE_ONLY, NO_EDGE),
        **{f"only {kind}": ((kind,), (FILMED,)) for kind in EDGE_ONLY},
    }
    rows = []
    for name in names:
        videos = run.video_scores("blending", name, size_rule=False)
        for question, (upper, lower) in questions.items():
            value = _above(videos, upper, lower, draws)
            rows.append(
                {"network": name, "question": question} | dict(zip(("share", "low", "high"), value, strict=True))
            )
    return pd.DataFrame(rows)


def _above(videos: pd.DataFrame, upper: Sequence[str], lower: Sequence[str], draws: int) -> metrics.AUC:
    some = videos[videos["method"].isin([*upper, *lower])]
    return metrics.bootstrap_auc(some["method"].isin(upper), some["score"], some["group"], draws)


def verdict(found: pd.DataFrame, name: str) -> str:
    """What `claims` says of one network about the alpha blending hypothesis."""
    own = found[found["network"] == name].set_index("question")
    edge, forgery, above = (own.loc[q] for q in ("edge", "forgery", "edge above forgery"))
    said = (
        f"{look(name).label} scores real faces with a blending edge, where nothing is forged, above real ones as "
        f"filmed in **{_pairs(edge)}** of pairs, and forgeries without an edge in **{_pairs(forgery)}**. "
    )
    said += f"The real faces with an edge look more fake to it than these forgeries in {_pairs(above)} of pairs: "
    if above["low"] > 0.5:
        said += "it reacts to **blending more than to forgery**, as the hypothesis says."
    elif above["high"] < 0.5:
        said += "it reacts to forgery more than to blending, **against the hypothesis**."
    else:
        said += "these videos can't tell which of the two it reacts to more."
    return said + _by_kind(own)


def _by_kind(own: pd.DataFrame) -> str:
    """Whether an edge alone does it, or only some kinds of edge: from the "only KIND" rows of `claims`."""
    seen = [kind for kind in EDGE_ONLY if own.loc[f"only {kind}", "low"] > 0.5]
    words = {kind: f"{kind} {_pairs(own.loc[f'only {kind}'])}" for kind in EDGE_ONLY}
    said = f" Kind by kind: {'; '.join(words.values())}."
    if 0 < len(seen) < len(EDGE_ONLY):
        said += f" So **an edge alone isn't enough**: only {' and '.join(seen)} stands out"
        if all(KINDS[kind].generated for kind in seen) and not any(
            KINDS[kind].generated for kind in EDGE_ONLY if kind not in seen
        ):
            said += ", where what was pasted is generated and doesn't fit what was filmed in sharpness and noise"
        said += "."
    return said


def _pairs(row: pd.Series) -> str:
    return f"{row['share']:.0%} ({row['low']:.0%} to {row['high']:.0%})"
