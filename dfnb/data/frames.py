"""A video to evenly spaced RGB frames.

Frame counts in headers are often wrong, so the packets are counted first (reading, no decoding); then only what
lies between a key frame and a wanted frame is decoded, and only wanted frames are converted: measured, that is faster
than grabbing frame by frame for short clips and long ones, key frames close and far apart (`dfnb bench --long`,
`figures/bench-*-ways.csv`). What the frame index means never depends on the way taken: tests compare it with decoding
everything. Files are strangers': demuxers and protocols are limited to plain local video files, and size and length
have bounds.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dfnb.common.errors import UserError

MAX_PIXELS = 50_000_000  # of one frame; 8K video has 33 million
MAX_SECONDS = 4 * 3600
MAX_FRAMES = 2_000_000

_DEMUXERS = "mov,matroska,webm,avi,flv,mpeg,mpegts,mpegvideo,ogg,asf,h264,hevc,m4v,ivf,mjpeg,nut,yuv4mpegpipe,mxf"
_IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*")
_WORTH_A_SEEK = 8  # frames that a seek must save


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, by its packets and not by its claims.

    frames: how many there are. claimed: how many the header says, or None. height, width: pixels, after rotation.
    fps: frames a second, 0.0 where unknown (an image). seconds: from the first frame to the end of the last.
    """

    frames: int
    claimed: int | None
    height: int
    width: int
    fps: float
    seconds: float


def places(frames: int, n: int) -> list[int]:
    """The frame indices to take: the middles of n equal parts of the video, all frames where it has no more than n."""
    if n < 1:
        raise ValueError(f"{n} frames can't be sampled; give 1 or more")
    n = min(n, frames)
    return [(2 * i + 1) * frames // (2 * n) for i in range(n)]


def sample_frames(
    path: str | PathLike[str], n: int, threads: int = 1, known: Timeline | None = None
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """n frames spread evenly over a video's true length, as its player would show them (rotated by its metadata).

    n: 1 or more; `places` is the rule. threads: of the decoder. An image is a video of one frame.
    known: what `timeline` said of this file, so that its packets aren't counted twice.
    Yields (index of the frame in the video, (H, W, 3) uint8 RGB), in order. A place whose frame can't be decoded
    gives the next one that can, with its own index, so that fewer than n come only where a stretch of the video is
    broken.
    Raises UserError, naming the file and why: missing, empty, no video in it, broken, over MAX_PIXELS, MAX_SECONDS or
    MAX_FRAMES. Nothing about the file is raised before the first frame is asked for.
    """
    places(1, n)
    return _sample(Path(path), n, threads, known)


def timeline(path: str | PathLike[str]) -> Timeline:
    """How long a video truly is, and where its frames and key frames are: all packets read, none decoded.

    Raises UserError as `sample_frames` does.
    """
    path = Path(path)
    _check(path)
    return Timeline(1, 1, None, [], 0.0, 0.0) if _is_image(path) else _timeline(path)


def at(path: str | PathLike[str], indices: Iterable[int], threads: int = 1) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames with these indices, ascending, each once; those beyond the video's end are left out.

    Otherwise as `sample_frames`.
    """
    path = Path(path)
    _check(path)
    if _is_image(path):
        yield from [(0, read_image(path))] if 0 in indices else []
        return
    known = _timeline(path)
    if wanted := sorted({index for index in indices if 0 <= index < known.count}):
        yield from _at(path, known, wanted, threads)


def probe(path: str | PathLike[str]) -> VideoInfo:
    """Length, size and rate of a video or image, decoding one frame. Raises UserError as `sample_frames` does."""
    path = Path(path)
    _check(path)
    if _is_image(path):
        height, width = read_image(path).shape[:2]
        return VideoInfo(1, 1, height, width, 0.0, 0.0)
    known = _timeline(path)
    first = next(_pick(path, known, [0], threads=1, seek=False), None)
    if first is None:
        raise UserError(f"{path}: none of its {known.count} frames can be decoded; get the file anew")
    height, width = _rgb(first[1], path).shape[:2]
    return VideoInfo(known.count, known.claimed, height, width, known.fps, known.seconds)


def read_image(path: str | PathLike[str]) -> NDArray[np.uint8]:
    """An image as (H, W, 3) uint8 RGB, turned by its EXIF orientation; transparency is dropped, 16 bits become 8.

    Raises UserError where it is no JPEG, PNG, BMP, WebP or TIFF, is damaged, or has more than MAX_PIXELS.
    """
    path = Path(path)
    _check(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's word on large images (the bound here is lower) and odd metadata
            with Image.open(path, formats=_IMAGE_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UserError(f"{path}: {image.width} x {image.height} are over {MAX_PIXELS} pixels; shrink it")
                image.load()
                image = ImageOps.exif_transpose(image)
                if image.mode.startswith("I"):  # 16-bit grey, which Pillow's convert would clip
                    grey = np.asarray(image).astype(np.int64)
                    return np.repeat(np.clip(grey >> 8, 0, 255).astype(np.uint8)[..., None], 3, 2)
                if image.mode == "F":
                    raise UserError(f"{path}: an image of floating-point numbers; save it with 8 or 16 bits")
                return np.asarray(image.convert("RGB"))
    except Image.DecompressionBombError:
        raise UserError(f"{path}: more than {MAX_PIXELS} pixels; shrink it") from None
    except UnidentifiedImageError:
        raise UserError(f"{path}: not a readable image (JPEG, PNG, BMP, WebP or TIFF)") from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:  # what Pillow raises on damaged files
        raise UserError(f"{path}: a damaged image ({_first_line(error)})") from None


@dataclass(frozen=True)
class Timeline:
    """count: frames by the packets; claimed: by the header, or None. fps, seconds: as in `VideoInfo`.

    times: presentation times of all frames, ascending, or None where unknown; keys: those of key frames.
    """

    count: int
    claimed: int | None
    times: list[int] | None
    keys: list[int]
    fps: float
    seconds: float


class _SeekMissedError(Exception):
    """A seek landed behind the frame that was wanted; decode from the start instead."""


def _sample(path: Path, n: int, threads: int, known: Timeline | None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    _check(path)
    if _is_image(path):
        yield 0, read_image(path)
        return
    known = known or _timeline(path)
    yield from _at(path, known, places(known.count, n), threads)


def _at(path: Path, known: Timeline, wanted: list[int], threads: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    last = -1
    for seek in (True, False):
        try:
            for index, frame in _pick(path, known, wanted, threads, seek):
                if index > last:  # after a missed seek those already given come again
                    last = index
                    yield index, _rgb(frame, path)
            break
        except _SeekMissedError:
            continue
    if last < 0:
        raise UserError(f"{path}: none of its {known.count} frames can be decoded; get the file anew")


def _pick(
    path: Path, known: Timeline, wanted: list[int], threads: int, seek: bool
) -> Iterator[tuple[int, av.VideoFrame]]:
    """The decoded frames at the wanted places, or the next that can be decoded."""
    with _opened(path, threads) as (container, stream):
        if known.times is None:
            yield from _pick_by_count(_decode(container, stream), wanted)
            return
        times, place_of = known.times, {t: i for i, t in enumerate(known.times)}
        needed = {times[place] for place in wanted}
        decoder, reached = _decode(container, stream, needed), -1  # reached: place of the last frame decoded
        for place in wanted:
            if place <= reached:
                continue
            sought = False
            if seek:
                at = bisect_right(known.keys, times[place]) - 1
                if at >= 0 and place_of[known.keys[at]] - reached > _WORTH_A_SEEK:
                    try:
                        container.seek(known.keys[at], stream=stream, backward=True)
                    except av.FFmpegError:
                        raise _SeekMissedError from None
                    decoder, sought = _decode(container, stream, needed), True
            for frame in decoder:
                here = place_of.get(frame.pts, -1)
                if sought and here > place:
                    raise _SeekMissedError
                sought = False
                reached = max(reached, here)
                if here >= place and not frame.is_corrupt:
                    yield here, frame
                    break


def _pick_by_count(decoder: Iterator[av.VideoFrame], wanted: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    left = list(reversed(wanted))
    for index, frame in enumerate(decoder):
        if not left:
            return
        if index >= left[-1] and not frame.is_corrupt:
            while left and left[-1] <= index:
                left.pop()
            yield index, frame


def _timeline(path: Path) -> Timeline:
    """Read all packets of the video, and count."""
    times: list[int | None] = []
    keys = []
    with _opened(path) as (container, stream):
        base, claimed = stream.time_base, stream.frames or None
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        for packet in _demux(container, stream):
            if not packet.size or packet.is_discard:
                continue
            times.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
            if len(times) > MAX_FRAMES:
                raise UserError(f"{path}: more than {MAX_FRAMES} frames; cut it into parts")
    if not times:
        raise UserError(f"{path}: holds no frame; it may be truncated, get the file anew")
    known = sorted(t for t in times if t is not None)
    if len(set(known)) == len(times):
        seconds = float((known[-1] - known[0]) * base) if base else 0.0
        rate = (len(known) - 1) / seconds if seconds > 0 else rate
        seconds += 1 / rate if rate else 0.0
        _check_length(path, seconds)
        return Timeline(len(known), claimed, known, sorted(keys), rate, seconds)
    # no usable times: only decoding tells what will be shown
    with _opened(path) as (container, stream):
        count = 0
        for _ in _decode(container, stream):
            count += 1
            _check_length(path, count / (rate or 1000.0))
    if not count:
        raise UserError(f"{path}: none of its {len(times)} frames can be decoded; get the file anew")
    return Timeline(count, claimed, None, [], rate, count / rate if rate else 0.0)


def _check_length(path: Path, seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise UserError(f"{path}: longer than {MAX_SECONDS} s; cut it into parts")


@contextmanager
def _opened(path: Path, threads: int = 1) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The container and its video stream. Raises UserError where there is none."""
    options = {"protocol_whitelist": "file", "format_whitelist": _DEMUXERS}
    try:
        container = av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise UserError(f"{path}: not a readable video ({_first_line(error)}); it may be truncated") from None
    with container:
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            raise UserError(f"{path}: no video stream in it, only {container.format.long_name or 'other data'}")
        stream = streams[0]
        context = stream.codec_context
        if context is None:
            raise UserError(f"{path}: its video codec is unknown here; convert it to H.264")
        _check_size(path, context.width, context.height)
        context.options = {"max_pixels": str(MAX_PIXELS)}
        context.thread_count = threads
        context.thread_type = "AUTO" if threads > 1 else "NONE"
        yield container, stream


def _demux(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """The stream's packets up to where the file breaks off; the last is empty, and flushes the decoder."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        except IndexError:  # a packet of a stream that wasn't there when the file was opened: PyAV stops at it
            packets = container.demux(stream)
            continue
        yield packet


def _decode(
    container: av.container.InputContainer, stream: av.VideoStream, needed: set[int] | None = None
) -> Iterator[av.VideoFrame]:
    """The frames that can be decoded from here on, in the order of showing.

    needed: presentation times of the frames that are wanted, or None for all. Others may be left out, where no frame is
    predicted from them: that saves time and changes no pixel of the wanted ones.
    """
    for packet in _demux(container, stream):
        if needed is not None:
            stream.codec_context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
        try:
            yield from packet.decode()
        except av.FFmpegError:  # a damaged packet; those after it may be sound
            continue


def _rgb(frame: av.VideoFrame, path: Path) -> NDArray[np.uint8]:
    _check_size(path, frame.width, frame.height)
    try:
        rgb = frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, ValueError) as error:
        raise UserError(f"{path}: pixels of format {frame.format.name} are unreadable ({_first_line(error)})") from None
    return np.ascontiguousarray(np.rot90(rgb, frame.rotation // 90 % 4))  # counter-clockwise, both


def _check(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a video")
    try:
        size = path.stat().st_size
        if not path.is_file():  # a pipe or a device would never end
            raise UserError(f"{path}: is not an ordinary file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise UserError(f"{path}: can't be opened ({error.strerror})") from None
    except ValueError as error:  # a name with a null character
        raise UserError(f"{str(path)!r}: not a file name ({error})") from None
    if not size:
        raise UserError(f"{path}: is empty (0 bytes); get the file anew")


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UserError(f"{path}: frames of {width} x {height} pixels are over the limit of {MAX_PIXELS}; shrink it")


def _is_image(path: Path) -> bool:
    """By the first bytes: file names lie."""
    with path.open("rb") as file:
        head = file.read(16)
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _first_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0].removesuffix(".")
