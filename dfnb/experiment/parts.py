"""The videos of a run and the faces found in them, by part, made where that is allowed.

benchmark/        the embedded benchmark, where the profile uses it
composites/       the part "blending": rendered videos with a blending edge and without one
faces/<part>/     face stores
frames/           links to frames that are a video, where they lie among others
"""

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dfnb import profile as profiles
from dfnb.common import files, processes
from dfnb.common.errors import UserError
from dfnb.common.randomness import generator
from dfnb.data import catalogues
from dfnb.data import faces as face_finding
from dfnb.data import store as stores
from dfnb.data.store import FaceStore
from dfnb.profile import Profile

log = logging.getLogger(__name__)

# What a run may make: for each level, the states in which a training, and in which everything else, is made.
ALLOWED: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "nothing": (frozenset(), frozenset()),  # reading
    "scores": (frozenset(), frozenset({"missing", "outdated"})),  # `dfnb evaluate`
    "missing": (frozenset({"missing"}), frozenset({"missing"})),  # a notebook
    "all": (frozenset({"missing", "outdated"}), frozenset({"missing", "outdated"})),  # `train`, `report`, `sweep`
}

PARTS = {
    "train": "real faces to train on",
    "validation": "real faces for held-out SBI pairs",
    "validation-fakes": "manipulated validation videos, for diagnosis only",
    "ff": "FF++ test videos, originals and manipulations",
    **{name: f"the test set {name}" for name in catalogues.TEST_SETS},
    "blending": "rendered videos with a blending edge and without one, made by `composites`",
}
TESTS = ("ff", *catalogues.TEST_SETS)  # a profile's `data.sets` come after them
TAKEN = ("faces", "sbi", "validation-pairs", *PARTS)  # names that none of `data.sets` may have
DECIDE_FACES = ("demo", "data", "faces")  # sections of a profile


def _decide_faces(profile: Profile) -> str:
    """A hash of what decides which faces are found; how many of them are trained on doesn't."""
    return profiles.changed(profile, {"data.people": None}).hash(*DECIDE_FACES)


class Parts:
    """Videos and faces of one profile.

    shared: another one with the same data, whose folder and stores are used instead. Raises ValueError where the
        settings of the two differ in what decides the faces.
    build: a key of `ALLOWED`: what is made when it is asked for. Asking for anything else that isn't there, or was
        made from other settings, data or code, raises UserError naming it and the command that makes it.
    Raises UserError where a name or layout of `data.sets` can't be.
    """

    def __init__(self, profile: Profile, folder: Path, shared: "Parts | None" = None, build: str = "nothing") -> None:
        if build not in ALLOWED:
            raise UserError(f"build {build!r} is unknown; use one of {', '.join(ALLOWED)}")
        self.profile, self.build = profile, build
        self._check_sets()
        self.jobs: int | None = profile.processes  # None: where faces are found is up to joblib.parallel_config
        if shared is not None and _decide_faces(shared.profile) != _decide_faces(profile):
            raise ValueError(f"{folder}: of other videos or faces than {shared.data_folder}")
        self._shared = shared
        self.data_folder: Path = shared.data_folder if shared else folder
        self._stores: dict[str, FaceStore] = shared._stores if shared else {}
        self._catalogues: dict[str, pd.DataFrame] = shared._catalogues if shared else {}
        self._coverages: dict[str, stores.Coverage] = shared._coverages if shared else {}

    def _check_sets(self) -> None:
        taken = {name.lower() for name in TAKEN}  # they name folders, and some disks make no difference of case
        for name, chosen in self.profile.data.sets.items():
            where = f"profile {self.profile.name}: data.sets.{name}"
            if name.lower() in taken:
                raise UserError(f"{where}: the name {name} is taken, in whichever case; give the set another")
            taken.add(name.lower())
            if chosen.layout not in catalogues.TEST_SETS:
                known = ", ".join(catalogues.TEST_SETS)
                raise UserError(f"{where}.layout: no layout {chosen.layout!r}; use one of {known}")

    @property
    def embedded(self) -> bool:
        """Whether the videos are the embedded benchmark's: rendered heads, no real people."""
        return self.profile.data.source == "embedded"

    @cached_property
    def roots(self) -> dict[str, Path]:
        """The folders of the sets, by name; builds the embedded benchmark where the profile uses it."""
        data = self.profile.data
        if self._shared is not None:
            return self._shared.roots
        if not self.embedded:
            named = {"faces": data.faces, "ff": data.face_forensics, "celeb-df": data.celeb_df, "ffiw": data.ffiw}
            if unknown := set(data.more) - (set(TESTS) - set(named)):
                known = ", ".join(name for name in TESTS if name not in named)
                raise UserError(f"profile {self.profile.name}: data.more: no set {min(unknown)!r}; use one of {known}")
            named |= data.more | {name: chosen.root for name, chosen in data.sets.items()}
            return {name: profiles.resolve(root) for name, root in named.items() if root is not None}
        out = self.benchmark
        return {
            "ff": out / "FaceForensics++",
            "celeb-df": out / "Celeb-DF-v2",
            "ffiw": out / "FFIW10K-v1-release",
        }

    def may_make(self, what: str, state: str, command: str, training: bool = False) -> bool:
        """Whether something in this state ("missing", "outdated" or "current") is to be made now.

        what, command: what it is and what makes it, for the UserError where it isn't current and may not be made.
        """
        if state == "current":
            return False
        if state in ALLOWED[self.build][0 if training else 1]:
            return True
        how = f"run `{command}`"
        if state == "missing":
            raise UserError(f"{what} is missing; {how}")
        if self.build == "missing":
            how += ", or set rebuild to true in the notebook"
        raise UserError(f"{what} is out of date: made from other settings, data or code than now; {how}")

    def command(self, name: str) -> str:
        """A command of `dfnb` for this profile, to be named in an error."""
        return f"dfnb {name} --profile {self.profile.name}"

    @cached_property
    def benchmark(self) -> Path:
        """The embedded benchmark's folder.

        Raises UserError where the profile reads folders instead.
        """
        if not self.embedded:
            raise UserError(f"profile {self.profile.name} reads videos from folders: it has no embedded benchmark")
        from dfnb.benchmark import builder

        out = self.data_folder / "benchmark"
        state = builder.state(out, self.profile.demo)
        if processes.is_main() and self.may_make(f"{out}: the embedded benchmark", state, self.command("prepare")):
            builder.build(out, self.profile.demo, jobs=self.profile.processes, renew=True)
        return out

    @cached_property
    def landmark_model(self) -> Path:
        """dlib's 68-point model, its hash checked; asked for first, so that a missing one is named before long work."""
        path = self.profile.faces.landmarks
        return face_finding.landmark_model(profiles.resolve(path) if path else None)

    @cached_property
    def tests(self) -> tuple[str, ...]:
        """The test parts there are data for, real videos and fakes both; a part with one of the two tests nothing."""
        parts = []
        for part in (part for part in self._possible_tests if part in self.roots):
            clips = self.clips(part)
            if clips["label"].nunique() == 2:
                parts.append(part)
            else:
                log.info("%s: only %s videos are there, so it tests nothing", self.title(part), clips["label"].iloc[0])
        return tuple(parts)

    @property
    def _possible_tests(self) -> tuple[str, ...]:
        return (*TESTS, *self.profile.data.sets)

    @property
    def cross_tests(self) -> tuple[str, ...]:
        """The tests on other sets than the training's, which decide; FF++'s own where there is no other."""
        return tuple(part for part in self.tests if part != "ff") or self.tests

    def clips(self, part: str) -> pd.DataFrame:
        """The catalogue of a part: one row a video, labels from paths and lists. Listed once and kept.

        part: a key of PARTS or of the profile's `data.sets`.
        """
        if part not in (known := (*PARTS, *self.profile.data.sets)):
            raise UserError(f"no part {part!r} in a run: use one of {', '.join(known)}")
        if part not in self._catalogues:
            links = catalogues.links_inside(profiles.resolve(root) for root in self.profile.data.links_inside)
            with links, catalogues.gathered_in(self.data_folder / "frames"):
                self._catalogues[part] = self._listing(part)
        return self._catalogues[part].copy()

    def _listing(self, part: str) -> pd.DataFrame:
        data = self.profile.data
        if part == "blending":
            return self._composites()
        if part == "folder":
            return catalogues.faces_folder(self._root(part), video=data.video)
        if chosen := data.sets.get(part):
            if chosen.layout == "folder":
                return catalogues.faces_folder(self._root(part), group=chosen.group, video=chosen.video, name=part)
            if chosen.layout == "deepfakebench":
                return catalogues.deepfake_bench(self._root(part), compression=data.compression)
            return catalogues.TEST_SETS[chosen.layout](self._root(part))
        if part in catalogues.TEST_SETS:
            return catalogues.TEST_SETS[part](self._root(part))
        if part in ("train", "validation") and self._trains_on_a_list:
            split = "train" if part == "train" else "val"
            return catalogues.deepfake_bench(self._root("faces"), split, data.compression, "real")
        if part in ("train", "validation") and data.faces is not None:
            return catalogues.real_faces(self._root("faces"), data.person, data.held_out, data.video)[part]
        split = {"train": "train", "ff": "test"}.get(part, "val")
        methods = ("original",) if part in ("train", "validation") else ("original", *data.manipulations)
        return catalogues.face_forensics(self._root("ff"), split, data.compression, methods)

    def _composites(self) -> pd.DataFrame:
        from dfnb.benchmark import composites

        folder = self.data_folder / "composites"
        state = composites.state(self.profile, folder)
        if self.may_make(f"{folder}: the part blending", state, self.command("report")):
            composites.build(self.profile, folder)
        return composites.clips(self.profile, folder)

    def _root(self, name: str) -> Path:
        if name not in self.roots:
            setting = {"ff": "face_forensics", "celeb-df": "celeb_df", "ffiw": "ffiw"}.get(name, f"more.{name}")
            raise UserError(f"profile {self.profile.name}: data.{setting} isn't set; give the set's root folder")
        return self.roots[name]

    def prepare(self, part: str) -> stores.Coverage:
        """Detect and store the faces of a part; what is there already is kept. Returns its coverage report."""
        # networks that are trained side by side need the same faces: the first command finds them, the others wait
        how = self._how(part)
        make = stores.prepare_given if "given" in how else stores.prepare
        coverage = make(self.clips(part), self.faces_folder(part), wait=True, **how)
        self._coverages[part] = coverage
        return coverage

    def faces_folder(self, part: str) -> Path:
        """Where a part's face store lies."""
        return self.data_folder / "faces" / part

    def _covered(self, part: str) -> stores.Coverage:
        """The coverage report of a part, its faces found now where that is allowed."""
        if part not in self._coverages:
            folder, how = self.faces_folder(part), self._how(part)
            ask = stores.state_given if "given" in how else stores.state
            state = ask(self.clips(part), folder, **how)
            if self.may_make(f"{folder}: the face store", state, self.command("prepare")):
                return self.prepare(part)
            self._coverages[part] = stores.Coverage.load(folder).at(self.clips(part))
        return self._coverages[part]

    def estimate(self, part: str) -> stores.Estimate:
        """What preparing a part will still take, from a few of its videos."""
        return stores.estimate(self.clips(part), self.faces_folder(part), **self._how(part))

    def _how(self, part: str) -> dict[str, Any]:
        data, faces = self.profile.data, self.profile.faces
        frames = {"train": data.train_frames, "validation": data.validation_frames}
        known = self._given(part)
        return {
            **({"given": known} if any(known.values()) else {}),
            "frames": (frames | {"validation-fakes": data.validation_frames}).get(part, data.test_frames),
            "jobs": self.jobs,
            "keep": "largest" if part in ("train", "validation") else "all",
            "upsample": faces.upsample,
            "longest_side": faces.longest_side,
            "landmarks": self.landmark_model,
            "follow": faces.follow,
            "detector": faces.detector,
            "pad": self._is_folder(part) if faces.pad is None else faces.pad,
        }

    def _given(self, part: str) -> dict[str, Any]:
        """What is known of the faces of a part before they are looked for: see `dfnb.data.store.given.GivenFaces`."""
        chosen, crops = self.profile.data.sets.get(part), None
        layout, known = (chosen.layout if chosen else part), None
        if chosen or self._is_folder(part):
            known = chosen or self.profile.faces
            crops, known = known.crops, known.given_landmarks
        of_a_list = layout == "deepfakebench" or (part in ("train", "validation") and self._trains_on_a_list)
        return {"crops": crops, "landmarks": of_a_list if known is None else known}

    @property
    def _trains_on_a_list(self) -> bool:
        """Whether `data.faces` is a list of DeepfakeBench's, and no folder."""
        return str(self.profile.data.faces).lower().endswith(".json")

    def _is_folder(self, part: str) -> bool:
        """Whether a part is any folder of videos or images, which may be tight crops of faces, and no released set."""
        data = self.profile.data
        if chosen := data.sets.get(part):
            return chosen.layout in ("folder", "deepfakebench")
        return part in ("folder", "deepfakebench") or (part in ("train", "validation") and data.faces is not None)

    def store(self, part: str) -> FaceStore:
        """The face store of a part; of the training faces those of `data.people` alone, where that is given."""
        found = self._whole(part)
        people = self.profile.data.people
        return found if part != "train" or people is None else found.subset(self._of_people(found, people))

    def _of_people(self, store: FaceStore, count: int) -> np.ndarray:
        """Which rows are of the first `count` people in a random order, in which fewer are always a part of more."""
        everyone = sorted(store.manifest["group"].unique())
        if count > len(everyone):
            raise UserError(
                f"profile {self.profile.name}: data.people = {count}: faces of {len(everyone)} people were found; use "
                "fewer, or leave it out"
            )
        chosen = generator("people to train on", 0).permutation(everyone)[:count]
        return np.flatnonzero(store.manifest["group"].isin(chosen))

    def _whole(self, part: str) -> FaceStore:
        if part not in self._stores:
            clips = None
            if processes.is_main():
                self._covered(part)
                clips = self.clips(part)  # where its videos lie now: the run may have been made elsewhere
            self._stores[part] = stores.open_store(self.faces_folder(part), clips)
        return self._stores[part]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the report: training, validation, the tests there are data for, and what gives SBI pairs."""
        tested = (part for part in self._possible_tests if part in (*self.tests, self.pairs_from))
        return ("train", "validation", *tested)

    def coverage(self) -> pd.DataFrame:
        """What was listed, opened, decoded and found in every part, a row per part, dataset and method.

        Columns: part, dataset (marked where the copy isn't whole), label, method, listed, opened, frames,
        frames_with_face, faces, videos_with_face, lost: see `Coverage`.
        """
        tables = [self._covered(part).marked().table().assign(part=part) for part in self.parts]
        table = pd.concat(tables, ignore_index=True).drop(columns=["split", "expected", "subset"])
        return table[["part", *[column for column in table.columns if column != "part"]]]

    def problems(self) -> pd.DataFrame:
        """Videos that are missing from this copy, unreadable, damaged or without a face, and why: a row each."""
        tables = [self._covered(part).marked().problems.assign(part=part) for part in self.parts]
        return pd.concat(tables, ignore_index=True)[["part", "dataset", "method", "video", "path", "lost", "reason"]]

    def title(self, part: str) -> str:
        """The part's set as tables and figures name it; a copy that isn't whole says "subset".

        Of `data.sets`, one that would be called as another test set is (two copies of Celeb-DF) adds its name there.
        """
        title = catalogues.title(self.clips(self.pairs_from if part == "sbi" else part))
        if part in self.profile.data.sets:
            others = (other for other in self._possible_tests if other in self.roots and other != part)
            if title in [catalogues.title(self.clips(other)) for other in others]:
                title += f", {part}"
        return title

    @property
    def pairs_from(self) -> str:
        """The part whose real faces give the held-out SBI pairs."""
        return "ff" if "ff" in self.roots else "validation"

    def data_digest(self) -> str:
        """A hash of all faces the run holds."""
        return files.digest([self.store(part).digest for part in self.parts])
