"""Does a network react to the forgery or to the blending edge? The scores of `benchmark.composites`, compared."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from dfnb.analysis import findings
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
            scores = videos.loc[videos["method"] == kind, "score"]
            auc = (float("nan"),) * 3 if kind == FILMED else tuple(_above(videos, (kind,), (FILMED,), draws))
            rows.append(
                {"network": name, "kind": kind, "forged": about.forged, "edge": about.edge}
                | {"generated": about.generated, "videos": len(scores), "score": scores.mean()}
                | dict(zip(("auc", "low", "high"), auc, strict=True))
            )
    return pd.DataFrame(rows)


def claims(run: "Run", names: Sequence[str], draws: int = 1000) -> pd.DataFrame:
    """The alpha blending hypothesis in three questions a network, and one more for each kind of edge.

    Columns: network, question, share of pairs of videos in which the first scores above the second (ties half, 0.5: no
    difference), low, high (95 %, resampling people). Questions: "edge" (real faces with an alpha edge above real ones
    as filmed), "forgery" (forgeries without an edge above real ones as filmed), "edge above forgery" (the first of the
    one above the first of the other), and "only KIND" (as "edge", for one kind of edge, which may make up the mean).
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
    compared = videos[videos["method"].isin([*upper, *lower])]
    return metrics.bootstrap_auc(compared["method"].isin(upper), compared["score"], compared["group"], draws)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`claims` as a table to read: a row per network, a column per question, shares with their intervals."""
    shares = [f"{row.share:.0%} ({row.low:.0%} to {row.high:.0%})" for row in table.itertuples()]
    table = table.assign(network=[look(name).label for name in table["network"]], share=shares)
    return table.pivot_table(
        index="network", columns="question", values="share", aggfunc="first", sort=False
    ).reset_index()


def finding(table: pd.DataFrame, name: str) -> str:
    """What one network reacts to, by `claims`: blending more than forgery, or only what was also drawn by a generator.

    Blending counts where a mere edge raises the score: one around what the same camera filmed.
    """
    rows = table[table["network"] == name].set_index("question")
    above = findings.Difference(*(rows.loc["edge above forgery", ["share", "low", "high"]] - 0.5))
    mere, drawn = ([kind for kind in EDGE_ONLY if KINDS[kind].generated == generated] for generated in (False, True))
    clear = [kind for kind in EDGE_ONLY if rows.loc[f"only {kind}", "low"] > 0.5]
    shares = {kind: f"{kind} ({rows.loc[f'only {kind}', 'share']:.0%})" for kind in EDGE_ONLY}
    if above.low <= 0 or set(mere) <= set(clear):
        reacts = above.read("more to blending than to forgery", "more to forgery than to blending")
        return f"{look(name).label}: {reacts}."
    raised = [shares[kind] for kind in clear]
    others = "; ".join(shares[kind] for kind in EDGE_ONLY if kind not in clear)
    if set(clear) & set(mere):
        reacts = f"**more to blending than to forgery, but not to every edge**: to {'; '.join(raised)}, not clearly to "
    elif set(clear) & set(drawn):
        reacts = f"**not to a mere edge, but to what was redrawn and pasted**: to {'; '.join(raised)}, not clearly to "
    else:
        reacts = "**to no kind of edge by itself**, though to all together more than to forgery: not clearly to "
    return f"{look(name).label}: {reacts}{others}."
