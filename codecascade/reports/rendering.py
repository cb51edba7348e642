"""What all pages share: the templates' environment, and how numbers and times are written in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2


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
    environment.filters.update(number=number, duration=duration, cell=cell, published=published)
    return environment


def render(template: str, view: Mapping[str, Any]) -> str:
    """``template`` without its ``.jinja``; those of ``.html`` escape what they are given.

    Half a surrogate pair, which JSON can hold and UTF-8 can't, is spelled out.
    """
    text = _environment().get_template(f"{template}.jinja").render(view)
    return text.encode("utf-8", "backslashreplace").decode()


def cell(text: str) -> str:
    """A text inside a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def published(value: float) -> str:
    """A percentage with one decimal, or with the two or three that the paper gives."""
    decimals = next((few for few in (1, 2) if round(value, few) == value), 3)
    return f"{value:.{decimals}f}"


def number(value: float) -> str:
    """``82k``, ``1.3M``, ``4.1e17``: three significant digits at most."""
    for bound, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if bound <= value < 1000 * bound:
            return f"{value / bound:.3g}{letter}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """``48 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
