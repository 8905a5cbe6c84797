"""What a result says it was made with, also where a package's record is missing or has another name."""

import sys
from importlib import metadata

import av
import cv2
import dlib
import numpy as np
import pytest
import sklearn
import timm

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
    for name, module in (("dlib", dlib), ("opencv", cv2), ("numpy", np), ("av", av), ("timm", timm)):
        assert found[name].startswith(module.__version__)
    assert found["scikit-learn"] == sklearn.__version__


def test_what_is_neither_recorded_nor_in_use_is_left_out(monkeypatch):
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    monkeypatch.setitem(sys.modules, "anny", None)
    assert environment.versions("numpy", "anny") == {"numpy": np.__version__}
