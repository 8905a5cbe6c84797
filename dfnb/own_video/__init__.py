"""One suspicious file -> an answer with its doubts; its widget, its page.

Comes in: a checkpoint and a video or image. Goes out: a score, when it was seen, why it may be wrong.
Where is what: scoring in `files`, the answer in words and pictures in `answer`, its course in `timeline`, the picker
of notebook 8 in `widgets`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": ["Scored", "find_files", "score_file", "score_files"],
    },
)
