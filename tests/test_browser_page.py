"""The HTML report in a real browser, with the network off: at desktop and at phone width."""

from pathlib import Path

import browser
import pytest

from dfnb import page, report

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page.build(report.find_notebooks(ROOT / "notebooks"), report.TITLE, "As published."), "utf-8")
    return path


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_the_page_is_whole_without_a_network(html, tmp_path, screen):
    with browser.browser(tmp_path / "profile", screen, offline=True) as context:
        tab = context.new_page()
        heard = browser.listen(tab)
        tab.goto(html.as_uri())
        tab.screenshot(path=browser.screenshots() / f"report-{screen}.png")
        broken = tab.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt)")
        assert broken == []
        assert tab.evaluate("document.images.length") > 20
        assert heard.errors == []
        assert [url for url in heard.requests if not url.startswith(("file:", "data:"))] == []
        wide = tab.evaluate("document.documentElement.scrollWidth")
        assert wide <= browser.SCREENS[screen][0]
