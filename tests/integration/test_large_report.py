"""The HTML report of many claims in headless Chromium."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("selenium", reason="selenium drives the browser, and isn't installed")
pytest.importorskip("jinja2", reason="the report's template engine isn't installed")
pytest.importorskip("matplotlib", reason="the report's plotting library isn't installed")

from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from edgeai_repro.report import files
from edgeai_repro.report.document import Document, PaperEntry
from tests.support import shards
from tests.support.browser import NAMES, NEEDS_BROWSER, assert_in_sight, messages_of, set_screen

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with three papers of 201 claims."""
    (entry,) = shards.run("one").papers[0].claims
    claims = [entry.model_copy(update={"id": f"claim-{number:03}"}) for number in range(201)]
    papers = [PaperEntry(id=name, title=name.title(), claims=claims, implications=[]) for name in "abc"]
    run = Document(environment=shards.FIRST, papers=papers)
    return files.write(run, tmp_path_factory.mktemp("large"))[0].as_uri()


@pytest.fixture
def opened_large(browser: Any, large: str) -> Any:
    """The browser with the page just loaded and its table unpacked."""
    set_screen(browser, 1400)
    browser.get("about:blank")
    messages_of(browser)
    browser.get(large)
    WebDriverWait(browser, 30).until(lambda driver: driver.execute_script(NAMES))
    return browser


class TestLargePage:
    """A page with many claims shows them in parts, and unpacks what the reader opens."""

    def test_table_shows_a_hundred_claims_at_a_time(self, opened_large: Any) -> None:
        """Buttons turn the pages; sorting and searching work on all claims."""
        output = opened_large.find_element(By.TAG_NAME, "output")
        first = (opened_large.execute_script(NAMES)[0], output.text, len(opened_large.execute_script(NAMES)))
        opened_large.find_element(By.NAME, "next").click()
        second = (opened_large.execute_script(NAMES)[0], output.text)
        opened_large.find_element(By.CSS_SELECTOR, "input[type=search]").send_keys("claim-200")

        assert first == ("claim-000", "1 to 100 of 603 claims", 100)
        assert second == ("claim-100", "101 to 200 of 603 claims")
        assert opened_large.execute_script(NAMES) == ["claim-200"] * 3
        assert output.text == "1 to 3 of 3 claims"
        assert not opened_large.find_element(By.NAME, "next").is_enabled()
        assert messages_of(opened_large) == []

    def test_link_opens_the_paper_of_its_claim(self, opened_large: Any, large: str) -> None:
        """The address of a claim does so, too."""
        opened_large.find_element(By.LINK_TEXT, "a/claim-007").click()
        WebDriverWait(opened_large, 30).until(lambda driver: driver.find_elements(By.ID, "a/claim-007"))
        assert_in_sight(opened_large)
        opened_large.get("about:blank")
        opened_large.get(f"{large}#c/claim-200")
        WebDriverWait(opened_large, 30).until(lambda driver: driver.find_elements(By.ID, "c/claim-200"))

        assert_in_sight(opened_large)
        assert not opened_large.find_elements(By.ID, "b/claim-000"), "other papers stay packed"
