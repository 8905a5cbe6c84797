"""Profiles: every mistake is named, nothing is silently a default."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import dfnb
from dfnb import profile
from dfnb.common import files
from dfnb.common.errors import UserError


@pytest.mark.parametrize("name", ["smoke", "demo", "study", "genuine", "paper", "clip"])
def test_the_packaged_profiles_are_valid(name):
    assert profile.load(name).name == name


def test_paper_profile_is_the_recipe_of_the_design():
    paper = profile.load("paper")
    train = paper.train
    assert (train.optimizer, train.lr, train.momentum, train.rho) == ("sam", 1e-3, 0.9, 0.05)
    assert (train.batch, train.epochs, train.decay_from, train.seeds) == (16, 100, 0.75, (0, 1, 2))
    assert (paper.model.backbone, paper.model.size) == ("tf_efficientnet_b4.ap_in1k", 380)
    assert (paper.data.train_frames, paper.data.test_frames, paper.data.compression) == (8, 32, "c23")


def test_the_clip_profile_is_a_foundation_model_of_which_the_norms_learn():
    clip = profile.load("clip")
    assert (clip.train.tune, clip.train.optimizer, clip.train.lr, clip.train.weight_decay) == (
        "norms",
        "adamw",
        3e-4,
        0,
    )
    assert clip.data == profile.load("paper").data
    assert profile.load("paper").train.tune == "all"
    assert "tune" not in profile.load("paper").asked()["train"]  # what older runs hashed
    assert clip.asked()["train"]["tune"] == "norms"


def test_overrides_reach_nested_settings_and_leave_the_rest():
    changed, plain = profile.load("demo", {"train.steps": 10}), profile.load("demo")
    assert changed.train.steps == 10
    assert changed.model_copy(update={"train": plain.train}) == plain


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"train.stepz": 1}, "train.stepz"),
        ({"trane.steps": 1}, "trane"),
        ({"train.steps": "many"}, "train.steps"),
        ({"train.steps": 0}, "train.steps"),
        ({"train.epochs": 3}, "train.epochs"),
        ({"train.networks": [["proposed", 3]]}, "train.networks.0.1"),
        ({"train.networks": [["plain", "linear"], ["plain", "linear"]]}, "twice"),
        ({"train.steps.more": 1}, "train.steps.more"),
        ({"data.celeb_df": "somewhere"}, "celeb_df"),
        ({"data.source": "folders"}, "data.face_forensics"),
        ({"name": "../elsewhere"}, "name"),
        ({"arcface.margin": -0.1}, "arcface.margin"),
    ],
)
def test_a_wrong_setting_is_named(overrides, named):
    with pytest.raises(UserError, match=named.replace(".", r"\.")):
        profile.load("demo", overrides)


@pytest.mark.parametrize(("network", "named"), [(["proposed", "cosface"], "cosface"), (["third", "linear"], "third")])
def test_an_unknown_network_is_named_when_a_run_is_opened(network, named):
    with pytest.raises(UserError, match=f"unknown .*'{named}'; one of .*, "):
        dfnb.open_run("demo", {"train.networks": [network]})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "not valid YAML"),
        ("just text", "key: value"),
        ("name: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("", "key: value"),
    ],
)
def test_a_file_that_is_no_profile_is_named(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as error:
        profile.load(path)
    assert "mine.yaml" in str(error.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="clip, demo, faces, genuine, paper, paper-plus, smoke, study"):
        profile.load("dmeo")


def test_a_profile_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        profile.load("demo").train.steps = 3


def test_the_hash_follows_the_settings():
    plain = profile.load("demo")
    assert plain.hash() == profile.load("demo").hash()
    assert plain.hash() != profile.load("demo", {"seed": 1}).hash()
    assert plain.hash("model") == profile.load("demo", {"seed": 1}).hash("model")


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1).filter(lambda k: "=" not in k and k.strip() == k), st.integers()))
def test_parsed_overrides_are_what_was_written(values):
    assert profile.parse_overrides([f"{key}={value}" for key, value in values.items()]) == values


@pytest.mark.parametrize("item", ["train.steps", "=3", "a=[1"])
def test_an_override_that_cannot_be_read_is_named(item):
    with pytest.raises(UserError, match="override"):
        profile.parse_overrides([item])


def test_relative_folders_are_the_projects_from_any_folder_in_it(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert profile.load("demo").folder == tmp_path / "runs" / "demo"
    assert profile.resolve(Path("/elsewhere")) == Path("/elsewhere")


def test_a_written_profile_reads_back(tmp_path):
    demo = profile.load("demo")
    path = tmp_path / "copy.yaml"
    path.write_text(yaml.safe_dump(demo.model_dump(mode="json", exclude_none=True)))
    assert profile.load(path) == demo


@pytest.mark.parametrize("change", [{"robustness.jpeg": [10, 80]}, {"robustness.h264": [60]}, {"robustness.blur": []}])
def test_strengths_out_of_order_or_range_are_named(change):
    with pytest.raises(UserError, match="robustness"):
        profile.load("smoke", change)


def _locations(kind=profile.Profile, prefix=""):
    """(name, type) of every setting that holds paths, sections included."""
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, profile.Section):
            yield from _locations(field.annotation, f"{prefix}{name}.")
        elif "Path" in repr(field):
            yield prefix + name, repr(field.annotation)


LOCATIONS = dict(_locations())


@pytest.mark.parametrize("setting", LOCATIONS)
def test_home_and_environment_variables_in_a_path_are_written_out(setting, tmp_path, monkeypatch):
    """In YAML as in `--set`; all settings that hold paths, those to come included."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("DFNB_TEST_SETS", str(tmp_path / "sets"))
    wrap = {"dict": lambda path: {"a": path}, "tuple": lambda path: [path]}.get(
        LOCATIONS[setting].removeprefix("typing.").split("[")[0], lambda path: path
    )
    base = yaml.safe_load((Path(dfnb.__file__).parent / "profile/paper.yaml").read_text())
    for written, means in (
        ("~/a", tmp_path / "home/a"),
        ("$DFNB_TEST_SETS/a", tmp_path / "sets/a"),
        ("${DFNB_TEST_SETS}/a b", tmp_path / "sets/a b"),
        ("a/~/$", Path("a/~/$")),
    ):
        given = wrap(written)
        assert _value(profile.load("paper", {setting: given}), setting) == means
        *sections, last = setting.split(".")
        values = yaml.safe_load(yaml.safe_dump(base))
        inner = values
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = given
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
        assert _value(profile.load(tmp_path / "mine.yaml"), setting) == means


def _value(loaded: profile.Profile, setting: str) -> Path:
    value = loaded
    for name in setting.split("."):
        value = getattr(value, name)
    if isinstance(value, dict):
        (value,) = value.values()
    return value[0] if isinstance(value, tuple) else value


def test_the_settings_that_hold_paths_are_the_known_ones():
    assert {"runs", "data.faces", "data.more", "data.links_inside", "faces.landmarks", "model.weights"} <= set(
        LOCATIONS
    )


def test_a_variable_that_is_not_set_is_named_unless_a_folder_has_that_name(tmp_path, monkeypatch):
    monkeypatch.delenv("DFNB_UNSET", raising=False)
    with pytest.raises(UserError, match=r"data\.faces: .*the environment variable \$DFNB_UNSET isn't set"):
        profile.load("faces", {"data.faces": "$DFNB_UNSET/a"})
    (tmp_path / "$DFNB_UNSET").mkdir()
    assert profile.load("faces", {"data.faces": f"{tmp_path}/$DFNB_UNSET"}).data.faces == tmp_path / "$DFNB_UNSET"


def test_settings_added_later_leave_the_hash_of_a_run_without_them():
    """Against the hash of all settings but those, taken here; and each of them changes it."""
    unset = {"sbi.fakes": None, "sbi.degradation": {}, "model.drop_rate": 0.0, "model.drop_path_rate": 0.0}
    unset |= {"train.ema_decay": None}
    faces = profile.load("faces", unset)
    settings = faces.model_dump(mode="json")
    for section, setting in (("data", "more"), ("data", "sets"), ("data", "video"), ("data", "links_inside")):
        settings[section].pop(setting)
    for setting in ("detector", "pad", "crops", "given_landmarks"):
        settings["faces"].pop(setting)
    settings["sbi"] = {"hull_variation": True}
    for setting in ("workers", "ensembles"):
        settings["evaluate"].pop(setting)
    for setting in ("normalise", "drop_rate", "drop_path_rate"):
        settings["model"].pop(setting)
    for setting in ("ema_decay", "tune"):
        settings["train"].pop(setting)
    settings.pop("threads")
    assert faces.hash() == files.digest(settings)
    changes = {
        "threads": 1,
        "data.video": ".",
        "data.links_inside": ["/"],
        "faces.pad": False,
        "model.normalise": "none",
    }
    changes |= {
        "data.sets": {"mine": {"root": "/mine"}},
        "threads": 1,
        "sbi.colour.hue": 4,
        "model.drop_rate": 0.4,
        "model.drop_path_rate": 0.2,
        "train.ema_decay": 0.999,
        "evaluate.ensembles": {"both": ["plain-linear", "proposed-linear"]},
    }
    hashes = [profile.load("faces", unset | {key: value}).hash() for key, value in changes.items()]
    assert len({faces.hash(), *hashes}) == len(changes) + 1


def test_settings_of_a_named_set_that_came_later_change_no_hash_where_they_are_not_set():
    sets = {"mine": {"root": "/mine", "video": "."}}
    chosen = profile.load("faces", {"data.sets": sets})
    assert chosen.asked()["data"]["sets"] == {
        "mine": {"layout": "folder", "root": "/mine", "group": None, "video": "."}
    }
    for later in ({"crops": 0.1}, {"given_landmarks": True}):
        assert profile.load("faces", {"data.sets": {"mine": sets["mine"] | later}}).hash() != chosen.hash()


def test_crops_are_shares_that_leave_something():
    assert profile.load("faces", {"faces.crops": 0.1}).faces.crops == (0.1,) * 4
    assert profile.load("faces", {"faces.crops": [0, 0.5, 0.2, 0.1]}).faces.crops == (0, 0.5, 0.2, 0.1)
    for wrong in (0.5, -0.1, 1, [0.1, 0.2], "all", [0.5, 0, 0.5, 0], True):
        with pytest.raises(UserError, match=r"faces\.crops"):
            profile.load("faces", {"faces.crops": wrong})
    for setting in ("crops", "given_landmarks"):
        with pytest.raises(UserError, match=f"{setting} goes with the layouts folder and deepfakebench; leave it out"):
            profile.load(
                "faces",
                {"data.sets": {"a": {"layout": "dfdc", "root": "/a", setting: 0 if setting == "crops" else True}}},
            )


def test_test_sets_have_names_a_layout_and_patterns_that_fit_it(monkeypatch):
    monkeypatch.setenv("DFNB_TEST_SETS", "/sets")
    named = {"mine": {"root": "$DFNB_TEST_SETS/a"}, "celeb": {"layout": "celeb-df", "root": "/c"}}
    sets = profile.load("faces", {"data.sets": named}).data.sets
    assert list(sets) == ["mine", "celeb"]
    assert (sets["mine"].layout, sets["mine"].root) == ("folder", Path("/sets/a"))
    for wrong, message in [
        ({"mine": {}}, r"data\.sets\.mine\.root: Field required"),
        ({"mine": {"root": "/a", "labels": "b"}}, r"data\.sets\.mine\.labels: unknown setting"),
        ({"a/b": {"root": "/a"}}, r"data\.sets\.a/b\.\[key\]: String should match pattern"),
        (
            {"c": {"layout": "celeb-df", "root": "/c", "group": "(.)"}},
            r"data\.sets\.c: group goes with the layout folder",
        ),
        ({"c": {"layout": "ffiw", "root": "/c", "video": "."}}, r"data\.sets\.c: video goes with .* not with ffiw"),
    ]:
        with pytest.raises(UserError, match=message):
            profile.load("faces", {"data.sets": wrong})
    with pytest.raises(UserError, match=r"'embedded', so .* sets and faces must be left out"):
        profile.load("demo", {"data.sets": named})


@pytest.mark.parametrize(
    ("setting", "value"),
    [("model.drop_rate", 1), ("model.drop_path_rate", -0.1), ("model.normalise", "imagenet"), ("train.ema_decay", 1)],
)
def test_rates_out_of_range_are_named(setting, value):
    with pytest.raises(UserError, match=setting.replace(".", r"\.")):
        profile.load("smoke", {setting: value})
