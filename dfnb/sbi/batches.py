"""The order of the pairs, and each process's share of every batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from dfnb.common.errors import UserError
from dfnb.common.randomness import generator

if TYPE_CHECKING:
    from accelerate import Accelerator


class PairSampler:
    """(epoch, index) pairs for a `PairDataset`, from position `start` on: each epoch holds each index once.

    data: the dataset, or its length N.
    seed: decides, with the epoch, the order of that epoch. shuffle: False for the order 0..N-1.
    samples: how many pairs in all, None for an endless stream.
    start: pairs already seen, for resuming. Position k is in epoch k // N, and the stream from `start` on equals the
        whole stream without its first `start` pairs.

    Epochs follow one another without a break, so a batch may hold the end of one and the beginning of the next; only
    the very last batch can be short, where `samples` is no multiple of the batch.
    Raises ValueError for an empty dataset and for a negative start or number of samples.
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
        return generator("order of faces", self.seed, epoch).permutation(self.length)


class Batches:
    """This process's share of every batch from step `start` on, a list of (epoch, index) each: a `batch_sampler`.

    faces: in the store. batch: pairs in a batch, over all processes. seed: of the order. steps: of the whole training.
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
        while batch := list(itertools.islice(stream, self.batch)):
            yield batch[self.rank :: self.world]


def init_worker(worker: int) -> None:
    """A loader's `worker_init_fn`: OpenCV with one thread a worker, since the workers share the cores already."""
    cv2.setNumThreads(0)
