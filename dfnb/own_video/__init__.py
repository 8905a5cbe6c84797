"""One suspicious file -> an answer with the reasons why it may be wrong; its page, its widget.

Comes in: a checkpoint and a video or image. Goes out: a score a person and the protocol's for the file, in 0..1, their
course over time, pictures, one HTML page. Public: scoring in `file_scores`, going on with an earlier output in
`resuming`; who is who in `recognition` and `tracks`, their scores in `people`, how right that is in `people_truth`;
what a file says of itself in `about`; the answer in words and pictures in `answer`, its course in `timeline`, the page
in `page`, notebook 8's file picker in `widgets`, the page to drop a file on in `serve` and `visits`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "file_scores": ["Scored", "find_files", "score_file", "score_files"],
    },
)
