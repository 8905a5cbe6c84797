"""What a network says about one file of a reader's own, and why it may be wrong: in words, pictures, and on one page.

A number, never a yes or no. A network that only knows the embedded benchmark's rendered heads says so before anything
else.
"""

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd

from dfnb import networks
from dfnb.common import files
from dfnb.common.errors import UserError, printable
from dfnb.data import faces, frames
from dfnb.own_video import files as own_files
from dfnb.own_video import timeline
from dfnb.plots import pictures, style
from dfnb.plots.style import Plot
from dfnb.scoring import metrics
from dfnb.scoring.inference import Precision, Scorer

if TYPE_CHECKING:
    from dfnb.experiment.run import Run

EMBEDDED = "not valid for real videos: this network has only ever seen rendered heads (the embedded benchmark)"
SHOWN = 3  # whole frames shown
COURSE = "The score over time. A single frame's score has no interval of its own; the shaded one is their mean's."
FOUND = "Faces found, in evenly spaced frames; below each frame its faces' scores."


@dataclass(frozen=True)
class Detector:
    """A checkpoint ready to look at files.

    about: what training wrote into the checkpoint. sha256: of the checkpoint's file. frames: evenly spaced ones looked
    at in a video.
    """

    net: networks.Network
    about: dict[str, Any]
    sha256: str
    finder: faces.FaceFinder
    frames: int = 32
    precision: Precision = "auto"

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
        """What must stand before every answer of a network that only knows rendered heads."""
        return EMBEDDED if self.about.get("domain") == "embedded benchmark" else None

    def look_at(self, path: Path, pictures: bool = True) -> "Answer":
        """Score a video or image; a file without a score is an answer with its reason.

        pictures: keep what the answer's figures need.
        """
        return next(self.look_at_all([path], pictures))

    def look_at_all(self, paths: Sequence[Path], pictures: bool = True) -> Iterator["Answer"]:
        """`look_at` for several files, in order and in one stream: see `score.score_files`."""
        every = own_files.score_files(self.scorer, self.finder, paths, self.size, self.frames, pictures=pictures)
        for path, scored in zip(paths, every, strict=True):
            fps = frames.probe(path).fps if pictures and scored.row["score"] is not None else 0.0
            yield Answer(self, path, scored, fps)


def detector(checkpoint: Path, count: int = 32, upsample: int = 0, precision: Precision = "auto") -> Detector:
    """Load a checkpoint. count: frames looked at; upsample: see `FaceFinder`; precision: see `dfnb.scoring.inference`.

    Raises UserError, naming the file, where it is no checkpoint of ours.
    """
    networks.trained_for(checkpoint)  # size and domain are there, and of the right kind
    about = networks.metadata(checkpoint)
    finder = faces.FaceFinder(upsample=upsample)
    return Detector(networks.load(checkpoint), about, files.sha256(checkpoint), finder, count, precision)


@dataclass(frozen=True)
class Answer:
    """What was found in one file. fps: frames a second, 0 where unknown, such as for an image."""

    detector: Detector
    path: Path
    scored: own_files.Scored
    fps: float

    @property
    def has_score(self) -> bool:
        """Whether there is a number at all; `scored.row["reason"]` says why not."""
        return self.scored.row["score"] is not None

    def faces_found(self, count: int = SHOWN) -> Plot:
        """Whole frames, evenly over those with a face, with a box around each face found and its score."""
        table = self.scored.faces
        seen = table["frame"].unique()
        wanted = set(seen[style.evenly(len(seen), count)].tolist())
        shown, texts = [], []
        for index, rgb in frames.sample_frames(self.path, self.detector.frames):
            if index not in wanted:
                continue
            own = table[table["frame"] == index]
            small = min(1.0, 640 / max(rgb.shape))
            boxed = pictures.frame_with_boxes(rgb, own)
            shown.append(cv2.resize(boxed, None, fx=small, fy=small, interpolation=cv2.INTER_AREA))
            when = f"{index / self.fps:.1f} s" if self.fps else f"frame {index}"
            texts.append(f"{when}: " + ", ".join(f"{value:.2f}" for value in own["score"]))
        empty = [None] * (count - len(shown))  # a picture alone would be as large as the page
        numbers = table[table["frame"].isin(wanted)][["frame", "face", "x0", "y0", "x1", "y1", "score"]]
        alt = f"Frames with a box around each face found, and the faces' scores. {'; '.join(texts)}."
        return pictures.grid([shown + empty], captions=[texts + [""] * len(empty)], numbers=numbers, alt=alt)

    def course(self) -> Plot:
        """The score over time with its interval, see `timeline.course`."""
        return timeline.course(self.scored, self.fps)

    def strongest(self) -> Plot:
        """The frames with the highest scores and their attention maps, see `timeline.strongest`."""
        return timeline.strongest(self.scored, self.fps)

    def in_words(self) -> str:
        """The number, its interval and what it rests on. No yes or no."""
        row = self.scored.row
        if not self.has_score:
            return f"There is no score: {row['reason']}."
        values = metrics.frame_scores(self.scored.faces)["score"]
        found = timeline.interval(values)
        looked = (
            f"{row['faces']} face{'s' * (row['faces'] != 1)} in {row['frames_with_face']} of {row['frames']} frames"
        )
        said = f"Probability of fake, by this network: {row['score']:.2f}, from {looked}. "
        if found is None:
            return said + f"An interval needs {timeline.FEWEST} frames with a face."
        return (
            f"{said}95 % interval of that mean: {found.low:.2f} to {found.high:.2f}; its {len(values)} frames resemble "
            f"one another and are worth about {found.effective:.0f} independent ones. The interval is about other "
            "frames of the same video, not about whether the network is right."
        )

    def training(self) -> pd.DataFrame:
        """What the network was trained on, as far as its checkpoint says: a row a fact."""
        return training(self.detector)

    def why_wrong(self) -> list[str]:
        """Why the number may be wrong, a sentence each; the ones that can be measured on this file are."""
        row, table, size = self.scored.row, self.scored.faces, self.detector.size
        reasons = []
        if self.detector.warning:
            reasons.append(
                "This network has never seen a real person: it was trained on rendered heads. For a real video its "
                "number means nothing, high or low."
            )
        reasons.append(
            "It learned to notice blending, from real faces blended with themselves. A face generated whole, a voice, "
            "a cut or a caption that lies leaves no such trace."
        )
        if len(table):
            px = float(np.median(np.sqrt((table["x1"] - table["x0"]) * (table["y1"] - table["y0"]))))
            small = "they were enlarged, and detail is missing" if px < size else "nothing had to be enlarged"
            reasons.append(f"The faces are {px:.0f} px in size (median), the network looks at {size} px, so {small}.")
        if row["frames_with_face"] < row["frames"]:
            without = row["frames"] - row["frames_with_face"]
            reasons.append(f"In {without} of {row['frames']} frames no face was found; nothing is known of these.")
        reasons += [
            "Compression, filters, make-up, re-filming a screen and unusual cameras move the number in either "
            "direction; it was never adjusted to such footage.",
            "It was trained on as many fakes as real faces. Where fakes are rare, most high numbers are false alarms.",
        ]
        return reasons


def training(detector_: Detector) -> pd.DataFrame:
    """What a network was trained on, as far as its checkpoint says: columns what, value."""
    about, settings = detector_.about, detector_.net.settings
    profile = about["profile"]
    data, recipe = (part if isinstance(part := profile.get(name), dict) else {} for name in ("data", "train"))
    if detector_.warning:
        where = "rendered heads of the embedded benchmark; no real person"
    else:
        where = "a folder of real faces" if data.get("faces") else "original videos of FaceForensics++"
    length = f"{recipe['steps']} steps" if recipe.get("steps") else f"{recipe.get('epochs', '?')} epochs"
    head = {"arcface": "ArcFace", "linear": "linear head"}.get(settings["head"], settings["head"])
    facts = {
        "real faces of": where,
        "fakes": "those faces blended with themselves (SBI); no manipulated video",
        "network": f"{settings['variant']} with {head}, {settings['backbone']}, {detector_.size} px",
        "length": f"{length}, seed {about.get('seed', '?')}",
        "profile": profile.get("name", "?"),
        "checkpoint, SHA-256": detector_.sha256[:16],
    }
    return pd.DataFrame({"what": list(facts), "value": list(facts.values())})


# ---- in notebook 8 ----


def of_run(run: "Run", checkpoint: str = "") -> Detector:
    """The checkpoint of this path, or the last network that the run lists, trained now if it isn't yet."""
    return detector(Path(checkpoint).expanduser() if checkpoint else run.trained(run.networks[-1]))


def choose(run: "Run", video: str = "") -> Path:
    """The file of this path, or a sample of the run's own tests: a fake, with several people where there are some.

    Raises UserError where there is no such file, or the run has no test videos.
    """
    if video:
        return own_files.find_files([Path(video).expanduser()])[0]
    if not run.tests:
        raise UserError(f"profile {run.profile.name} has no test videos to take a sample of: set the parameter `video`")
    clips = run.clips(run.tests[-1])
    fakes = clips[clips["label"] == "fake"]
    return Path(fakes.iloc[len(fakes) // 2]["path"])


def introduce(found: Answer, run: "Run", video: str = "") -> str:
    """The warning, if there must be one, and what is known of the file, in Markdown."""
    warning = f"> **{spoken(found.detector.warning)}**\n\n" if found.detector.warning else ""
    name = f"<code>{html.escape(printable(found.path.name))}</code>"
    if video:
        return f"{warning}A file of your own: {name}."
    clips = run.clips(run.tests[-1])
    clip = clips[clips["path"] == str(found.path)].iloc[0]
    return f"{warning}A sample, {name} of {run.title(run.tests[-1])}. What it is: {clip['label']}."


def doubts(found: Answer) -> str:
    """`Answer.why_wrong` in Markdown."""
    return "\n".join(f"- {reason}" for reason in found.why_wrong())


# ---- the page ----

_STYLE = """
.warning { border: 3px solid #9c1c00; background: #fff3ee; padding: .6rem 1rem; font-weight: 600; }
td, th { text-align: left; } img { height: auto; }
"""


def section(answer: Answer, name: str | None = None) -> str:
    """One file as an HTML fragment: the number, the score over time, the strongest frames, the faces, the doubts.

    name: what the page calls the file; its own name unless told (see `names`).
    """
    name = name or printable(answer.path.name)
    parts = [f"<h2>{html.escape(name)}</h2><p>{html.escape(answer.in_words())}</p>"]
    if answer.has_score:
        plots = [
            (answer.strongest(), f"The frames with the highest scores. {timeline.CAPTION}"),
            (answer.faces_found(), FOUND),
        ]
        if answer.scored.row["frames_with_face"] > 1:
            plots.insert(0, (answer.course(), COURSE))
        parts += [_figure(plot, caption) for plot, caption in plots]
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in answer.why_wrong())
    parts.append(f"<h3>Why this may be wrong</h3><ul>{reasons}</ul>")
    return f'<section id="{_anchor(name)}">{"".join(parts)}</section>'


def document(sections: Sequence[str], rows: Sequence[dict[str, Any]], detector_: Detector) -> str:
    """A page of its own that opens offline: the warning first, a row a file, the sections, what the network knows.

    sections: of `section`, called as `names` says; rows: their `score.Scored.row`s.
    """
    from dfnb.plots import page  # not before: what it converts notebooks with takes two seconds to import

    called = names([Path(row["file"]) for row in rows])
    warning = (
        f'<p class="warning" role="alert">{html.escape(spoken(detector_.warning))}</p>' if detector_.warning else ""
    )
    title = called[0] if len(rows) == 1 else f"Scores of {len(rows)} files"
    listed = "" if len(rows) == 1 else _list(called, rows)
    facts = "".join(
        f'<tr><th scope="row">{html.escape(row.what)}</th><td>{html.escape(str(row.value))}</td></tr>'
        for row in training(detector_).itertuples()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{page.POLICY}">'
        f"<style>{page.STYLE}{_STYLE}</style></head><body><main>{warning}<header><h1>{html.escape(title)}</h1>"
        '<p class="about">A number, not a verdict: no detector proves that a video is real or fake.</p></header>'
        f'{listed}{"".join(sections)}<section><h2>What the network was trained on</h2><div style="overflow-x:auto">'
        f"<table>{facts}</table></div></section></main></body></html>\n"
    )


def export(answers: Sequence[Answer], path: Path) -> Path:
    """Write answers of one detector as one page, whole or not at all."""
    called = names([answer.path for answer in answers])
    sections = [section(answer, name) for answer, name in zip(answers, called, strict=True)]
    files.write_text(path, document(sections, [answer.scored.row for answer in answers], answers[0].detector))
    return path


def names(paths: Sequence[Path]) -> list[str]:
    """What a page calls files: their names, with as much of their folders as tells them apart from one another."""
    whole = [path.resolve().parts for path in paths]
    most = max(len(parts) for parts in whole)
    for depth in range(1, most + 1):
        called = [printable("/".join(parts[-depth:])) for parts in whole]
        if len(set(called)) == len(set(whole)):
            break
    return called


def spoken(warning: str) -> str:
    """A warning as a sentence."""
    return warning[0].upper() + warning[1:] + "."


def _anchor(name: str) -> str:
    return f"file-{files.digest(name)[:8]}"


def _list(called: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in ("file", "probability of fake", "frames with a face", ""))
    body = ""
    for name, row in zip(called, rows, strict=True):
        value = "–" if row["score"] is None else f"{row['score']:.2f}"
        link = f'<a href="#{_anchor(name)}">{html.escape(name)}</a>'
        seen = f"{row['frames_with_face']} of {row['frames']}"
        body += f"<tr><td>{link}</td><td>{value}</td><td>{seen}</td><td>{html.escape(row['reason'])}</td></tr>"
    return f'<div style="overflow-x:auto"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(plot: Plot, caption: str) -> str:
    source = base64.b64encode(style.encode(plot.figure, "png")).decode()
    return (
        f'<figure><img src="data:image/png;base64,{source}" alt="{html.escape(plot.alt)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
