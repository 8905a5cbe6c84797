"""A study: the contrasts of a sweep (`Sweep.contrasts`), this machine's or the published ones, as tables and charts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from dfnb.analysis.findings import Difference
from dfnb.common import files
from dfnb.plots.style import FAINT, INK, Plot, look, new_figure, styled
from dfnb.plots.tables import SIGNIFICANT
from dfnb.profile import resolve
from dfnb.scoring import contrasts
from dfnb.scoring.comparisons import SeedSpread

if TYPE_CHECKING:
    from dfnb.experiment.run import Run
    from dfnb.experiment.sweep import Sweep

KINDS = {
    "ff": "FF++", "celeb-df": "Celeb-DF", "ffiw": "FFIW", "dfdc-crops": "DFDC crops", "forged": "our forgeries",
    contrasts.MEAN: "mean",
}  # fmt: skip
SHOWN = ("study", "curve")  # how the published tables that notebooks show are called, first words
REMEDY = "run `dfnb sweep --tables`"  # for a damaged table of a sweep
SHORT = {"plain-norm": "baseline", "attention-untaught/proposed-arcface": "unsupervised attention"}


class Study(NamedTuple):
    """A study's files. table: of every training; contrasts: a row a question and kind; record: plan and environment.

    Empty (false by `found`) where there is none.
    """

    table: pd.DataFrame
    contrasts: pd.DataFrame
    record: dict[str, Any]
    published: bool

    @property
    def found(self) -> bool:
        return bool(self.record)

    def spreads(self) -> dict[str, SeedSpread | None]:
        """The spread over seeds of every kind's AUC and of their mean, see `contrasts.seed_spreads`."""
        return contrasts.seed_spreads(self.table.assign(network=side_of(self.table)), self.kinds())

    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The test sets by kind, as the contrasts have them."""
        groups = self.record["plan"]["kinds"]
        return {
            kind: tuple(groups.get(kind, (kind,))) for kind in self.contrasts["kind"].unique() if kind != contrasts.MEAN
        }

    def name_of(self, kind: str) -> str:
        """A kind of test set as tables and charts call it; rendered sets end in -like."""
        rendered = self.record.get("embedded_benchmark") and kind != contrasts.MEAN
        return KINDS.get(kind, kind) + ("-like" if rendered else "")

    def made(self) -> str:
        """How and on what it was made, and on how many videos or images it was tested; empty where there is none."""
        if not self.found:
            return ""
        sets = self.table[self.table["part"] != "sbi"].drop_duplicates("part")
        text = made("study", self.record, self.table, self.published)
        return f"{text} Tested on {sets[['real', 'fake']].to_numpy().sum():,} videos or images."


def whose(what: str, published: bool) -> str:
    """Where a "study" or "sweep" is from, such as "Published study"."""
    return f"Published {what}" if published else f"{what.capitalize()} of this machine"


def made(what: str, record: Mapping[str, Any], table: pd.DataFrame, published: bool) -> str:
    """How and on what a sweep was made, in a sentence. what: "study" or "sweep"; record, table: sweep.json and .csv."""
    about, seeds, minutes = record["environment"], table["seed"].nunique(), record["training_seconds"] / 60
    return (
        f"{whose(what, published)}, profile {record['base']}: "
        f"{record['trainings']} trainings, {seeds} seed{'s' if seeds > 1 else ''}, {minutes:.0f} minutes of training, "
        f"{about['hardware'].split(',')[0]}, torch {about['versions']['torch']}."
    )


def read(run: "Run", name: str) -> Study:
    """The study `name` of this machine, if its questions have answers, or else the published one.

    name: of the sweep's folder, such as study-genuine. Raises UserError where a table is damaged.
    """
    for folder, stem, published in (
        (resolve(run.profile.runs) / name, "sweep", False),
        (resolve(Path("figures")), name, True),
    ):
        paths = [folder / file for file in (f"{stem}.csv", f"{stem}-contrasts.csv", f"{stem}.json")]
        if not all(path.is_file() for path in paths):
            continue
        if not paths[1].read_bytes().strip():  # no question has an answer yet
            continue
        table, answers = (files.read_csv(path, REMEDY) for path in paths[:2])
        return Study(table, answers, files.read_json(paths[2]), published)
    return Study(pd.DataFrame(), pd.DataFrame(), {}, False)


def read_table(run: "Run", name: str) -> pd.DataFrame:
    """The table of a sweep (`Sweep.table`) or another published one: this machine's, or else figures/NAME.csv.

    Empty where there is neither. Raises UserError where it is damaged.
    """
    for path in (resolve(run.profile.runs) / name / "sweep.csv", resolve(Path("figures")) / f"{name}.csv"):
        if path.is_file():
            return files.read_csv(path, "make it anew or restore it")
    return pd.DataFrame()


def publish(sweep: "Sweep", root: Path) -> list[Path]:
    """Publish a sweep (`Sweep.publish`), and of a study a table more.

    On genuine sets figures/NAME-stated.csv, `stated_rate.of_networks`; on the embedded benchmark figures/NAME-who.csv,
    `who.everywhere` of the last network. Returns the files written.
    """
    from dfnb.analysis import stated_rate, who  # loads the renderer, which a reader of tables doesn't need

    written, run = sweep.publish(root), sweep.base
    if not sweep.plan.contrasts:
        return written
    if run.embedded:
        name, table = "who", who.everywhere(run, run.networks[-1].name)
    else:
        name, table = "stated", stated_rate.of_networks(run)
    path = root / "figures" / f"{sweep.folder.name}-{name}.csv"
    with files.replacing(path) as temporary:
        table.to_csv(temporary, index=False)
    return [*written, path]


def state(run: "Run") -> str:
    """A hash of all tables of studies that notebooks show: they are executed anew when one changes."""
    found = [path for folder in resolve(run.profile.runs).glob("*/") for path in folder.glob("sweep*.csv")]
    found += [path for name in SHOWN for path in resolve(Path("figures")).glob(f"{name}*.csv")]
    return files.digest(sorted(files.sha256(path) for path in found))


def side_of(table: pd.DataFrame) -> pd.Series:
    """The network of each row as contrasts name it: see `sweep_plan.Contrast`."""
    return table["network"].where(table["variation"] == "base", table["variation"] + "/" + table["network"])


def sides(row: Any) -> str:
    """What is subtracted from what, such as "proposed minus network1"."""
    return f"{label_of(row.ours)} minus {label_of(row.theirs)}"


def label_of(side: str) -> str:
    """A network of a contrast as tables and charts call it."""
    if side in SHORT:
        return SHORT[side]
    return SHORT.get(side.rsplit("-", 1)[0], look(side).label)


def chart(study: Study) -> Plot:
    """Every question's difference with its 95 % interval, a panel a kind of test set; filled marks are significant.

    The grey bar reaches as far as a difference may lie from 0 without being found four times in five.
    """
    rows = study.contrasts
    questions, kinds = list(dict.fromkeys(rows["contrast"])), list(dict.fromkeys(rows["kind"]))
    kinds = [contrasts.MEAN, *(kind for kind in kinds if kind != contrasts.MEAN)]
    labels = [sides(rows[rows["contrast"] == name].iloc[0]).replace(" minus ", "\nminus ") for name in questions]
    with styled():
        figure = new_figure(1.2 + 0.62 * len(questions))
        panels = figure.subplots(1, len(kinds), sharey=True, sharex=True, squeeze=False)[0]
        for axes, kind in zip(panels, kinds, strict=True):
            for row in rows[rows["kind"] == kind].itertuples():
                y, clear = questions.index(row.contrast), row.p_holm < SIGNIFICANT
                colour = look(row.ours).colour
                axes.plot([-row.smallest, row.smallest], [y, y], color=FAINT, lw=9, alpha=0.22, solid_capstyle="butt")
                axes.plot([row.low, row.high], [y, y], color=colour, lw=2, solid_capstyle="butt")
                axes.plot(
                    row.difference, y, "o", color=colour, ms=7, mew=1.5, mfc=colour if clear else "white", zorder=4
                )
            axes.axvline(0, color=INK, lw=1)
            axes.set_title(study.name_of(kind), fontsize=11)
            axes.set_ylim(len(questions) - 0.5, -0.5)
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
            axes.tick_params(axis="x", labelsize=8.5)
            axes.locator_params(axis="x", nbins=3)
        panels[0].set_yticks(range(len(questions)), labels, fontsize=9)
        figure.supxlabel(
            "difference of the AUCs, 95 % interval (filled: significant; within the grey bar: too small for this test)",
            fontsize=10,
        )
    summary = "; ".join(
        f"{sides(row)}: {Difference(row.difference, row.low, row.high)}"
        for row in rows[rows["kind"] == contrasts.MEAN].itertuples()
    )
    return Plot(figure, rows, f"Differences of the AUC over all seeds, mean over the sets: {summary}.")


def readable(study: Study) -> pd.DataFrame:
    """A row a question: its difference on every kind and on their mean, and the smallest that could have been seen."""
    lines = []
    for _, rows in study.contrasts.groupby("contrast", sort=False):
        by_kind = {row.kind: row for row in rows.itertuples()}
        mean = by_kind.pop(contrasts.MEAN)
        line = {"compared": sides(mean), "mean (95 %)": str(Difference(mean.difference, mean.low, mean.high))}
        line |= {"smallest that could be seen": f"{mean.smallest:.3f}", "p, corrected": f"{mean.p_holm:.2g}"}
        for kind, row in by_kind.items():
            line[study.name_of(kind)] = str(Difference(row.difference, row.low, row.high))
        lines.append(line | {"seeds": f"{mean.seeds} and {mean.reference_seeds}"})
    return pd.DataFrame(lines)


def networks(study: Study) -> pd.DataFrame:
    """A row a network: mean AUC over seeds on each set, with its standard deviation over seeds."""
    table = study.table[study.table["part"] != "sbi"]
    lines = []
    for name, rows in table.groupby(side_of(table), sort=False):
        cells = {
            where: f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")
            for where, values in rows.groupby("dataset", sort=False)["auc"]
        }
        lines.append({"network": label_of(name), "seeds": rows["seed"].nunique()} | cells)
    return pd.DataFrame(lines)


def finding(study: Study) -> str:
    """Each question's answer on the mean over the sets, in Markdown: a line a question."""
    if not study.found:
        return "No such study is here or published: `dfnb sweep --profile study` makes it (hours on a CPU)."
    lines = []
    for row in study.contrasts[study.contrasts["kind"] == contrasts.MEAN].itertuples():
        found = Difference(row.difference, row.low, row.high)
        if row.p_holm < SIGNIFICANT:
            answer = f"**{label_of(row.ours if row.difference > 0 else row.theirs)} is better**"
        else:
            answer = f"**not decided**; a difference of {row.smallest:.3f} would have been found four times in five"
        lines.append(f"- {row.question} {sides(row)}, mean over the sets: {found}, p = {row.p_holm:.2g}: {answer}.")
    return "\n".join(lines)
