"""Which videos the embedded benchmark has, under which names, and which of them are made together.

The names, folders and list files are the official ones of FaceForensics++, Celeb-DF-v2 and FFIW-10K, so that the code
that reads the real sets reads these. `plan` is pure: the same settings give the same jobs in the same order.
"""

import json
from dataclasses import dataclass
from pathlib import PurePosixPath

from dfnb.benchmark.manipulations import MANIPULATIONS
from dfnb.common.errors import UserError
from dfnb.profile import Demo

FF = "FaceForensics++"
CELEB = "Celeb-DF-v2"
FFIW = "FFIW10K-v1-release"
FF_METHODS = tuple(name for name, manipulation in MANIPULATIONS.items() if manipulation.part == "ff")
_FIRST = 4  # manipulations whose draws were numbered together; later ones leave them as they are


@dataclass(frozen=True)
class Video:
    """One video file and what a catalogue says of it. `path` is relative to the benchmark's root, with slashes."""

    path: str
    video: str
    label: str
    method: str
    group: str
    split: str

    @property
    def mask(self) -> str:
        """Path of the ground-truth masks (fakes only), relative to the root."""
        return str(PurePosixPath("masks") / PurePosixPath(self.path).with_suffix(".npz"))


@dataclass(frozen=True)
class Take:
    """A filmed scene, hence a real video. part and number key its random draws; people: a key each, left to right."""

    part: str
    number: int
    people: tuple[int, ...]
    video: Video


@dataclass(frozen=True)
class Fake:
    """A forgery of the job's take number `take`.

    person: the key of the other person, whose face or expression it takes. driver: the number of the job's take that
    films that person, the pair's other video; None where there is none. victim: which of the take's people is forged.
    number: keys the random draws.
    """

    take: int
    method: str
    person: int
    driver: int | None
    victim: int
    number: int
    video: Video


@dataclass(frozen=True)
class Job:
    """Videos that share frames, and so are made by one process one after the other."""

    takes: tuple[Take, ...]
    fakes: tuple[Fake, ...]

    @property
    def videos(self) -> list[Video]:
        return [take.video for take in self.takes] + [fake.video for fake in self.fakes]


def plan(settings: Demo) -> list[Job]:
    """Every job of the benchmark, long ones first. Raises UserError where the numbers can't be laid out."""
    return [*_ffiw(settings), *_celeb(settings), *_face_forensics(settings)]


def lists(settings: Demo) -> dict[str, str]:
    """The official list files: path relative to the root -> content."""
    files = {}
    for split, ids in _ff_ids(settings).items():
        pairs = [[f"{a:03d}", f"{b:03d}"] for a, b in zip(ids[::2], ids[1::2], strict=True)]
        files[f"{FF}/{split}.json"] = json.dumps(pairs) + "\n"
    celeb = [video for job in _celeb(settings) for video in job.videos]
    lines = [f"{int(v.label == 'real')} {v.path.removeprefix(CELEB + '/')}\n" for v in celeb]
    files[f"{CELEB}/List_of_testing_videos.txt"] = "".join(sorted(lines))
    return files


def _ff_ids(settings: Demo) -> dict[str, range]:
    counts = {"train": settings.ff_train, "val": settings.ff_val, "test": settings.ff_test}
    ids, start = {}, 0
    for split, count in counts.items():
        if count % 2:
            raise UserError(f"demo.ff_{split} = {count}: FaceForensics++ lists videos in pairs, use an even number")
        ids[split] = range(start, start + count)
        start += count
    if start > 1000:
        raise UserError(f"demo.ff_train + ff_val + ff_test = {start}: FaceForensics++ names end at 999, use fewer")
    return ids


def _face_forensics(settings: Demo) -> list[Job]:
    """Pairs with every manipulation in both directions; training videos stay originals (nothing else is read)."""
    jobs = []
    for split, ids in _ff_ids(settings).items():
        takes = []
        for n in ids:
            name = f"{n:03d}"
            path = f"{FF}/original_sequences/youtube/c23/videos/{name}.mp4"
            takes.append(Take("ff", n, (n,), Video(path, name, "real", "original", name, split)))
        if split == "train":
            jobs += [Job((take,), ()) for take in takes]
            continue
        for a, b in zip(takes[::2], takes[1::2], strict=True):
            fakes = []
            for here, (target, source) in enumerate([(a, b), (b, a)]):
                for kind, method in enumerate(FF_METHODS):
                    name = f"{target.video.video}_{source.video.video}"
                    path = f"{FF}/manipulated_sequences/{method}/c23/videos/{name}.mp4"
                    video = Video(path, name, "fake", method, target.video.video, split)
                    number = _ff_number(target.number, kind)
                    fakes.append(Fake(here, method, source.people[0], 1 - here, 0, number, video))
            jobs.append(Job((a, b), tuple(fakes)))
    return sorted(jobs, key=lambda job: -len(job.videos))


def _ff_number(target: int, kind: int) -> int:
    """The number that keys a forgery's draws: one that stays when another manipulation is added."""
    return target * _FIRST + kind if kind < _FIRST else (kind - _FIRST + 1) * 1_000_000 + target


def _celeb_cast(settings: Demo) -> tuple[int, int, int]:
    """Videos of Celeb-real, identities in them, and groups of look-alikes these identities fall into."""
    real, wanted = settings.celeb_real, settings.celeb_fake
    known = round(0.6 * real)
    while known * (known - 1) < wanted:  # of few videos, a larger part is Celeb-real, so that there is enough to swap
        known += 1
    if known > real:
        raise UserError(
            f"demo.celeb_fake = {wanted}: celeb_real = {real} videos allow {real * (real - 1)} different swaps; "
            "raise celeb_real or use fewer fakes"
        )
    least = 1 + -(-wanted // known)  # people in a group: each video is swapped with another of them every time
    identities = max(known // 3, least)
    return known, identities, max(1, identities // max(5, least))


def _celeb(settings: Demo) -> list[Job]:
    """Several videos for each Celeb-real identity, some swapped more than once; YouTube-real people appear once."""
    known, identities, groups = _celeb_cast(settings)
    fakes: list[list[Fake]] = [[] for _ in range(known)]
    for n in range(settings.celeb_fake):
        k, again = n % known, n // known
        who, which = k % identities, k // identities
        others = [person for person in range(who % groups, identities, groups) if person != who]
        source = others[(who + 3 * which + again) % len(others)]
        name = f"id{who}_id{source}_{which:04d}"
        path = f"{CELEB}/Celeb-synthesis/{name}.mp4"
        video = Video(path, name, "fake", "Celeb-synthesis", f"id{who}", "test")
        fakes[k].append(Fake(0, "Celeb-synthesis", source, None, 0, n, video))
    jobs = []
    for k in range(settings.celeb_real):
        if k < known:
            who, name = k % identities, f"id{k % identities}_{k // identities:04d}"
            folder, group = "Celeb-real", f"id{who}"
        else:
            who, name = identities + k - known, f"{k - known:05d}"
            folder, group = "YouTube-real", name
        video = Video(f"{CELEB}/{folder}/{name}.mp4", name, "real", folder, group, "test")
        jobs.append(Job((Take("celeb", k, (who,), video),), tuple(fakes[k]) if k < known else ()))
    # look-alikes one after the other: a process keeps the last few people it drew
    return sorted(jobs, key=lambda job: (not job.fakes, job.takes[0].people[0] % groups))


def _ffiw(settings: Demo) -> list[Job]:
    """Two to four people a frame, and the same frames with one of them swapped for a fifth."""
    jobs = []
    for n in range(settings.ffiw):
        name, people = f"val_{n:05d}", 2 + n % 3
        keys = tuple(range(5 * n, 5 * n + people))
        real = Video(f"{FFIW}/source/val/videos/{name}.mp4", name, "real", "source", name, "val")
        fake = Video(f"{FFIW}/target/val/videos/{name}.mp4", name, "fake", "target", name, "val")
        victim = _ffiw_victim(n)
        jobs.append(Job((Take("ffiw", n, keys, real),), (Fake(0, "FFIW", 5 * n + 4, None, victim, n, fake),)))
    return jobs


def _ffiw_victim(n: int) -> int:
    return (n // 3) % (2 + n % 3)  # any of the two to four people, not always the largest


def resembles(settings: Demo, part: str, key: int) -> int | None:
    """The key of the person whom this one resembles in sex, age and complexion; None for somebody drawn freely.

    Forgers choose look-alikes (all three sets paired people of one sex and much the same complexion).
    """
    if part == "ff":  # the two of a pair
        return key - 1 if key % 2 else None
    if part == "ffiw":  # who is swapped in, and for whom
        return key - 4 + _ffiw_victim(key // 5) if key % 5 == 4 else None
    _, identities, groups = _celeb_cast(settings)
    return key % groups if groups <= key < identities else None
