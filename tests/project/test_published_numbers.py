"""Every published number is that of the file beside it: README, notebooks, figures, results, the run they name."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import viewers
from sklearn.metrics import auc as trapezoid

from dfnb import profile
from dfnb.plots import style
from dfnb.report import publishing
from dfnb.sbi import presets

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "figures"
RECORD = json.loads((FIGURES / "results.json").read_text("utf-8"))
ABOUT = {
    path.stem: about
    for path in sorted(FIGURES.glob("*.json"))
    for about in [json.loads(path.read_text("utf-8"))]
    if "kind" in about
}
TABLES = [name for name, about in ABOUT.items() if about["kind"] == "table"]


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    """The tables of the published notebooks, in HTML."""
    paths = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    tables = [viewers.outputs_of(nbformat.read(path, as_version=4), "table") for path in paths]
    return {name: output.data["text/html"] for of in tables for name, output in of.items()}


def test_the_two_files_of_results_say_the_same():
    table = pd.read_csv(FIGURES / "results.csv")
    record = pd.DataFrame(RECORD["results"])[list(table.columns)]
    pd.testing.assert_frame_equal(table, record, check_dtype=False, rtol=1e-12)


def test_the_readmes_table_is_that_of_the_results():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert publishing.with_results(readme, FIGURES) == readme
    changed = re.sub(r"\(0\.\d", "(0.0", readme, count=1)
    assert changed != readme
    assert publishing.with_results(changed, FIGURES) != changed  # a number changed by hand would be seen


def test_every_figure_and_table_names_its_run_and_its_files():
    runs = {about["run"] for about in ABOUT.values()}
    assert runs == {RECORD["profile"]["name"]}
    assert len({about["profile"] for about in ABOUT.values()}) == 1  # all of one state of its settings
    for name, about in ABOUT.items():
        assert about["data"] in ("embedded benchmark", "folders", "elsewhere")
        for file in about["files"]:
            assert (FIGURES / file).is_file(), f"{name}: {file}"


def test_checkpoints_behind_the_figures_are_those_of_the_results():
    known = {(f"{row['network']}-s{row['seed']}", row["checkpoint"]) for row in RECORD["results"]}
    for name, about in ABOUT.items():
        assert set(about["checkpoints"].items()) <= known, name


@pytest.mark.parametrize("name", TABLES)
def test_a_table_in_a_notebook_shows_the_numbers_of_its_file(shown, name):
    frame = pd.read_csv(FIGURES / f"{name}.csv", keep_default_na=False)
    if name not in shown:
        pytest.skip("of no published notebook")
    head, *rows = viewers.rows(shown[name])
    assert head == [name.replace("_", " ") for name in frame.columns]
    assert len(rows) == len(frame)
    for told, row in zip(rows, frame.astype(object).to_numpy().tolist(), strict=True):
        for text, value in zip(told, row, strict=True):
            assert agrees(text, value), (name, text, value)


def agrees(text: str, value: object) -> bool:
    """Whether a cell shows this value, rounded to the decimals it has."""
    if text == str(value) or (text == "–" and value == ""):
        return True
    plain = text.replace("−", "-").replace(",", "")
    if not re.fullmatch(r"-?\d+(\.\d+)?(e[-+]?\d+)?", plain):
        return False
    mantissa, _, exponent = plain.partition("e")
    digits = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return abs(float(plain) - float(value)) <= 0.5 * 10.0**-digits * (1 + 1e-9)


@pytest.mark.parametrize(
    ("text", "value", "right"),
    [("0.957", 0.95671, True), ("0.957", 0.9581, False), ("−0.010", -0.0098, True), ("1.2e-05", 1.23e-5, True),
     ("12,000", 12000, True), ("–", "", True), ("proposed", "proposed", True), ("0.9", "", False)],
)  # fmt: skip
def test_agreement_is_strict(text, value, right):
    try:
        assert agrees(text, value) is right
    except ValueError:
        assert not right


@pytest.mark.parametrize("part", ["celeb-df", "ffiw"])
def test_the_area_under_a_published_curve_is_the_published_auc(part):
    """The plotted points, integrated again."""
    points = pd.read_csv(FIGURES / f"roc-{part}.csv")
    results = pd.DataFrame(RECORD["results"])
    chosen = results[(results["part"] == part) & (results["level"] == "video") & results["size_rule"]]
    for name, curve in points[points["curve"] == "roc"].groupby("network"):
        (value,) = chosen.loc[(chosen["network"] == name) & (chosen["seed"] == chosen["seed"].min()), "auc"]
        assert trapezoid(curve["fpr"], curve["tpr"]) == pytest.approx(value, abs=1e-5)


def test_the_forest_shows_the_results():
    forest = pd.read_csv(FIGURES / "auc-forest.csv")
    results = pd.DataFrame(RECORD["results"])
    merged = forest.merge(results, on=["network", "seed", "part", "level", "size_rule"], suffixes=("", "_result"))
    assert len(merged) == len(forest)
    for column in ("auc", "low", "high"):
        np.testing.assert_allclose(merged[column], merged[f"{column}_result"], rtol=1e-5)


def test_words_for_those_who_cannot_see_name_the_results():
    """The alt text of the forest: each AUC in it is a result, rounded."""
    told = re.findall(r"(\d\.\d{3}) \((\d\.\d{3}) to (\d\.\d{3})\)", ABOUT["auc-forest"]["alt"])
    results = {tuple(f"{row[k]:.3f}" for k in ("auc", "low", "high")) for row in RECORD["results"]}
    assert told
    assert set(told) <= results


def test_the_benchmarks_numbers_say_so():
    assert RECORD["embedded_benchmark"] is (RECORD["profile"]["data"]["source"] == "embedded")
    for name, about in ABOUT.items():
        if about["data"] == "embedded benchmark" and "paper" not in name:
            assert style.NOTICE in about["caption"], name


def test_the_published_profile_is_the_packaged_one():
    """Settings added since may be missing from the record; none may differ."""
    packaged, record = profile.load(RECORD["profile"]["name"]), dict(RECORD["profile"])
    now, blended = packaged.model_dump(mode="json"), profile.Sbi.model_validate(record.pop("sbi"))

    def differs(then, here) -> bool:
        if isinstance(then, dict):
            return any(key in here and differs(value, here[key]) for key, value in then.items())
        return then != here

    assert not differs(record, now)
    assert presets.settings_of(blended) == presets.settings_of(packaged.sbi)
