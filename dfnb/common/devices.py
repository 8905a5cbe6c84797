"""In which numbers, and where, networks are trained and scored: rules, told without importing torch where they can be.

A finished run is read in seconds then: torch and timm take longer to import than most notebooks to run.

`torch.compile` was tried and isn't used. On a processor it needs a C++ compiler, which many laptops lack, and a compiled
SAM step of the embedded benchmark's network was no faster, after minutes of compiling.
"""

from typing import TYPE_CHECKING, Literal

from dfnb.common import processes

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "fast"]  # how networks score
WORTH_IT = 256  # pixels: from here on "auto" is fast; smaller networks score quickly enough as they are
FAST = "float32, ONNX Runtime"


def precision(asked: str, size: int) -> Literal["no", "bf16"]:
    """What `train.mixed_precision` means on this machine, for inputs of `size` pixels.

    auto is a rule and no measurement, so that the same profile gives the same numbers on the same machine: bf16 on a
    GPU (before Ampere torch emulates it, which gains nothing: set "no" there), and for inputs of 256 px and more on a
    CPU with matrix units for it. Smaller ones lose more there by the conversions than they gain; `dfnb bench` shows
    both for one size. GPUs are only counted: asking one what it can do would keep a notebook from starting a process
    for each.
    """
    if asked != "auto":
        return asked
    import torch

    if torch.cuda.device_count():
        return "bf16"
    return "bf16" if size >= 256 and has_bfloat16() else "no"


def has_bfloat16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 (AMX). Vector instructions gain nothing for EfficientNet.

    (AVX-512 BF16: a training step of B4 at 380 px takes longer than in float32, see `figures/bench-*.csv`.)
    """
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def choose(precision: Precision, size: int, device: "torch.device | str" = "cpu") -> str:
    """How a network will score, in words: "float32" or `FAST`.

    precision: "fast" is for processors, and float32 on a GPU. "auto" is "fast" for inputs of at least `WORTH_IT` px a
    side, else "float32".
    """
    return FAST if _wants_fast(precision, size) and str(device).startswith("cpu") else "float32"


def here(precision: Precision, size: int) -> str:
    """`choose` on this machine; its device is looked for only where that decides, since torch takes seconds."""
    return choose(precision, size, device() if _wants_fast(precision, size) else "cpu")


def _wants_fast(precision: Precision, size: int) -> bool:
    return precision == "fast" or (precision == "auto" and size >= WORTH_IT)


def device() -> "torch.device":
    """Where to score: on the GPU. In a notebook's kernel that sees several only where it uses one already, since
    `processes.launch` can train on all of them only from a kernel that doesn't."""
    import torch

    usable = torch.cuda.device_count() == 1 or torch.cuda.is_initialized() or not processes.in_a_kernel()
    return torch.device("cuda" if usable and torch.cuda.is_available() else "cpu")  # asking already counts as using
