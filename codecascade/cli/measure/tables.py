"""The style of tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def plain_table(title: str) -> Table:
    """An empty table with lines under its header only."""
    from rich import box
    from rich.table import Table

    return Table(title=title, box=box.SIMPLE, title_justify="left")
