"""As many videos as a test asks for, and what the report does with them: faces found, a training, scores, tables.

The videos are pictures of one rendered head with different noise in each, one frame each; scores are drawn at random.
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from rendered_heads import rendered_heads

from dfnb import profile, training
from dfnb.data import catalogues, store
from dfnb.experiment.run import Network, Run
from dfnb.plots import charts, tables
from dfnb.scoring.score import FaceScores, save

SIDE = 160  # pixels of a picture
FACES = 32  # a video's faces in a score table (SBI's protocol)


def draw(folder: Path, videos: int) -> None:
    """Pictures `00000.png` ... of one head, no two the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    head = cv2.resize(next(rendered_heads(1, seed=11)).rgb[..., ::-1], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    for number in range(videos):
        noise = np.random.default_rng(number).integers(-3, 4, head.shape)
        cv2.imwrite(str(folder / f"{number:05d}.png"), np.clip(head + noise, 0, 255).astype(np.uint8))


def prepare(folder: Path, videos: int) -> None:
    """Pictures to a catalogue, and the first `videos` of them to a face store."""
    listed = catalogues.faces_folder(folder / "pictures", "real").head(videos)
    store.prepare(listed, folder / f"store-{videos}", frames=1, jobs=1, progress=False)


def train(folder: Path, videos: int) -> None:
    """A fifth of an epoch of Lite0 at 64 px on that store, with its validation."""
    chosen = {"model.pretrained": False, "train.steps": max(1, videos // 20), "train.report_every": videos}
    faces = store.open_store(folder / f"store-{videos}")
    held_out = faces.subset(range(4))
    training.fit(profile.load("smoke", chosen), "proposed", "arcface", 0, faces, held_out, folder / f"net-{videos}")


class Drawn(Run):
    """A run whose score tables are drawn at random, `videos` of them; all else is the report's own."""

    tests = ("celeb-df",)
    scored_parts = tests

    def __init__(self, folder: Path, videos: int) -> None:
        super().__init__(profile.load("smoke"), folder)
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
            table = clips.loc[clips.index.repeat(FACES)].reset_index(drop=True)
            table = table.assign(frame=np.tile(np.arange(FACES), len(clips)), face=0, x0=0.0, y0=0.0, x1=1.0, y1=1.0)
            rng = np.random.default_rng([len(one.name), self.videos])
            table["score"] = 0.8 * rng.random(len(table)) + 0.2 * rng.random(len(table)) * (table["label"] == "fake")
            about = {"network": one.name, "checkpoint": one.name, "store": "drawn", "protocol": "drawn"}
            save(FaceScores(table, np.zeros((len(table), 1), np.float32)), path, about)
        return path


def scores(folder: Path, videos: int) -> None:
    """The score tables that `report` reads."""
    run = Drawn(folder / f"run-{videos}", videos)
    for network in run.networks:
        run.scores(run.tests[0], network.name, network.seed)


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
