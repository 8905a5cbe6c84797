"""Answers as an HTML page that opens offline: words, pictures, and what the network was trained on."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from dfnb.common import files
from dfnb.common.errors import printable
from dfnb.own_video import timeline
from dfnb.own_video.answer import Answer, Detector
from dfnb.plots.page import render
from dfnb.plots.style import PICTURES, Plot, picture

HERE = Path(__file__).parent
MOST_PEOPLE = 12  # shown with their pictures
CAPTIONS = {
    "course": "The protocol's score over time. A single frame has no interval; the shaded one is the mean's.",
    "strongest": f"The frames with the highest scores. {timeline.CAPTION}",
    "faces_found": "Faces found, in evenly spaced frames; below each its faces' scores, after the person's number.",
}


def section(answer: Answer, name: str | None = None) -> str:
    """One file as an HTML fragment: its people, the most suspicious first; the whole file; the caveats.

    Of each person: a face, the score with its interval, its course. Of the file: the protocol's score over time, the
    strongest frames, the faces found.
    name: what the page calls the file, see `names`; the file's own name by default.
    """
    name = name or printable(answer.path.name)
    several = answer.scored.row["frames_with_face"] > 1
    kinds = [kind for kind in CAPTIONS if several or kind != "course"] if answer.has_score else []
    figures = [_figure(getattr(answer, kind)()) | {"caption": CAPTIONS[kind]} for kind in kinds]
    people = [_person(answer, place) for place in range(min(MOST_PEOPLE, len(answer.people)))]
    about = {"answer": answer, "name": name, "anchor": _anchor(name)}
    return render(HERE / "section.html.j2", **about, people=people, figures=figures)


def document(sections: Sequence[str], rows: Sequence[dict[str, Any]], detector: Detector) -> str:
    """The whole page: the warning first, a row a file, the sections, and what the network was trained on.

    sections: of `section`, called as `names` says. rows: their `Scored.row`s, in the same order.
    """
    called = names([Path(row["file"]) for row in rows])
    return render(
        HERE / "answers.html.j2",
        title=called[0] if len(rows) == 1 else f"Scores of {len(rows)} files",
        warning=detector.warning_sentence,
        files=[(name, _anchor(name), row) for name, row in zip(called, rows, strict=True)],
        sections=sections,
        facts=detector.facts().itertuples(),
    )


def export(answers: Sequence[Answer], path: Path) -> Path:
    """Write answers of one detector as one page, whole or not at all."""
    called = names([answer.path for answer in answers])
    sections = [section(answer, name) for answer, name in zip(answers, called, strict=True)]
    files.write_text(path, document(sections, [answer.scored.row for answer in answers], answers[0].detector))
    return path


def names(paths: Sequence[Path]) -> list[str]:
    """What a page calls files: their names, with as much of their folders as tells them apart from one another."""
    called: list[str] = []
    whole = [path.resolve().parts for path in paths]
    most = max((len(parts) for parts in whole), default=0)
    for depth in range(1, most + 1):
        called = [printable("/".join(parts[-depth:])) for parts in whole]
        if len(set(called)) == len(set(whole)):
            break
    return called


def _person(answer: Answer, place: int) -> dict[str, Any]:
    _, png = cv2.imencode(".png", answer.thumbnail(place)[..., ::-1])
    course = _figure(answer.person_course(place)) if answer.people[place]["frames"] > 1 else None
    text = answer.person_summary(place)
    return {"face": _base64(png.tobytes()), "text": text[0].upper() + text[1:], "course": course}


def _figure(plot: Plot) -> dict[str, str]:
    ending, data = picture(plot)
    return {"source": f"data:{PICTURES[ending]};base64,{_base64(data)}", "alt": plot.alt}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _anchor(name: str) -> str:
    return f"file-{files.digest(name)[:8]}"
