"""Presets and the profile's section `sbi`; the preset `original` against the figures known of SBI's pairs."""

from dataclasses import asdict, fields, replace
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_faces import landmarks, picture
from scipy import ndimage, stats

from dfnb import profile
from dfnb.common.errors import UserError
from dfnb.experiment.artefacts import Artefacts
from dfnb.experiment.run import open_run
from dfnb.profile import schema
from dfnb.sbi import PRESETS, SelfBlender, augment, blend, masks, presets
from dfnb.sbi.augment import ColourRange, Photometric
from dfnb.sbi.degrade import Degradation
from dfnb.sbi.fakes import Edgeless
from dfnb.sbi.self_blender import STORED
from dfnb.training import key

CROPS = Path(__file__).parents[3] / "shared" / "dfdc-faces" / "train"
ORIGINAL = SelfBlender(**PRESETS["original"])


# ---- a profile's section ----


def test_a_profile_has_every_setting():
    for section, settings in (
        (schema.Sbi, SelfBlender),
        (schema.Augmentation, Photometric),
        (schema.Colours, ColourRange),
        (schema.EdgelessChange, Edgeless),
        (schema.Degrading, Degradation),
    ):
        assert set(section.model_fields) - {"preset"} == {f.name for f in fields(settings)}
    assert import_module("dfnb.data.store.prepare").MARGIN == STORED


@pytest.mark.parametrize("name", profile.names())
def test_profiles_that_ship_blend_by_name(name):
    best = {"fakes": (("self-blended", 0.5), ("other-face", 0.5)), "degradation": Degradation(h264_probability=0.5)}
    recipes = {"paper": ORIGINAL, "clip": ORIGINAL, "smoke": SelfBlender()}
    expected = recipes.get(name, SelfBlender(**best))
    assert presets.resolve(profile.load(name).sbi) == expected


def test_a_field_that_is_given_overrides_the_presets():
    given = {
        "preset": "original",
        "degradation": {"blur_probability": 0.5},
        "edgeless": {"warp": [2, 3]},
        "fakes": [["poisson", 1]],
        "colour": {"hue": 3},
        "photometric": {"colour": {"contrast": 0.1}},
        "margin": [0, 0.3],
    }
    made = presets.resolve(schema.Sbi.model_validate(given))
    colour = replace(ORIGINAL.photometric.colour, contrast=0.1)
    photometric = replace(ORIGINAL.photometric, colour=colour)
    assert made == replace(
        ORIGINAL,
        colour=replace(ORIGINAL.colour, hue=3),
        photometric=photometric,
        margin=(0, 0.3),
        degradation=Degradation(blur_probability=0.5),
        edgeless=Edgeless(warp=(2, 3)),
        fakes=(("poisson", 1),),
    )
    loaded = profile.changed(profile.load("paper"), {"sbi.photometric.colour.hue": 2})
    assert presets.resolve(loaded.sbi).photometric.colour == replace(ORIGINAL.photometric.colour, hue=2)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("preset", "theirs", "sbi.preset: 'theirs' is unknown; there are ours, original"),
        ("shrink", "cubic", "sbi.shrink: 'cubic' is unknown"),
        ("sharpening", "most", "sbi.sharpening: 'most' is unknown"),
        ("hull_shares", [["ears", 1]], "sbi.hull_shares: 'ears' is unknown"),
        ("colour.hue", -1, "sbi.colour.hue: give a number between 0 and 180"),
        ("photometric.quality", [50, 101], "sbi.photometric.quality: "),
        ("photometric.jpeg_probability", 2, "sbi.photometric.jpeg_probability: "),
        ("photometric.colour.contrast", 1.5, "sbi.photometric.colour.contrast: "),
        ("margin", [0.1, 0.5], "sbi.margin: "),
        ("test_margin", 0.5, "sbi.test_margin: "),
        ("mirror", 1.5, "sbi.mirror: "),
        ("kept", -0.1, "sbi.kept: "),
        ("grid", [16, 256], "sbi.grid: "),
        ("erode_kernel", [4, 8], "sbi.erode_kernel: "),
        ("soften_kernel", [0, 5], "sbi.soften_kernel: "),
        ("resize", [1.1, 0.9], "sbi.resize: "),
        ("nonsense", 1, "sbi.nonsense: unknown setting"),
    ],
)
def test_what_is_wrong_is_named_when_a_run_is_opened(setting, value, message):
    with pytest.raises(UserError) as error:
        open_run("demo", {f"sbi.{setting}": value})
    assert message in str(error.value)
    assert str(error.value).startswith("profile")
    assert "\n" not in str(error.value)


def test_keys_and_stamps_follow_the_settings_not_who_gave_them(tmp_path):
    """Of training keys; a score table's words name the preset and what differs from it."""

    def deciding(**sbi):
        loaded = profile.load("demo", {f"sbi.{name}": value for name, value in sbi.items()})
        return key.deciding(loaded, "proposed", "arcface", 0)

    ours, original = deciding(), deciding(preset="original")
    assert deciding(preset="ours", hull_variation=True) == ours
    assert deciding(preset="original", mirror=0.5) == original
    spelled = {f"colour.{name}": value for name, value in asdict(ORIGINAL.colour).items()} | {
        name: value for name, value in PRESETS["original"].items() if name not in ("colour", "photometric")
    }
    spelled |= {f"photometric.colour.{name}": value for name, value in asdict(ORIGINAL.photometric.colour).items()}
    assert deciding(**spelled) == original
    differ = [ours, original, deciding(mirror=0.4), deciding(**{"photometric.colour.hue": 1})]
    assert all(a != b for i, a in enumerate(differ) for b in differ[:i])
    for name, changed in (("ours", {}), ("original", {}), ("original", {"grid": (200, 200)})):
        section = schema.Sbi(preset=name, **changed)
        assert presets.words(section) == {"preset": name} | changed
    with pytest.raises(UserError, match=r"sbi\.preset"):
        Artefacts(profile.load("demo", {"sbi.preset": "none"}), tmp_path)


# ---- the forms of the original's steps ----


def test_the_original_draws_as_it_should():
    draws = [ORIGINAL.draw(np.random.default_rng([3, k])) for k in range(3000)]
    assert {d.hull for d in draws} == {"whole"}
    assert {d.shrink for d in draws} == {"nearest"}
    hows = [d.deformation for d in draws]
    for values, low, high in (
        ([d.scale[0] for d in draws], 0.95, 1 / 0.95),
        ([d.scale[1] for d in draws], 0.95, 1 / 0.95),
        ([h.soften for h in hows], 5, 45),
        ([d.sharpness / 9 for d in draws if d.sharpness], 0.2, 0.5),
    ):
        assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 1e-4
    for values, possible in (
        ([h.erode_kernel for h in hows], range(5, 26, 2)),
        ([h.soften_kernel for h in hows], range(5, 26, 2)),
        ([h.grid[0] for h in hows], range(192, 257)),
        ([h.grid[1] for h in hows], range(192, 257)),
    ):
        counts = [values.count(value) for value in possible]
        assert sum(counts) == len(values)
        assert stats.chisquare(counts).pvalue > 1e-4
    apart = [[*d.scale, *h.grid, h.erode_kernel, h.soften_kernel] for d, h in zip(draws, hows, strict=True)]
    assert np.abs(np.corrcoef(np.array(apart, float).T) - np.eye(6)).max() < 0.07


def test_the_bending_has_the_spread_of_smoothed_uniform_noise():
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(50 * rng.uniform(-1, 1, (700, 700)), 7)
    assert ORIGINAL.amplitude[0] == pytest.approx(field.std(), rel=0.05)


@pytest.mark.parametrize("factor", [2, 4])
def test_nearest_shrinking_keeps_a_pixel_of_each_block(factor):
    rgb = picture(40, 64, seed=2)
    plain = cv2.resize(np.ascontiguousarray(rgb[::factor, ::factor]), (64, 40), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(augment.downscale(rgb, factor, "nearest"), plain)


def test_a_laplacian_sharpens_as_a_mixture():
    """A share s of the image with its Laplacian, the rest the image, by SciPy."""
    rgb, kernel = picture(30, 40, seed=4), np.full((3, 3, 1), -1.0)
    kernel[1, 1] = 9.0
    for s in (0.2, 0.5):
        sharp = ndimage.convolve(rgb.astype(float), kernel, mode="mirror")
        plain = np.clip((1 - s) * rgb + s * sharp, 0, 255)
        assert np.abs(augment.sharpen(rgb, s * augment.SHARPEN["laplacian"]) - plain).max() <= 0.5 + 9 * s * 0.5 + 0.5


def test_contrast_about_black_multiplies_the_levels():
    rgb = picture(20, 20, seed=1)
    changed = augment.recolour(rgb, augment.Colour(contrast=0.2, brightness=-0.05, pivot=0.0))
    assert np.abs(changed - np.clip(1.2 * rgb - 0.05 * 255, 0, 255)).max() <= 1


def test_the_enlarged_crop_ends_with_the_frame():
    low, high = np.array([100.0, 200.0]), np.array([200.0, 320.0])
    assert masks.enlarged(low, high, (1000, 1000)) == pytest.approx([200, 288])
    assert masks.enlarged(low, high, (330, 210)) == pytest.approx([100 + 50 + 10, 120 + 84 + 10])
    assert masks.enlarged(np.array([-30.0, -5]), np.array([250.0, 230]), (224, 224)) == pytest.approx([224, 224])
    # a stored crop whose margin is whole on the left and above alone
    assert masks.enlarged(np.array([35.0, 42]), high - low + [35, 42], (172, 145), 0.35) == pytest.approx([160, 214])


def test_a_mask_on_a_grid_is_blurred_by_its_kernels():
    """A rectangle that is whole grid pixels wide, against the same steps on the grid by NumPy and OpenCV."""
    how = masks.Deformation(0.0, 7.0, 0.0, 20.0, 9, 15, kept=1.0, full=True, grid=(200, 250))
    hull = np.array([[80, 120], [320, 120], [320, 420], [80, 420]], np.float32)
    crop = np.array([400.0, 500.0])  # two picture pixels in one of the grid, along both axes
    soft = masks.soft_mask(hull, (520, 420), how, np.random.default_rng(0), crop)[1]
    got = blend.canvas(soft.at_full_size(), soft.window, (520, 420))
    inner = np.zeros((520, 420), np.float32)
    inner[120 + 9 : 420 - 8, 80 + 9 : 320 - 8] = 1  # half a kernel, 4 grid pixels, and the edge's own
    plain = cv2.GaussianBlur(cv2.resize(inner, (210, 260), interpolation=cv2.INTER_AREA), (15, 15), 20.0)
    plain = cv2.resize(plain / plain.max(), (420, 520))
    assert np.abs(got - plain).mean() < 0.01
    assert np.abs(got - plain).max() < 0.2
    half = masks.soft_mask(hull, (520, 420), how._replace(kept=0.5), np.random.default_rng(0), crop)[1].values
    assert half.sum() > soft.values.sum() * 1.1


@pytest.mark.parametrize("seed", range(40))
def test_fakes_of_the_original_differ_inside_the_mask_only(seed):
    rng = np.random.default_rng(seed)
    size = rng.uniform(40, 260)
    rgb, points = picture(260, 240, seed % 5), landmarks(size, tuple(rng.uniform(60, 180, 2)), rng.uniform(-0.6, 0.6))
    real, fake, mask = ORIGINAL(rgb, points, np.random.default_rng(seed))
    assert np.array_equal(real[mask == 0], fake[mask == 0])
    assert 0.2 < mask.max() <= 1
    steps = ORIGINAL.explain(rgb, points, np.random.default_rng(seed))
    m = steps.mask[..., None].astype(float)
    exact = m * steps.warped + (1 - m) * steps.target
    assert np.mean(np.abs(exact - fake) > 3) < 0.01


# ---- against the original ----


def test_the_originals_pairs_change_as_much_of_a_crop_as_they_should(tmp_path):
    """300 crops of DFDC, the first epoch of the pairs a run trains on, after the shared augmentation."""
    if not CROPS.is_dir():
        pytest.skip("needs the crops of real faces in ../shared/dfdc-faces")
    (tmp_path / "faces").mkdir()
    for file in sorted(CROPS.glob("*.jpg"))[:300]:
        (tmp_path / "faces" / file.name).symlink_to(file.resolve())
    settings = {
        "data.faces": str(tmp_path / "faces"),
        "data.links_inside": [str(CROPS.resolve())],
        "data.held_out": 0.02,
        "runs": str(tmp_path / "runs"),
        "sbi.preset": "original",
        "model.size": 128,
    }
    pairs = open_run("faces", settings, build="missing").pairs("train")
    assert len(pairs) > 260
    shares, changes = [], []
    for i in range(len(pairs)):
        made = pairs.images((0, i))
        change = np.abs(made.real.astype(float) - made.fake).mean(-1)
        shares.append(np.mean(change > 2))
        changes.append(change[change > 2].sum() / max(1, np.sum(change > 2)))  # a faint fake may change by less
    quantiles = np.quantile([shares, changes], [0.1, 0.5, 0.9], axis=1).T
    print(f"\nshare of the crop {quantiles[0].round(3)}, mean change {quantiles[1].round(2)} levels")
    assert quantiles[0] == pytest.approx([0.47, 0.76, 0.89], abs=0.1)
    assert quantiles[1] == pytest.approx([4.6, 11.2, 22.3], rel=0.25)
