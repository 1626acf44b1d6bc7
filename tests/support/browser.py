"""Headless Chromium: starting it, its screen, and the messages, requests and visible rows of its pages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NEEDS_BROWSER = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no browser: apt-get install chromium chromium-driver"
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)
ROWS = "return [...document.querySelectorAll('tr.claim-row')].filter(row => row.offsetHeight)"
NAMES = f"{ROWS}.map(row => row.cells[0].dataset.value)"


def started(profile: Path) -> Iterator[Any]:
    """Yield a browser with this folder for its profile, which logs what its pages say and ask for."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


def set_screen(browser: Any, width: int, scheme: str = "light") -> None:
    """Set the width of the screen in pixels, and the colours that the reader prefers."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def messages_of(browser: Any) -> list[str]:
    """Return, once, what pages said on the console, and what the browser had to say of them."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requests_of(browser: Any) -> list[str]:
    """Return, once, the addresses that pages asked for."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [params["request"]["url"] for params in sent]


def assert_in_sight(browser: Any) -> None:
    """Fail if the place that the address names does not come into the upper half of the screen."""

    def is_above(_: object) -> bool:
        top = browser.execute_script("return document.querySelector(':target')?.getBoundingClientRect().top")
        return top is not None and bool(-2 <= top < 450)

    # A busy browser finds the place, and scrolls, a moment after the page has loaded.
    WebDriverWait(browser, 30).until(is_above, "should be in the upper half of the screen")
