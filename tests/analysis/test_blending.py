"""Edge or forgery: shares of pairs against counting, and made-up effects that are found where they are."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dfnb.analysis import blending
from dfnb.benchmark.composites import FILMED, KINDS


def scored(edge: float, forgery: float, people: int = 12, needs_generated: bool = False) -> SimpleNamespace:
    """Made-up video scores: by how much an edge (or one with a generated face only), and a forgery, lifts the score."""
    rng, rows = np.random.default_rng(0), []
    for kind, about in KINDS.items():
        for k in range(people):
            lift = edge * (about.edge == "alpha" and (about.generated or not needs_generated)) + forgery * about.forged
            rows.append({"method": kind, "group": f"id{k}", "label": about.label, "score": 0.3 + lift})
    table = pd.DataFrame(rows)
    table["score"] += rng.normal(0, 0.05, len(table))
    return SimpleNamespace(video_scores=lambda part, name, size_rule: table)


def test_shares_are_counts_of_pairs():
    run = scored(0.05, 0.02)
    videos = run.video_scores("blending", "x", False)
    found = blending.claims(run, ["x"]).set_index("question")
    by_kind = {kind: rows["score"].tolist() for kind, rows in videos.groupby("method")}
    upper = [s for kind in blending.EDGE_ONLY for s in by_kind[kind]]
    lower = [s for kind in blending.NO_EDGE for s in by_kind[kind]]
    wins = np.mean([a > b for a, b in itertools.product(upper, lower)])
    assert found.loc["edge above forgery", "share"] == pytest.approx(wins)
    table = blending.table(run, ["x"]).set_index("kind")
    wins = np.mean([a > b for a, b in itertools.product(by_kind["swap, pasted"], by_kind[FILMED])])
    assert table.loc["swap, pasted", "auc"] == pytest.approx(wins)
    assert np.isnan(table.loc[FILMED, "auc"])
    assert (table["low"].dropna() <= table["auc"].dropna()).all()


@pytest.mark.parametrize(("edge", "forgery"), [(0.3, 0.0), (0.0, 0.3), (0.0, 0.0)])
def test_an_effect_is_found_where_there_is_one(edge, forgery):
    found = blending.claims(scored(edge, forgery), ["proposed-arcface"]).set_index("question")
    for question, effect in (("edge", edge), ("forgery", forgery)):
        assert (found.loc[question, "low"] > 0.5) == (effect > 0)
    both = found.loc["edge above forgery"]
    assert (both["low"] > 0.5, both["high"] < 0.5) == (edge > forgery, forgery > edge)


def test_a_mean_over_kinds_does_not_hide_that_only_one_stands_out():
    found = blending.claims(scored(0.6, 0.0, needs_generated=True), ["proposed-arcface"]).set_index("question")
    assert found.loc["only own face redrawn, pasted", "share"] == 1
    assert found.loc["only own face, 5 % brighter", "low"] < 0.5
    text = blending.finding(found.reset_index(), "proposed-arcface")
    assert "**not to a mere edge, but to what was redrawn and pasted**: to own face redrawn, pasted (100%)" in text
    assert "not clearly to own face, second exposure" in text


@pytest.mark.parametrize(
    ("edge", "forgery", "verdict"),
    [
        (0.3, 0.0, "more to blending than to forgery"),
        (0.0, 0.3, "more to forgery than to blending"),
        (0.0, 0.0, "nothing here decides"),
    ],
)
def test_a_network_that_reacts_to_every_edge_is_told_from_others(edge, forgery, verdict):
    text = blending.finding(blending.claims(scored(edge, forgery), ["proposed-arcface"]), "proposed-arcface")
    assert text == f"proposed + ArcFace: **{verdict}**."


@pytest.mark.parametrize(
    ("clear", "verdict"),
    [
        ([], "to no kind of edge by itself"),
        (["own face, 5 % brighter"], "more to blending than to forgery, but not to every edge"),
    ],
)
def test_edges_that_do_nothing_are_named(clear, verdict):
    rows = [("edge", 0.6, 0.55), ("forgery", 0.5, 0.4), ("edge above forgery", 0.6, 0.55)]
    rows += [(f"only {kind}", 0.6, 0.55 if kind in clear else 0.45) for kind in blending.EDGE_ONLY]
    table = pd.DataFrame(rows, columns=["question", "share", "low"]).assign(network="plain-linear", high=0.7)
    text = blending.finding(table, "plain-linear")
    assert f"**{verdict}**" in text
    for kind in blending.EDGE_ONLY:
        assert (f"{kind} (60%)" in text.split("not clearly to")[1]) == (kind not in clear)
