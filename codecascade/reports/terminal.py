"""The console of all commands: what a model or a file holds is written as text and can't change the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from codecascade.ground.errors import printable


class PrintableConsole(Console):
    """A console that escapes control characters, as :func:`~codecascade.ground.errors.printable` does.

    Its own codes (colours, a bar that is drawn again) are none of the text, and stay.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """A text with its style. It is escaped before its width is taken, so that tables hold all of it."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The parts of whatever is printed, also of tables and of what they hold."""
        if isinstance(renderable, Text) and (plain := printable(renderable.plain)) != renderable.plain:
            renderable = _with(plain, renderable)
        for part in super().render(renderable, options):
            yield part if part.control else Segment(printable(part.text), part.style)


def _with(plain: str, text: Text) -> Text:
    """A text in the style of another one, without the styles of its parts, whose places are others."""
    return Text(
        plain,
        text.style,
        justify=text.justify,
        overflow=text.overflow,
        no_wrap=text.no_wrap,
        end=printable(text.end),
        tab_size=text.tab_size,
    )
