"""What a network answers about one file, and why it may be wrong: in words and pictures.

A number, never a yes or no. A network trained on the embedded benchmark's rendered heads says so before anything else.
"""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfnb import networks
from dfnb.common import devices, files
from dfnb.common.errors import UserError, printable
from dfnb.data import frames
from dfnb.networks.checkpoint import IMPORTED
from dfnb.own_video import about as file_facts
from dfnb.own_video import doubts, file_scores, finders, people, timeline
from dfnb.plots import pictures, style
from dfnb.plots.style import Plot
from dfnb.profile import Sbi
from dfnb.scoring import metrics, real_people
from dfnb.scoring.inference import Precision, Scorer

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

EMBEDDED = "not valid for real videos: this network has only ever seen rendered heads (the embedded benchmark)"
WHOLE_FRAMES = 3  # how many are shown


@dataclass(frozen=True)
class Detector:
    """A checkpoint ready to score files.

    about: what training wrote into the checkpoint. sha256: of the checkpoint's file. frames: how many of a video,
    evenly spaced, are scored. rate: or how many a second. limits: beyond which it can't tell.
    """

    net: networks.Network
    about: dict[str, Any]
    sha256: str
    finder: finders.Finder
    frames: int = 32
    precision: Precision = "auto"
    rate: float | None = None
    limits: doubts.Limits = field(default_factory=doubts.Limits)

    @cached_property
    def scorer(self) -> Scorer:
        """The network ready to score, made once."""
        return Scorer(self.net, self.size, self.precision)

    @property
    def size(self) -> int:
        """Side of the network's input, pixels."""
        return self.about["profile"]["model"]["size"]

    @property
    def warning(self) -> str | None:
        """What must stand before every answer of a network trained on rendered heads or elsewhere; None for others."""
        if self.is_imported:
            return f"{self.about['domain']}: another project trained this network, on what isn't known here"
        return EMBEDDED if self.about.get("domain") == "embedded benchmark" else None

    @property
    def real_people(self) -> dict[str, Any]:
        """What the checkpoint keeps of held-out real people (`real_people.record`); {} where it keeps nothing."""
        return self.about.get("real_people", {})

    @property
    def is_imported(self) -> bool:
        """Whether another project trained the network (`networks.convert`)."""
        return str(self.about.get("domain")).startswith(IMPORTED)

    @property
    def warning_sentence(self) -> str:
        """`warning` as a sentence, "" where there is none."""
        return f"{self.warning[0].upper()}{self.warning[1:]}." if self.warning else ""

    def answer(self, path: Path, pictures: bool = True) -> "Answer":
        """Score a video or image; a file without a score is an answer with its reason.

        pictures: keep what the answer's figures need.
        """
        return next(self.answers([path], pictures))

    def answers(self, paths: Sequence[Path], pictures: bool = True) -> Iterator["Answer"]:
        """`answer` for several files, in order, in batches across files: see `file_scores.score_files`."""
        how = {"pictures": pictures, "rate": self.rate, "held_out": self.real_people}
        scores = file_scores.score_files(self.scorer, self.finder, paths, self.size, self.frames, **how)
        for path, scored in zip(paths, scores, strict=True):
            unit = real_people.unit_of(path)
            for person in scored.row["people"]:
                found = real_people.standing(person["score"], self.real_people, unit)
                person["p_real"] = found.p if found else None
            fps = frames.probe(path).fps if pictures and scored.row["score"] is not None else 0.0
            yield Answer(self, path, scored, fps)

    def facts(self) -> pd.DataFrame:
        """What the network was trained on, or where it is from, as far as its checkpoint says: columns what, value."""
        profile, settings = self.about["profile"], self.net.settings
        if self.is_imported:
            origin = self.about.get("imported")
            file, digest = (origin.get(name, "?") if isinstance(origin, dict) else "?" for name in ("file", "sha256"))
            facts = {
                "where from": self.about["domain"],
                "its file": f"{file}, SHA-256 {digest}",
                "network": f"{settings['backbone']}, {self.size} px",
                "checkpoint, SHA-256": f"{self.sha256[:16]}…",
            }
            return pd.DataFrame({"what": list(facts), "value": list(facts.values())})
        data, recipe = (part if isinstance(part := profile.get(name), dict) else {} for name in ("data", "train"))
        if self.warning:
            source = "rendered heads of the embedded benchmark; no real person"
        else:
            source = "a folder of real faces" if data.get("faces") else "original videos of FaceForensics++"
        length = f"{recipe['steps']} steps" if recipe.get("steps") else f"{recipe.get('epochs', '?')} epochs"
        head = {"arcface": "ArcFace", "linear": "linear head"}.get(settings["head"], settings["head"])
        facts = {
            "real faces of": source,
            "fakes": f"{_kinds(profile)}; no manipulated video",
            "network": f"{settings['variant']} with {head}, {settings['backbone']}, {self.size} px",
            "length": f"{length}, seed {self.about.get('seed', '?')}",
            "profile": profile.get("name", "?"),
            "checkpoint, SHA-256": f"{self.sha256[:16]}…",
        }
        return pd.DataFrame({"what": list(facts), "value": list(facts.values())})


def _kinds(profile: dict[str, Any]) -> str:
    """How the fakes of a training were made, in words. profile: as its checkpoint keeps it."""
    try:
        kinds = Sbi.model_validate(profile.get("sbi", {})).fakes
    except ValueError:  # of another version
        return "?"
    if not kinds:
        return "those faces blended with themselves (SBI)"
    return f"made of those faces: {', '.join(f'{name} ({share:g})' for name, share in kinds)}"


def detector(
    checkpoint: Path,
    count: int = 32,
    upsample: int = 0,
    precision: Precision = "auto",
    faces: finders.Choice = "hog",
    rate: float | None = None,
    limits: doubts.Limits | None = None,
) -> Detector:
    """Load a checkpoint. count: frames of a video; upsample: see `FaceFinder`; precision: see `dfnb.scoring.inference`.

    checkpoint: a file, or what else `networks.located` takes. faces: which detector finds them, see `finders.finder`.
    rate: frames a second of a video, instead of `count`. limits: see `doubts`; the measured ones by default.
    Raises UserError, naming the file, where it is no checkpoint of ours.
    """
    checkpoint = networks.located(checkpoint)
    networks.trained_for(checkpoint)  # raises where size or domain is missing or of the wrong kind
    about = networks.metadata(checkpoint)
    finder = finders.finder(faces, upsample)
    net = networks.load(checkpoint).to(devices.scoring_device())
    return Detector(net, about, files.sha256(checkpoint), finder, count, precision, rate, limits or doubts.Limits())


@dataclass(frozen=True)
class Answer:
    """What was found in one file. fps: frames a second, 0 where unknown, such as for an image."""

    detector: Detector
    path: Path
    scored: file_scores.Scored
    fps: float

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the file says of itself, see `about.about`; {} where it can't be read, and `scored` says why."""
        try:
            return file_facts.about(self.path)
        except UserError:
            return {}

    @cached_property
    def cannot_tell(self) -> list[str]:
        """Why nothing can be told of the most suspicious person, a sentence each; empty where something can."""
        if not self.has_score:
            return [f"There is no score: {self.scored.row['reason']}."]
        leading = self.scored.faces[self.scored.faces["person"] == 0]
        return doubts.reasons(leading, real_people.unit_of(self.path) == "video", self.about, self.detector.limits)

    @property
    def doubt(self) -> str:
        """`cannot_tell` in Markdown, to stand before `summary`; "" where something can be told."""
        if not self.has_score or not self.cannot_tell:
            return ""
        listed = "".join(f"- {reason}\n" for reason in self.cannot_tell)
        return f"**This network can't tell. The numbers below mean little:**\n\n{listed}\n"

    @property
    def about_sentences(self) -> list[str]:
        """`about` in words."""
        return file_facts.sentences(self.about) if self.about else []

    @property
    def has_score(self) -> bool:
        """Whether there is a number at all; `scored.row["reason"]` says why not."""
        return self.scored.row["score"] is not None

    def faces_found(self, count: int = WHOLE_FRAMES) -> Plot:
        """Whole frames, evenly over those with a face, with each face's box, its score, and its person's number."""
        table = self.scored.faces
        with_face = table["frame"].unique()
        wanted = set(with_face[style.evenly(len(with_face), count)].tolist())
        shown, texts = [], []
        for index, rgb in frames.at(self.path, wanted):
            rows = table[table["frame"] == index]
            scale = min(1.0, 640 / max(rgb.shape))
            who = [str(person + 1) for person in rows["person"]] if len(self.people) > 1 else []
            boxed = pictures.frame_with_boxes(rgb, rows, who)
            shown.append(cv2.resize(boxed, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
            when = f"{index / self.fps:.1f} s" if self.fps else f"frame {index}"
            scores = [f"{score:.2f}" for score in rows["score"]]
            if who:
                scores = [f"{number}: {score}" for number, score in zip(who, scores, strict=True)]
            lines = [", ".join(scores[k : k + 3]) for k in range(0, len(scores), 3)]
            texts.append("\n".join([when, *lines]))
        empty = [None] * (count - len(shown))  # a picture alone would be as large as the page
        numbers = table[table["frame"].isin(wanted)][["frame", "face", "x0", "y0", "x1", "y1", "person", "score"]]
        alt = f"Frames with a box around each face found, and the faces' scores. {'; '.join(texts)}.".replace("\n", " ")
        return pictures.grid([shown + empty], captions=[texts + [""] * len(empty)], numbers=numbers, alt=alt)

    def course(self) -> Plot:
        """The score over time with its interval, see `timeline.course`."""
        return timeline.course(self.scored, self.fps)

    def strongest(self) -> Plot:
        """The frames with the highest scores and their attention maps, see `timeline.strongest`."""
        return timeline.strongest(self.scored, self.fps)

    @property
    def people(self) -> list[dict[str, Any]]:
        """A row a person, the most suspicious first: see `people.ranked`."""
        return self.scored.row["people"]

    def thumbnail(self, person: int) -> NDArray[np.uint8]:
        """The face of a person with the highest score, (S, S, 3) uint8 RGB. person: place in `people`."""
        seen = self.scored.faces.query("person == @person")
        return self.scored.crops[int(seen["score"].idxmax())]

    def cast(self, most: int = 6) -> Plot:
        """A face of each person, the most suspicious first, with the person's score, its interval, frames."""
        faces, texts = [], []
        for person, row in enumerate(self.people[:most]):
            faces.append(pictures.enlarged(self.thumbnail(person), 200))
            interval = f"{row['low']:.2f} to {row['high']:.2f}" if row["low"] is not None else "no interval"
            count = f"{row['frames']} frame{'s' * (row['frames'] > 1)}"
            texts.append(f"{person + 1}: {row['score']:.2f}\n{interval}\n{count}")
        empty = [None] * (most - len(faces))  # a face alone would be as large as the page
        alt = f"The people of the file, the most suspicious first; scores: {'; '.join(texts)}.".replace("\n", ", ")
        captions = [texts + [""] * len(empty)]
        return pictures.grid([faces + empty], captions=captions, numbers=pd.DataFrame(self.people), alt=alt)

    def person_course(self, person: int) -> Plot:
        """A person's score over time, see `timeline.person_course`."""
        return timeline.person_course(self.scored, person)

    def person_summary(self, person: int) -> str:
        """A person's number, its interval, and when the person was seen."""
        row, frame = self.people[person], self.people[person]["frames"] == 1
        text = f"{self._standing(row['score'])}. Probability of fake, by this network: {row['score']:.2f}"
        if row["low"] is not None:
            text += f" (95 % interval {row['low']:.2f} to {row['high']:.2f})"
        text += f", from {row['frames']} frame{'s' * (not frame)}"
        if self.fps:
            text += f", at {row['from']:.1f} s" if frame else f" between {row['from']:.1f} and {row['to']:.1f} s"
        return text

    def _standing(self, score: float) -> str:
        """What a number of this height means among real people, without a full stop."""
        found = real_people.standing(score, self.detector.real_people, real_people.unit_of(self.path))
        if found is None:
            few = f"fewer than {real_people.FEWEST} real people"
            return f"how rare such a score is among real people isn't known, since this network was checked on {few}"
        embedded = self.detector.warning == EMBEDDED
        text = f"a score {real_people.words(found, 'rendered heads' if embedded else 'real people')}"
        if found.unit != real_people.unit_of(self.path):
            text += f" (those in {found.unit}s, so this is a rough guide)"
        return text

    def summary(self) -> str:
        """The most suspicious person, then the protocol's score and what it rests on. No yes or no."""
        row = self.scored.row
        if not self.has_score:
            return f"There is no score: {row['reason']}."
        found = people.interval(metrics.frame_scores(self.scored.faces)["score"])
        who = f"The most suspicious of {len(self.people)} people" if len(self.people) > 1 else "One person"
        basis = f"{row['faces']} face{'s' * (row['faces'] != 1)} in {row['frames_with_face']} of {row['frames']} frames"
        text = (
            f"{who}: {self.person_summary(0)}. The protocol's score of the whole file, for comparison with papers (the "
            f"mean of each frame's highest face): {row['score']:.2f}, from {basis}. "
        )
        if found is None:
            return text + f"An interval needs {people.FEWEST} frames with a face."
        return (
            f"{text}95 % interval of that mean: {found.low:.2f} to {found.high:.2f}; its {row['frames_with_face']} "
            f"frames resemble one another and are worth about {found.effective:.0f} independent ones. An interval is "
            "about other frames of the same video, not about whether the network is right."
        )

    def caveats(self) -> list[str]:
        """Why the number may be wrong, a sentence each, with what can be measured on this file."""
        row, table, size = self.scored.row, self.scored.faces, self.detector.size
        reasons = []
        if self.detector.is_imported:
            reasons.append(
                "Another project trained this network and cut faces out in another way. What it learned to notice "
                "isn't known here, and its published numbers were not measured with these crops."
            )
        elif self.detector.warning:
            reasons.append(
                "This network has never seen a real person: it was trained on rendered heads. For a real video its "
                "number means nothing, high or low."
            )
        if not self.detector.is_imported:
            reasons.append(
                "It learned to notice blending, from fakes made of real faces alone. A face generated whole, a voice, "
                "a cut or a caption that lies leaves no such trace."
            )
        if len(table):
            px = float(np.median(np.sqrt((table["x1"] - table["x0"]) * (table["y1"] - table["y0"]))))
            small = "they were enlarged, and detail is missing" if px < size else "nothing had to be enlarged"
            reasons.append(f"The faces are {px:.0f} px in size (median), the network looks at {size} px, so {small}.")
        if len(self.people) > 1 or row["frames"] > 1:
            reasons.append(
                "Faces were linked into people by face recognition, which can take two people who look alike for one, "
                "or one person seen from the front and from the side for two."
            )
        p = self.people[0]["p_real"] if self.people else None
        if p is not None and len(self.people) > 1:
            reasons.append(
                f"The most suspicious of {len(self.people)} people is named first, and of so many one is easily high: "
                f"if all are real, a score as rare as this is seen in up to {min(1, p * len(self.people)):.0%} of such "
                "files."
            )
        if p is not None:
            reasons.append(
                "How rare a score is among real people holds for people filmed as they were. With other cameras, "
                "compression or frames, real people can get high scores much more often, or much less. It says "
                "nothing about fakes."
            )
        if row["frames_with_face"] < row["frames"]:
            without = row["frames"] - row["frames_with_face"]
            reasons.append(f"In {without} of {row['frames']} frames no face was found; nothing is known of these.")
        if row.get("notes"):
            reasons.append(f"How the file was read: {row['notes']}.")
        rare = "Where fakes are rare, most high numbers are false alarms."
        reasons += [
            "Compression, filters, make-up, re-filming a screen and unusual cameras move the number in either "
            "direction; it was never adjusted to such footage.",
            rare if self.detector.is_imported else f"It was trained on as many fakes as real faces. {rare}",
        ]
        return reasons


# ---- in notebook 8 ----


def detector_of(run: "Run", checkpoint: str = "") -> Detector:
    """The checkpoint at this path, or the last network that the run lists, trained now if it isn't yet."""
    return detector(Path(checkpoint).expanduser() if checkpoint else run.trained(run.networks[-1]))


def choose_file(run: "Run", video: str = "") -> Path:
    """The file at this path, or a sample from the run's last test set: a fake.

    Raises UserError where there is no such file, or the run has no test videos.
    """
    if video:
        return file_scores.find_files([Path(video).expanduser()])[0]
    if not run.tests:
        raise UserError(f"profile {run.profile.name} has no test videos to take a sample of: set the parameter `video`")
    clips = run.clips(run.tests[-1])
    fakes = clips[clips["label"] == "fake"]
    return Path(fakes.iloc[len(fakes) // 2]["path"])


def introduction(answer: Answer, run: "Run", video: str = "") -> str:
    """The warning, if there must be one, and where the file comes from, in Markdown. video: as for `choose_file`."""
    warning = f"> **{answer.detector.warning_sentence}**\n\n" if answer.detector.warning else ""
    name = f"<code>{html.escape(printable(answer.path.name))}</code>"
    if video:
        return f"{warning}A file of your own: {name}."
    clips = run.clips(run.tests[-1])
    clip = clips[clips["path"] == str(answer.path)].iloc[0]
    return f"{warning}A sample, {name} of {run.title(run.tests[-1])}. What it is: {clip['label']}."
