"""A real browser for tests: the system's Chromium without a window, driven by Playwright.

Where there is no Chromium the tests that ask for one are skipped and say how to get it.
"""

import shutil
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
LOCAL = ("127.0.0.1", "localhost", "")
"""Hosts a page may ask; the last is that of data: and file: addresses."""


def find_chromium() -> str | None:
    """The system's Chromium, if it has one on its PATH."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """One Chromium a module: Playwright's event loop must not run on under other tests."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install 'g2r[dev]'")
    executable = find_chromium()
    if executable is None:
        pytest.skip(f"none of {', '.join(NAMES)} on PATH; apt-get install chromium")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser) -> Iterator[Callable]:
    """Open pages by `new_page(width=1280, height=800, dark=False, touch=False)`.

    A script error, or a request to anything but this machine, fails the test at its end.
    """
    wrong: list[str] = []
    contexts = []

    def watch(request) -> None:
        if urlsplit(request.url).hostname not in (*LOCAL, None):
            wrong.append(f"asked for {request.url}")

    def open_page(*, width: int = 1280, height: int = 800, dark: bool = False, touch: bool = False):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            has_touch=touch,
        )
        contexts.append(context)
        context.on("request", watch)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def overflows(page) -> bool:
    """Whether the page must be scrolled sideways to be read whole."""
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def contrasts(page) -> float:
    """The lowest contrast (WCAG 2.2) of any visible text against its ground."""
    return page.evaluate(
        """() => {
          const channels = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
          const light = (colour) => channels(colour).slice(0, 3).map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          const ground = (node) => {
            const colour = getComputedStyle(node).backgroundColor;
            return channels(colour)[3] === 0 && node.parentElement ? ground(node.parentElement) : colour;
          };
          const own = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
          return Math.min(...[...document.querySelectorAll("body *")]
            .filter((node) => own(node) && node.checkVisibility() && node.offsetWidth > 1)
            .map((node) => [light(getComputedStyle(node).color), light(ground(node))].sort((a, b) => b - a))
            .map(([above, below]) => (above + 0.05) / (below + 0.05)));
        }"""
    )
