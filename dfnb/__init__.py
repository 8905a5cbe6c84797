"""Deepfake detection from real faces alone: a report in notebooks, over a small library.

The rooms, in the order in which data flow; a room imports only from rooms above it:

    common      errors, files, locks, processes, what machine this is
    profile     what a run is: one validated description
    data        videos -> faces
    sbi         a real face -> (real, self-blended fake, mask)
    networks    attention branch, ArcFace, taps and variants; weights and checkpoints
    training    faces -> a checkpoint
    scoring     network x faces -> scores -> AUC with intervals
    benchmark   rendered heads and their manipulations, where no real videos may be handed out
    experiment  one run's artefacts by name; sweeps
    plots       figures, diagrams and tables in one style
    analysis    what the scores mean
    own_video   one suspicious file -> an answer with its doubts
    report      executed notebooks -> one page; publishing
    speed       `dfnb bench`
    cli         the `dfnb` command
"""

import lazy_loader

__version__ = "0.1.0"

ROOMS = (
    "common", "profile", "data", "sbi", "networks", "training", "scoring", "benchmark", "experiment", "plots",
    "analysis", "own_video", "report", "speed", "cli",
)  # fmt: skip

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=ROOMS,
    submod_attrs={"experiment": ["open_run"]},
)
