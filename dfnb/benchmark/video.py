"""What a camera and a codec do to frames: sensor noise, lens softness, rescaling, H.264; and mask files.

Real and manipulated videos of the embedded benchmark go through the very same steps, so that nothing
here tells one from the other. Frames are (N, H, W, 3) uint8 RGB throughout. x264 runs on one thread:
the same frames give the same bytes on one machine.
"""

import io
import platform
import zipfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import cv2
import numpy as np

from dfnb.common.errors import UserError
from dfnb.common.files import replacing

# x264's AVX-512 code gives the same frames other bytes from time to time (20 encodings of 4 clips: up to 3 results)
X264 = {"x264-params": "asm=avx2"} if platform.machine().lower() in ("x86_64", "amd64") else {}


@dataclass(frozen=True)
class Codec:
    """How a video is compressed: x264's constant rate factor (0-51, more is worse), preset and GOP length in frames."""

    crf: int = 23
    preset: str = "medium"
    keyframe: int = 12


@dataclass(frozen=True)
class Camera:
    """What a camera adds to a rendered frame.

    softness: standard deviation of the lens blur in pixels, 0 or more.
    read, shot: noise in levels that does not, and does (with the square root of the brightness), depend on the light.
    chroma: share of the noise that differs between the channels, 0..1.
    clump: blur of the noise in pixels, as a camera's demosaicing and denoising leave it.
    sharpen: strength of the camera's own unsharp mask, 0 for none.
    """

    softness: float = 0.0
    read: float = 1.0
    shot: float = 2.0
    chroma: float = 0.4
    clump: float = 0.5
    sharpen: float = 0.0

    def shoot(self, rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A rendered frame as this camera records it. (H, W, 3) uint8 -> (H, W, 3) uint8."""
        out = rgb.astype(np.float32)
        if self.softness > 0:
            out = cv2.GaussianBlur(out, (0, 0), self.softness)
        out += grain(out, self.read, self.shot, self.chroma, self.clump, rng)
        if self.sharpen > 0:
            out += self.sharpen * (out - cv2.GaussianBlur(out, (0, 0), 1.0))
        return to_levels(out)


def grain(
    levels: np.ndarray, read: float, shot: float, chroma: float, clump: float, rng: np.random.Generator
) -> np.ndarray:
    """Sensor noise for a picture. (H, W, 3) float32 levels 0..255 -> (H, W, 3) float32 levels, zero on average.

    The standard deviation of a pixel is sqrt(read^2 + shot^2 * brightness), brightness in 0..1, whatever `clump` is.
    """
    noise = rng.standard_normal(levels.shape, dtype=np.float32)
    common = rng.standard_normal((*levels.shape[:2], 1), dtype=np.float32)
    noise = np.sqrt(chroma) * noise + np.sqrt(1.0 - chroma) * common
    if clump > 0:
        kernel = cv2.getGaussianKernel(2 * int(np.ceil(3 * clump)) + 1, clump)
        noise = cv2.sepFilter2D(noise, -1, kernel, kernel) / float((kernel**2).sum())
    return noise * np.sqrt(read**2 + shot**2 * np.clip(levels, 0, 255) / 255.0)


def to_levels(picture: np.ndarray) -> np.ndarray:
    """Float levels to uint8, rounded and clipped."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def degrade(frames: np.ndarray, scale: float) -> np.ndarray:
    """Frames shrunk to `scale` (0..1] of their size and enlarged again, as a low-resolution upload does."""
    if not 0 < scale <= 1:
        raise ValueError(f"scale must be above 0 and at most 1, not {scale}")
    n, h, w, _ = frames.shape
    if scale == 1 or n == 0:
        return frames
    small = (max(2, round(w * scale)), max(2, round(h * scale)))
    shrunk = (cv2.resize(frame, small, interpolation=cv2.INTER_AREA) for frame in frames)
    return np.stack([cv2.resize(frame, (w, h), interpolation=cv2.INTER_CUBIC) for frame in shrunk])


def write(path: Path, frames: np.ndarray, fps: float, codec: Codec) -> None:
    """Write frames as H.264 in an MP4 file, under a temporary name that is renamed when the file is whole.

    frames: (N, H, W, 3) uint8, H and W even (yuv420p halves the colour planes), N at least 1.
    """
    with replacing(path) as partial, open(partial, "wb") as file:
        _encode(file, frames, fps, codec)


def read(path: Path) -> np.ndarray:
    """All frames of a video, (N, H, W, 3) uint8. Raises UserError where it can't be decoded."""
    try:
        with open(path, "rb") as file:
            return _decode(file)
    except (OSError, av.error.FFmpegError) as error:
        raise UserError(f"{path}: can't be read as a video ({error}); build it again") from error


def recompress(frames: np.ndarray, codec: Codec, fps: float = 25.0) -> np.ndarray:
    """Frames after one more H.264 encoding and decoding, (N, H, W, 3) uint8 -> the same shape."""
    buffer = io.BytesIO()
    _encode(buffer, frames, fps, codec)
    buffer.seek(0)
    return _decode(buffer)


def load_mask(path: Path) -> np.ndarray:
    """The ground-truth masks of a fake, (frames, H, W) bool: True where it may differ from its original."""
    try:
        with np.load(path) as data:
            return np.unpackbits(data["mask"], axis=-1, count=int(data["width"])).astype(bool)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a mask file of the embedded benchmark ({error}); build it again") from error


def save_mask(path: Path, mask: np.ndarray) -> None:
    """Write masks (frames, H, W) bool, a bit a pixel: keys "mask" (packed along the rows) and "width"."""
    with replacing(path) as partial:
        np.savez_compressed(partial, mask=np.packbits(mask, axis=-1), width=mask.shape[-1])


def _encode(file: BinaryIO, frames: np.ndarray, fps: float, codec: Codec) -> None:
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise ValueError(f"frames must be (N, H, W, 3) uint8 with N > 0, not {frames.shape} {frames.dtype}")
    h, w = frames.shape[1:3]
    if h % 2 or w % 2:
        raise ValueError(f"yuv420p wants even sides, not {w} x {h} px")
    # "bitexact" leaves the muxer's version and the date out of the file
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        options = {"crf": str(codec.crf), "preset": codec.preset, "threads": "1", **X264}
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.width, stream.height, stream.pix_fmt = w, h, "yuv420p"
        stream.codec_context.gop_size = codec.keyframe
        stream.codec_context.thread_count = 1
        for frame in frames:
            planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode(None))


def _decode(file: BinaryIO) -> np.ndarray:
    with av.open(file) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
