"""How the page looks, and that the keyboard reaches all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Open = Callable[..., Any]


Serve = Callable[..., Any]


class TestLook:
    def test_dark_and_light(self, served: Serve, open_page: Open) -> None:
        page = open_page(served().url, color_scheme="dark")
        assert sum(colour(page, "--page")) < 200
        check_contrasts(page)
        # The page follows the system until one chooses.
        page.emulate_media(color_scheme="light")
        page.wait_for_selector("html[data-theme=light]")
        assert sum(colour(page, "--page")) > 600
        check_contrasts(page)
        page.get_by_role("button", name="Use the dark theme").click()
        page.reload()
        assert page.get_attribute("html", "data-theme") == "dark"
        assert page.get_by_role("button", name="Use the light theme").count() == 1

    def test_nothing_is_cut_at_any_width(self, served: Serve, open_page: Open) -> None:
        page = open_page(served().url)
        for width in (1280, 800, 420):
            page.set_viewport_size({"width": width, "height": 700})
            for tab in ("#editor-tab", "#chat-tab"):
                page.click(tab)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.is_visible("#composer")

    def test_the_keyboard_reaches_everything(self, served: Serve, open_page: Open) -> None:
        page = open_page(served().url)
        page.focus("#editor-tab")
        page.keyboard.press("ArrowRight")
        assert page.get_attribute("#chat-tab", "aria-selected") == "true" and page.is_visible("#chat")
        page.keyboard.press("Home")
        assert page.is_visible("#editor")
        page.focus("#language")
        reached = set()
        for _ in range(12):
            page.keyboard.press("Escape")
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
        assert {"example", "suggest", "automatic", "extent", "max-tokens", "temperature", "format"} <= reached


def check_contrasts(page: Any) -> None:
    """What WCAG's level AA asks of normal text, for each colour on the grounds that it has."""
    on_panel = ("text", "soft", "ghost", "error", "accent", "keyword", "string", "number", "comment", "type")
    pairs = [(name, "panel") for name in (*on_panel, "function")]
    pairs += [("on-accent", "accent"), ("warn", "warn-soft"), ("error", "error-soft"), ("soft", "raised")]
    pairs += [("text", "accent-soft"), ("text", "selection")]
    for text, ground in pairs:
        found = contrast(colour(page, f"--{text}"), colour(page, f"--{ground}"))
        assert found >= 4.5, (text, ground, found)


def colour(page: Any, name: str) -> tuple[int, ...]:
    found = page.evaluate("name => getComputedStyle(document.documentElement).getPropertyValue(name)", name)
    digits = found.strip().lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    return tuple(int(digits[n : n + 2], 16) for n in (0, 2, 4))


def contrast(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    """WCAG 2's ratio, 1 to 21."""

    def luminance(rgb: tuple[int, ...]) -> float:
        red, green, blue = (
            part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
            for part in (value / 255 for value in rgb)
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
