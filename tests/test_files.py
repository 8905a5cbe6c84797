"""Whole or not at all."""

import hashlib

import pytest

from dfnb import files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    files.write_text(path, "old")

    def half() -> None:
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_file_is_readable_by_others_as_the_umask_says(tmp_path):
    plain, path = tmp_path / "plain", tmp_path / "new" / "file.txt"
    plain.touch()
    files.write_text(path, "text")
    assert path.stat().st_mode == plain.stat().st_mode


def test_sha256_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 100_000)
    assert files.sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_equal_settings_have_equal_digests_whatever_their_order():
    assert files.digest({"a": 1, "b": (2, 3)}) == files.digest({"b": [2, 3], "a": 1})
    assert files.digest({"a": 1}) != files.digest({"a": 2})
