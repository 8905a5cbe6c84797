"""The embedded benchmark: rendered heads, manipulations with their true masks; no real people.

Comes in: the section `demo` of a profile. Goes out: videos in the official layouts of FF++, Celeb-DF-v2 and FFIW.
Where is what: building on disk in `builder`, what is filmed in `layout`, the head in `heads`, manipulations in
`methods`, kinds of blending in `composites`, true masks of stored faces in `ground_truth`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "builder": ["build"],
        "ground_truth": ["true_masks"],
    },
)
