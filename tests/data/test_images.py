"""Images: against OpenCV, Pillow's own functions, and pictures known by construction."""

import io
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from coded_video import code, coded
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from dfnb.common.errors import UserError
from dfnb.data import frames, limits
from dfnb.data.catalogues import lists


def test_decompression_bomb(tmp_path):
    """A small PNG that claims 60,000 x 60,000 pixels is refused by its header."""
    Image.new("1", (60, 60)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    struct.pack_into(">II", data, 16, 60_000, 60_000)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UserError, match="pixels"):
        frames.read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tif", ".jpg", ".mp4"])
def test_images_are_videos_of_one_frame(tmp_path, suffix):
    """Known by content: even with a video's name."""
    file = tmp_path / f"image{suffix}"
    kind = {".jpg": "JPEG", ".tif": "TIFF", ".mp4": "PNG"}.get(suffix, suffix[1:].upper())
    Image.fromarray(coded(77)).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    ((index, rgb),) = frames.sample_frames(file, 8)
    assert index == 0
    if kind == "JPEG":
        assert code(rgb) == 77
    else:
        np.testing.assert_array_equal(rgb, coded(77))
    assert frames.probe(file).frames == 1


def test_images_of_unusual_kinds(tmp_path):
    """Against OpenCV, which reads all of these as 8-bit colour."""
    rgb = coded(300)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    Image.fromarray(rgb).convert("L").save(tmp_path / "grey.png")
    Image.fromarray(rgb).convert("P").save(tmp_path / "palette.png")
    cv2.imwrite(str(tmp_path / "grey16.png"), (rgb[..., 0].astype(np.uint16) * 257))
    cv2.imwrite(str(tmp_path / "rgb16.png"), (rgb[..., ::-1].astype(np.uint16) * 257))
    Image.fromarray(np.dstack([rgb, np.full(rgb.shape[:2], 128, np.uint8)])).save(tmp_path / "alpha.png")
    for name in ("turned.jpg", "cmyk.jpg", "grey.png", "palette.png", "grey16.png", "rgb16.png", "alpha.png"):
        theirs = cv2.imread(str(tmp_path / name), cv2.IMREAD_COLOR)[..., ::-1]
        ours = frames.read_image(tmp_path / name)
        assert ours.dtype == np.uint8
        assert ours.shape == theirs.shape, name
        assert np.abs(ours.astype(int) - theirs).mean() < 2, name
    assert frames.read_image(tmp_path / "turned.jpg").shape == (160, 120, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_each_of_the_eight_exif_orientations(tmp_path, orientation, kind):
    """Against Pillow's `exif_transpose`; and the meaning of some, by construction."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb = coded(300)
    file = tmp_path / "a.img"
    Image.fromarray(rgb).save(file, kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))
    ours = frames.read_image(file)
    with Image.open(file) as image:
        np.testing.assert_array_equal(ours, np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
    upright = {1: rgb, 2: rgb[:, ::-1], 3: rgb[::-1, ::-1], 4: rgb[::-1], 5: rgb.transpose(1, 0, 2)}
    if orientation in upright:
        assert np.abs(ours.astype(int) - upright[orientation]).mean() < 3


def test_damaged_metadata_costs_the_orientation_not_the_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = exif.tobytes()
    for at in range(6, len(content)):
        broken = content[:at] + b"\xff" * (len(content) - at)
        Image.fromarray(coded(5)).save(tmp_path / "a.jpg", exif=broken)
        assert sorted(frames.read_image(tmp_path / "a.jpg").shape) == [3, 120, 160]


ANIMATIONS = {
    "GIF": ("a.gif", {"save_all": True}),
    "APNG": ("a.png", {"save_all": True}),
    "animated WebP": ("a.webp", {"save_all": True, "lossless": True}),
    "animated AVIF": ("a.avif", {"save_all": True, "quality": 90}),
}


def animation(file, durations: list[int], options: dict) -> None:
    pictures = [Image.fromarray(coded(i)) for i in range(len(durations))]
    pictures[0].save(file, append_images=pictures[1:], duration=durations, **options)


@pytest.mark.parametrize("kind", ANIMATIONS)
def test_animations_are_videos(tmp_path, kind):
    name, options = ANIMATIONS[kind]
    file = tmp_path / name
    animation(file, [40] * 30, options)
    taken = [(i, code(rgb)) for i, rgb in frames.sample_frames(file, 6)]
    assert taken == [(i, i) for i in frames.places(30, 6)]
    assert [(i, code(rgb)) for i, rgb in frames.at(file, [29, 3])] == [(3, 3), (29, 29)]
    info = frames.probe(file)
    assert (info.frames, info.height, info.width, info.notes) == (30, 120, 160, ())
    assert info.fps == pytest.approx(25)
    assert info.seconds == pytest.approx(1.2)


@pytest.mark.parametrize("kind", ANIMATIONS)
def test_animations_are_sampled_evenly_in_time(tmp_path, kind):
    """Ten quick frames, then ten slow ones: what is shown at the middles of n equal parts."""
    name, options = ANIMATIONS[kind]
    file = tmp_path / name
    durations = [40] * 10 + [200] * 10
    animation(file, durations, options)
    known = frames.timeline(file)
    assert [known.seconds_at(i) for i in range(20)] == pytest.approx(np.cumsum([0, *durations[:-1]]) / 1000, abs=0.002)
    taken = [i for i, _ in frames.sample_frames(file, 4)]
    assert taken[0] < 10
    assert all(i >= 10 for i in taken[1:])


def test_a_gif_without_times_plays_as_browsers_do(tmp_path):
    animation(tmp_path / "a.gif", [0] * 5, {"save_all": True})
    assert frames.timeline(tmp_path / "a.gif").seconds == pytest.approx(0.5)


def test_a_truncated_animation_is_read_as_far_as_it_goes(tmp_path):
    animation(tmp_path / "a.gif", [40] * 30, {"save_all": True})
    data = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(data[: len(data) * 2 // 3])
    taken = [(i, code(rgb)) for i, rgb in frames.sample_frames(tmp_path / "a.gif", 5)]
    assert all(i == seen for i, seen in taken)
    assert 10 < frames.probe(tmp_path / "a.gif").frames < 30
    assert len(taken) == 5


def test_bounds_hold_for_animations(tmp_path, monkeypatch):
    animation(tmp_path / "a.gif", [400] * 10, {"save_all": True})
    monkeypatch.setattr(limits, "MAX_SECONDS", 3)
    with pytest.raises(UserError, match="longer than 3 s"):
        frames.probe(tmp_path / "a.gif")
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MAX_FRAMES", 9)
    with pytest.raises(UserError, match="more than 9 frames"):
        frames.probe(tmp_path / "a.gif")


@pytest.mark.parametrize("name", ["a.mpo", "a.tif"])
def test_further_pictures_in_a_photograph_are_no_video(tmp_path, name):
    """A camera's second view or preview (MPO), pages of a TIFF: the first is the picture."""
    pages = [Image.fromarray(coded(i)) for i in (3, 7)]
    pages[0].save(tmp_path / name, {"a.mpo": "MPO", "a.tif": "TIFF"}[name], save_all=True, append_images=pages[1:])
    ((index, rgb),) = frames.sample_frames(tmp_path / name, 5)
    assert (index, code(rgb)) == (0, 3)


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.avif"])
def test_other_names_of_pictures(tmp_path, name):
    Image.fromarray(coded(3)).save(tmp_path / name)
    ((index, rgb),) = frames.sample_frames(tmp_path / name, 5)
    assert (index, code(rgb)) == (0, 3)


def test_what_a_folder_leaves_out_is_counted_by_kind(tmp_path, caplog):
    taken = ["a.MTS", "b.jfif", "c.heic", "d/e.m2ts", "d/f.mpo", "g.avif", "h.gif"]
    (tmp_path / "d").mkdir()
    for name in [*taken, "notes.txt", "d/more.TXT", "raw.cr3", "README", ".hidden"]:
        (tmp_path / name).touch()
    assert lists.videos_and_images(tmp_path) == sorted(tmp_path / name for name in taken)
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path}: left out 4 files that are no video or image by their suffix: 2 of .txt, ")
    assert "1 of .cr3" in line
    assert "1 of no suffix" in line
    caplog.clear()
    (tmp_path / "d/more.TXT").unlink()
    lists.videos_and_images(tmp_path / "d")
    assert not caplog.messages


HEIC_HEAD = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic")


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_heic_without_its_package_is_named_with_the_remedy(tmp_path, monkeypatch, brand):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as where it isn't installed
    (tmp_path / "a.jpg").write_bytes(HEIC_HEAD.replace(b"heic", brand, 1) + bytes(100))
    with pytest.raises(UserError, match=r"a\.jpg: a HEIC image.*pip install 'dfnb\[heic\]'.*JPEG"):
        frames.probe(tmp_path / "a.jpg")


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_heic_with_its_package(tmp_path, orientation):
    pillow_heif = pytest.importorskip("pillow_heif", reason="an extra: pip install 'dfnb[heic]'")
    exif = Image.Exif()
    exif[0x0112] = orientation
    heif = pillow_heif.from_pillow(Image.fromarray(coded(300)))
    heif.save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    ((index, rgb),) = frames.sample_frames(tmp_path / "a.heic", 5)
    upright = {1: coded(300), 3: coded(300)[::-1, ::-1], 6: np.rot90(coded(300), -1)}[orientation]
    assert index == 0
    assert rgb.shape == upright.shape
    assert np.abs(rgb.astype(int) - upright).mean() < 3


def test_mp4_is_no_heic(tmp_path):
    """Its first box is of the same kind."""
    (tmp_path / "a.heic").write_bytes(HEIC_HEAD.replace(b"heic", b"isom", 1) + bytes(100))
    with pytest.raises(UserError, match="not a readable video"):
        frames.probe(tmp_path / "a.heic")


def example(kind: str) -> bytes:
    file, several = io.BytesIO(), {"save_all": True, "append_images": [Image.fromarray(coded(4, 24, 160))]}
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(coded(3, 24, 160)).save(
        file, kind, exif=exif, **(several if kind in ("GIF", "PNG", "WEBP") else {})
    )
    return file.getvalue()


EXAMPLES = {kind: example(kind) for kind in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "AVIF")}


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(sorted(EXAMPLES)), data=st.data())
def test_damaged_bytes_of_an_image_never_end_in_a_foreign_error(tmp_path_factory, kind, data):
    """Bytes changed at random: a picture, or UserError."""
    content = bytearray(EXAMPLES[kind])
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=12)):
        content[at] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("fuzz") / "a.img"
    file.write_bytes(content)
    try:
        for _, rgb in frames.sample_frames(file, 3):
            assert rgb.ndim == 3
    except UserError:
        pass
