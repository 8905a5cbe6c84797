"""What the scores mean: attention against masks, robustness, errors, thresholds, ablations.

Comes in: a run, or tables of scores. Goes out: tables and figures that answer one question each.
Public: a module a question; each says which.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={},
)
