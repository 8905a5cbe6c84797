"""Detectors and networks of others: `dfnb judge`, `import`, `export`; and `dfnb bench`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dfnb import profile as profiles
from dfnb.cli.base import Exit, ProfileOption, SetOption, app, open_run
from dfnb.common.errors import UserError, printable


@app.command(rich_help_panel="Laboratories")
def judge(
    scores: Annotated[list[Path] | None, typer.Argument(metavar="[SCORES...]", help="CSV or Parquet files")] = None,
    profile: ProfileOption = "demo",
    settings: SetOption = None,
    detector: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="instead of files: a function that returns a score")
    ] = None,
    takes: Annotated[
        Literal["path", "face"], typer.Option(help="what it is given: a video's path, or a face, (S, S, 3) uint8 RGB")
    ] = "face",
    name: Annotated[
        str | None, typer.Option(help="how tables call it; by default the file's or function's name")
    ] = None,
    fake: Annotated[Literal["high", "low"], typer.Option(help="which scores mean fake")] = "high",
    logits: Annotated[bool, typer.Option("--logits", help="scores are log odds, not probabilities")] = False,
    part: Annotated[list[str] | None, typer.Option(help="judge on this test part alone; may be repeated")] = None,
) -> None:
    """Judge any detector by its scores on the profile's test sets: intervals, and paired tests against every network.

    Reads SCORES, a row a video (columns: path, name or video; score), a frame (frame, too) or a face (face, too), or
    calls a function of yours. Writes score tables, results.csv, compared.csv and problems.csv (videos without a score,
    which count as 0.5, and rows of no video) into runs/PROFILE/judged/NAME/; from then on it is in the tables and
    figures of that run. Trains nothing, and needs no network.
    """
    from dfnb.analysis import judged
    from dfnb.common import processes
    from dfnb.experiment import judge as judging

    processes.alone("judge")
    if bool(scores) == bool(detector):
        raise UserError("give files with scores, or --detector MODULE:FUNCTION")
    run = open_run(profile, profiles.parse_overrides(settings or []), "scores")
    if detector:
        name = name or detector.rpartition(":")[2]
        problems = judging.judge_detector(run, detector, takes, name, fake, logits, part or ())
    else:
        name = name or scores[0].stem
        problems = judging.judge_scores(run, scores, name, fake, logits, part or ())
    found, notes = judged.report(run, name, problems)
    for line in notes:
        typer.echo(printable(line), err=True)
    typer.echo("\n\n".join(found))
    typer.echo(f"results: {run.judged_folder(name)}")


@app.command("import", rich_help_panel="Laboratories")
def import_(
    file: Annotated[Path, typer.Argument(help="what the other project released: a file of torch's, or safetensors")],
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint.safetensors to write")],
    source: Annotated[str, typer.Option(help="sbi (its release), deepfakebench (its EfficientNet-B4) or timm")],
    backbone: Annotated[str | None, typer.Option(help="timm: name of the network, such as efficientnet_b0")] = None,
    size: Annotated[int | None, typer.Option(help="timm: side of its input, pixels")] = None,
    mean: Annotated[tuple[float, float, float] | None, typer.Option(help="timm: of the input, R G B in 0..1")] = None,
    std: Annotated[tuple[float, float, float] | None, typer.Option(help="timm: of the input, R G B")] = None,
    fake: Annotated[int | None, typer.Option(help="timm: which class is fake, 0 or 1")] = None,
    licence: Annotated[str | None, typer.Option(help="timm: its terms in a few words; in every output")] = None,
) -> None:
    """Import a network that another project trained: its weights become a checkpoint, to be scored and evaluated.

    Reads FILE, without running anything in it. Writes CHECKPOINT, which says where it is from, under which terms, and
    the SHA-256 of FILE. Scores and tables made with it are marked.
    """
    from dfnb import networks

    stated = {"backbone": backbone, "size": size, "mean": mean, "std": std, "fake": fake, "licence": licence}
    given = {name: value for name, value in stated.items() if value is not None}
    typer.echo(networks.convert(file, checkpoint, source, **given))
    typer.echo(f"checkpoint: {checkpoint}")


@app.command(rich_help_panel="Laboratories")
def export(
    checkpoint: Annotated[Path, typer.Argument(help="a network's checkpoint.safetensors")],
    folder: Annotated[Path, typer.Argument(help="folder to write into")],
    results: Annotated[Path | None, typer.Option(help="results.csv with its numbers, where it is in no run")] = None,
) -> None:
    """Hand a network on: a folder that others can score with, with or without this project.

    Reads CHECKPOINT, and results.csv of the run it lies in, where there is one. Writes FOLDER/model.safetensors (the
    checkpoint), model.onnx, config.json (how an image gets in and a score comes out) and README.md, a model card.
    `dfnb score FOLDER` takes it; so do repositories of the Hugging Face hub.
    """
    from dfnb.report import exporting

    for path in exporting.export(checkpoint, folder, results):
        typer.echo(path)


@app.command(rich_help_panel="This machine")
def bench(
    output: Annotated[Path, typer.Option("--output", "-o", help="folder to write into")] = Path("figures"),
    against: Annotated[Path | None, typer.Option(metavar="FILE", help="an earlier table, compared by ratio")] = None,
    tolerance: Annotated[float, typer.Option(min=1.01, help="times a ratio may grow before it is slower")] = 1.25,
) -> None:
    """How fast every stage is here, against yardsticks measured in the same run.

    Reads nothing but an earlier table. Writes bench-CPU-DATE.csv, with versions, and .png. Takes less than two minutes
    on two free cores. Exit status: 0, or 1 where --against finds a stage that is slower than it was.
    """
    from dfnb import speed
    from dfnb.common import processes

    processes.alone("bench")
    slower = speed.report(output, against, tolerance)
    raise typer.Exit(Exit.SLOWER if slower else Exit.ALL)
