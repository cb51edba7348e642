"""What tests do with the playground's editor in a browser."""

from __future__ import annotations

import re
from typing import Any


def editor_text(page: Any) -> str:
    """The document as it is shown, without the ghost."""
    lines = page.locator(".cm-line").evaluate_all(
        """lines => lines.map(line => {
          const copy = line.cloneNode(true);
          for (const ghost of copy.querySelectorAll(".ghost")) ghost.remove();
          return copy.textContent;
        })"""
    )
    return "\n".join(lines)


def write(page: Any, text: str) -> None:
    """Replace the document and type."""
    page.click(".cm-content")
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.type(text)


def ghost(page: Any, text: str) -> None:
    """Wait until the ghost is this."""
    page.locator(".ghost", has_text=re.compile(f"^{re.escape(text)}$")).wait_for()


def no_ghost(page: Any) -> None:
    page.locator(".ghost").wait_for(state="detached")
