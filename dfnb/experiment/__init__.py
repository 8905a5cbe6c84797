"""One run's artefacts by name, made where that is allowed; sweeps and searches: what the notebooks call.

Comes in: a profile. Goes out: face stores, checkpoints, scores and results in `runs/<profile>/`.
Where is what: videos and faces in `parts`, where networks and scores lie and in which state in `artefacts`, making
them in `run`, scores of others in `judge`, seeds and ablations in `sweep`, what a sweep tries in `sweep_plan`, a search
for settings in `search`, what it tries in `search_plan`, several trainings at a time in `jobs`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "artefacts": ["Network"],
        "run": ["Run", "open_run"],
        "search": ["Search"],
        "sweep": ["Sweep"],
    },
)
