"""What ``self-instruct`` prints at its end."""

from __future__ import annotations

from pathlib import Path

from codecascade.cli.app import stderr, stdout
from codecascade.ground.format import counted
from codecascade.instruct.self_instruct.summary import Summary


def print_summary(summary: Summary, folder: Path) -> None:
    """The funnel, and where to read more."""
    from rich.table import Table

    from codecascade.reports.self_instruct.report import STEPS

    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, count in summary.funnel.items():
        table.add_row(STEPS.get(name, name.replace("_", " ")), f"{count:,}")
    stdout().print(table)
    stderr().print(
        f"{folder / 'dialogues.jsonl'}: {counted(summary.dialogues, 'dialogue')}; see {folder / 'report.html'}",
        highlight=False,
        soft_wrap=True,
    )
