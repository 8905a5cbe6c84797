"""Writing files so that nothing half-written stays, and telling files and settings apart by hash."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfnb.common.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_TEMPORARY = re.compile(r"\..+-[a-z0-9_]{8}(\.[a-z0-9]+)?")  # how `replacing` names its files


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside `path`, renamed to it when the block ends well and removed when it doesn't.

    Missing parent folders are made. The temporary file keeps the suffix, since writers look at it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; the finished one is an ordinary one
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path, option: str) -> None:
    """Before long work: whether its result can be written to `path`, which `option` named. Makes missing folders.

    Raises UserError.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; {option} needs the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UserError(f"{option}: {path.parent} can't be written into ({error.strerror})") from None


def tidy(folder: Path) -> None:
    """Remove the temporary files that a killed `replacing` left in `folder`. Only for one who works there alone."""
    for file in folder.glob(".*-*"):
        if _TEMPORARY.fullmatch(file.name):
            file.unlink(missing_ok=True)


def plain(text: str) -> str:
    """The same text where it can be written as UTF-8; bytes of a file's name that are none become escapes (\\udcff)."""
    return text.encode(errors="backslashreplace").decode()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `plain(text)`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(plain(text), encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as JSON with sorted keys, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, default=str) + "\n")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object that `write_json` wrote. Raises UserError, naming the file, where it isn't one any more."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(value, dict):
            return value
        reason = "no object in it"
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error)
    raise UserError(f"{path}: damaged ({reason}); delete it, and it is made again")


def read_csv(path: str | os.PathLike[str], remedy: str, **options: Any) -> "pd.DataFrame":
    """A table that the project wrote. remedy: what to do about a damaged one; options: of `pandas.read_csv`.

    Raises UserError, naming the file, where it can't be read.
    """
    import pandas as pd

    try:
        return pd.read_csv(path, **options)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{path}: can't be read ({' '.join(str(error).split())}); {remedy}") from None


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_known(path: str | os.PathLike[str]) -> str:
    """`sha256`, computed once for as long as the file's size and time of change stay."""
    about = os.stat(path)
    return _sha256_at(os.fspath(path), about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256_at(path: str, size: int, changed: int) -> str:
    return sha256(path)


def digest(value: Any) -> str:
    """A short hash (16 hexadecimal digits) of anything JSON can write; equal settings, equal hash."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
