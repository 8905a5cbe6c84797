"""The edit list of a QuickTime or MP4 file: which stretches of the stored video are shown (ISO/IEC 14496-12, 8.6.6)."""

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_MOST = 200  # boxes looked at in one place, and entries of a list
_LONGEST = 1 << 16  # bytes of a box that are read


def edit_list(path: Path) -> list[dict[str, Any]]:
    """The entries of the first video track's edit list; none where there is none, or where the headers are damaged.

    Each is {"from": where the stretch begins in the stored video, seconds, None for one in which nothing is shown;
    "seconds": how long it is, 0 for up to the end (fragmented files); "rate": its speed, 1 as a rule}.
    """
    with path.open("rb") as file:
        try:
            moov = _find(file, 0, path.stat().st_size, b"moov")
            scale = _scale(file, _find(file, *moov, b"mvhd"))
            for track in itertools.islice((box for box in _boxes(file, *moov) if box[0] == b"trak"), _MOST):
                media = _find(file, *track[1:], b"mdia")
                if _read(file, _find(file, *media, b"hdlr"))[8:12] == b"vide":
                    data = _read(file, _find(file, *_find(file, *track[1:], b"edts"), b"elst"))
                    return _entries(data, scale, _scale(file, _find(file, *media, b"mdhd")))
        except (IndexError, StopIteration, struct.error):
            pass
    return []


def _entries(data: bytes, scale: int, media_scale: int) -> list[dict[str, Any]]:
    """scale, media_scale: ticks a second of the whole and of the track."""
    entry = ">Qqi" if data[0] else ">Iii"
    (count,) = struct.unpack_from(">I", data, 4)
    found = []
    for k in range(min(count, _MOST)):
        length, start, rate = struct.unpack_from(entry, data, 8 + k * struct.calcsize(entry))
        where = start / media_scale if start >= 0 else None
        found.append({"from": where, "seconds": length / scale, "rate": rate / 65536})
    return found


def _scale(file: BinaryIO, box: tuple[int, int]) -> int:
    data = _read(file, box)
    return struct.unpack_from(">I", data, 20 if data[:1] == b"\1" else 12)[0] or 1


def _find(file: BinaryIO, start: int, end: int, kind: bytes) -> tuple[int, int]:
    """Where the content of the first box of this kind lies. Raises StopIteration where there is none."""
    boxes = itertools.islice(_boxes(file, start, end), _MOST)
    return next((start, end) for name, start, end in boxes if name == kind)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box between two places of the file (ISO/IEC 14496-12, 4.2)."""
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", file.read(8)), 16
        stop = start + size if size else end
        if stop < start + head:
            return
        yield kind, start + head, min(stop, end)
        start = stop


def _read(file: BinaryIO, box: tuple[int, int]) -> bytes:
    file.seek(box[0])
    return file.read(min(box[1] - box[0], _LONGEST))
