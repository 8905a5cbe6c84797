"""Every parser of the library, fed with what nobody thought of: what comes out is sound, or a UserError in one line.

Two kinds of rubbish each: any bytes at all, and well-formed files (JSON, YAML, Parquet, safetensors) whose content has
the right shape only here and there.
"""

# ruff: noqa: F811 (fixtures of another module are arguments here)

import json
import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lab import SETTINGS, checkpoint, heads, made  # noqa: F401 (fixtures)
from safetensors.torch import save_file

from dfnb import networks, profile, speed
from dfnb.analysis import ablations
from dfnb.common.errors import UserError
from dfnb.data import catalogues, store
from dfnb.data.catalogues import lists
from dfnb.data.store.given import read_landmarks
from dfnb.data.store.read import META, record_of
from dfnb.experiment import judge, search_plan, sweep_plan
from dfnb.networks import pretrained
from dfnb.networks.checkpoint import FORMAT
from dfnb.report.notebooks import read_notebook
from dfnb.scoring import score_table
from dfnb.training import resume

SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
often, seldom = (settings(max_examples=n, deadline=None, suppress_health_check=SLOW) for n in (60, 25))

WORDS = st.text(max_size=8) | st.sampled_from(
    ["REAL", "FAKE", "real", "fake", "train", "test", "000", "001", "a/b.mp4", "../x", "/etc/passwd", "a\0b", "\ud800",
     "x" * 300, "1", "0", "\x1b[31m"]
)  # fmt: skip
ATOMS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | WORDS
KEYS = WORDS | st.sampled_from(["label", "set", "original", "is_fake", "target_id", "settings", "metadata", "format"])
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
RUBBISH = st.binary(max_size=300)
DEEP = "[" * 100_000


def parsed(read: Callable[[], Any]) -> Any:
    """What `read` gives, or None where it says in one line what is wrong."""
    try:
        return read()
    except UserError:
        return None


@pytest.fixture(scope="module")
def at(tmp_path_factory) -> Path:
    """A folder to write into, over and over."""
    return tmp_path_factory.mktemp("parsers")


# ---- lists and label files ----

ENTRIES = st.dictionaries(
    WORDS | st.sampled_from(["a.mp4", "deep/b.mp4"]),
    st.dictionaries(st.sampled_from(["label", "is_fake", "original", "set", "target_id"]), ATOMS, max_size=4) | VALUES,
    max_size=3,
)


@pytest.fixture(scope="module")
def release(at) -> Path:
    """A folder with two videos, for whatever label files come."""
    (at / "set" / "deep").mkdir(parents=True)
    for name in ("a.mp4", "deep/b.mp4"):
        (at / "set" / name).write_text("x")
    return at / "set"


@often
@given(st.lists(st.lists(WORDS, max_size=3) | VALUES, max_size=3) | VALUES)
@example([["000", "001"], ["002", "\ud800"]])
def test_a_json_split(release, value):
    (release / "train.json").write_text(json.dumps(value), "utf-8")
    parsed(lambda: catalogues.face_forensics(release, "train"))


@often
@given(ENTRIES | VALUES, st.sampled_from(["metadata.json", "dataset.json"]))
@example({"\ud800.mp4": {"label": "REAL"}}, "metadata.json")
@example({"a.mp4": {"label": "FAKE", "original": "\udcff.mp4"}}, "metadata.json")
@example({"deep/b.mp4": {"label": "fake", "set": "test", "target_id": "\ud83d"}}, "dataset.json")
def test_label_files(release, value, name):
    """DFDC's and its preview's: a catalogue that can be written as UTF-8, of files inside the root."""
    (release / "labels.csv").unlink(missing_ok=True)
    (release / name).write_text(json.dumps(value), "utf-8")
    table = parsed(lambda: catalogues.dfdc(release) if name == "metadata.json" else catalogues.dfdc_preview(release))
    if table is not None:
        table.to_csv().encode()
        assert set(table["label"]) <= {"real", "fake"}
        assert all(Path(path).resolve().is_relative_to(release.resolve()) for path in table["path"])


@often
@given(st.lists(st.lists(WORDS, max_size=3).map(",".join), max_size=4).map("\n".join) | st.text(max_size=80))
@example('a.mp4,"' + "x" * 200_000)
def test_a_table_of_labels(release, rows):
    (release / "metadata.json").unlink(missing_ok=True)
    (release / "labels.csv").write_text("filename,label\n" + rows, "utf-8", errors="replace")
    parsed(lambda: catalogues.dfdc(release))


@often
@given(RUBBISH | st.text(max_size=60).map(lambda t: t.encode(errors="replace")))
@example(DEEP.encode())
def test_any_bytes_for_a_list(release, data):
    for name in ("train.json", "metadata.json", "dataset.json", "List_of_testing_videos.txt"):
        (release / name).write_bytes(data)
    for read in (catalogues.face_forensics, catalogues.dfdc, catalogues.dfdc_preview, catalogues.celeb_df):
        parsed(lambda read=read: read(release))
    parsed(lambda: list(lists.lines(release / "train.json")))


@often
@given(st.lists(st.sampled_from(["UADFV", "UADFV_Real", "test", "a", "label", "frames"]), max_size=6), VALUES)
@example(["UADFV", "UADFV_Real", "test", "\ud800"], {"label": "UADFV_Real", "frames": []})
@example(["UADFV", "UADFV_Real", "test", "a", "frames"], ["UADFV/\ud800/0.png", "C:\\UADFV\\..\\0.png"])
def test_a_list_of_frames_with_one_thing_changed(at, keys, value):
    (at / "bench/UADFV/real/frames/a").mkdir(parents=True, exist_ok=True)
    (at / "bench/UADFV/real/frames/a/0.png").write_text("x")
    sound = {"UADFV": {"UADFV_Real": {"test": {"a": {"label": "UADFV_Real", "frames": ["UADFV/real/frames/a/0.png"]}}}}}
    (at / "bench/UADFV.json").write_text(json.dumps(changed(sound, keys, value) if keys else value), "utf-8")
    table = parsed(lambda: catalogues.deepfake_bench(at / "bench"))
    if table is not None:
        table.to_csv().encode()
        json.dumps(table.attrs["missing"]).encode()
        assert all(Path(path).resolve().is_relative_to(at.resolve()) for path in table["path"])


@often
@given(RUBBISH | st.binary(max_size=40).map(lambda data: b"\x93NUMPY\x01\x00" + data))
def test_any_bytes_for_landmarks(at, data):
    (at / "a.npy").write_bytes(data)
    assert parsed(lambda: read_landmarks(at / "a.npy", (256, 256))) is None


# ---- profiles, sweeps ----

SECTIONS = ("data", "model", "train", "arcface", "demo", "robustness", "evaluate", "faces", "seed", "name", "jobs")


def changed(given_: dict[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """A copy of nested settings with one of them replaced."""
    copy = json.loads(json.dumps(given_))
    inner = copy
    for key in keys[:-1]:
        if not isinstance(inner.get(key), dict):
            inner[key] = {}
        inner = inner[key]
    inner[keys[-1]] = value
    return copy


def written(value: Any) -> str:
    return yaml.safe_dump(value, allow_unicode=False)


PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | PLAIN | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=8,
)
WHOLE = {**SETTINGS, "data": {**SETTINGS["data"], "faces": "faces"}}
INNER = ("faces", "networks", "size", "backbone", "margin", "steps", "epochs", "seeds", "lr", "jpeg", "wide", "person")


@often
@given(st.lists(st.sampled_from(SECTIONS) | st.sampled_from(INNER) | PLAIN, min_size=1, max_size=3), YAML_VALUES)
@example(["data", "faces"], "a\0b")
def test_a_profile_with_one_thing_changed(at, keys, value):
    """What is accepted is a profile, and one that reads back the same."""
    (at / "p.yaml").write_text(written(changed(WHOLE, keys, value)), "utf-8")
    got = parsed(lambda: profile.load(at / "p.yaml"))
    if got is not None:
        assert all(math.isfinite(number) for number in (got.train.lr, got.arcface.scale, got.demo.fps))
        (at / "again.yaml").write_text(written(got.model_dump(mode="json", exclude_none=True)), "utf-8")
        assert profile.load(at / "again.yaml") == got


PLAN = {"name": "s", "base": "smoke", "variations": [{"name": "a", "label": "l", "question": "q", "change": {}}]}


@often
@given(st.sampled_from(["name", "label", "question", "networks", "seeds", "change"]), YAML_VALUES)
@example("change", {"arcface.margin": float("nan")})
@example("change", {"train": 1})
@example("change", {"train.": 1})
@example("change", {"train.lr.x": 1})
@example("seeds", [-1])
@example("seeds", [0, 0])
def test_a_sweep_with_one_thing_changed(at, key, value):
    """Its variations fit the base profile, or it is named."""
    plan = {**PLAN, "variations": [{**PLAN["variations"][0], key: value}]}
    (at / "s.yaml").write_text(written(plan), "utf-8")
    got = parsed(lambda: sweep_plan.load(at / "s.yaml"))
    if got is not None:
        base = profile.load(got.base)
        parsed(lambda: [sweep_plan.applied(one, base) for one in got.variations])


@often
@given(RUBBISH | st.text(max_size=60).map(lambda t: t.encode(errors="replace")))
@example(b"a: !!python/object/apply:os.system ['touch sprung']")
@example(b"? [a]\n: b")
@example(b"!!binary x: 1")
@example(b"<<: [1]")
@example(b"a: !!set {x, y}\nb: !!omap [1]\nc: !!pairs x")
def test_any_bytes_for_a_profile_a_sweep_or_a_search(at, data):
    (at / "x.yaml").write_bytes(data)
    parsed(lambda: profile.load(at / "x.yaml"))
    parsed(lambda: sweep_plan.load(at / "x.yaml"))
    parsed(lambda: search_plan.load(at / "x.yaml"))
    parsed(lambda: profile.parse_overrides([data.decode("utf-8", "replace")]))


# ---- what a run keeps: score tables, stores, checkpoints ----


@st.composite
def columns(draw, rows: int = 3) -> pa.Array:
    """A column of any kind that Parquet can hold."""
    kinds = [pa.string(), pa.float64(), pa.float32(), pa.int64(), pa.int8(), pa.uint64(), pa.bool_(), pa.binary(),
             pa.list_(pa.string()), pa.date32(), pa.timestamp("s"), pa.null()]  # fmt: skip
    kind = draw(st.sampled_from(kinds))
    value = draw(st.none() | st.text(max_size=3) | st.integers(-(2**62), 2**62) | st.floats() | st.booleans())
    try:
        column = pa.array([value] * rows, kind)
        pq.write_table(pa.table({"a": column}), pa.BufferOutputStream())  # not every date can be written
        return column
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.nulls(rows, kind)


@pytest.fixture(scope="module")
def scored(made) -> pa.Table:
    return pq.read_table(next((made / "runs").rglob("scores/sbi/*.parquet")))


@often
@given(st.sampled_from([*score_table.PLACE, "score", *score_table.STAMPS]), columns(), st.booleans())
def test_a_score_table_with_a_column_of_something_else(at, scored, name, column, twice):
    """What is accepted holds numbers and texts only, and can be summed up."""
    table = scored.slice(0, 3)
    if twice:
        table = table.append_column(name, column)
    else:
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, at / "t.parquet")
    got = parsed(lambda: score_table.load(at / "t.parquet"))
    parsed(lambda: score_table.state_of(at / "t.parquet", {stamp: "x" for stamp in score_table.STAMPS}, False))
    if got is not None:
        assert got["score"].between(0, 1).all()
        assert all(isinstance(value, str) for stamp in score_table.STAMPS for value in got[stamp])
        score_table.together([got], "test")


@often
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8), st.floats(0, 1))
def test_a_score_table_with_other_bytes(at, scored, flips, kept):
    pq.write_table(scored, at / "f.parquet", write_page_checksum=True)
    (at / "f.parquet").write_bytes(damaged((at / "f.parquet").read_bytes(), flips, kept))
    parsed(lambda: score_table.load(at / "f.parquet"))


def damaged(data: bytes, flips: list[tuple[float, int]], kept: float) -> bytes:
    """Some bytes changed, and, for kept below a half, the end lost."""
    changed_ = bytearray(data)
    for place, value in flips:
        changed_[min(int(place * len(data)), len(data) - 1)] = value
    return bytes(changed_[: len(data) if kept >= 0.5 else int(2 * kept * len(data))])


@pytest.fixture(scope="module")
def root(made, at) -> Path:
    """A copy of a face store, to write manifests into."""
    shutil.copytree(made / "runs" / "lab" / "faces" / "train", at / "store")
    return at / "store"


@pytest.fixture(scope="module")
def manifest(root) -> pa.Table:
    return pq.read_table(root / "manifest.parquet")


def opened(root: Path) -> None:
    """Open a store and look at every face; both may only end in a store or a UserError."""
    faces = parsed(lambda: store.open_store(root))
    if faces is not None:
        for i in range(len(faces)):
            face = parsed(lambda i=i: faces[i])
            assert face is None or face.rgb.ndim == 3
        list(faces.faults())


NAMES = ("shard", "offset", "shard_bytes", "crop_h", "crop_w", "crop_x", "landmarks", "x0", "x1", "label", "sha256",
         "frame", "path")  # fmt: skip


@often
@given(st.sampled_from(NAMES), st.data())
def test_a_manifest_with_a_column_of_something_else(root, manifest, name, data):
    column = data.draw(columns(manifest.num_rows))
    place = manifest.schema.get_field_index(name)
    pq.write_table(manifest.set_column(place, name, column), root / "manifest.parquet")
    opened(root)


@often
@given(st.integers(-(2**62), 2**62), st.integers(-(2**31), 2**31), st.integers(-(2**31), 2**31))
@example(0, 2**31 - 1, 2**31 - 1)  # together beyond 64 bits
@example(2**63 - 10, 100, 100)
def test_a_manifest_of_other_places(root, manifest, offset, height, width):
    table = manifest
    for name, value in (("offset", offset), ("crop_h", height), ("crop_w", width)):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array([value] * table.num_rows, pa.int64()))
    pq.write_table(table, root / "manifest.parquet")
    opened(root)


@often
@given(st.text(max_size=40) | VALUES.map(json.dumps), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255))))
@example(DEEP, [])
def test_what_a_manifest_says_of_itself(root, manifest, said, flips):
    pq.write_table(manifest.replace_schema_metadata({META: said.encode(errors="replace")}), root / "manifest.parquet")
    if flips:
        file = root / "manifest.parquet"
        file.write_bytes(damaged(file.read_bytes(), flips, 1.0))
    opened(root)


def test_a_manifest_whose_column_names_are_no_text(root, manifest):
    pq.write_table(manifest, root / "manifest.parquet")
    file = root / "manifest.parquet"
    file.write_bytes(file.read_bytes().replace(b"crop_h", b"crop_\x80"))
    with pytest.raises(UserError, match=r"manifest\.parquet: can't be read"):
        store.open_store(root)


@often
@given(st.dictionaries(st.sampled_from(["frames", "faces", "notes", "shard_bytes", "sha256"]), VALUES) | VALUES)
def test_a_record_of_a_video(at, value):
    key = "0123456789abcdef"
    file = at / "shards" / key[:2] / f"{key}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), "utf-8")
    parsed(lambda: record_of(at, key))


def tensor_file(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


@often
@given(VALUES, st.sampled_from(["settings", "metadata", "format", None]), st.binary(max_size=64))
@example([], None, b"")
def test_a_checkpoints_header(at, value, key, body):
    about = {"format": FORMAT, "settings": {}, "metadata": {}}
    about = about | {key: value} if key else value
    file = at / "c.safetensors"
    file.write_bytes(tensor_file(json.dumps({"__metadata__": {"dfnb": json.dumps(about)}}).encode(), body))
    parsed(lambda: networks.metadata(file))
    parsed(lambda: networks.trained_for(file))
    parsed(lambda: networks.load(file))


SIZES = st.integers(-5, 2**65) | st.sampled_from([10**12, 2**31, 2**63])


@often
@given(st.lists(SIZES, max_size=3), SIZES, SIZES, st.sampled_from(["F32", "F64", "BF16", "U8", "?"]))
@example([10**12], 0, 4 * 10**12, "F32")
def test_a_tensor_of_any_claimed_size(at, shape, start, end, kind):
    header = {"a": {"dtype": kind, "shape": shape, "data_offsets": [start, end]}}
    (at / "w.safetensors").write_bytes(tensor_file(json.dumps(header).encode(), bytes(64)))
    parsed(lambda: pretrained.read(at / "w.safetensors"))


@seldom
@given(st.dictionaries(st.sampled_from(["variant", "head", "backbone", "scale", "margin", "attention", "tap_reading",
                                        "monotone", "normalise", "unpadded"]),
                       ATOMS | VALUES, min_size=1, max_size=2))  # fmt: skip
def test_a_checkpoint_of_other_settings(at, checkpoint, changes):
    """A network, with the very tensors that its settings ask for, or a named error."""
    data = checkpoint.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header["__metadata__"]["dfnb"])
    about["settings"] |= changes
    header["__metadata__"]["dfnb"] = json.dumps(about)
    (at / "s.safetensors").write_bytes(tensor_file(json.dumps(header).encode(), data[8 + length :]))
    net = parsed(lambda: networks.load(at / "s.safetensors"))
    if net is not None:
        with torch.inference_mode():
            assert net(torch.zeros(1, 3, 64, 64)).logits.shape == (1, 2)


@often
@given(
    RUBBISH,
    st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"PAR1", b"PK\x03\x04", b"\x80\x04", struct.pack("<Q", 40) + b"{"]),
)
def test_any_bytes_for_what_a_run_keeps(at, data, start):
    for name in ("b.parquet", "b.npy", "b.safetensors", "b.ipynb"):
        (at / name).write_bytes(start + data)
    parsed(lambda: score_table.load(at / "b.parquet"))
    parsed(lambda: score_table.embeddings(at / "b.parquet", 1))
    parsed(lambda: pretrained.read(at / "b.safetensors"))
    parsed(lambda: networks.load(at / "b.safetensors"))
    stated = {"backbone": "test_efficientnet", "size": 64, "mean": (0, 0, 0), "std": (1, 1, 1), "fake": 1}
    assert parsed(lambda: networks.convert(at / "b.safetensors", at / "c.safetensors", "timm", **stated)) is None
    parsed(lambda: read_notebook(at / "b.ipynb"))


@often
@given(VALUES.map(json.dumps) | st.text(max_size=20), st.integers().map(str) | st.text(max_size=4))
@example(DEEP, "1")
def test_an_unfinished_training(at, history, step):
    net = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()} | {
        "optimizer.0.momentum": torch.ones(1)
    }
    said = {
        "training": "k",
        "history": history.encode(errors="replace").decode(),
        "step": step.encode(errors="replace").decode(),
    }
    save_file(tensors, at / "state.safetensors", said)
    got = parsed(lambda: resume.restore(at / "state.safetensors", "k", net, optimizer))
    if got is not None:
        assert got.step >= 0
        assert all(isinstance(line, dict) for line in got.history)


@often
@given(st.text(max_size=80) | VALUES.map(json.dumps))
@example(DEEP)
@example("# " + DEEP)
@example('# {"format": 1}\n')
def test_tables_of_sweeps_coverage_and_bench(at, text):
    for name in (*ablations.FILES, "coverage.csv", "problems.csv", "bench.csv"):
        (at / name).write_text(text, "utf-8", errors="replace")
    parsed(lambda: ablations._read(at, False, "x"))
    parsed(lambda: store.Coverage.load(at))
    parsed(lambda: speed.read(at / "bench.csv"))


@often
@given(
    content=RUBBISH | st.lists(st.lists(WORDS, min_size=2, max_size=4).map(",".join)).map("\n".join),
    suffix=st.sampled_from((".csv", ".parquet")),
)
@example(content="path,score\na,0.5\na,1e999", suffix=".csv")
@example(content='path,score\n"a', suffix=".csv")
def test_any_bytes_for_scores_of_others(tmp_path, content, suffix):
    file = tmp_path / f"scores{suffix}"
    file.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogatepass"))
    table = parsed(lambda: judge._read(file, "high", False))
    if table is not None:
        assert table["score"].between(0, 1).all()
        assert all(isinstance(name, str) for name in table["named"])


COLUMN = st.sampled_from(["path", "score", "frame", "face", "label", "x0"])
CELL = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers(0, 3))
)


@seldom
@given(st.dictionaries(COLUMN, st.lists(CELL, min_size=3, max_size=3), max_size=4))
def test_any_columns_for_scores_of_others(tmp_path, columns):
    try:
        table = pa.table({name: pa.array(values) for name, values in columns.items()})
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return
    pq.write_table(table, tmp_path / "scores.parquet")
    found = parsed(lambda: judge._read(tmp_path / "scores.parquet", "high", False))
    assert found is None or (found["score"].between(0, 1).all() and len(found) == 3)
