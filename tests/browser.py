"""A headless Chromium for tests marked `browser`: the system's own, driven by Playwright, on a profile of its own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}  # width and height, CSS pixels
QUIET = (
    "--no-sandbox",  # containers have no user namespaces
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str:
    """The path of an installed Chromium, or of what CHROMIUM names. Skips the test where there is none."""
    candidates = [os.environ["CHROMIUM"]] if "CHROMIUM" in os.environ else NAMES
    for name in candidates:
        if path := shutil.which(name):
            return path
    pytest.skip(
        f"no Chromium: none of {', '.join(candidates)} is on the PATH (apt-get install chromium, or set CHROMIUM)"
    )


@contextmanager
def browser(profile: Path, screen: str = "desktop", offline: bool = False) -> Iterator["BrowserContext"]:
    """A browser with a new user-data folder `profile`, as wide and high as `screen`; `offline`: without any network."""
    pytest.importorskip("playwright", reason="Playwright isn't installed")
    from playwright.sync_api import sync_playwright

    width, height = SCREENS[screen]
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=executable(),
            headless=True,
            args=list(QUIET),
            viewport={"width": width, "height": height},
            is_mobile=screen == "phone",
            has_touch=screen == "phone",
            device_scale_factor=2 if screen == "phone" else 1,
            offline=offline,
        )
        try:
            yield context
        finally:
            context.close()


@dataclass
class Heard:
    """What a page complained about and asked for: errors on the console, uncaught exceptions, requested addresses."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def listen(page: "Page") -> Heard:
    """Collect a page's errors and requests from now on."""
    heard = Heard()
    page.on("console", lambda message: heard.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: heard.errors.append(str(error)))
    page.on("request", lambda request: heard.requests.append(request.url))
    return heard


def no_barrier(page: "Page") -> None:
    """Axe finds nothing that keeps people out. Skips the test where axe isn't installed."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe isn't installed")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def screenshots() -> Path:
    """Where screenshots go, to be looked at: runs/screenshots/ in the project, which git ignores."""
    folder = Path(__file__).parents[1] / "runs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
