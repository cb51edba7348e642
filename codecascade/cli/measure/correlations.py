"""``correlations``: compares how a model solves the same problems in several programming languages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli import options
from codecascade.cli.app import app, stderr, stdout
from codecascade.cli.measure.tables import plain_table
from codecascade.cli.options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from codecascade.evaluation.analysis.correlations import LanguageCorrelations


@app.command(
    "correlations",
    rich_help_panel=options.MEASURE,
    epilog=options.examples("correlations evaluations/code -o correlations.svg"),
)
def correlate_languages(
    evaluations: Annotated[
        list[Path],
        typer.Argument(
            help="Folders that `codecascade eval -o` wrote, with humaneval and multipl_e_* benchmarks.",
            show_default=False,
        ),
    ],
    output: Annotated[Path | None, options.output("FILE.svg")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how similar a model's scores on the same problems are in different programming languages.

    With -o, the matrices of correlations are also drawn as a picture.
    """
    import json

    from codecascade.evaluation.analysis.correlations import correlations
    from codecascade.ground.files.atomic import atomic_write

    found = correlations(evaluations)
    if output is not None:
        from codecascade.reports.plots import correlation_matrices as draw

        atomic_write(output, draw(found))
        stderr().print(f"{output}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps([each.to_json() for each in found], indent=2))
        return
    for each in found:
        stdout().print(_matrix(each))


def _matrix(found: LanguageCorrelations) -> Table:
    table = plain_table(f"{found.name}, Pearson's coefficient of problems' scores")
    table.add_column("")
    for language in found.languages:
        table.add_column(language, justify="right")
    for first in found.languages:
        cells = []
        for second in found.languages:
            metric = found.pairs.get((first, second)) or found.pairs.get((second, first))
            cells.append("" if first == second else "-" if metric is None else f"{metric.value:.2f}")
        table.add_row(first, *cells)
    return table
