"""What the scores mean: attention against masks, robustness, errors, thresholds, ablations.

Comes in: a run, or tables of scores. Goes out: tables and figures that answer one question each, and which of their
differences are significant (`findings`). Public: a module a question, such as `attention_maps`, `grad_cam`,
`embedding`, `robustness` (its kinds in `corruptions`), `blending`, `error_analysis`, `thresholds`, `stated_rate`,
`outside` (what leaks outside the mask), `judged` (detectors of others), `who` and `photographs` (whom a network is
wrong about). What several seeds decide: `power`, `studies`, `ablations`; on genuine faces `genuine` and
`genuine_curves`. `astronaut` is a genuine face to show.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={},
)
