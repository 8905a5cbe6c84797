"""What more videos cost: time and peak memory of catalogue and store, training and report, from 10 to 1,000 videos.

Each measurement is a process of its own, since the peak of a process's memory never falls:
`python -m dfnb.speed.growth WORK VIDEOS FOLDER` prints one as JSON. The videos are pictures of one rendered head with
other noise in each, one frame each, and go the way that every video goes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfnb.common.errors import UserError
from dfnb.experiment.run import Network, Run
from dfnb.plots import charts, style, tables
from dfnb.profile import load
from dfnb.scoring.score import FaceScores, save

VIDEOS = (10, 100, 1000)
_SIDE = 160  # pixels of a picture
_PICTURES = "pictures"
_FACES = 32  # a video's faces in a score table (SBI's protocol)


def draw(folder: Path, videos: int) -> None:
    """Pictures `00000.png` ... of one rendered head, no two the same bytes."""
    from dfnb.speed import stages

    folder.mkdir(parents=True, exist_ok=True)
    head = cv2.cvtColor(stages.still(_SIDE), cv2.COLOR_RGB2BGR)
    for number in range(videos):
        noise = np.random.default_rng(number).integers(-3, 4, head.shape)
        shown = np.clip(head + noise, 0, 255).astype(np.uint8)
        if not cv2.imwrite(str(folder / f"{number:05d}.png"), shown):
            raise UserError(f"{folder}: can't be written; is the disk full?")


def prepare(folder: Path, videos: int) -> None:
    """Pictures to a catalogue, and the first `videos` of them to a face store."""
    from dfnb.data import catalogues, store

    listed = catalogues.faces_folder(folder / _PICTURES, "real").head(videos)
    store.prepare(listed, folder / f"store-{videos}", frames=1, jobs=1, progress=False)


def train(folder: Path, videos: int) -> None:
    """A fifth of an epoch of Lite0 at 64 px on that store, with its validation."""
    from dfnb import profile, training
    from dfnb.data import store

    chosen = {"model.pretrained": False, "train.steps": max(1, videos // 20), "train.report_every": videos}
    faces = store.open_store(folder / f"store-{videos}")
    held_out = faces.subset(range(4))
    training.fit(profile.load("smoke", chosen), "proposed", "arcface", 0, faces, held_out, folder / f"net-{videos}")


class Drawn(Run):
    """A run whose score tables are drawn at random, `videos` of them; all else is the report's own."""

    tests = ("celeb-df",)
    scored_parts = tests

    def __init__(self, folder: Path, videos: int) -> None:
        super().__init__(load("smoke"), folder)
        self.videos = videos

    def clips(self, part: str) -> pd.DataFrame:
        """The catalogue: every second video is fake, five are of one person."""
        number = np.arange(self.videos)
        label = np.where(number % 2, "fake", "real")
        named = pd.DataFrame({"dataset": "drawn", "split": "test", "video": number.astype(str), "label": label})
        return named.assign(method=label, group=(number // 5).astype(str))

    def title(self, part: str) -> str:
        return f"{self.videos} videos"

    def _scored(self, part: str, one: Network) -> Path:
        """A table on the disk: 32 faces a video, one a frame."""
        path = self.folder / f"{one.name}.parquet"
        if not path.exists():
            clips = self.clips(part)
            table = clips.loc[clips.index.repeat(_FACES)].reset_index(drop=True)
            table = table.assign(frame=np.tile(np.arange(_FACES), len(clips)), face=0, x0=0.0, y0=0.0, x1=1.0, y1=1.0)
            rng = np.random.default_rng([len(one.name), self.videos])
            table["score"] = 0.8 * rng.random(len(table)) + 0.2 * rng.random(len(table)) * (table["label"] == "fake")
            about = {"network": one.name, "checkpoint": one.name, "store": "drawn", "protocol": "drawn"}
            save(FaceScores(table, np.zeros((len(table), 1), np.float32)), path, about)
        return path


def scores(folder: Path, videos: int) -> None:
    """The score tables that `report` reads."""
    run = Drawn(folder / f"run-{videos}", videos)
    for one in run.networks:
        run.scores(run.tests[0], one.name, one.seed)


def report(folder: Path, videos: int) -> None:
    """What the report makes of the scores: results with both intervals, paired tests, tables, ROC and forest plot."""
    run = Drawn(folder / f"run-{videos}", videos)
    results, part, names = run.results(), run.tests[0], tables.names(run)
    tables.paired(run, part, names[-1], names[:-1])
    for made in (tables.wide(tables.video_results(run)), tables.intervals(results), tables.protocols(results)):
        made.to_csv(folder / "table.csv")
    tables.operating(run).to_csv(folder / "table.csv")
    scored = {name: run.video_scores(part, name) for name in names}
    for plot in (charts.roc(scored, run.title(part)), charts.forest(results)):
        plot.figure.savefig(folder / "plot.png")


WORKS: dict[str, Callable[[Path, int], None]] = {"catalogue and store": prepare, "training": train, "report": report}
UNMEASURED = {"scores": scores}  # what a work needs first, in a process whose memory isn't its own
BEFORE = {"report": ("scores",)}


def measure(videos: Sequence[int] = VIDEOS, works: Sequence[str] = tuple(WORKS)) -> pd.DataFrame:
    """A row for each work and number of videos: work, videos, seconds, start_mib, peak_mib.

    start_mib: the process's peak before the work, when all is imported; peak_mib: at its end. Works that read a store
    need "catalogue and store" before them. Raises RuntimeError where one of the processes fails.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="dfnb-growth-") as temporary:
        draw(Path(temporary) / _PICTURES, max(videos))
        each = [(name, count) for work in works for count in videos for name in (*BEFORE.get(work, ()), work)]
        for work, count in tqdm(each, desc="growth", unit="process", leave=False):
            command = [sys.executable, "-m", "dfnb.speed.growth", work, str(count), temporary]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{work} of {count} videos failed: {done.stderr.strip().splitlines()[-1:]}")
            if work in WORKS:
                rows.append({"work": work, "videos": count, **json.loads(done.stdout.splitlines()[-1])})
    return pd.DataFrame(rows)


def picture(table: pd.DataFrame, about: dict[str, object]) -> style.Plot:
    """Seconds and memory over the number of videos, one line a work."""
    with style.styled():
        figure = style.new_figure(3.6, 9.2)
        left, right = figure.subplots(1, 2)
        for (work, part), look in zip(table.groupby("work", sort=False), _LOOKS, strict=False):
            left.plot(part["videos"], part["seconds"], label=work, **look)
            right.plot(part["videos"], part["peak_mib"] - part["start_mib"], label=work, **look)
        ends = np.array([table["videos"].min(), table["videos"].max()])
        left.plot(ends, ends * table["seconds"].max() / ends[1], color=style.FAINT, lw=1, ls=":", label="linear")
        for axes, label in ((left, "seconds"), (right, "MiB above the start, at the peak")):
            axes.set_xscale("log")
            axes.set_xlabel("videos")
            axes.set_ylabel(label)
        left.set_yscale("log")
        for axis in (left.xaxis, left.yaxis, right.xaxis):
            axis.set_major_formatter("{x:g}")
        right.set_ylim(0, 1.1 * max(10, (table["peak_mib"] - table["start_mib"]).max()))
        left.legend(fontsize=8)
        figure.suptitle(f"{about['hardware']}, {about['date']}", fontsize=10)
    each = zip(table.itertuples(), table["peak_mib"] - table["start_mib"], strict=True)
    said = [f"{r.work}, {r.videos} videos: {r.seconds:.2g} s, {mib:.0f} MiB" for r, mib in each]
    return style.Plot(figure, table, "Time and memory over the number of videos. " + "; ".join(said) + ".")


_LOOKS = (
    {"color": style.REAL, "marker": "o", "ls": "-"},
    {"color": style.FAKE, "marker": "s", "ls": "--"},
    {"color": style.INK, "marker": "^", "ls": "-."},
)


def peak_mib() -> float:
    """The most memory that this process has had, MiB."""
    if sys.platform == "linux":  # ru_maxrss would begin with that of the process it was started from
        status = Path("/proc/self/status").read_text("utf-8").splitlines()
        return int(next(line for line in status if line.startswith("VmHWM:")).split()[1]) / 2**10
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _main(work: str, videos: str, folder: str) -> None:
    import dfnb.data.store
    import dfnb.profile
    import dfnb.training.loop  # noqa: F401 (what is imported anyway belongs to the start)

    start, began = peak_mib(), time.perf_counter()
    (WORKS | UNMEASURED)[work](Path(folder), int(videos))
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "start_mib": start, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
