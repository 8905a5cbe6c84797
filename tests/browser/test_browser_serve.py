"""The page of `dfnb serve` in a real browser: files dropped in, large, too large and no video; two visitors at once."""

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import browser
import numpy as np
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
LARGEST = 150  # megabytes
MINUTES = 60_000  # milliseconds
DONE = "Done. The file is deleted; the answer is on this page alone."


@dataclass
class Site:
    """The running command: the page's address, and its temporary folder."""

    address: str
    folder: Path

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("dfnb-serve-*/*/*"))

    def until_kept(self, names: list[str]) -> None:
        for _ in range(300):
            if self.kept == names:
                return
            time.sleep(0.1)
        pytest.fail(f"{self.kept} isn't {names}")


@pytest.fixture(scope="module")
def site(tmp_path_factory, checkpoints) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("temporary")
    command = [sys.executable, "-m", "dfnb", "serve", str(checkpoints["rendered"])]
    command += ["--port", "0", "--no-browser", "--frames", "6", "--largest", str(LARGEST)]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            yield Site(server.stdout.readline().split()[0], folder)
        finally:
            server.terminate()
            server.wait(60)
    assert list(folder.glob("dfnb-serve-*")) == []


@pytest.fixture(scope="module")
def phones_video(tmp_path_factory, heads) -> Path:
    """A video as large as a phone's: a face before a background of noise, 1280 x 720 px, coded without loss."""
    path, rng = tmp_path_factory.mktemp("phone") / "phone.mp4", np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for _ in range(80):
            rgb = rng.integers(0, 256, (720, 1280, 3), dtype=np.uint8)
            rgb[200:520, 480:800] = heads[0]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode())
    assert 100e6 < path.stat().st_size < LARGEST * 1e6
    return path


def drop(tab, path: Path) -> None:
    """Drop a file onto the page, as a hand with a mouse does."""
    tab.evaluate(
        """([name, base64]) => {
            const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name));
            const form = document.querySelector("#drop");
            for (const kind of ["dragenter", "dragover", "drop"]) {
                form.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
            }
        }""",
        [path.name, base64.b64encode(path.read_bytes()).decode()],
    )


@pytest.mark.parametrize("screen", list(browser.SCREENS))
def test_a_file_dropped_in_is_answered_and_its_page_kept(site, videos, tmp_path, screen):
    with browser.browser(tmp_path / "profile", screen) as context:
        tab = context.new_page()
        heard = browser.listen(tab)
        tab.goto(site.address)
        browser.no_barrier(tab)
        tab.screenshot(path=browser.screenshots() / f"serve-{screen}-start.png", full_page=True)
        drop(tab, videos / "real/two people.mp4")
        expect(tab.locator("#state")).to_have_text(DONE, timeout=3 * MINUTES)
        assert site.kept == []
        words = tab.locator("main").inner_text()
        assert words.index("Not valid for real videos") < words.index("Drop a video") < words.index("of 6 frames")
        assert "Why this may be wrong" in words
        assert tab.evaluate("document.images.length") == 7
        assert tab.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        assert tab.evaluate("document.documentElement.scrollWidth") <= browser.SCREENS[screen][0]
        browser.no_barrier(tab)
        tab.screenshot(path=browser.screenshots() / f"serve-{screen}-answer.png", full_page=True)
        with tab.expect_download() as download:
            tab.get_by_role("link", name="Keep this answer").click()
        assert download.value.suggested_filename == "two people.mp4.html"
        kept = Path(download.value.path()).read_text("utf-8")
        assert kept.startswith("<!doctype html>")
        assert kept.count("<img ") == 7
        assert heard.errors == []
        elsewhere = [url for url in heard.requests if not url.startswith((site.address, "data:", "blob:"))]
        assert elsewhere == []


def test_a_phones_video_of_100_megabytes_and_a_second_visitor_at_the_same_time(site, phones_video, videos, tmp_path):
    with browser.browser(tmp_path / "profile") as context:
        first, second = context.new_page(), context.new_page()
        for tab in (first, second):
            tab.goto(site.address)
        first.locator("#file").set_input_files(phones_video)
        expect(first.locator("#far span")).to_contain_text("frame ", timeout=2 * MINUTES)
        assert site.kept == ["phone.mp4"]
        first.screenshot(path=browser.screenshots() / "serve-desktop-looking.png")
        drop(second, videos / "fake/picture.png")
        expect(second.locator("#state")).to_have_text("Waiting: 1 other file first", timeout=MINUTES)
        expect(second.locator("#state")).to_have_text(DONE, timeout=4 * MINUTES)
        assert "phone.mp4" not in second.content()
        assert second.locator("#answer h2").first.inner_text() == "picture.png"
        expect(first.locator("#state")).to_have_text(DONE, timeout=MINUTES)
        assert first.locator("#answer h2").first.inner_text() == "phone.mp4"
        assert "picture.png" not in first.content()
        assert site.kept == []


def test_a_file_too_large_is_refused_by_the_page_and_by_the_server(site, tmp_path):
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(LARGEST * 1_000_000 + 1)
    with browser.browser(tmp_path / "profile") as context:
        tab = context.new_page()
        tab.goto(site.address)
        tab.locator("#file").set_input_files(large)
        expect(tab.locator("#state")).to_have_text("large.mp4 has 151 MB; at most 150 MB are allowed.", timeout=MINUTES)
        assert site.kept == []
        tab.evaluate("document.querySelector('#drop').dataset.largest = '1e12'")  # a page that doesn't look
        tab.locator("#file").set_input_files(large)
        refused = tab.locator("#state", has_text="The file is larger than 150 MB.")
        refused.or_(tab.locator("#state", has_text="The connection broke off")).wait_for(timeout=MINUTES)
        assert site.kept == []


def test_what_is_no_video_is_named_and_the_next_file_is_answered(site, videos, tmp_path):
    text = tmp_path / "holiday <b>.mp4"
    text.write_text("no video at all\n" * 100)
    with browser.browser(tmp_path / "profile") as context:
        tab = context.new_page()
        heard = browser.listen(tab)
        tab.goto(site.address)
        drop(tab, text)
        state = tab.locator("#state", has_text="holiday _b_.mp4: ")
        state.wait_for(timeout=MINUTES)
        tab.screenshot(path=browser.screenshots() / "serve-desktop-no-video.png")
        browser.no_barrier(tab)
        drop(tab, videos / "fake/picture.png")
        expect(tab.locator("#state")).to_have_text(DONE, timeout=2 * MINUTES)
        assert heard.errors == []


def test_a_visitor_who_closes_the_page_takes_the_file_along(site, phones_video, tmp_path):
    with browser.browser(tmp_path / "profile") as context:
        tab = context.new_page()
        tab.goto(site.address)
        tab.locator("#file").set_input_files(phones_video)
        expect(tab.locator("#state")).to_have_text("Looking for faces in phone.mp4", timeout=2 * MINUTES)
        assert site.kept == ["phone.mp4"]
        tab.close(run_before_unload=True)
        site.until_kept([])
