"""Self-blended images: a real face -> (real, self-blended fake, mask), and the pairs that networks learn from.

`SelfBlender` draws how a face is blended with itself (steps 2-6 of our reading of Shiohara and Yamasaki 2022;
`dfnb.blend` carries it out), `PairDataset` adds the crop and the augmentation that the pair shares (steps 1 and 7),
`PairSampler` says which pairs come when.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb import augment, faces, hulls
from dfnb.augment import ColourRange, Photometric
from dfnb.blend import Blended, Draw, Image, SelfBlend, Steps, blend, blend_within, canvas, explain, fix
from dfnb.errors import UserError

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from dfnb.store import FaceStore

__all__ = [
    "Batches",
    "Draw",
    "Images",
    "Pair",
    "PairDataset",
    "PairSampler",
    "SelfBlend",
    "SelfBlender",
    "Steps",
    "init_worker",
]

_CLOSEST, _WIDEST, _TESTED = 0.05, 0.2, 0.125  # margins of crops, as shares of the box's width and height


@dataclass(frozen=True)
class SelfBlender:
    """Draw and make self-blended images: `SelfBlender()(rgb, landmarks, rng) -> SelfBlend`.

    hull_variation: draw the kind of hull by `hull_shares`; otherwise it is always the whole face.
    hull_shares: (kind, share) pairs, kinds of `hulls.KINDS`, shares in any unit.
    landmarks_only: share of whole hulls that leave the forehead out.
    change_source: share of images whose source changes; in the others the target does.
    colour: how far colours change.
    frequency: whether one of the two also changes sharpness. downscale_share of these shrink by one of `factors`
        (evenly) and back, the others are sharpened by an amount within `sharpen`.
    resize: smallest and largest scale of the source; shift: farthest way, as a share of the face box's width and
        height.
    amplitude, smoothness, erode, soften: lowest and highest of each part of `hulls.Deformation`, pixels on a hull
        256 px wide. `erode` and `soften` at (0, 0) leave that blur (and the threshold with the first) out.
    ratios: blend ratios, one is drawn, evenly.

    All ranges are uniform. Raises UserError where a setting is out of range.
    """

    hull_variation: bool = True
    hull_shares: tuple[tuple[str, float], ...] = (
        ("whole", 0.5),
        ("nose-to-chin", 0.15),
        ("features", 0.15),
        ("eyes", 0.1),
        ("mouth", 0.1),
    )
    landmarks_only: float = 0.25
    change_source: float = 0.5
    colour: ColourRange = field(default_factory=ColourRange)
    frequency: bool = True
    downscale_share: float = 0.5
    factors: tuple[int, ...] = (2, 4)
    sharpen: tuple[float, float] = (0.5, 1.5)
    resize: tuple[float, float] = (0.95, 1.05)
    shift: tuple[float, float] = (0.03, 0.015)
    amplitude: tuple[float, float] = (1.0, 6.0)
    smoothness: tuple[float, float] = (16.0, 32.0)
    erode: tuple[float, float] = (2.0, 12.0)
    soften: tuple[float, float] = (2.0, 16.0)
    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        limits = {"resize": (0.5, 2.0), "amplitude": (0.0, 64.0), "smoothness": (4.0, 256.0)}
        limits |= {"erode": (0.0, 32.0), "soften": (0.0, 64.0), "sharpen": (0.0, 10.0)}
        for name, (least, most) in limits.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise UserError(
                    f"{name}: give a lowest and a highest value between {least:g} and {most:g}, not {low}, {high}"
                )
        for name in ("landmarks_only", "change_source", "downscale_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name}: a share is between 0 and 1, not {getattr(self, name)}")
        if not self.ratios or not all(0 <= r <= 1 for r in self.ratios):
            raise UserError(f"ratios: give at least one blend ratio, each between 0 and 1, not {self.ratios}")
        if not self.factors or not all(isinstance(f, int) and 1 <= f <= 16 for f in self.factors):
            raise UserError(f"factors: give at least one whole number between 1 and 16, not {self.factors}")
        if not all(0 <= s <= 0.5 for s in self.shift):
            raise UserError(f"shift: give shares of the width and the height between 0 and 0.5, not {self.shift}")
        unknown = [kind for kind, _ in self.hull_shares if kind not in hulls.KINDS]
        if unknown:
            raise UserError(f"hull_shares: {unknown[0]!r} is unknown; there are {', '.join(hulls.KINDS)}")
        if min((s for _, s in self.hull_shares), default=-1) < 0 or sum(s for _, s in self.hull_shares) <= 0:
            raise UserError(f"hull_shares: shares must not be negative nor all zero: {self.hull_shares}")

    def draw(self, rng: np.random.Generator) -> Draw:
        """Make the random choices. 14 uniform numbers, 11 more for the colour and one whole number, always in this
        order.

        So a change of one setting leaves the other choices of the same generator as they were.
        """
        u = [float(v) for v in rng.random(14)]
        colour = self.colour.draw(rng)
        noise = int(rng.integers(2**62))
        factor, sharpness = 1, 0.0
        if self.frequency and u[3] < self.downscale_share:
            factor = self.factors[int(u[4] * len(self.factors))]
        elif self.frequency:
            sharpness = _between(self.sharpen, u[5])
        return Draw(
            hull=self._kind(u[0]) if self.hull_variation else "whole",
            forehead=u[1] >= self.landmarks_only,
            changed="source" if u[2] < self.change_source else "target",
            colour=colour,
            factor=factor,
            sharpness=sharpness,
            scale=_between(self.resize, u[6]),
            shift=(self.shift[0] * (2.0 * u[7] - 1.0), self.shift[1] * (2.0 * u[8] - 1.0)),
            deformation=hulls.Deformation(
                amplitude=_between(self.amplitude, u[9]),
                smoothness=_between(self.smoothness, u[10]),
                erode=_between(self.erode, u[11]),
                soften=_between(self.soften, u[12]),
            ),
            noise=noise,
            ratio=self.ratios[int(u[13] * len(self.ratios))],
        )

    def _kind(self, u: float) -> str:
        total = sum(share for _, share in self.hull_shares)
        for kind, share in self.hull_shares:
            u -= share / total
            if u < 0:
                return kind
        return max(self.hull_shares, key=lambda pair: pair[1])[0]  # rounding left u at the very end

    def __call__(self, rgb: Image, landmarks: NDArray[np.floating], rng: np.random.Generator) -> SelfBlend:
        """rgb: (H, W, 3) uint8; landmarks: (68, 2) pixels, some may lie outside. See `draw` and `blend`."""
        return blend(rgb, landmarks, self.draw(rng))

    def explain(self, rgb: Image, landmarks: NDArray[np.floating], rng: np.random.Generator, **fixed: object) -> Steps:
        """The same as the call, with every step to look at. `fixed`: choices to set instead of drawing them.

        Their names are the fields of `Draw` and, for the mask, of `hulls.Deformation`: `explain(..., ratio=0.5,
        soften=4.0)`. Raises UserError where there is no such choice.
        """
        return explain(rgb, landmarks, fix(self.draw(rng), **fixed))


def _between(ends: tuple[float, float], u: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * u


class Pair(NamedTuple):
    """real, fake: (3, S, S) float32, normalised for the backbone; mask: (1, S, S) float32 in 0..1, the face of both."""

    real: torch.Tensor
    fake: torch.Tensor
    mask: torch.Tensor


class Images(NamedTuple):
    """A pair as pictures. real, fake: (S, S, 3) uint8; mask, blend: (S, S) float32, the face and the blending mask."""

    real: NDArray[np.uint8]
    fake: NDArray[np.uint8]
    mask: NDArray[np.float32]
    blend: NDArray[np.float32]


class PairDataset:
    """Faces of a store as (real, fake) pairs: `dataset[i]` or `dataset[(epoch, i)] -> Pair`.

    In training a face is cropped at random (each side 5-20 % of the face box beyond it), mirrored half the time,
    self-blended, and the pair then goes through one photometric augmentation. Otherwise the crop is the one networks
    are tested on (12.5 %), nothing is mirrored or augmented, and the epoch is ignored, so that index i has one fake
    for good.

    store: a face store of real faces, or any sequence of faces (`.rgb`, `.landmarks`, `.box`) with a `.manifest` of
        their rows.
    size: S, pixels. mean, std: of the backbone, for images in 0..1.
    Every random choice comes from np.random.default_rng([seed, epoch, i]): a pair does not depend on which worker or
    process makes it, nor on the pairs made before. 5 uniform numbers, then those of `Photometric.draw` and
    `SelfBlender.draw`.

    Raises UserError where the store holds no face or one labelled other than real, and, when it is made, for a pair
    whose face can't be blended, naming it.
    """

    def __init__(
        self,
        store: FaceStore,
        size: int = 380,
        seed: int = 0,
        train: bool = True,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        blender: SelfBlender | None = None,
        photometric: Photometric | None = None,
    ) -> None:
        labels = store.manifest["label"]
        if len(labels) == 0:
            raise UserError("the face store holds no face; prepare the training videos first")
        wrong = np.flatnonzero((labels != "real").to_numpy())
        if wrong.size:
            row = store.manifest.iloc[int(wrong[0])]
            raise UserError(
                f"{row['dataset']} {row['video']} is labelled {row['label']}: self-blending learns from real faces "
                f"alone; leave this and {wrong.size - 1} other such faces out of the training store"
            )
        if size < 16:
            raise UserError(f"size: a network's input of {size} px is too small; give at least 16")
        self.store, self.size, self.seed, self.train = store, size, seed, train
        self.blender = blender or SelfBlender()
        self.photometric = photometric or Photometric()
        self._mean, self._std = np.asarray(mean, np.float64), np.asarray(std, np.float64)

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int | tuple[int, int]) -> Pair:
        import torch

        made = self._make(index)
        mask = self._face_mask(made)[None]
        return Pair(*(torch.from_numpy(a) for a in (self._input(made.real), self._input(made.fake), mask)))

    def images(self, index: int | tuple[int, int]) -> Images:
        """The same pair as pictures, to look at."""
        made = self._make(index)
        blended = canvas(made.mask, made.window, made.real.shape)
        blended = cv2.resize(blended, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return Images(self._resize(made.real), self._resize(made.fake), self._face_mask(made), blended)

    def _make(self, index: int | tuple[int, int]) -> Blended:
        """Steps 1-7 up to the resizing."""
        epoch, i = index if isinstance(index, tuple) else (0, index)
        if not 0 <= i < len(self):
            raise IndexError(f"index {i} of {len(self)} pairs")
        rng = np.random.default_rng([self.seed, epoch if self.train else 0, i])
        u = rng.random(5)
        colour, quality = self.photometric.draw(rng)
        draw = self.blender.draw(rng)
        face = self.store[i]
        margin = tuple(_CLOSEST + (_WIDEST - _CLOSEST) * u[:4]) if self.train else _TESTED
        x0, y0, x1, y1 = faces.window(face.box, margin, face.rgb.shape)
        rgb = face.rgb[y0:y1, x0:x1]
        landmarks = np.asarray(face.landmarks, np.float32) - np.array([x0, y0], np.float32)
        if self.train and u[4] < 0.5:
            rgb, landmarks = augment.mirror(rgb, landmarks)
        try:
            made = blend_within(rgb, landmarks, draw)
        except UserError as error:
            row = self.store.manifest.iloc[i]
            raise UserError(f"{row['dataset']} {row['video']}, frame {row['frame']}: {error}") from error
        if self.train:
            real, fake = augment.augment_pair(made.real, made.fake, made.window, colour, quality)
            made = made._replace(real=real, fake=fake)
        return made

    def _resize(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """By the rule of `faces.crop`, so that training sees what testing does."""
        height, width = rgb.shape[:2]
        return faces.crop(rgb, (0, 0, width - 1, height - 1), 0.0, self.size)

    def _face_mask(self, made: Blended) -> NDArray[np.float32]:
        # the hull before resizing: what is straight up from the eyes depends on the aspect
        height, width = made.real.shape[:2]
        scale = np.array([self.size / width, self.size / height], np.float32)
        return faces.fill((made.face + np.float32(0.5)) * scale - np.float32(0.5), (self.size, self.size))

    def _input(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's input (3, S, S) of a native crop."""
        out = np.empty((3, self.size, self.size), np.float32)
        gain = 1.0 / (255.0 * self._std)
        for plane, levels, a, mean in zip(out, cv2.split(self._resize(rgb)), gain, self._mean * 255.0, strict=True):
            # levels * a - mean * a in one pass: OpenCV's running average is levels * a + plane * (1 - a)
            plane.fill(-mean * a / (1.0 - a))
            cv2.accumulateWeighted(levels, plane, a)
        return out


class PairSampler:
    """(epoch, index) pairs for a `PairDataset`, from position `start` on: each epoch holds each index once.

    data: the dataset, or its length N. seed: with the epoch, it decides the order of that epoch. shuffle: otherwise
        0..N-1.
    samples: how many pairs in all, None for an endless stream. start: pairs already seen, for resuming: position k is
    in epoch k // N, and the stream from `start` equals the whole stream without its first `start` pairs.

    Epochs follow one another without a break, so batches reach across them and none is short or dropped, whatever the
    loader's `drop_last`, save the very last one where `samples` is no multiple of the batch.
    """

    def __init__(
        self, data: Sized | int, seed: int = 0, shuffle: bool = True, samples: int | None = None, start: int = 0
    ) -> None:
        self.length = data if isinstance(data, int) else len(data)
        self.seed, self.shuffle, self.samples, self.start = seed, shuffle, samples, start
        if self.length < 1 or start < 0 or (samples is not None and samples < 0):
            raise ValueError(f"a sampler of {self.length} faces can't start at {start} nor give {samples} pairs")

    def __len__(self) -> int:
        """Pairs this sampler gives. Raises TypeError where it is endless."""
        if self.samples is None:
            raise TypeError("an endless sampler has no length; give `samples`")
        return self.samples

    def __iter__(self) -> Iterator[tuple[int, int]]:
        position = self.start
        while True:
            epoch, first = divmod(position, self.length)
            for index in self.order(epoch)[first:]:
                if self.samples is not None and position >= self.start + self.samples:
                    return
                yield epoch, int(index)
                position += 1

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The indices of one epoch, (N,), in order."""
        if not self.shuffle:
            return np.arange(self.length)
        return np.random.default_rng([self.seed, epoch]).permutation(self.length)


class Batches:
    """This process's share of every batch from step `start` on: lists of (epoch, index), made as they are asked for.

    Raises UserError where the batch can't be shared evenly among the processes.
    """

    def __init__(self, faces: int, batch: int, seed: int, start: int, steps: int, accelerator: Accelerator) -> None:
        self.world, self.rank = accelerator.num_processes, accelerator.process_index
        self.batch, self.steps = batch, steps - start
        if batch % self.world:
            raise UserError(
                f"train.batch = {batch} can't be shared evenly by {self.world} processes: make it a multiple"
            )
        self.pairs = PairSampler(faces, seed=seed, samples=self.steps * batch, start=start * batch)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        stream = iter(self.pairs)
        while places := list(itertools.islice(stream, self.batch)):
            yield places[self.rank :: self.world]


def init_worker(worker: int) -> None:
    """A loader's `worker_init_fn`: one thread a worker, since the workers share the cores already."""
    cv2.setNumThreads(0)
