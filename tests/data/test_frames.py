"""Frames: their indices are known from a code painted into each, and from decoding everything."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dfnb.common.errors import UserError
from dfnb.data import frames

BITS = 9


def coded(index: int, height: int = 120, width: int = 160) -> np.ndarray:
    """A frame whose top row of squares is its index in binary; the rest moves a little."""
    rgb = np.full((height, width, 3), 60 + index % 50, np.uint8)
    for bit in range(BITS):
        rgb[0:16, bit * 16 : (bit + 1) * 16] = 255 * ((index >> bit) & 1)
    return rgb


def code(rgb: np.ndarray) -> int:
    return sum((int(rgb[4:12, b * 16 + 4 : b * 16 + 12].mean()) > 127) << b for b in range(BITS))


def write(path: Path, count: int = 100, codec: str = "libx264", pix_fmt: str = "yuv420p", container=None, **options):
    times = options.pop("times", None)
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 120, pix_fmt
        stream.codec_context.time_base = Fraction(1, 100)
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(coded(i), format="rgb24")
            frame.pts, frame.time_base = (times[i] if times else 4 * i), Fraction(1, 100)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """100 frames of H.264 with B-frames and a key frame every 20."""
    return write(tmp_path_factory.mktemp("frames") / "video.mp4", g="20", bf="3")


KINDS = {
    "key frames near": ("a.mp4", {"g": "10", "bf": "2"}),
    "one key frame": ("b.mp4", {"g": "500"}),
    "open GOP": ("c.mp4", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "matroska": ("d.mkv", {"g": "15"}),
    "transport stream": ("e.ts", {"g": "15"}),
    "avi with B-frames": ("f.avi", {"codec": "mpeg4", "bf": "2", "g": "12"}),
    "webm": ("g.webm", {"codec": "libvpx-vp9", "g": "20", "deadline": "realtime", "cpu-used": "8"}),
    "vp8": ("h.webm", {"codec": "libvpx", "g": "20", "deadline": "realtime", "cpu-used": "8"}),
    "bare H.264": ("i.h264", {"g": "15", "bf": "2"}),
    "fragmented": ("j.mp4", {"g": "15", "container": {"movflags": "frag_keyframe+empty_moov"}}),
    "motion JPEG": ("k.mov", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    "4:4:4": ("m.mp4", {"pix_fmt": "yuv444p", "g": "15"}),
    "10 bits": ("n.mp4", {"pix_fmt": "yuv420p10le", "g": "15"}),
    "grey": ("o.mp4", {"pix_fmt": "gray", "g": "15"}),
    "16 bits with alpha": ("p.mkv", {"codec": "ffv1", "pix_fmt": "rgba64le"}),
    "uneven times": ("q.mp4", {"times": [int(4 * i + 300 * (i > 30) + i * i / 10) for i in range(100)], "g": "15"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_index_and_picture_belong_together(tmp_path, kind):
    """Whatever the container, codec and order of frames: the picture at index i is the i-th one that was encoded."""
    name, options = KINDS[kind]
    file = write(tmp_path / name, **options)
    for n in (1, 5, 16, 100, 150):
        taken = [(i, code(rgb)) for i, rgb in frames.sample_frames(file, n)]
        assert [i for i, _ in taken] == frames.places(100, n)
        assert all(i == seen for i, seen in taken)
    info = frames.probe(file)
    assert (info.frames, info.height, info.width) == (100, 120, 160)


def test_seeking_gives_the_pixels_of_decoding_everything(video):
    with av.open(str(video)) as container:
        plain = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    for n in (3, 10, 40):
        for index, rgb in frames.sample_frames(video, n):
            np.testing.assert_array_equal(rgb, plain[index])
    for (_, one), (_, two) in zip(
        frames.sample_frames(video, 7), frames.sample_frames(video, 7, threads=2), strict=True
    ):
        np.testing.assert_array_equal(one, two)


@given(total=st.integers(1, 5000), n=st.integers(1, 400))
@settings(max_examples=200, deadline=None)
def test_places_are_even(total, n):
    taken = frames.places(total, n)
    assert len(taken) == min(n, total)
    assert taken[0] >= 0
    assert taken[-1] < total
    steps = np.diff(taken)
    if len(steps):
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1
    assert abs(taken[0] - (total - 1 - taken[-1])) <= 1  # as far from the start as from the end


def test_no_frames_at_all_is_a_mistake_of_the_caller(video):
    with pytest.raises(ValueError, match="1 or more"):
        frames.sample_frames(video, 0)


def _set_matrix(file: Path, degrees: int) -> None:
    """Write a rotation into the track header of an MP4, as phones do."""
    data = bytearray(file.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version and flags, times and ids, reserved, layer to volume
    a, b = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30)
    file.write_bytes(data)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_by_metadata(tmp_path, degrees):
    """OpenCV can turn frames, too; both must agree."""
    file = write(tmp_path / "turned.mp4", 10)
    _set_matrix(file, degrees)
    theirs = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
    theirs.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    theirs = theirs.read()[1][..., ::-1]
    index, ours = next(frames.sample_frames(file, 10))
    assert index == 0
    assert ours.shape == theirs.shape == ((160, 120, 3) if degrees != 180 else (120, 160, 3))
    assert np.abs(ours.astype(int) - theirs).mean() < 3
    assert np.abs(ours[::-1, ::-1].astype(int) - theirs).mean() > 10
    assert frames.probe(file).height == ours.shape[0]


def test_a_false_frame_count_is_not_believed(tmp_path):
    """An AVI whose header claims 5000 frames."""
    file = write(tmp_path / "a.avi", codec="mpeg4")
    data = bytearray(file.read_bytes())
    for tag, offset in ((b"avih", 4 + 4 + 16), (b"strh", 4 + 4 + 32)):
        struct.pack_into("<I", data, data.index(tag) + offset, 5000)
    file.write_bytes(data)
    assert [i for i, _ in frames.sample_frames(file, 4)] == [12, 37, 62, 87]
    info = frames.probe(file)
    assert (info.frames, info.claimed) == (100, 5000)


def test_half_a_video_is_sampled_over_what_is_there(tmp_path):
    file = write(tmp_path / "a.mp4", container={"movflags": "faststart"}, g="10")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 3 // 4])
    taken = [(i, code(rgb)) for i, rgb in frames.sample_frames(file, 8)]
    assert all(i == seen for i, seen in taken)
    info = frames.probe(file)
    assert 20 < info.frames < 100
    assert info.claimed == 100
    assert taken[-1][0] > info.frames * 0.8  # spread over all that is there
    assert len(taken) >= 7


def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path):
    file = write(tmp_path / "a.mkv", g="10")
    data = bytearray(file.read_bytes())
    rng = np.random.default_rng(0)
    at = len(data) // 2
    data[at : at + 300] = rng.integers(0, 256, 300, np.uint8).tobytes()
    file.write_bytes(data)
    taken = [(i, code(rgb)) for i, rgb in frames.sample_frames(file, 10)]
    assert len(taken) >= 4
    assert [i for i, _ in taken] == sorted({i for i, _ in taken})


def test_resolution_that_changes_midway(tmp_path):
    """Two H.264 streams one after the other."""
    one = write(tmp_path / "one.h264", 30).read_bytes()
    with av.open(str(tmp_path / "two.h264"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for i in range(30):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(coded(i, 240, 320), format="rgb24")))
        out.mux(stream.encode())
    both = tmp_path / "both.h264"
    both.write_bytes(one + (tmp_path / "two.h264").read_bytes())
    shapes = [rgb.shape for _, rgb in frames.sample_frames(both, 6)]
    assert shapes == [(120, 160, 3)] * 3 + [(240, 320, 3)] * 3


def test_a_stream_that_begins_midway(tmp_path):
    """A transport stream to which sound is added after the first half; its clock starts anew, too."""
    silent = write(tmp_path / "silent.ts", 30).read_bytes()
    with av.open(str(tmp_path / "loud.ts"), "w") as out:
        stream, sound = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=44100)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(30):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(coded(30 + i), format="rgb24")))
            quiet = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            quiet.rate = 44100
            out.mux(sound.encode(quiet))
        for each in (stream, sound):
            out.mux(each.encode())
    both = tmp_path / "both.ts"
    both.write_bytes(silent + (tmp_path / "loud.ts").read_bytes())
    taken = [(i, code(rgb)) for i, rgb in frames.sample_frames(both, 6)]
    assert taken == [(i, i) for i in frames.places(60, 6)]


def test_a_packet_of_an_unknown_stream(tmp_path):
    """One video packet of a transport stream gets another stream's number: PyAV's demuxer stops there, ours goes on."""
    file = write(tmp_path / "a.ts", 100, g="15")
    data = bytearray(file.read_bytes())
    starts = [k for k in range(0, len(data), 188) if data[k + 1] == 0x41 and data[k + 2] == 0x00]  # stream 0x100
    assert len(starts) == 100
    data[starts[50] + 2] = 0x55
    file.write_bytes(data)
    assert frames.probe(file).frames == 99
    taken = [(i, code(rgb)) for i, rgb in frames.sample_frames(file, 10)]
    assert [i for i, _ in taken] == frames.places(99, 10)
    assert taken[:5] == [(i, i) for i in frames.places(99, 10)[:5]]
    assert taken[-3:] == [(i, i + 1) for i in frames.places(99, 10)[-3:]]  # sound again from the next key frame on


def _sound_only(path: Path) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.rate = 44100
        out.mux(stream.encode(silence))
        out.mux(stream.encode())


def test_unreadable_files_are_named_with_the_reason(tmp_path, video):
    data = video.read_bytes()
    random = np.random.default_rng(0).integers(0, 256, 4000, np.uint8).tobytes()
    contents = {
        "empty.mp4": (b"", "empty"),
        "text.mp4": (b"hello " * 100, "not a readable video"),
        "random.mp4": (random, "not a readable video"),
        "cut.mp4": (data[: len(data) // 2], "not a readable video.*truncated"),
        "list.m3u8": (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not a readable video"),
        "concat.mp4": (f"ffconcat version 1.0\nfile {video}\n".encode(), "not a readable video"),
        "cut.jpg": (b"\xff\xd8\xff\xe0" + bytes(10), "image"),
        "cut.png": (b"\x89PNG\r\n\x1a\n" + bytes(10), "image"),
    }
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        for read in (lambda p: list(frames.sample_frames(p, 3)), frames.probe):
            with pytest.raises(UserError, match=rf"{name}: .*{reason}"):
                read(tmp_path / name)
    _sound_only(tmp_path / "sound.m4a")
    with pytest.raises(UserError, match=r"sound\.m4a: no video stream"):
        list(frames.sample_frames(tmp_path / "sound.m4a", 3))
    with pytest.raises(UserError, match="is a folder"):
        list(frames.sample_frames(tmp_path, 3))
    with pytest.raises(UserError, match="can't be opened"):
        list(frames.sample_frames(tmp_path / "absent.mp4", 3))


def test_a_video_cut_anywhere_gives_frames_or_a_named_error(tmp_path, video):
    data = video.read_bytes()
    fast = write(tmp_path / "fast.mp4", 40, container={"movflags": "faststart"}).read_bytes()
    for name, content in (("a.mp4", data), ("b.mp4", fast)):
        for k in range(1, 30):
            file = tmp_path / name
            file.write_bytes(content[: len(content) * k // 30])
            try:
                taken = list(frames.sample_frames(file, 3))
            except UserError as error:
                assert name in str(error)  # noqa: PT017 (either outcome is right)
            else:
                assert all(code(rgb) == i for i, rgb in taken)


def test_limits(tmp_path, video, monkeypatch):
    monkeypatch.setattr(frames, "MAX_PIXELS", 160 * 120 - 1)
    with pytest.raises(UserError, match="160 x 120 pixels are over the limit"):
        list(frames.sample_frames(video, 1))
    Image.new("RGB", (160, 120)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="are over"):
        frames.read_image(tmp_path / "a.png")
    monkeypatch.undo()
    monkeypatch.setattr(frames, "MAX_SECONDS", 3)
    with pytest.raises(UserError, match="longer than 3 s"):
        list(frames.sample_frames(video, 1))
    monkeypatch.undo()
    monkeypatch.setattr(frames, "MAX_FRAMES", 99)
    with pytest.raises(UserError, match="more than 99 frames"):
        list(frames.sample_frames(video, 1))


def test_decompression_bomb(tmp_path):
    """A small PNG that claims 60,000 x 60,000 pixels is refused by its header."""
    Image.new("1", (60, 60)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    struct.pack_into(">II", data, 16, 60_000, 60_000)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UserError, match="pixels"):
        frames.read_image(tmp_path / "a.png")


def test_wide_video(tmp_path):
    """8,000 px wide is within the limit."""
    with av.open(str(tmp_path / "wide.mkv"), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8000, 400, "yuvj420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(coded(5, 400, 8000), format="rgb24")))
        out.mux(stream.encode())
    ((index, rgb),) = frames.sample_frames(tmp_path / "wide.mkv", 4)
    assert (index, rgb.shape, code(rgb)) == (0, (400, 8000, 3), 5)


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


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_end_in_a_foreign_error(tmp_path_factory, video, data):
    """Bytes of a sound video changed at random: frames, or UserError."""
    content = bytearray(video.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=30)):
        content[at] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("fuzz") / "a.mp4"
    file.write_bytes(content)
    try:
        for index, rgb in frames.sample_frames(file, 3):
            assert index >= 0
            assert rgb.ndim == 3
    except UserError:
        pass


def test_frames_asked_for_by_index_are_those_of_decoding_everything(tmp_path):
    file = write(tmp_path / "a.mp4", 40)
    everything = [rgb for _, rgb in frames.sample_frames(file, 40)]
    for wanted in ([0], [39], [7, 3, 3, 21], range(18, 30)):
        taken = list(frames.at(file, wanted))
        assert [index for index, _ in taken] == sorted(set(wanted))
        assert all(np.array_equal(rgb, everything[index]) for index, rgb in taken)
