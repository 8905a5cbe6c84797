"""The HTML report in a real browser, with the network off: at desktop and at phone width, on paper, by keyboard."""

from pathlib import Path

import browser
import pandas as pd
import pytest

from dfnb import report
from dfnb.plots import style, tables
from dfnb.report import building, page

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
OVERFLOWING = """() => [...document.querySelectorAll('.report *')].filter(e => {
    const box = e.getBoundingClientRect();
    if (!box.width || box.right <= innerWidth + 1 || e.closest('.skip, .wide, pre, math')) return false;
    return true;
}).map(e => e.tagName + ' ' + e.textContent.slice(0, 40))"""


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The page of the published notebooks, put together as `dfnb report` does."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    results = pd.read_csv(ROOT / "figures" / "results.csv")
    tested = results[(results["level"] == "video") & results["size_rule"]]
    lead = style.html_table(tables.wide(tested), style.NOTICE)
    paths = report.find_notebooks(ROOT / "notebooks")
    about, glossary = "As published.", ROOT / "notebooks" / "GLOSSARY.md"
    text = page.build(paths, building.TITLE, about, lead=lead, glossary=glossary, figures=ROOT / "figures")
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(params=list(browser.SCREENS))
def tab(request, html, tmp_path):
    with browser.browser(tmp_path / "profile", request.param, offline=True) as context:
        opened = context.new_page()
        opened.heard = browser.listen(opened)
        opened.screen = request.param
        opened.goto(html.as_uri())
        yield opened


def test_the_page_is_whole_without_a_network(tab):
    tab.screenshot(path=browser.screenshots() / f"report-{tab.screen}.png")
    tab.locator("#glossary").scroll_into_view_if_needed()
    tab.screenshot(path=browser.screenshots() / f"report-{tab.screen}-glossary.png")
    broken = tab.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt)")
    assert broken == []
    assert tab.evaluate("document.images.length") > 20
    assert tab.heard.errors == []
    assert [url for url in tab.heard.requests if not url.startswith(("file:", "data:"))] == []
    assert tab.evaluate("document.scripts.length") == 0


def test_nothing_is_wider_than_the_screen_but_what_scrolls_by_itself(tab):
    wide = tab.evaluate("document.documentElement.scrollWidth")
    assert wide <= browser.SCREENS[tab.screen][0]
    assert tab.evaluate(OVERFLOWING) == []
    scrolling = tab.locator("div.wide:has(table)")
    assert scrolling.count() == tab.locator("table").count() > 10


def test_every_link_of_the_contents_leads_to_a_heading(tab):
    anchors = tab.eval_on_selector_all("nav a", "all => all.map(a => a.getAttribute('href'))")
    assert len(anchors) > 30
    assert tab.evaluate("all => all.filter(a => !document.getElementById(decodeURI(a.slice(1))))", anchors) == []


def test_no_barrier_is_found_by_axe(tab):
    browser.no_barrier(tab)


def test_the_keyboard_skips_the_contents(html, tmp_path):
    with browser.browser(tmp_path / "profile", offline=True) as context:
        tab = context.new_page()
        tab.goto(html.as_uri())
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Skip to the report"
        tab.keyboard.press("Enter")
        assert tab.url.endswith("#report")


def test_a_picture_is_enlarged_on_a_phone_and_shown_whole_again(html, tmp_path):
    with browser.browser(tmp_path / "profile", "phone", offline=True) as context:
        tab = context.new_page()
        tab.goto(html.as_uri())
        figure = tab.locator("figure:has(img)").first
        picture, wide = figure.locator("img"), browser.SCREENS["phone"][0]
        assert picture.bounding_box()["width"] <= wide
        figure.locator("a.enlarge").click()
        assert picture.bounding_box()["width"] > 1.5 * wide
        assert tab.evaluate("document.documentElement.scrollWidth") <= wide
        tab.screenshot(path=browser.screenshots() / "report-phone-enlarged.png")
        figure.locator("a.fit").click()
        assert picture.bounding_box()["width"] <= wide


def test_it_prints_without_code_and_contents(html, tmp_path):
    with browser.browser(tmp_path / "profile", offline=True) as context:
        tab = context.new_page()
        tab.goto(html.as_uri())
        tab.emulate_media(media="print")
        hidden = tab.evaluate(
            "[...document.querySelectorAll('nav, details.code, .up')].filter(e => e.offsetParent).length"
        )
        assert hidden == 0
        tab.pdf(path=browser.screenshots() / "report.pdf", format="A4")
