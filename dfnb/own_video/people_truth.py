"""The people found in the embedded benchmark's FFIW-like videos against the truth: who is who, and who was manipulated.

Two to four people stand side by side, and in fakes one of them has another's face: `layout`, `studio`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from dfnb.benchmark import ground_truth, layout
from dfnb.data.store import FaceStore
from dfnb.own_video import people
from dfnb.own_video.recognition import Recognition, aligned
from dfnb.own_video.tracks import Tracks
from dfnb.profile import Demo
from dfnb.scoring import metrics

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

PART = "ffiw"
BATCH, SIDE = 32, 64  # faces embedded at once; pixels of a ground-truth mask


def embeddings_of(store: FaceStore) -> NDArray[np.float32]:
    """What `recognition` says of each stored face, (N, 128)."""
    net, found = Recognition.load(), []
    for start in range(0, len(store), BATCH):
        seen = [store[i] for i in range(start, min(start + BATCH, len(store)))]
        found.append(net.embed([aligned(face.rgb, face.landmarks) for face in seen]))
    return np.concatenate(found)


def link(faces: pd.DataFrame, embeddings: NDArray[np.float32], **how: float) -> NDArray[np.int64]:
    """The person of each face of one or several videos, (N,): numbers count anew in each video.

    faces: with video, seconds, and x0, y0, x1, y1 in pixels, each video's frames in order; how: of `Tracks`.
    """
    found = np.full(len(faces), -1)
    faces = faces.reset_index(drop=True)
    for _, video in faces.groupby("video", sort=False):
        tracks = Tracks(**how)
        for seconds, frame in video.groupby("seconds", sort=False):
            boxes = [*frame[["x0", "y0", "x1", "y1"]].itertuples(index=False, name=None)]
            found[frame.index] = tracks.add(float(seconds), boxes, embeddings[frame.index])
    return found


def identity_switches(true: Sequence[int], found: Sequence[int]) -> int:
    """How often one who was found as one person is next found as another (IDSW of Milan et al. 2016, MOT16).

    true, found: of all faces of a video, in order of their frames.
    """
    last: dict[int, int] = {}
    switches = 0
    for who, person in zip(true, found, strict=True):
        switches += last.get(who, person) != person
        last[who] = person
    return switches


def faces_and_truth(run: "Run", **how: float) -> pd.DataFrame:
    """Each face of the FFIW-like part: the person it was linked to, and the truth. how: of `Tracks`.

    Columns: those of the store's manifest, and seconds; person, linked; true, who it is; manipulated, whether it is the
    frame's manipulated one: the face with most of the true mask. Raises UserError where the run has no such part.
    """
    store, demo = run.store(PART), run.profile.demo
    faces = store.manifest.reset_index(drop=True).assign(seconds=lambda table: table["frame"] / demo.fps)
    faces["person"] = link(faces, embeddings_of(store), **how)
    faces["true"] = _true_people(faces, demo)
    inside = pd.Series(ground_truth.true_masks(run.benchmark, store, SIDE).mean((1, 2)))
    most = inside.groupby([faces["video"], faces["frame"]]).transform("max")
    return faces.assign(manipulated=(inside == most) & (inside > 0))


def _true_people(faces: pd.DataFrame, demo: Demo) -> NDArray[np.int64]:
    """Who each face is, (N,): the one whose drawn place in the frame is nearest."""
    from dfnb.benchmark.studio import Studio  # it loads Warp

    takes = {job.takes[0].video.video: job.takes[0] for job in layout.plan(demo) if job.takes[0].part == PART}
    true = np.full(len(faces), -1)
    for group, members in faces.groupby("group"):
        stage = Studio(demo, takes[group])
        drawn = np.array([[(pose.x, pose.y) for pose in poses] for poses in stage.poses])  # frame, person, x and y
        places = stage.height * drawn + np.array([stage.width, stage.height]) / 2
        middles = (members[["x0", "y0"]].to_numpy() + members[["x1", "y1"]].to_numpy()) / 2
        apart = np.linalg.norm(places[members["frame"]] - middles[:, None], axis=2)
        true[members.index] = apart.argmin(axis=1)
    return true


def linking(faces: pd.DataFrame) -> pd.DataFrame:
    """How right the links are, a row a video: video, people (true), found, switches. faces: of `faces_and_truth`."""
    rows = []
    for name, video in faces.groupby("video", sort=False):
        switches = identity_switches(video["true"], video["person"])
        rows.append({"video": name, "people": video["true"].nunique(), "found": video["person"].nunique()})
        rows[-1]["switches"] = switches
    return pd.DataFrame(rows)


def who_is_highest(faces: pd.DataFrame) -> pd.DataFrame:
    """Whether the manipulated person is found, a row a fake: video, by_person, by_frame.

    faces: of `faces_and_truth`, with score. by_person: whether the most suspicious person (`people.ranked`) has the
    manipulated face in most of its frames. by_frame: whether that face is the highest in most of the video's frames.
    """
    rows = []
    for name, video in faces[faces["label"] == "fake"].groupby("video", sort=False):
        _, linked = people.ranked(video)
        first = linked.loc[linked["person"] == 0, "manipulated"]
        counted = video[metrics.large_enough(video)]
        highest = counted.loc[counted.groupby("frame")["score"].idxmax(), "manipulated"]
        rows.append({"video": name, "by_person": first.mean() > 0.5, "by_frame": highest.mean() > 0.5})
    return pd.DataFrame(rows)


def finding(run: "Run", name: str) -> str:
    """How well people are told apart in a run's FFIW-like part, and how often the manipulated one leads, in Markdown.

    name: of a network of the run.
    """
    faces = faces_and_truth(run)
    faces["score"] = run.scores(PART, name)["score"].to_numpy()
    links, found = linking(faces), who_is_highest(faces)
    wrong = int((links["found"] != links["people"]).sum())
    count = int(found["by_person"].sum())
    low, high = binomtest(count, len(found)).proportion_ci()
    return (
        f"{len(links)} videos of two to four people, {len(faces)} faces: a person's number changes from one frame to "
        f"the next {int(links['switches'].sum())} times, and in {wrong} videos the number of people is wrong. "
        f"In **{count} of {len(found)}** fakes ({low:.0%} to {high:.0%}) the manipulated person scores highest; the "
        f"highest face of the frames is that person's in {int(found['by_frame'].sum())}."
    )
