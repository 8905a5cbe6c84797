"""Sweeps: what a plan may change, which cells are the same training, and a small sweep from end to end."""

import pytest
import torch
import yaml

from dfnb import networks, profile, training
from dfnb.common.errors import UserError
from dfnb.experiment import run, sweep, sweep_plan

LITE = {"backbone": "tf_efficientnet_lite0", "pretrained": False}


def plan(*entries: dict, **more: object) -> sweep_plan.Plan:
    about = {"label": "x", "question": "why?"}
    return sweep_plan.Plan.model_validate({"name": "s", "variations": [about | entry for entry in entries]} | more)


def test_the_sweep_of_the_package_fits_its_base_and_the_papers_profile():
    loaded = sweep_plan.load("sweep")
    for base in (profile.load("demo"), profile.load("paper")):
        for one in loaded.variations:
            changed = sweep_plan.applied(one, base)
            assert changed.hash("demo", "data", "faces") == base.hash("demo", "data", "faces")
            assert all(sweep_plan.at(changed, key) == value for key, value in one.change.items())
    settings = {key for one in loaded.variations for key in one.change}
    assert {"train.attention_weight", "model.attention", "sbi.hull_variation", "train.optimizer"} <= settings
    assert {"arcface.margin", "arcface.scale", "model.tap_reading"} <= settings
    assert {seed for one in loaded.variations for seed in one.seeds or ()} == {1, 2}


def test_every_setting_is_either_asked_or_held():
    loaded, base = sweep_plan.load("sweep"), profile.load("demo")
    for one in loaded.variations:
        asked, held = (
            {
                key
                for key, word in sweep_plan.WORDS.items()
                for part in text.split("; ")
                if part.rpartition(" ")[0] == word
            }
            for text in (
                sweep_plan.asked(one, base).replace(" instead of ", "; was "),
                sweep_plan.held(one, loaded, base),
            )
        )
        assert asked == set(one.change)
        assert held == set(loaded.knobs()) - asked
    margin = next(one for one in loaded.variations if one.name == "margin-0.4")
    assert sweep_plan.asked(margin, base) == "margin (rad) 0.4 instead of 0.2"
    assert "seed 0" in sweep_plan.held(margin, loaded, base)
    assert sweep_plan.asked(loaded.variations[0], base) == "seed 1 instead of 0"


def test_a_recorded_base_is_compared_with_todays_and_publishes_no_paths():
    base = profile.load("demo")
    recorded = sweep_plan.settings(profile.changed(base, {"model.weights": "/home/me/net.pth", "train.steps": 80}))
    assert "/home/me" not in str(recorded)
    assert sweep_plan.changed_since(recorded, base) == ["steps 80 instead of 320"]
    del recorded["model"]["drop_rate"]  # as before it could be set
    recorded["sbi"] = {"hull_variation": True}  # what the preset says anyway
    assert sweep_plan.changed_since(recorded, base) == [
        "kinds of fake self-blended 1 instead of self-blended 0.5, other-face 0.5",
        "share of pairs through H.264 0 instead of 0.5",
        "drop-out 0 instead of 0.2",
        "steps 80 instead of 320",
    ]


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([{"name": "a", "change": {"demo.size": 320}}], "a: demo.size can't be changed"),
        ([{"name": "a", "change": {"train.seeds": [1]}}], "train.seeds can't be changed"),
        ([{"name": "a"}, {"name": "a"}], "names of their own"),
        ([{"name": "base"}], "names of their own"),
        ([{"name": "a", "networks": [["proposed", "softmax"]]}], "networks"),
        ([{"name": "a", "colour": 3}], "unknown setting"),
        ([], "variations"),
    ],
)
def test_a_plan_that_makes_no_sense_is_named(entries, says, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump({"name": "s", "variations": [{"label": "x", "question": "y?"} | e for e in entries]})
    )
    with pytest.raises(UserError, match=says) as error:
        sweep_plan.load(path)
    assert "mine.yaml" in str(error.value)


def test_a_variation_that_does_not_fit_the_base_is_named():
    wrong = plan({"name": "a", "change": {"arcface.marign": 0}}).variations[0]
    with pytest.raises(UserError, match=r"demo.*arcface\.marign: unknown setting"):
        sweep_plan.applied(wrong, profile.load("demo"))
    with pytest.raises(UserError, match="no sweep 'sweeep'"):
        sweep_plan.load("sweeep")


def same(first: tuple, second: tuple, changes: tuple[dict, dict] = ({}, {})) -> bool:
    base = profile.load("demo")
    (a, b) = (profile.changed(base, change) if change else base for change in changes)
    return training.same_training(a, *first) == training.same_training(b, *second)


def test_trainings_that_differ_in_name_only_are_one():
    block, resolution = {"model.tap_reading": "block"}, {}
    one, two, proposed = ("network1", "linear", 0), ("network2", "linear", 0), ("proposed", "linear", 0)
    assert same(two, proposed, (block, resolution))  # Blocks 5 and 7 both
    assert same(one, one, (block, resolution))
    assert not same(proposed, proposed, (block, resolution))
    assert not same(proposed, ("proposed", "linear", 1))
    assert not same(proposed, ("proposed", "arcface", 0))
    assert not same(one, ("plain", "linear", 0))
    without, norm = {"model.attention": False}, ("plain-norm", "linear", 0)
    assert same(one, norm, (without, {}))
    assert not same(one, norm)
    assert not same(one, ("plain", "linear", 0), (without, {}))
    assert not same(norm, norm, ({"model.drop_rate": 0.4}, {}))
    assert not same(norm, norm, ({"train.ema_decay": 0.999}, {}))
    margin, weight = {"arcface.margin": 0.0}, {"train.attention_weight": 0.0}
    assert same(proposed, proposed, (margin, {}))
    assert not same(("proposed", "arcface", 0), ("proposed", "arcface", 0), (margin, {}))
    assert same(("plain", "linear", 0), ("plain", "linear", 0), (weight, {}))
    assert not same(proposed, proposed, (weight, {}))
    assert not same(proposed, proposed, ({"sbi.hull_variation": False}, {}))


def test_equal_taps_start_from_equal_weights():
    by_block = networks.build("network2", "linear", tap_reading="block", seed=3, **LITE).state_dict()
    by_resolution = networks.build("proposed", "linear", tap_reading="resolution", seed=3, **LITE).state_dict()
    assert by_block.keys() == by_resolution.keys()
    assert all(torch.equal(value, by_resolution[name]) for name, value in by_block.items())


def test_cells_share_the_base_runs_faces_and_equal_trainings(tmp_path):
    base = run.Run(profile.load("smoke", {"runs": str(tmp_path)}), build="all")
    one = sweep.Sweep(sweep_plan.load("sweep"), base)
    assert one.folder == tmp_path / "sweep-smoke"
    assert {cell.run.data_folder for cell in one.cells} == {base.folder}
    origins = {name: cell.name for name, cell in one.origins.items()}
    assert origins["taps-by-block/network2-linear-s0"] == "base/proposed-linear-s0"
    assert origins["taps-by-block/network1-linear-s0"] == "base/network1-linear-s0"
    assert origins["seed-1/plain-linear-s1"] == "seed-1/plain-linear-s1"
    assert sum(name == origin for name, origin in origins.items()) == len(set(origins.values()))
    fewer = plan({"name": "few", "change": {"data.people": 2}, "networks": [["proposed", "linear"]]})
    assert all(name == cell.name for name, cell in sweep.Sweep(fewer, base).origins.items())  # other faces
    with pytest.raises(ValueError, match="other videos"):
        run.Run(profile.load("demo"), tmp_path / "x", shared=base)
    run.Run(profile.changed(base.profile, {"data.people": 2}), tmp_path / "x", shared=base)  # of the same faces


@pytest.mark.parametrize(("name", "base"), [("study", "study"), ("study", "genuine"), ("curve", "genuine")])
def test_the_studies_of_the_package_fit_their_bases(name, base):
    loaded, known = sweep_plan.load(name), profile.load(base)
    assert profile.load(loaded.base)
    networks_of = {
        f"{variation.name}/{'-'.join(network)}" for variation in loaded.variations for network in variation.networks
    } | {"-".join(network) for network in known.train.networks}
    assert {side for asked in loaded.contrasts for side in (asked.ours, asked.theirs)} <= networks_of
    for variation in loaded.variations:
        changed = sweep_plan.applied(variation, known)
        assert set(changed.train.seeds) <= set(known.train.seeds)  # the unchanged network is there to compare
        assert set(changed.train.networks) <= set(known.train.networks)


def test_contrasts_name_networks_of_the_sweep_and_seeds_come_one_after_the_other(tmp_path):
    base = run.Run(profile.load("smoke", {"runs": str(tmp_path), "train.seeds": [0, 1]}), build="all")
    asked = {"name": "c", "question": "why?", "ours": "proposed-linear", "theirs": "network1-linear"}
    entry = {"name": "a", "change": {"train.attention_weight": 0}, "networks": [["proposed", "linear"]], "seeds": "all"}
    whole = sweep.Sweep(plan(entry, contrasts=[asked]), base)
    seeds = [cell.network.seed for cell in whole.missing()]
    assert seeds == sorted(seeds)
    assert seeds.count(0) == seeds.count(1) == len(base.networks) // 2 + 1
    with pytest.raises(UserError, match=r"c: no network 'a/network1-linear'; it has a/proposed-linear, network1"):
        sweep.Sweep(plan(entry, contrasts=[asked | {"theirs": "a/network1-linear"}]), base)
