"""A decoded frame as a player shows it: upright, with square pixels, in the colours of an ordinary screen."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.data.limits import check_pixels, first_line

# numbers of ITU-T H.273, as `AVFrame` has them
PQ, HLG = 16, 18  # transfer characteristics
_UNSPECIFIED, _BT709, _BT2020 = 2, 1, 9  # matrix coefficients
_CONVERTED = {0, 1, 2, 4, 5, 6, 7, 9}  # matrices that the scaler knows
_MATRIX_NAMES = {8: "YCgCo", 10: "BT.2020 with constant luminance", 11: "SMPTE 2085", 14: "ICtCp", 15: "IPT-C2"}
_NEAREST = {10: _BT2020, 13: _BT2020, 14: _BT2020, 15: _BT2020}

WHITE = 203.0  # cd/m2 of the screen's white: reference white of BT.2408
PEAK = 1000.0  # cd/m2 of the brightest highlight that keeps its detail
_TO_BT709 = np.array(  # linear BT.2020 RGB to linear BT.709 RGB: ITU-R BT.2407-0, section 2
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020 RGB
_BAND = 1 << 20  # pixels that are tone-mapped at a time


def to_rgb(frame: av.VideoFrame, pixel_ratio: Fraction, path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, contiguous. Square pixels and the usual colours are converted and turned, no more.

    pixel_ratio: width of a pixel to its height. Raises UserError where the pixels can't be read, or are over the limit.
    """
    check_pixels(path, frame.width, frame.height)
    if frame.color_trc in (PQ, HLG):
        if frame.colorspace == _UNSPECIFIED:
            frame.colorspace = _BT2020  # BT.2100 has no other
        rgb = tone_mapped(_converted(frame, "rgb48le", path), frame.color_trc)
    else:
        rgb = _converted(frame, "rgb24", path)
    if pixel_ratio != 1:
        width = max(1, round(frame.width * pixel_ratio))
        check_pixels(path, width, frame.height)
        rgb = cv2.resize(
            rgb, (width, frame.height), interpolation=cv2.INTER_CUBIC if pixel_ratio > 1 else cv2.INTER_AREA
        )
    return np.ascontiguousarray(oriented(rgb, frame))


def known_ratio(ratio: Fraction | None) -> Fraction:
    """The shape of a pixel, or 1 where it is unknown, square to 1 %, or so far from it that it must be a mistake."""
    if not ratio or abs(ratio - 1) <= Fraction(1, 100) or not Fraction(1, 4) <= ratio <= 4:
        return Fraction(1)
    return ratio


def colour_notes(transfer: int, matrix: int) -> tuple[str, ...]:
    """What is done to the colours of a video. transfer, matrix: as in ITU-T H.273."""
    notes = []
    if transfer in (PQ, HLG):
        name = "PQ" if transfer == PQ else "HLG"
        notes.append(f"HDR ({name}): tone-mapped to BT.709, white at {WHITE:.0f} and peak at {PEAK:.0f} cd/m2")
    if matrix not in _CONVERTED:
        read_as = "BT.2020" if _NEAREST.get(matrix) == _BT2020 else "BT.709"
        notes.append(f"colour matrix {_MATRIX_NAMES.get(matrix, matrix)} is not supported: read as {read_as}")
    return tuple(notes)


def oriented(rgb: NDArray[np.uint8], frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The picture mirrored and turned by the frame's display matrix, to the nearest of the eight orientations.

    The matrix (a b u; c d v; x y w) of ISO/IEC 14496-12 takes the point (p, q) to (a p + c q, b p + d q).
    """
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return rgb
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        rgb, right, down = rgb.transpose(1, 0, 2), c, b
    else:
        right, down = a, d
    return rgb[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]


def tone_mapped(rgb: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
    """HDR to BT.709. rgb: (H, W, 3), full-range BT.2020 R'G'B', 65535 for 1. transfer: PQ or HLG.

    The steps: light on a display of PEAK cd/m2 (ITU-R BT.2100-2, tables 4 and 5); the largest of R, G and B compressed
    to WHITE by the EETF of ITU-R BT.2390-8, section 5.4.1, the others in proportion, so that hues stay; BT.709
    primaries, colours beyond them clipped; the display gamma of BT.1886, 2.4. Below 88 cd/m2 nothing is compressed.
    """
    result = np.empty(rgb.shape, np.uint8)
    grid = np.linspace(0, PEAK, 4096)
    gain = np.divide(_compressed(grid), grid, out=np.ones_like(grid), where=grid > 0)
    rows = max(1, _BAND // rgb.shape[1])
    for top in range(0, len(rgb), rows):
        light = _light(transfer)[rgb[top : top + rows]]
        if transfer == HLG:  # the OOTF, with the system gamma of a display of 1000 cd/m2
            light *= np.float32(PEAK) * (light @ _LUMINANCE)[..., None] ** np.float32(0.2)
        light *= np.interp(light.max(-1), grid, gain).astype(np.float32)[..., None]
        shown = np.clip(light @ _TO_BT709.T / np.float32(WHITE), 0, 1) ** np.float32(1 / 2.4)
        result[top : top + rows] = np.rint(255 * shown)
    return result


def _converted(frame: av.VideoFrame, layout: str, path: Path) -> NDArray:
    """The frame's pixels; a colour matrix that the scaler doesn't know is replaced by the nearest that it does."""
    if frame.colorspace not in _CONVERTED:
        frame.colorspace = _NEAREST.get(frame.colorspace, _BT709)
    try:
        return frame.to_ndarray(format=layout)
    except (av.FFmpegError, ValueError) as error:
        raise UserError(f"{path}: pixels of format {frame.format.name} are unreadable ({first_line(error)})") from None


@cache
def _light(transfer: int) -> NDArray[np.float32]:
    """By 16-bit code value: cd/m2 for PQ; light of the scene in 0..1 for HLG."""
    signal = np.arange(65536) / 65535
    if transfer == PQ:
        return np.minimum(_pq_eotf(signal), PEAK).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


def _pq_eotf(signal: NDArray) -> NDArray:
    """cd/m2 of a PQ signal in 0..1: SMPTE ST 2084, ITU-R BT.2100-2 table 4."""
    power = signal ** (1 / 78.84375)
    return 10000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)


def _pq_inverse(light: NDArray | float) -> NDArray:
    """The PQ signal of cd/m2, inverse of `_pq_eotf`."""
    power = (np.asarray(light) / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def _compressed(light: NDArray) -> NDArray:
    """cd/m2 up to PEAK compressed to WHITE: the EETF of BT.2390, a Hermite spline above its knee, in PQ."""
    whole = _pq_inverse(PEAK)
    signal, top = _pq_inverse(light) / whole, _pq_inverse(WHITE) / whole
    knee = 1.5 * top - 0.5
    t = (signal - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * top
    return _pq_eotf(np.where(signal < knee, signal, spline) * whole)
