"""The HTML report in headless Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="selenium drives the browser, and isn't installed")
pytest.importorskip("jinja2", reason="the report's template engine isn't installed")
pytest.importorskip("matplotlib", reason="the report's plotting library isn't installed")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from edgeai_repro.report import files
from tests.support.browser import NAMES, NEEDS_BROWSER, assert_in_sight, messages_of, requests_of, set_screen
from tests.support.reports import run

pytestmark = NEEDS_BROWSER
# WCAG 2's contrast of a text's colour with the nearest background that is painted behind it.
CONTRAST = """
const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
const luminance = (colour) => channels(colour).slice(0, 3).map((c) => c / 255)
  .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (node) => {
  const colour = getComputedStyle(node).backgroundColor;
  return channels(colour)[3] === 0 ? behind(node.parentElement) : colour;
};
return [...document.querySelectorAll("body *")].filter((node) =>
  node.offsetHeight && [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())
).map((node) => {
  const [a, b] = [luminance(getComputedStyle(node).color), luminance(behind(node))];
  return [node.textContent.trim().slice(0, 40), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
});
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report's page."""
    return files.write(run(), tmp_path_factory.mktemp("report"))[0].as_uri()


@pytest.fixture
def opened(browser: Any, page: str) -> Any:
    """The browser, wide and light, with the page just loaded."""
    set_screen(browser, 1400)
    browser.get("about:blank")
    messages_of(browser)
    requests_of(browser)
    browser.get(page)
    return browser


def _header(browser: Any, name: str) -> Any:
    return browser.find_element(By.XPATH, f"//table[contains(@class, 'verdicts')]//th[.//button[text()='{name}']]")


class TestCheckers:
    """The helpers of the tests below notice planted faults."""

    def test_complaints_and_requests_are_noticed(self, browser: Any, tmp_path: Path) -> None:
        """A page with a console error, an external image and pale text is noticed."""
        planted = tmp_path / "planted.html"
        planted.write_text(
            "<p style='color: #999; background: #aaa'>pale</p><img src='http://127.0.0.1:9/a.png'>"
            "<script>console.error('planted')</script>",
            encoding="utf-8",
        )
        messages_of(browser)

        browser.get(planted.as_uri())

        # A busy browser hands over its log a moment later.
        WebDriverWait(browser, 30).until(
            lambda driver: any("planted" in message for message in messages_of(driver))
        )
        assert "http://127.0.0.1:9/a.png" in requests_of(browser)
        assert dict(browser.execute_script(CONTRAST))["pale"] < 2


class TestPage:
    """The page as readers use it."""

    def test_page_logs_nothing_and_requests_only_itself(self, opened: Any, page: str) -> None:
        """The console stays empty, and the page is the only address that is requested."""
        opened.execute_script("for (const closed of document.querySelectorAll('details')) closed.open = true")

        assert messages_of(opened) == []
        assert [url for url in requests_of(opened) if not url.startswith("data:")] == [page]

    @pytest.mark.parametrize(
        ("column", "least"),
        [("Claim", "artefact-claim"), ("Verdict", "reproduced-claim"), ("Reported", "inconclusive-claim")],
    )
    def test_column_is_sorted_by_its_button(self, opened: Any, column: str, least: str) -> None:
        """The button sorts ascending, then descending; `aria-sort` tells screen readers."""
        header = _header(opened, column)
        header.find_element(By.TAG_NAME, "button").click()
        ascending, direction = opened.execute_script(NAMES), header.get_attribute("aria-sort")
        header.find_element(By.TAG_NAME, "button").click()

        assert (ascending[0], direction) == (least, "ascending")
        assert header.get_attribute("aria-sort") == "descending"
        assert opened.execute_script(NAMES)[0] != least
        assert len(ascending) == 6

    def test_empty_cells_stay_last(self, opened: Any) -> None:
        """Claims without a number stay at the end in both directions."""
        button = _header(opened, "Reported").find_element(By.TAG_NAME, "button")
        for _ in range(2):
            button.click()

            assert opened.execute_script(NAMES)[-1] == "fast"

    def test_column_is_sorted_by_keyboard(self, opened: Any) -> None:
        """A column is sorted without a mouse."""
        header = _header(opened, "Claim")
        header.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)

        assert header.get_attribute("aria-sort") == "ascending"

    def test_ticked_verdicts_filter_the_table(self, opened: Any) -> None:
        """Only ticked verdicts are shown, with their number; without a tick all are shown."""
        box = opened.find_element(By.CSS_SELECTOR, "input[value=artefact]")
        box.click()
        shown, said = opened.execute_script(NAMES), opened.find_element(By.TAG_NAME, "output").text
        box.send_keys(Keys.SPACE)

        assert shown == ["artefact-claim"]
        assert said == "1 of 6 claims shown"
        assert len(opened.execute_script(NAMES)) == 6

    def test_typed_words_filter_the_table(self, opened: Any) -> None:
        """Only claims that contain all typed words are shown, ignoring case."""
        opened.find_element(By.CSS_SELECTOR, "input[type=search]").send_keys("LATENCY convnext_small")

        assert opened.execute_script(NAMES) == ["fast"]

    def test_link_leads_to_its_claim(self, opened: Any, page: str) -> None:
        """A claim's link leads to the claim and scrolls it into view."""
        opened.find_element(By.LINK_TEXT, "contradicted-claim").click()

        assert opened.current_url == f"{page}#paper/contradicted-claim"
        assert (
            opened.execute_script("return document.querySelector(':target h4').textContent") == "contradicted-claim"
        )
        assert_in_sight(opened)

    def test_address_of_a_claim_leads_to_it(self, opened: Any, page: str) -> None:
        """Opening a claim's address scrolls it into view."""
        opened.get("about:blank")
        opened.get(f"{page}#paper/fast")

        assert_in_sight(opened)

    def test_first_tab_stop_skips_to_the_verdicts(self, opened: Any) -> None:
        """The first link in tab order leads to the verdicts."""
        opened.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
        first = opened.switch_to.active_element
        text, top = first.text, first.rect["y"]
        first.send_keys(Keys.ENTER)

        assert text == "Skip to the verdicts"
        assert top >= 0
        assert opened.switch_to.active_element.get_attribute("id") == "verdicts"

    @pytest.mark.parametrize("width", [320, 400, 800, 1400])
    def test_page_fits_the_screen(self, opened: Any, width: int) -> None:
        """The page is never wider than the screen, even with all details open."""
        set_screen(opened, width)
        opened.execute_script("for (const closed of document.querySelectorAll('details')) closed.open = true")

        assert opened.execute_script("return document.documentElement.scrollWidth") <= width

    @pytest.mark.parametrize("width", [400, 1400])
    def test_text_of_figures_is_legible(self, opened: Any, width: int) -> None:
        """The smallest text in a figure has at least 9 pixels, also on a phone."""
        set_screen(opened, width)
        script = (
            "return [...document.querySelectorAll('.drawing text')]"
            ".map((text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)"
        )

        assert min(opened.execute_script(script)) >= 9

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_text_has_enough_contrast(self, opened: Any, scheme: str) -> None:
        """All text has the contrast that WCAG level AA requires."""
        set_screen(opened, 1400, scheme)

        faint = [(text, ratio) for text, ratio in opened.execute_script(CONTRAST) if ratio < 4.5]

        assert faint == []

    def test_page_and_figures_follow_the_dark_scheme(self, opened: Any) -> None:
        """If the reader prefers dark, the page is dark and the figures are inverted."""
        script = (
            "return [getComputedStyle(document.body).backgroundColor, "
            "getComputedStyle(document.querySelector('.drawing')).filter]"
        )
        light = opened.execute_script(script)
        set_screen(opened, 1400, "dark")
        dark = opened.execute_script(script)

        assert light == ["rgb(255, 255, 255)", "none"]
        assert dark[1].startswith("invert(1)")
        assert all(one != other for one, other in zip(light, dark, strict=True))
