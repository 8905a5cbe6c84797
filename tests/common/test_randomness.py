"""Generators: the same for the same purpose and key, and never one stream for two."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dfnb.common.randomness import generator
from dfnb.sbi import PairSampler

PURPOSES = ("pair", "held-out pair", "order of faces", "corruption")
KEYS = st.lists(st.integers(0, 2**32 - 1), max_size=4)


def first(purpose: str, *key: int) -> int:
    return int(generator(purpose, *key).integers(2**62))


def test_numpy_takes_a_key_and_the_same_with_zeros_after_it_for_one_seed():
    """Why the length is part of the key."""
    assert np.random.default_rng([1, 2]).random() == np.random.default_rng([1, 2, 0]).random()
    assert first("pair", 1, 2) != first("pair", 1, 2, 0)


@given(KEYS, KEYS)
def test_another_key_is_another_stream(a, b):
    assert first("pair", *a) == first("pair", *a)
    assert (first("pair", *a) == first("pair", *b)) == (a == b)


def test_purposes_share_no_stream():
    keys = list(itertools.product(range(3), repeat=2)) + list(itertools.product(range(3), repeat=3))
    drawn = [first(purpose, *key) for purpose in PURPOSES for key in keys]
    assert len(set(drawn)) == len(drawn)


def test_an_epochs_order_is_not_drawn_from_the_numbers_of_its_first_pair():
    order = PairSampler(1000, seed=5).order(3)
    assert not np.array_equal(order, generator("pair", 5, 3, 0).permutation(1000))
