"""JupyterLab in a real browser: published notebooks, notebook 2's slider moves a picture, 8 looks at a video."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import browser
import nbformat
import pytest
import viewers
import yaml

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
TOKEN = "test"
MINUTES = 60_000  # milliseconds


@dataclass
class Lab:
    """A running JupyterLab: its address, and the folder it shows, with a run of the smoke profile behind it."""

    address: str
    folder: Path

    def at(self, notebook: str) -> str:
        return f"{self.address}/lab/tree/{notebook}?token={TOKEN}&reset"


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """JupyterLab on copies of notebooks 2 and 8, whose parameters name a finished smoke run."""
    folder = tmp_path_factory.mktemp("lab")
    settings = yaml.safe_load((ROOT / "dfnb" / "profile" / "smoke.yaml").read_text())
    profile = folder / "smoke.yaml"
    profile.write_text(yaml.safe_dump(settings | {"runs": str(folder / "runs")}))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        **{f"JUPYTER_{name}_DIR": str(folder / "jupyter" / name) for name in ("CONFIG", "DATA", "RUNTIME")},
    }
    command = [sys.executable, "-m", "dfnb", "train", "--profile", str(profile), "--variant", "proposed"]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
    shown = folder / "notebooks"
    shown.mkdir()
    shutil.copytree(ROOT / "notebooks", shown / "published")
    for source in (ROOT / "notebooks").glob("0[28]_*.ipynb"):
        notebook = nbformat.read(source, as_version=4)
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", []):
                cell.source = cell.source.replace('profile = "demo"', f"profile = {str(profile)!r}")
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None  # as published it has both
        nbformat.write(notebook, shown / source.name)
    keep = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    keep.parent.mkdir(parents=True)
    keep.write_text(json.dumps({"windowingMode": "none"}))  # every cell is on the page, also those out of sight
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={shown}", f"--IdentityProvider.token={TOKEN}",
        f"--LabApp.user_settings_dir={folder / 'settings'}", f"--LabApp.workspaces_dir={folder / 'workspaces'}",
    ]  # fmt: skip
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=shown)
        try:
            _wait(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, folder / "lab.log")
            yield Lab(f"http://127.0.0.1:{port}", shown)
        finally:
            server.terminate()
            server.wait(30)


def _wait(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            pytest.fail(f"JupyterLab ended: {log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"JupyterLab doesn't answer: {log.read_text()[-2000:]}")


def run_all(tab, lab: Lab, notebook: str) -> None:
    """Open a notebook and run all its cells, as Run > Run All Cells does; no cell may fail."""
    tab.goto(lab.at(notebook), timeout=3 * MINUTES)
    tab.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell").first.wait_for(timeout=3 * MINUTES)
    session = "window.jupyterapp.shell.currentWidget?.context?.sessionContext.session"
    tab.wait_for_function(f"() => {session}?.kernel?.status === 'idle'", timeout=3 * MINUTES)  # else it asks for one
    tab.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    tab.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(p => p.textContent);
            return prompts.length > 3 && prompts.every(p => /\\d/.test(p));
        }""",
        timeout=6 * MINUTES,
    )
    assert tab.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert tab.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'] .ansi-red-fg").count() == 0


def shot(tab, name: str) -> None:
    tab.screenshot(path=browser.screenshots() / f"{name}.png")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_a_published_notebook_shows_its_pictures_and_tables_to_whoever_only_opens_it(lab, tmp_path, path):
    """JupyterLab trusts no output that it didn't make itself, and strips what isn't plain from its HTML."""
    notebook = nbformat.read(path, as_version=4)
    figures, tables = (viewers.outputs_of(notebook, kind) for kind in ("figure", "table"))
    with browser.browser(tmp_path / "profile") as context:
        tab = context.new_page()
        tab.goto(lab.at(f"published/{path.name}"), timeout=3 * MINUTES)
        drawn = tab.locator(".jp-RenderedImage img")
        drawn.nth(len(figures) - 1).wait_for(timeout=3 * MINUTES)
        assert drawn.count() == len(figures)
        assert tab.evaluate("[...document.querySelectorAll('.jp-RenderedImage img')].every(i => i.naturalWidth > 600)")
        seen = tab.locator(".jp-RenderedHTML table")
        assert [viewers.rows(part) for part in seen.evaluate_all("all => all.map(e => e.outerHTML)")] == [
            viewers.rows(table.data["text/html"]) for table in tables.values()
        ]
        drawn.first.scroll_into_view_if_needed()
        shot(tab, f"lab-{path.stem}")


def test_a_slider_of_notebook_2_moves_the_picture(lab, tmp_path):
    with browser.browser(tmp_path / "profile") as context:
        tab = context.new_page()
        run_all(tab, lab, "02_self_blended_images.ipynb")
        image = tab.locator(".widget-output .jp-RenderedImage img").first
        image.wait_for(timeout=MINUTES)
        image.scroll_into_view_if_needed()
        before = image.screenshot()
        shot(tab, "lab-02-before")
        handle = tab.locator(".widget-slider .noUi-handle").first  # the blend ratio, 1 at first
        handle.focus()
        for _ in range(15):
            handle.press("ArrowLeft")
        tab.wait_for_function(
            "() => document.querySelector('.widget-slider .widget-readout').textContent.trim() === '0.25'",
            timeout=MINUTES,
        )
        tab.wait_for_timeout(2000)
        after = image.screenshot()
        assert after != before
        shot(tab, "lab-02-after")
        for _ in range(15):
            handle.press("ArrowRight")
        tab.wait_for_timeout(2000)
        assert image.screenshot() == before  # the same settings, the same picture


def test_notebook_8_looks_at_a_sample_and_at_a_picked_file(lab, tmp_path):
    video = next((lab.folder.parent / "runs" / "smoke" / "benchmark").rglob("Celeb-real/*.mp4"))
    with browser.browser(tmp_path / "profile") as context:
        tab = context.new_page()
        run_all(tab, lab, "08_your_own_video.ipynb")
        first = tab.locator(".jp-OutputArea-output blockquote").first
        assert "Not valid for real videos" in first.inner_text()
        figures = tab.locator(".jp-RenderedImage img")
        assert figures.count() == 3  # the sample's faces, course and strongest frames
        figures.nth(1).scroll_into_view_if_needed()
        shot(tab, "lab-08-sample")
        with tab.expect_file_chooser() as chooser:
            tab.get_by_role("button", name="pick a file").click()
        chooser.value.set_files(video)
        answer = tab.locator(".widget-html figure img")
        answer.nth(2).wait_for(timeout=2 * MINUTES)
        assert tab.evaluate("[...document.querySelectorAll('.widget-html img')].every(i => i.naturalWidth > 0)")
        cut = "e => e.getBoundingClientRect().right > e.closest('.jp-OutputArea').getBoundingClientRect().right + 1"
        assert tab.evaluate(f"[...document.querySelectorAll('.widget-html :is(p, img)')].filter({cut}).length") == 0
        tab.locator(".widget-html h2").first.scroll_into_view_if_needed()
        shot(tab, "lab-08-picked")
        tab.get_by_role("button", name="write this page").click()
        tab.get_by_text(f"Written: {video.name}.html").wait_for(timeout=MINUTES)
        text = (lab.folder / f"{video.name}.html").read_text("utf-8")
        assert text.index("Not valid for real videos") < text.index("<h1")
        assert text.count("<img ") == 3
