"""Data as it already lies on disks: DeepfakeBench's layout, frames grouped by a pattern, crops, given landmarks."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from small_sets import touch

from dfnb.benchmark import builder
from dfnb.common import code
from dfnb.common.errors import UserError
from dfnb.data import catalogues, faces, frames, store
from dfnb.data.store.given import BEYOND, GivenFaces, read_landmarks
from dfnb.profile.schema import Demo

PREFIXES = ("/home/they/datasets/", "./datasets\\", "F:\\", "../../datasets/", "")
SAME = ["frame", "face", "frame_height", "frame_width", "crop_x", "crop_y", "crop_h", "crop_w", "x0", "y0", "x1", "y1"]


def listing(root: Path, videos: dict[str, list[str]], prefix: str = "", name: str = "Celeb-DF-v2") -> Path:
    """A list as rearrange.py writes it: `videos` are folder -> names of frames, such as Celeb-real/frames/id0_0000."""
    label = {"Celeb-real": "CelebDFv2_real", "YouTube-real": "CelebDFv2_real", "Celeb-synthesis": "CelebDFv2_fake"}
    whole = {kind: {"train": {}, "val": {}, "test": {}} for kind in dict.fromkeys(label.values())}
    for place, names in videos.items():
        kind = label[place.split("/")[0]]
        paths = [f"{prefix}{name}/{place}/{frame}" for frame in names]
        paths = [path.replace("/", "\\") for path in paths] if "\\" in prefix else paths
        whole[kind]["test"][place.rpartition("/")[2]] = {"label": kind, "frames": paths}
    return touch(root / f"{name}.json", json.dumps({name: whole}))


SMALL = {
    "Celeb-real/frames/id0_0000": ["001.png", "000.png"],
    "YouTube-real/frames/00170": ["000.png"],
    "Celeb-synthesis/frames/id0_id1_0000": ["000.png"],
    "Celeb-synthesis/frames/id1_id0_0002": ["000.png"],
}


def small(root: Path, prefix: str = "") -> Path:
    for place, names in SMALL.items():
        for frame in names:
            touch(root / "Celeb-DF-v2" / place / frame)
    return listing(root, SMALL, prefix)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("by_file", [False, True])
def test_a_list_is_read_wherever_it_was_made(tmp_path, prefix, by_file):
    file = small(tmp_path, prefix)
    table = catalogues.deepfake_bench(file if by_file else tmp_path)
    assert list(table["video"]) == [
        "CelebDFv2_real/id0_0000", "CelebDFv2_real/00170", "CelebDFv2_fake/id0_id1_0000", "CelebDFv2_fake/id1_id0_0002",
    ]  # fmt: skip
    assert list(table["label"]) == ["real", "real", "fake", "fake"]
    assert list(table["group"]) == ["id0", "00170", "id0", "id1"]
    assert set(table["dataset"]) == {"Celeb-DF-v2 (DeepfakeBench)"}
    assert table["path"][0] == str(tmp_path / "Celeb-DF-v2/Celeb-real/frames/id0_0000")  # its own folder: no links
    assert table.attrs["missing"] == []
    assert list(catalogues.deepfake_bench(file, label="fake")["label"]) == ["fake", "fake"]


@pytest.mark.parametrize("at", ["dataset_json", "preprocessing/dataset_json"])
def test_the_repository_s_own_folders_are_known(tmp_path, at):
    small(tmp_path / ("datasets" if "/" in at else ""))
    (tmp_path / at).mkdir(parents=True)
    shutil.move(next(tmp_path.rglob("*.json")), tmp_path / at / "Celeb-DF-v2.json")
    assert len(catalogues.deepfake_bench(tmp_path)) == 4
    shutil.copy(tmp_path / at / "Celeb-DF-v2.json", tmp_path / at / "UADFV.json")
    with pytest.raises(UserError, match=r"several lists \(Celeb-DF-v2\.json, UADFV\.json\); give the path of one"):
        catalogues.deepfake_bench(tmp_path)


def test_a_list_of_face_forensics_has_splits_and_compressions(tmp_path):
    def videos(label, *names):
        kind = "original_sequences/youtube" if label == "FF-real" else "manipulated_sequences/Deepfakes"
        entries = {}
        for name in names:
            frame = f"FaceForensics++/{kind}/c23/frames/{name}/000.png"
            touch(tmp_path / frame)
            entries[name] = {"label": label, "frames": [frame], "masks": []}
        return {"c23": entries, "c40": {}}

    parts = {
        "FF-real": {
            "train": videos("FF-real", "000"),
            "val": videos("FF-real", "002"),
            "test": videos("FF-real", "033"),
        },
        "FF-DF": {"train": {"c23": {}}, "val": {"c23": {}}, "test": videos("FF-DF", "033_097")},
    }
    file = touch(tmp_path / "FF-DF.json", json.dumps({"FF-DF": parts}))
    table = catalogues.deepfake_bench(tmp_path)
    assert list(table["video"]) == ["FF-real/033", "FF-DF/033_097"]
    assert list(table["group"]) == ["033", "033"]
    assert set(table["dataset"]) == {"FF-DF c23 (DeepfakeBench)"}
    assert list(catalogues.deepfake_bench(file, "train", "c23", "real")["video"]) == ["FF-real/000"]
    with pytest.raises(UserError, match=r"not one test video of it is in .*FaceForensics"):
        catalogues.deepfake_bench(file, "test", "c40")
    with pytest.raises(UserError, match="has no 'raw' with entries"):
        catalogues.deepfake_bench(file, "test", "raw")


def test_what_a_list_names_and_is_not_there_is_missing(tmp_path, caplog):
    small(tmp_path)
    shutil.rmtree(tmp_path / "Celeb-DF-v2/YouTube-real")
    (tmp_path / "Celeb-DF-v2/Celeb-real/frames/id0_0000/000.png").unlink()
    table = catalogues.deepfake_bench(tmp_path)
    assert table.attrs["missing"] == ["CelebDFv2_real/00170"]
    assert table.attrs["subset"]
    assert len(table) == 3
    assert "of 1 videos some frames of the list aren't there" in caplog.text
    touch(tmp_path / "Celeb-DF-v2/Celeb-real/frames/id0_0000/not_listed.png")
    with catalogues.gathered_in(tmp_path / "links"):
        (path, *_) = catalogues.deepfake_bench(tmp_path)["path"]
    assert [file.resolve().name for file in Path(path).iterdir()] == ["001.png"]


def changed(file: Path, change) -> None:
    whole = json.loads(file.read_text())
    change(whole["Celeb-DF-v2"]["CelebDFv2_real"]["test"]["id0_0000"], whole)
    file.write_text(json.dumps(whole))


BROKEN = {
    "a label of its own": (lambda e, w: e.update(label="CelebDFv2_fake"), "'CelebDFv2_fake' contradicts its place"),
    "no label": (lambda e, w: e.pop("label"), "label None contradicts"),
    "an unknown label": (
        lambda e, w: w["Celeb-DF-v2"].update(Genuine={"test": {}}), "label 'Genuine' is none of DeepfakeBench's",
    ),
    "outside": (lambda e, w: e.update(frames=["/etc/000.png"]), "'/etc/000.png' leads out of the set's folder"),
    "upward": (
        lambda e, w: e.update(frames=["Celeb-DF-v2/../../x/000.png"]), "'Celeb-DF-v2/../../x/000.png' leads out",
    ),
    "no path": (lambda e, w: e.update(frames=[7]), "'7' leads out of the set's folder"),
    "no frames": (lambda e, w: e.update(frames="000.png"), "frames '000.png' is not a list of paths"),
    "two folders": (
        lambda e, w: e.update(frames=["Celeb-DF-v2/a/1.png", "Celeb-DF-v2/b/1.png"]), "frames lie in several folders",
    ),
    "no object": (lambda e, w: w["Celeb-DF-v2"]["CelebDFv2_real"].update(test=[]), "has no 'test' with entries"),
    "another set": (lambda e, w: w.update(Mine={}), "not a list of one of DeepfakeBench's sets"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_fault_in_a_list_is_one_line(tmp_path, fault):
    file = small(tmp_path)
    changed(file, BROKEN[fault][0])
    with pytest.raises(UserError, match=r"Celeb-DF-v2\.json") as error:
        catalogues.deepfake_bench(tmp_path)
    assert BROKEN[fault][1] in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_list_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no list of DeepfakeBench's"):
        catalogues.deepfake_bench(tmp_path)
    file = small(tmp_path)
    file.write_text('{"Celeb-DF-v2": ')
    with pytest.raises(UserError, match=r"Celeb-DF-v2\.json line 1: not JSON"):
        catalogues.deepfake_bench(tmp_path)
    listing(tmp_path / "alone/lists", SMALL)
    with pytest.raises(UserError, match="no folder Celeb-DF-v2 beside it"):
        catalogues.deepfake_bench(tmp_path / "alone/lists")
    outside = tmp_path / "Celeb-DF-v2/Celeb-real/frames/id0_0000"
    listing(tmp_path, SMALL)
    shutil.move(outside, tmp_path.parent / "elsewhere")
    outside.symlink_to(tmp_path.parent / "elsewhere")
    with pytest.raises(UserError, match="a link that leads out of"):
        catalogues.deepfake_bench(tmp_path)


# frames grouped by a pattern

NAMES = (
    "real/p1_v3_f10.jpg",
    "real/p1_v3_f9.jpg",
    "real/p1_v4_f1.png",
    "fake/p1_v3_f1.jpg",
    "real/x.mp4",
    "real/y.jpg",
)
PATTERN = r"([^/]+)_f\d+\.\w+$"


def test_images_are_grouped_by_what_the_pattern_s_group_finds(tmp_path):
    for name in NAMES:
        touch(tmp_path / "set" / name, name)
    with catalogues.gathered_in(tmp_path / "links"):
        table = catalogues.faces_folder(tmp_path / "set", group=r"(p\d)_", video=PATTERN)
    videos = table.set_index("video")
    assert set(videos.index) == {"real/p1_v3", "real/p1_v4", "fake/p1_v3", "real/x.mp4", "real/y.jpg"}
    assert [p.read_text() for p in sorted(Path(videos["path"]["real/p1_v3"]).iterdir())] == [NAMES[1], NAMES[0]]
    assert videos["path"]["fake/p1_v3"] == str(tmp_path / "set/fake")  # all images of a folder: that folder
    assert videos["group"]["real/p1_v3"] == "p1"
    assert videos["group"]["real/y.jpg"] == "real/y.jpg"
    assert list(videos["label"][["real/p1_v3", "fake/p1_v3"]]) == ["real", "fake"]
    with pytest.raises(UserError, match=r"only within dfnb\.data\.catalogues\.gathered_in"):
        catalogues.faces_folder(tmp_path / "set", video=PATTERN)
    with pytest.raises(UserError, match=r"data\.video '\(z\)' matches no path of an image"):
        catalogues.faces_folder(tmp_path / "set", video="(z)")


def test_a_group_may_span_folders_and_its_links_follow_its_files(tmp_path):
    for name in ("a/v1/2.png", "a/v1/1.png", "b/v1/3.png", "b/v2/1.png"):
        touch(tmp_path / "set" / name, name)
    touch(tmp_path / "set/a/v1/1.npy")

    def listed() -> pd.DataFrame:
        with catalogues.gathered_in(tmp_path / "links"):
            return catalogues.faces_folder(tmp_path / "set", "real", video=r"/(v\d)/").set_index("video")

    first = listed()
    at = Path(first["path"]["v1"])
    assert [p.read_text() for p in sorted(at.glob("*.png"))] == ["a/v1/1.png", "a/v1/2.png", "b/v1/3.png"]
    assert [p.name for p in at.glob("*.npy")] == ["000000.npy"]
    made = at.stat().st_mtime_ns
    assert listed().equals(first)
    assert at.stat().st_mtime_ns == made
    touch(tmp_path / "set/b/v1/4.png")
    assert len(list(Path(listed()["path"]["v1"]).glob("*.png"))) == 4
    assert len(list(at.glob("*.png"))) == 3
    assert not [p for p in (tmp_path / "links").iterdir() if p.name.startswith(".")]


def test_without_symbolic_links_frames_are_copied(tmp_path, monkeypatch):
    for name in ("v1_f1.png", "v1_f2.png", "v2_f1.png"):
        touch(tmp_path / "set" / name, name)
    monkeypatch.setattr(Path, "symlink_to", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    with catalogues.gathered_in(tmp_path / "links"):
        table = catalogues.faces_folder(tmp_path / "set", "real", video=PATTERN).set_index("video")
        at = Path(table["path"]["v1"])
        assert [p.read_text() for p in sorted(at.iterdir())] == ["v1_f1.png", "v1_f2.png"]
        touch(tmp_path / "set/v1_f2.png", "another")
        again = catalogues.faces_folder(tmp_path / "set", "real", video=PATTERN).set_index("video")
    assert sorted(p.read_text() for p in Path(again["path"]["v1"]).iterdir()) == ["another", "v1_f1.png"]


def test_grouped_frames_have_the_key_of_the_same_frames_in_a_folder(tmp_path, heads):
    """So that no clip's key depends on how it was listed, and none changed when grouping came."""
    for k in range(3):
        touch(tmp_path / "own/clip" / f"{k}.png")
        cv2.imwrite(str(tmp_path / "own/clip" / f"{k}.png"), np.roll(heads[0], k, 1)[..., ::-1])
        (tmp_path / "mixed").mkdir(exist_ok=True)
        shutil.copy(tmp_path / f"own/clip/{k}.png", tmp_path / "mixed" / f"clip_f{k}.png")
    cv2.imwrite(str(tmp_path / "mixed/other_f0.png"), heads[1][..., ::-1])
    own = catalogues.faces_folder(tmp_path / "own", "real", video=".")
    with catalogues.gathered_in(tmp_path / "links"):
        mixed = catalogues.faces_folder(tmp_path / "mixed", "real", video=PATTERN)
    for name, clips in (("s1", own), ("s2", mixed)):
        store.prepare(clips, tmp_path / name, frames=2, jobs=1, progress=False)
    one, two = (store.open_store(tmp_path / name).manifest for name in ("s1", "s2"))
    assert set(one["shard"]) <= set(two["shard"])
    assert list(two["video"]) == ["clip", "clip", "other"]


# what is known of faces


def test_modules_that_are_keyed_apart_are_used_by_no_other_of_their_room():
    """Else a face store could depend on code that isn't in its key."""
    whole = code.digest_of("data")
    assert whole != code.digest_of("data", "data.store.given")
    keyed = [p for p in (code.PACKAGE / "data").rglob("*.py") if "KEYED_APART" in p.read_text()]
    assert [p.stem for p in keyed] == ["given"]
    users = [
        p.name
        for p in (code.PACKAGE / "data").rglob("*.py")
        if "store.given" in p.read_text().replace("store import given", "store.given")
    ]
    assert set(users) <= {"given.py", "__init__.py", "estimate.py"}  # of which the last two decide no face


@pytest.fixture(scope="module")
def heads():
    from rendered_heads import rendered_heads

    return [frame.rgb for frame in rendered_heads(3, seed=11)]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("benchmark") / "b"
    tiny = Demo(
        ff_train=4, ff_val=2, ff_test=2, celeb_real=2, celeb_fake=2, ffiw=2, frames=3, size=256, wide=(256, 160)
    )
    builder.build(root, tiny, jobs=1)
    return root / "Celeb-DF-v2"


@pytest.fixture(scope="module")
def relaid(tmp_path_factory, benchmark) -> Path:
    """The benchmark's videos as DeepfakeBench lays them: frames as PNG, 81 landmarks each, a list made on Windows."""
    root, finder = tmp_path_factory.mktemp("relaid"), faces.FaceFinder()
    videos = {}
    for file in catalogues.celeb_df(benchmark)["path"]:
        kind, stem = Path(file).relative_to(benchmark).parts[0], Path(file).stem
        place = f"{kind}/frames/{stem}"
        videos[place] = []
        for index, rgb in frames.sample_frames(file, 3):
            name = f"{index:03d}.png"
            videos[place].append(name)
            touch(root / "Celeb-DF-v2" / place / name)
            cv2.imwrite(str(root / "Celeb-DF-v2" / place / name), rgb[..., ::-1])
            (face, *_) = finder(rgb)
            marks = root / "Celeb-DF-v2" / place.replace("frames", "landmarks") / f"{index:03d}.npy"
            marks.parent.mkdir(parents=True, exist_ok=True)
            np.save(
                marks,
                np.concatenate([face.landmarks, faces.forehead(face.landmarks)[:11], face.landmarks[:2]]).astype(int),
            )
    listing(root, videos, "F:\\")
    return root


def prepared(clips: pd.DataFrame, root: Path, **given) -> store.FaceStore:
    make = store.prepare_given if given else store.prepare
    make(clips, root, frames=3, jobs=1, keep="all", progress=False, **given)
    return store.open_store(root, clips)


def faces_by_video(kept: store.FaceStore) -> pd.DataFrame:
    table = kept.manifest[[*SAME, "label"]].copy()
    table.index = kept.manifest["video"].str.rpartition("/")[2] + "/" + kept.manifest["frame"].astype(str)
    table["landmarks"] = [tuple(points.ravel()) for points in kept.landmarks]
    table["pixels"] = [face.rgb.tobytes() for face in kept]
    return table.sort_index()


def test_a_benchmark_part_laid_as_deepfakebench_does_gives_the_same_face_table(tmp_path, benchmark, relaid):
    clips = catalogues.deepfake_bench(relaid)
    expected = faces_by_video(prepared(catalogues.celeb_df(benchmark), tmp_path / "videos"))
    assert len(expected) == 12
    assert set(expected["label"]) == {"real", "fake"}
    pd.testing.assert_frame_equal(faces_by_video(prepared(clips, tmp_path / "found")), expected)
    how = {"crops": None, "landmarks": True}
    pd.testing.assert_frame_equal(faces_by_video(prepared(clips, tmp_path / "given", given=how)), expected)


def test_where_landmarks_are_given_none_are_looked_for(tmp_path, relaid, monkeypatch):
    monkeypatch.setattr(faces.FaceFinder, "__call__", lambda *_: pytest.fail("looked for a face"))
    clips = catalogues.deepfake_bench(relaid)
    assert len(prepared(clips, tmp_path / "s", given={"landmarks": True})) == 12


BAD = {
    "shape": (np.zeros((5, 2)), "landmarks of shape (5, 2), where (68, 2) or (81, 2) is needed"),
    "text": (np.full((81, 2), "x"), "not a .npy file of landmarks (no numbers)"),
    "objects": (np.full((81, 2), None, object), "not a .npy file of landmarks"),
    "nan": (np.full((68, 2), np.nan), "a landmark is not a number"),
    "another picture": (
        np.random.default_rng(0).uniform(300, 900, (81, 2)),
        "landmarks outside of the picture of 256 x",
    ),
    "a spot": (np.full((81, 2), 40), "landmarks all on one line or spot"),
}


@pytest.mark.parametrize("fault", BAD)
def test_landmarks_that_cannot_be_a_frame_s_are_a_problem_with_its_reason(tmp_path, relaid, fault):
    shutil.copytree(relaid, tmp_path / "set")
    marks = sorted((tmp_path / "set").rglob("*.npy"))[0]
    np.save(marks, BAD[fault][0], allow_pickle=True)
    clips, how = catalogues.deepfake_bench(tmp_path / "set"), {"landmarks": True}
    report = store.prepare_given(clips, tmp_path / "s", frames=3, jobs=1, progress=False, given=how)
    (problem,) = report.problems.itertuples()
    assert problem.reason.startswith(f"{marks}: ")
    assert BAD[fault][1] in problem.reason
    assert not problem.lost
    assert report.counts["faces"].sum() == 11


def test_what_is_no_landmark_file_is_named(tmp_path):
    file = tmp_path / "a.npy"
    for content in (
        b"",
        b"\x93NUMPY",
        b"PK\x03\x04",
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'",
        os.urandom(300),
        b"x" * (1 << 17),
    ):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.npy: not a \.npy file of landmarks"):
            read_landmarks(file, (256, 256))
    points = np.random.default_rng(0).uniform(0, 255, (81, 2))
    np.save(file, points)
    np.testing.assert_array_equal(read_landmarks(file, (256, 256)), points[:68].astype(np.float32))
    points[3, 0] = 256 * (1 + BEYOND) - 0.1
    np.save(file, points)
    read_landmarks(file, (256, 256))
    points[3, 0] += 0.2
    np.save(file, points)
    with pytest.raises(UserError, match="outside of the picture"):
        read_landmarks(file, (256, 256))


def test_the_key_follows_landmarks_and_settings_and_a_rerun_does_nothing_twice(tmp_path, relaid, monkeypatch):
    shutil.copytree(relaid, tmp_path / "set")
    clips = catalogues.deepfake_bench(tmp_path / "set")
    how = {"frames": 3, "jobs": 1, "keep": "all", "given": {"landmarks": True}}
    assert store.state_given(clips, tmp_path / "s", **how) == "missing"
    looked = store.estimate(clips, tmp_path / "s", sample=1, **how)
    assert (looked.videos, looked.left) == (4, 3)
    first = prepared(clips, tmp_path / "s", given=how["given"]).manifest
    assert store.state_given(clips, tmp_path / "s", **how) == "current"
    monkeypatch.setattr(GivenFaces, "__call__", lambda *_: pytest.fail("done before"))
    prepared(clips, tmp_path / "s", given=how["given"])
    monkeypatch.undo()
    assert (
        store.state_given(clips, tmp_path / "s", **how | {"given": {"landmarks": True, "crops": (0.1,) * 4}})
        == "outdated"
    )
    marks = sorted((tmp_path / "set").rglob("*.npy"))[0]
    np.save(marks, np.load(marks) + 1)
    assert store.state_given(clips, tmp_path / "s", **how) == "outdated"
    second = prepared(clips, tmp_path / "s", given=how["given"]).manifest
    assert len(set(first["shard"]) & set(second["shard"])) == 3
    shutil.rmtree(tmp_path / "s/shards")
    assert store.state_given(clips, tmp_path / "s", **how) == "missing"


def test_a_crop_s_face_is_placed_by_dlib_in_the_picture_less_its_margin(tmp_path, heads):
    import dlib

    predictor = dlib.shape_predictor(str(faces.landmark_model()))
    (found, *_) = faces.FaceFinder()(heads[0])
    x0, y0, x1, y1 = faces.window(found.box, 0.3, heads[0].shape)
    crop = np.ascontiguousarray(heads[0][y0:y1, x0:x1])
    height, width = crop.shape[:2]
    (face,) = GivenFaces(faces.FaceFinder(), crops=(0.2, 0.3, 0.2, 0.1))(crop, None)
    rectangle = dlib.rectangle(*(round(v) for v in (0.2 * width, 0.3 * height, 0.8 * width - 1, 0.9 * height - 1)))
    expected = [(p.x, p.y) for p in predictor(crop, rectangle).parts()]
    np.testing.assert_array_equal(face.landmarks, np.array(expected, np.float32))
    assert faces.overlap(face.box, tuple(np.subtract(found.box, [x0, y0, x0, y0]))) > 0.8
    blank = np.full((64, 64, 3), 127, np.uint8)  # no detector sees a face here, and none is asked
    assert faces.FaceFinder()(blank) == []
    assert len(GivenFaces(faces.FaceFinder(), crops=(0.1,) * 4)(blank, None)) == 1
    touch(tmp_path / "f/a.png")
    cv2.imwrite(str(tmp_path / "f/a.png"), crop[..., ::-1])
    kept = prepared(
        catalogues.faces_folder(tmp_path / "f", "real"), tmp_path / "s", given={"crops": (0.2, 0.3, 0.2, 0.1)}
    )
    np.testing.assert_array_equal(kept.landmarks[0], face.landmarks)
