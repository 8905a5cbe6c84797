"""Score tables on disk: what each must hold, how its numbers came about, and which may stand beside each other.

Every row is stamped with `STAMPS`: the network, the SHA-256 of its checkpoint, the hash of the face store, and the
protocol in words. Two tables are comparable only where store and protocol agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dfnb.common import code
from dfnb.common.errors import UserError

STAMPS = ("network", "checkpoint", "store", "protocol")
PLACE = ("dataset", "split", "video", "frame", "face", "x0", "y0", "x1", "y1", "label", "method", "group")
MARGIN = 0.125  # of the box on each side of a scored crop, SBI's test protocol
MAX_ROWS = 50_000_000
_MADE_WITH = b"made_with"
_NUMBERS = ("frame", "face", "x0", "y0", "x1", "y1", "score")


def describe(
    store: Mapping[str, Any], size: int, pairs: Mapping[str, Any] | None = None, precision: str = "float32"
) -> str:
    """How a table's scores come about, in words: equal protocols, equal words, on every machine.

    store: settings of the face store (frames, keep, detector, longest_side, upsample, retry). size: side of the
    network's input, pixels. pairs: settings of self-blending where the table is of held-out SBI pairs. precision: as
    the profile asks for it; what it became is `made_with`.
    """
    finder = f"{store['detector']} at {store['longest_side']} px, upsample {store['upsample']}, retry {store['retry']}"
    words = f"{store['frames']} frames a video, {store['keep']} faces ({finder}), crops of {size} px, margin {MARGIN:g}"
    if precision != "float32":
        words += f", precision {precision}"
    if pairs is not None:
        switches = ", ".join(f"{name} {value}" for name, value in sorted(pairs.items()))
        words += f"; held-out SBI pairs, seed 0 ({switches})"
    rooms = ("networks", "scoring.score", "scoring.inference", "data.faces", *(("sbi",) if pairs is not None else ()))
    return f"{words}; code {code.digest_of(*rooms, without=code.FILES_OF_NETWORKS)}"


def how(precision: str, kind: str) -> str:
    """Precision and kind of device in words, such as "float32, ONNX Runtime" or "float32 on a GPU"."""
    return f"{precision} on a GPU" if kind == "cuda" else precision


def write(path: Path, table: pd.DataFrame, made_with: Mapping[str, Any]) -> None:
    """Write a score table as Parquet. made_with: device, precision and versions, kept beside the rows."""
    whole = pa.Table.from_pandas(table, preserve_index=False)
    note = {_MADE_WITH: json.dumps(dict(made_with), sort_keys=True)}
    pq.write_table(whole.replace_schema_metadata((whole.schema.metadata or {}) | note), path, write_page_checksum=True)


def made_with(path: Path) -> dict[str, Any]:
    """What `write` was given: on what, and in which precision, a table was scored. {} where it doesn't say."""
    try:
        found = json.loads((pq.read_schema(path).metadata or {}).get(_MADE_WITH, b"{}"))
    except (pa.ArrowException, OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def state_of(path: Path, about: Mapping[str, str], embeddings: bool = True) -> str:
    """ "missing", "outdated" (made of something else, or in another way) or "current". Raises UserError as `load`.

    about: the stamps that a current table has. embeddings: False for tables that are kept without.
    """
    if not (path.exists() and (path.with_suffix(".npy").exists() or not embeddings)):
        return "missing"
    names = _parquet(path, []).column_names
    if not all(names.count(stamp) == 1 for stamp in about):
        return "outdated"
    read = _parquet(path, list(about))
    if not all(_is_text(kind) for kind in read.schema.types):
        return "outdated"
    stamps = read.to_pandas(ignore_metadata=True).drop_duplicates()
    return "current" if len(stamps) == 1 and stamps.iloc[0].to_dict() == dict(about) else "outdated"


def state(path: Path) -> tuple[int, int]:
    """Size and time of change of a score table: while they stay, so does what was made of it."""
    about = path.stat()
    return about.st_size, about.st_mtime_ns


def load(path: Path) -> pd.DataFrame:
    """A score table: PLACE, score and STAMPS, a row a face; read once for as long as it stays as it is.

    Raises UserError naming the file and the fault: unreadable, a column missing or of another kind, a label other than
    real and fake, a score that is no probability, stamps that differ from row to row.
    """
    try:
        return _read(path, state(path)).copy()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); run `dfnb evaluate` again") from None


@lru_cache(maxsize=2)
def _read(path: Path, _: tuple[int, int]) -> pd.DataFrame:
    read = _parquet(path, None)
    remedy = "delete it and run `dfnb evaluate` again"
    for name in (*PLACE, "score", *STAMPS):
        if read.column_names.count(name) != 1:
            raise UserError(f"{path}: not a score table, it has no column {name} of its own; {remedy}")
    texts = {name for name in (*PLACE, *STAMPS) if name not in _NUMBERS}
    for name in texts:
        if not _is_text(read.schema.field(name).type) or (name in STAMPS and read.column(name).null_count):
            raise UserError(f"{path}: column {name} holds something else than texts; {remedy}")
    try:
        # stamps are the longest texts and the same in every row; what pandas noted in the file may be damaged
        table = read.to_pandas(categories=list(STAMPS), ignore_metadata=True)
    except (pa.ArrowException, ValueError, OverflowError) as error:  # a column more than ours, of a kind of its own
        raise UserError(f"{path}: can't be read ({str(error).splitlines()[0]}); {remedy}") from None
    for name in _NUMBERS:
        if not pd.api.types.is_numeric_dtype(table[name]) or not np.isfinite(table[name].to_numpy(float)).all():
            raise UserError(f"{path}: column {name} holds something else than finite numbers; {remedy}")
    if not table["score"].between(0, 1).all():
        raise UserError(f"{path}: a score is no probability (0 to 1); {remedy}")
    if odd := sorted(set(map(str, table["label"])) - {"real", "fake"}):
        raise UserError(f"{path}: label {odd[0]!r} is neither real nor fake; {remedy}")
    for name in STAMPS:
        if table[name].nunique(dropna=False) != 1:
            raise UserError(f"{path}: {table[name].nunique(dropna=False)} values of {name} in one table; {remedy}")
    return table


def embeddings(path: Path, rows: int) -> NDArray[np.float32]:
    """What the head saw of each face of a table, (rows, D) float32. Raises UserError naming a damaged file."""
    file = path.with_suffix(".npy")
    try:
        array = np.array(np.lib.format.open_memmap(file, mode="r"))  # no other kind of file, and no larger than it is
    except (OSError, ValueError, EOFError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{file}: can't be read ({reason}); delete it and run `dfnb evaluate` again") from None
    if array.dtype != np.float32 or array.ndim != 2 or len(array) != rows:
        shape = f"{array.dtype} {array.shape}"
        raise UserError(f"{file}: {shape} beside {rows} scores; delete it and run `dfnb evaluate` again")
    return array


def together(tables: Iterable[pd.DataFrame], what: str) -> None:
    """Raises UserError where score tables were made in different ways, so that their numbers can't be compared.

    tables: as `load` gives them, of one test part. what: the part, for the error.
    """
    seen: dict[str, tuple[str, str]] = {}
    for table in tables:
        if missing := [name for name in STAMPS if name not in table]:
            raise UserError(f"{what}: a score table doesn't say its {missing[0]}, so it can't be compared")
        name = str(table["network"].iloc[0])
        for stamp in ("protocol", "store"):
            value = str(table[stamp].iloc[0])
            other, before = seen.setdefault(stamp, (name, value))
            if value != before:
                raise UserError(
                    f"{what}: {other} and {name} were scored in different ways ({stamp}: {before} / {value}); score "
                    "them again with one profile"
                )


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _parquet(path: Path, columns: list[str] | None) -> pa.Table:
    """Columns of a Parquet file; all for None, and only their names for []."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if file.metadata.num_rows > MAX_ROWS:
                raise UserError(f"{path}: more than {MAX_ROWS} rows, so not a score table of ours")
            return file.schema_arrow.empty_table() if columns == [] else file.read(columns, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: can't be read ({reason}); delete it and run `dfnb evaluate` again") from None
