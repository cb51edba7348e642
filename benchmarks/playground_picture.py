"""Takes the picture of the playground that the documentation shows, from a server that runs.

    codecascade serve MODEL
    python benchmarks/playground_picture.py http://127.0.0.1:8012 docs/playground.png
    python benchmarks/playground_picture.py http://127.0.0.1:8012 chat.png --tab chat --theme dark

Needs the package playwright and a ``chromium`` on the path. Nothing is prepared: what stands in grey is what the
model wrote at that moment, and the figures below it are those of that request.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

SIZE: ViewportSize = {"width": 1120, "height": 640}
CODE = """import json
from pathlib import Path


def read_prices(path: Path) -> dict[str, float]:
    \"\"\"The price of each article in a file of JSON.\"\"\"
    with path.open() as file:
        return json.load(file)


def total(prices: dict[str, float], basket: list[str]) -> float:
    \"\"\"What all articles of a basket cost together.\"\"\"
    result = 0.0
    for article in basket:
        |
    return result
"""
QUESTION = "Write a Python function that tells whether a word is a palindrome."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--tab", choices=["editor", "chat"], default="editor")
    parser.add_argument("--theme", choices=["light", "dark"], default="light")
    arguments = parser.parse_args()
    with sync_playwright() as started:
        # Root has no user namespaces to put a sandbox into, and the page is ours.
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme=arguments.theme)
        page.set_default_timeout(120_000)
        page.goto(arguments.url)
        page.wait_for_selector("#status[data-state=ready]")
        if arguments.tab == "editor":
            suggestion(page)
        else:
            reply(page)
        page.screenshot(path=arguments.picture)
        browser.close()


def suggestion(page: Page) -> None:
    """Put the code into the editor, type at the cursor's place, and wait for what the model suggests."""
    before, after = CODE.split("|")
    page.click(".cm-content")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(before.rstrip() + after.rstrip("\n"))
    lines = after.count("\n") - 1
    for _ in range(lines):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.type("result", delay=30)
    page.wait_for_selector("#state[data-state=shown]")


def reply(page: Page) -> None:
    """Ask something in the chat, and wait for the end of the reply."""
    page.click("#chat-tab")
    page.fill("#question", QUESTION)
    page.click("#send")
    page.wait_for_selector("#stop", state="visible")
    page.wait_for_selector("#stop", state="hidden")


if __name__ == "__main__":
    main()
