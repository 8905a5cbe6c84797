"""Scores for one's own videos: `dfnb score` and `serve`."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dfnb import profile as profiles
from dfnb.cli.base import Exit, app
from dfnb.common import files
from dfnb.common.errors import UserError, printable, shown


@app.command(rich_help_panel="Your own videos")
def score(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="a network's checkpoint.safetensors, a folder of `dfnb export`, or hf://USER/NAME@REVISION, such a "
            "folder on the Hugging Face hub"
        ),
    ],
    paths: Annotated[list[Path], typer.Argument(metavar="VIDEO|IMAGE|FOLDER...")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write .csv or .json, don't print")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of CSV")] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FOLDER", help="draw each file's score over time into this folder")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE|FOLDER", help="write one page of all files (.html), or a page a file"),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="evenly spaced frames looked at in a video")] = 32,
    rate: Annotated[
        float | None, typer.Option(min=0.01, max=1000, help="frames a second looked at, instead of --frames evenly")
    ] = None,
    upsample: Annotated[int, typer.Option(min=0, max=2, help="look for smaller faces: doublings of the frame")] = 0,
    faces: Annotated[
        Literal["hog", "cnn", "both"],
        typer.Option(
            "--detector",
            help="of faces: hog; cnn: turned ones too, some 60 times slower; both: cnn where hog finds none",
        ),
    ] = "hog",
    precision: Annotated[
        profiles.Precision,
        typer.Option(
            help="float32: by torch; fast: by ONNX Runtime (processors), the same up to rounding; "
            "auto: fast from 256 px on"
        ),
    ] = "auto",
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="NAME=NUMBER",
            help="beyond which it can't tell: frames, pixels, sharpness, quantiser, distance; may be repeated",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="keep what --output holds, and score only files that are new or changed")
    ] = False,
) -> None:
    """Score videos, images or folders: a row per file with the probability of being fake.

    Reads the checkpoint and the files. With --plot, writes a PNG for each file that has a score: the score over time,
    the strongest frames, and where the network looked there. With --html, writes pages that open offline: that, the
    faces found, what the network was trained on, why the number may be wrong, and what the file says of itself
    (container, encoder, time line, compression), which JSON has under "about". Exit status: 0 every file has a
    score, 3 some have, 4 none has, 2 wrong usage.

    With --resume, a folder that grows can be scored again and again, and so can what Ctrl-C stopped. A file is known by
    its path, as it was given, its size and its time of change; one that had no score isn't tried again either. An
    output made with another checkpoint or other settings is an error. Pictures and pages (--plot, --html FOLDER) are
    made of the files scored now; the exit status is about all rows.
    """
    from tqdm import tqdm

    from dfnb import networks
    from dfnb.own_video import answer, doubts, find_files, finders, resuming, timeline
    from dfnb.own_video import page as pages

    _check_outputs(output, plot, page, resume)
    checkpoint = networks.located(checkpoint)
    as_json |= output is not None and output.suffix == ".json"
    networks.metadata(checkpoint)  # a wrong checkpoint is named at once, and so is a wrong file
    found_files = find_files(paths)
    beyond = doubts.limits(limits or ())
    detector = answer.detector(checkpoint, frames, upsample, precision, faces, rate, beyond)
    how, rows, sections = resuming.made_with(detector), [], []
    if resume and output is not None:
        rows, found_files = resuming.resume(output, as_json, found_files, how)
        typer.echo(printable(f"dfnb: {output}: {len(rows)} rows kept, {len(found_files)} files to score"), err=True)
    versions = [resuming.version(path) for path in found_files]
    if needed := finders.time_needed(detector.finder, found_files, frames):
        typer.echo(f"dfnb: {needed}", err=True)
    pictures = plot is not None or page is not None
    answers = detector.answers(found_files, pictures)
    bar = tqdm(answers, total=len(found_files), unit="file", disable=None, mininterval=0.5)
    try:
        for found, path, name, version in zip(bar, found_files, pages.names(found_files), versions, strict=True):
            more = {"cannot_tell": found.cannot_tell, "about": found.about} if as_json else {}
            if plot is not None and found.has_score:
                timeline.save(timeline.timeline(found.scored, found.fps, detector.warning), plot, path)
            if page is not None and page.suffix == ".html":
                sections.append(pages.section(found, name))
            elif page is not None:
                pages.export([found], page / timeline.named_after(path, ".html"))
            rows.append(found.scored.row | {"made_with": how} | version | more)  # last: --resume draws no picture of it
    finally:  # what is finished is kept, whatever ends this: Ctrl-C, a full disk
        if rows:
            _write_scores(rows, detector.warning, output, as_json)
        if sections:
            files.write_text(page, pages.document(sections, rows, detector))
    count = sum(row["score"] is not None for row in rows)
    raise typer.Exit(Exit.ALL if count == len(rows) else Exit.SOME if count else Exit.NONE)


def _check_outputs(output: Path | None, plot: Path | None, page: Path | None, resume: bool) -> None:
    """Before the work: whether what `dfnb score` is to write can be written there."""
    if resume and output is None:
        raise UserError("--resume: say with --output which file to go on with")
    if resume and page is not None and page.suffix == ".html":
        raise UserError(f"{page}: --resume can't add to a page of all files; give --html a folder")
    if output is not None and output.suffix not in {".csv", ".json"}:
        raise UserError(f"{output}: write to a .csv or a .json file")
    for option, folder in (("--plot", plot), ("--html", page if page and page.suffix != ".html" else None)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise UserError(f"{folder}: {option} needs a folder" + (" or a .html file" if option == "--html" else ""))
        if folder is not None:
            files.check_writable(folder / "a picture or a page", option)
    for option, file in (("--output", output), ("--html", page if page and page.suffix == ".html" else None)):
        if file is not None:
            files.check_writable(file, option)


def _write_scores(rows: list[dict[str, Any]], warning: str | None, output: Path | None, as_json: bool) -> None:
    from dfnb.own_video import file_scores

    if as_json:
        text = json.dumps(file_scores.as_json(rows, warning), indent=1) + "\n"
    else:
        text = file_scores.as_csv(rows, warning)
    if output is None:
        typer.echo(shown(files.plain(text)), nl=False)
    else:
        files.write_text(output, text)
        if warning:
            typer.echo(f"dfnb: {warning}", err=True)


@app.command(rich_help_panel="Your own videos")
def serve(
    checkpoint: Annotated[Path, typer.Argument(help="a network's checkpoint.safetensors")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="of the page's address; 0: any free one")] = 8866,
    largest: Annotated[float, typer.Option(min=0.001, metavar="MB", help="of a file, in megabytes")] = 500,
    longest: Annotated[float, typer.Option(min=0.01, metavar="MINUTES", help="of a video")] = 30,
    frames: Annotated[int, typer.Option(min=1, help="evenly spaced frames looked at in a video")] = 32,
    upsample: Annotated[int, typer.Option(min=0, max=2, help="look for smaller faces: doublings of the frame")] = 0,
    precision: Annotated[profiles.Precision, typer.Option(help="see `dfnb score`")] = "auto",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open the page in the browser")] = True,
) -> None:
    """Open a page to drop a video or image on; it shows what `dfnb score --html` writes.

    Reads the checkpoint. Writes what visitors send into a temporary folder; a file is deleted once it is answered, or
    when its visitor goes, and all of them at the end (Ctrl-C). Only this computer reaches the page.
    """
    import webbrowser
    from threading import Thread

    from dfnb.own_video import answer, visits
    from dfnb.own_video import serve as server

    def ready(address: str) -> None:
        typer.echo(f"{address} (Ctrl-C ends it)")
        if browser:
            Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    detector = answer.detector(checkpoint, frames, upsample, precision)
    server.serve(detector, visits.Limits(int(largest * 1e6), longest * 60), port, ready)
    typer.echo("dfnb: stopped; what visitors sent is deleted", err=True)
