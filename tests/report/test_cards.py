"""The cards hold the numbers of the published files and no others, and say what must be said."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from dfnb.common.errors import UserError
from dfnb.report import cards

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("file", "make"), [(cards.MODEL, cards.model_card), (cards.DATA, cards.data_card)])
def test_the_published_cards_are_those_of_the_published_numbers(file, make):
    assert (ROOT / file).read_text(encoding="utf-8") == make(ROOT / "figures"), "run `dfnb report --publish`"


@pytest.fixture
def figures(tmp_path):
    for name in ("results.json", "results.csv", "coverage.csv", "catalogue.csv", "auc-by-manipulation.csv"):
        shutil.copy(ROOT / "figures" / name, tmp_path / name)
    return tmp_path


def test_a_changed_number_changes_the_card(figures):
    before = cards.model_card(figures)
    results = pd.read_csv(figures / "results.csv")
    final = results["network"].iloc[-1]
    place = (results["network"] == final) & (results["part"] == "celeb-df") & (results["level"] == "video")
    results.loc[place, "auc"] = 0.123456
    results.to_csv(figures / "results.csv", index=False)
    after = cards.model_card(figures)
    assert "0.123 (" in after
    assert "0.123 (" not in before
    coverage = pd.read_csv(figures / "coverage.csv")
    coverage.loc[0, "lost"] = 777
    coverage.to_csv(figures / "coverage.csv", index=False)
    assert "777 were lost" in cards.data_card(figures)


def test_failures_are_named_where_they_were_measured(figures):
    final = pd.read_csv(figures / "results.csv")["network"].iloc[-1]
    assert "Bad copies" not in cards.model_card(figures)
    curves = pd.DataFrame(
        [(final, "jpeg", k, q, auc, 0.512, 0.703) for k, q, auc in ((0, None, 0.9), (1, 80, 0.8), (2, 10, 0.61234))],
        columns=["network", "corruption", "level", "strength", "auc", "low", "high"],
    )
    curves.to_csv(figures / "robustness.csv", index=False)
    blends = pd.DataFrame([{"network": final, "kind": "swap, redrawn whole", "auc": 0.5678, "low": 0.44, "high": 0.66}])
    blends.to_csv(figures / "blending.csv", index=False)
    card = cards.model_card(figures)
    assert (
        "from 0.900 on the videos as they are, at the strongest level tested to JPEG quality 10: 0.612 (0.512 to 0.703)"
        in card
    )
    assert "in 57% of pairs (44% to 66%); 50% is no difference" in card


def test_a_run_on_real_videos_is_not_called_rendered(figures):
    record = json.loads((figures / "results.json").read_text())
    assert "not valid for videos of real people" in cards.model_card(figures)
    (figures / "results.json").write_text(json.dumps(record | {"embedded_benchmark": False}))
    assert "rendered heads. They are not valid" not in cards.model_card(figures)
    rendered, real = cards.data_card(figures).split("## The real sets")
    catalogue, coverage = (pd.read_csv(figures / f"{name}.csv") for name in ("catalogue", "coverage"))
    for found in (f"| {catalogue['dataset'].iloc[-1]} | ", f"Of the {coverage['listed'].sum()} videos"):
        assert found in real
        assert found not in rendered


def test_links_lead_somewhere_and_every_licence_is_named():
    for file in (cards.MODEL, cards.DATA):
        text = (ROOT / file).read_text()
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert "://" in target or (ROOT / target).exists(), target
        for name in ("MIT", "ImageNet", "300-W", "anny", "FaceForensics++", "Celeb-DF", "FFIW"):
            assert name in text.split("## Licences")[1]


def test_missing_results_are_named(tmp_path):
    with pytest.raises(UserError, match=r"results\.json"):
        cards.model_card(tmp_path)
