"""What a score means among real people: a network's scores of real faces held out from its training.

Training sees no fakes, so nothing is promised about fakes. But of real people not seen in training some are there, and
a score is compared with theirs: if a file shows a real person like them, its p-value is below p at most once in 1 / p
such files (a conformal p-value; Vovk, Gammerman and Shafer 2005, section 2; Bates et al. 2023, Annals of Statistics
51). What is compared must be alike: single images with single images, videos with videos.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dfnb.data.catalogues import IMAGE_SUFFIXES
from dfnb.data.store import FaceStore
from dfnb.scoring import metrics
from dfnb.scoring.score import FaceScores

Unit = Literal["image", "video"]
UNITS: tuple[Unit, ...] = ("image", "video")
FEWEST = 20  # people; with fewer not even one in 20 could be told
FAMILIAR = 0.99  # share of the held-out faces that count as familiar


class Standing(NamedTuple):
    """Where a score stands among real people. p: in 1 / (people + 1)..1, small where few are as high.

    as_high: how many of the people have this score or a higher one. unit: of theirs; see `standing`.
    """

    p: float
    people: int
    as_high: int
    unit: Unit


def unit_of(path: Path) -> Unit:
    """What a file's score is compared with: single images, or videos (a folder of frames is one)."""
    return "image" if path.suffix.lower() in IMAGE_SUFFIXES else "video"


def record(scored: FaceScores, store: FaceStore) -> dict[str, Any]:
    """What a checkpoint keeps of the held-out real faces, as JSON writes it.

    scored: of the store, in its order. One image or video a person (the first), by the protocol's score.
    image, video: their scores, ascending. centre, spread: mean and standard deviation (D,) of what the head sees of the
    faces; limit: the distance (`distance`) that `FAMILIAR` of them stay below.
    """
    real = (scored.table["label"] == "real").to_numpy()
    table = scored.table[real]
    paths = store.manifest.loc[real, "path"].groupby(table["video"].to_numpy()).first()
    videos = metrics.video_scores(table).drop_duplicates("group")
    is_image = np.array([unit_of(Path(paths[video])) == "image" for video in videos["video"]], bool)
    scores = {"image": videos.loc[is_image, "score"], "video": videos.loc[~is_image, "score"]}
    seen = scored.embedding[real].astype(np.float64)
    centre, spread = seen.mean(0), seen.std(0)
    about = {"centre": centre.tolist(), "spread": spread.tolist()}
    limit = float(np.quantile(distance(seen, about), FAMILIAR))
    return {unit: sorted(map(float, values)) for unit, values in scores.items()} | about | {"limit": limit}


def distance(embedding: NDArray[np.floating], about: Mapping[str, Any]) -> NDArray[np.float64]:
    """How far faces are from the held-out real ones: (N, D) -> (N,), 0..; about 1 at most for faces like them.

    about: centre and spread of `record`. The root of the mean square of the deviations, each in its standard
    deviations, or in the median of these where its own is smaller: what hardly varies among few faces decides nothing.
    """
    centre, spread = np.asarray(about["centre"]), np.asarray(about["spread"])
    if not (spread > 0).any():
        return np.zeros(len(embedding))
    unit = np.maximum(spread, np.median(spread[spread > 0]))
    return np.sqrt((((np.asarray(embedding) - centre) / unit) ** 2).mean(1))


def standing(score: float, about: Mapping[str, Any], unit: Unit) -> Standing | None:
    """A score among those of real people; None where fewer than `FEWEST` were held out.

    about: of `record`. unit: what has the score; where too few of its kind were held out, the other's stand in, and
    `Standing.unit` says so.
    """
    for kind in (unit, *(other for other in UNITS if other != unit)):
        scores: Sequence[float] = about.get(kind, ())
        if len(scores) >= FEWEST:
            as_high = int((np.asarray(scores) >= score).sum())
            return Standing((1 + as_high) / (len(scores) + 1), len(scores), as_high, kind)
    return None


def words(found: Standing, who: str = "real people") -> str:
    """Such as "higher than 97 % of the 400 real people this network was checked on". who: what these people are."""
    checked = f"the {found.people} {who} this network was checked on"
    if found.as_high == 0:
        return (
            f"higher than all of {checked}: of {who} like them, fewer than one in {found.people + 1} has such a score"
        )
    if found.as_high == found.people:
        return f"no higher than any of {checked}"
    return f"higher than {100 * (1 - found.as_high / found.people):.3g} % of {checked}"
