"""The face store: the same bytes whatever happens on the way, nothing lost without a word, nothing damaged unseen."""

import json
import os
import pickle
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from filmed import FRAMES, SCRIPT, film, start, tree

from dfnb.common.errors import UserError
from dfnb.data import catalogues, faces, frames, store
from dfnb.data.store.read import META, shard_path


def test_coverage_counts_everything(prepared, catalogue):
    _, coverage = prepared
    table = coverage.table().set_index("label")
    assert list(table.loc["real", ["listed", "opened", "videos_with_face", "lost"]]) == [5, 2, 2, 3]
    assert list(table.loc["fake", ["listed", "opened", "videos_with_face", "lost"]]) == [4, 3, 2, 2]
    assert table.loc["fake", "frames"] == FRAMES + 1 + FRAMES  # blank ones and the picture among them
    assert table.loc["fake", "frames_with_face"] == FRAMES // 2 + 1
    assert table.loc["real", "faces"] == FRAMES * 3  # one person, two people
    reasons = {Path(row.path).name: row.reason for row in coverage.problems.itertuples()}
    assert set(reasons) == {"nobody.mp4", "empty.mp4", "noise.mp4", "truncated.mp4", "lost.mp4"}
    assert "no face" in reasons["nobody.mp4"]
    assert "empty" in reasons["empty.mp4"]
    assert "No such file" in reasons["lost.mp4"]
    assert coverage.problems["lost"].all()
    assert "4 of 9 videos" in coverage.summary()


def test_coverage_is_read_back(prepared):
    root, coverage = prepared
    again = store.Coverage.load(root)
    pd.testing.assert_frame_equal(again.counts, coverage.counts, check_dtype=False)
    pd.testing.assert_frame_equal(again.problems, coverage.problems, check_dtype=False)
    with pytest.raises(UserError, match="can't be read"):
        store.Coverage.load(root / "shards")


def test_stored_faces_are_the_pixels_of_the_frames(prepared, videos):
    """Against decoding and detecting anew: crop, landmarks and box, at native resolution and lossless."""
    kept, finder = store.open_store(prepared[0]), faces.FaceFinder()
    checked = 0
    for file in sorted(videos.glob("*/*")):
        rows = kept.manifest[kept.manifest["path"] == str(file)]
        if rows.empty:
            continue
        for index, rgb in frames.sample_frames(file, FRAMES):
            for rank, face in enumerate(finder(rgb)):
                (at,) = rows.index[(rows["frame"] == index) & (rows["face"] == rank)]
                stored, row = kept[at], kept[at].row
                x0, y0, x1, y1 = faces.window(face.box, 0.35, rgb.shape)
                np.testing.assert_array_equal(stored.rgb, rgb[y0:y1, x0:x1])
                assert not stored.rgb.flags.writeable
                np.testing.assert_array_equal(stored.landmarks + np.float32([x0, y0]), face.landmarks)
                np.testing.assert_allclose(stored.box, np.subtract(face.box, [x0, y0] * 2), atol=1e-4)
                assert (row["frame_height"], row["frame_width"]) == rgb.shape[:2]
                assert (row["crop_x"], row["crop_y"], row["crop_w"], row["crop_h"]) == (x0, y0, x1 - x0, y1 - y0)
                assert row["label"] == file.parent.name
                checked += 1
    assert checked == len(kept) > 12


def test_frames_without_a_face_are_on_record(prepared):
    table = store.open_store(prepared[0]).frames
    blank = table[table["path"].str.endswith("some blank.mp4")]
    assert list(blank["frame"]) == [1, 4, 7, 10]
    assert list(blank["faces"]) == [0, 0, 1, 1]
    assert (table[table["path"].str.endswith("nobody.mp4")]["faces"] == 0).all()


def test_following_a_face_covers_the_same_frames_in_a_store_of_its_own_kind(tmp_path, heads):
    for k, head in enumerate(heads[:2]):
        (tmp_path / "faces").mkdir(exist_ok=True)
        film(tmp_path / "faces" / f"{k}.mp4", cv2.resize(head, (800, 800), interpolation=cv2.INTER_CUBIC), 6, blank=[3])
    found = catalogues.faces_folder(tmp_path / "faces", "real")
    for name, settings in (
        ("plain", {}),
        ("follow", {"follow": True}),
        ("all", {"keep": "all"}),
        ("all follow", {"keep": "all", "follow": True}),
    ):
        coverage = store.prepare(found, tmp_path / name, frames=6, jobs=1, progress=False, **settings)
        assert coverage.counts["frames_with_face"].sum() == 10
    assert tree(tmp_path / "all") == tree(tmp_path / "all follow")  # other faces could be missed
    plain, follow = store.open_store(tmp_path / "plain"), store.open_store(tmp_path / "follow")
    assert "follow" not in plain.settings
    assert follow.settings["follow"]
    assert not set(plain.manifest["shard"]) & set(follow.manifest["shard"])
    assert (plain.manifest["x0"] != follow.manifest["x0"]).any()
    height = plain.manifest["y1"] - plain.manifest["y0"]
    moved = np.abs(plain.landmarks - follow.landmarks).mean((1, 2))
    assert (moved < 0.025 * height).all()


def test_largest_keeps_one_face_a_frame(tmp_path, catalogue, prepared):
    two = catalogue[catalogue["video"].str.contains("two")]
    store.prepare(two, tmp_path, frames=FRAMES, jobs=1, keep="largest", progress=False)
    one, every = store.open_store(tmp_path), store.open_store(prepared[0])
    first = every.manifest[(every.manifest["path"] == two["path"].iloc[0]) & (every.manifest["face"] == 0)]
    assert list(one.manifest["frame"]) == list(first["frame"])
    np.testing.assert_allclose(one.manifest["x0"], first["x0"])
    assert (one.frames["faces"] == 2).all()  # found, though not kept


def test_several_processes_make_the_same_bytes(tmp_path, catalogue, prepared):
    store.prepare(catalogue, tmp_path, frames=FRAMES, jobs=2, keep="all", progress=False)
    assert tree(tmp_path) == tree(prepared[0])


def test_killed_and_started_again(tmp_path, catalogue, prepared):
    """SIGKILL once two videos are finished: they stay, and the end is the same."""
    root = tmp_path / "store"
    process = start(catalogue, tmp_path)
    while process.poll() is None and len(list(root.glob("shards/*/[0-9a-f]*.json"))) < 2:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (root / "manifest.parquet").exists()
    with pytest.raises(UserError, match="no finished face store"):
        store.open_store(root)
    before = {f: f.stat().st_mtime_ns for f in root.glob("shards/*/[0-9a-f]*.json")}
    assert len(before) >= 2
    store.prepare(catalogue, root, frames=FRAMES, jobs=1, keep="all", progress=False)
    assert all(f.stat().st_mtime_ns == when for f, when in before.items())
    assert tree(root) == tree(prepared[0])


def test_leftovers_of_a_killed_run_go_and_nothing_else_does(tmp_path, catalogue, prepared):
    root = tmp_path / "s"
    shutil.copytree(prepared[0], root)
    key = next(root.glob("shards/*/*.rgb"))
    for stray in (key.with_name(f".{key.stem}-abc123.rgb"), root / ".manifest-x1y2.parquet", root / ".coverage-1.csv"):
        stray.write_text("half")
    mine = [root / ".my-notes", root / "shards" / ".keep-me", root / "other" / ".a-b"]
    mine[-1].parent.mkdir()
    for file in mine:
        file.write_text("mine")
    store.prepare(catalogue, root, frames=FRAMES, jobs=1, keep="all", progress=False)
    assert all(file.read_text() == "mine" for file in mine)
    for file in mine:
        file.unlink()
    assert tree(root) == tree(prepared[0])


def test_a_full_disk_is_named_and_nothing_finished_is_lost(tmp_path, catalogue, prepared):
    """A limit on file size stands in for the full disk: the larger shards can't be written."""
    sizes = sorted(f.stat().st_size for f in prepared[0].glob("shards/*/*.rgb"))
    process = start(catalogue, tmp_path, str(sizes[-1] - 1))
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2, error
    assert "can't be written" in error
    assert len(error.strip().splitlines()) == 1
    assert not list((tmp_path / "store").rglob("*-*.rgb"))  # no half-written file stays
    store.prepare(catalogue, tmp_path / "store", frames=FRAMES, jobs=1, keep="all", progress=False)
    assert tree(tmp_path / "store") == tree(prepared[0])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the worker as Linux shows it")
def test_a_worker_that_dies_is_named(tmp_path, catalogue, prepared):
    """SIGKILL, as when memory runs out."""
    process = start(catalogue, tmp_path, script=SCRIPT.replace("jobs=1", "jobs=2"))
    victim = None
    while victim is None and process.poll() is None:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            if b"popen_loky" in Path(f"/proc/{child}/cmdline").read_bytes():
                victim = int(child)
        time.sleep(0.01)
    os.kill(victim, signal.SIGKILL)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2, error
    assert "worker process died" in error
    store.prepare(catalogue, tmp_path / "store", frames=FRAMES, jobs=1, keep="all", progress=False)
    assert tree(tmp_path / "store") == tree(prepared[0])


def test_only_what_changed_is_done_again(tmp_path, videos, heads):
    """Keyed by content: a moved video is known, a changed one is new, another setting is another store."""
    at = tmp_path / "videos"
    at.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(at / name), heads[int(name == "b.png")][..., ::-1])
    root = tmp_path / "store"

    def prepare(**more):
        store.prepare(catalogues.faces_folder(at, "real"), root, jobs=1, progress=False, **more)
        kept = store.open_store(root)
        return {
            Path(p).name: s for p, s in zip(kept.manifest["path"], kept.manifest["shard"], strict=True)
        }, kept.digest

    first, digest = prepare()
    when = {f: f.stat().st_mtime_ns for f in root.glob("shards/*/*")}
    assert prepare() == (first, digest)
    (at / "a.png").rename(at / "c.png")
    moved, _ = prepare()
    assert moved["c.png"] == first["a.png"]
    assert {f: f.stat().st_mtime_ns for f in root.glob("shards/*/*")} == when
    cv2.imwrite(str(at / "b.png"), heads[2][..., ::-1])
    changed, other = prepare()
    assert changed["c.png"] == first["a.png"]
    assert changed["b.png"] != first["b.png"]
    assert other != digest
    assert prepare(longest_side=300)[0]["c.png"] != first["a.png"]


def test_the_digest_is_of_the_content_and_not_of_the_place(tmp_path, catalogue, videos, prepared):
    shutil.copytree(videos, tmp_path / videos.name)
    moved = catalogue.assign(path=[p.replace(str(videos), str(tmp_path / videos.name)) for p in catalogue["path"]])
    store.prepare(moved, tmp_path / "moved", frames=FRAMES, jobs=1, keep="all", progress=False)
    assert store.open_store(tmp_path / "moved").digest == store.open_store(prepared[0]).digest
    flipped = moved.assign(label="real")
    store.prepare(flipped, tmp_path / "moved", frames=FRAMES, jobs=1, keep="all", progress=False)
    assert store.open_store(tmp_path / "moved").digest != store.open_store(prepared[0]).digest


def test_subset_and_pickle(prepared):
    kept = store.open_store(prepared[0])
    fake = kept.subset(kept.manifest["label"] == "fake")
    assert set(fake.manifest["label"]) == {"fake"}
    again = pickle.loads(pickle.dumps(fake.subset([2, 0])))
    np.testing.assert_array_equal(again[0].rgb, fake[2].rgb)
    np.testing.assert_array_equal(again[1].landmarks, fake[0].landmarks)
    assert again[0].row == fake[2].row
    assert len({kept.digest, fake.digest, again.digest}) == 3
    assert len(pickle.dumps(kept)) < 2000
    assert kept[-1].row == kept[len(kept) - 1].row
    assert len(list(kept)) == len(kept)
    with pytest.raises(IndexError):
        kept[len(kept)]
    with pytest.raises(ValueError, match="mask"):
        kept.subset([True, False])
    assert len(kept.subset([])) == 0


def test_a_pickled_store_notices_that_it_was_made_anew(tmp_path, catalogue, prepared):
    shutil.copytree(prepared[0], tmp_path / "s")
    frozen = pickle.dumps(store.open_store(tmp_path / "s"))
    store.prepare(catalogue.head(3), tmp_path / "s", frames=FRAMES, jobs=1, keep="all", progress=False)
    with pytest.raises(UserError, match="prepared anew"):
        pickle.loads(frozen)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
def test_few_files_stay_open(tmp_path, heads):
    at = tmp_path / "faces"
    at.mkdir()
    for k in range(45):
        picture = cv2.resize(heads[0], (160, 160))
        picture[0, 0] = k
        cv2.imwrite(str(at / f"{k:02d}.png"), picture)
    store.prepare(catalogues.faces_folder(at, "real"), tmp_path / "s", jobs=1, progress=False)
    kept = store.open_store(tmp_path / "s")
    assert len(kept) == 45
    views = [kept[i].rgb[:1].copy() for i in (*range(45), *range(45))]
    assert len(views) == 90
    opened = [os.readlink(f) for f in Path("/proc/self/fd").iterdir() if f.is_symlink()]
    assert sum(name.endswith(".rgb") for name in opened) <= 33


def _shard(root: Path) -> Path:
    return shard_path(root, store.open_store(root).manifest["shard"].iloc[0])


def _edit_meta(root: Path, change) -> None:
    table = pq.read_table(root / "manifest.parquet")
    meta = json.loads(pq.read_metadata(root / "manifest.parquet").metadata[META])
    change(meta)
    pq.write_table(table.replace_schema_metadata({META: json.dumps(meta)}), root / "manifest.parquet")


def _edit_label(root: Path) -> None:
    table = pq.read_table(root / "manifest.parquet")
    kept = {META: pq.read_metadata(root / "manifest.parquet").metadata[META]}
    table = table.set_column(table.schema.get_field_index("label"), "label", [["fake"] * table.num_rows])
    pq.write_table(table.replace_schema_metadata(kept), root / "manifest.parquet")


def _drop_column(root: Path) -> None:
    kept = {META: pq.read_metadata(root / "manifest.parquet").metadata[META]}
    table = pq.read_table(root / "manifest.parquet").drop_columns(["landmarks"])
    pq.write_table(table.replace_schema_metadata(kept), root / "manifest.parquet")


def _flip_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def _unlink(root: Path) -> None:
    _shard(root).unlink()


def _cut(root: Path) -> None:
    os.truncate(_shard(root), 1000)


FAULTS = {
    "missing shard": (_unlink, r"\.rgb: missing"),
    "truncated shard": (_cut, r"\.rgb: 1000 bytes where"),
    "edited shard": (lambda root: _flip_byte(_shard(root)), r"\.rgb: its bytes have changed"),
    "other version": (lambda root: _edit_meta(root, lambda m: m.update(format=99)), "of format 99"),
    "edited digest": (lambda root: _edit_meta(root, lambda m: m.update(digest="0")), "was edited"),
    "edited label": (_edit_label, "was edited"),
    "column gone": (_drop_column, "lacks landmarks"),
    "no metadata": (
        lambda root: pq.write_table(pd.DataFrame({"a": [1]}).pipe(_arrow), root / "manifest.parquet"),
        "not a face store",
    ),
    "not Parquet": (lambda root: (root / "manifest.parquet").write_text("hello"), "can't be read"),
    "truncated manifest": (lambda root: os.truncate(root / "manifest.parquet", 500), "can't be read"),
    "no manifest": (lambda root: (root / "manifest.parquet").unlink(), "no finished face store"),
}


def _arrow(table: pd.DataFrame):
    import pyarrow as pa

    return pa.Table.from_pandas(table)


@pytest.mark.parametrize("fault", FAULTS)
def test_damage_is_named(tmp_path, prepared, fault):
    root = tmp_path / "s"
    shutil.copytree(prepared[0], root)
    store.open_store(root).verify()
    damage, message = FAULTS[fault]
    damage(root)
    with pytest.raises(UserError, match=message):
        store.open_store(root).verify()


def test_a_shard_lost_while_reading(tmp_path, prepared):
    root = tmp_path / "s"
    shutil.copytree(prepared[0], root)
    kept = store.open_store(root)
    _shard(root).unlink()
    with pytest.raises(UserError, match=r"missing from the face store; run `dfnb prepare` again"):
        kept[0]


def test_what_is_done_already_is_asked_of_no_worker(tmp_path, catalogue, prepared, monkeypatch):
    """Only broken and missing videos are tried again; the store stays the same bytes."""
    root = tmp_path / "again"
    shutil.copytree(prepared[0], root)
    module = sys.modules["dfnb.data.store.prepare"]  # the function has the same name in the package
    before, tried, one = tree(root), [], module._one
    monkeypatch.setattr(module, "_one", lambda path, *rest: tried.append(Path(path).name) or one(path, *rest))
    coverage = store.prepare(catalogue, root, frames=FRAMES, jobs=1, keep="all", progress=False)
    assert sorted(tried) == ["empty.mp4", "lost.mp4", "noise.mp4", "truncated.mp4"]
    assert tree(root) == before
    pd.testing.assert_frame_equal(coverage.problems, prepared[1].problems, check_dtype=False)


def test_preparing_again_mends_missing_and_truncated_shards(tmp_path, catalogue, prepared):
    root = tmp_path / "s"
    shutil.copytree(prepared[0], root)
    shards = sorted(root.glob("shards/*/*.rgb"))
    shards[0].unlink()
    os.truncate(shards[1], 10)
    shards[2].with_suffix(".json").write_text("{")
    store.prepare(catalogue, root, frames=FRAMES, jobs=1, keep="all", progress=False)
    assert tree(root) == tree(prepared[0])


def test_two_at_once(tmp_path, catalogue):
    with FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another command is preparing"):
        store.prepare(catalogue, tmp_path, jobs=1, progress=False)


def test_networks_trained_side_by_side_wait_for_the_faces_they_share(tmp_path, catalogue, caplog):
    held, through = threading.Event(), threading.Event()

    def other() -> None:
        with FileLock(tmp_path / ".lock"):
            held.set()
            through.wait()

    def ours() -> None:
        store.prepare(catalogue.head(1), tmp_path, jobs=1, progress=False, wait=True)

    first, second = (threading.Thread(target=work, daemon=True) for work in (other, ours))
    first.start()
    held.wait()
    with caplog.at_level("INFO", "dfnb"):
        second.start()
        while second.is_alive() and "waiting for it" not in caplog.text:
            time.sleep(0.01)
    assert second.is_alive()
    assert not (tmp_path / "manifest.parquet").exists()
    through.set()
    second.join()
    assert (tmp_path / "manifest.parquet").exists()


def test_wrong_use(tmp_path, catalogue):
    for kwargs, message in [
        ({"frames": 0}, "frames 0"),
        ({"jobs": 0}, "jobs 0"),
        ({"keep": "smallest"}, "keep: 'smallest'"),
        ({"upsample": 7}, "upsample 7"),
        ({"landmarks": tmp_path / "none.dat"}, "no such landmark model"),
    ]:
        with pytest.raises(UserError, match=message):
            store.prepare(catalogue, tmp_path / "s", progress=False, **kwargs)
    with pytest.raises(UserError, match="lacks the columns label, method"):
        store.prepare(catalogue[["path", "dataset", "video", "group", "split"]], tmp_path / "s")
    with pytest.raises(UserError, match="listed twice"):
        store.prepare([catalogue, catalogue], tmp_path / "s")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="can't be written"):
        store.prepare(catalogue, tmp_path / "file", jobs=1, progress=False)


def test_nothing_but_bad_videos_and_nothing_at_all(tmp_path, catalogue):
    bad = catalogue[catalogue["video"].str.contains("empty|noise")]
    coverage = store.prepare(bad, tmp_path / "bad", jobs=1, progress=False)
    assert coverage.table()["lost"].sum() == 2
    assert len(store.open_store(tmp_path / "bad")) == 0
    store.open_store(tmp_path / "bad").verify()
    assert len(store.prepare(catalogue.head(0), tmp_path / "none", jobs=1, progress=False).table()) == 0
    assert len(store.open_store(tmp_path / "none")) == 0


def test_expected_counts_and_missing_videos_reach_the_coverage(tmp_path, heads):
    for kind, name in (("source", "val_0"), ("target", "val_0"), ("source", "val_1")):
        file = tmp_path / "ffiw" / kind / "val/videos" / f"{name}.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        film(file, heads[0], 3)
    coverage = store.prepare(catalogues.ffiw(tmp_path / "ffiw"), tmp_path / "s", frames=1, jobs=1, progress=False)
    table = coverage.table().set_index("method")
    assert list(table["expected"]) == [250, 250]
    assert table["subset"].all()
    (problem,) = coverage.problems.to_dict("records")
    assert problem["path"].endswith("val_1.mp4")
    assert problem["reason"] == "missing from this copy"
    assert problem["method"] == "target"


def test_a_folder_of_frames_is_prepared_like_the_video_of_the_same_frames(tmp_path, heads):
    """Frame 10 comes after frame 9; a frame that is damaged gives way to the next; the key follows every frame."""
    at = tmp_path / "frames" / "clip"
    at.mkdir(parents=True)
    (tmp_path / "each").mkdir()
    for k in range(12):
        cv2.imwrite(str(at / f"frame_{k}.png"), heads[k % 2][..., ::-1])
    (at / "notes.txt").write_text("x")
    (at / ".hidden.png").write_text("x")

    def prepare(root):
        clips = catalogues.faces_folder(tmp_path / "frames", "real", video=".")
        coverage = store.prepare(clips, root, frames=4, jobs=1, progress=False)
        return store.open_store(root), coverage

    kept, coverage = prepare(tmp_path / "s")
    assert list(kept.manifest["frame"]) == frames.places(12, 4) == [1, 4, 7, 10]
    assert set(kept.manifest["video"]) == {"clip"}
    assert coverage.counts["frames"].sum() == 4
    finder = faces.FaceFinder()
    for stored, index in zip(kept, (1, 4, 7, 10), strict=True):
        rgb = cv2.imread(str(at / f"frame_{index}.png"))[..., ::-1]
        x0, y0, x1, y1 = faces.window(finder(rgb)[0].box, 0.35, rgb.shape)
        np.testing.assert_array_equal(stored.rgb, rgb[y0:y1, x0:x1])
    assert [index for index, _ in frames.at(at, [11, 0, 99])] == [0, 11]
    assert frames.probe(at).frames == 12
    (at / "frame_4.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    changed, _ = prepare(tmp_path / "s")
    assert list(changed.manifest["frame"]) == [1, 5, 7, 10]
    assert set(changed.manifest["shard"]) != set(kept.manifest["shard"])


def test_a_folder_without_a_readable_image_is_a_video_that_is_lost(tmp_path, heads):
    for name in ("good", "bad"):
        (tmp_path / "f" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "f" / name / "1.png"), heads[0][..., ::-1])
    (tmp_path / "f/bad/1.png").write_text("x")
    clips = catalogues.faces_folder(tmp_path / "f", "real", video=".")
    coverage = store.prepare(clips, tmp_path / "s", jobs=1, progress=False)
    (reason,) = coverage.problems["reason"]
    assert reason == "none of the 1 images can be read; extract the frames anew"


def test_another_decoder_makes_another_record_of_a_video_and_the_same_of_an_image(videos, monkeypatch):
    module, settings = sys.modules["dfnb.data.store.prepare"], {"frames": 1}
    film_, picture = videos / "real/one.mp4", videos / "fake/picture.png"
    before = [module.key_of(file, settings) for file in (film_, picture)]
    changed = {**module.av.library_versions, "libswscale": (0, 0, 0)}
    monkeypatch.setattr(module.av, "library_versions", changed)
    after = [module.key_of(file, settings) for file in (film_, picture)]
    assert after[0] != before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize("lost", ["av", "dlib", "dlib-bin", "numpy", "opencv-python-headless", "opencv-python"])
def test_a_store_is_made_where_a_distribution_has_another_name(tmp_path, catalogue, monkeypatch, lost):
    """As under conda, whose package of dlib is `dlib`: what was imported says its version."""
    from importlib import metadata

    found = metadata.distribution

    def distribution(name):
        if name == lost:
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata, "distribution", distribution)
    monkeypatch.setattr(metadata, "version", lambda name: distribution(name).version)
    store.prepare(catalogue.head(1), tmp_path, frames=1, jobs=1, progress=False)
    about = json.loads(pq.read_metadata(tmp_path / "manifest.parquet").metadata[META])
    assert about["versions"].keys() == {"av", "opencv", "dlib", "numpy"}
    assert about["versions"]["numpy"] == np.__version__
