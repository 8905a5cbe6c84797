"""Corruptions against other libraries, and the scoring of corrupted faces against doing it by hand."""

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from drawn_faces import picture
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from dfnb import profile
from dfnb.analysis import corruptions, robustness
from dfnb.benchmark import video
from dfnb.common.errors import UserError
from dfnb.data import faces, frames
from dfnb.scoring import comparisons, metrics, score_table

RNG = np.random.default_rng


def moving(count: int = 12, height: int = 96, width: int = 128) -> np.ndarray:
    """A stretch of frames: one picture that slides by two pixels a frame."""
    whole = picture(height, width + 2 * count, seed=3)
    return np.stack([whole[:, 2 * k : 2 * k + width] for k in range(count)])


def test_blur_is_scipys():
    rgb = picture(90, 110)
    for sigma in (0.8, 1.5, 2.5):
        expected = np.stack([gaussian_filter(rgb[..., c].astype(float), sigma, mode="mirror") for c in range(3)], -1)
        got = corruptions.blur(rgb[None], sigma, RNG(0))
        assert np.abs(got - expected).max() < 2  # OpenCV's kernel is cut at 3 to 4 sigma, scipy's at 4
        assert np.abs(got - expected).mean() < 0.4
    assert np.array_equal(corruptions.blur(rgb[None], 0, RNG(0)), rgb)


def test_jpeg_is_pillows():
    rgb = picture(96, 128)
    for quality in (80, 40, 10):
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
        expected = np.asarray(Image.open(buffer)).astype(float)
        got = corruptions.jpeg(rgb[None], quality, RNG(0))
        change = np.abs(rgb - expected).mean()
        assert np.abs(got - expected).mean() < 0.05 * change + 0.3


def test_h264_files_shrink_and_errors_grow_with_the_rate_factor(tmp_path):
    stretch = moving()
    sizes, errors = [], []
    for crf in (28, 33, 38, 43, 48):
        video.write(tmp_path / "a.mp4", stretch, 25.0, video.Codec(crf=crf, keyframe=corruptions.STRETCH))
        sizes.append((tmp_path / "a.mp4").stat().st_size)
        got = corruptions.h264(stretch, crf, RNG(0))
        _, last = list(frames.sample_frames(tmp_path / "a.mp4", 12))[-1]
        assert np.array_equal(got, last)  # read back by the package's cells reader
        errors.append(np.abs(got.astype(float) - stretch[-1]).mean())
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    odd = corruptions.h264(stretch[:, :95, :127], 28, RNG(0))
    assert odd.shape == (95, 127, 3)


def test_noise_has_the_deviation_asked_for_and_follows_its_generator():
    grey = np.full((1, 200, 200, 3), 128, np.uint8)
    got = corruptions.noise(grey, 12, RNG(5)).astype(float)
    assert got.std() == pytest.approx(np.hypot(12, 12**-0.5), rel=0.02)
    assert got.mean() == pytest.approx(128, abs=0.2)
    assert np.corrcoef(got[..., 0].ravel(), got[..., 1].ravel())[0, 1] == pytest.approx(0, abs=0.02)
    assert np.array_equal(got, corruptions.noise(grey, 12, RNG(5)))
    assert not np.array_equal(got, corruptions.noise(grey, 12, RNG(6)))


def test_a_stop_less_is_half_the_light():
    levels = np.tile(np.arange(256, dtype=np.uint8)[None, None, :, None], (1, 4, 1, 3))
    for stops in (0.5, 1, 3):
        light = (corruptions.dark(levels, stops, RNG(0))[0, 64:, 0] / 255) ** 2.2
        before = (levels[0, 0, 64:, 0] / 255) ** 2.2
        np.testing.assert_allclose(light, before / 2**stops, atol=0.01)


def test_resizing_keeps_what_is_smooth_and_loses_what_is_fine():
    ramp = np.tile(np.linspace(40, 200, 128).round().astype(np.uint8)[None, None, :, None], (1, 96, 1, 3))
    inner = np.s_[12:-12, 12:-12]
    assert np.abs(corruptions.resize(ramp, 0.25, RNG(0)).astype(int) - ramp[0])[inner].max() <= 3
    board = np.indices((96, 128)).sum(0) % 2 * 255
    fine = np.repeat(board[None, ..., None], 3, 3).astype(np.uint8)
    assert corruptions.resize(fine, 0.25, RNG(0))[inner].std() < 2
    assert np.array_equal(corruptions.resize(fine, 1.0, RNG(0)), fine[0])


def table_of(videos: int, count: int) -> pd.DataFrame:
    rows = [
        {"path": f"{label}{v}.mp4", "label": label, "frame": 3 * f, "face": k}
        for label in ("real", "fake")
        for v in range(videos)
        for f in range(count)
        for k in range(1 + v % 2)
    ]
    return pd.DataFrame(rows)


def test_chosen_faces_are_of_as_many_real_as_fake_videos_and_whole_frames():
    table = table_of(10, 6)
    some = table.iloc[robustness.chosen(table, 8, 2)]
    assert some.groupby("label")["path"].nunique().tolist() == [4, 4]
    assert (some.groupby("path")["frame"].nunique() == 2).all()
    whole = table.groupby(["path", "frame"]).size()
    assert some.groupby(["path", "frame"]).size().equals(whole[some.groupby(["path", "frame"]).size().index])
    assert np.array_equal(robustness.chosen(table, None, None), np.arange(len(table)))
    assert set(some["frame"]) == {3, 12}  # the middles of both halves


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """A face store of one video whose "faces" are two boxes of drawn frames."""
    folder = tmp_path_factory.mktemp("corrupted")
    video.write(folder / "a.mp4", moving(14, 160, 200), 25.0, video.Codec(crf=18))
    rows = [
        {
            "path": str(folder / "a.mp4"),
            "frame": frame,
            "x0": 20.0 + 40 * k,
            "y0": 15.0,
            "x1": 90.0 + 40 * k,
            "y1": 99.0,
        }
        for frame in (4, 13)
        for k in range(2)
    ]
    return SimpleNamespace(manifest=pd.DataFrame(rows))


def test_corrupted_crops_are_cut_from_the_corrupted_frame(filmed):
    data = robustness.Corrupted(filmed, "h264", (28.0, 48.0), 64, batch=4)
    assert len(data) == 1
    crops, rows = data[0]
    assert crops.shape == (4, 2, 64, 64, 3)
    assert rows.tolist() == [0, 1, 2, 3]
    path = filmed.manifest["path"].iloc[0]
    everything = np.stack([rgb for _, rgb in frames.sample_frames(path, 14)])
    for j, row in enumerate(filmed.manifest.itertuples()):
        stretch = everything[max(0, row.frame - 11) : row.frame + 1]
        for k, crf in enumerate((28, 48)):
            rgb = video.recompress(stretch, video.Codec(crf=crf, keyframe=12))[-1]
            expected = faces.crop(rgb, (row.x0, row.y0, row.x1, row.y1), score_table.MARGIN, 64)
            assert np.array_equal(crops[j, k], expected)


def test_without_corruption_the_crop_is_the_scored_one(filmed):
    plain, _ = robustness.Corrupted(filmed, "blur", (0.0,), 64)[0]
    for crop, row in zip(plain[:, 0], filmed.manifest.itertuples(), strict=True):
        _, rgb = next(frames.at(row.path, [row.frame]))
        box = (row.x0, row.y0, row.x1, row.y1)
        x0, y0, x1, y1 = faces.window(box, 0.35, rgb.shape)  # as the store keeps it
        kept = (box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0)
        assert np.array_equal(crop, faces.crop(rgb[y0:y1, x0:x1], kept, score_table.MARGIN, 64))


def test_noise_depends_on_seed_and_frame_alone(filmed):
    crops = robustness.Corrupted(filmed, "noise", (8.0, 16.0), 64, seed=1)[0][0]
    again = robustness.Corrupted(filmed, "noise", (8.0, 16.0), 64, seed=1, batch=1)
    assert np.array_equal(crops, np.concatenate([again[i][0] for i in range(len(again))]))
    assert not np.array_equal(crops, robustness.Corrupted(filmed, "noise", (8.0, 16.0), 64, seed=2)[0][0])


def test_a_frame_that_is_gone_is_named(filmed):
    path = filmed.manifest["path"].iloc[0]
    with pytest.raises(UserError, match=r"a\.mp4: frame 99 can't be decoded"):
        robustness.read(path, 99, 1)


def videos(scores: dict[str, np.ndarray], labels: np.ndarray) -> pd.DataFrame:
    n = len(labels)
    base = {"dataset": "d", "video": [f"{k:02d}" for k in range(n)], "frame": 0, "face": 0, "method": "m"}
    box = {"x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 1.0}
    return pd.DataFrame({**base, **box, "group": [str(k) for k in range(n)], "label": labels, **scores})


def test_curves_are_auc_and_paired_tests_of_the_same_videos(monkeypatch):
    rng, n = RNG(0), 40
    labels = np.where(np.arange(n) % 2, "fake", "real")
    fake = labels == "fake"
    clean = np.clip(0.3 + 0.4 * fake + 0.1 * rng.normal(size=n), 0, 1)
    worse = {k: np.clip(clean + 0.15 * k * rng.normal(size=n), 0, 1) for k in (1, 2)}
    loaded = profile.load("smoke", {"robustness.videos": None, "robustness.blur": [1.0, 2.0]})
    whole = videos({"score": clean}, labels)
    stored = SimpleNamespace(manifest=whole.assign(path=whole["video"]))
    run = SimpleNamespace(
        profile=loaded, tests=("celeb-df",), store=lambda part: stored,
        scores=lambda part, name: whole, find=lambda name: SimpleNamespace(name=name),
    )  # fmt: skip
    corrupted = pd.concat([videos({"score": worse[k]}, labels).assign(level=k, strength=float(k)) for k in (1, 2)])
    monkeypatch.setattr(robustness, "scores", lambda run, kind: {name: corrupted for name in robustness.names(run)})
    table = robustness.curves(run, ["blur"])
    cells = table[table["network"] == "plain-linear"].set_index("level")
    assert tuple(cells.loc[0, ["auc", "low", "high"]]) == metrics.auc_logit(fake, clean)
    assert cells.loc[0, "drop"] == 0
    for k in (1, 2):
        sampling = comparisons.over_groups(fake, clean, worse[k], whole["group"])
        paired = comparisons.with_seeds(sampling, None)
        assert paired.difference == pytest.approx(roc_auc_score(fake, clean) - roc_auc_score(fake, worse[k]))
        assert cells.loc[k, ["drop", "drop_low", "drop_high", "p"]].tolist() == list(paired)
        assert cells.loc[k, "real_score"] == pytest.approx(worse[k][~fake].mean())
    assert cells.loc[[1, 2], "p_holm"].max() >= cells.loc[[1, 2], "p"].max()
    short = robustness.summary(table)
    assert set(short["corruption"]) == {"blur"}
    assert short["AUC at the strongest"].iloc[0] == cells.loc[2, "auc"]
    falls = (cells.loc[2, "p_holm"] < 0.05) and cells.loc[2, "drop"] > 0
    assert f"**{int(falls)} of 1**" in robustness.finding(table, "plain-linear")


def test_a_part_without_data_is_named():
    run = SimpleNamespace(profile=profile.load("smoke"), tests=("ff",))
    with pytest.raises(UserError, match="celeb-df"):
        robustness.part(run)
