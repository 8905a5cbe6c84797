"""What a file says of itself: container, codec, encoder, time line, compression. Beside a score and apart from it.

Packets are read, and only a few frames are decoded. Whatever a file says can be written by anyone, so its words are
clipped and made printable here, and are still to be escaped in a page. Nothing here tells a fake from a real video.
"""

import io
import itertools
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from PIL import ExifTags, Image

from dfnb.common.errors import printable
from dfnb.data import images, video
from dfnb.data.limits import check_count, check_file, check_length
from dfnb.data.timelines import Timeline
from dfnb.own_video.edit_lists import edit_list

LONGEST_TEXT = 200  # characters kept of a tag
KEYS = (
    *("kind", "container", "codec", "pixels", "bytes", "width", "height", "frames", "fps", "seconds", "bit_rate"),
    *("bits_per_pixel", "quantiser", "jpeg_quality", "jpeg_standard", "encoder", "settings", "tags", "start"),
    *("variable_frame_rate", "gaps", "gap_count", "resets", "hidden", "edits", "tracks"),
)
MOST = 40  # tags, tracks, edits and gaps listed, each
GAP = 1.0  # seconds: a pause between frames that is longer, and longer than EIGHT intervals, is a gap
_INTERVALS = 8
_PLACES, _PACKETS = 3, 8  # where quantisers are read: stretches of the video, and packets decoded in each
_NOTE = 1 << 16  # bytes of an encoder's note that are looked at
_SCALES = {0: "0 to 255 (VP9)", 1: "0 to 51 (H.264)", 2: "2 to 62, in MPEG-2 up to 112"}  # AVVideoEncParamsType
_SETTING = re.compile(r"(?<![\w-])(rc|crf|qp|bitrate)=([\w.]+)")
_NOT_WORDS = {"major_brand", "minor_version", "compatible_brands", "language", "DURATION"}
_ENCODERS = ("video: encoder", "encoder", "software", "com.apple.quicktime.software")  # tags that name it, best first
_EXIF = 0x8769  # the tag that points to the photograph's own directory of tags


def about(path: Path) -> dict[str, Any]:
    """What a video or image says of itself; every key is there, None (or empty) where the file doesn't say.

    kind: "video", "image" or "animation". container, codec (with its profile), pixels (their format): names.
    bytes: of the file. width, height: as stored, pixels. frames: shown. fps: on average. seconds: duration.
    bit_rate: bits a second, of the video's packets alone. bits_per_pixel: of the packets (an image: of the whole file),
    over width, height and frames. quantiser: of the blocks of a few frames, as {"mean", "low", "high" (of frames),
    "frames", "scale"}; only H.264, VP9 and MPEG-1, 2 and 4 tell it.
    jpeg_quality: 1 to 100 of libjpeg's scale whose luma table is the nearest; jpeg_standard: whether it is the same.
    encoder: what the encoder calls itself. settings: those that x264 and x265 write into the stream, such as
    {"crf": "23.0"}. tags: the file's other words on itself (for videos the container's and track's metadata, for images
    EXIF and text; not the place of an image).
    start: seconds on the video's clock when its first frame is shown. variable_frame_rate: whether frames are further
    than half an interval from an even rate. gaps: {"at", "seconds"} of pauses longer than `GAP` and than 8 usual
    intervals; gap_count: all of them. resets: how often the clock of decoding goes back. hidden: frames stored but
    never shown. edits: see `edit_lists.edit_list`. tracks: {"type", "codec", "start", "seconds"} of all.

    At most `MOST` of anything are listed. Raises UserError, naming the file, where it can't be read.
    """
    path = Path(path)
    check_file(path)
    facts: dict[str, Any] = dict.fromkeys(KEYS)
    facts |= {"bytes": path.stat().st_size, "settings": {}, "tags": {}, "gaps": [], "edits": [], "tracks": []}
    return facts | (_of_image(path) if images.is_image(path) else _of_video(path))


def sentences(facts: Mapping[str, Any]) -> list[str]:
    """The same in words, a sentence each. They say nothing on whether the file was altered."""
    time_line = _time_line(facts) if facts["kind"] == "video" else ()
    words = [_what(facts), *_compression(facts), *_encoder(facts), *time_line]
    if facts["tags"]:
        words.append("Tags: " + "; ".join(f"{key}: {value}" for key, value in facts["tags"].items()) + ".")
    return [
        *words,
        "None of this shows whether the file was altered. Phones, editors, messengers and web sites all rewrite files, "
        "and anyone can write such words.",
    ]


# ---- videos ----


def _of_video(path: Path) -> dict[str, Any]:
    sizes, times, keys, resets, hidden, before = 0, [], [], 0, 0, None
    with video.opened(path) as (container, stream):
        context = stream.codec_context
        tick, rate = stream.time_base or 1, float(stream.average_rate or stream.guessed_rate or 0)
        facts = {
            "kind": "video",
            "container": clipped(container.format.long_name or container.format.name),
            "codec": clipped(" ".join(filter(None, [context.codec.canonical_name, context.profile]))),
            "pixels": context.pix_fmt,
            "width": context.width,
            "height": context.height,
            "tracks": [_track(track) for track in itertools.islice(container.streams, MOST)],
            "tags": _tags([("", container.metadata), ("video: ", stream.metadata)]),
        }
        for packet in video.packets(container, stream):
            if not packet.size:
                continue
            if packet.dts is not None:
                resets, before = resets + (before is not None and packet.dts < before), packet.dts
            if packet.is_discard:
                hidden += 1
                continue
            sizes += packet.size
            times.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
            check_count(path, len(times))
    facts |= {"frames": len(times), "resets": resets, "hidden": hidden, "fps": rate or None}
    known = sorted(t for t in times if t is not None)
    if len(set(known)) == len(times) > 0:
        check_length(path, float((known[-1] - known[0]) * tick))
        facts |= _clock(known, tick, rate)
    elif rate:
        facts["seconds"] = len(times) / rate
    check_length(path, facts.get("seconds") or 0)
    pixels = facts["width"] * facts["height"] * len(times)
    facts |= {
        "bit_rate": 8 * sizes / facts["seconds"] if facts.get("seconds") else None,
        "bits_per_pixel": 8 * sizes / pixels if pixels else None,
        "edits": edit_list(path)[:MOST] if "mov" in container.format.name else [],
    }
    facts |= _decoded(path, sorted(keys))
    return facts | {"encoder": facts["encoder"] or _named(facts["tags"])}


def _track(track: av.stream.Stream) -> dict[str, Any]:
    context, tick = track.codec_context, track.time_base
    return {
        "type": track.type,
        "codec": clipped(context.codec.canonical_name) if context else None,
        "start": float(track.start_time * tick) if tick and track.start_time is not None else None,
        "seconds": float(track.duration * tick) if tick and track.duration is not None else None,
    }


def _clock(times: list[int], tick: Any, rate: float) -> dict[str, Any]:
    """times: ascending, in ticks, all different."""
    gaps = np.diff(np.asarray(times, np.int64)).astype(float) * float(tick)
    seconds = float(gaps.sum())
    fps = len(gaps) / seconds if seconds > 0 else rate
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    long = np.flatnonzero(gaps > max(GAP, _INTERVALS * usual))
    line = Timeline(len(times), None, times, [], fps, seconds)
    return {
        "start": float(times[0] * tick),
        "fps": round(fps, 6) or None,
        "seconds": round(seconds + (1 / fps if fps else 0.0), 6),
        "variable_frame_rate": not line.has_even_times,
        "gaps": [{"at": float((times[k] - times[0]) * tick), "seconds": float(gaps[k])} for k in long[:MOST]],
        "gap_count": len(long),
    }


def _decoded(path: Path, keys: list[int]) -> dict[str, Any]:
    """What the decoder tells of a few frames: quantisers, and the encoder's own note (SEI)."""
    values, scale, note = [], None, ""
    starts = (
        [None, *sorted({keys[k * len(keys) // _PLACES] for k in range(1, _PLACES)} - set(keys[:1]))] if keys else [None]
    )
    with video.opened(path) as (container, stream):
        stream.codec_context.options |= {"export_side_data": "venc_params"}
        for start in starts:
            for frame in _some(container, stream, start):
                note = note or _note(frame)
                found = _quantiser(frame)
                if found:
                    scale, value = found
                    values.append(value)
    name, _, options = note.partition(" - options: ")
    quantiser = {"mean": float(np.mean(values)), "low": min(values), "high": max(values)} if values else None
    return {
        "quantiser": quantiser and quantiser | {"frames": len(values), "scale": scale},
        "encoder": clipped(name.split(" - H.26")[0]) or None,
        "settings": {key: clipped(value) for key, value in _SETTING.findall(options)},
    }


def _some(container: Any, stream: Any, start: int | None) -> Iterator[av.VideoFrame]:
    """The frames of a few packets from a key frame on; fewer where they are damaged."""
    try:
        if start is not None:
            container.seek(start, stream=stream, backward=True)
        for packet in itertools.islice(video.packets(container, stream), _PACKETS):
            yield from packet.decode()
    except (av.FFmpegError, ValueError):
        return


def _quantiser(frame: av.VideoFrame) -> tuple[str, float] | None:
    """The scale's name, and the mean over the frame's blocks (AVVideoEncParams of FFmpeg's video_enc_params.h)."""
    data = frame.side_data.get(Type.VIDEO_ENC_PARAMS)
    if data is None:
        return None
    count, offset, size, kind, whole = struct.unpack_from("=I4xQQii", raw := bytes(data))
    if kind not in _SCALES:
        return None
    if not count:  # VP9 with one quantiser for the whole frame
        return _SCALES[kind], float(whole)
    blocks = np.frombuffer(raw, np.int32, count * size // 4, offset).reshape(count, -1)
    return _SCALES[kind], whole + float(blocks[:, 4].mean())


def _note(frame: av.VideoFrame) -> str:
    """The text of x264 or x265 after the 16 bytes that say whose it is, or ""."""
    data = frame.side_data.get(Type.SEI_UNREGISTERED)
    text = bytes(data)[16:_NOTE].split(b"\0")[0].decode("ascii", "replace") if data is not None else ""
    return text if text.startswith(("x264", "x265")) else ""


# ---- images ----


def _of_image(path: Path) -> dict[str, Any]:
    line = images.image_timeline(path)
    with images.opened(path) as image:
        facts = {
            "kind": "image" if line.times is None else "animation",
            "container": image.format,
            "pixels": image.mode,
            "width": image.width,
            "height": image.height,
            "frames": line.count,
            "fps": line.fps or None,
            "seconds": line.seconds or None,
            "bits_per_pixel": 8 * path.stat().st_size / (image.width * image.height * line.count),
            "tags": _tags([("", image.info), *_exif(image)]),
        }
        tables = getattr(image, "quantization", None)
        if tables:
            facts["jpeg_quality"], facts["jpeg_standard"] = jpeg_quality(tables[min(tables)])
    return facts | {"encoder": _named(facts["tags"])}


def _exif(image: Image.Image) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        exif = image.getexif()
        parts = [exif, exif.get_ifd(_EXIF)]
        return [("", {ExifTags.TAGS.get(tag, ""): value for tag, value in part.items()}) for part in parts]
    except images.DAMAGE:  # of the metadata alone
        return []


def jpeg_quality(table: Iterable[int]) -> tuple[int, bool]:
    """The quality, 1 to 100, with which libjpeg would write the nearest luma table, and whether it is the very same.

    table: 64 steps, in the order of Pillow's `Image.quantization`. Nearest is the least mean absolute difference.
    """
    apart = np.abs(_luma_tables() - np.asarray(list(table), float)).mean(1)
    best = int(apart.argmin())
    return best + 1, not apart[best]


@cache
def _luma_tables() -> np.ndarray:
    """libjpeg's luma tables of qualities 1 to 100: (100, 64)."""
    tables = []
    for quality in range(1, 101):
        written = io.BytesIO()
        Image.new("L", (8, 8)).save(written, "JPEG", quality=quality)
        tables.append(Image.open(written).quantization[0])
    return np.array(tables, float)


# ---- words ----


def clipped(text: str) -> str:
    """A stranger's words as one short line that is safe to print."""
    line = printable(text[: LONGEST_TEXT + 1].strip())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"


def _tags(parts: Iterable[tuple[str, Mapping[Any, Any]]]) -> dict[str, str]:
    """Tags whose value is text, each under a prefix and its name."""
    pairs = (
        (
            clipped(f"{prefix}{str(key)[:LONGEST_TEXT]}"),
            clipped(value if isinstance(value, str) else value.decode("utf-8", "replace")),
        )
        for prefix, part in parts
        for key, value in part.items()
        if key and key not in _NOT_WORDS and (isinstance(value, str) or (key == "comment" and isinstance(value, bytes)))
    )
    return dict(itertools.islice(((key, value) for key, value in pairs if value), MOST))


def _named(tags: Mapping[str, str]) -> str | None:
    words = {key.lower(): value for key, value in tags.items()}
    return next((words[key] for key in _ENCODERS if key in words), None)


def _what(facts: Mapping[str, Any]) -> str:
    codec = f"{facts['codec']} in {facts['container']}" if facts["codec"] else facts["container"]
    text = f"{facts['kind'].capitalize()}: {codec}, {facts['width']} x {facts['height']} pixels ({facts['pixels']})"
    if facts["kind"] != "image":
        text += f", {facts['frames']} frames"
        text += f" in {facts['seconds']:.2f} s" if facts["seconds"] else ""
        text += f", {facts['fps']:.4g} a second on average" if facts["fps"] else ""
    return f"{text}; {facts['bytes']:,} bytes."


def _compression(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts["bits_per_pixel"] is not None:
        rate = f", {facts['bit_rate'] / 1000:,.0f} kbit a second" if facts["bit_rate"] else ""
        bits = f"{facts['bits_per_pixel']:.3g} bits a pixel"
        yield f"Compression: {bits}{rate}. The fewer bits, the fewer traces of any kind are left."
    if quantiser := facts["quantiser"]:
        yield (
            f"Quantiser: {quantiser['mean']:.1f} on average, {quantiser['low']:.1f} to {quantiser['high']:.1f} in "
            f"{quantiser['frames']} frames looked at; the scale is {quantiser['scale']}, higher is coarser."
        )
    if facts["jpeg_quality"]:
        how = "libjpeg's table" if facts["jpeg_standard"] else "a table of its own; the nearest of libjpeg's"
        yield f"JPEG quality: about {facts['jpeg_quality']} of 100, by {how}."


def _encoder(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts["encoder"]:
        settings = ", ".join(f"{key} {value}" for key, value in facts["settings"].items())
        yield f"It names its encoder: {facts['encoder']}" + (f" ({settings})." if settings else ".")


def _time_line(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts["variable_frame_rate"] is None:
        yield "Its frames carry no usable times."
    else:
        rate = "varies, as in many recordings of phones and screens" if facts["variable_frame_rate"] else "is constant"
        yield f"The frame rate {rate}; the first frame is shown at {facts['start']:.3f} s."
    if facts["gap_count"]:
        listed = ", ".join(f"{gap['seconds']:.1f} s at {gap['at']:.1f} s" for gap in facts["gaps"][:5])
        more = ", ..." if facts["gap_count"] > 5 else ""
        yield f"Pauses between frames: {facts['gap_count']} ({listed}{more})."
    if facts["resets"]:
        yield f"Its clock goes back {facts['resets']} times, as where recordings were joined."
    if facts["edits"] and not (len(facts["edits"]) == 1 and facts["edits"][0]["from"] == 0):
        listed = "; ".join(map(_edit_in_words, facts["edits"][:5])) + ("; ..." if len(facts["edits"]) > 5 else "")
        yield (
            f"Edit list of {len(facts['edits'])}: {listed}. An encoder itself writes one entry that skips a fraction "
            "of a second, since frames are stored in another order than they are shown in; a trim leaves one, too."
        )
    if facts["hidden"]:
        yield f"Frames stored but not shown: {facts['hidden']}."
    if other := [track for track in facts["tracks"] if track["type"] != "video"]:
        yield "Other tracks: " + ", ".join(_in_words(track) for track in other[:5]) + "."


def _edit_in_words(entry: Mapping[str, Any]) -> str:
    what = "nothing is shown" if entry["from"] is None else f"shown from {entry['from']:.3f} s of the stored video on"
    length = f"for {entry['seconds']:.3f} s" if entry["seconds"] else "up to the end"
    return f"{what}, {length}" + ("" if entry["rate"] == 1 else f", at {entry['rate']:g} times its speed")


def _in_words(track: Mapping[str, Any]) -> str:
    start = f" from {track['start']:.3f} s" if track["start"] is not None else ""
    length = f", {track['seconds']:.2f} s long" if track["seconds"] is not None else ""
    return f"{track['type']} ({track['codec'] or 'unknown'}{start}{length})"
