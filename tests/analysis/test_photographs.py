"""Flagged photographs: shares counted by hand from what `dfnb score` writes and the checkpoint's held-out people."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from dfnb.analysis import photographs
from dfnb.common.errors import UserError

HELD_OUT = [k / 100 for k in range(100)]  # 100 scores, 0 to 0.99
ABOUT = {"a": "a studio", "b": "a phone"}


@pytest.fixture
def checkpoints(monkeypatch):
    """Two checkpoints' headers; what is read of a file is tested elsewhere."""
    kept = {"image": HELD_OUT, "video": []}
    known = {"s0": {"seed": 0, "real_people": kept}, "s1": {"seed": 1, "real_people": kept}, "few": {"seed": 2}}
    monkeypatch.setattr(photographs, "metadata", lambda path: known[str(path)])


def index(count: int = 40) -> pd.DataFrame:
    names = [f"p{k}.jpg" for k in range(count)]
    return pd.DataFrame(
        {"file": names, "source": ["a", "b"] * (count // 2), "sex": ["man", "man", "woman", "woman"] * 10}
    )


def scored(path, scores):
    """As `dfnb score -o FILE.json` writes it; of every fourth photograph it says that it can't tell."""
    rows = [
        {"file": f"/x/p{k}.jpg", "score": None if np.isnan(s) else s, "cannot_tell": ["blurred"] * (k % 4 == 0)}
        for k, s in enumerate(scores)
    ]
    path.write_text(json.dumps({"schema": 2, "files": rows}))
    return path


def test_shares_are_those_counted_by_hand(tmp_path, checkpoints):
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0.5, 1, 40), rng.uniform(0.7, 1, 40)
    first[4] = second[4] = np.nan  # without a face
    tables = {"s0": scored(tmp_path / "0.json", first), "s1": scored(tmp_path / "1.json", second)}
    found = photographs.flagged(tables, index(), ABOUT, "net", "faces")
    row = found[(found["set"] == "a") & (found["group"] == "all") & (found["stated"] == 0.1)].iloc[0]
    # p = (1 + held-out people as high) / 101 is at most 0.1 where at most 9 are as high: from 0.9 exclusive on
    shares = [np.mean(np.delete(scores, 4)[[*range(0, 4, 2), *range(5, 39, 2)]] > 0.90) for scores in (first, second)]
    assert row["flagged"] == pytest.approx(np.mean(shares))
    assert (row["lowest"], row["highest"]) == pytest.approx((min(shares), max(shares)))
    assert (row["photographs"], row["with_face"], row["held_out"], row["seeds"]) == (20, 19, 100, "0, 1")
    half = found[(found["set"] == "b") & (found["group"] == "sex man") & (found["rule"] == photographs.HALF)].iloc[0]
    assert half["flagged"] == 1.0
    assert half["photographs"] == 10
    assert row["cannot_tell"] == pytest.approx(9 / 19)  # p0, p4 (no face), p8, ..., p36
    assert list(found["group"].unique()) == ["all", "sex man", "sex woman"]
    readable = photographs.readable(found)
    assert readable["with a face"].tolist()[0] == "19 of 20"
    assert "seeds " in readable["flagged at a stated 10 %"].iloc[0]


def test_of_one_seed_and_a_photograph_a_person_the_interval_is_wilsons(tmp_path, checkpoints):
    scores = np.where(np.arange(40) % 4 == 0, 0.99, 0.2)
    found = photographs.flagged({"s0": scored(tmp_path / "0.json", scores)}, index(), ABOUT, "net", "faces")
    row = found[(found["set"] == "a") & (found["group"] == "all") & (found["stated"] == 0.05)].iloc[0]
    wilson = binomtest(10, 20).proportion_ci(0.95, "wilson")
    assert (row["flagged"], row["low"], row["high"]) == pytest.approx((0.5, wilson.low, wilson.high))
    assert "**2 of 4 cases**: a: 50 % instead of 10 %; a: 50 % instead of 5 %." in photographs.finding(found)
    together = index().assign(person=[f"q{k // 4}" for k in range(40)])  # in each one photograph of set a is flagged
    pairs = photographs.flagged({"s0": tmp_path / "0.json"}, together, ABOUT, "net", "faces")
    assert pairs.loc[0, "people"] == 10
    assert pairs.loc[0, "flagged"] == 0.5


def test_what_is_wrong_is_named(tmp_path, checkpoints):
    file = scored(tmp_path / "0.json", np.full(39, 0.5))
    with pytest.raises(UserError, match=r"0\.json: no row for p39\.jpg \(1 lack one\)"):
        photographs.flagged({"s0": file}, index(), ABOUT, "net", "faces")
    with pytest.raises(UserError, match="few: single images of fewer than 20 real people"):
        photographs.flagged({"few": file}, index(), ABOUT, "net", "faces")
    with pytest.raises(UserError, match="the set b of the index isn't described"):
        photographs.flagged({"s0": file}, index(), {"a": "x"}, "net", "faces")
    file.write_text('{"files": [{"name": "p0.jpg"}]}')
    with pytest.raises(UserError, match="not what `dfnb score"):
        photographs.flagged({"s0": file}, index(), ABOUT, "net", "faces")
