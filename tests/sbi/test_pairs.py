"""Pairs must not depend on which process makes them, and their two images must differ by the blending alone."""

import itertools
import pickle
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from drawn_faces import landmarks, picture
from scipy import stats
from torch.utils.data import DataLoader

from dfnb.common.errors import UserError
from dfnb.data import faces
from dfnb.sbi import PairDataset, PairSampler, SelfBlender, init_worker
from dfnb.sbi.augment import ColourRange, Photometric

PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "real-faces"
STILL = ColourRange(0, 0, 0, 0, 0, 0)
PLAIN = Photometric(colour=STILL, jpeg_probability=0.0)  # no augmentation
OFF = SelfBlender(colour=STILL, frequency=False, resize=(1, 1), shift=(0, 0))
NOTHING = replace(OFF, photometric=PLAIN)


@dataclass(frozen=True)
class DrawnFace:
    rgb: np.ndarray
    landmarks: np.ndarray
    box: tuple[float, float, float, float]


class DrawnFaces:
    """Faces in memory with the face store's interface; any sequence of faces with a manifest will do."""

    def __init__(self, count: int, labels: str = "real", width: float = 90.0) -> None:
        self.faces = []
        for i in range(count):
            points = landmarks(width + i, (100 + i % 3, 110), 0.1 * (i % 5 - 2))
            self.faces.append(DrawnFace(picture(230, 200, i), points, faces.box(points)))
        rows = [{"dataset": "drawn", "video": f"v{i}", "label": labels, "frame": 0} for i in range(count)]
        self.manifest = pd.DataFrame(rows, columns=["dataset", "video", "label", "frame"])

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, i: int) -> DrawnFace:
        return self.faces[i]


def test_a_pair_has_the_stated_shapes_types_and_ranges():
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pairs = PairDataset(DrawnFaces(4), size=96, mean=mean, std=std)
    for i in range(4):
        pair, images = pairs[2, i], pairs.images((2, i))
        assert pair.real.shape == pair.fake.shape == (3, 96, 96)
        assert pair.mask.shape == (1, 96, 96)
        assert {t.dtype for t in pair} == {torch.float32}
        assert pair.mask.min() == 0
        assert pair.mask.max() == 1
        for tensor, image in ((pair.real, images.real), (pair.fake, images.fake)):
            exact = (image / 255.0 - np.array(mean)) / np.array(std)
            assert np.allclose(tensor.numpy().transpose(1, 2, 0), exact, atol=1e-5)
        assert np.array_equal(pair.mask[0].numpy(), images.mask)
        assert images.blend.shape == (96, 96)
        assert images.blend.max() > 0


def test_an_index_alone_is_epoch_0():
    pairs = PairDataset(DrawnFaces(2), size=32)
    assert all(torch.equal(a, b) for a, b in zip(pairs[1], pairs[0, 1], strict=True))
    with pytest.raises(IndexError):
        pairs[2]
    with pytest.raises(IndexError):
        pairs[0, -1]


def through_loader(pairs: PairDataset, workers: int, **more) -> torch.Tensor:
    sampler = PairSampler(pairs, seed=3, samples=20)
    loader = DataLoader(pairs, 4, sampler=sampler, num_workers=workers, worker_init_fn=init_worker, **more)
    return torch.cat([torch.cat([p.real, p.fake, p.mask], 1) for p in loader])


def test_pairs_are_the_same_whatever_the_number_of_workers():
    pairs = PairDataset(DrawnFaces(7), size=48, seed=5)
    alone = through_loader(pairs, 0)
    assert alone.shape == (20, 7, 48, 48)
    assert torch.equal(alone, through_loader(pairs, 1, multiprocessing_context="fork"))
    assert torch.equal(alone, through_loader(pairs, 2, multiprocessing_context="fork"))
    again = pickle.loads(pickle.dumps(pairs))
    assert torch.equal(again[3, 6].fake, pairs[3, 6].fake)
    assert not torch.equal(alone, through_loader(PairDataset(DrawnFaces(7), size=48, seed=6), 0))


@pytest.mark.slow
def test_spawned_workers_make_the_same_pairs_too():
    """As macOS and Windows start them; each imports torch anew."""
    pairs = PairDataset(DrawnFaces(7), size=48, seed=5)
    spawned = [through_loader(pairs, n, multiprocessing_context="spawn") for n in (1, 2)]
    assert all(torch.equal(through_loader(pairs, 0), s) for s in spawned)


def test_no_two_pairs_are_alike():
    pairs = PairDataset(DrawnFaces(5), size=48)
    made = [pairs[epoch, i] for epoch in range(8) for i in range(5)]
    for field in range(3):
        assert len({pair[field].numpy().tobytes() for pair in made}) == 40
    assert all(not torch.equal(pair.real, pair.fake) for pair in made)


def test_a_pair_shares_crop_mirroring_and_augmentation():
    """With the blending off, nothing is left that could tell the two images apart."""
    pairs = PairDataset(DrawnFaces(6), size=64, blender=OFF)
    for epoch, i in itertools.product(range(6), range(6)):
        pair = pairs[epoch, i]
        assert torch.equal(pair.real, pair.fake)
    unlike = PairDataset(DrawnFaces(6), size=64, blender=NOTHING)
    assert not all(torch.equal(pairs[0, i].real, unlike[0, i].real) for i in range(6))


def test_fakes_differ_inside_the_blending_mask():
    pairs = PairDataset(DrawnFaces(6), size=230, blender=SelfBlender(photometric=PLAIN))
    for epoch, i in itertools.product(range(4), range(6)):
        images = pairs.images((epoch, i))
        near = (
            cv2.dilate((images.blend > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        )  # resizing reaches a little
        assert np.array_equal(images.real[~near], images.fake[~near])


def test_half_the_faces_are_mirrored_with_their_mask_and_margins_vary():
    """Resized back, a plain crop is either the picture's or its mirror image, and the mask tells the margins."""
    store = DrawnFaces(1, width=110)
    face = store[0]
    pairs = PairDataset(store, size=64, blender=NOTHING)
    mirrored, widths, heights = [], [], []
    for epoch in range(300):
        pair, images = pairs[epoch, 0], pairs.images((epoch, 0))
        inside = images.mask > 0.5
        columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
        widths.append((columns[-1] + 1 - columns[0]) / 64)
        heights.append((rows[-1] + 1 - rows[0]) / 64)
        # cut the face's box out of the result again, and out of the picture, and compare
        cut = images.real[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        plain = cv2.resize(faces.crop(face.rgb, face.box, 0.0, 64), cut.shape[1::-1]).astype(float)
        apart = [np.abs(cut - side).mean() for side in (plain, plain[:, ::-1])]
        assert min(apart) < 0.5 * max(apart)
        mirrored.append(apart[1] < apart[0])
        mask = faces.face_mask(face.landmarks, face.rgb.shape)
        mask = cv2.resize(faces.crop(np.repeat(mask[..., None], 3, 2), face.box, 0.0, 64)[..., 0], cut.shape[1::-1])
        mask = mask[:, ::-1] if mirrored[-1] else mask
        assert np.abs(mask - pair.mask[0].numpy()[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).mean() < 0.05
    assert stats.binomtest(sum(mirrored), 300, 0.5).pvalue > 1e-3
    for shares in (np.array(widths), np.array(heights)):  # 1 / (1 + both margins), each 5-20 %
        assert shares.min() > 1 / 1.4 - 0.04
        assert shares.max() < 1 / 1.1 + 0.04
        assert shares.mean() == pytest.approx(1 / 1.25, abs=0.02)
        assert shares.std() > 0.02


def test_margins_and_the_share_of_mirrored_faces_are_settings():
    store = DrawnFaces(3)
    for share in (0.0, 1.0):
        pairs = PairDataset(store, size=64, blender=replace(NOTHING, margin=(0.1, 0.1), mirror=share, test_margin=0.3))
        for i in range(3):
            face = faces.crop(store[i].rgb, store[i].box, 0.1, 64)
            near = np.abs(pairs.images((1, i)).real.astype(int) - (face[:, ::-1] if share else face))
            assert near.max() <= 1  # mirrored before or after it is resized
    held_out = PairDataset(store, size=64, train=False, blender=replace(NOTHING, test_margin=0.3))
    assert np.array_equal(held_out.images(2).real, faces.crop(store[2].rgb, store[2].box, 0.3, 64))


def test_held_out_pairs_are_the_test_crop_and_stay_the_same():
    store = DrawnFaces(5)
    pairs = PairDataset(store, size=64, train=False, blender=OFF)
    for i in range(5):
        face = store[i]
        assert np.array_equal(pairs.images(i).real, faces.crop(face.rgb, face.box, 0.125, 64))
    blended = PairDataset(store, size=64, train=False)
    assert torch.equal(blended[0, 3].fake, blended[7, 3].fake)
    assert not torch.equal(blended[3].fake, blended[3].real)
    assert len({blended[i].fake.numpy().tobytes() for i in range(5)}) == 5


def test_augmentations_come_as_often_as_they_should():
    draws = [Photometric().draw(np.random.default_rng([1, i])) for i in range(3000)]
    for changed in (
        sum(any(c.rgb) for c, _ in draws),
        sum(c.hue != 0 for c, _ in draws),
        sum(c.contrast != 0 for c, _ in draws),
    ):
        assert stats.binomtest(changed, 3000, 0.3).pvalue > 1e-4
    qualities = [q for _, q in draws if q is not None]
    assert stats.binomtest(len(qualities), 3000, 0.5).pvalue > 1e-4
    counts = [Counter(qualities)[q] for q in range(40, 101)]
    assert sum(counts) == len(qualities)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_a_fake_in_the_store_is_an_error_that_names_it():
    store = DrawnFaces(3)
    store.manifest.loc[1, "label"] = "fake"
    with pytest.raises(UserError, match="drawn v1 is labelled fake"):
        PairDataset(store)
    with pytest.raises(UserError, match="holds no face"):
        PairDataset(DrawnFaces(0))
    with pytest.raises(UserError, match="size"):
        PairDataset(DrawnFaces(1), size=3)


def test_a_face_that_cannot_be_blended_is_an_error_that_names_it():
    store = DrawnFaces(3)
    good = store.faces[2]
    store.faces[2] = DrawnFace(good.rgb, np.full((68, 2), 60, np.float32), good.box)
    pairs = PairDataset(store, size=32)
    assert pairs[0, 1].real.shape == (3, 32, 32)
    with pytest.raises(UserError, match=r"drawn v2, frame 0: .*no usable hull"):
        pairs[0, 2]


# ---- the order ----


def test_every_epoch_holds_every_index_once_in_its_own_order():
    stream = list(itertools.islice(PairSampler(10, seed=4), 35))
    orders = [[i for e, i in stream if e == epoch] for epoch in range(4)]
    assert [e for e, _ in stream] == [k // 10 for k in range(35)]
    assert [sorted(order) for order in orders[:3]] == [list(range(10))] * 3
    assert len({tuple(order) for order in orders[:3]}) == 3
    assert stream == list(itertools.islice(PairSampler(10, seed=4), 35))
    assert stream != list(itertools.islice(PairSampler(10, seed=5), 35))
    plain = PairSampler(3, shuffle=False, samples=5)
    assert list(plain) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


@pytest.mark.parametrize("start", [0, 3, 10, 27])
def test_a_stream_resumes_where_it_stopped(start):
    whole = list(PairSampler(10, seed=1, samples=40))
    rest = PairSampler(10, seed=1, samples=40 - start, start=start)
    assert list(rest) == whole[start:]
    assert len(rest) == 40 - start


def test_an_endless_stream_has_no_length():
    with pytest.raises(TypeError):
        len(PairSampler(10))
    with pytest.raises(ValueError, match="start"):
        PairSampler(10, start=-1)


# ---- a store of photographs ----


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    if not PHOTOGRAPHS.is_dir():
        pytest.skip("no photographs beside the repository")
    import dfnb.data.store

    rows = [
        {"path": str(p), "dataset": "photographs", "video": p.stem, "label": "real", "method": "", "group": p.stem}
        for p in sorted(PHOTOGRAPHS.glob("*.jpg"))[::90]
    ]
    root = tmp_path_factory.mktemp("store")
    dfnb.data.store.prepare(pd.DataFrame(rows).assign(split="train"), root, frames=1, jobs=1)
    return dfnb.data.store.open_store(root)


def test_a_store_of_photographs_feeds_workers(photographs):
    pairs = PairDataset(photographs, size=128)
    sampler = PairSampler(pairs, samples=8)
    loader = DataLoader(pairs, 4, sampler=sampler, num_workers=1, worker_init_fn=init_worker)
    batches = list(loader)
    assert [b.real.shape for b in batches] == [(4, 3, 128, 128)] * 2
    first = next(iter(sampler))
    assert torch.equal(batches[0].fake[0], pairs[first].fake)
    changed = torch.cat([(b.real - b.fake).abs().flatten(1).amax(1) for b in batches])
    assert torch.all(changed > 2 / 127.5)
    assert all(0.3 < m.mean() < 0.8 for b in batches for m in b.mask)
