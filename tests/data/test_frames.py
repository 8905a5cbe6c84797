"""Frames: their indices are known from a code painted into each, and from decoding everything."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from coded_video import code, coded, write, write_pictures
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dfnb.common.errors import UserError
from dfnb.data import frames, limits


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
    "30 frames a second in milliseconds": ("q.mkv", {"times": [10 * i // 3 for i in range(100)], "g": "15"}),
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


def test_a_program_stream_is_decoded_from_its_start(tmp_path):
    """FFmpeg's demuxer of MPEG program streams guesses other times after a seek."""
    file = write_pictures(tmp_path / "a.mpg", [coded(i) for i in range(100)], "mpeg2video", "yuv420p", g="12")
    for wanted in (frames.places(100, 5), [48, 60], [99]):
        assert [(i, code(rgb)) for i, rgb in frames.at(file, wanted)] == [(i, i) for i in wanted]


def test_the_last_frames_of_a_transport_stream(tmp_path):
    """Seeking there may land behind the last key frame, since transport streams are searched by decoding time."""
    for bframes in range(4):
        file = write(tmp_path / f"{bframes}.ts", 60, g="12", bf=str(bframes))
        for wanted in ([59], [0, 58], [47, 59]):
            assert [(i, code(rgb)) for i, rgb in frames.at(file, wanted)] == [(i, i) for i in wanted]


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


UNEVEN = {
    "a rate that falls": [int(4 * i + i * i / 10) for i in range(100)],
    "half of it at a tenth of the rate": [4 * i if i < 50 else 200 + 40 * (i - 50) for i in range(100)],
    "frames that are left out": [4 * i + 12 * (i // 7) for i in range(100)],
}


def shown_at(times: list[float], moment: float) -> int:
    """The frame that a player shows at a moment: the last one whose time has come."""
    return max(i for i, time in enumerate(times) if time <= moment)


@pytest.mark.parametrize("kind", UNEVEN)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_variable_rate_is_sampled_evenly_in_time(tmp_path, kind, name):
    """Against the plain rule: what is on the screen at the middles of n equal parts of the duration."""
    times = UNEVEN[kind]
    file = write(tmp_path / name, times=times, g="15")
    known = frames.timeline(file)
    assert [known.seconds_at(i) for i in range(100)] == pytest.approx([t / 100 for t in times], abs=0.001)
    end = times[-1] + times[-1] / 99  # as `Timeline` says: the last frame lasts as long as the others on average
    for n in (1, 4, 9):
        taken = [(i, code(rgb)) for i, rgb in frames.sample_frames(file, n)]
        assert [i for i, _ in taken] == [shown_at(times, (2 * i + 1) * end / (2 * n)) for i in range(n)]
        assert all(i == seen for i, seen in taken)
    assert known.notes == frames.probe(file).notes == ("variable frame rate: frames evenly spaced in time",)


@given(
    count=st.integers(2, 3000),
    n=st.integers(1, 60),
    rate=st.sampled_from([10.0, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0]),
    ticks=st.sampled_from([600, 1000, 12800, 90000]),
    start=st.integers(-5000, 5000),
)
@settings(max_examples=150, deadline=None)
def test_at_a_constant_rate_spacing_in_time_is_spacing_in_index(count, n, rate, ticks, start):
    """Also where the times are rounded to the container's ticks."""
    times = [start + round(i * ticks / rate) for i in range(count)]
    known = frames.Timeline(count, None, times, [start], rate, count / rate, Fraction(1, ticks))
    assert known.has_even_times
    assert known.places(n) == frames.places(count, n)


@given(gaps=st.lists(st.integers(1, 400), min_size=1, max_size=60), n=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_any_times_give_different_frames_in_order(gaps, n):
    times = np.cumsum([0, *gaps]).tolist()
    taken = frames.Timeline(len(times), None, times, [0], 25.0, 1.0, Fraction(1, 100)).places(n)
    assert len(taken) == min(n, len(times))
    assert taken == sorted(set(taken))
    assert taken[0] >= 0
    assert taken[-1] < len(times)


def test_a_jump_of_the_clock_takes_no_more_than_its_share():
    """An hour between two halves of a video: both are sampled."""
    times = [*range(0, 2000, 4), *range(360_000, 362_000, 4)]  # hundredths of a second, 20 s each
    taken = frames.Timeline(1000, None, times, [0], 25.0, 3620.0, Fraction(1, 100)).places(10)
    assert sum(i < 500 for i in taken) in (4, 5, 6)


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


def pictured(rgb: np.ndarray, degrees: int, mirrored: bool, upside_down: bool) -> np.ndarray:
    """Turned counter-clockwise, then mirrored."""
    turned = np.rot90(rgb, degrees // 90)
    turned = turned[:, ::-1] if mirrored else turned
    return turned[::-1] if upside_down else turned


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("upside_down", [False, True])
def test_a_picture_mirrored_by_metadata_is_shown_so(tmp_path, degrees, mirrored, upside_down):
    """FFmpeg writes the display matrix from words: so many degrees, then mirrored. Lossless, so every pixel counts."""
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)

    def prepare(stream):
        stream.set_display_rotation(degrees, hflip=mirrored, vflip=upside_down)

    file = write_pictures(tmp_path / "a.mov", [rgb] * 2, "png", "rgb24", prepare)
    _, ours = next(frames.sample_frames(file, 1))
    np.testing.assert_array_equal(ours, pictured(rgb, degrees, mirrored, upside_down))
    assert frames.probe(file).notes == ()  # how it is held is no doubt


@pytest.mark.parametrize("matrix", [[0] * 9, [65536, 65536, 0] * 3, [2**31 - 1] * 9, [-(2**31)] * 9])
def test_a_matrix_without_sense_leaves_a_picture(tmp_path, matrix):
    file = write_pictures(tmp_path / "a.mov", [coded(1)], "png", "rgb24", lambda s: s.set_display_matrix(matrix))
    _, ours = next(frames.sample_frames(file, 1))
    assert ours.size == coded(1).size


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
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        list(frames.sample_frames(tmp_path / "empty", 3))
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
    monkeypatch.setattr(limits, "MAX_PIXELS", 160 * 120 - 1)
    with pytest.raises(UserError, match="160 x 120 pixels are over the limit"):
        list(frames.sample_frames(video, 1))
    Image.new("RGB", (160, 120)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="are over"):
        frames.read_image(tmp_path / "a.png")
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MAX_SECONDS", 3)
    with pytest.raises(UserError, match="longer than 3 s"):
        list(frames.sample_frames(video, 1))
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MAX_FRAMES", 99)
    with pytest.raises(UserError, match="more than 99 frames"):
        list(frames.sample_frames(video, 1))


def test_wide_video(tmp_path):
    """8,000 px wide is within the limit."""
    with av.open(str(tmp_path / "wide.mkv"), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8000, 400, "yuvj420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(coded(5, 400, 8000), format="rgb24")))
        out.mux(stream.encode())
    ((index, rgb),) = frames.sample_frames(tmp_path / "wide.mkv", 4)
    assert (index, rgb.shape, code(rgb)) == (0, (400, 8000, 3), 5)


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


def _tracks(path: Path, sizes: list[int], flags: list[int]) -> Path:
    """A video track for each width."""
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("mjpeg", rate=25) for _ in sizes]
        for stream, width, flag in zip(streams, sizes, flags, strict=True):
            stream.width, stream.height, stream.pix_fmt = width, 120, "yuvj420p"
            stream.disposition = av.stream.Disposition(flag)
        for i in range(5):
            for stream in streams:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(coded(i, 120, stream.width), "rgb24")))
        for stream in streams:
            out.mux(stream.encode())
    return path


DEFAULT, COVER = int(av.stream.Disposition.default), int(av.stream.Disposition.attached_pic)


@pytest.mark.parametrize(
    ("sizes", "flags", "width"),
    [
        ([160, 320], [0, DEFAULT], 320),
        ([160, 320], [DEFAULT, 0], 160),
        ([160, 320], [0, 0], 320),
        ([160, 320, 320], [0, 0, 0], 320),
    ],
)
def test_of_several_tracks_the_main_one_is_read(tmp_path, sizes, flags, width):
    """By the default flag, then by size."""
    file = _tracks(tmp_path / "a.mkv", sizes, flags)
    taken = list(frames.sample_frames(file, 5))
    assert [(i, rgb.shape[1]) for i, rgb in taken] == [(i, width) for i in range(5)]
    (note,) = frames.probe(file).notes
    assert note.startswith(f"{len(sizes)} video tracks: read the main one (stream {sizes.index(width)}, {width} x 120)")


def _with_cover(file: Path) -> Path:
    """An MP4 whose tag `covr` holds a large picture, as music players and editors write it."""
    picture = io.BytesIO()
    Image.new("RGB", (640, 480)).save(picture, "JPEG")

    def atom(kind: bytes, *content: bytes) -> bytes:
        content = b"".join(content)
        return struct.pack(">I4s", 8 + len(content), kind) + content

    data = atom(b"data", struct.pack(">II", 13, 0), picture.getvalue())
    handler = atom(b"hdlr", bytes(8), b"mdirappl", bytes(9))
    tags = atom(b"udta", atom(b"meta", bytes(4), handler, atom(b"ilst", atom(b"covr", data))))
    content = bytearray(file.read_bytes())  # `moov` is last, so that nothing else moves
    at = content.index(b"moov") - 4
    size = int.from_bytes(content[at : at + 4], "big")
    assert at + size == len(content)
    content[at : at + 4] = (size + len(tags)).to_bytes(4, "big")
    file.write_bytes(content + tags)
    return file


def test_cover_art_is_not_the_video(tmp_path):
    file = _with_cover(write(tmp_path / "a.mp4", 20))
    with av.open(str(file)) as container:
        assert [stream.width for stream in container.streams.video] == [160, 640]
    assert [(i, code(rgb)) for i, rgb in frames.sample_frames(file, 5)] == [(i, i) for i in frames.places(20, 5)]
    assert frames.probe(file).notes == ()
    _sound_only(tmp_path / "song.m4a")
    with pytest.raises(UserError, match="no video stream"):
        frames.probe(_with_cover(tmp_path / "song.m4a"))


@pytest.mark.parametrize("name", ["a.mts", "a.m2ts"])
def test_camcorder_files(tmp_path, name):
    """M2TS has packets of 192 bytes: a time of four bytes before each of a transport stream."""
    data = write(tmp_path / "a.ts", 50, g="15").read_bytes()
    packets = [data[k : k + 188] for k in range(0, len(data), 188)]
    file = tmp_path / name
    file.write_bytes(b"".join(k.to_bytes(4, "big") + packet for k, packet in enumerate(packets)))
    assert [(i, code(rgb)) for i, rgb in frames.sample_frames(file, 5)] == [(i, i) for i in frames.places(50, 5)]
