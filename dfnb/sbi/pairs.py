"""Faces of a store -> the (real, fake) pairs that networks learn from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.common.randomness import generator
from dfnb.data import faces
from dfnb.sbi import augment
from dfnb.sbi.blend import Blended, canvas
from dfnb.sbi.degrade import degrade_pair
from dfnb.sbi.fakes import FAKES, Target, shape_of
from dfnb.sbi.masks import enlarged
from dfnb.sbi.self_blender import STORED, SelfBlender

if TYPE_CHECKING:
    import torch

    from dfnb.data.store import FaceStore, StoredFace


class Pair(NamedTuple):
    """A pair as the network takes it."""

    real: torch.Tensor  # (3, S, S) float32, normalised for the backbone
    fake: torch.Tensor  # the same
    mask: torch.Tensor  # (1, S, S) float32 in 0..1, the face in both


class Images(NamedTuple):
    """A pair as pictures, to look at."""

    real: NDArray[np.uint8]  # (S, S, 3)
    fake: NDArray[np.uint8]  # (S, S, 3)
    mask: NDArray[np.float32]  # (S, S) in 0..1, the face
    blend: NDArray[np.float32]  # (S, S) in 0..1, the blending mask


class PairDataset:
    """Faces of a store as (real, fake) pairs: `dataset[i]` or `dataset[(epoch, i)] -> Pair`.

    In training a face is cropped at random (on each side by the blender's `margin` beyond the face box), mirrored in a
    share `mirror` and made a fake of (self-blended, or as the blender's `fakes` say), and both images then share one
    photometric augmentation and one degradation. Otherwise the crop is that of the test protocol (`test_margin`),
    nothing is mirrored, augmented or degraded, and the epoch is ignored, so that index i always has the same fake.

    store: a face store of real faces, or any sequence of faces (`.rgb`, `.landmarks`, `.box`) with a `.manifest`, a
        row per face.
    blender: all settings, the preset "ours" by default.
    size: S, pixels, at least 16. mean, std: of the backbone's input, for images in 0..1, one each per channel.
    Every random choice comes from a generator of its own, keyed by purpose, seed, epoch and i. So a pair depends
    neither on the worker or process that makes it nor on the pairs made before. It gives 5 uniform numbers (margins
    left, top, right, bottom, and mirroring), then those of `Photometric.draw` and `SelfBlender.draw`. The kind of fake
    and what it draws besides, and the degradation, have generators of their own.

    Raises UserError where the store holds no face, or one labelled other than real; and, when a pair is made, naming a
    face that can't be blended, or for which there is no other person's.
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
        self._mean, self._std = np.asarray(mean, np.float64), np.asarray(std, np.float64)

    def __len__(self) -> int:
        return len(self.store)

    @property
    def nbytes(self) -> int:
        """Bytes of a pair: two images and a mask, float32."""
        return (3 + 3 + 1) * self.size**2 * 4

    def __getitem__(self, index: int | tuple[int, int]) -> Pair:
        import torch

        made = self._make(index)
        mask = self._face_mask(made)[None]
        return Pair(*(torch.from_numpy(a) for a in (self._input(made.real), self._input(made.fake), mask)))

    def images(self, index: int | tuple[int, int], kind: str | None = None) -> Images:
        """The same pair as pictures. kind: how its fake is made instead of as drawn, a key of `dfnb.sbi.FAKES`."""
        made = self._make(index, kind)
        blended = canvas(made.mask, made.window, made.real.shape)
        blended = cv2.resize(blended, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return Images(self._resize(made.real), self._resize(made.fake), self._face_mask(made), blended)

    def _make(self, index: int | tuple[int, int], kind: str | None = None) -> Blended:
        """Crop, mirror, blend, augment, degrade: all but the resizing to the network's input."""
        epoch, i = index if isinstance(index, tuple) else (0, index)
        if not 0 <= i < len(self):
            raise IndexError(f"index {i} of {len(self)} pairs")
        key = (self.seed, epoch, i) if self.train else (self.seed, i)
        held_out = "" if self.train else "held-out "
        rng = generator(f"{held_out}pair", *key)
        u = rng.random(5)
        colour, quality = self.blender.photometric.draw(rng)
        draw = self.blender.draw(rng)
        face = self.store[i]
        low, high = self.blender.margin
        margin = tuple(low + (high - low) * u[:4]) if self.train else self.blender.test_margin
        x0, y0, x1, y1 = faces.window(face.box, margin, face.rgb.shape)
        rgb = face.rgb[y0:y1, x0:x1]
        landmarks = np.asarray(face.landmarks, np.float32) - np.array([x0, y0], np.float32)
        if self.train and u[4] < self.blender.mirror:
            rgb, landmarks = augment.mirror(rgb, landmarks)
        box = np.asarray(face.box)
        crop = enlarged(box[:2], box[2:], face.rgb.shape, STORED)
        target = Target(np.ascontiguousarray(rgb), landmarks, crop, partial(self._another, i, landmarks))
        further = generator(f"{held_out}kind of fake", *key)
        maker = FAKES[kind or self.blender.kind(further)]
        try:
            made = maker(target, draw, self.blender.edgeless, further)
        except UserError as error:
            row = self.store.manifest.iloc[i]
            raise UserError(f"{row['dataset']} {row['video']}, frame {row['frame']}: {error}") from error
        if not self.train:
            return made
        if self.blender.degradation.does_nothing:
            real, fake = augment.augment_pair(made.real, made.fake, made.window, colour, quality)
        else:
            steps = self.blender.degradation.draw(generator("degradation", *key))
            pair = augment.augment_pair(made.real, made.fake, made.window, colour, None)
            real, fake = degrade_pair(*pair, steps)
            if quality is not None:  # a viewer's picture is saved last
                real, fake = (augment.jpeg(image, quality) for image in (real, fake))
        return made._replace(real=real, fake=fake)

    def _another(self, i: int, landmarks: NDArray[np.float32], rng: np.random.Generator) -> StoredFace:
        """Of some faces of other people, drawn at random, the one whose landmarks are most like these."""
        count = len(self)
        if count > self.blender.candidates:
            drawn = rng.integers(count, size=self.blender.candidates)
        else:
            drawn = np.arange(count)
        people = self._people
        if not len(drawn := drawn[people[drawn] != people[i]]):
            drawn = np.flatnonzero(people != people[i])  # of one person there may be more faces than candidates
        if not len(drawn):
            raise UserError("there is no face of another person to blend into it; add people, or change sbi.fakes")
        distance = ((self._shapes[drawn] - shape_of(landmarks)) ** 2).sum(1)
        return self.store[int(drawn[int(distance.argmin())])]

    @cached_property
    def _people(self) -> NDArray[np.str_]:
        return self.store.manifest["group"].to_numpy(str)

    @cached_property
    def _shapes(self) -> NDArray[np.float32]:
        return shape_of(self.store.landmarks)

    def _resize(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize as `faces.crop` does, so that networks are trained on what they are tested on."""
        height, width = rgb.shape[:2]
        return faces.crop(rgb, (0, 0, width - 1, height - 1), 0.0, self.size)

    def _face_mask(self, made: Blended) -> NDArray[np.float32]:
        """(S, S) float32 in 0..1, from the hull of the native crop: the forehead depends on the aspect ratio."""
        height, width = made.real.shape[:2]
        scale = np.array([self.size / width, self.size / height], np.float32)
        return faces.fill((made.face + np.float32(0.5)) * scale - np.float32(0.5), (self.size, self.size))

    def _input(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A native crop (h, w, 3) uint8 -> the network's input (3, S, S) float32: (levels / 255 - mean) / std."""
        out = np.empty((3, self.size, self.size), np.float32)
        gain = 1.0 / (255.0 * self._std)
        for plane, levels, a, mean in zip(out, cv2.split(self._resize(rgb)), gain, self._mean * 255.0, strict=True):
            # levels * a - mean * a in one pass: OpenCV's running average is levels * a + plane * (1 - a)
            plane.fill(-mean * a / (1.0 - a))
            cv2.accumulateWeighted(levels, plane, a)
        return out
