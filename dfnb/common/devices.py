"""Where networks are trained and scored, and in which precision: one place decides, by rule, and says it in words.

Rules instead of measurements, so that the same profile gives the same numbers on the same machine. What a profile asks
for ("auto", "fast") is part of the keys of results; what became of it on the machine at hand is decided here, and
recorded beside the result.

`torch.compile` isn't used. On a processor it needs a C++ compiler, which many laptops lack, and a compiled SAM step of
the embedded benchmark's network was no faster, after minutes of compiling.
"""

import logging
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from dfnb.common import processes

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
Precision = Literal["auto", "float32", "fast"]  # how networks score
LARGE = 256  # pixels: from this side of the input on, "auto" is "fast"; smaller networks score quickly enough
FLOAT32, FAST = "float32", "float32, ONNX Runtime"
BFLOAT16_SINCE = (8, 0)  # compute capability (Ampere); older GPUs emulate bfloat16, which gains nothing


class Hardware(NamedTuple):
    """What networks can be computed on here.

    gpus: names of the CUDA GPUs that this torch and driver can use; capability: the lowest compute capability of these,
    (major, minor). mps: Apple's GPU. bfloat16: whether the processor multiplies matrices of bfloat16 (AMX).
    """

    gpus: tuple[str, ...] = ()
    capability: tuple[int, int] = (0, 0)
    mps: bool = False
    bfloat16: bool = False


@cache
def hardware() -> Hardware:
    """What this machine has.

    GPUs are asked in a process of their own: a notebook's kernel that has asked one anything but how many there are
    can't start a training on each of several any more.
    """
    import torch

    mps = bool(torch.backends.mps.is_available())
    bfloat16 = bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    names, capabilities = [], []
    if torch.cuda.device_count():  # counted without the driver's help
        names, capabilities = _asked_elsewhere()
        if not names:
            log.warning("CUDA can't use this machine's GPUs, so the processor computes: is their driver too old?")
    return Hardware(tuple(names), min(capabilities, default=(0, 0)), mps, bfloat16)


def _asked_elsewhere() -> tuple[list[str], list[tuple[int, int]]]:
    """`_ask_gpus` in a process that ends afterwards; nothing where that one can't be asked."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_ask_gpus).result()
        except (RuntimeError, AssertionError) as error:  # what torch raises; a pool that broke is a RuntimeError
            log.warning("the GPUs can't be asked (%s)", str(error).strip().splitlines()[0])
            return [], []


def _ask_gpus() -> tuple[list[str], list[tuple[int, int]]]:
    """Name and compute capability of every GPU that CUDA can use here."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return (
        [torch.cuda.get_device_name(index) for index in range(count)],
        [torch.cuda.get_device_capability(index) for index in range(count)],
    )


def precision(asked: str, size: int) -> Literal["no", "bf16"]:
    """What `train.mixed_precision` means on this machine, for inputs of `size` pixels.

    "auto" is bf16 on GPUs that compute in it (since Ampere), and for inputs of 256 px and more on a processor with
    matrix units for it; smaller ones lose more there by the conversions than they gain. (Vector instructions for
    bfloat16 gain nothing: a step of EfficientNet-B4 at 380 px takes longer than in float32.)
    """
    if asked != "auto":
        return asked
    here = hardware()
    if here.gpus:
        return "bf16" if here.capability >= BFLOAT16_SINCE else "no"
    if here.mps:
        return "no"
    return "bf16" if size >= LARGE and here.bfloat16 else "no"


def choose(asked: Precision, size: int, kind: str = "cpu") -> str:
    """How a network scores, in words: `FLOAT32` or `FAST`.

    asked: "fast" is for processors, and float32 on a GPU. "auto" is "fast" for inputs of at least `LARGE` px a side,
    else "float32". kind: of the device, "cpu" or "cuda".
    """
    wants_fast = asked == "fast" or (asked == "auto" and size >= LARGE)
    return FAST if wants_fast and kind == "cpu" else FLOAT32


def kind_of_scoring() -> Literal["cuda", "cpu"]:
    """Where networks score: on the GPU; on the processor where there is none that CUDA can use (also beside Apple's).

    A notebook's kernel that sees several GPUs takes one only where it uses one already, since `processes.launch` can
    train on all of them only from a kernel that doesn't.
    """
    gpus = hardware().gpus
    if len(gpus) > 1 and processes.in_a_kernel():
        import torch

        return "cuda" if torch.cuda.is_initialized() else "cpu"
    return "cuda" if gpus else "cpu"


def scoring_device() -> "torch.device":
    """`kind_of_scoring` as a device."""
    import torch

    return torch.device(kind_of_scoring())


@contextmanager
def exact_float32() -> Iterator[None]:
    """Inside, float32 on a GPU is float32: TF32, which torch uses for convolutions by default, keeps 10 bits of 23."""
    import torch

    settings = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "ieee"
    try:
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value


def in_words(kind: str) -> str:
    """A device as a line of the log names it, such as "2 x NVIDIA A100" or "the processor"."""
    gpus = hardware().gpus
    if kind == "cuda" and gpus:
        return f"{len(gpus)} x {gpus[0]}"
    return "Apple's GPU" if kind == "mps" else "the processor"
