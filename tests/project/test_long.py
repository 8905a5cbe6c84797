"""Long runs hold memory and open files flat: a training of two hours' worth of steps, 1,000 clips to a report.

Watched with their workers, five times a second; `make test-slow` runs these and prints the figures (with -s).
"""

import os
import statistics
import threading
import time
from pathlib import Path
from typing import NamedTuple

import many_videos
import pytest

from dfnb import networks, profile, training
from dfnb.data import faces, store
from dfnb.own_video import file_scores

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="watches a process as Linux shows it"),
]

CLIPS = 1000
STEPS = int(os.environ.get("DFNB_LONG", "3560"))  # two hours of the default report's steps, 2.02 s each where published
PAGE = os.sysconf("SC_PAGE_SIZE") / 2**20 if hasattr(os, "sysconf") else 0.0


class Seen(NamedTuple):
    """At one moment: resident memory, MiB, and open files."""

    mib: float
    files: int


def family(pid: int) -> list[int]:
    """This process and the workers it started."""
    children = [c for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    return [pid, *(one for child in children for one in family(int(child)))]


def used(pid: int) -> tuple[float, int]:
    """Resident memory, MiB, and open files of a process."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return resident, len(os.listdir(f"/proc/{pid}/fd"))


class Watch(threading.Thread):
    """Looks at this process while the block runs; `parts` sums up its start, middle and end."""

    def __enter__(self) -> "Watch":
        self.seen: list[Seen] = []
        self.over = threading.Event()
        self.start()
        return self

    def run(self) -> None:
        while not self.over.wait(0.2):
            try:
                self.seen.append(Seen(*map(sum, zip(*map(used, family(os.getpid())), strict=True))))
            except (OSError, IndexError):
                continue  # a worker that ended in between

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()

    def parts(self, what: str) -> list[Seen]:
        """Medians of the second, the middle and the last tenth; the first tenth fills caches."""
        tenth = max(1, len(self.seen) // 10)
        cut = (self.seen[tenth : 2 * tenth], self.seen[5 * tenth : 6 * tenth], self.seen[-tenth:])
        found = [Seen(*(statistics.median(values) for values in zip(*part, strict=True))) for part in cut]
        words = (f"{where} {one.mib:.0f} MiB, {one.files:.0f} files" for where, one in zip(WHERE, found, strict=True))
        print(f"\n{what}: {'; '.join(words)}; most {max(one.mib for one in self.seen):.0f} MiB")
        return found


WHERE = ("start", "middle", "end")


def is_flat(found: list[Seen], mib: float) -> None:
    """Memory grows by less than this from the start to the end, and not one file stays open."""
    start, middle, end = found
    assert end.mib - start.mib < mib, found
    assert end.mib - middle.mib < mib / 2, found
    assert end.files <= middle.files + 2, found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    many_videos.draw(folder / "pictures", CLIPS)
    return folder


def test_a_store_a_thousand_scores_and_their_report(pictures):
    """Catalogue, faces, scores of the files, and what the report makes of 32 scored faces each."""
    with Watch() as watch:
        many_videos.prepare(pictures, CLIPS)
    is_flat(watch.parts("faces of 1,000 clips"), 60)
    net = networks.build("proposed", "arcface", "test_efficientnet", pretrained=False, seed=0).eval()
    paths = file_scores.find_files([pictures / "pictures"])
    assert len(paths) == CLIPS
    with Watch() as watch:
        scored = [one.row["score"] for one in file_scores.score_files(net, faces.FaceFinder(), paths, 64, 1)]
    assert None not in scored
    is_flat(watch.parts("scores of 1,000 clips"), 60)
    with Watch() as watch:
        for _ in range(3):  # the same again and again: what is left of one would add up
            many_videos.report(pictures, CLIPS)
    is_flat(watch.parts("report of 1,000 clips, three times"), 120)


def test_a_training_of_two_hours_worth_of_steps(pictures):
    if not (pictures / "store-40").is_dir():
        many_videos.prepare(pictures, 40)
    whole = store.open_store(pictures / "store-40")
    chosen = {"model.backbone": "test_efficientnet", "model.pretrained": False, "model.size": 64, "train.batch": 2}
    chosen |= {"train.steps": STEPS, "train.report_every": max(1, STEPS // 20), "train.validation_pairs": 4}
    settings, began = profile.load("smoke", chosen), time.monotonic()
    with Watch() as watch:
        training.fit(settings, "proposed", "arcface", 0, whole, whole.subset(range(4)), pictures / "net")
    is_flat(watch.parts(f"training of {STEPS} steps, {time.monotonic() - began:.0f} s"), 60)
