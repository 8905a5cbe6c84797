"""The report, and studies around it: `dfnb report`, `sweep`, `search`."""

from pathlib import Path
from typing import Annotated

import typer

from dfnb import profile as profiles
from dfnb.cli.base import Exit, ProfileOption, SetOption, app, open_run
from dfnb.common import locks
from dfnb.common.errors import UserError, printable
from dfnb.experiment import sweep_plan


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
    run = open_run(profile, overrides, "all")
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
    interrupted sweep goes on where it stopped; the table always holds what is finished. --publish copies it into
    figures/, of genuine sets with how often real people reach a stated rate, of rendered heads with the errors by who
    they are. --set changes the base profile. Exit status: 0 all cells have a result, 3 some failed.
    """
    from dfnb.common import processes
    from dfnb.experiment import sweep as sweeps

    processes.alone("sweep")
    loaded, build = sweep_plan.load(plan), "all"
    if only_list or only_tables:
        build = "scores" if publish else "nothing"  # the errors by person need scores of validation pairs, too
    run = open_run(base or loaded.base, profiles.parse_overrides(settings or []), build)
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
        from dfnb.analysis import studies

        for path in studies.publish(swept, Path.cwd()):
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
    searched = searches.Search(loaded, open_run(loaded.base, {}, "nothing" if only_list else "all"))
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
