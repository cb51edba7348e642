"""Renders the templates of all reports."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from codecascade.ground.format import counted, said_of_blank, show_count, show_seconds
from codecascade.reports.markdown import block, code, escaped, fence_for, info

# They turn round the text behind them: a name could look like another one.
_BIDIRECTIONAL = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


@cache
def _environment(*, markdown: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=not markdown,
        finalize=escaped if markdown else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        number=show_count,
        duration=show_seconds,
        counted=counted,
        beginning=beginning,
        first_line=first_line,
        said_of_blank=said_of_blank,
        code=code,
        block=block,
        info=info,
        fence=fence_for,
        published=published,
    )
    return environment


def render(template: str, view: Mapping[str, Any]) -> str:
    """Render the template ``<template>.jinja``. The values that it inserts are escaped, as HTML or as Markdown.

    What is not to be escaped is marked in the template (``safe``, ``code``, ``block``). A lone surrogate, which JSON
    may have and UTF-8 may not, is written as an escape sequence, and so are characters that turn text round.
    """
    environment = _environment(markdown=template.endswith(".md"))
    text = environment.get_template(f"{template}.jinja").render(view).translate(_BIDIRECTIONAL)
    return text.encode("utf-8", "backslashreplace").decode()


def beginning(text: str, most: int) -> str:
    """The first ``most`` characters, from the first line that has something to see.

    An indentation that alone is longer is left out.

    >>> beginning("  \\n    x = 1\\n\\n", 8), beginning("    x = 1", 4)
    ('    x = ', 'x = ')
    """
    first = len(text) - len(text.lstrip())
    start = text.rfind("\n", 0, first) + 1
    return text[start if first < start + most else first :][:most].rstrip("\n")


def first_line(text: str) -> str:
    """The :func:`beginning` of a text, for a line."""
    return beginning(text, 160).split("\n")[0] if text.strip() else text


def published(value: float) -> str:
    """A published percentage with as many decimals as it has, one to three."""
    decimals = next((few for few in (1, 2) if round(value, few) == value), 3)
    return f"{value:.{decimals}f}"
