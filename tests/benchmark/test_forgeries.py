"""Forgeries for choosing settings: of rendered heads, and of the astronaut."""

import ast
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from lab import dfnb
from PIL import Image
from rendered_heads import rendered_heads

from dfnb.analysis import astronaut
from dfnb.benchmark import forgeries, forgery_folder
from dfnb.benchmark.forgeries import METHODS, Portrait
from dfnb.common.errors import UserError
from dfnb.common.files import read_json
from dfnb.data import faces, faces_folder

ROOT = Path(__file__).parents[2]
PERSON = r"^([^_]+?)(?:_[^/]*)?\.jpg$"


@pytest.fixture(scope="module")
def portraits() -> list[Portrait]:
    """Three rendered people, their landmarks found as the command does."""
    pictures = [frame.rgb for frame in rendered_heads(3, seed=11)]
    return [Portrait(rgb, faces.FaceFinder()(rgb)[0].landmarks) for rgb in pictures]


@pytest.fixture(scope="module")
def photograph() -> Portrait:
    rgb = astronaut.picture()
    return Portrait(rgb, faces.FaceFinder()(rgb)[0].landmarks)


@pytest.fixture
def folder(tmp_path, portraits) -> Path:
    (tmp_path / "faces").mkdir()
    for name, portrait in zip(("a_1", "b", "c"), portraits, strict=True):
        Image.fromarray(portrait.rgb).save(tmp_path / "faces" / f"{name}.png")
    return tmp_path / "faces"


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([7, *key])


def changed(target: Portrait, fake: np.ndarray) -> np.ndarray:
    assert (fake.shape, fake.dtype) == (target.rgb.shape, np.uint8)
    return np.abs(fake.astype(int) - target.rgb).max(-1)


def tight(portrait: Portrait) -> Portrait:
    """Cut off so closely that the jaw touches the picture's edge and the forehead lies beyond it."""
    x0, y0 = portrait.landmarks.min(0).astype(int)
    x1, y1 = portrait.landmarks.max(0).astype(int) - 2
    return Portrait(portrait.rgb[y0:y1, x0:x1].copy(), portrait.landmarks - np.float32((x0, y0)))


@pytest.mark.parametrize("draw", range(6))
def test_a_swap_changes_the_face_and_nothing_else(portraits, draw):
    target, source = portraits[:2]
    difference = changed(target, forgeries.swap(target, source, rng(draw)))
    inside = faces.face_mask(target.landmarks, target.rgb.shape) > 0
    assert difference[~inside].max() == 0
    core = faces.fill(cv2.convexHull(target.landmarks[17:])[:, 0], target.rgb.shape) == 1
    assert np.median(difference[core]) > 4


@pytest.mark.parametrize("draw", range(6))
def test_a_face_swapped_with_itself_changes_little_and_stays_in_place(portraits, draw):
    target = portraits[0]
    fake = forgeries.swap(target, target, rng(draw))
    inside = faces.face_mask(target.landmarks, target.rgb.shape) == 1
    assert changed(target, fake)[inside].mean() < 6  # what the limited resolution takes
    grey = [cv2.GaussianBlur(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), (0, 0), 2) * inside for p in (target.rgb, fake)]
    (x, y), _ = cv2.phaseCorrelate(*(g.astype(np.float64) for g in grey))
    assert np.hypot(x, y) < 0.25


@pytest.mark.parametrize("draw", range(4))
def test_a_mouth_changes_only_below_the_nose(portraits, draw):
    target, source = portraits[:2]
    difference = changed(target, forgeries.mouth(target, source, rng(draw)))
    _, rows = np.nonzero(difference.T)
    assert rows.min() >= target.landmarks[31:36, 1].min()
    box = faces.box(target.landmarks)
    away = np.ones(difference.shape, bool)
    away[int(box[1]) : int(box[3] + 0.2 * (box[3] - box[1])), int(box[0]) : int(box[2]) + 1] = False
    assert difference[away].max() == 0
    lips = faces.fill(cv2.convexHull(target.landmarks[48:60])[:, 0], target.rgb.shape) == 1
    assert difference[lips].mean() > 3


def test_a_mouth_takes_the_sources_expression(portraits):
    """By the landmark model, which doesn't know how the picture was made."""
    target = portraits[0]
    down = np.array([0, 0.12 * forgeries.face_height(target.landmarks)], np.float32)
    lower = target.landmarks.copy()
    lower[[55, 56, 57, 58, 59, 65, 66, 67]] += down
    rgb = cv2.fillPoly(target.rgb.copy(), [lower[60:68].astype(np.int32)], (40, 10, 10))
    fake = forgeries.mouth(target, Portrait(rgb, lower), rng(0))
    found = faces.FaceFinder()(fake)[0].landmarks
    gap = [np.hypot(*(p[51] - p[57])) for p in (target.landmarks, found)]
    assert gap[1] > gap[0] + 0.4 * down[1]


@pytest.mark.parametrize("method", METHODS)
def test_a_tight_crop_is_forged_up_to_its_edge_without_black_triangles(portraits, method):
    target, source = tight(portraits[0]), tight(portraits[1])
    for draw in range(6):
        fake = METHODS[method].forge(target, source, rng(draw))
        dark = fake.max(-1) < 10
        assert dark.sum() <= (target.rgb.max(-1) < 20).sum() + (source.rgb.max(-1) < 20).sum()
        assert changed(target, fake).any()


@pytest.mark.parametrize("method", METHODS)
def test_a_photograph_is_forged_and_its_face_is_found_again(photograph, portraits, method):
    fake = METHODS[method].forge(photograph, portraits[0], rng(1))
    found = faces.FaceFinder()(fake)[0]
    assert np.hypot(*(found.landmarks - photograph.landmarks).T).mean() < 0.08 * forgeries.face_height(found.landmarks)
    outside = faces.face_mask(photograph.landmarks, photograph.rgb.shape) == 0
    outside[int(photograph.landmarks[33, 1]) :] &= method == "swap"  # a jaw moves
    assert changed(photograph, fake)[outside].max() == 0


def test_the_source_is_the_face_most_like_the_target(portraits):
    looks = [forgeries.look(p.rgb, p.landmarks) for p in portraits]
    unfit = METHODS["swap"].unfit
    assert unfit(looks[0], looks[0]) == pytest.approx(0, abs=1e-6)
    assert unfit(looks[0], looks[1]) > 0.01
    turned = replace(looks[0], landmarks=looks[0].landmarks[:, ::-1] * np.float32((-1.5, 1.5)) + 40)
    assert unfit(looks[0], turned) == pytest.approx(0, abs=1e-5)  # neither turn nor size counts
    blurred = forgeries.look(cv2.GaussianBlur(portraits[0].rgb, (0, 0), 4), portraits[0].landmarks)
    assert unfit(looks[0], blurred) > 0.05 > unfit(blurred, looks[0])


def test_the_command_writes_folders_that_the_catalogue_reads(capsys, caplog, tmp_path, folder):
    (folder / "nobody.png").write_bytes((folder / "b.png").read_bytes())
    Image.new("RGB", (200, 200), "grey").save(folder / "nobody.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    ended = dfnb(capsys, "forge", folder, out, "--count", 5)
    assert ended.status == 0
    assert "nobody.png: no face found" in ended.err
    assert "broken.jpg" in ended.err
    assert "swap: 3 forgeries, not 5" in caplog.text
    for method in METHODS:
        table = faces_folder(out / method, group=PERSON)
        assert table["label"].value_counts().to_dict() == {"real": 3, "fake": 3}
        assert table.groupby("group")["label"].apply(set).to_dict() == {n: {"real", "fake"} for n in ("a-1", "b", "c")}
        coded = []
        for path in table["path"]:
            with Image.open(path) as image:
                coded.append((image.format, image.size, image.layer, image.quantization))
        assert all(about == coded[0] for about in coded)
        assert coded[0][:2] == ("JPEG", (320, 320))
    about = read_json(out / forgery_folder.MARKER)
    assert about["made"] == dict.fromkeys(METHODS, 3)
    assert "published" in about["notice"]


def test_the_same_seed_gives_the_same_bytes_and_what_is_there_is_kept(tmp_path, folder):
    def content(out: Path) -> dict[str, bytes]:
        return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}

    whole, again = tmp_path / "whole", tmp_path / "again"
    for out in (whole, again):
        forgery_folder.build(folder, out, count=2, seed=3)
    assert content(whole) == content(again)
    # interrupted: one file is lacking, another must not be touched
    fakes = sorted((again / "swap" / "fake").iterdir())
    fakes[0].unlink()
    fakes[1].write_bytes(b"kept")
    marker = again / forgery_folder.MARKER
    marker.write_text(marker.read_text().replace('"finished": true', '"finished": false'))
    forgery_folder.build(folder, again, count=2, seed=3)
    assert fakes[1].read_bytes() == b"kept"
    fakes[1].write_bytes((whole / "swap" / "fake" / fakes[1].name).read_bytes())
    assert content(whole) == content(again)
    with pytest.raises(UserError, match=r"another seed; delete it"):
        forgery_folder.build(folder, again, count=2, seed=4)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda faces, out: [p.unlink() for p in faces.iterdir()], "0 usable faces"),
        (lambda faces, out: [p.unlink() for p in faces.glob("[ab]*")], "1 usable faces"),
        (lambda faces, out: [p.write_bytes(b"") for p in faces.iterdir()], "is empty"),
        (lambda faces, out: (faces / "a-1.jpg").write_bytes((faces / "b.png").read_bytes()), "would be named a-1"),
        (lambda faces, out: (faces / "fake").mkdir(), "only real faces"),
        (lambda faces, out: faces.rename(faces.parent / "gone"), "no such folder"),
        (lambda faces, out: (out.mkdir(), (out / "notes.txt").touch()), "is not empty"),
        (lambda faces, out: out.touch(), "is a file"),
    ],
)
def test_what_is_wrong_is_a_line_that_names_it(capsys, tmp_path, folder, spoil, words):
    out = tmp_path / "out"
    spoil(folder, out)
    before = sorted(tmp_path.rglob("*"))
    ended = dfnb(capsys, "forge", folder, out, "--count", 1)
    assert ended.status == 2
    assert len(ended.complaints) == 1
    assert words in ended.complaints[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_shared_with_self_blending():
    seen, waiting = set(), ["benchmark/forgery_folder"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for node in ast.walk(ast.parse((ROOT / "dfnb" / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dfnb"):
                base = node.module.removeprefix("dfnb").strip(".").replace(".", "/")
                for alias in node.names:
                    inner = f"{base}/{alias.name}"
                    module = inner if (ROOT / "dfnb" / f"{inner}.py").is_file() else base
                    if (ROOT / "dfnb" / f"{module}.py").is_file() and module not in seen:
                        waiting.append(module)
    assert {"benchmark/forgeries", "benchmark/pasting", "data/faces"} <= seen
    assert not [name for name in seen if name.startswith(("sbi", "training"))]
