"""Catalogues: every layout of the real sets, and every way a list can be wrong."""

import json
import random
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sets import FAKES, embed, make_celeb, make_ff, touch

from dfnb.common.errors import UserError
from dfnb.data import catalogues
from dfnb.data.catalogues import lists, paper


@pytest.mark.parametrize("lists_at", ["", "splits", "dataset/splits"])
@pytest.mark.parametrize("videos", ["videos", ""])
@pytest.mark.parametrize("nested", ["", "FaceForensics++"])
def test_face_forensics_layouts(tmp_path, lists_at, videos, nested):
    make_ff(tmp_path / nested, lists_at=lists_at, videos=videos)
    table = catalogues.face_forensics(tmp_path, "val", methods=("original", *FAKES))
    assert list(table.columns) == list(catalogues.COLUMNS)
    assert len(table) == 2 * (1 + len(FAKES))
    assert (table["label"] == table["method"].map(lambda m: "real" if m == "original" else "fake")).all()
    assert set(table.loc[table["method"] == "FaceSwap", "video"]) == {"FaceSwap/004_005", "FaceSwap/005_004"}
    # the group is the target: the video whose frames were changed
    assert table.set_index("video")["group"]["FaceSwap/005_004"] == "005"
    assert all(Path(p).is_file() for p in table["path"])
    assert not table.duplicated(["dataset", "split", "video"]).any()
    assert set(table["dataset"]) == {"FF++ c23"}
    assert set(table["split"]) == {"val"}


def test_face_forensics_full_counts(tmp_path):
    """A whole copy is no subset; one video less is, and is named."""
    make_ff(tmp_path, splits=(360, 70, 70))
    for split, count in (("train", 720), ("val", 140), ("test", 140)):
        table = catalogues.face_forensics(tmp_path, split, methods=("original", "Deepfakes"))
        assert len(table) == 2 * count
        assert table.attrs["expected"] == 2 * count
        assert not table.attrs["subset"]
        assert table.attrs["missing"] == []
        assert catalogues.title(table) == "FF++ c23"
    (tmp_path / "original_sequences/youtube/c23/videos/003.mp4").unlink()
    table = catalogues.face_forensics(tmp_path, "train")
    assert len(table) == 719
    assert table.attrs["missing"] == [str(Path("original_sequences/youtube/c23/videos/003.mp4"))]
    assert table.attrs["subset"]
    assert catalogues.title(table) == "FF++ c23 (subset: 719 of 720)"


def test_face_forensics_compression_is_in_the_name(tmp_path):
    make_ff(tmp_path, "c40")
    make_ff(tmp_path, "raw")
    assert set(catalogues.face_forensics(tmp_path, compression="c40")["dataset"]) == {"FF++ c40"}
    assert set(catalogues.face_forensics(tmp_path, compression="raw")["dataset"]) == {"FF++ raw"}
    with pytest.raises(UserError, match="no video of original in c23"):
        catalogues.face_forensics(tmp_path)


def test_face_forensics_actors_and_deepfakedetection(tmp_path):
    make_ff(tmp_path)
    touch(tmp_path / "original_sequences/actors/c23/videos/01__exit_phone_room.mp4")
    touch(tmp_path / "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4")
    table = catalogues.face_forensics(tmp_path, "test", methods=("actors", "DeepFakeDetection"))
    assert list(table["label"]) == ["real", "fake"]
    assert list(table["group"]) == ["actor01", "actor01"]
    assert table.attrs["expected"] == 363 + 3068
    with pytest.raises(UserError, match="no official split"):
        catalogues.face_forensics(tmp_path, "train", methods=("original", "actors"))


def test_a_method_that_is_absent_is_reported(tmp_path):
    make_ff(tmp_path)
    for file in (tmp_path / "manipulated_sequences/FaceShifter/c23/videos").iterdir():
        file.unlink()
    table = catalogues.face_forensics(tmp_path, "test", methods=("original", "FaceShifter"))
    assert set(table["method"]) == {"original"}
    by = {one["method"]: one for one in table.attrs["sets"]}
    assert by["FaceShifter"]["found"] == 0
    assert len(by["FaceShifter"]["missing"]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[["000", "001"], ["000", "002"]]', r"train.json entry 2: video '000' is listed twice"),
        ('[["000", "000"]]', "listed twice"),
        ('[["000"]]', "entry 1.*not a pair"),
        ('[["000", 1]]', "not a pair"),
        ('["000", "001"]', "not a pair"),
        ('{"a": 1}', "not a list of pairs"),
        ("[]", "not a list of pairs"),
        ("", "train.json line 1: not JSON"),
        ('[["000",\n"001"]', "train.json line 2: not JSON"),
        ('[["../../secret", "001"]]', "entry 1: '../../secret' is not the name of a video"),
        ('[["/etc/passwd", "001"]]', "not the name of a video"),
        ('[["000", "004"]]', "also in val.json"),
        ("[" * 100_000, "nested too deep|not JSON"),
    ],
)
def test_face_forensics_bad_lists(tmp_path, content, message):
    make_ff(tmp_path)
    touch(tmp_path / "train.json", content)
    with pytest.raises(UserError, match=message):
        catalogues.face_forensics(tmp_path)


def test_lists_tolerate_bom_crlf_and_blank_lines(tmp_path):
    make_ff(tmp_path / "ff")
    file = tmp_path / "ff/val.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b",", b",\r\n\r\n"))
    assert len(catalogues.face_forensics(tmp_path / "ff", "val")) == 2
    make_celeb(tmp_path / "celeb")
    file = tmp_path / "celeb/List_of_testing_videos.txt"
    plain = catalogues.celeb_df(tmp_path / "celeb")
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"  \r\n\r\n"))
    pd.testing.assert_frame_equal(catalogues.celeb_df(tmp_path / "celeb"), plain)


def test_settings_that_are_unknown(tmp_path):
    make_ff(tmp_path)
    for kwargs in ({"split": "valid"}, {"compression": "c22"}, {"methods": ("Deepfake",)}, {"methods": "youtube"}):
        with pytest.raises(UserError, match="unknown; use one of"):
            catalogues.face_forensics(tmp_path, **kwargs)
    with pytest.raises(UserError, match="no such folder"):
        catalogues.face_forensics(tmp_path / "nowhere")
    (tmp_path / "test.json").unlink()
    with pytest.raises(UserError, match=r"no test\.json"):
        catalogues.face_forensics(tmp_path, "test")


@pytest.mark.parametrize("videos", ["videos", ""])
@pytest.mark.parametrize("youtube", ["YouTube-real", "Youtube-real"])
@pytest.mark.parametrize("listed_as", ["YouTube-real", "Youtube-real"])
def test_celeb_df_layouts(tmp_path, videos, youtube, listed_as):
    table = catalogues.celeb_df(make_celeb(tmp_path, youtube, videos, listed_as))
    assert list(table["video"]) == [
        "Celeb-real/id0_0000",
        "Celeb-real/id1_0002",
        "YouTube-real/00170",
        "Celeb-synthesis/id0_id1_0000",
        "Celeb-synthesis/id1_id0_0002",
    ]
    assert list(table["label"]) == ["real"] * 3 + ["fake"] * 2
    assert list(table["group"]) == ["id0", "id1", "00170", "id0", "id1"]
    assert set(table["dataset"]) == {"Celeb-DF-v2"}
    assert table.attrs["subset"]  # 5 of 518
    assert catalogues.title(table) == "Celeb-DF-v2 (subset: 5 of 518)"


def test_celeb_df_full_count_and_order(tmp_path):
    """518 videos are the whole set, and the order of the lines plays no part."""
    names = [f"1 Celeb-real/id{k}_0000.mp4" for k in range(108)] + [f"1 YouTube-real/{k:05d}.mp4" for k in range(70)]
    names += [f"0 Celeb-synthesis/id{k}_id{k + 1}_0000.mp4" for k in range(340)]
    for name in names:
        touch(tmp_path / name[2:])
    touch(tmp_path / "List_of_testing_videos.txt", "\n".join(names))
    table = catalogues.celeb_df(tmp_path)
    assert dict(table["label"].value_counts()) == {"real": 178, "fake": 340}
    assert not table.attrs["subset"]
    random.Random(0).shuffle(names)
    touch(tmp_path / "List_of_testing_videos.txt", "\n".join(names))
    pd.testing.assert_frame_equal(catalogues.celeb_df(tmp_path), table)
    touch(tmp_path / "List_of_testing_videos.txt", "\n".join(names[:500]))
    short = catalogues.celeb_df(tmp_path)
    assert short.attrs["subset"]  # a list that was cut short, though all it names is there
    assert short.attrs["missing"] == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 Celeb-real/id0_0000.mp4", "listed twice"),
        ("1 Celeb-real/videos/id0_0000.mp4", "listed twice"),
        ("0 Celeb-real/id9_0000.mp4", "contradicts the folder"),
        ("1 Celeb-synthesis/id9_id1_0000.mp4", "contradicts the folder"),
        ("2 Celeb-real/id9_0000.mp4", "not a label"),
        ("real Celeb-real/id9_0000.mp4", "not a label"),
        ("Celeb-real/id9_0000.mp4", "not a label"),
        ("1", "not a label"),
        ("1,Celeb-real/id9_0000.mp4", "not a label"),
        ("1 /Celeb-real/id9_0000.mp4", "leads out"),
        ("1 Celeb-real/../../id9_0000.mp4", "leads out"),
        ("1 ..\\Celeb-real\\id9.mp4", "leads out"),
        ("1 C:/Celeb-real/id9.mp4", "leads out"),
        ("1 Celeb-fake/id9_0000.mp4", "none of the folders"),
        ("1 id9_0000.mp4", "none of the folders"),
        ("1 Celeb-real/deep/er/id9_0000.mp4", "none of the folders"),
    ],
)
def test_celeb_df_bad_lines(tmp_path, line, message):
    make_celeb(tmp_path)
    file = tmp_path / "List_of_testing_videos.txt"
    file.write_text(file.read_text() + "\n" + line + "\n")
    with pytest.raises(UserError, match=rf"List_of_testing_videos\.txt line 7: .*{message}"):
        catalogues.celeb_df(tmp_path)


def test_celeb_df_missing_videos_and_list(tmp_path):
    make_celeb(tmp_path)
    (tmp_path / "Celeb-real/id0_0000.mp4").unlink()
    table = catalogues.celeb_df(tmp_path)
    assert table.attrs["missing"] == ["Celeb-real/id0_0000.mp4"]
    assert len(table) == 4
    (tmp_path / "List_of_testing_videos.txt").write_bytes(b"1 Celeb-real/\xff\xfe.mp4\n")
    with pytest.raises(UserError, match="not UTF-8"):
        catalogues.celeb_df(tmp_path)
    (tmp_path / "List_of_testing_videos.txt").unlink()
    with pytest.raises(UserError, match="missing; copy"):
        catalogues.celeb_df(tmp_path)


@pytest.mark.parametrize("videos", ["videos", ""])
def test_ffiw(tmp_path, videos):
    for k in range(250):
        for kind in ("source", "target"):
            touch(tmp_path / kind / "val" / videos / f"val_{k:08d}.mp4")
    table = catalogues.ffiw(tmp_path)
    assert dict(table.groupby("method")["label"].first()) == {"source": "real", "target": "fake"}
    assert len(table) == 500
    assert table.attrs["expected"] == 500
    assert not table.attrs["subset"]
    assert table.groupby("group").size().eq(2).all()  # a fake and its original are one group
    (tmp_path / "target/val" / videos / "val_00000007.mp4").unlink()
    table = catalogues.ffiw(tmp_path)
    assert table.attrs["subset"]
    assert [Path(m).name for m in table.attrs["missing"]] == ["val_00000007.mp4"]
    (tmp_path / "source/val/videos").mkdir(exist_ok=True)  # of an archive that was unpacked and then moved
    assert len(catalogues.ffiw(tmp_path)) == 499
    with pytest.raises(UserError, match="no video in source/train"):
        catalogues.ffiw(tmp_path, "train")
    with pytest.raises(UserError, match="unknown"):
        catalogues.ffiw(tmp_path, "validation")


def test_embedded_benchmark_is_named_and_counted_as_such(tmp_path):
    embed(tmp_path)
    make_ff(tmp_path / "FaceForensics++")
    make_celeb(tmp_path / "Celeb-DF-v2")
    touch(tmp_path / "FFIW10K-v1-release/source/val/videos/val_00000.mp4")
    touch(tmp_path / "FFIW10K-v1-release/target/val/videos/val_00000.mp4")
    tables = [
        catalogues.face_forensics(tmp_path / "FaceForensics++", "test", methods=("original", "FaceSwap")),
        catalogues.celeb_df(tmp_path / "Celeb-DF-v2"),
        catalogues.ffiw(tmp_path / "FFIW10K-v1-release"),
    ]
    assert [t["dataset"].iloc[0] for t in tables] == ["FF++-like c23", "Celeb-DF-like", "FFIW-like"]
    assert not any(t.attrs["subset"] for t in tables)
    assert [t.attrs["expected"] for t in tables] == [4, 5, 2]
    both = catalogues.join(*tables)
    assert both.attrs["expected"] == 11
    assert len(both) == 11
    next((tmp_path / "Celeb-DF-v2/Celeb-synthesis").glob("id0*")).unlink()
    assert catalogues.celeb_df(tmp_path / "Celeb-DF-v2").attrs["subset"]


def test_stray_files_are_no_videos(tmp_path):
    make_celeb(tmp_path)
    touch(tmp_path / "Celeb-real/._id0_0000.mp4")  # macOS leaves these
    touch(tmp_path / "Celeb-real/Thumbs.db")
    assert len(catalogues.celeb_df(tmp_path)) == 5
    touch(tmp_path / "Celeb-real/id0_0000.avi")
    with pytest.raises(UserError, match="keep one of the two"):
        catalogues.celeb_df(tmp_path)


def test_dfdc_training_parts(tmp_path):
    for part, names in enumerate((("a", "b"), ("c", "d"))):
        at = tmp_path / f"dfdc_train_part_{part}"
        real, fake = names
        entries = {
            f"{real}.mp4": {"label": "REAL", "split": "train", "original": None},
            f"{fake}.mp4": {"label": "FAKE", "split": "train", "original": f"{real}.mp4"},
        }
        touch(at / "metadata.json", json.dumps(entries))
        for name in names:
            touch(at / f"{name}.mp4")
    table = catalogues.dfdc(tmp_path, "train")
    assert dict(zip(table["video"], table["label"], strict=True)) == {
        "original/a": "real",
        "DFDC/b": "fake",
        "original/c": "real",
        "DFDC/d": "fake",
    }
    assert list(table["group"]) == ["a", "a", "c", "c"]
    (tmp_path / "dfdc_train_part_0/b.mp4").unlink()
    assert catalogues.dfdc(tmp_path).attrs["missing"] == [str(Path("dfdc_train_part_0/b.mp4"))]


def test_dfdc_test_labels(tmp_path):
    touch(tmp_path / "labels.csv", "\ufefffilename,label\r\na.mp4,0\r\n\r\nb.mp4,1\r\n")
    touch(tmp_path / "test/a.mp4")
    touch(tmp_path / "test/b.mp4")
    assert list(catalogues.dfdc(tmp_path)["label"]) == ["real", "fake"]
    for yes, no in ((1, 0), (True, False)):
        touch(tmp_path / "metadata.json", json.dumps({"a.mp4": {"is_fake": yes}, "b.mp4": {"is_fake": no}}))
        assert list(catalogues.dfdc(tmp_path)["label"]) == ["fake", "real"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.csv", "filename,label\na.mp4,0\na.mp4,1\n", "line 3: a.mp4 is listed twice"),
        ("labels.csv", "filename,label\na.mp4,2\n", "line 2: label '2' is unknown"),
        ("labels.csv", "filename,label\na.mp4\n", "line 2: 1 columns"),
        ("labels.csv", "a.mp4,0\n", "line 1: the header"),
        ("labels.csv", "", "the header"),
        ("labels.csv", "filename,label\n../a.mp4,0\n", "line 2.*leads out"),
        ("metadata.json", '{"a.mp4": {"label": "MAYBE"}}', "label 'MAYBE' is unknown"),
        ("metadata.json", '{"a.mp4": {"label": true}}', "label True is unknown"),
        ("metadata.json", '{"a.mp4": "FAKE"}', "not an object"),
        ("metadata.json", '{"a.mp4": {"label": "REAL"}, "a.mp4": {"label": "FAKE"}}', "listed twice"),
        ("metadata.json", '{"/a.mp4": {"label": "REAL"}}', "leads out"),
        ("metadata.json", '{"a.mp4": {"label": "FAKE", "original": 3}}', "not a file name"),
        ("metadata.json", "[]", "not an object"),
    ],
)
def test_dfdc_bad_labels(tmp_path, name, text, message):
    touch(tmp_path / "a.mp4")
    touch(tmp_path / name, text)
    with pytest.raises(UserError, match=message):
        catalogues.dfdc(tmp_path)


def test_dfdc_preview(tmp_path):
    entries = {
        "original_videos/12/12_A_001.mp4": {"label": "real", "set": "test", "target_id": None},
        "method_A/12/12_34_A_001.mp4": {"label": "fake", "set": "test", "target_id": 12, "swapped_id": 34},
        "method_B/56/56_12_A_001.mp4": {"label": "fake", "set": "train", "target_id": 56, "swapped_id": 12},
    }
    touch(tmp_path / "dataset.json", json.dumps(entries))
    for name in entries:
        touch(tmp_path / name)
    table = catalogues.dfdc_preview(tmp_path)
    assert list(table["method"]) == ["original_videos", "method_A"]
    assert list(table["label"]) == ["real", "fake"]
    assert list(table["group"]) == ["12", "12"]
    assert list(catalogues.dfdc_preview(tmp_path, "train")["video"]) == ["method_B/56/56_12_A_001"]
    tmp_path.joinpath("up").mkdir()
    tmp_path.joinpath("up/dfdc_preview_set").symlink_to(tmp_path)
    assert list(catalogues.dfdc_preview(tmp_path / "up")["video"]) == list(table["video"])
    entries["method_A/12/12_34_A_001.mp4"]["set"] = "validation"
    touch(tmp_path / "dataset.json", json.dumps(entries))
    with pytest.raises(UserError, match="set 'validation' is unknown"):
        catalogues.dfdc_preview(tmp_path)


def test_faces_folder(tmp_path):
    one = tmp_path / "one"
    for name in ("a_007_x.jpg", "deep/b_007_y.MP4", "deep/c_009_z.png", "notes.txt"):
        touch(one / name)
    table = catalogues.faces_folder(one, "real", group=r"_(\d+)_")
    assert list(table["group"]) == ["007", "007", "009"]
    assert list(table["video"]) == ["a_007_x.jpg", "deep/b_007_y.MP4", "deep/c_009_z.png"]
    assert set(table["dataset"]) == {"one"}
    assert not table.attrs["subset"]
    two = tmp_path / "two"
    touch(two / "real/a.jpg")
    touch(two / "Fake/a.jpg")
    both = catalogues.faces_folder(two)
    assert dict(zip(both["label"], both["video"], strict=True)) == {"fake": "Fake/a.jpg", "real": "real/a.jpg"}
    for call, message in [
        (lambda: catalogues.faces_folder(one), "say which label"),
        (lambda: catalogues.faces_folder(two, "real"), "leave out the label"),
        (lambda: catalogues.faces_folder(one, "genuine"), "must be 'real' or 'fake'"),
        (lambda: catalogues.faces_folder(one, "real", group="("), "not a regular expression"),
        (lambda: catalogues.faces_folder(one, "real", group="x"), "needs a group"),
        (lambda: catalogues.faces_folder(tmp_path / "none", "real"), "no such folder"),
    ]:
        with pytest.raises(UserError, match=message):
            call()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_a_named_error(tmp_path_factory, data):
    """Parsers end in rows or in UserError, whatever the bytes."""
    at = tmp_path_factory.mktemp("fuzz")
    file = at / "list"
    file.write_bytes(data)
    for read in (
        paper._read_pairs,
        lists.read_json,
        lambda f: [paper._celeb_line(x, str(n)) for n, x in lists.lines(f)],
    ):
        try:
            read(file)
        except UserError:
            continue


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab./\\: \x00~", max_size=12))
def test_paths_from_lists_stay_inside(name):
    """Whatever `inside` lets through lies under the root."""
    try:
        path = lists.inside(name, "here")
    except UserError:
        return
    root = Path("/some/root")
    assert root in (root / path).parents or (root / path) == root
    assert ".." not in path.parts


def test_a_person_is_found_in_a_files_name_or_else_in_its_path(tmp_path):
    for name in ("ann/clip1/a.jpg", "ann/clip2/b.mp4", "bob/c.jpg"):
        touch(tmp_path / "per folder" / name)
    assert list(catalogues.faces_folder(tmp_path / "per folder", "real", r"^([^/]+)/")["group"]) == [
        "ann",
        "ann",
        "bob",
    ]
    for kind in ("real", "fake"):  # the path begins below the folder that says the label
        touch(tmp_path / "labelled" / kind / "ann/p7_1.jpg")
    labelled = catalogues.faces_folder(tmp_path / "labelled", group=r"^([^/]+)/")
    assert set(labelled["group"]) == {"ann"}
    assert set(catalogues.faces_folder(tmp_path / "labelled", group=r"^(p\d+)_")["group"]) == {"p7"}


def test_a_pattern_that_is_found_nowhere_is_named_and_one_found_in_part_is_reported(tmp_path, caplog):
    for name in ("ann/1.jpg", "ann/2.jpg", "3.jpg"):
        touch(tmp_path / name)
    with pytest.raises(UserError, match=r"person '_\(x\)_' is found in no file's name or path \(such as 3\.jpg\)"):
        catalogues.faces_folder(tmp_path, "real", "_(x)_")
    assert list(catalogues.faces_folder(tmp_path, "real", r"^(\w+)/")["group"]) == ["3.jpg", "ann", "ann"]
    assert "data.person isn't found in 1 of 3 files (such as 3.jpg)" in caplog.text
    with pytest.raises(UserError, match=r"data\.video 'frames' matches no folder of images"):
        catalogues.faces_folder(tmp_path, "real", video="frames")
    with pytest.raises(UserError, match=r"data\.video '\(': not a regular expression"):
        catalogues.faces_folder(tmp_path, "real", video="(")


def test_a_named_folder_is_called_so_and_its_errors_name_its_settings(tmp_path, caplog):
    for name in ("real/abc.jpg", "fake/abc_xyz.jpg", "fake/abc_uvw.jpg", "real/7.jpg"):
        touch(tmp_path / "dev" / name)
    table = catalogues.faces_folder(tmp_path / "dev", group=r"([a-z]+)(?:_[a-z]+)?\.jpg$", name="crops")
    assert set(table["dataset"]) == {"crops"}
    assert catalogues.title(table) == "crops"
    assert dict(zip(table["video"], table["group"], strict=True)) == {
        "real/abc.jpg": "abc", "fake/abc_xyz.jpg": "abc", "fake/abc_uvw.jpg": "abc", "real/7.jpg": "real/7.jpg",
    }  # fmt: skip
    assert "data.sets.crops.group isn't found in 1 of 4 files (such as real/7.jpg); each of them" in caplog.text
    for wrong, message in [
        ({"group": "("}, r"data\.sets\.crops\.group '\(': not a regular expression"),
        ({"group": "abc"}, r"data\.sets\.crops\.group 'abc': needs a group in parentheses"),
        ({"group": "_(0)_"}, r"data\.sets\.crops\.group '_\(0\)_' is found in no file's name"),
        ({"video": "clip"}, r"data\.sets\.crops\.video 'clip' matches no folder of images"),
    ]:
        with pytest.raises(UserError, match=message):
            catalogues.faces_folder(tmp_path / "dev", name="crops", **wrong)
    embed(tmp_path)
    assert set(catalogues.faces_folder(tmp_path / "dev", name="crops")["dataset"]) == {"crops-like"}


def test_a_folder_of_extracted_frames_is_one_video_where_the_pattern_says_so(tmp_path):
    for name in ("ann/clip1/1.jpg", "ann/clip1/2.jpg", "ann/photos/3.jpg", "bob/clip2/1.png", "bob/clip3.mp4", "4.jpg"):
        touch(tmp_path / name)
    table = catalogues.faces_folder(tmp_path, "real", r"^(\w+)/", video=r"clip\d$")
    assert list(table["video"]) == ["4.jpg", "ann/clip1", "ann/photos/3.jpg", "bob/clip2", "bob/clip3.mp4"]
    assert list(table["group"]) == ["4.jpg", "ann", "ann", "bob", "bob"]
    assert list(catalogues.faces_folder(tmp_path, "real", video=".")["video"]) == [
        "4.jpg",
        "ann/clip1",
        "ann/photos",
        "bob/clip2",
        "bob/clip3.mp4",
    ]
    parts = catalogues.real_faces(tmp_path, r"^(\w+)", 0.5, video=".")
    assert sum(len(part) for part in parts.values()) == 5


def test_links_may_lead_where_the_setting_says_and_nowhere_else(tmp_path):
    """As DVC lays files out: each a link into a cache, named by its hash; whole folders may be links, too."""
    cache, at = tmp_path / "cache", tmp_path / "set"
    make_celeb(at)
    for number, file in enumerate(sorted(at.glob("*/*.mp4"))):
        kept = touch(cache / "files/md5" / f"{number:032x}")
        file.unlink()
        file.symlink_to(kept)
    touch(cache / "folder/a.mp4")
    touch(tmp_path / "mine/b.mp4")
    (tmp_path / "mine/linked").symlink_to(cache / "folder")
    reads = (lambda: catalogues.celeb_df(at), lambda: catalogues.faces_folder(tmp_path / "mine", "real"))
    for read in reads:
        with pytest.raises(UserError, match=r"a link .*data\.links_inside"):
            read()
        with catalogues.links_inside([tmp_path / "set"]), pytest.raises(UserError, match="a link"):
            read()
    with catalogues.links_inside([cache]):
        assert len(catalogues.celeb_df(at)) == 5
        assert list(catalogues.faces_folder(tmp_path / "mine", "real")["video"]) == ["b.mp4", "linked/a.mp4"]
    with pytest.raises(UserError, match="a link"):  # no longer
        catalogues.celeb_df(at)
    nowhere = catalogues.links_inside([tmp_path / "nowhere"])
    with pytest.raises(UserError, match=r"data\.links_inside: .*nowhere: no such folder"), nowhere:
        pass


def test_a_link_that_leads_back_is_named_and_not_followed_for_ever(tmp_path):
    touch(tmp_path / "set/deep/a.mp4")
    (tmp_path / "set/deep/back").symlink_to(tmp_path / "set")
    with catalogues.links_inside([tmp_path]), pytest.raises(UserError, match="back: a link back to a folder"):
        catalogues.faces_folder(tmp_path / "set", "real")


def test_celeb_df_version_1_is_named_so_and_never_a_subset_of_version_2(tmp_path):
    """By its test list (38 real, 62 fake videos), or by how many videos its folders have, whatever the list has."""
    names = [f"1 Celeb-real/id{k}_0000.mp4" for k in range(28)] + [f"1 YouTube-real/{k:05d}.mp4" for k in range(10)]
    names += [f"0 Celeb-synthesis/id{k}_id{k + 1}_0000.mp4" for k in range(62)]
    for name in names:
        touch(tmp_path / "list" / name[2:])
    touch(tmp_path / "list/List_of_testing_videos.txt", "\n".join(names))
    table = catalogues.celeb_df(tmp_path / "list")
    assert catalogues.title(table) == "Celeb-DF-v1"
    (tmp_path / "list/Celeb-real/id3_0000.mp4").unlink()
    assert catalogues.title(catalogues.celeb_df(tmp_path / "list")) == "Celeb-DF-v1 (subset: 99 of 100)"
    for method, count in {"Celeb-real": 158, "YouTube-real": 250, "Celeb-synthesis": 795}.items():
        for k in range(count):
            touch(tmp_path / "whole" / method / f"id{k}_0.mp4")
    touch(tmp_path / "whole/List_of_testing_videos.txt", "1 Celeb-real/id1_0.mp4\n0 Celeb-synthesis/id1_0.mp4\n")
    assert catalogues.title(catalogues.celeb_df(tmp_path / "whole")) == "Celeb-DF-v1 (subset: 2 of 100)"


@pytest.mark.parametrize("nested", ["FaceForensics++_C23", "ffpp"])
def test_face_forensics_in_flat_folders_as_kaggle_has_them(tmp_path, nested):
    official, flat = make_ff(tmp_path / "official"), tmp_path / nested
    for method in ("original", *FAKES):
        kind = "original_sequences/youtube" if method == "original" else f"manipulated_sequences/{method}"
        (flat / method).mkdir(parents=True)
        for file in (official / kind / "c23/videos").iterdir():
            file.rename(flat / method / file.name)
    with pytest.raises(UserError, match=r"no train\.json .* from dataset/splits of github\.com/ondyari/FaceForensics"):
        catalogues.face_forensics(flat)
    for split in ("train", "val", "test"):
        (official / f"{split}.json").rename(flat / f"{split}.json")
    table = catalogues.face_forensics(flat, "val", methods=("original", *FAKES))
    assert len(table) == 2 * (1 + len(FAKES))
    assert set(table["dataset"]) == {"FF++ c23"}
    assert set(table.loc[table["method"] == "FaceSwap", "video"]) == {"FaceSwap/004_005", "FaceSwap/005_004"}
    (flat / "original/004.mp4").unlink()
    assert catalogues.face_forensics(flat, "val").attrs["missing"] == [str(Path("original/004.mp4"))]
    if nested == "ffpp":
        assert set(catalogues.face_forensics(flat, "val", "c40")["dataset"]) == {"FF++ c40"}
    else:
        with pytest.raises(UserError, match=r"c23 by its name, not c40; set data\.compression to c23"):
            catalogues.face_forensics(flat, "val", "c40")


def test_face_forensics_parted_into_real_and_fake_is_named_with_what_to_do(tmp_path):
    for kind in ("real", "fake"):
        touch(tmp_path / kind / "a.mp4")
    with pytest.raises(UserError, match=r"has real/ and fake/, .* data\.sets.*data\.faces"):
        catalogues.face_forensics(tmp_path)
