"""Faults of worker processes and of memory, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dfnb.common.errors import UserError


@contextmanager
def named_faults(doing: str) -> Iterator[None]:
    """Inside, what goes wrong in a loader's worker, or for want of memory, is a UserError in one line.

    Torch has a worker's death and a full memory as a RuntimeError, and a worker's own error with its whole traceback.

    doing: at what, for the error.
    """
    advice = "what is finished is kept, so run it again with a smaller batch or fewer workers"
    try:
        yield
    except MemoryError:
        raise UserError(f"{doing}: out of memory; {advice}") from None
    except UserError as error:
        raise UserError(str(error).rpartition("UserError: ")[2].strip()) from None
    except RuntimeError as error:
        if "shared memory" in str(error):
            raise UserError(f"{doing}: shared memory (/dev/shm) is full; give it more, or set workers to 0") from None
        if "DataLoader worker" in str(error):
            raise UserError(f"{doing}: a worker process died, killed or out of memory; {advice}") from None
        if "MemoryError" in str(error) or "out of memory" in str(error) or "can't allocate memory" in str(error):
            raise UserError(f"{doing}: out of memory; {advice}") from None
        raise
