"""One frozen, validated description of a run. An unknown key is an error, never a silent default."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dfnb.common import files
from dfnb.common.devices import Precision
from dfnb.profile.paths import expanded, resolve


def sound_crops(shares: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Raises ValueError where nothing is left between them."""
    if shares[0] + shares[2] >= 0.95 or shares[1] + shares[3] >= 0.95:
        raise ValueError(
            f"crops {list(shares)}: leaves nothing of the picture between left and right, or top and bottom"
        )
    return shares


Location = Annotated[Path, BeforeValidator(expanded)]  # ~ and environment variables are written out
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Side = Annotated[int, Field(ge=160, le=4096, multiple_of=2, description="pixels; H.264 wants even sides")]
Variant = Annotated[
    str, Field(min_length=1, max_length=100)
]  # checked against `dfnb.networks.VARIANTS` when a run is opened
Head = Annotated[str, Field(min_length=1, max_length=100)]  # likewise, `dfnb.networks.HEADS`
Share = Annotated[float, Field(ge=0, lt=1)]
Crops = Annotated[  # of a crop around a face's box; one number stands for all four
    tuple[Share, Share, Share, Share],
    BeforeValidator(lambda value: (value,) * 4 if type(value) in (int, float) else value),
    AfterValidator(sound_crops),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]  # of a folder, too


class Section(BaseModel):
    """A part of a profile: immutable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class Demo(Section):
    """The embedded benchmark: how many videos of each part, and how large (design, section 5)."""

    seed: Seed = 0
    ff_train: int = Field(200, ge=4, multiple_of=2, description="original videos to train on")
    ff_val: int = Field(24, ge=2, multiple_of=2, description="original videos for validation")
    ff_test: int = Field(24, ge=2, multiple_of=2, description="original videos to test on")
    celeb_real: int = Field(100, ge=2, le=10_000)
    celeb_fake: int = Field(100, ge=2, le=10_000)
    ffiw: int = Field(50, ge=2, le=10_000, description="real videos of several people, and as many fakes")
    frames: int = Field(12, ge=1, le=1000, description="frames a video")
    fps: float = Field(10.0, ge=0.1, le=1000, description="frames a second")
    size: Side = Field(320, description="side of a frame with one face, pixels")
    wide: tuple[Side, Side] = Field((960, 540), description="width and height of a frame with several people, pixels")


class NamedSet(Section):
    """A test set with a name of its own: where it lies, and how it is laid out."""

    layout: str = Field("folder", description="a name of dfnb.data.catalogues.TEST_SETS")
    root: Location
    group: str | None = Field(
        None,
        description="regular expression, for the layout folder: its group, in a file's name or else in its path below "
        "`real` or `fake`, names what isn't independent; a fake and the original it was made from share it",
    )
    video: str | None = Field(None, description="as `data.video`, for the layout folder: which images are one video")
    crops: Crops | None = Field(None, description="as `faces.crops`, for the layouts folder and deepfakebench")
    given_landmarks: bool | None = Field(
        None, description="as `faces.given_landmarks`, for the layouts folder and deepfakebench; true for the latter"
    )

    @model_validator(mode="after")
    def _patterns_fit_the_layout(self) -> "NamedSet":
        for setting in ("crops", "given_landmarks"):
            if getattr(self, setting) is not None and self.layout not in ("folder", "deepfakebench"):
                raise ValueError(f"{setting} goes with the layouts folder and deepfakebench; leave it out")
        for setting in ("group", "video"):
            if getattr(self, setting) is not None and self.layout != "folder":
                raise ValueError(f"{setting} goes with the layout folder only, not with {self.layout}; leave it out")
        return self


class Data(Section):
    """Where the videos are, and how many frames of each are looked at."""

    source: Literal["embedded", "folders"] = "folders"
    face_forensics: Location | None = Field(None, description="root of FaceForensics++")
    celeb_df: Location | None = Field(None, description="root of Celeb-DF-v2")
    ffiw: Location | None = Field(None, description="root of FFIW-10K")
    more: dict[str, Location] = Field(
        {}, description="further test sets: a name of dfnb.data.catalogues.TEST_SETS, and its root"
    )
    sets: dict[Name, NamedSet] = Field({}, description="further test sets, any number of each layout, by their names")
    links_inside: tuple[Location, ...] = Field(
        (), description="folders that symbolic links in a set may lead to, such as DVC's cache"
    )
    faces: Location | None = Field(
        None,
        description="any folder of real faces to train on, instead of FaceForensics++; or a list of DeepfakeBench's, a "
        ".json file, of whose real videos its splits train and val are taken",
    )
    person: str | None = Field(
        None,
        description="regular expression: its group in a file's name, else in its path below `faces`, is the person",
    )
    video: str | None = Field(
        None,
        description="regular expression: a folder of images in `faces` or the test set `folder` is one video, and they "
        "are its frames, where this is found in its path below the root; '.' for all. With a group in parentheses: all "
        "images in whose path below the root that group is the same text are one video, which it names",
    )
    held_out: float = Field(0.2, gt=0, lt=1, description="share of the people in `faces` kept for validation")
    people: int | None = Field(
        None, ge=2, description="train on so many people (of FaceForensics++ videos), drawn at random; all unless given"
    )
    compression: Literal["raw", "c23", "c40"] = "c23"
    manipulations: tuple[str, ...] = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    train_frames: int = Field(8, ge=1, le=100_000, description="frames a training video (SBI's protocol)")
    validation_frames: int = Field(8, ge=1, le=100_000)
    test_frames: int = Field(32, ge=1, le=100_000, description="frames a test video (SBI's protocol)")

    @model_validator(mode="after")
    def _folders_are_named(self) -> "Data":
        folders = (self.face_forensics, self.celeb_df, self.ffiw, self.faces, self.more, self.sets)
        if self.source == "embedded" and any(folders):
            raise ValueError(
                "data.source is 'embedded', so face_forensics, celeb_df, ffiw, more, sets and faces must be left out"
            )
        if self.source == "folders" and self.face_forensics is None and self.faces is None:
            raise ValueError(
                "data.face_forensics is missing: give the root folder of FaceForensics++, or any folder of real faces "
                "to train on in data.faces"
            )
        return self


class Faces(Section):
    """Detection and landmarks."""

    detector: str = Field("hog", description="a name of dfnb.data.detectors.DETECTORS")
    pad: bool | None = Field(
        None,
        description="where no face is found, take the picture for a tight crop of one: add a border and look again; by "
        "default in `data.faces` and test sets of the layout `folder`, and in no other set",
    )
    landmarks: Location | None = Field(None, description="dlib's 68-point model; by default the installed package's")
    upsample: int = Field(0, ge=0, le=2, description="times the frame is doubled before dlib's HOG detector looks")
    longest_side: int = Field(1280, ge=160, le=16_384, description="detection works on a frame shrunk to this, pixels")
    follow: bool = Field(
        False,
        description="where only the largest face is kept (training, validation), look for faces like the last frame's "
        "first, in a smaller picture: twice as fast at 720p, landmarks move as they do when a frame shifts by 3 px",
    )
    crops: Crops | None = Field(
        None,
        description="in `data.faces` and the test set `folder` every picture is the crop of one face: none is looked "
        "for, the face's box from brows to chin is the picture without these shares of its width and height (left, "
        "top, right, bottom; or one for all)",
    )
    given_landmarks: bool | None = Field(
        None,
        description="in `data.faces` and the test set `folder`, landmarks that lie with a picture (its name with .npy, "
        "beside it or in landmarks/ where its path has frames/; 68 or 81 points) are its face; by default in "
        "DeepfakeBench's layout alone",
    )


Range = tuple[float, float] | None  # lowest and highest
Steps = tuple[int, int] | None  # the same in whole numbers


class Colours(Section):
    """Fields of `dfnb.sbi.augment.ColourRange` that differ from the preset's."""

    rgb_shift: float | None = None
    hue: float | None = None
    saturation: float | None = None
    value: float | None = None
    brightness: float | None = None
    contrast: float | None = None
    pivot: float | None = None
    rgb_probability: float | None = None
    hsv_probability: float | None = None
    brightness_probability: float | None = None


class Augmentation(Section):
    """Fields of `dfnb.sbi.augment.Photometric` that differ from the preset's."""

    colour: Colours = Colours()
    jpeg_probability: float | None = None
    quality: Steps = None


class EdgelessChange(Section):
    """Fields of `dfnb.sbi.fakes.Edgeless` that differ from the preset's."""

    resample: Range = None
    warp: Range = None
    smoothness: Range = None
    smooth: Range = None
    sharpen: Range = None
    fade: Range = None


class Degrading(Section):
    """Fields of `dfnb.sbi.degrade.Degradation` that differ from the preset's."""

    gamma_probability: float | None = None
    gamma: Range = None
    shrink_probability: float | None = None
    shrink: Range = None
    blur_probability: float | None = None
    blur: Range = None
    noise_probability: float | None = None
    noise: Range = None
    h264_probability: float | None = None
    h264: Steps = None


class Sbi(Section):
    """Self-blending: a preset, and the fields of `dfnb.sbi.SelfBlender` that differ from it.

    `SelfBlender` says what they are; `dfnb.sbi.presets.resolve` checks them when a run is opened.
    """

    preset: str = Field("ours", description="a name of dfnb.sbi.PRESETS")
    hull_variation: bool | None = None
    hull_shares: tuple[tuple[str, float], ...] | None = None
    landmarks_only: float | None = None
    change_source: float | None = None
    colour: Colours = Colours()
    frequency: bool | None = None
    downscale_share: float | None = None
    factors: tuple[int, ...] | None = None
    shrink: str | None = None
    sharpen: Range = None
    sharpening: str | None = None
    resize: Range = None
    resize_apart: bool | None = None
    shift: Range = None
    amplitude: Range = None
    smoothness: Range = None
    erode: Range = None
    soften: Range = None
    erode_kernel: Steps = None
    soften_kernel: Steps = None
    kept: float | None = None
    full: bool | None = None
    grid: Steps = None
    ratios: tuple[float, ...] | None = None
    photometric: Augmentation = Augmentation()
    margin: Range = None
    test_margin: float | None = None
    mirror: float | None = None
    fakes: tuple[tuple[str, float], ...] | None = None
    candidates: int | None = None
    edgeless: EdgelessChange = EdgelessChange()
    degradation: Degrading = Degrading()


class Model(Section):
    """The network (paper, sections 3-2 to 3-4)."""

    backbone: str = "tf_efficientnet_b4.ap_in1k"
    pretrained: bool = True
    weights: Location | None = Field(None, description="published weights on disk, where the hub can't be reached")
    weights_sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="what the weights' file must be; for a download, the pin"
    )
    size: int = Field(380, ge=64, le=4096, description="side of the network's input, pixels; ViTs: of whole patches")
    tap_reading: Literal["resolution", "block"] = "resolution"
    attention: bool = True
    normalise: Literal["timm", "none"] = Field(
        "timm", description="the input: timm's mean and standard deviation of the backbone, or 0..1 as it is"
    )
    drop_rate: float = Field(0.0, ge=0, lt=1, description="drop-out before the head in training; timm's for B4 is 0.4")
    drop_path_rate: float = Field(
        0.0, ge=0, lt=1, description="stochastic depth of the backbone in training; timm's for B4 is 0.2"
    )


class ArcFace(Section):
    """Angular margin (paper, equations 1-4)."""

    scale: float = Field(16.0, gt=0, le=1e6)
    margin: float = Field(0.2, ge=0, lt=math.pi, description="radians")
    monotone: bool = False


class Train(Section):
    """The recipe. Either `epochs` or `steps` says how long."""

    networks: tuple[tuple[Variant, Head], ...] = Field(
        (
            ("plain", "linear"),
            ("network1", "linear"),
            ("network2", "linear"),
            ("proposed", "linear"),
            ("proposed", "arcface"),
        ),
        min_length=1,
    )
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    batch: int = Field(16, ge=2, le=65_536, description="real faces a step; as many fakes are made from them")
    epochs: int | None = Field(None, ge=1, description="passes over the training faces")
    steps: int | None = Field(None, ge=1, description="optimisation steps, instead of epochs")
    tune: Literal["all", "norms", "head"] = Field(
        "all",
        description="what learns of the backbone: all of it, the scales and shifts of its norms alone, or nothing; "
        "attention branch and head always do",
    )
    optimizer: Literal["sam", "sgd", "adamw"] = "sam"
    schedule: Literal["constant_then_linear", "one_cycle"] = "constant_then_linear"
    lr: float = Field(1e-3, gt=0, description="highest learning rate")
    momentum: float = Field(0.9, ge=0, lt=1)
    rho: float = Field(0.05, gt=0, description="radius of SAM's neighbourhood")
    weight_decay: float = Field(0.0, ge=0)
    decay_from: float = Field(0.75, ge=0, le=1, description="share of the training after which the rate falls")
    attention_weight: float = Field(1.0, ge=0, description="weight of the attention loss; 0: the map is not supervised")
    ema_decay: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="the network kept is an exponential moving average of the weights with this decay, reached "
        "from 0 as timm's warm-up does; none unless given",
    )
    mixed_precision: Literal["no", "bf16", "auto"] = Field(
        "no", description="auto: bf16 where it is faster, by the rule of `dfnb.common.devices.precision`"
    )
    workers: int | None = Field(
        None, ge=0, le=256, description="processes that make pairs; half as many as processors unless given"
    )
    validation_pairs: int = Field(200, ge=2, description="held-out SBI pairs at the end of each epoch")
    report_every: int = Field(50, ge=1, description="steps between validations where `steps` is set")

    @model_validator(mode="after")
    def _one_length(self) -> "Train":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("set either train.epochs or train.steps, and leave the other out (null)")
        if len(set(self.networks)) < len(self.networks):
            raise ValueError("train.networks names a network twice")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("train.seeds names a seed twice")
        return self


class Evaluate(Section):
    """Scoring the test sets."""

    batch: int = Field(32, ge=1, le=65_536)
    precision: Precision = Field(
        "auto",
        description="float32: by torch, as in training; fast: by ONNX Runtime (processors), the same up to rounding; "
        "auto: fast from 256 px on",
    )
    workers: int | None = Field(
        None, ge=0, le=256, description="processes that read crops for scoring; half as many as processors unless given"
    )
    size_rule: bool = Field(True, description="drop faces under half the area of the frame's largest (SBI's protocol)")
    ensembles: dict[Name, Annotated[tuple[str, ...], Field(min_length=2)]] = Field(
        {},
        description="name: networks whose scores of each face are averaged, each as NAME or NAME@SEED; with +mirror "
        "behind it, it is shown the face's mirror image",
    )


class Robustness(Section):
    """What notebook 7 does to the test videos. Strengths go from mild to strong."""

    part: Literal["ff", "celeb-df", "ffiw"] = "celeb-df"
    videos: int | None = Field(None, ge=4, description="videos of that part, half of them real; all unless given")
    frames: int | None = Field(None, ge=1, description="frames of each, of those in the face store; all unless given")
    networks: tuple[tuple[Variant, Head], ...] | None = Field(None, description="all of the run's unless given")
    h264: tuple[int, ...] = Field((28, 33, 38, 43, 48), min_length=1, description="x264's constant rate factor, 0-51")
    jpeg: tuple[int, ...] = Field((80, 60, 40, 20, 10), min_length=1, description="JPEG quality, 1-100")
    blur: tuple[float, ...] = Field((0.5, 1.0, 1.5, 2.5, 4.0), min_length=1, description="standard deviation, pixels")
    resize: tuple[float, ...] = Field((0.75, 0.5, 0.35, 0.25, 0.15), min_length=1, description="shrunk to, and back")
    noise: tuple[float, ...] = Field((4, 8, 12, 20, 32), min_length=1, description="standard deviation, levels of 255")
    dark: tuple[float, ...] = Field((0.5, 1, 2, 3, 4), min_length=1, description="stops of light less")
    takes: int = Field(40, ge=4, description="scenes of the embedded benchmark that are blended and rendered anew")
    take_frames: int = Field(2, ge=1, description="frames of each of these scenes")

    @model_validator(mode="after")
    def _strengths_make_sense(self) -> "Robustness":
        bounds = {"h264": (0, 51), "jpeg": (1, 100), "blur": (0, 100), "resize": (0.01, 1), "noise": (0, 255)}
        for name, (low, high) in (bounds | {"dark": (0, 16)}).items():
            values = getattr(self, name)
            if not all(low <= value <= high for value in values):
                raise ValueError(f"robustness.{name} must lie between {low:g} and {high:g}")
            if list(values) != sorted(set(values), reverse=name in ("jpeg", "resize")):
                raise ValueError(f"robustness.{name} must go from mild to strong")
        return self


_LATER = {  # settings of later versions
    "data": ("more", "sets", "links_inside", "video"),
    "faces": ("detector", "pad", "crops", "given_landmarks"),
    "sbi": tuple(Sbi.model_fields),
    "model": ("normalise", "drop_rate", "drop_path_rate"),
    "train": ("ema_decay", "tune"),
    "evaluate": ("workers", "ensembles"),
}


class Profile(Section):
    """Everything that decides a run's numbers. `dfnb.profile.load` reads one from YAML."""

    name: Name
    description: str = Field("", max_length=1000)
    seed: Seed = 0
    jobs: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="processes for rendering, face detection, trainings, scoring and notebooks, at most; one a "
        "processor unless given",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="of each training and scoring on a processor, and of a report's notebooks, of which then as many "
        "are at work as there are `jobs` for it. They decide the last bits of numbers; unless given, one training or "
        "scoring at a time takes all of the machine's",
    )
    runs: Location = Field(Path("runs"), description="folder that holds one folder per profile")
    demo: Demo = Demo()
    data: Data
    faces: Faces = Faces()
    sbi: Sbi = Sbi()
    model: Model = Model()
    arcface: ArcFace = ArcFace()
    train: Train
    evaluate: Evaluate = Evaluate()
    robustness: Robustness = Robustness()

    @property
    def processes(self) -> int:
        """`jobs`, or as many as there are processors for this process. Results don't depend on it."""
        from joblib import cpu_count

        return self.jobs or cpu_count()

    @property
    def folder(self) -> Path:
        """Everything the run makes lies here."""
        return resolve(self.runs) / self.name

    def asked(self) -> dict[str, Any]:
        """All settings as JSON writes them, without those of later versions that are at their default.

        So what is hashed of a run without them is what was hashed before they could be set.
        """
        everything = self.model_dump(mode="json")
        for section, settings in _LATER.items():
            for setting in settings:
                part = getattr(self, section)
                if getattr(part, setting) == type(part).model_fields[setting].default:
                    everything[section].pop(setting)
        if self.threads is None:
            everything.pop("threads")
        for chosen in everything["data"].get("sets", {}).values():
            for setting in ("crops", "given_landmarks"):
                if chosen[setting] is None:
                    chosen.pop(setting)
        if not everything["sbi"]:  # then this was its one setting
            everything["sbi"] = {"hull_variation": True}
        return everything

    def hash(self, *sections: str) -> str:
        """A short hash of the named sections (all of them by default): equal settings, equal hash."""
        everything = self.asked()
        return files.digest({key: everything[key] for key in sections} if sections else everything)
