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
PERSON = ["by", "band", "people", "real", "fake"]


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


def test_who_it_is_wrong_about_is_there_where_it_was_measured(figures):
    final = pd.read_csv(figures / "results.csv")["network"].iloc[-1]
    assert "Who is it wrong about" not in cards.model_card(figures)
    person = pd.DataFrame([("sex", "man", 41, 61, 90), ("sex", "woman", 35, 55, 74)], columns=PERSON)
    rates = {name: [0.31, 0.1234] for name in ("false_positive", "missed", "auc")}
    bounds = {
        f"{name}_{end}": [0.3, 0.1] if end == "low" else [0.32, 0.13] for name in rates for end in ("low", "high")
    }
    person.assign(**rates, **bounds, network=final).to_csv(figures / "errors-by-person.csv", index=False)
    card = cards.model_card(figures)
    assert "| sex | woman | 35 | 55 | 74 | 12 % (10 to 13) | 12 % (10 to 13) | 0.123 (0.100 to 0.130) |" in card
    assert "real called fake, woman minus man (sex) −0.187" in card
    assert "A photograph isn't a video" not in card
    photographs = pd.DataFrame(
        {
            "set": "studio", "about": "portraits of a studio", "group": "all", "photographs": 204, "with_face": 203,
            "people": 102, "cannot_tell": 0.4, "rule": "p ≤ 0.1", "stated": 0.1,
            "flagged": [0.7654], "low": 0.7, "high": 0.83,
            "lowest": 0.7, "highest": 0.8, "chance_low": 0.04, "chance_high": 0.17, "network": final,
            "seeds": "0, 1", "held_out": 464, "trained_on": "crops of some kind",
        }
    )  # fmt: skip
    photographs.to_csv(figures / "flagged-photographs.csv", index=False)
    card = cards.model_card(figures)
    assert "| studio | all | 203 of 204 | 40 % | 77 % (70 to 83), seeds 70 to 80 |" in card
    assert "studio, portraits of a studio." in card
    assert "**1 of 1 cases**: studio: 77 % instead of 10 %" in card
    assert "A photograph isn't a video" in card


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
