"""What a result says it was made with, also where a package's record is missing or has another name."""

from importlib import metadata, util

import dlib
import numpy as np
import pytest

from dfnb.common import environment


@pytest.mark.parametrize("lost", sorted({name for _, *names in environment.PACKAGES.values() for name in names}))
def test_a_missing_record_never_ends_a_run(monkeypatch, lost):
    version = metadata.version

    def known(name: str) -> str:
        if name == lost:
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", known)
    found = environment.describe()["versions"]
    assert {"torch", "timm", "dlib", "opencv", "numpy", "scikit-learn", "av"} <= found.keys()
    assert (found["dlib"], found["numpy"]) == (dlib.__version__, np.__version__)


def test_an_extra_that_is_not_installed_is_left_out(monkeypatch):
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    find = util.find_spec
    monkeypatch.setattr(environment, "find_spec", lambda name: None if name in ("anny", "warp") else find(name))
    assert set(environment.PACKAGES) - set(environment.versions()) == {"anny", "warp-lang"}
