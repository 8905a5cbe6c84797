"""The order of the tests."""

import pytest

LONG = "test_smoke.py"  # makes a whole report first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file: with two workers the other one meanwhile runs all the rest."""
    items.sort(key=lambda item: item.path.name != LONG)
