"""Whole or not at all."""

import hashlib
import subprocess
import sys

import pytest

from dfnb.common import errors, files


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


def test_only_what_a_killed_write_left_is_tidied_away(tmp_path):
    """A real one: the process ends inside the block."""
    script = "import os; from dfnb.common import files\nwith files.replacing('a-b.txt') as temporary: os._exit(9)"
    assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False).returncode == 9
    for name in (".lock", ".hidden", ".mine-is-long.txt", "b-12345678.txt"):
        (tmp_path / name).touch()
    assert len(list(tmp_path.iterdir())) == 5
    files.tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".hidden",
        ".lock",
        ".mine-is-long.txt",
        "b-12345678.txt",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain, ä 日本 😀", "plain, ä 日本 😀"), ("a\nb\tc", r"a\nb\tc"), ("\x1b[31m\x07", r"\x1b[31m\x07"),
     ("\udcff\udcfe", r"\udcff\udcfe"), ("gpj.\u202egnp", r"gpj.\u202egnp"), ("a\u2028b", r"a\u2028b")],
)  # fmt: skip
def test_names_are_printed_in_one_line_that_commands_no_terminal(text, shown):
    assert errors.printable(text) == shown
    files.plain(text).encode("utf-8")
