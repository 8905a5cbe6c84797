"""The embedded benchmark's layout, and that its bytes depend on the settings alone. Tiny sizes, everything is built."""

import ast
import json
import re
import shutil
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfnb.benchmark import builder, marker, studio, video
from dfnb.benchmark.layout import CELEB, FF, FF_METHODS, FFIW, lists, plan
from dfnb.common.errors import UserError
from dfnb.profile import Demo

TINY = Demo(
    seed=5, ff_train=4, ff_val=2, ff_test=2, celeb_real=3, celeb_fake=3, ffiw=2, frames=2, size=192, wide=(480, 270)
)
SIZES = [TINY, Demo(), Demo(ff_train=8, ff_val=2, ff_test=2, celeb_real=4, celeb_fake=4, ffiw=2, frames=4)]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("benchmark") / "b"
    rows = builder.build(out, TINY, jobs=1)
    assert (rows.state == "written").all()
    return out


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def every_fake(settings: Demo):
    return [(job, fake) for job in plan(settings) for fake in job.fakes]


@pytest.mark.parametrize("settings", SIZES)
def test_the_plan_has_the_numbers_asked_for(settings):
    videos = [item for job in plan(settings) for item in job.videos]
    assert len({item.path for item in videos}) == len(videos)
    assert len({(item.path.split("/")[0], item.method, item.video) for item in videos}) == len(videos)
    count = {method: sum(item.method == method for item in videos) for method in {item.method for item in videos}}
    pairs = settings.ff_val + settings.ff_test
    assert count["original"] == settings.ff_train + pairs
    assert all(count[method] == pairs for method in FF_METHODS)
    assert count["Celeb-real"] + count.get("YouTube-real", 0) == settings.celeb_real
    assert count["Celeb-synthesis"] == settings.celeb_fake
    assert count["source"] == count["target"] == settings.ffiw
    assert plan(settings) == plan(settings)


@pytest.mark.parametrize("settings", SIZES)
def test_identities_are_disjoint_between_splits_and_parts(settings):
    people: dict[tuple[str, str], set] = {}
    for job in plan(settings):
        for take in job.takes:
            people.setdefault((take.part, take.video.split), set()).update((take.part, key) for key in take.people)
        for fake in job.fakes:
            take = job.takes[fake.take]
            people[take.part, take.video.split].add((take.part, fake.person))
            assert fake.person not in take.people  # nobody is swapped with themselves
            assert fake.driver is None or job.takes[fake.driver].people == (fake.person,)
    for a, b in combinations(people.values(), 2):
        assert not a & b


def test_different_keys_are_different_people():
    drawn = [studio.draw_person(TINY, part, key) for part in studio.PARTS for key in range(6)]
    assert all(a != b for a, b in combinations(map(repr, drawn), 2))
    assert repr(studio.draw_person(TINY, "ff", 3)) == repr(drawn[3])
    assert repr(studio.draw_person(TINY.model_copy(update={"seed": 6}), "ff", 3)) != repr(drawn[3])


def test_several_victims_and_several_sizes_of_company():
    takes = [(len(job.takes[0].people), fake.victim) for job, fake in every_fake(Demo()) if fake.method == "FFIW"]
    assert {people for people, _ in takes} == {2, 3, 4}
    assert set(takes) == {(people, who) for people in (2, 3, 4) for who in range(people)}


@pytest.mark.parametrize(
    ("change", "named"),
    [({"ff_val": 3}, "ff_val"), ({"ff_train": 1000}, "999"), ({"celeb_real": 2, "celeb_fake": 3}, "celeb_fake")],
)
def test_numbers_that_cannot_be_laid_out_are_named(change, named):
    with pytest.raises(UserError, match=named):
        plan(TINY.model_copy(update=change))


def test_list_files_name_files_that_exist(root):
    for split, originals in (("train", 4), ("val", 2), ("test", 2)):
        pairs = json.loads((root / FF / f"{split}.json").read_text())
        assert len(np.unique(pairs)) == originals
        for a, b in pairs:
            for name in (a, b):
                assert (root / FF / f"original_sequences/youtube/c23/videos/{name}.mp4").is_file()
            for method in FF_METHODS:
                folder = root / FF / "manipulated_sequences" / method / "c23/videos"
                for name in (f"{a}_{b}", f"{b}_{a}"):
                    assert (folder / f"{name}.mp4").is_file() == (split != "train")
    lines = (root / CELEB / "List_of_testing_videos.txt").read_text().splitlines()
    listed = [re.fullmatch(r"([01]) ((Celeb-real|YouTube-real|Celeb-synthesis)/[\w]+\.mp4)", line) for line in lines]
    assert all((match[1] == "1") == (match[3] != "Celeb-synthesis") for match in listed)
    assert {match[2] for match in listed} == {str(p.relative_to(root / CELEB)) for p in (root / CELEB).rglob("*.mp4")}
    for side in ("source", "target"):
        assert len(list((root / FFIW / side / "val/videos").glob("*.mp4"))) == 2
    assert set(lists(TINY)) == {
        str(p.relative_to(root)) for p in root.rglob("*.[jt][sx][ot]*") if p.name != marker.MARKER
    }


def test_the_marker_says_what_it_is(root):
    written = json.loads((root / marker.MARKER).read_text())
    assert "not real people" in written["notice"]
    assert written["settings"] == TINY.model_dump(mode="json")
    assert sum(written["counts"].values()) == len(list(root.rglob("*.mp4")))


def test_videos_have_the_size_asked_for_and_fakes_have_masks(root):
    for job in plan(TINY):
        for item in job.videos:
            frames = video.read(root / item.path)
            assert frames.shape == ((2, 270, 480, 3) if FFIW in item.path else (2, 192, 192, 3))
            assert (root / item.mask).exists() == (item.label == "fake")
            if item.label == "fake":
                mask = video.load_mask(root / item.mask)
                assert mask.shape == frames.shape[:3]
                assert 0.002 < mask.mean() < 0.6


def test_real_and_fake_are_encoded_alike(root):
    """x264 writes its settings into the stream: a fake's are those of the video it was made from."""
    for job, fake in every_fake(TINY):
        both = [(root / item.path).read_bytes() for item in (job.takes[fake.take].video, fake.video)]
        notes = [re.search(rb"x264 - core.*?options: [^\x00\x80]*", data, re.DOTALL)[0] for data in both]
        assert notes[0] == notes[1]
        assert b"threads=1 " in notes[0]


def test_before_encoding_fakes_differ_only_inside_their_mask():
    methods = set()
    for job in plan(TINY):
        takes = [studio.Studio(TINY, take) for take in job.takes]
        for fake in job.fakes:
            if fake.method in methods:
                continue
            frames, mask = studio.forge(TINY, takes, fake)
            changed = (frames != takes[fake.take].frames).any(axis=-1)
            assert not (changed & ~mask).any()
            assert (changed.sum(axis=(1, 2)) > 0.5 * mask.sum(axis=(1, 2))).all()
            face = np.stack([takes[fake.take].view(k, fake.victim).face for k in range(TINY.frames)])
            assert (mask & face).sum() > 0.9 * mask.sum()
            methods.add(fake.method)
    assert methods == {*FF_METHODS, "Celeb-synthesis", "FFIW"}


def test_nothing_is_shared_with_self_blending():
    for source in Path(studio.__file__).parent.glob("*.py"):
        tree = ast.walk(ast.parse(source.read_text()))
        imports = [node for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]
        named = {alias.name for node in imports for alias in node.names} | {getattr(n, "module", "") for n in imports}
        assert not {part for name in named for part in (name or "").split(".")} & {"sbi"}, source
        assert imports


def test_the_bytes_do_not_depend_on_the_number_of_processes(root, tmp_path):
    """Videos of every part, made again by two processes in a copy of what one process made."""
    out = tmp_path / "b"
    shutil.copytree(root, out)
    (out / marker.MARKER).rename(out / ".building.json")
    for part in studio.PARTS:
        for job in [job for job in plan(TINY) if job.takes[0].part == part and (job.fakes or part == "ff")][:2]:
            for item in job.videos:
                (out / item.path).unlink()
                (out / item.mask).unlink(missing_ok=True)
    rows = builder.build(out, TINY, jobs=2)
    assert (rows.state == "written").sum() > 15
    assert contents(out) == contents(root)


def test_what_is_missing_is_made_again_and_only_that(root, capsys):
    before = contents(root)
    assert set(builder.build(root, TINY, jobs=1).state) == {"kept"}
    assert "video" not in capsys.readouterr().err  # no bar where nothing is to be done
    gone = [fake.video for _, fake in every_fake(TINY)][::4]
    for item in gone[::2]:
        (root / item.path).unlink()
    for item in gone[1::2]:
        (root / item.mask).unlink()
    (root / marker.MARKER).rename(root / ".building.json")  # as if the build had been interrupted
    rows = builder.build(root, TINY, jobs=1)
    assert f"{len(gone)}/{len(gone)}" in capsys.readouterr().err
    assert set(rows.path[rows.state == "written"]) == {item.path for item in gone}
    assert contents(root) == before


def test_a_folder_of_something_else_is_refused(root, tmp_path):
    before = contents(root)
    with pytest.raises(UserError, match="seed 5 -> 6"):
        builder.build(root, TINY.model_copy(update={"seed": 6}), jobs=1)
    assert contents(root) == before
    (tmp_path / "holiday.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        builder.build(tmp_path, TINY, jobs=1)
    with pytest.raises(UserError, match="is a file"):
        builder.build(tmp_path / "holiday.txt", TINY, jobs=1)
    old = tmp_path / "old"
    old.mkdir()
    written = json.loads((root / marker.MARKER).read_text())
    (old / marker.MARKER).write_text(json.dumps({**written, "code": "0" * 16}))
    with pytest.raises(UserError, match="another version of the code"):
        builder.build(old, TINY, jobs=1)
    assert not marker.is_current(old, TINY)
    (old / marker.MARKER).write_text("{")
    with pytest.raises(UserError, match=marker.MARKER):
        builder.build(old, TINY, jobs=1)


def test_what_is_kept_on_disk_is_known_without_building(root, tmp_path):
    assert builder.state(tmp_path / "none", TINY) == "missing"
    assert builder.state(root, TINY) == "current"
    assert builder.state(root, TINY.model_copy(update={"seed": 99})) == "outdated"
    shutil.copytree(root, tmp_path / "copy")
    next((tmp_path / "copy").rglob("*.mp4")).unlink()
    assert builder.state(tmp_path / "copy", TINY) == "missing"


def test_a_broken_mask_file_is_named(tmp_path):
    (tmp_path / "m.npz").write_bytes(b"no mask")
    with pytest.raises(UserError, match=r"m\.npz"):
        video.load_mask(tmp_path / "m.npz")


def test_the_same_frames_are_encoded_to_the_same_bytes_every_time(tmp_path):
    rng = np.random.default_rng(3)
    smooth = cv2.resize(rng.uniform(0, 255, (8, 12, 12, 3)).astype(np.float32).reshape(8 * 12, 12, 3), (302, 8 * 302))
    frames = (smooth.reshape(8, 302, 302, 3) + rng.normal(0, 4, (8, 302, 302, 3))).clip(0, 255).astype(np.uint8)
    made = set()
    for trial in range(8):
        video.write(tmp_path / f"{trial}.mp4", frames.copy(), 10.0, video.Codec(crf=23, preset="medium", keyframe=12))
        made.add((tmp_path / f"{trial}.mp4").read_bytes())
    assert len(made) == 1
