from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium. It is closed with the module: as long as it is open, its thread has an event loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        # Root has no user namespaces to put a sandbox into, and the pages are ours.
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a server's page; at the end nothing may have gone wrong in it, and nothing foreign been asked for."""
    opened: list[tuple[Any, list[str]]] = []

    def open_at(url: str, *, ready: bool = True, **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        page = context.new_page()
        page.set_default_timeout(120_000)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda said: wrong.append(said.text) if is_wrong(said) else None)
        page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(url) else None)
        opened.append((context, wrong))
        page.goto(url)
        if ready:
            page.wait_for_selector("#status[data-state=ready]")
        return page

    yield open_at
    for context, wrong in opened:
        context.close()
        assert wrong == []


def is_wrong(said: Any) -> bool:
    """Whether a line of the console tells of a mistake; Chromium also writes each answer that is no success."""
    return said.type in ("error", "warning") and not said.text.startswith("Failed to load resource")
