"""What a file says of itself: files written here, whose codec, compression and time line are known."""

import json
import struct
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from bad_inputs import MEDIA, PARTLY
from coded_video import code, coded, write, write_pictures
from PIL import Image, PngImagePlugin
from untrained import command

from dfnb.common.errors import UserError
from dfnb.own_video import about as facts
from dfnb.own_video.about import about, sentences

PIXELS = 160 * 120


def packets(path: Path) -> list[av.Packet]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "container", "called"),
    [
        ("a.mp4", "libx264", "yuv420p", "QuickTime / MOV", "h264 High"),
        ("a.mkv", "libx264", "yuv420p", "Matroska / WebM", "h264 High"),
        ("a.avi", "mpeg4", "yuv420p", "AVI (Audio Video Interleaved)", "mpeg4 Simple Profile"),
        ("a.webm", "libvpx-vp9", "yuv420p", "Matroska / WebM", "vp9 Profile 0"),
        ("b.mkv", "ffv1", "yuv420p", "Matroska / WebM", "ffv1"),
    ],
)
def test_container_codec_and_compression(tmp_path, name, codec, pixels, container, called):
    """Bits a pixel and bits a second against the packets' sizes, by hand."""
    found = about(write(tmp_path / name, 50, codec, pixels))
    size = sum(packet.size for packet in packets(tmp_path / name))
    assert (found["kind"], found["container"], found["codec"], found["pixels"]) == ("video", container, called, pixels)
    assert (found["width"], found["height"], found["frames"]) == (160, 120, 50)
    assert found["bytes"] == (tmp_path / name).stat().st_size
    assert found["fps"] == pytest.approx(25, rel=1e-3)
    assert found["seconds"] == pytest.approx(2, rel=2e-3)
    assert found["bits_per_pixel"] == pytest.approx(8 * size / (50 * PIXELS))
    assert found["bit_rate"] == pytest.approx(8 * size / 2, rel=2e-3)
    assert found["variable_frame_rate"] is False
    assert (found["gap_count"], found["resets"], found["hidden"]) == (0, 0, 0)
    assert set(found) == set(facts.KEYS)


@pytest.mark.parametrize("crf", ["18", "34.5"])
def test_the_encoders_own_note(tmp_path, crf):
    found = about(write(tmp_path / "a.mp4", 10, crf=crf))
    assert found["encoder"].startswith("x264 - core ")
    assert found["settings"]["rc"] == "crf"
    assert float(found["settings"]["crf"]) == float(crf)
    assert any(f"crf {found['settings']['crf']}" in sentence for sentence in sentences(found))
    quiet = about(write(tmp_path / "b.mp4", 10, "mpeg4"))  # no note in the stream; the container names the library
    assert quiet["encoder"].startswith("Lav")
    assert quiet["settings"] == {}


@pytest.mark.parametrize(
    ("name", "options", "value", "scale"),
    [
        # a constant quantiser for P frames; x264 takes 6 log2 of a ratio of 1.4 off it for I frames: 3 steps
        ("a.mp4", {"qp": "30", "bf": "0", "g": "250", "x264-params": "ipratio=1.4:keyint=250"}, (27.0, 30.0), "H.264"),
        ("a.mp4", {"qp": "24", "bf": "0", "x264-params": "ipratio=1:keyint=250"}, (24.0, 24.0), "H.264"),
        # FFmpeg tells the MPEG ones on MPEG-2's scale, on which a step of the encoder's is 2
        ("a.avi", {"codec": "mpeg4", "qmin": "7", "qmax": "7"}, (14.0, 14.0), "2 to 62"),
    ],
)
def test_quantisers_are_those_the_encoder_was_told(tmp_path, name, options, value, scale):
    found = about(write(tmp_path / name, 60, **options))["quantiser"]
    assert (found["low"], found["high"]) == value
    assert value[0] <= found["mean"] <= value[1]
    assert 3 <= found["frames"] <= 24
    assert scale in found["scale"]


def test_quantisers_of_mpeg_2(tmp_path):
    path = write_pictures(
        tmp_path / "a.mpg", [coded(k) for k in range(30)], "mpeg2video", "yuv420p", qmin="6", qmax="6"
    )
    found = about(path)["quantiser"]
    assert (found["low"], found["high"]) == (12.0, 12.0)


def test_coarser_compression_has_higher_quantisers_and_fewer_bits(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for k, crf in enumerate(("15", "25", "35", "45")):
        with av.open(str(tmp_path / f"{k}.mp4"), "w") as out:
            stream = out.add_stream("libx264", rate=25, options={"crf": crf})
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            for i in range(20):
                noisy = np.clip(coded(i) + rng.normal(0, 20, (120, 160, 1)), 0, 255).astype(np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
            out.mux(stream.encode())
        found.append(about(tmp_path / f"{k}.mp4"))
    quantisers, bits = [f["quantiser"]["mean"] for f in found], [f["bits_per_pixel"] for f in found]
    assert quantisers == sorted(quantisers)
    assert quantisers[-1] > quantisers[0] + 20
    assert bits == sorted(bits, reverse=True)


def test_rates_gaps_and_starts(tmp_path):
    even = [100 + 4 * k for k in range(40)]
    found = about(write(tmp_path / "late.mkv", 40, times=even))
    assert found["start"] == pytest.approx(1.0)
    assert found["variable_frame_rate"] is False
    jump = [4 * k + (700 if k >= 30 else 0) + (300 if k >= 35 else 0) for k in range(40)]
    found = about(write(tmp_path / "jump.mkv", 40, times=jump))
    assert found["variable_frame_rate"] is True
    assert found["gap_count"] == 2
    assert [(gap["at"], gap["seconds"]) for gap in found["gaps"]] == [(1.16, 7.04), (8.36, 3.04)]
    assert any("7.0 s at 1.2 s, 3.0 s at 8.4 s" in sentence for sentence in sentences(found))
    uneven = [k * k for k in range(40)]  # phones and screen recorders: no gap, and no constant rate
    found = about(write(tmp_path / "uneven.mkv", 40, times=uneven))
    assert (found["variable_frame_rate"], found["gap_count"]) == (True, 0)
    many = [500 * k for k in range(100)]  # a frame in five seconds throughout is no gap
    assert about(write(tmp_path / "slow.mkv", 100, times=many))["gap_count"] == 0
    bare = about(write(tmp_path / "bare.h264", 20, container={}))  # no times at all
    assert bare["variable_frame_rate"] is None
    assert any("no usable times" in sentence for sentence in sentences(bare))
    assert bare["fps"] == 25


def edited(path: Path, entries: list[tuple[int, int, int]]) -> Path:
    """An MP4 of 100 frames, a key frame each second, whose edit list is replaced. Ticks: 1/1000 s and 1/12800 s."""
    write(path, 100, bf="0", g="25", sc_threshold="0", movflags="+faststart")
    data = path.read_bytes()
    at = data.index(b"edts") - 4
    (size,) = struct.unpack_from(">I", data, at)
    body = struct.pack(">II", 0, len(entries)) + b"".join(struct.pack(">Iii", *entry) for entry in entries)
    box = struct.pack(">I4s", 8 + len(body), b"elst") + body
    box = struct.pack(">I4s", 8 + len(box), b"edts") + box
    more = len(box) - size
    data = bytearray(data[:at] + box + data[at + size :])
    for kind in (b"moov", b"trak"):  # the boxes around it grow
        place = data.index(kind) - 4
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + more)
    assert data.index(b"mdat") < data.index(b"moov")  # so that no chunk has moved
    path.write_bytes(data)
    return path


def test_edit_lists(tmp_path):
    """A trim to the stretch from 1.4 to 2.4 s, after half a second of nothing: decoding starts at the key frame."""
    path = edited(tmp_path / "a.mp4", [(500, -1, 1 << 16), (1000, round(1.4 * 12800), 1 << 16)])
    found = about(path)
    assert found["edits"] == [
        {"from": None, "seconds": 0.5, "rate": 1.0},
        {"from": pytest.approx(1.4), "seconds": 1.0, "rate": 1.0},
    ]
    with av.open(str(path)) as container:
        shown = [code(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert shown == list(range(35, 60))
    assert found["frames"] == 25
    assert found["start"] == pytest.approx(0.5)
    assert found["hidden"] >= 10  # from the key frame at 1 s on
    words = " ".join(sentences(found))
    assert "nothing is shown, for 0.500 s; shown from 1.400 s of the stored video on, for 1.000 s" in words
    assert about(write(tmp_path / "b.mkv", 5))["edits"] == []


@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 90, 95, 100])
def test_jpeg_quality_is_the_one_it_was_saved_with(tmp_path, quality):
    """By another library, OpenCV's; and, for tables that aren't libjpeg's, the nearest."""
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), coded(5), [cv2.IMWRITE_JPEG_QUALITY, quality])
    found = about(path)
    assert (found["jpeg_quality"], found["jpeg_standard"]) == (quality, True)
    assert found["bits_per_pixel"] == pytest.approx(8 * path.stat().st_size / PIXELS)
    assert (found["kind"], found["container"], found["frames"]) == ("image", "JPEG", 1)
    with Image.open(path) as image:
        table = [min(255, step + (k % 3 == 0)) for k, step in enumerate(image.quantization[0])]
    near, same = facts.jpeg_quality(table)
    assert abs(near - quality) <= 1
    assert same == (quality == 1)  # all at 255 there


def test_tags_of_images(tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131] = "A maker", "A camera", "An editor 5.1"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    picture = Image.fromarray(coded(3))
    picture.save(tmp_path / "a.jpg", exif=exif, comment=b"quality = 90", quality=80)
    found = about(tmp_path / "a.jpg")
    assert found["encoder"] == "An editor 5.1"
    assert found["tags"] == {
        "comment": "quality = 90",
        "Make": "A maker",
        "Model": "A camera",
        "Software": "An editor 5.1",
        "DateTimeOriginal": "2024:05:06 07:08:09",
    }
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a portrait, 30 steps")
    picture.save(tmp_path / "a.png", pnginfo=text)
    found = about(tmp_path / "a.png")
    assert (found["tags"], found["jpeg_quality"]) == ({"parameters": "a portrait, 30 steps"}, None)
    moving = [Image.fromarray(coded(k)) for k in range(4)]
    moving[0].save(tmp_path / "a.gif", save_all=True, append_images=moving[1:], duration=200)
    found = about(tmp_path / "a.gif")
    assert (found["kind"], found["frames"], found["fps"], found["seconds"]) == ("animation", 4, 5.0, 0.8)


HOSTILE = "\x1b[2J\x07<script>alert(1)</script>\n\u202e" + "x" * 5000


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """A video whose every tag is a terminal's command, markup, and very long."""
    path = tmp_path_factory.mktemp("hostile") / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as out:
        out.metadata.update({f"tag {k}{HOSTILE[:60]}": HOSTILE for k in range(200)} | {"title": HOSTILE})
        stream = out.add_stream("libx264", rate=25)
        stream.metadata["handler_name"] = HOSTILE
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for k in range(6):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(coded(k), format="rgb24")))
        out.mux(stream.encode())
    return path


def test_hostile_tags_are_clipped_and_made_printable(hostile):
    found = about(hostile)
    assert 2 <= len(found["tags"]) <= facts.MOST
    for text in [*found["tags"], *found["tags"].values(), *sentences(found)]:
        assert text.isprintable()
    assert max(map(len, [*found["tags"], *found["tags"].values()])) <= facts.LONGEST_TEXT
    assert any("<script>" in value for value in found["tags"].values())  # kept as it is: whoever shows it escapes it
    assert len(json.dumps(found)) < 30_000


def test_the_page_and_json_carry_it_and_csv_stays(monkeypatch, capsys, checkpoints, hostile, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    arguments = [hostile, broken, "--frames", 2, "--html", tmp_path / "a.html", "-o", tmp_path / "a.json"]
    assert command(monkeypatch, checkpoints["real"], *arguments) == 4
    rows = json.loads((tmp_path / "a.json").read_text())["files"]
    assert [row["about"] for row in rows] == [json.loads(json.dumps(about(hostile))), {}]
    text = (tmp_path / "a.html").read_text("utf-8")
    assert text.count("<h3>What the file says of itself</h3>") == 1
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text
    assert "\x1b" not in text
    capsys.readouterr()
    assert command(monkeypatch, checkpoints["real"], hostile, "--frames", 2) == 4
    assert "about" not in capsys.readouterr().out


def described(path: Path) -> dict:
    try:
        return about(path)
    except UserError:
        return {}


@pytest.mark.parametrize("name", [*MEDIA, *PARTLY])
def test_bad_and_odd_files_are_named_or_described(name, tmp_path):
    """Nothing but UserError, in bounded time, and JSON without infinities."""
    maker = MEDIA[name][0] if name in MEDIA else PARTLY[name]
    maker(tmp_path / name, coded(1, 320, 320))
    before = time.perf_counter()
    found = described(tmp_path / name)
    assert time.perf_counter() - before < 10
    json.dumps(found, allow_nan=False)
    assert all(sentence.isprintable() for sentence in (sentences(found) if found else ()))


def test_damaged_headers(tmp_path):
    """Every byte of an MP4's headers set to 0 and 255, in strides, and random damage: a description or a UserError."""
    path = edited(tmp_path / "a.mp4", [(1000, 0, 1 << 16), (1000, 12800, 1 << 15)])
    data, broken = path.read_bytes(), tmp_path / "b.mp4"
    rng, start = np.random.default_rng(0), path.read_bytes().index(b"moov")
    for k in range(150):
        other = bytearray(data)
        if k < 100:
            at = start + (7 * k) % (len(data) - start)
            other[at] = 255 * (k % 2)
        else:
            at = start + int(rng.integers(len(data) - start - 16))
            other[at : at + 8] = rng.bytes(8)
        broken.write_bytes(other)
        json.dumps(described(broken), allow_nan=False)


def test_sound_is_another_track(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream, sound = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=16000)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for k in range(25):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(coded(k), format="rgb24")))
        for k in range(32):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = 16000, 1024 * k, Fraction(1, 16000)
            out.mux(sound.encode(frame))
        out.mux(stream.encode())
        out.mux(sound.encode())
    found = about(path)
    assert [(track["type"], track["codec"]) for track in found["tracks"]] == [("video", "h264"), ("audio", "aac")]
    assert found["tracks"][1]["seconds"] == pytest.approx(32 * 1024 / 16000, abs=0.07)
    assert any(sentence.startswith("Other tracks: audio (aac") for sentence in sentences(found))
