"""What a player does between decoding and showing: pixel shape, colours, high dynamic range, interlacing."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from coded_video import code, coded, write, write_pictures
from PIL import Image

from dfnb.data import display, frames


def read(file: Path) -> np.ndarray:
    return next(frames.sample_frames(file, 1))[1]


def smooth(height: int = 96, width: int = 160) -> np.ndarray:
    """A picture without fine detail, different in both directions and in each channel."""
    y, x = np.mgrid[:height, :width] / [[[height]], [[width]]]
    waves = np.stack([np.sin(6 * x + 2), np.cos(4 * y + x), np.sin(3 * (x + y))], -1)
    return (128 + 100 * waves).astype(np.uint8)


@pytest.mark.parametrize("ratio", [Fraction(16, 11), Fraction(10, 11), Fraction(4, 3), Fraction(2)])
def test_pixels_that_are_not_square_are_shown_at_their_shape(tmp_path, ratio):
    """Against Pillow's resizing of the stored picture."""
    stored = smooth()

    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = ratio

    file = write_pictures(tmp_path / "a.mov", [stored], "png", "rgb24", prepare)
    ours, width = read(file), round(160 * ratio)
    theirs = np.asarray(Image.fromarray(stored).resize((width, 96), Image.Resampling.BICUBIC))
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 3
    info = frames.probe(file)
    assert (info.height, info.width) == (96, width)
    assert info.notes == (f"pixels of {ratio.numerator}:{ratio.denominator}: resampled to square ones",)


@pytest.mark.parametrize("ratio", [None, Fraction(1), Fraction(351, 352), Fraction(1000), Fraction(1, 1000)])
def test_square_pixels_and_impossible_ones_stay_as_stored(tmp_path, ratio):
    stored = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)

    def prepare(stream):
        if ratio:
            stream.codec_context.sample_aspect_ratio = ratio

    file = write_pictures(tmp_path / "a.mov", [stored], "png", "rgb24", prepare)
    np.testing.assert_array_equal(read(file), stored)
    assert frames.probe(file).notes == ()


def test_the_shape_of_pixels_is_that_before_turning(tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        stream.set_display_rotation(90)

    file = write_pictures(tmp_path / "a.mov", [smooth()], "png", "rgb24", prepare)
    assert read(file).shape == (320, 96, 3)


@pytest.mark.parametrize("matrix", [8, 10, 11, 12, 13, 14])
def test_an_unknown_colour_matrix_costs_the_colours_not_the_file(tmp_path, matrix):
    """As PyAV decodes it by itself once the frame says BT.709 (or BT.2020, where the matrix is of its kin)."""

    def prepare(stream):
        stream.codec_context.colorspace = matrix

    picture = av.VideoFrame.from_ndarray(smooth(), "rgb24").reformat(format="yuv420p")
    file = write_pictures(tmp_path / "a.mp4", [picture], "libx264", "yuv420p", prepare, qp="0")
    nearest = 9 if matrix in (10, 13, 14) else 1
    with av.open(str(file)) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == matrix
        with pytest.raises(av.FFmpegError):
            frame.to_ndarray(format="rgb24")
        frame.colorspace = nearest
        theirs = frame.to_ndarray(format="rgb24")
    np.testing.assert_array_equal(read(file), theirs)
    (note,) = frames.probe(file).notes
    assert note.startswith("colour matrix")
    assert note.endswith("read as BT.2020" if nearest == 9 else "read as BT.709")


# Code values of the signal and the light they stand for. HLG: BT.2100 table 5 gives a twelfth of the scene's light for
# half the signal; BT.2408 places reference white, 203 cd/m2, at 75 % HLG and 58 % PQ. PQ: ST 2084 gives 100 cd/m2
# for 50.8 %, 1000 cd/m2 for 75.2 %.
LIGHTS = {
    (display.HLG, 0.0): 0,
    (display.HLG, 0.5): 1000 * (1 / 12) ** 1.2,
    (display.HLG, 0.75): 203,
    (display.HLG, 1.0): 1000,
    (display.PQ, 0.0): 0,
    (display.PQ, 0.508): 100,
    (display.PQ, 0.581): 203,
    (display.PQ, 0.752): 1000,
    (display.PQ, 1.0): 10_000,
}


@pytest.mark.parametrize(("transfer", "signal"), LIGHTS)
def test_hdr_grey_is_shown_as_its_light(tmp_path, transfer, signal):
    """Grey video of 10 bits: below 88 cd/m2 as it is, on a screen whose white has 203 cd/m2; more is compressed."""
    luma = np.full((96, 160), round(64 + 876 * signal), np.uint16)
    planes = np.concatenate([luma.ravel(), np.full(96 * 160 // 2, 512, np.uint16)]).reshape(-1, 160)

    def prepare(stream):
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1

    picture = av.VideoFrame.from_ndarray(planes, "yuv420p10le")
    picture.color_trc, picture.color_primaries, picture.colorspace, picture.color_range = transfer, 9, 9, 1
    file = write_pictures(tmp_path / "a.mp4", [picture], "libx264", "yuv420p10le", prepare, qp="0")
    rgb, light = read(file), LIGHTS[transfer, signal]
    assert rgb.dtype == np.uint8
    assert np.ptp(rgb) <= 1  # grey stays grey
    uncompressed = 255 * min(light / 203, 1) ** (1 / 2.4)
    if light <= 88:
        assert rgb.mean() == pytest.approx(uncompressed, abs=1.5)
    elif light >= 1000:
        assert rgb.mean() == 255
    else:
        assert 0.85 * uncompressed < rgb.mean() < uncompressed
    name = "PQ" if transfer == display.PQ else "HLG"
    assert frames.probe(file).notes == (f"HDR ({name}): tone-mapped to BT.709, white at 203 and peak at 1000 cd/m2",)


def primaries(red, green, blue, white=(0.3127, 0.3290)) -> np.ndarray:
    """The matrix from linear RGB to XYZ of a colour space given by chromaticities (x, y): SMPTE RP 177."""
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (red, green, blue)]).T
    x, y = white
    return xyz * np.linalg.solve(xyz, [x / y, 1, (1 - x - y) / y])


@pytest.mark.parametrize("transfer", [display.PQ, display.HLG])
def test_hdr_colours_are_those_of_bt2020_on_a_bt709_screen(transfer):
    """Dim colours, which nothing compresses: from light computed here, by the chromaticities of BT.2020 and BT.709."""
    to_709 = np.linalg.solve(
        primaries((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
        primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    )
    light = np.random.default_rng(0).uniform(5, 85, (40, 50, 3))  # cd/m2, BT.2020
    if transfer == display.PQ:
        y = (light / 10_000) ** (2610 / 16384)
        signal = ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)
    else:
        luminance = light @ [0.2627, 0.6780, 0.0593]
        scene = light / 1000 / (luminance[..., None] / 1000) ** (0.2 / 1.2)
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)
    expected = 255 * np.clip(light @ to_709.T / 203, 0, 1) ** (1 / 2.4)
    ours = display.tone_mapped(np.rint(65535 * signal).astype(np.uint16), transfer)
    seen = light @ to_709.T > 1  # darker ones are steep in the gamma
    assert np.abs(ours - expected)[seen].max() <= 1


def test_tone_mapping_never_darkens_more_light():
    ramp = np.repeat(np.linspace(0, 65535, 4000).astype(np.uint16)[None, :, None], 3, 2)
    for transfer in (display.PQ, display.HLG):
        shown = display.tone_mapped(ramp, transfer)[0, :, 0].astype(int)
        assert np.diff(shown).min() >= 0
        assert (shown[0], shown[-1]) == (0, 255)


def test_ordinary_colours_are_those_of_pyav(tmp_path):
    file = write(tmp_path / "a.mp4", 3)
    with av.open(str(file)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    np.testing.assert_array_equal([rgb for _, rgb in frames.sample_frames(file, 3)], plain)


INTERLACED = {
    "H.264": ("a.mp4", "libx264", "yuv420p", {"x264-params": "tff=1", "g": "12", "bf": "2"}),
    "transport stream": ("a.ts", "libx264", "yuv420p", {"x264-params": "bff=1", "g": "12", "bf": "2"}),
    "MPEG-2": ("a.mpg", "mpeg2video", "yuv420p", {"flags": "+ildct+ilme", "g": "12", "qmax": "3"}),
    "ProRes": ("a.mov", "prores_ks", "yuv422p10le", {"flags": "+ildct"}),
}


def bwdif(file: Path) -> list[np.ndarray]:
    """All frames through FFmpeg's filter, as its own documentation has it."""
    pictures = []
    with av.open(str(file)) as container:
        stream, graph = container.streams.video[0], av.filter.Graph()
        filters = graph.add_buffer(template=stream), graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")
        graph.link_nodes(*filters).configure()
        for frame in [*container.decode(stream), None]:
            graph.vpush(frame)
            while True:
                try:
                    pictures.append(graph.vpull().to_ndarray(format="rgb24"))
                except (av.BlockingIOError, av.EOFError):
                    break
    return pictures


@pytest.mark.parametrize("kind", INTERLACED)
def test_interlaced_video_is_deinterlaced(tmp_path, kind):
    """Every frame is that of FFmpeg's bwdif run over the whole video, whichever frames are asked for."""
    name, codec, pix_fmt, options = INTERLACED[kind]
    file = write_pictures(tmp_path / name, [coded(i) for i in range(60)], codec, pix_fmt, **options)
    theirs = bwdif(file)
    assert len(theirs) == 60
    for wanted in (frames.places(60, 5), [0, 59], [12, 13, 14, 48], range(60)):
        taken = list(frames.at(file, wanted))
        assert [i for i, _ in taken] == list(wanted)
        for i, rgb in taken:
            assert code(rgb) == i
            np.testing.assert_array_equal(rgb, theirs[i])
    assert frames.probe(file).notes == ("interlaced: deinterlaced by bwdif",)


def test_the_combs_of_interlaced_motion_are_gone(tmp_path):
    """A bar that moves between the two fields of a frame, woven line by line."""
    pictures = []
    for i in range(8):
        fields = [np.zeros((120, 160, 3), np.uint8) for _ in range(2)]
        for late, field in enumerate(fields):
            field[:, 20 + 12 * i + 6 * late : 44 + 12 * i + 6 * late] = 255
        woven = fields[0].copy()
        woven[1::2] = fields[1][1::2]
        pictures.append(woven)
    options = {"x264-params": "tff=1", "qp": "4"}
    comb = write_pictures(tmp_path / "a.mp4", pictures, "libx264", "yuv420p", **options)
    plain = write_pictures(tmp_path / "b.mp4", pictures, "libx264", "yuv420p", qp="4")

    def combing(file: Path) -> float:
        rgb = dict(frames.sample_frames(file, 8))[4].astype(float)
        return np.abs(rgb[:-1] - rgb[1:]).mean()

    assert combing(comb) < combing(plain) / 3


def test_an_interlaced_frame_that_no_header_announced(tmp_path):
    """A progressive stream that goes on interlaced: the frames before it stay as they are."""
    first = write(tmp_path / "a.h264", 30, g="10").read_bytes()
    second = write(tmp_path / "b.h264", 30, g="10", **{"x264-params": "tff=1"}).read_bytes()
    (tmp_path / "both.h264").write_bytes(first + second)
    theirs = bwdif(tmp_path / "b.h264")
    taken = dict(frames.sample_frames(tmp_path / "both.h264", 60))
    assert sorted(taken) == list(range(60))
    with av.open(str(tmp_path / "a.h264")) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    np.testing.assert_array_equal([taken[i] for i in range(30)], plain)
    np.testing.assert_array_equal([taken[i] for i in range(31, 60)], theirs[1:])


def test_a_single_interlaced_frame(tmp_path):
    file = write_pictures(tmp_path / "a.mp4", [coded(5)], "libx264", "yuv420p", **{"x264-params": "tff=1"})
    assert code(read(file)) == 5
