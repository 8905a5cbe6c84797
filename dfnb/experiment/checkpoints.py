"""Two sets of checkpoints, such as the seeds of two recipes, compared on every test set of a profile."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dfnb.common.errors import UserError
from dfnb.experiment.run import Run
from dfnb.networks.checkpoint import trained_for
from dfnb.scoring.contrasts import MEAN, contrast


def compare(
    run: Run, ours: Sequence[Path], theirs: Sequence[Path], kinds: Mapping[str, Sequence[str]] | None = None
) -> pd.DataFrame:
    """The AUC of `ours` minus that of `theirs`, averaged over checkpoints (seeds): a row a kind, and their mean.

    kinds: test parts grouped by name, whose AUCs are averaged; parts that no kind names are kinds by themselves.
    By video under the profile's size rule, on the same videos for all. Columns: kind, auc, reference_auc, difference,
    low, high (95 %), p, smallest, worst_auc and worst_reference_auc (of their checkpoints), averaged_auc and
    averaged_reference_auc (of the scores averaged over the checkpoints), seeds, reference_seeds, trained_on and
    reference_trained_on (the domains of their training faces, or which project they were imported from).
    The interval covers other videos of the same kinds (whole groups are resampled, in all parts alike)
    and, where one side has several checkpoints, other seeds (`comparisons.with_seeds`).
    Raises UserError where a checkpoint is none of ours, or a kind names an unknown part or one that another has.
    """
    grouped = _grouped(run, kinds or {})
    parts = [part for group in grouped.values() for part in group]
    sides = (
        {part: [run.checkpoint_video_scores(part, path) for path in side] for part in parts} for side in (ours, theirs)
    )
    origins = {"trained_on": ours, "reference_trained_on": theirs}
    domains = {name: "; ".join(sorted({trained_for(path)[1] for path in side})) for name, side in origins.items()}
    return contrast(*sides, grouped).assign(**domains)


def _grouped(run: Run, kinds: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    named = [part for group in kinds.values() for part in group]
    for part in named:
        if part not in run.tests:
            raise UserError(f"kind: no test part {part!r} in profile {run.profile.name}; it has {', '.join(run.tests)}")
        if named.count(part) > 1:
            raise UserError(f"kind: the part {part} is named twice")
    alone = {part: (part,) for part in run.tests if part not in named}
    if MEAN in kinds or set(alone) & set(kinds):
        raise UserError(f"kind: {MEAN} and the names of test parts are taken; name the kinds otherwise")
    return alone | {kind: tuple(group) for kind, group in kinds.items()}
