"""Draws the tree of a run's models."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from codecascade.ground.format import counted, show_count
from codecascade.reports import plots
from codecascade.reports.cascade.run_report import ModelReport

_LONGEST = 17
"""Characters of a name in a box."""


def tree(models: Sequence[ModelReport], hues: Mapping[str, str]) -> str:
    """The tree of models from left to right, as SVG. Each model is a box with its name and its training.

    A long name is cut in the middle, since names may begin or end alike; a mouse on the box shows all of it.
    """
    width, height, gap_x, gap_y = 168, 62, 46, 16
    column: dict[str, int] = {}
    row: dict[str, int] = {}
    for model in models:
        column[model.name] = 0 if model.parent is None else column[model.parent] + 1
        siblings = [other for other in models if other.parent == model.parent and other.name in row]
        if model.parent is not None and not siblings:
            row[model.name] = row[model.parent]
        else:
            row[model.name] = 1 + max(row.values(), default=-1)
    parts = []
    for model in models:
        x, y = column[model.name] * (width + gap_x), row[model.name] * (height + gap_y)
        if model.parent is not None:
            from_x = column[model.parent] * (width + gap_x) + width
            from_y = row[model.parent] * (height + gap_y) + height / 2
            middle = (from_x + x) / 2
            parts.append(
                f'<path d="M{from_x} {from_y} C{middle} {from_y} {middle} {y + height / 2} {x} {y + height / 2}" '
                f'fill="none" stroke="{plots.QUIET}" stroke-width="1.5"/>'
            )
        line = "the model that came in"
        if model.parent is not None:
            line = f"{show_count(model.tokens)} tokens, {counted(model.steps, 'step')}"
        parts.append(
            f'<g transform="translate({x} {y})"><title>{html.escape(model.name)}</title>'
            f'<rect width="{width}" height="{height}" rx="8" fill="white" '
            f'stroke="{hues[model.name]}" stroke-width="2"/>'
            f'<text x="14" y="26" font-weight="600" fill="{plots.INK}">{html.escape(_short(model.name))}</text>'
            f'<text x="14" y="46" font-size="12" fill="{plots.QUIET}">{html.escape(line)}</text></g>'
        )
    full_width = (max(column.values()) + 1) * (width + gap_x) - gap_x
    full_height = (max(row.values()) + 1) * (height + gap_y) - gap_y
    return (
        f'<svg viewBox="-2 -2 {full_width + 4} {full_height + 4}" width="{full_width + 4}" '
        f'role="img" aria-label="tree of models">{"".join(parts)}</svg>'
    )


def _short(name: str) -> str:
    """A name that fits into a box."""
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[:half]}…{name[-half:]}"
