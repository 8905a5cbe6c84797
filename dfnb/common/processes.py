"""Several processes: the ones that train together, and the cluster that finds faces.

`accelerate launch` and torchrun start the same command several times. Then

- all of them train: each takes its share of every batch (`train.batches`);
- only the main one writes, be it faces, checkpoints or history. `main_first` lets it prepare what is missing while
  the others wait, for as long as it takes;
- whatever has nothing to share (`dfnb prepare`, `evaluate`, `report`) says so and stops (`alone`).

Several machines must see the same `runs/` and the same data, under the same paths.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from dfnb.common.errors import UserError

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger(__name__)
PATIENCE = timedelta(days=7)  # faces of a whole set may take hours; collectives of the training keep their own limits
ADVICE = "start it once, without accelerate launch or torchrun; only `dfnb train` shares its work"


def count() -> int:
    """How many processes were started together, by what the launcher left in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this is the process that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def alone(command: str) -> None:
    """Raises UserError where `command` was started as one of several processes."""
    if count() > 1:
        raise UserError(f"dfnb {command} runs as one process, and {count()} were started: {ADVICE}")


def accelerator(mixed_precision: str = "no") -> Accelerator:
    """Accelerate's view of this process.

    Without a GPU, processes that were started together find each other only where accelerate gets `cpu=True`.
    """
    from accelerate import Accelerator

    return Accelerator(mixed_precision=mixed_precision, cpu=_on_cpu())


def _on_cpu() -> bool:
    import torch

    return count() > 1 and not torch.cuda.is_available()


@contextmanager
def main_first() -> Iterator[None]:
    """The block runs on the main process; then, when that is through, on the others. Alone it simply runs."""
    if count() == 1:
        yield
        return
    import torch.distributed as dist
    from accelerate import PartialState

    PartialState(cpu=_on_cpu())  # joins the processes
    waiting = _patient_group()
    if not is_main():
        dist.barrier(group=waiting)
    yield
    if is_main():
        dist.barrier(group=waiting)


@cache
def _patient_group() -> Any:
    """A group of all processes, on the CPU, in which one may wait for long."""
    import torch.distributed as dist

    return dist.new_group(backend="gloo", timeout=PATIENCE)


def launch(function: Callable[..., Any], *arguments: Any, batch: int, gpus: int) -> None:
    """Call `function` in this process; in a notebook's kernel that sees several GPUs, once for each of them.

    There accelerate's `notebook_launcher` forks, which only works before this process has used a GPU, or asked one
    anything but how many there are. batch: what the processes share evenly, so that as many GPUs are used as divide it.
    gpus: how many can be used (`devices.hardware`).
    """
    most = _processes_to_start(gpus)
    shared = max(n for n in range(1, most + 1) if batch % n == 0)
    if shared == 1:
        function(*arguments)
        return
    from accelerate import notebook_launcher

    notebook_launcher(_in_a_fork, (function, *arguments), num_processes=shared)


def _in_a_fork(function: Callable[..., Any], *arguments: Any) -> None:
    """Call `function` with one torch thread, as torchrun does: a fork would wait forever for its parent's threads."""
    import torch

    torch.set_num_threads(1)
    function(*arguments)


def in_a_kernel() -> bool:
    """Whether this is a notebook's kernel, the only place where `launch` may start further processes."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _processes_to_start(gpus: int) -> int:
    if count() > 1 or not in_a_kernel():
        return 1
    import torch
    from accelerate.state import AcceleratorState

    if gpus > 1 and (torch.cuda.is_initialized() or AcceleratorState._shared_state):
        log.warning("this kernel has used a GPU already, so it trains on one of %d: restart it to use all", gpus)
        return 1
    return max(gpus, 1)


@contextmanager
def cluster(backend: str, scheduler: str | None) -> Iterator[bool]:
    """Where joblib's work goes inside the block; yields whether that is somewhere else than this machine.

    backend: "loky" (processes here) or "dask" (the workers of the Dask cluster whose scheduler is at `scheduler`, such
        as "tcp://10.0.0.1:8786"; they need this package and the same folders).
    Raises UserError: an unknown backend, no scheduler or one that can't be reached, a worker that kept dying.
    """
    if backend == "loky":
        if scheduler is not None:
            raise UserError(f"--scheduler {scheduler} goes with --backend dask")
        yield False
        return
    if backend != "dask":
        raise UserError(f"backend {backend!r} is unknown; use loky or dask")
    if scheduler is None:
        raise UserError("--backend dask needs --scheduler ADDRESS, such as tcp://10.0.0.1:8786")
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise UserError("--backend dask needs the package distributed: install dfnb with its extra 'cluster'") from None
    import joblib

    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise UserError(f"--scheduler {scheduler}: no Dask scheduler can be reached there ({error})") from None
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise UserError(f"--scheduler {scheduler}: this Dask cluster has no workers; start some (dask worker ...)")
        with joblib.parallel_config(backend="dask", client=client):
            try:
                yield True
            except KilledWorker as error:
                raise UserError(
                    f"--scheduler {scheduler}: a worker died again and again ({error}); finished videos are kept, so "
                    "give the workers more memory and run it again"
                ) from None
