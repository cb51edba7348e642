"""``compare``: compares two evaluations of the same problems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli import options
from codecascade.cli.app import app, stderr, stdout
from codecascade.cli.options import AsJson
from codecascade.ground.format import listed

if TYPE_CHECKING:
    from rich.table import Table

    from codecascade.evaluation.analysis.compare import Comparison

Folder = Annotated[
    Path, typer.Argument(help="A folder that `codecascade eval -o` wrote.", show_default=False)
]


@app.command(
    rich_help_panel=options.MEASURE,
    epilog=options.examples("compare evaluations/base evaluations/code -o comparison"),
)
def compare(
    first: Folder,
    second: Folder,
    output: Annotated[Path | None, options.output("DIR")] = None,
    benchmark: Annotated[str | None, options.benchmark("A,B", shown="all that both have")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the second evaluation does better or worse than the first, and whether it may be chance.

    Problems are compared in pairs. With -o, comparison.md and comparison.html are written as well.
    """
    import json

    from codecascade.evaluation.analysis.compare import compare as compare_folders

    names = [name.strip() for name in benchmark.split(",") if name.strip()] if benchmark else []
    found = compare_folders(first, second, names)
    if output is not None:
        from codecascade.reports.comparison import write_comparison

        write_comparison(found, output)
        stderr().print(f"{output / 'comparison.html'}", highlight=False)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        _print(found)


def _print(found: Comparison) -> None:
    from rich.text import Text

    from codecascade.reports.comparison import remarks_on

    console = stdout()
    for ordinal, name in zip(("first", "second"), found.names, strict=True):
        console.print(Text(f"{ordinal:>6}: {name}"))
    console.print(_table(found))
    console.print(
        Text(
            "p: exact McNemar test of scores 0 and 1; ~: sign-flip permutation test of other scores",
            style="dim",
        )
    )
    for compared in found.benchmarks:
        for verb, problems in (("gained", compared.gained), ("lost", compared.lost)):
            if problems:
                names = listed([problem.name for problem in problems], _MOST_NAMES)
                console.print(Text(f"{compared.name}: {len(problems):,} {verb}: {names}"))
    for note in remarks_on(found):
        console.print(Text(note, style="dim"))


_MOST_NAMES = 6
"""Problems that are named; of the others only the number is printed."""


def _table(found: Comparison) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from codecascade.evaluation.analysis.significance import SIGN_FLIP
    from codecascade.reports.comparison import difference_row

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("benchmark, metric", overflow="fold")
    for name in ("first", "second", "change", "95 %", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    styles = {"better": "green", "worse": "red", "": ""}
    for compared in found.benchmarks:
        table.add_row(Text(compared.name, style="bold"))
        for difference in compared.differences:
            row = difference_row(difference)
            table.add_row(
                f"  {row['metric']}",
                row["first"],
                row["second"],
                Text(row["difference"], style=styles[row["verdict"]]),
                row["interval"],
                row["p"] + (" ~" if difference.test == SIGN_FLIP else "  "),
            )
    return table
