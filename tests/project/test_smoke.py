"""The whole report with the smoke profile: every notebook, every step, through the command a user types."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import viewers
import yaml
from safetensors import safe_open

from dfnb import networks
from dfnb import profile as profiles
from dfnb.common.errors import UserError
from dfnb.data import store
from dfnb.experiment.run import Run, open_run

ROOT = Path(__file__).parents[2]


def dfnb(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run the command line as a user would."""
    command = [sys.executable, "-c", "from dfnb.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> dict:
    """One smoke report, made once for all tests here."""
    folder = tmp_path_factory.mktemp("smoke")
    settings = yaml.safe_load((ROOT / "dfnb" / "profile" / "smoke.yaml").read_text())
    settings["runs"] = str(folder / "runs")
    path = folder / "smoke.yaml"
    path.write_text(yaml.safe_dump(settings))
    done = dfnb("report", "--profile", path)
    assert done.returncode == 0, done.stdout + done.stderr
    return {"profile": path, "run": folder / "runs" / "smoke", "done": done}


def test_the_report_prints_the_table_and_where_the_html_is(smoke):
    out = smoke["done"].stdout
    assert re.search(r"\| proposed \+ ArcFace \| [01]\.\d{3} \([01]\.\d{3} to [01]\.\d{3}\) \|", out)
    assert f"report: {smoke['run'] / 'report' / 'report.html'}" in out
    assert "rendered heads, no real people" in out


def test_every_notebook_ran_to_its_end_with_figures(smoke):
    sources = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    assert len(sources) >= 6
    for source in sources:
        executed = nbformat.read(smoke["run"] / "report" / "notebooks" / source.name, as_version=4)
        code = [cell for cell in executed.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code), source.name
        assert not [output for cell in code for output in cell.outputs if output.output_type == "error"], source.name
        viewers.check(executed)


def test_the_page_is_complete_and_needs_no_network(smoke):
    text = (smoke["run"] / "report" / "report.html").read_text()
    assert text.count("<section") == len(list((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))) + 1  # the glossary
    assert not re.search(r'<(?:img|script|link)[^>]+(?:src|href)="(?!data:)', text)
    assert all('alt="' in tag for tag in re.findall(r"<img[^>]*>", text))
    assert len(text) < 15_000_000


def test_results_are_there_for_every_network_set_and_rule(smoke):
    record = json.loads((smoke["run"] / "report" / "results.json").read_text())
    table = pd.DataFrame(record["results"])
    assert record["embedded_benchmark"] is True
    assert set(table["part"]) == {"sbi", "ff", "celeb-df", "ffiw"}
    networks = {"plain-linear", "network1-linear", "network2-linear", "proposed-linear", "proposed-arcface"}
    assert set(table["network"]) == networks
    assert table["auc"].between(0, 1).all()
    assert (table["low"] <= table["auc"]).all()
    assert (table["auc"] <= table["high"]).all()


def test_score_tables_name_the_checkpoint_and_the_store_they_came_from(smoke):
    import hashlib

    table = pd.read_parquet(smoke["run"] / "scores" / "celeb-df" / "proposed-arcface-s0.parquet")
    checkpoint = smoke["run"] / "networks" / "proposed-arcface-s0" / "checkpoint.safetensors"
    assert set(table["checkpoint"]) == {hashlib.sha256(checkpoint.read_bytes()).hexdigest()}
    assert set(table["store"]) == {store.open_store(smoke["run"] / "faces" / "celeb-df").digest}
    needed = {"dataset", "video", "frame", "face", "x0", "y0", "x1", "y1", "score", "label", "method", "group"}
    assert needed <= set(table.columns)


def test_a_checkpoint_knows_its_profile_and_its_domain(smoke):
    path = smoke["run"] / "networks" / "proposed-arcface-s0" / "checkpoint.safetensors"
    about = networks.metadata(path)
    assert about["domain"] == "embedded benchmark"
    assert about["profile"]["name"] == "smoke"
    with safe_open(path, "pt") as file:
        assert len(list(file.keys())) > 100


def test_training_saw_no_manipulated_frame(smoke):
    for part in ("train", "validation"):
        manifest = store.open_store(smoke["run"] / "faces" / part).manifest
        assert set(manifest["label"]) == {"real"}
        assert set(manifest["method"]) == {"original"}


def test_a_second_report_does_nothing_again(smoke):
    before = {path: path.stat().st_mtime_ns for path in smoke["run"].rglob("*.safetensors")}
    executed = {path: path.stat().st_mtime_ns for path in (smoke["run"] / "report" / "notebooks").glob("*.ipynb")}
    done = dfnb("report", "--profile", smoke["profile"])
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {path: path.stat().st_mtime_ns for path in executed} == executed


def test_one_video_is_scored_with_the_warning_of_its_domain(smoke, tmp_path):
    checkpoint = smoke["run"] / "networks" / "proposed-arcface-s0" / "checkpoint.safetensors"
    video = next((smoke["run"] / "benchmark" / "Celeb-DF-v2" / "Celeb-synthesis").glob("*.mp4"))
    done = dfnb("score", checkpoint, video, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["warning"].startswith("not valid for real videos")
    assert 0 <= answer["files"][0]["score"] <= 1
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"")
    mixed = dfnb("score", checkpoint, video, broken)
    assert mixed.returncode == 3
    assert mixed.stdout.startswith("# not valid for real videos")
    assert "broken.mp4" in mixed.stdout
    assert dfnb("score", checkpoint, broken).returncode == 4


@pytest.fixture(scope="module")
def swept(smoke) -> dict:
    """A sweep of the smoke run in which one cell can't be trained."""

    def variation(name: str, change: dict, variant: str = "proposed") -> dict:
        return {"label": "x", "question": "why?", "name": name, "change": change, "networks": [[variant, "linear"]]}

    variations = [
        variation("untaught", {"train.attention_weight": 0}),
        variation("block", {"model.tap_reading": "block"}, "network2"),
        variation("wild", {"train.lr": 1.0e20}),
    ]
    path = smoke["profile"].with_name("sweep.yaml")
    contrasts = [
        {"name": name, "question": "why?", "ours": "proposed-linear", "theirs": f"{name}/proposed-linear"}
        for name in ("untaught", "wild")
    ]
    plan = {"name": "few", "base": str(smoke["profile"]), "variations": variations}
    plan |= {"contrasts": contrasts, "kinds": {"foreign": ["celeb-df", "ffiw"], "absent": ["dfdc"]}}
    path.write_text(yaml.safe_dump(plan))
    command = ("sweep", "--profile", path, "--threads", "1")
    return {"command": command, "done": dfnb(*command), "folder": smoke["run"].with_name("few-smoke")}


def test_a_sweep_shows_what_is_finished_and_says_what_is_missing(smoke, swept):
    assert swept["done"].returncode == 3, swept["done"].stderr
    assert "dfnb: wild/proposed-linear-s0: proposed linear: the loss is" in swept["done"].stderr
    table = pd.read_csv(swept["folder"] / "sweep.csv", keep_default_na=False)
    assert list(dict.fromkeys(table["variation"])) == ["base", "untaught", "block"]
    assert len(table) == (5 + 1 + 1) * 4
    record = json.loads((swept["folder"] / "sweep.json").read_text())
    assert record["missing"] == list(record["failed"]) == ["wild/proposed-linear-s0"]
    assert (record["cells"], record["trainings"], record["embedded_benchmark"]) == (8, 6, True)
    assert record["seconds"] > 0
    untaught = table[table["variation"] == "untaught"]
    assert set(untaught["asked"]) == {"attention weight 0 instead of 1"}
    assert set(untaught["threads"].astype(float)) == {1.0}
    results = pd.read_csv(smoke["run"] / "results.csv")
    merged = table[table["variation"] == "base"].merge(results[results["size_rule"] == (results["level"] == "video")])
    assert len(merged) == 5 * 4  # the very numbers of the run


def test_a_sweep_answers_its_questions_over_kinds_of_sets_and_publishes_them(smoke, swept, tmp_path):
    answers = pd.read_csv(swept["folder"] / "sweep-contrasts.csv")
    assert answers[["contrast", "kind"]].values.tolist() == [["untaught", kind] for kind in ("ff", "foreign", "mean")]
    table = pd.read_csv(swept["folder"] / "sweep.csv").set_index(["variation", "network", "part"])["auc"].sort_index()
    by_kind = answers.set_index("kind")
    for column, variation in (("auc", "base"), ("reference_auc", "untaught")):
        aucs = table[variation, "proposed-linear"]
        foreign = (aucs["celeb-df"] + aucs["ffiw"]) / 2
        assert by_kind.loc["foreign", column] == pytest.approx(foreign)
        assert by_kind.loc["mean", column] == pytest.approx((foreign + aucs["ff"]) / 2)
    assert answers["smallest"].dropna().gt(0).all()
    (tmp_path / "figures").mkdir()
    done = dfnb(*swept["command"], "--tables", "--publish", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = {f"few-smoke{rest}" for rest in (".csv", "-contrasts.csv", "-differences.csv", "-who.csv", ".json")}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names
    errors = pd.read_csv(tmp_path / "figures" / "few-smoke-who.csv")
    counts = pd.read_csv(swept["folder"] / "sweep.csv").drop_duplicates("part").set_index("part")[["real", "fake"]]
    for _, bands in errors.groupby("by"):  # everybody is in one band of each kind; FFIW shows several people at a time
        assert bands[["real", "fake"]].sum().tolist() == counts.loc[["ff", "celeb-df"]].sum().tolist()


def test_training_on_fewer_people_keeps_some_of_those_of_more(smoke):
    base = open_run(str(smoke["profile"]))
    everyone = set(base.store("train").manifest["group"])
    kept = []
    for count in (2, 3):
        fewer = Run(profiles.changed(base.profile, {"data.people": count}), shared=base)
        kept.append(set(fewer.store("train").manifest["group"]))
        assert len(kept[-1]) == count
        assert fewer.store("validation").digest == base.store("validation").digest
    assert kept[0] < kept[1] <= everyone
    with pytest.raises(UserError, match=r"data\.people = 1000: faces of \d+ people were found"):
        Run(profiles.changed(base.profile, {"data.people": 1000}), shared=base).store("train")


def test_equal_taps_are_trained_once(swept):
    table = pd.read_csv(swept["folder"] / "sweep.csv", keep_default_na=False)
    block = table[table["variation"] == "block"]
    assert set(block["same_as"]) == {"base/proposed-linear-s0"}
    assert set(block["taps"]) == {"5, 7"}
    assert not list((swept["folder"] / "block").glob("networks/*"))
    assert len(list(swept["folder"].glob("*/networks/*/checkpoint.safetensors"))) == 1


def test_a_finished_cell_is_not_run_again(swept):
    before = {path: path.stat().st_mtime_ns for path in swept["folder"].glob("*/*/*/*.*") if path.suffix != ".lock"}
    listed = dfnb(*swept["command"], "--list")
    assert listed.stdout.count("missing") == 1
    assert "finished  block/network2-linear-s0 (the same training as base/proposed-linear-s0)" in listed.stdout
    assert dfnb(*swept["command"]).returncode == 3
    assert len(before) >= 9
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "--profile", "dmeo"], "no profile 'dmeo'"),
        (["train", "--set", "train.stepz=3"], "train.stepz: unknown setting"),
        (["prepare", "--profile", "paper"], "FaceForensics"),
        (["prepare", "--profile", "smoke", "--set", "faces.landmarks=/nowhere/model.dat"], "/nowhere/model.dat"),
        (["score", "/nowhere/checkpoint.safetensors", "/nowhere.mp4"], "/nowhere/checkpoint.safetensors"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(arguments, says, tmp_path):
    if arguments[0] == "prepare":
        arguments = [*arguments, "--set", f"runs={tmp_path}"]
    done = dfnb(*arguments)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("dfnb: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in done.stderr
