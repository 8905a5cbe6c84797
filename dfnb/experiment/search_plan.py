"""What a search tries: settings to start with and a space of values to propose among, read from YAML."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from dfnb import profile as profiles
from dfnb.common.errors import UserError
from dfnb.experiment.sweep_plan import SWEPT
from dfnb.networks.variants import check
from dfnb.profile import Head, Section, Variant

FIXED = ("train.networks", "train.seeds", "train.steps", "train.epochs")  # the plan has entries of its own for these


def _plain(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("must be made of numbers, words, true, false, null, lists and mappings") from None
    return value


Value = Annotated[Any, AfterValidator(_plain)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


class Plan(Section):
    """A search: the base profile whose settings vary, how a trial is trained, what judges it, and what is tried."""

    name: Name
    description: str = ""
    base: str = Field(description="profile whose settings vary: a name, or the path of a .yaml file")
    network: tuple[Variant, Head] | None = Field(None, description="the base profile's last unless given")
    steps: int = Field(ge=1, description="train.steps of a trial")
    seed: int = Field(0, ge=0, lt=2**32, description="of every training, and of what is proposed")
    trials: int = Field(20, ge=1, le=10_000, description="at most, those of `start` included")
    parts: tuple[str, ...] | None = Field(
        None, min_length=1, description="test parts that judge a trial; those of `kinds`, or all, unless given"
    )
    kinds: dict[Name, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {}, description="parts grouped into kinds, whose AUC is the mean of their parts'; each part by itself otherwise"
    )
    start: dict[Name, dict[str, Value]] = Field({}, description="settings tried first, in this order, by name")
    space: dict[str, Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(
        {}, description="then proposed: settings, each with the values it may have"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Plan":
        if not self.start and not self.space:
            raise ValueError("start and space are both empty: nothing would be tried")
        grouped = [part for parts in self.kinds.values() for part in parts]
        judging = grouped if self.parts is None else list(self.parts)
        if len(set(judging)) < len(judging) or len(set(grouped)) < len(grouped):
            raise ValueError("parts, kinds: a part is named twice")
        if self.kinds and set(grouped) != set(judging):
            raise ValueError("kinds must group every part of `parts`, and no others")
        for key in [*self.space, *(key for change in self.start.values() for key in change)]:
            section, dot, _ = key.partition(".")
            if not dot or section not in SWEPT or key in FIXED:
                raise ValueError(
                    f"{key} can't be searched; all trials share videos and faces, and network, seed and steps have "
                    f"entries of their own (search settings of {', '.join(SWEPT)}, such as arcface.margin)"
                )
        for key, values in self.space.items():
            if len({as_text(value) for value in values}) < len(values):
                raise ValueError(f"space: {key}: a value is named twice")
        if self.network is not None:
            try:
                check(*self.network)
            except UserError as error:
                raise ValueError(f"network: {error}") from None
        return self


def load(path: str | Path) -> Plan:
    """Read a plan. Raises UserError naming the file and what is unknown, missing or out of range."""
    file = Path(path)
    if file.suffix not in {".yaml", ".yml"} or not file.is_file():
        raise UserError(f"no plan of a search {str(path)!r}: give the path of a .yaml file")
    return profiles.validated(Plan, profiles.read_yaml(file, "search"), f"search {file}")


def as_text(value: Any) -> str:
    """A setting's value as tables and Optuna's categories have it: words as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
