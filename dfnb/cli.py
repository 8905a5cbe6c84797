"""The `dfnb` command. Imports lazily: `dfnb --help` doesn't wait for torch."""

import json
import logging
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dfnb import profile as profiles
from dfnb.common import files, locks, shutdown, tuning
from dfnb.common.errors import UserError, printable, shown
from dfnb.experiment import sweep_plan

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


def _variants(incomplete: str) -> list[str]:
    from dfnb.networks.variants import VARIANTS

    return [name for name in VARIANTS if name.startswith(incomplete)]


def _heads(incomplete: str) -> list[str]:
    from dfnb.networks.heads import HEADS

    return [name for name in HEADS if name.startswith(incomplete)]


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


def main() -> None:
    """Run the command; how it ends is `dfnb.common.shutdown`'s business."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("dfnb").setLevel(logging.INFO)
    tuning.wait_asleep()
    with shutdown.in_one_line():
        app()


@app.command(rich_help_panel="Report")
def report(
    profile: ProfileOption = "demo",
    settings: SetOption = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="copy notebooks, figures and results into this project")
    ] = False,
    notebooks: Annotated[Path | None, typer.Option(help="folder of the numbered notebooks")] = None,
) -> None:
    """Run everything: build what is missing, execute all notebooks, write one HTML file.

    Reads the profile's videos. Writes runs/PROFILE/: face stores, networks, score tables, and report/ with the
    executed notebooks, report.html, figures and results.json. Rerun it at any time: only what is missing or out of
    date is done again.
    """
    from dfnb import report as reports
    from dfnb.common import processes

    processes.alone("report")
    overrides = profiles.parse_overrides(settings or [])
    run = _open(profile, overrides, "all")
    if not run.embedded and run.profile.data.face_forensics is None:
        raise UserError(f"profile {profile}: the report needs data.face_forensics; use train, evaluate and score")
    if not run.embedded and not run.tests:
        raise UserError(f"profile {profile}: the report needs a set with real videos and fakes to test on; see data")
    try:
        with locks.exclusive(run.folder / "report", "writing a report", ("report", "results")):
            done = reports.build(run, profile, overrides, notebooks)
    except reports.NotebookError as error:
        typer.echo(f"dfnb: {error}", err=True)
        raise typer.Exit(Exit.NOTEBOOK) from error
    typer.echo(reports.result_table(done.results, run.profile.evaluate.size_rule))
    if run.embedded:
        typer.echo("\nEmbedded benchmark: rendered heads, no real people; not comparable with published numbers.")
    if publish:
        if overrides:
            raise UserError("--publish goes with an unchanged profile: leave out --set")
        written = reports.publish(run, done, Path.cwd())
        typer.echo(f"published {len(written)} files into notebooks/, figures/ and README.md")
    typer.echo(f"report: {done.html}")


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
    run = _open(profile, profiles.parse_overrides(settings or []), "scores")
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

    run = _open(profile, profiles.parse_overrides(settings or []), "all")
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
    run = _open(profile, profiles.parse_overrides(settings or []), "scores")
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
    run = _open(profile, profiles.parse_overrides(settings or []), "scores")
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


@app.command(rich_help_panel="Report")
def sweep(
    plan: Annotated[
        str, typer.Option("--profile", "-p", help=f"{', '.join(sweep_plan.names())}, or the path of a .yaml file")
    ] = "sweep",
    base: Annotated[
        str | None,
        typer.Option(help="vary this profile instead of the sweep's own: a name, or the path of a .yaml file"),
    ] = None,
    settings: SetOption = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="trainings at the same time; by default one a GPU")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="of each; by default the base's, or equal shares")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="say which cells are finished, and stop")] = False,
    only_tables: Annotated[
        bool, typer.Option("--tables", help="write the tables of what is finished, and train nothing")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="copy the tables into this project's figures/, under the sweep's name")
    ] = False,
) -> None:
    """Seeds and ablations: train and score every variation of a base profile, one question each.

    Reads the base profile's videos. Writes runs/SWEEP/: networks and scores of every variation, sweep.csv and
    sweep.json; unchanged networks are those of the base profile's run. A finished cell isn't run again, so an
    interrupted sweep goes on where it stopped; the table always holds what is finished. --publish
    copies it into figures/, and of genuine sets how often real people reach a stated rate. --set changes the base
    profile. Exit status: 0 all cells have a result, 3 some failed.
    """
    from dfnb.common import processes
    from dfnb.experiment import sweep as sweeps

    processes.alone("sweep")
    loaded, build = sweep_plan.load(plan), "nothing" if only_list or only_tables else "all"
    run = _open(base or loaded.base, profiles.parse_overrides(settings or []), build)
    swept = sweeps.Sweep(loaded, run)
    if only_list:
        for line in swept.states():
            typer.echo(line)
        return
    if only_tables:
        swept.save({}, None, jobs or 1)
        swept.compare()
        failed = {}
    else:
        failed = swept.work(jobs, threads)
    typer.echo(swept.table()[["variation", "network", "seed", "part", "auc", "low", "high"]].to_string(index=False))
    for name, reason in failed.items():
        typer.echo(printable(f"dfnb: {name}: {reason}"), err=True)
    typer.echo(f"sweep: {swept.folder / 'sweep.csv'}")
    if publish:
        from dfnb.analysis import stated_rate

        for path in stated_rate.published_with(swept, Path.cwd()):
            typer.echo(f"published: {path}")
    raise typer.Exit(Exit.SOME if failed else Exit.ALL)


@app.command(rich_help_panel="Report")
def search(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.yaml", help="what is tried, and what judges it")],
    trials: Annotated[int | None, typer.Option(min=1, help="at most, instead of the plan's number")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="trainings at the same time")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="threads of each; by default an equal share")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="say which trials are finished, and stop")] = False,
) -> None:
    """Search for settings: short trainings, judged by their AUC on test parts; Optuna proposes what to try.

    Reads the plan and the videos of its base profile. Writes runs/SEARCH/: network and scores of every trial,
    search.csv, search-choices.csv (what each value gave) and search.json (the best). A finished trial isn't run again,
    so an interrupted search goes on where it stopped. On the parts that judged, the AUC of what is chosen is no longer
    a test. Exit status: 0 all trials have a result, 3 some failed.
    """
    from dfnb.common import processes
    from dfnb.experiment import search as searches
    from dfnb.experiment import search_plan

    processes.alone("search")
    loaded = search_plan.load(plan)
    searched = searches.Search(loaded, _open(loaded.base, {}, "nothing" if only_list else "all"))
    if only_list:
        for line in searched.states(trials):
            typer.echo(printable(line))
        return
    searched.work(trials, jobs, threads)
    table = searched.table()
    typer.echo(table[["trial", "name", *loaded.space, "changed", "mean", "worst"]].to_string(index=False))
    for row in table[table["state"] == "failed"].itertuples():
        typer.echo(printable(f"dfnb: trial {row.trial}: {row.reason}"), err=True)
    typer.echo(f"search: {searched.folder / 'search.csv'}")
    raise typer.Exit(Exit.SOME if (table["state"] == "failed").any() else Exit.ALL)


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


def _open(profile: str, overrides: dict[str, Any], build: str) -> Any:
    from dfnb.experiment.run import open_run

    return open_run(profile, overrides, build)
