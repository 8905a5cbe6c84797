"""What a detector of others reaches on the test sets, and beside the networks of the run (`dfnb judge`)."""

from typing import TYPE_CHECKING

import pandas as pd

from dfnb.common import files
from dfnb.common.errors import UserError
from dfnb.experiment.run import auc_of
from dfnb.plots import style, tables

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

SHOWN = 5  # names in a line


def results(run: "Run", name: str) -> pd.DataFrame:
    """A row a test part and level as in `Run.results`, then by manipulation, and without videos that lack a score.

    Further columns: method ("all", or the one whose fakes are set against all real videos), videos ("all", or "scored":
    without those that have no score), missing (videos without a score, which count as 0.5 in "all").
    """
    rule, rows = run.profile.evaluate.size_rule, []
    for row in run.results_of(run.find(name)):
        videos = run.video_scores(row["part"], name)
        missing, shown = int((videos["frames"] == 0).sum()), row["level"] == "video" and row["size_rule"] == rule
        rows.append(row | {"method": "all", "videos": "all", "missing": missing})
        about = {key: row[key] for key in ("network", "seed", "part", "dataset", "level", "size_rule", "checkpoint")}
        scored = videos[videos["frames"] > 0]
        if shown and missing and scored["label"].nunique() == 2:
            rows.append(
                about | auc_of(row["dataset"], "video", scored) | {"method": "all", "videos": "scored", "missing": 0}
            )
        methods = videos.loc[videos["label"] == "fake", "method"].unique()
        for method in methods if shown and len(methods) > 1 else ():
            chosen = videos[(videos["label"] == "real") | (videos["method"] == method)]
            lost = int((chosen["frames"] == 0).sum())
            rows.append(
                about | auc_of(row["dataset"], "video", chosen) | {"method": method, "videos": "all", "missing": lost}
            )
    return pd.DataFrame(rows)


def compared(run: "Run", name: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """The detector against everything else the run compares: `tables.paired` of every part; and what was left out, why.

    Columns beside those: part, videos ("all"; "scored": on those alone that the detector has a score of, where it lacks
    some); auc is the detector's, network_auc the other's, difference the first minus the second.
    """
    left_out: dict[str, str] = {}
    for network in run.compared:
        if network.name != name:
            try:
                for part in run.parts_of(network):
                    if part in run.find(name).parts:
                        run.video_scores(part, network.name, network.seed)
            except UserError as error:
                left_out[network.name] = str(error)
    if left_out and len({network.seed for network in run.networks}) > 1:  # the spread over seeds is that of them all
        others = [other for other in tables.compared(run) if other not in (name, *left_out)]
        left_out |= dict.fromkeys(others, "some networks lack scores")
    found = []
    for part in run.find(name).parts:
        others = [other for other in tables.compared(run, part) if other not in (name, *left_out)]
        every = run.video_scores(part, name)
        scored = every[every["frames"] > 0]
        twice = len(scored) < len(every) and scored["label"].nunique() == 2
        for videos in (("all", "scored") if twice else ("all",)) if others else ():
            table = tables.paired(run, part, name, others, scored_alone=videos == "scored")
            table = table.rename(columns={"auc": "network_auc", "reference_auc": "auc"})
            found.append(table.assign(part=part, videos=videos))
    whole = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["part", "videos", "network"])
    return whole[["part", "videos", *whole.columns.drop(["part", "videos"])]], left_out


def report(run: "Run", name: str, problems: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Write results.csv and compared.csv beside the detector's score tables.

    problems: what couldn't be joined (`judge.judge_scores`). Returns both tables, by video, as texts; and what has no
    score, was not joined or not compared, counted and named, in lines.
    """
    reached, (against, left_out) = results(run, name), compared(run, name)
    for table, file in ((reached, "results.csv"), (against, "compared.csv")):
        with files.replacing(run.judged_folder(name) / file) as temporary:
            table.to_csv(temporary, index=False)
    shown = reached[(reached["level"] == "video") & (reached["size_rule"] == run.profile.evaluate.size_rule)]
    about = [
        "dataset",
        "method",
        "videos",
        "auc",
        "low",
        "high",
        "sample_low",
        "sample_high",
        "real",
        "fake",
        "missing",
    ]
    compact = ["part", "videos", "network", "network_auc", "auc", "difference", "low", "high", "p", "p_holm"]
    texts = [shown[about], *([against[compact]] if len(against) else [])]
    notes = _lines(run, name, problems)
    if left_out:
        notes.append(f"not compared with {', '.join(left_out)}: {next(iter(left_out.values()))}")
    notes += [style.NOTICE] if run.embedded else []
    return [table.to_string(index=False, float_format="{:.3f}".format) for table in texts], notes


def _lines(run: "Run", name: str, problems: pd.DataFrame) -> list[str]:
    words = {
        "missing": "videos have no score and count as 0.5",
        "unknown": "names are of no video of these sets and play no part",
    }
    found = []
    for (part, problem), rows in problems.groupby(["part", "problem"], sort=False):
        named = ", ".join(rows["video"].head(SHOWN)) + (", ..." if len(rows) > SHOWN else "")
        of = f"{part}: {len(rows)} of {len(run.clips(part))}" if part else f"{len(rows)}"
        found.append(f"{of} {words[problem]}: {named}")
    absent = [part for part in run.tests if part not in run.find(name).parts]
    found += [f"not judged on {', '.join(absent)}: no score of these sets"] if absent else []
    return found + [f"all of them: {run.judged_folder(name) / 'problems.csv'}"] * bool(len(problems) > SHOWN)
