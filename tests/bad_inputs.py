"""Videos and images that something is wrong with, or odd about; each is made when a test asks for it.

`MEDIA` maps a file's name to how it is made and what is to come of it: a number of frames, all of them with the face
that was filmed, or a piece of the reason for which it has no score. `maker(path, head)` writes the file; head:
(320, 320, 3) uint8, a rendered face.
"""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

Head = NDArray[np.uint8]
Maker = Callable[[Path, Head], None]
ASKED = 3  # frames a test asks for
SPRUNG = "sprung"  # what a hidden command would leave in the working folder


def film(path: Path, head: Head, count: int = 12, codec: str = "libx264", pixels: str = "yuv420p", **more) -> None:
    """A video of the head, drifting a pixel a frame. more: times (1/100 s), container, metadata, codec options."""
    times, container, about = more.pop("times", None), more.pop("container", {}), more.pop("metadata", {})
    kind = more.pop("format", None)
    with av.open(str(path), "w", format=kind, options=container) as out:
        out.metadata.update(about)
        stream = out.add_stream(codec, rate=25, options=more)
        stream.height, stream.width, stream.pix_fmt = head.shape[0], head.shape[1], pixels
        stream.codec_context.time_base = Fraction(1, 100)
        for k in range(count):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(head, k, 1)), format="rgb24")
            frame.pts, frame.time_base = (times[k] if times else 4 * k), Fraction(1, 100)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def filmed(**more) -> Maker:
    """A maker of a video with these settings."""
    return lambda path, head: film(path, head, **more)


def content(data: bytes) -> Maker:
    """A maker of a file with these bytes."""
    return lambda path, head: path.write_bytes(data)


def cut(share: float, **more) -> Maker:
    """A maker of a video of which only the first part is there."""

    def make(path: Path, head: Head) -> None:
        film(path, head, **more)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return make


def cut_image(share: float, kind: str) -> Maker:
    """A maker of an image of which only the first part is there."""

    def make(path: Path, head: Head) -> None:
        whole = io.BytesIO()
        Image.fromarray(head).save(whole, kind)
        path.write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * share)])

    return make


def image(kind: str, turn: Callable[[Image.Image], Image.Image] = lambda picture: picture, **more) -> Maker:
    """A maker of an image in this format, changed by `turn` first."""
    return lambda path, head: turn(Image.fromarray(head)).save(path, kind, **more)


def sound_only(path: Path, head: Head) -> None:
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.rate = 44100
        out.mux(stream.encode(silence))
        out.mux(stream.encode())


def changed_size(path: Path, head: Head) -> None:
    """Two bare H.264 streams of different size, one after the other."""
    parts = []
    for size in (320, 480):
        film(path, cv2.resize(head, (size, size)), 12, format="h264")
        parts.append(path.read_bytes())
    path.write_bytes(b"".join(parts))


def turned(path: Path, head: Head) -> None:
    """Filmed with the camera on its side, which the track's matrix says."""
    film(path, np.ascontiguousarray(np.rot90(head, 1)))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version and flags, times and ids, reserved, layer to volume
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def false_count(path: Path, head: Head) -> None:
    """An AVI whose header claims 5000 frames."""
    film(path, head, codec="mpeg4")
    data = bytearray(path.read_bytes())
    for tag, offset in ((b"avih", 4 + 4 + 16), (b"strh", 4 + 4 + 32)):
        struct.pack_into("<I", data, data.index(tag) + offset, 5000)
    path.write_bytes(data)


def damaged_midway(path: Path, head: Head) -> None:
    film(path, head, 24, g="6")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = np.random.default_rng(0).bytes(200)
    path.write_bytes(data)


def wide(head: Head) -> Head:
    """8,000 pixels wide, the face in the middle."""
    picture = np.full((1200, 8000, 3), 128, np.uint8)
    picture[:, 3400:4600] = cv2.resize(head, (1200, 1200), interpolation=cv2.INTER_CUBIC)
    return picture


def zipped(path: Path, head: Head) -> None:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("video.mp4", b"\0" * 1000)


def bomb(path: Path, head: Head) -> None:
    """A small PNG that claims 60,000 x 60,000 pixels."""
    Image.new("1", (60, 60)).save(path, "PNG")
    data = bytearray(path.read_bytes())
    struct.pack_into(">II", data, 16, 60_000, 60_000)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    path.write_bytes(data)


def text_bomb(path: Path, head: Head) -> None:
    """A PNG with 100 MB of text in a few kB."""
    about = PngImagePlugin.PngInfo()
    about.add_text("comment", "a" * 100_000_000, zip=True)
    Image.fromarray(head).save(path, "PNG", pnginfo=about)


def sixteen_bits(path: Path, head: Head) -> None:
    ok, data = cv2.imencode(".png", cv2.cvtColor(head, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257)
    assert ok
    path.write_bytes(data.tobytes())


def lying_camera(path: Path, head: Head) -> None:
    """A photograph taken with the camera on its side, which its EXIF data say."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(head, 1)).save(path, "JPEG", exif=exif, quality=95)


def pages(path: Path, head: Head) -> None:
    first, more = Image.fromarray(head), [ImageOps.invert(Image.fromarray(head))] * 3
    first.save(path, "TIFF", save_all=True, append_images=more)


def pipe(path: Path, head: Head) -> None:
    os.mkfifo(path)


def endless(path: Path, head: Head) -> None:
    path.symlink_to("/dev/zero")


NOISE = np.random.default_rng(0).bytes(5000)
SHELL = f"$(touch {SPRUNG}) `touch {SPRUNG}`; touch {SPRUNG} | touch {SPRUNG} && touch {SPRUNG}"
FAST = {"container": {"movflags": "faststart"}, "g": "4"}
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(sprung) (w) file closefile\n"

MEDIA: dict[str, tuple[Maker, int | str]] = {
    # videos that are none
    "zero bytes.mp4": (content(b""), "is empty"),
    "random bytes.mp4": (content(NOISE), "not a readable video"),
    "text.mp4": (content(b"hello " * 100), "not a readable video"),
    "page.mp4": (content(b"<!doctype html><html><video src='/etc/passwd'></html>"), "not a readable video"),
    "zip.mp4": (zipped, "not a readable video"),
    "sound.mp4": (sound_only, "no video stream"),
    "playlist.mp4": (content(b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"), "not a readable video"),
    "playlist of another.mp4": (content(b"ffconcat version 1.0\nfile /dev/zero\n"), "not a readable video"),
    "session.mp4": (content(b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 1 RTP/AVP 96\n"), "not a readable video"),
    "huge frames.mp4": (content(b"YUV4MPEG2 W100000 H100000 F25:1 C420\nFRAME\n"), ""),
    "pipe.mp4": (pipe, "not an ordinary file"),
    "device.mp4": (endless, "not an ordinary file"),
    # truncated: the index at the end is lost, or only the later frames
    **{f"cut at {k} %.mp4": (cut(k / 100), "not a readable video") for k in (1, 10, 30, 50, 70, 90)},
    "cut in the header.mp4": (cut(0.05, **FAST), ""),
    # odd, and right all the same
    "one frame.mp4": (filmed(count=1), 1),
    "two frames.mp4": (filmed(count=2), 2),
    "changed size.h264": (changed_size, ASKED),
    "turned.mp4": (turned, ASKED),
    "uneven times.mp4": (filmed(times=[int(4 * k + k * k) for k in range(12)]), ASKED),
    "16 bits.mkv": (filmed(codec="ffv1", pixels="rgb48le"), ASKED),
    "10 bits.mp4": (filmed(pixels="yuv420p10le"), ASKED),
    "alpha.mkv": (filmed(codec="ffv1", pixels="rgba64le"), ASKED),
    "grey.mp4": (filmed(pixels="gray"), ASKED),
    "wide.mkv": (lambda path, head: film(path, wide(head), 1, "mjpeg", "yuvj420p"), 1),
    "false count.avi": (false_count, ASKED),
    "really matroska.mp4": (filmed(format="matroska"), ASKED),
    "video as picture.jpg": (filmed(format="mp4"), ASKED),
    "shell.mp4": (filmed(metadata={"title": SHELL, "comment": SHELL}), ASKED),
    f"{SHELL}.mp4".replace("/", ""): (filmed(), ASKED),
    "-starts with a dash.mp4": (filmed(), ASKED),
    "line\nbreak <script>alert(1)</script>.mp4".replace("/", ""): (filmed(), ASKED),
    # images that are none
    "zero bytes.png": (content(b""), "is empty"),
    "random bytes.jpg": (content(NOISE), "not a readable"),
    "claims to be.jpg": (content(b"\xff\xd8\xff" + NOISE), "image"),
    "claims to be.png": (content(b"\x89PNG\r\n\x1a\n" + NOISE), "image"),
    "cut at 5 %.png": (cut_image(0.05, "PNG"), "damaged image"),
    "cut at half.png": (cut_image(0.5, "PNG"), "damaged image"),
    "cut at half.jpg": (cut_image(0.5, "JPEG"), "damaged image"),
    "cut at half.webp": (cut_image(0.5, "WEBP"), "image"),
    "cut at half.tif": (cut_image(0.5, "TIFF"), "image"),
    "cut at half.bmp": (cut_image(0.5, "BMP"), "damaged image"),
    "bomb.png": (bomb, "pixels"),
    "text bomb.png": (text_bomb, "damaged image"),
    "fractions.tif": (image("TIFF", lambda picture: picture.convert("F")), "floating-point"),
    "postscript.png": (content(POSTSCRIPT), "not a readable"),
    "drawing.png": (content(b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>"), "readable"),
    "one pixel.png": (lambda path, head: Image.new("RGB", (1, 1)).save(path), "no face found"),
    "nobody.png": (lambda path, head: Image.new("RGB", (320, 320), "grey").save(path), "no face found"),
    # odd, and right all the same
    "cmyk.jpg": (image("JPEG", lambda picture: picture.convert("CMYK"), quality=95), 1),
    "turned.jpg": (lying_camera, 1),
    "really png.jpg": (image("PNG"), 1),
    "picture as video.mp4": (image("PNG"), 1),
    "alpha.png": (image("PNG", lambda picture: picture.convert("RGBA")), 1),
    "palette.png": (image("PNG", lambda picture: picture.convert("P")), 1),
    "grey.png": (image("PNG", lambda picture: picture.convert("L")), 1),
    "16 bits.png": (sixteen_bits, 1),
    "pages.tif": (pages, 1),
    "wide.jpg": (lambda path, head: Image.fromarray(wide(head)).save(path, quality=95), 1),
}

# what is left of these is scored; how much that is depends on the encoder
PARTLY: dict[str, Maker] = {
    **{f"cut at {k} %, index first.mp4": cut(k / 100, count=48, **FAST) for k in (40, 60, 80, 95)},
    "damaged midway.mkv": damaged_midway,
}
