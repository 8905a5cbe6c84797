"""What all commands share: the application, the options of a profile, and the exit statuses."""

from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dfnb import profile as profiles

app = typer.Typer(
    name="dfnb",
    help="Deepfake detection from real faces alone: the report, its steps, and scores for your own videos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _profiles(incomplete: str) -> list[str]:
    """What a shell offers to complete a profile: those of the package, and the working folder's files."""
    known = [*profiles.names(), *sorted(path.name for path in Path.cwd().glob("*.yaml"))]
    return [name for name in known if name.startswith(incomplete)]


ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile",
        "-p",
        help=f"{', '.join(profiles.names())}, or the path of a .yaml file",
        autocompletion=_profiles,
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a setting, such as train.steps=10")
]


class Exit(IntEnum):
    """Exit statuses of `dfnb score`; 2 is a user's error everywhere."""

    ALL = 0
    NOTEBOOK = 1
    SLOWER = 1  # of `dfnb bench --against`
    ERROR = 2
    SOME = 3
    NONE = 4


def open_run(profile: str, overrides: dict[str, Any], build: str) -> Any:
    """The run of a profile, see `experiment.open_run`: imported here, when a command needs it."""
    from dfnb.experiment import run

    return run.open_run(profile, overrides, build)
