"""Find the numbered notebooks, read them, and run them through papermill."""

import errno
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tqdm.auto import tqdm

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.experiment import jobs

PACKAGE = Path(__file__).parents[1]
KERNELS = 4  # at the same time: with more of them nothing is gained, since the longest notebook takes a quarter of all


class NotebookError(Exception):
    """A notebook failed: names the notebook and the cell, and carries the traceback."""


def find_notebooks(folder: Path | None = None) -> list[Path]:
    """The numbered notebooks, in order: of `folder`, or of the project.

    Raises UserError where there are none.
    """
    candidates = [folder] if folder else [Path("notebooks"), PACKAGE.parent / "notebooks"]
    for candidate in candidates:
        found = sorted(candidate.glob("[0-9][0-9]_*.ipynb"))
        if found:
            return found
    raise UserError(f"no numbered notebooks in {candidates[0]}: run from the project's folder, or give --notebooks")


@dataclass(frozen=True)
class Notebook:
    """A notebook to be executed into `folder`, unless it was executed there with the same cells and `state`.

    state: a hash of all that its outputs depend on besides its cells.
    """

    source: Path
    folder: Path
    parameters: dict[str, Any]
    state: str

    @property
    def _stamp(self) -> Path:
        return (self.folder / self.source.name).with_suffix(".stamp")

    @cached_property
    def _current(self) -> str:
        return files.digest([source_hash_of(read_notebook(self.source)), self.state])

    def is_current(self) -> bool:
        """Whether it was executed as it is now."""
        there = (self.folder / self.source.name).exists() and self._stamp.exists()
        return there and self._stamp.read_bytes() == self._current.encode()

    def finish(self) -> None:
        """Execute it. Raises as `execute`."""
        execute(self.source, self.folder / self.source.name, self.parameters)
        files.write_text(self._stamp, self._current)


def execute_all(notebooks: Sequence[Notebook], most: int, threads: int | None) -> None:
    """Execute notebooks, several at a time.

    most: at the same time, but no more than `KERNELS` and than there is memory for. threads: of each kernel.
    Raises what the first that failed raised, when those beside it have ended; what is finished is kept.
    """
    most = jobs.with_memory(min(most, KERNELS, len(notebooks)))
    failed: list[Exception] = []
    todo = (notebook for notebook in notebooks if not failed)
    with tqdm(total=len(notebooks), desc="notebooks", unit="notebook", disable=None if notebooks else True) as bar:
        for notebook, error in jobs.finished(todo, most, threads, bar, (UserError, NotebookError)):
            failed += [] if error is None else [error]
            jobs.done(bar, f"notebook {notebook.source.name}")
    if failed:
        raise failed[0]


def execute(source: Path, target: Path, parameters: dict[str, Any]) -> None:
    """Run one notebook through papermill into `target`, whole or not at all.

    Raises NotebookError naming notebook and cell, with the traceback; UserError where that is what a cell raised, and
    where the disk is full.
    """
    with files.replacing(target) as temporary:
        try:
            papermill.execute_notebook(
                source,
                temporary,
                parameters=parameters,
                kernel_name="python3",
                language="python",
                cwd=Path.cwd(),
                extra_arguments=["--log-level=CRITICAL"],  # a kernel that is stopped would complain
            )
        except DeadKernelError:
            raise NotebookError(
                f"{source.name}: its kernel died, killed or out of memory; the finished notebooks are kept"
            ) from None
        except PapermillExecutionError as error:
            where = f"{source.name}, cell {error.cell_index + 1}"
            if error.ename == "UserError":  # one clear line already
                raise UserError(f"{where}: {error.evalue}") from None
            trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
            if os.strerror(errno.ENOSPC) in trace:  # an encoder has the system's error within one of its own
                raise UserError(
                    f"{where}: the disk is full; free some space and run it again, what is finished is kept"
                ) from None
            failed = target.with_suffix(".failed.ipynb")
            shutil.copyfile(temporary, failed)
            raise NotebookError(f"{where}: {error.ename}: {error.evalue}\n{trace}\nkept as {failed}") from error


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """A notebook in format 4. Raises UserError where it is no notebook."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, nbformat.ValidationError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a notebook ({reason}); replace it by a valid .ipynb file") from None
    return notebook


def source_hash_of(notebook: nbformat.NotebookNode) -> str:
    """A hash of a notebook's cells without their outputs."""
    cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    return files.digest([(cell.cell_type, cell.source) for cell in cells])
