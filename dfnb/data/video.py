"""A video file to its timeline and its wanted frames, through FFmpeg's libraries.

Frame counts in headers are often wrong, so the packets are counted first (reading, no decoding); then only what lies
between a key frame and a wanted frame is decoded, and only wanted frames are converted. Which frame an index means
never depends on that: tests compare it with decoding everything. The files are of unknown origin: demuxers and
protocols are limited to plain local video files, and size and length have bounds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.data.display import colour_notes, known_ratio, to_rgb
from dfnb.data.limits import MAX_PIXELS, check_count, check_length, check_pixels, first_line
from dfnb.data.timelines import Timeline

_DEMUXERS = "mov,matroska,webm,avi,flv,mpeg,mpegts,mpegvideo,ogg,asf,h264,hevc,m4v,ivf,mjpeg,nut,yuv4mpegpipe,mxf"
_WORTH_A_SEEK = 8  # frames that a seek must save
_NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails  # cover art, chapter pictures
_FIELD_ORDERS = (2, 3, 4, 5)  # of interlaced video, as `AVFieldOrder` has them


class _SeekMissedError(Exception):
    """A seek landed behind the wanted frame: decode from the start."""


class _FieldsFoundError(Exception):
    """A frame is interlaced although the header doesn't say so: decode its neighbours, too."""


def video_timeline(path: Path) -> Timeline:
    """The timeline by the video's packets: all are read, none is decoded unless they have no usable times.

    Raises UserError as `frames.sample_frames` does.
    """
    times: list[int | None] = []
    keys = []
    with opened(path) as (container, stream):
        tick, claimed = stream.time_base, stream.frames or None
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        notes = _notes(container, stream)
        for packet in packets(container, stream):
            if not packet.size or packet.is_discard:
                continue
            times.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
            check_count(path, len(times))
    if not times:
        raise UserError(f"{path}: holds no frame; it may be truncated, get the file again")
    known = sorted(t for t in times if t is not None)
    if len(set(known)) == len(times):
        seconds = float((known[-1] - known[0]) * tick) if tick else 0.0
        rate = (len(known) - 1) / seconds if seconds > 0 else rate
        seconds += 1 / rate if rate else 0.0
        check_length(path, seconds)
        timeline = Timeline(len(known), claimed, known, sorted(keys), rate, seconds, tick or Fraction(1), notes)
        uneven = () if timeline.has_even_times else ("variable frame rate: frames evenly spaced in time",)
        return replace(timeline, notes=notes + uneven)
    # no usable times: only decoding shows how many frames there are
    with opened(path) as (container, stream):
        frames = 0
        for _ in _decode(container, stream):
            frames += 1
            check_length(path, frames / (rate or 1000.0))
    if not frames:
        raise UserError(f"{path}: none of its {len(times)} frames can be decoded; get the file again")
    return Timeline(frames, claimed, None, [], rate, frames / rate if rate else 0.0, notes=notes)


def video_frames(
    path: Path, timeline: Timeline, wanted: Sequence[int], threads: int = 1, seek: bool = True
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames with these indices, which ascend, each as (index, (H, W, 3) uint8 RGB); the next where one is broken.

    seek: whether to skip to key frames. threads: of the decoder. Raises UserError where none can be decoded.
    """
    last, fields, again = -1, False, True
    while again:
        again = False
        try:
            for index, rgb in _pick(path, timeline, wanted, threads, seek, fields):
                if index > last:  # those already given come again after an error
                    last = index
                    yield index, rgb
        except _SeekMissedError:
            seek, again = False, True
        except _FieldsFoundError:
            fields, again = True, True
    if last < 0:
        raise UserError(f"{path}: none of its {timeline.count} frames can be decoded; get the file again")


def _pick(
    path: Path, timeline: Timeline, wanted: Sequence[int], threads: int, seek: bool, fields: bool
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The wanted frames, or the next that can be decoded. fields: whether they are interlaced."""
    with opened(path, threads) as (container, stream):
        fields = fields or _is_interlaced(stream)
        ratio = known_ratio(stream.sample_aspect_ratio)
        if timeline.times is None:
            for index, frame in _pick_by_count(_decode(container, stream, fields), wanted):
                yield index, to_rgb(frame, ratio, path)
            return
        times, place_of = timeline.times, {t: i for i, t in enumerate(timeline.times)}
        needed = {times[place] for place in wanted}
        decoder, reached = _decode(container, stream, fields, needed), -1  # reached: place of the last frame decoded
        seek = seek and container.format.name != "mpeg"  # whose demuxer gives other times after a seek
        for place in wanted:
            if place <= reached:
                continue
            sought, first = False, max(place - 1, 0) if fields else place  # deinterlacing looks at the frame before
            if seek:
                key = bisect_right(timeline.keys, times[first]) - 1
                if key >= 0 and place_of[timeline.keys[key]] - reached > _WORTH_A_SEEK:
                    try:
                        container.seek(timeline.keys[key], stream=stream, backward=True)
                    except av.FFmpegError:
                        raise _SeekMissedError from None
                    decoder, sought = _decode(container, stream, fields, needed), True
            for frame in decoder:
                here = place_of.get(frame.pts, -1)
                if sought and not 0 <= here <= first:
                    raise _SeekMissedError
                sought = False
                reached = max(reached, here)
                if here >= place and not frame.is_corrupt:
                    yield here, to_rgb(frame, ratio, path)
                    break
            else:
                if sought:
                    raise _SeekMissedError  # so near the end that no key frame followed


def _pick_by_count(decoder: Iterator[av.VideoFrame], wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    left = list(reversed(wanted))
    for index, frame in enumerate(decoder):
        if not left:
            return
        if index >= left[-1] and not frame.is_corrupt:
            while left and left[-1] <= index:
                left.pop()
            yield index, frame


@contextmanager
def opened(path: Path, threads: int = 1) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The container and its main video track. Raises UserError where there is none."""
    options = {"protocol_whitelist": "file", "format_whitelist": _DEMUXERS}
    try:
        container = av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise UserError(f"{path}: not a readable video ({first_line(error)}); it may be truncated") from None
    with container:
        tracks = _tracks(container)
        if not tracks:
            raise UserError(f"{path}: no video stream in it, only {container.format.long_name or 'other data'}")
        stream = tracks[0]
        context = stream.codec_context
        if context is None:
            raise UserError(f"{path}: its video codec is unknown here; convert it to H.264")
        check_pixels(path, context.width, context.height)
        context.options = {"max_pixels": str(MAX_PIXELS)}
        context.thread_count = threads
        context.thread_type = "AUTO" if threads > 1 else "NONE"
        yield container, stream


def _tracks(container: av.container.InputContainer) -> list[av.VideoStream]:
    """The video tracks, the main one first: of a known codec, by the container's default flag, then the largest."""

    def rank(stream: av.VideoStream) -> tuple[bool, bool, int]:
        context = stream.codec_context
        is_default = bool(stream.disposition & Disposition.default)
        return (context is None, not is_default, -context.width * context.height if context else 0)

    return sorted((s for s in container.streams.video if not s.disposition & _NO_VIDEO), key=rank)


def _notes(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[str, ...]:
    """What is done to show this video beyond decoding it, as far as its header tells."""
    context, ratio, tracks = stream.codec_context, known_ratio(stream.sample_aspect_ratio), len(_tracks(container))
    notes = []
    if tracks > 1:
        size = f"{context.width} x {context.height}"
        notes.append(f"{tracks} video tracks: read the main one (stream {stream.index}, {size})")
    if _is_interlaced(stream):
        notes.append("interlaced: deinterlaced by bwdif")
    if ratio != 1:
        notes.append(f"pixels of {ratio.numerator}:{ratio.denominator}: resampled to square ones")
    return (*notes, *colour_notes(context.color_trc, context.colorspace))


def _is_interlaced(stream: av.VideoStream) -> bool:
    return stream.codec_context.field_order in _FIELD_ORDERS


def packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
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
    container: av.container.InputContainer,
    stream: av.VideoStream,
    fields: bool | None = None,
    needed: set[int] | None = None,
) -> Iterator[av.VideoFrame]:
    """The frames that can be decoded from here on, in the order in which they are shown.

    fields: whether to deinterlace; False raises _FieldsFoundError at an interlaced frame, None lets it pass.
    needed: presentation times of the wanted frames, or None for all. Others may be left out where no frame is predicted
    from them (and nothing is deinterlaced): that saves time and changes no pixel of the wanted ones.
    """
    frames = _decoded(container, stream, None if fields else needed)
    return _deinterlaced(frames, stream.time_base) if fields else _checked(frames) if fields is False else frames


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, needed: set[int] | None
) -> Iterator[av.VideoFrame]:
    for packet in packets(container, stream):
        if needed is not None:
            stream.codec_context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
        try:
            yield from packet.decode()
        except av.FFmpegError:  # a damaged packet; those after it may be readable
            continue


def _checked(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    for frame in frames:
        if frame.interlaced_frame:
            raise _FieldsFoundError
        yield frame


def _deinterlaced(frames: Iterator[av.VideoFrame], tick: Fraction | None) -> Iterator[av.VideoFrame]:
    """Frames without their combs, one for each: by FFmpeg's bwdif, those marked as progressive as they are."""
    graph, shape, waiting = None, None, deque()
    for frame in frames:
        if shape != (frame.width, frame.height, frame.format.name):
            if graph is not None:
                yield from _filtered(graph, None, waiting)
            shape = frame.width, frame.height, frame.format.name
            graph = _bwdif(frame, tick or Fraction(1, 1000))
        yield from _filtered(graph, frame, waiting)
    if graph is not None:
        yield from _filtered(graph, None, waiting)


def _bwdif(frame: av.VideoFrame, tick: Fraction) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={tick.numerator}/{tick.denominator}"
        f":colorspace={frame.colorspace}:range={frame.color_range}",
    )
    graph.link_nodes(
        source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    ).configure()
    return graph


def _filtered(graph: av.filter.Graph, frame: av.VideoFrame | None, waiting: deque) -> Iterator[av.VideoFrame]:
    """What the filter gives after one more frame, or after the end (None); it lags by one frame.

    waiting: times of the frames in the filter, which doubles them.
    """
    if frame is not None:
        waiting.append((frame.pts, frame.time_base))
    graph.vpush(frame)
    while True:
        try:
            result = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        result.pts, result.time_base = waiting.popleft()
        yield result
