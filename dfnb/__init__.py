"""Deepfake detection from real faces alone: a report in notebooks, over a small library.

Modules are handed on lazily (`dfnb.network`, `dfnb.store`, ...): torch and timm take seconds to import, and
`dfnb --help` needs neither.
"""

import importlib
import os
from typing import Any

__version__ = "0.1.0"

# Torch's threads (libgomp, where torch is loaded later) wait for each other awake for a millisecond and more. Where
# something else needs the cores, a loader's worker or a second command, that takes them from whoever has work.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

_MODULES = (
    "errors", "files", "environment", "parameters", "processes", "memory", "variants", "profile", "variations", "clips",
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
