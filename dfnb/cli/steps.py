"""The report's steps one by one: `dfnb demo`, `prepare`, `forge`, `train`, `evaluate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dfnb import profile as profiles
from dfnb.cli.base import ProfileOption, SetOption, app, open_run
from dfnb.common import files
from dfnb.common.errors import UserError, printable


def _variants(incomplete: str) -> list[str]:
    from dfnb.networks.variants import VARIANTS

    return [name for name in VARIANTS if name.startswith(incomplete)]


def _heads(incomplete: str) -> list[str]:
    from dfnb.networks.heads import HEADS

    return [name for name in HEADS if name.startswith(incomplete)]


@app.command(rich_help_panel="Steps of the report")
def demo(
    out: Annotated[Path, typer.Argument(help="folder to build it in")],
    profile: ProfileOption = "demo",
    settings: SetOption = None,
) -> None:
    """Build the embedded benchmark: rendered talking heads in the official layouts of FF++, Celeb-DF and FFIW.

    Reads nothing. Writes videos, list files and ground-truth masks into OUT; what is there already is kept.
    """
    from dfnb.benchmark import builder

    loaded = profiles.load(profile, profiles.parse_overrides(settings or []))
    table = builder.build(out, loaded.demo, jobs=loaded.processes)
    typer.echo(f"{len(table)} videos in {out}")


@app.command(rich_help_panel="Steps of the report")
def prepare(
    profile: ProfileOption = "demo",
    settings: SetOption = None,
    backend: Annotated[str, typer.Option(help="loky: processes on this machine; dask: a cluster")] = "loky",
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="of the Dask cluster, such as tcp://10.0.0.1:8786")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="compare every stored byte with its hash, and find no faces")
    ] = False,
) -> None:
    """Find the faces: videos -> face stores, with a coverage report of what was lost and why.

    Says first how much disk and time it will take, and stops where the disk is too small. Reads the profile's videos.
    Writes runs/PROFILE/faces/; videos done already are kept. The workers of a Dask cluster need this package and the
    same folders. With --verify it reads and compares only, and ends with 2 where a byte has changed.
    """
    from dfnb.common import processes
    from dfnb.data import store

    processes.alone("prepare")
    run = open_run(profile, profiles.parse_overrides(settings or []), "scores")
    if verify:
        _verify(run.data_folder / "faces")
        return
    with processes.cluster(backend, scheduler) as far:
        if far:
            run.jobs = None
        estimates = {part: run.estimate(part) for part in run.parts}
        for part, estimate in estimates.items():
            typer.echo(f"{part}: {estimate.words()}", err=True)
        store.require_room(estimates.values(), run.folder)
        for part in run.parts:
            run.prepare(part)  # also where all seems done: it mends what is damaged
        table, problems = run.coverage(), run.problems()
    typer.echo(table.to_string(index=False))
    for row in problems.head(20).itertuples():
        typer.echo(printable(f"{row.path}: {row.reason}"), err=True)
    if len(problems) > 20:
        typer.echo(f"... and {len(problems) - 20} more, see problems.csv of each store", err=True)
    typer.echo(f"stores: {run.folder / 'faces'}")


def _verify(folder: Path) -> None:
    """Raises UserError where a byte of the face stores in `folder` changed; each fault is a line on standard error."""
    from dfnb.data import store

    faults = 0
    for part in store.verify(folder):
        faults += len(part.faults)
        for fault in part.faults:
            typer.echo(printable(fault), err=True)
        typer.echo(f"{part.name}: {'damaged' if part.faults else f'{part.faces} faces, as they were written'}")
    if faults:
        raise UserError(f"{folder}: {faults} damaged files, named above; delete them and run `dfnb prepare` again")


@app.command(rich_help_panel="Steps of the report")
def forge(
    faces: Annotated[Path, typer.Argument(help="folder of images or videos of real faces, a person a file")],
    out: Annotated[Path, typer.Argument(help="folder to write into")],
    count: Annotated[int, typer.Option(min=1, help="forgeries of each kind, each of another face")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="other numbers, other forgeries")] = 0,
) -> None:
    """Forge real faces (face swaps, re-rendered mouths), to choose settings on; never to train on.

    Reads FACES. Writes OUT/METHOD/real/TARGET.jpg and OUT/METHOD/fake/TARGET_SOURCE.jpg, to be tested on as folders
    (data.sets), and OUT/FORGERIES.json, which lists the files without a usable face. What is there already is kept.
    """
    from dfnb.benchmark import forgery_folder
    from dfnb.common import processes

    processes.alone("forge")
    done = forgery_folder.build(faces, out, count, seed)
    for path, reason in list(done["problems"].items())[:20]:
        typer.echo(printable(f"{path}: {reason}"), err=True)
    if done["problems"]:
        typer.echo(f"{len(done['problems'])} files without a usable face, see {out / forgery_folder.MARKER}", err=True)
    for method, pairs in done["made"].items():
        typer.echo(f"{pairs} pairs in {out / method}")


@app.command(rich_help_panel="Steps of the report")
def train(
    profile: ProfileOption = "demo",
    variant: Annotated[str | None, typer.Option(help="one network", autocompletion=_variants)] = None,
    head: Annotated[str | None, typer.Option(help="its head", autocompletion=_heads)] = None,
    settings: SetOption = None,
) -> None:
    """Train the profile's networks, or those of one variant and head; alone, under `accelerate launch` or torchrun.

    Reads the face stores (made if missing). Writes runs/PROFILE/networks/*/checkpoint.safetensors and history.csv.
    A finished training is reused, an interrupted one goes on from its last epoch.
    """
    from dfnb.common import processes

    run = open_run(profile, profiles.parse_overrides(settings or []), "all")
    chosen = [
        network for network in run.networks if variant in (None, network.variant) and head in (None, network.head)
    ]
    if not chosen:
        raise UserError(f"profile {profile}: train.networks has no {variant or 'network'} with head {head or 'any'}")
    if processes.count() == 1:
        run.finish(chosen)
    for network in chosen:
        checkpoint = run.train(network)
        if processes.is_main():
            typer.echo(checkpoint)


@app.command(rich_help_panel="Steps of the report")
def evaluate(
    profile: ProfileOption = "demo",
    settings: SetOption = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="score this network alone, trained wherever: reads FILE and the profile's test sets, writes score "
            "tables and results.csv into runs/PROFILE/checkpoints/ (a folder by the file's SHA-256); may be repeated",
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="compare the checkpoints with this one, or with several (their seeds), on the same videos; writes "
            "compared.csv into the same folder",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SET,SET", help="with --against: sets that count as one, by the mean of their AUC"),
    ] = None,
) -> None:
    """Score the test sets with every network and print the table of ROC AUC.

    Reads checkpoints and face stores (made if missing). Writes runs/PROFILE/scores/ and results.csv. Trains nothing:
    where a network is missing or out of date, `dfnb train` makes it. With --checkpoint, what the profile trains plays
    no part, and the table also says how often a fake scores higher than the original it was made from.
    """
    from dfnb import networks
    from dfnb import report as reports
    from dfnb.common import processes

    processes.alone("evaluate")
    run = open_run(profile, profiles.parse_overrides(settings or []), "scores")
    if against and not checkpoint:
        raise UserError("--against compares with the checkpoints given by --checkpoint; name one")
    if kind and not against:
        raise UserError("--kind goes with --against: it says which sets count as one in the comparison")
    checkpoint, against = ([networks.located(path) for path in given or ()] for given in (checkpoint, against))
    for path in checkpoint:
        results = run.evaluate(path)
        typer.echo(results.drop(columns="checkpoint").to_string(index=False, float_format="{:.3f}".format))
        typer.echo(f"results: {run.checkpoint_folder(path) / 'results.csv'}")
    if checkpoint and against:
        _compare(run, checkpoint, against, kind or [])
    if checkpoint:
        return
    run.finish(run.networks, run.scored_parts)
    results = run.results()
    if run.tests:
        typer.echo(reports.result_table(results, run.profile.evaluate.size_rule))
    else:
        typer.echo(results[["network", "seed", "part", "dataset", "auc", "low", "high"]].to_string(index=False))
    typer.echo(f"results: {run.folder / 'results.csv'}")


def _compare(run: Any, checkpoints: list[Path], against: list[Path], kinds: list[str]) -> None:
    from dfnb.experiment.checkpoints import compare

    grouped = {}
    for text in kinds:
        name, equals, parts = text.partition("=")
        if not (name and equals and parts):
            raise UserError(f"--kind {text!r}: write it as NAME=SET,SET")
        grouped[name] = parts.split(",")
    table = compare(run, checkpoints, against, grouped)
    typer.echo(table.to_string(index=False, float_format="{:.3f}".format))
    path = run.checkpoint_folder(checkpoints[0]) / "compared.csv"
    with files.replacing(path) as temporary:
        table.to_csv(temporary, index=False)
    typer.echo(f"compared: {path}")
