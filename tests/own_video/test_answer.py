"""One file's answer: its interval, its page, and the doubts that belong to it."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from untrained import SIZE, command

from dfnb.common.errors import UserError
from dfnb.data import frames
from dfnb.own_video import answer, page, people
from dfnb.own_video import widgets as own_widgets
from dfnb.plots import pictures, style


def series(rng: np.random.Generator, n: int, r: float) -> np.ndarray:
    """n numbers of mean 0 whose neighbours correlate by r."""
    values = np.empty(n + 60)
    values[0] = rng.normal()
    for i in range(1, len(values)):
        values[i] = r * values[i - 1] + rng.normal()
    return values[60:]


@pytest.mark.parametrize(("r", "least"), [(0.0, 0.93), (0.5, 0.9), (0.8, 0.88)])
def test_the_interval_holds_the_mean_about_as_often_as_it_says(r, least):
    """Where neighbours resemble one another, the interval that takes them as independent would hold it far less."""
    rng, held, naive, count = np.random.default_rng(1), 0, 0, 1000
    for _ in range(count):
        values = 0.5 + 0.01 * series(rng, 32, r)  # small, so that the clipping at 0 and 1 plays no part
        found = people.interval(values)
        held += found.low <= 0.5 <= found.high
        naive += abs(values.mean() - 0.5) <= 2.04 * values.std(ddof=1) / np.sqrt(32)
    assert held / count > least
    if r == 0.8:
        assert naive / count < 0.6


def test_intervals_of_few_equal_and_extreme_frames():
    assert people.interval([0.1, 0.9, 0.4, 0.6]) is None
    assert people.interval([0.3] * 6)[:2] == pytest.approx((0.3, 0.3))
    low, high, _ = people.interval([0.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    assert low >= 0
    assert high <= 1
    alternating = people.interval([0.4, 0.6] * 16)
    assert alternating.effective == pytest.approx(32)  # neighbours that differ are not counted as more than they are
    assert alternating[:2] == pytest.approx(
        [0.5 - 2.0395 * 0.1 * np.sqrt(32 / 31) / np.sqrt(32), 0.5 + 2.0395 * 0.1 * np.sqrt(32 / 31) / np.sqrt(32)],
        abs=1e-4,
    )


class Page(HTMLParser):
    """Tags, ids, links and words of a page, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.ids, self.links, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"].removeprefix("#")] if "href" in given else []

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def hostile(videos, tmp_path_factory) -> Path:
    """A video whose name is markup."""
    path = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=alert(1)> & co.mp4"
    path.write_bytes((videos / "real/one.mp4").read_bytes())
    return path


def test_a_page_of_several_files(monkeypatch, capsys, checkpoints, videos, hostile, tmp_path):
    arguments = [videos / "real", hostile, "--frames", 6, "--html", tmp_path / "page.html"]
    assert command(monkeypatch, checkpoints["rendered"], *arguments) == 3
    capsys.readouterr()
    text = (tmp_path / "page.html").read_text("utf-8")
    read = Page(text)
    assert text.index("Not valid for real videos") < text.index("<h1")
    assert len(read.ids) == len(set(read.ids)) == 5
    assert set(read.links) == set(read.ids)
    pictures = [given for tag, given in read.tags if tag == "img"]
    assert len(pictures) == 3 * 3 + 4 * 2  # three a file with a score; a face and a course for each of four people
    assert all(re.match("data:image/(png|jpeg);base64,", given["src"]) and len(given["alt"]) > 40 for given in pictures)
    assert not [tag for tag, _ in read.tags if tag in ("script", "link", "iframe")]
    assert "onerror" not in {name for _, given in read.tags for name in given}
    assert any("<img src=x onerror=alert(1)> & co.mp4" in word for word in read.words)
    assert "never seen a real person" in text
    words = " ".join(read.words).lower()
    assert not re.search(r"(?<!what )\bis (a )?(fake|real)\b(?! or fake)", words)  # no verdict
    for name in ("empty.mp4", "noise.mp4"):
        assert name in words if (videos / "real" / name).exists() else True
    assert "there is no score" in words


def test_a_page_a_file_in_a_folder(monkeypatch, capsys, checkpoints, videos, tmp_path):
    assert command(monkeypatch, checkpoints["plain"], videos / "fake", "--frames", 3, "--html", tmp_path / "pages") == 3
    capsys.readouterr()
    made = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "pages").iterdir())
    assert made == ["empty.mp4", "nobody.mp4", "picture.png", "some blank.mp4"]
    for path in (tmp_path / "pages").iterdir():
        text = path.read_text("utf-8")
        assert "Not valid for real videos" not in text  # this network was trained on real footage
        assert "original videos of FaceForensics++" in text
    for wrong in (checkpoints["plain"], tmp_path / "pages.html"):
        (tmp_path / "pages.html").mkdir(exist_ok=True)
        assert command(monkeypatch, checkpoints["plain"], videos / "fake", "--html", wrong) == 2
        assert "--html" in capsys.readouterr().err


@pytest.fixture(scope="module")
def found(checkpoints, videos) -> answer.Answer:
    return answer.detector(checkpoints["rendered"], 6).answer(videos / "real/two people.mp4")


def test_faces_are_shown_on_the_frames_they_were_found_in(found, videos):
    plot = found.faces_found(2)
    shown = plot.numbers["frame"].unique().tolist()
    table = found.scored.faces
    assert len(shown) == 2
    assert len(plot.numbers) == 4
    merged = plot.numbers.merge(table, on=["frame", "face", "x0", "y0", "score"])
    assert len(merged) == 4
    rgb = dict(frames.sample_frames(videos / "real/two people.mp4", 6))[shown[0]]
    drawn = plot.figure.axes[0].images[0].get_array()
    box = table[table["frame"] == shown[0]].iloc[0]
    x, y = (int(box["x0"] + box["x1"]) // 2, int(box["y0"] + box["y1"]) // 2)
    assert drawn.shape == rgb.shape
    np.testing.assert_array_equal(drawn[y - 5 : y + 5, x - 5 : x + 5], rgb[y - 5 : y + 5, x - 5 : x + 5])
    plain = pictures.frame_with_boxes(rgb, table[table["frame"] == shown[0]])
    for face in table[table["frame"] == shown[0]].itertuples():  # each box's corner has its person's number
        x0, y0, x1, y1 = (round(value) for value in (face.x0, face.y0, face.x1, face.y1))
        ours, bare = drawn[y0:y1, x0:x1], plain[y0:y1, x0:x1]
        quarter = (slice(0, (y1 - y0) // 2), slice(0, (x1 - x0) // 2))
        assert (ours[quarter] != bare[quarter]).any()
        np.testing.assert_array_equal(ours[-10:], bare[-10:])
    assert " 1: " in plot.alt


def test_words_and_doubts_are_measured_on_the_file(found):
    table = found.scored.faces
    px = np.median(np.sqrt((table["x1"] - table["x0"]) * (table["y1"] - table["y0"])))
    reasons = found.caveats()
    assert "rendered heads" in reasons[0]
    assert any(f"{px:.0f} px in size" in reason and f"{SIZE} px" in reason for reason in reasons)
    summary = found.summary()
    assert f"{found.scored.row['score']:.2f}, from 12 faces in 6 of 6 frames" in summary
    assert summary.startswith(f"The most suspicious of 2 people: {found.person_summary(0)}")
    assert f"{max(row['score'] for row in found.people):.2f} (95 % interval" in found.person_summary(0)
    assert found.person_summary(0).endswith("from 6 frames between 0.0 and 0.4 s")
    assert "95 % interval" in summary
    facts = found.detector.facts().set_index("what")["value"]
    assert "no real person" in facts["real faces of"]
    assert facts["checkpoint, SHA-256"] == f"{found.detector.sha256[:16]}…"


def test_files_of_one_name_are_told_apart():
    assert page.names([Path("/a/x.mp4"), Path("/b/y.mp4")]) == ["x.mp4", "y.mp4"]
    assert page.names([Path("/a/c/x.mp4"), Path("/b/c/x.mp4")]) == ["a/c/x.mp4", "b/c/x.mp4"]
    assert page.names([Path("/a/x.mp4"), Path("/a/x.mp4")]) == ["x.mp4", "x.mp4"]


def test_a_readers_own_picture_leaves_nothing_in_the_report(found, tmp_path, shown):
    run = SimpleNamespace(folder=tmp_path, embedded=True, profile=None, networks=[])
    style.show(found.course(), "own-course", run=run, caption="A caption of a figure.", private=True)
    style.table(found.detector.facts(), "own-training", run=run, caption="A caption of a table.", private=True)
    assert list(tmp_path.iterdir()) == []
    assert len(shown) == 3
    assert style.NOTICE not in str(shown)


def test_a_video_is_the_readers_or_a_sample_of_the_run(found, tmp_path):
    clips = pd.DataFrame({"path": [str(found.path), "b", "c"], "label": ["fake", "real", "fake"]})
    run = SimpleNamespace(tests=("ff", "ffiw"), clips=lambda part: clips, title=lambda part: "FFIW-like")
    assert answer.choose_file(run) == Path("c")
    assert answer.choose_file(run, str(found.path)) == found.path
    with pytest.raises(UserError, match="no such file"):
        answer.choose_file(run, str(tmp_path / "none.mp4"))
    text = answer.introduction(found, run)
    assert text.startswith("> **Not valid for real videos")
    assert text.endswith("FFIW-like. What it is: fake.")
    none = SimpleNamespace(tests=(), profile=SimpleNamespace(name="faces"))
    with pytest.raises(UserError, match="set the parameter `video`"):
        answer.choose_file(none)


def test_the_picker_answers_with_the_page_and_writes_it_beside_the_notebook(found, videos, hostile, tmp_path):
    widget = own_widgets.FilePicker(found.detector, tmp_path)
    assert widget.path.options == ()
    (tmp_path / "one.mp4").write_bytes((videos / "real/one.mp4").read_bytes())
    widget.again.click()
    assert widget.path.options == ("one.mp4",)
    widget.path.value = "one.mp4"
    widget.start.click()
    assert widget.section.value.count("<img ") == 3 + 2  # the person's face and course
    widget.keep.click()
    text = (tmp_path / "one.mp4.html").read_text("utf-8")
    assert widget.section.value in text
    assert "Not valid for real videos" in text
    content = hostile.read_bytes()
    picked = {"type": "video/mp4", "size": len(content), "content": content, "last_modified": datetime.now(UTC)}
    widget.upload.value = ({"name": f"../{hostile.name}"} | picked,)
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; co.mp4" in widget.section.value
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.mp4", "one.mp4.html"]
    widget.path.value = "nowhere.mp4"
    widget.start.click()
    assert "no such file" in widget.state.value
