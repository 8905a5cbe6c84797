"""Small videos and pictures whose content is known: each frame has its index painted into it."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 9


def coded(index: int, height: int = 120, width: int = 160) -> np.ndarray:
    """A frame whose top row of squares is its index in binary; the rest moves a little."""
    rgb = np.full((height, width, 3), 60 + index % 50, np.uint8)
    for bit in range(BITS):
        rgb[0:16, bit * 16 : (bit + 1) * 16] = 255 * ((index >> bit) & 1)
    return rgb


def code(rgb: np.ndarray) -> int:
    """The index painted into a frame of 160 pixels' width."""
    return sum((int(rgb[4:12, b * 16 + 4 : b * 16 + 12].mean()) > 127) << b for b in range(BITS))


def write(path: Path, count: int = 100, codec: str = "libx264", pix_fmt: str = "yuv420p", container=None, **options):
    """A video of `coded` frames at 25 a second. times: of the frames, in hundredths of a second, where they differ."""
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


def write_pictures(
    path: Path, pictures: list[np.ndarray], codec: str = "ffv1", pix_fmt: str = "bgr0", prepare=None, **options
) -> Path:
    """A video of these (H, W, 3) uint8 pictures or `VideoFrame`s. prepare: is given the stream before the first."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        first = pictures[0]
        size = (first.width, first.height) if isinstance(first, av.VideoFrame) else first.shape[1::-1]
        (stream.width, stream.height), stream.pix_fmt = size, pix_fmt
        if prepare:
            prepare(stream)
        for i, picture in enumerate(pictures):
            frame = picture if isinstance(picture, av.VideoFrame) else av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path
