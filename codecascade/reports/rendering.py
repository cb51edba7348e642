"""Renders the templates of all reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from codecascade.ground.format import counted, show_count, show_seconds

_TICKS = re.compile(r"`{3,}")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        number=show_count,
        duration=show_seconds,
        counted=counted,
        cell=cell,
        fence=fence_for,
        published=published,
    )
    return environment


def render(template: str, view: Mapping[str, Any]) -> str:
    """Render the template ``<template>.jinja``. HTML templates escape the values that they insert.

    A lone surrogate, which JSON may have and UTF-8 may not, is written as an escape sequence.
    """
    text = _environment().get_template(f"{template}.jinja").render(view)
    return text.encode("utf-8", "backslashreplace").decode()


def cell(text: str) -> str:
    """A text for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def published(value: float) -> str:
    """A published percentage with as many decimals as it has, one to three."""
    decimals = next((few for few in (1, 2) if round(value, few) == value), 3)
    return f"{value:.{decimals}f}"


def fence_for(texts: Iterable[str]) -> str:
    """A fence of a Markdown block that none of the texts holds."""
    longest = max((len(match[0]) for text in texts for match in _TICKS.finditer(text)), default=2)
    return "`" * (longest + 1)
