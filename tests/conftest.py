"""The order of the tests, and how many threads each of the processes that run them has."""

import os

import pytest

pytest_plugins = ["filmed", "untrained", "viewers"]  # fixtures that several rooms use

LONG = "test_smoke.py"  # makes a whole report first

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):  # each its share of the cores, and what it starts
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file: with two workers the other one meanwhile runs all the rest."""
    items.sort(key=lambda item: item.path.name != LONG)
