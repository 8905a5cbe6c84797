"""Lists, profiles, stores, checkpoints and score tables that something is wrong with: one line, status 2, no traceback.

Through the command a user types, run in this process, where a command reads the file; otherwise through the function
that does. What is only odd (byte-order marks, blank lines) must come out right.
"""

# ruff: noqa: F811 (fixtures of another module are arguments here)

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from filelock import FileLock
from lab import NETWORK, SETTINGS, checkpoint, dfnb, heads, lab, made, profile  # noqa: F401 (fixtures)
from safetensors.torch import load, save_file
from small_sets import make_celeb, make_ff

from dfnb import networks, open_run
from dfnb.common.errors import UserError
from dfnb.data import catalogues
from dfnb.data.store.read import META
from dfnb.networks.checkpoint import FORMAT


def complaint(ended) -> str:
    """The one line in which a command said what is wrong, having ended with 2."""
    assert ended.status == 2, (ended.status, ended.err)
    assert len(ended.complaints) == 1, ended.err
    assert "Traceback" not in ended.err
    return ended.complaints[0]


# ---- lists ----


def sets(folder: Path) -> Path:
    """The three sets in small, their videos unreadable, and a profile."""
    make_ff(folder / "ff")
    make_celeb(folder / "celeb")
    data = {"faces": None, "face_forensics": str(folder / "ff"), "celeb_df": str(folder / "celeb")}
    return profile(folder, data={**data, "manipulations": ["Deepfakes"]})


GOOD_PAIRS = '[["000", "001"], ["002", "003"]]'
SPLITS = {
    "not JSON": ("[[", "not JSON"),
    "an object": ('{"000": "001"}', "not a list of pairs"),
    "no pair": ("[]", "not a list of pairs"),
    "three in a pair": ('[["000", "001", "002"]]', "entry 1"),
    "one in a pair": ('[["000"]]', "entry 1"),
    "numbers": ("[[0, 1]]", "entry 1"),
    "twice": ('[["000", "001"], ["000", "002"]]', "entry 2: video '000' is listed twice"),
    "also validated on": ('[["000", "004"]]', "disjoint"),
    "climbing": ('[["../../x", "001"]]', "not the name of a video"),
    "absolute": ('[["/etc/passwd", "001"]]', "not the name of a video"),
    "nested": ("[" * 100_000, "nested too deep"),
    "not UTF-8": (b'[["\xff\xfe", "001"]]', "not UTF-8"),
    "endless number": ('[["000", ' + "9" * 5000 + "]]", "train.json"),
}


@pytest.mark.parametrize("case", SPLITS)
def test_a_split_list_is_named(capsys, tmp_path, case):
    given = sets(tmp_path)
    content, says = SPLITS[case]
    (tmp_path / "ff" / "train.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    line = complaint(dfnb(capsys, "prepare", "--profile", given))
    assert says in line
    assert "train.json" in line


CELEB = {
    "label 2": ("2 Celeb-real/id0_0000.mp4", "is not a label"),
    "no label": ("Celeb-real/id0_0000.mp4", "is not a label"),
    "no path": ("1", "is not a label"),
    "label against its folder": ("0 Celeb-real/id0_0000.mp4", "contradicts"),
    "unknown folder": ("1 Elsewhere/id0_0000.mp4", "in none of the folders"),
    "twice": ("1 Celeb-real/id0_0000.mp4\n1 Celeb-real/id0_0000.mp4", "listed twice"),
    "climbing": ("1 ../../secret.mp4", "leads out"),
    "climbing backwards": ("1 ..\\..\\secret.mp4", "leads out"),
    "absolute": ("1 /etc/passwd", "leads out"),
    "drive": ("1 C:/secret.mp4", "leads out"),
    "null": ("1 Celeb-real/a\0b.mp4", "not a file name"),
    "endless name": ("1 Celeb-real/" + "a" * 300 + ".mp4", "not a file name"),
    "nothing": ("\n\n", "not one video"),
}


@pytest.mark.parametrize("case", CELEB)
def test_a_line_of_the_test_list_is_named(capsys, tmp_path, case):
    given = sets(tmp_path)
    content, says = CELEB[case]
    (tmp_path / "celeb" / "List_of_testing_videos.txt").write_text(content, "utf-8")
    line = complaint(dfnb(capsys, "prepare", "--profile", given))
    assert says in line
    assert "List_of_testing_videos.txt" in line


def test_marks_blank_lines_and_dos_line_ends_change_nothing(tmp_path):
    sets(tmp_path)
    before = catalogues.celeb_df(tmp_path / "celeb")
    file = tmp_path / "celeb" / "List_of_testing_videos.txt"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n\r\n"))
    pd.testing.assert_frame_equal(catalogues.celeb_df(tmp_path / "celeb"), before)


def test_a_link_out_of_a_set_is_not_followed(tmp_path):
    """Archives can hold links; the set's folders may be links, for larger disks, but what lies in them may not."""
    sets(tmp_path)
    (tmp_path / "private.mp4").write_text("mine")
    videos = tmp_path / "celeb" / "Celeb-real"
    (videos / "id0_0000.mp4").unlink()
    (videos / "id0_0000.mp4").symlink_to(tmp_path / "private.mp4")
    with pytest.raises(UserError, match=r"id0_0000\.mp4: a link that leads out"):
        catalogues.celeb_df(tmp_path / "celeb")
    with pytest.raises(UserError, match=r"id0_0000\.mp4: a link that leads out"):
        catalogues.faces_folder(videos, "real")
    (tmp_path / "dfdc").mkdir()
    (tmp_path / "dfdc" / "a.mp4").symlink_to(tmp_path / "private.mp4")
    (tmp_path / "dfdc" / "metadata.json").write_text('{"a.mp4": {"label": "REAL"}}')
    with pytest.raises(UserError, match=r"a\.mp4: a link that leads out"):
        catalogues.dfdc(tmp_path / "dfdc")
    (videos / "id0_0000.mp4").unlink()
    (videos / "id0_0000.mp4").write_text("x")
    videos.rename(tmp_path / "elsewhere")
    videos.symlink_to(tmp_path / "elsewhere")
    assert len(catalogues.celeb_df(tmp_path / "celeb")) == 5


# ---- profiles and settings ----


def lines(**settings: object) -> str:
    return yaml.safe_dump({**SETTINGS, "data": {"source": "folders", "faces": "x"}} | settings)


PROFILES = {
    "empty": ("", "key: value"),
    "a list": ("- name: x", "key: value"),
    "not YAML": ("name: [", "not valid YAML"),
    "builds an object": ("name: !!python/object/apply:os.system ['touch sprung']", "not valid YAML"),
    "builds a tuple": ("name: !!python/tuple [1]", "not valid YAML"),
    "nested": ("a: " + "[" * 20_000, "nested too deep"),
    "laughs a billion times": ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "aliases"),
    "key twice": (lines() + "seed: 1\nseed: 2\n", "'seed' is set twice"),
    "a date that is none": (lines() + "seed: 2001-99-99\n", "wrong kind"),
    "not a number": (lines(seed=".nan"), "seed"),
    "a tag that doesn't fit": (lines() + "seed: !!int many\n", "wrong kind"),
    "unknown key": (lines(sead=1), "sead: unknown setting"),
    "wrong type": (lines(seed="first"), "seed"),
    "out of range": (lines(seed=-1), "seed"),
    "endless": (lines(arcface={"scale": float("inf")}), "arcface.scale"),
    "too many processes": (lines(jobs=10**9), "jobs"),
    "climbing name": (lines(name="../x"), "name"),
    "no folder": (lines(data={"source": "folders"}), "data.face_forensics"),
    "odd frames": (lines(demo={"size": 321}), "demo.size"),
    "seed twice": (lines(train={**SETTINGS["train"], "seeds": [0, 0]}), "seed twice"),
    "not UTF-8": (b"name: \xff\xfe", "can't be read"),
    "large": (b"#" * (2 << 20), "not a profile"),
}


@pytest.mark.parametrize("case", PROFILES)
def test_a_profile_is_named(capsys, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    content, says = PROFILES[case]
    (tmp_path / "mine.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    line = complaint(dfnb(capsys, "train", "--profile", "mine.yaml"))
    assert says in line
    assert "mine.yaml" in line
    assert not (tmp_path / "sprung").exists()


SETS = {
    "train.steps": "write it as key=value",
    "=3": "write it as key=value",
    "train.stepz=3": "train.stepz",
    "train=3": "train",
    "name.x=3": "single setting",
    "seed=[": "not valid YAML",
    "seed=2001-99-99": "not valid YAML",
    "seed=!!python/name:os.system": "not valid YAML",
    "data.person=(": "not a regular expression",
    "data.faces=/nowhere/at/all": "no such folder",
    "faces.landmarks=/dev/null": "landmark",
    "model.weights=/dev/zero": "weights",
    "train.batch=60000": "fewer than train.batch",
}


@pytest.mark.parametrize("setting", SETS)
def test_a_setting_is_named(capsys, lab, setting):
    more = ["--set", "model.pretrained=true"] if "weights" in setting else []
    given = ["--profile", lab / "lab.yaml", "--set", f"runs={lab}", "--set", setting, *more]
    assert SETS[setting] in complaint(dfnb(capsys, "train", *given))


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("x'; import os; os.system('touch sprung')", {}),
        ('demo"\nimport os', {}),
        (None, {}),
        (3, {}),
        (["demo"], {}),
        ("smoke", ["train.steps=1"]),
        ("smoke", "train.steps=1"),
        ("smoke", {1: 2}),
        ("smoke", {"train.steps": "__import__('os')"}),
        ("smoke", {"train.steps": object()}),
    ],
)
def test_a_notebooks_parameters_are_named(name, overrides, tmp_path, monkeypatch):
    """What papermill hands on goes through this call."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        open_run(name, overrides)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


# ---- stores ----


def shard(root: Path) -> Path:
    return sorted(root.glob("shards/*/*.rgb"))[0]


def flip(file: Path, at: float = 0.5) -> None:
    data = bytearray(file.read_bytes())
    data[int(len(data) * at)] ^= 1
    file.write_bytes(data)


def edit(column: str, value: object):
    """Change a column of a manifest and keep what its metadata say."""

    def apply(root: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kept = {META: pq.read_metadata(root / "manifest.parquet").metadata[META]}
        table = pq.read_table(root / "manifest.parquet")
        changed = table.set_column(table.schema.get_field_index(column), column, pa.array([value] * table.num_rows))
        pq.write_table(changed.replace_schema_metadata(kept), root / "manifest.parquet")

    return apply


STORES = {
    "missing shard": (lambda root: shard(root).unlink(), "missing"),
    "truncated shard": (lambda root: os.truncate(shard(root), 1000), "1000 bytes where"),
    "grown shard": (lambda root: os.truncate(shard(root), 10**6), "1000000 bytes where"),
    "edited shard": (lambda root: flip(shard(root)), "bytes have changed"),
    "edited label": (edit("label", "fake"), "was edited"),
    "a row out of its shard": (edit("offset", 10**9), "leads out of its shard"),
    "negative place": (edit("crop_h", -5), "leads out of its shard"),
    "climbing shard": (edit("shard", "../../../../etc/passwd"), "no shard's name"),
    "numbers that are text": (edit("crop_w", "wide"), "wrong kind"),
    "flipped manifest": (lambda root: flip(root / "manifest.parquet", 0.3), "manifest.parquet"),
    "truncated manifest": (lambda root: os.truncate(root / "manifest.parquet", 500), "can't be read"),
    "manifest of text": (lambda root: (root / "manifest.parquet").write_text("hello"), "can't be read"),
    "no manifest": (lambda root: (root / "manifest.parquet").unlink(), "no finished face store"),
}


@pytest.mark.parametrize("case", STORES)
def test_verifying_finds_damage_to_a_store(capsys, lab, case):
    root = lab / "runs" / "lab" / "faces" / "train"
    damage, says = STORES[case]
    damage(root)
    ended = dfnb(capsys, "prepare", "--profile", lab / "lab.yaml", "--verify")
    assert "damaged files, named above" in complaint(ended)
    assert says in ended.err
    assert "train: damaged" in ended.out
    assert "validation: " in ended.out
    assert "as they were written" in ended.out


def test_verifying_a_sound_store_and_none(capsys, lab, tmp_path):
    ended = dfnb(capsys, "prepare", "--profile", lab / "lab.yaml", "--verify")
    assert (ended.status, ended.complaints) == (0, [])
    assert ended.out.count("as they were written") == 2
    ended = dfnb(capsys, "prepare", "--profile", profile(tmp_path), "--verify")
    assert "no face store here" in complaint(ended)


@pytest.mark.parametrize("case", ["missing shard", "truncated shard", "flipped manifest", "no manifest"])
def test_preparing_again_mends_it(capsys, lab, made, case):
    root = lab / "runs" / "lab" / "faces" / "train"
    STORES[case][0](root)
    assert dfnb(capsys, "prepare", "--profile", lab / "lab.yaml").status == 0
    assert dfnb(capsys, "prepare", "--profile", lab / "lab.yaml", "--verify").status == 0
    whole = made / "runs" / "lab" / "faces" / "train"
    assert shard(root).read_bytes() == (whole / shard(root).relative_to(root)).read_bytes()


# ---- checkpoints (further faults: test_network) ----


def _as(tensors, path: Path, **header) -> None:
    about = {"format": FORMAT, "settings": {}, "metadata": {}} | header
    save_file(tensors, path, {"dfnb": json.dumps(about)})


def _nan(path: Path) -> None:
    net, about = networks.load(path), networks.metadata(path)
    tensors = net.state_dict() | {"head.weight": net.head.weight.detach() * torch.nan}
    _as(tensors, path, settings=net.settings, metadata=about)


def _without(path: Path) -> None:
    net, about = networks.load(path), networks.metadata(path)
    tensors = {name: value for name, value in net.state_dict().items() if name != "head.weight"}
    _as(tensors, path, settings=net.settings, metadata=about)


def _more(path: Path) -> None:
    net, about = networks.load(path), networks.metadata(path)
    _as(net.state_dict() | {"more": torch.zeros(1)}, path, settings=net.settings, metadata=about)


def _other(path: Path) -> None:
    net, about = networks.load(path), networks.metadata(path)
    _as(net.state_dict(), path, settings=net.settings | {"variant": "network2"}, metadata=about)


def _bare(path: Path) -> None:
    net = networks.load(path)
    _as(net.state_dict(), path, settings=net.settings, metadata={})


def _odd_size(path: Path) -> None:
    net, about = networks.load(path), networks.metadata(path)
    about["profile"]["model"]["size"] = "huge"
    _as(net.state_dict(), path, settings=net.settings, metadata=about)


CHECKPOINTS = {
    "pickle": (lambda path: torch.save(load(path.read_bytes()), path), "a pickle"),
    "cut": (lambda path: os.truncate(path, 5000), "not a whole"),
    "empty": (lambda path: path.write_bytes(b""), "not a safetensors file"),
    "text": (lambda path: path.write_text("hello, I am a network"), "not a safetensors file"),
    "NaN": (_nan, "not finite"),
    "missing tensor": (_without, "missing, first head.weight"),
    "extra tensor": (_more, "too many, first more"),
    "other variant": (_other, "another network's weights"),
    "not ours": (lambda path: save_file(load(path.read_bytes()), path), "no checkpoint of dfnb"),
    "without a profile": (_bare, "doesn't say"),
    "size that is text": (_odd_size, "doesn't say"),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_checkpoint_is_named(capsys, tmp_path, checkpoint, heads, case):
    from bad_inputs import film

    path = tmp_path / "mine.safetensors"
    path.write_bytes(checkpoint.read_bytes())
    damage, says = CHECKPOINTS[case]
    damage(path)
    film(tmp_path / "a.mp4", heads[0], 1)
    line = complaint(dfnb(capsys, "score", path, tmp_path / "a.mp4"))
    assert says in line
    assert "mine.safetensors" in line


# ---- what a run keeps ----


def column(name: str, value: object):
    def apply(run: Path) -> None:
        file = run / "scores" / "sbi" / f"{NETWORK}.parquet"
        table = pd.read_parquet(file)
        table[name] = value
        table.to_parquet(file)

    return apply


def kept(name: str, damage):
    return lambda run: damage(run / name)


TABLE = f"scores/sbi/{NETWORK}.parquet"
KEPT = {
    "score above 1": (column("score", 1.5), "no probability"),
    "score NaN": (column("score", np.nan), "finite numbers"),
    "score text": (column("score", "high"), "finite numbers"),
    "label unknown": (column("label", "maybe"), "neither real nor fake"),
    "one class": (column("label", "real"), "all of one class"),
    "table of text": (kept(TABLE, lambda file: file.write_text("hello")), "can't be read"),
    "table cut": (kept(TABLE, lambda file: os.truncate(file, 300)), "can't be read"),
    "table empty": (kept(TABLE, lambda file: os.truncate(file, 0)), "can't be read"),
    "checkpoint cut": (
        kept(f"networks/{NETWORK}/checkpoint.safetensors", lambda file: os.truncate(file, 300)),
        "not a whole",
    ),
    "checkpoint text": (
        kept(f"networks/{NETWORK}/checkpoint.safetensors", lambda file: file.write_text("hello, all")),
        "not a safetensors",
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_damage_to_what_a_run_keeps_is_named(capsys, lab, case):
    damage, says = KEPT[case]
    damage(lab / "runs" / "lab")
    assert says in complaint(dfnb(capsys, "evaluate", "--profile", lab / "lab.yaml"))


STALE = {
    "other checkpoint": column("checkpoint", "0" * 64),
    "other store": column("store", "0" * 16),
    "other protocol": column("protocol", "32 frames a video"),
    "column gone": lambda run: pd.read_parquet(run / TABLE).drop(columns="protocol").to_parquet(run / TABLE),
    "no embeddings": lambda run: (run / TABLE).with_suffix(".npy").unlink(),
}


@pytest.mark.parametrize("case", STALE)
def test_a_table_of_something_else_is_made_anew(capsys, lab, made, case):
    """Not of this checkpoint, store or protocol: never taken for it."""
    STALE[case](lab / "runs" / "lab")
    assert dfnb(capsys, "evaluate", "--profile", lab / "lab.yaml").status == 0
    here, whole = lab / "runs" / "lab", made / "runs" / "lab"
    pd.testing.assert_frame_equal(pd.read_parquet(here / TABLE), pd.read_parquet(whole / TABLE))
    assert (here / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


def test_one_command_scores_a_network_at_a_time_and_tidies_up_after_a_killed_one(capsys, monkeypatch, lab):
    scores = lab / "runs" / "lab" / "scores" / "sbi"
    stray = scores / f".{NETWORK}-abcd_123.npy"  # as a killed one leaves it
    stray.write_bytes(b"half")
    (scores / f"{NETWORK}.npy").unlink()
    heard = []
    with FileLock(scores / f".{NETWORK}.lock") as other:
        locks = SimpleNamespace(info=lambda line, *words: (heard.append(line % words), other.release()))
        monkeypatch.setattr("dfnb.common.locks.log", locks)
        ended = dfnb(capsys, "evaluate", "--profile", lab / "lab.yaml")
    assert ended.status == 0
    assert len(heard) == 1
    assert "another command is scoring here; waiting for it" in heard[0]
    assert not stray.exists()
    assert (scores / f"{NETWORK}.npy").exists()


def test_tables_of_different_protocols_are_not_mixed(made):
    from dfnb.scoring import score_table

    tables = [score_table.load(made / "runs" / "lab" / "scores" / "sbi" / f"{name}-s0.parquet") for name in
              ("plain-linear", "proposed-arcface")]  # fmt: skip
    score_table.together(tables, "sbi")
    for stamp, value in (("protocol", "other"), ("store", "0" * 16)):
        with pytest.raises(UserError, match=rf"plain-linear and proposed-arcface were scored .*{stamp}"):
            score_table.together([tables[0], tables[1].assign(**{stamp: value})], "sbi")
    with pytest.raises(UserError, match="doesn't say its protocol"):
        score_table.together([tables[0].drop(columns="protocol")], "sbi")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00", b"\x80\x04N."])
def test_damaged_embeddings_and_histories_are_named(lab, content):
    run = open_run(lab / "lab.yaml")
    (run.folder / TABLE).with_suffix(".npy").write_bytes(content)
    with pytest.raises(UserError, match=rf"{NETWORK}\.npy: "):
        run.embeddings("sbi", "plain-linear")
    (run.folder / "networks" / NETWORK / "history.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"history\.csv: "):
        run.history("plain-linear")


def test_an_array_of_objects_is_not_unpickled(lab):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (lab / "sprung",))

    run = open_run(lab / "lab.yaml")
    np.save((run.folder / TABLE).with_suffix(".npy"), np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(UserError, match=re.escape(f"{NETWORK}.npy: can't be read")):
        run.embeddings("sbi", "plain-linear")
    assert not (lab / "sprung").exists()
