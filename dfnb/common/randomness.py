"""Random numbers: an explicit generator for each purpose, so that no two purposes share a stream."""

import zlib

import numpy as np


def generator(purpose: str, *key: int) -> np.random.Generator:
    """The generator of this purpose, such as "order of faces", and key, such as (seed, epoch, index).

    The length of the key is part of it: numpy takes [1, 2] and [1, 2, 0] for the same seed.
    """
    return np.random.default_rng([zlib.crc32(purpose.encode()), len(key), *key])
