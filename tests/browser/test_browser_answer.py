"""What `dfnb score --html` writes in a real browser, with the network off, at desktop and at phone width."""

import browser
import pytest
from untrained import command

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory, checkpoints, videos):
    """By name: a page of several files, some without a score; the page of a video of two people; one of an image."""
    folder, made = tmp_path_factory.mktemp("answers"), {}
    with pytest.MonkeyPatch.context() as patch:
        for name, files in (
            ("several", [videos / "real"]),
            ("people", [videos / "real/two people.mp4"]),
            ("image", [videos / "fake/picture.png"]),
        ):
            made[name] = folder / f"{name}.html"
            command(patch, checkpoints["rendered"], *files, "--frames", 6, "--html", made[name])
    return made


@pytest.mark.parametrize("screen", list(browser.SCREENS))
@pytest.mark.parametrize(("name", "scored", "pictures"), [("several", 2, 12), ("people", 1, 7), ("image", 1, 3)])
def test_the_page_of_scored_files_is_whole_and_has_no_barrier(pages, tmp_path, name, scored, pictures, screen):
    with browser.browser(tmp_path / "profile", screen, offline=True) as context:
        tab = context.new_page()
        heard = browser.listen(tab)
        tab.goto(pages[name].as_uri())
        tab.screenshot(path=browser.screenshots() / f"score-{screen}-{name}.png", full_page=True)
        words = tab.locator("body").inner_text()
        assert words.count("The protocol's score of the whole file") == scored
        assert tab.evaluate("document.images.length") == pictures
        assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert tab.evaluate("document.documentElement.scrollWidth") <= browser.SCREENS[screen][0]
        if screen == "desktop":  # a phone's reader scrolls wide tables sideways
            cut = "[...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth).length"
            assert tab.evaluate(cut) == 0
        browser.no_barrier(tab)
        assert heard.errors == []
        assert [url for url in heard.requests if not url.startswith(("file:", "data:"))] == []
