"""What a pair goes through in training: each step against another library, and both images alike."""

import io

import av
import cv2
import numpy as np
import pytest
from drawn_faces import picture
from faces_in_memory import DrawnFaces
from PIL import Image as Pillow
from scipy import ndimage, stats

from dfnb.common.errors import UserError
from dfnb.sbi import PairDataset, SelfBlender, degrade
from dfnb.sbi.augment import Photometric
from dfnb.sbi.degrade import Degradation, Steps, degrade_pair

NOTHING = Steps(None, None, None, None, None, 0, False)
ALWAYS = Degradation(
    gamma_probability=1, shrink_probability=1, blur_probability=1, noise_probability=1, h264_probability=1
)


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([11, *key])


def pair(height: int = 96, width: int = 112) -> tuple[np.ndarray, np.ndarray]:
    return picture(height, width, seed=1), picture(height, width, seed=2)


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_nothing_is_done_unless_asked():
    real, fake = pair()
    assert all(a is b for a, b in zip(degrade_pair(real, fake, NOTHING), (real, fake), strict=True))
    assert Degradation().does_nothing
    assert not ALWAYS.does_nothing
    assert Degradation().draw(rng())[:5] == (None,) * 5


def test_gamma_is_the_power_of_the_levels():
    done, _ = degrade_pair(*pair(), NOTHING._replace(gamma=1.3))
    expected = 255 * (pair()[0] / 255.0) ** 1.3
    assert np.abs(done - expected).max() <= 0.5001


def test_shrinking_is_pillows():
    done, _ = degrade_pair(*pair(), NOTHING._replace(shrink=0.5))
    small = Pillow.fromarray(pair()[0]).resize((56, 48), Pillow.Resampling.BOX)
    back = np.asarray(small.resize((112, 96), Pillow.Resampling.BILINEAR))
    assert error(done[2:-2, 2:-2], back[2:-2, 2:-2]) < 1.0  # Pillow rounds down


def test_blur_is_scipys_in_pixels_of_a_picture_256_px_high():
    real, fake = pair(192, 256)
    done, _ = degrade_pair(real, fake, NOTHING._replace(blur=2.0))
    expected = ndimage.gaussian_filter(real.astype(float), (1.5, 1.5, 0), mode="mirror")
    assert error(done, expected) < 0.6


def test_noise_has_its_deviation_and_is_the_same_in_both():
    grey = np.full((128, 128, 3), 128, np.uint8)
    a, b = degrade_pair(grey, grey, NOTHING._replace(noise=6.0, seed=4))
    assert np.array_equal(a, b)
    assert abs(a.std() - 6.0) < 0.2
    assert abs(a.mean() - 128) < 0.2
    assert not np.array_equal(a, degrade_pair(grey, grey, NOTHING._replace(noise=6.0, seed=5))[0])


def through_a_file(rgb: np.ndarray, factor: int) -> np.ndarray:
    """The same by a container, written and read by PyAV's own streams."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"crf": str(factor), "preset": "veryfast", "tune": "zerolatency"}
        )
        stream.width, stream.height, stream.pix_fmt = rgb.shape[1], rgb.shape[0], "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def test_h264_loses_what_a_video_file_loses():
    rgb = picture(96, 224)
    errors = [error(degrade.h264(rgb, factor), rgb) for factor in (18, 26, 34, 42)]
    assert errors == sorted(errors)
    assert errors[0] < 0.5 * errors[-1]
    for factor, here in zip((18, 26, 34, 42), errors, strict=True):
        assert abs(here / error(through_a_file(rgb, factor), rgb) - 1) < 0.05
    assert np.array_equal(degrade.h264(rgb, 30), degrade.h264(rgb, 30))


@pytest.mark.parametrize("size", [(96, 112), (97, 113), (33, 47)])
def test_both_images_lose_alike_whatever_their_size(size):
    real, _ = pair(*size)
    for swapped in (False, True):
        a, b = degrade_pair(real, real.copy(), NOTHING._replace(h264=32, swapped=swapped))
        assert a.shape == b.shape == real.shape
        assert error(a, b) < 0.5 * error(a, real)
        assert abs(error(a, real) / error(b, real) - 1) < 0.1


def test_sides_are_swapped_with_the_images():
    real, fake = pair()
    left, right = degrade_pair(real, fake, NOTHING._replace(h264=30))
    swapped = degrade_pair(fake, real, NOTHING._replace(h264=30, swapped=True))
    assert np.array_equal(left, swapped[1])
    assert np.array_equal(right, swapped[0])


def test_steps_come_as_often_and_as_strong_as_they_should():
    how = Degradation(
        gamma_probability=0.5, shrink_probability=0.2, blur_probability=0.7, noise_probability=0.1, h264_probability=0.4
    )
    draws = [how.draw(rng(k)) for k in range(3000)]
    for name in ("gamma", "shrink", "blur", "noise", "h264"):
        values = [getattr(d, name) for d in draws if getattr(d, name) is not None]
        share = getattr(how, f"{name}_probability")
        assert stats.binomtest(len(values), 3000, share).pvalue > 1e-4
        low, high = getattr(how, name)
        if name == "h264":
            counts = np.bincount(values, minlength=high + 1)[low:]
            assert len(counts) == high - low + 1
            assert stats.chisquare(counts).pvalue > 1e-4
        else:
            assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-4
    assert stats.binomtest(sum(d.swapped for d in draws), 3000).pvalue > 1e-4
    more = Degradation(**{f"{n}_probability": getattr(how, f"{n}_probability") for n in ("gamma", "h264")})
    for k, before in enumerate(draws[:50]):
        now = more.draw(rng(k))
        assert (now.gamma, now.h264, now.seed) == (before.gamma, before.h264, before.seed)


def test_a_training_pair_is_degraded_and_a_held_out_pair_is_not():
    how = SelfBlender(degradation=ALWAYS, photometric=Photometric(jpeg_probability=0))
    faces = DrawnFaces(3, seed=0)
    for train in (True, False):
        plain, degraded = (
            PairDataset(faces, size=96, train=train, blender=b)
            for b in (SelfBlender(photometric=Photometric(jpeg_probability=0)), how)
        )
        for i in range(3):
            a, b = plain.images((0, i)), degraded.images((0, i))
            assert np.array_equal(a.mask, b.mask)
            assert np.array_equal(a.blend, b.blend)
            assert np.array_equal(a.fake, b.fake) != train
            assert np.array_equal(a.real, b.real) != train
            # a pair stays a pair: outside the blending mask the two differ less than either lost
            kept = cv2.erode((b.blend == 0).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
            if train:
                assert error(b.real[kept], b.fake[kept]) < 0.7 * error(b.real[kept], a.real[kept])


@pytest.mark.parametrize(
    "wrong", [{"h264": (20, 52)}, {"shrink": (0.0, 0.5)}, {"blur_probability": 1.5}, {"gamma": (2.0, 1.0)}]
)
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(UserError, match=f"^{next(iter(wrong))}: "):
        Degradation(**wrong)
