"""Deepfake detection from real faces alone: a report in notebooks, over a small library.

Modules are handed on lazily (`dfnb.network`, `dfnb.store`, ...): torch and timm take seconds to import, and
`dfnb --help` needs neither.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = (
    "errors", "files", "environment", "parameters", "processes", "variants", "profile", "variations", "clips",
    "frames", "faces", "ahead", "store", "augment", "hulls", "blend", "sbi", "attention", "arcface", "arithmetic",
    "recipe", "checkpoints", "weights", "network", "resume", "train", "inference", "metrics", "comparisons",
    "protocol", "truth", "score", "explain", "gradcam", "pose", "style", "failures", "figures", "pictures", "diagrams",
    "exploring", "tables", "verdicts", "ablations", "contrasts", "decisions", "timeline", "demo", "corrupt",
    "composites", "benchmark", "data", "robustness", "blending", "robustness_figures", "run", "sweep",
    "index", "page", "cards", "answer", "widgets", "report", "bench", "ending", "cli",
)  # fmt: skip

__all__ = ["__version__", "open_run", *_MODULES]


def __getattr__(name: str) -> Any:
    if name == "open_run":
        return importlib.import_module("dfnb.run").open_run
    if name in _MODULES:
        return importlib.import_module(f"dfnb.{name}")
    raise AttributeError(f"module 'dfnb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
