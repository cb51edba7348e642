"""``sweep``: one model measured at several temperatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli import options
from codecascade.cli.app import app, stdout
from codecascade.cli.measure.tables import plain_table
from codecascade.cli.options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from codecascade.evaluation.analysis.sweep import Sweep


@app.command(rich_help_panel=options.MEASURE, epilog=options.examples("sweep evaluations/sweep"))
def sweep(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A folder that `codecascade eval --temperature 0.2,0.8 -o` wrote.", show_default=False
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show pass@k at each temperature of a sweep, and write the sweep's picture and report again."""
    import json

    from codecascade.reports.sweep import write_sweep_report

    found = write_sweep_report(folder)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        stdout().print(sweep_table(found))


def sweep_table(found: Sweep) -> Table:
    """A line for each benchmark and metric, a column for each temperature. The best of each line is bold."""
    from rich.text import Text

    metrics_of_all = (by_metric.values() for by_metric in found.figures.values())
    temperatures = sorted(
        {t for values in metrics_of_all for by_temperature in values for t in by_temperature}
    )
    table = plain_table(f"{found.model}, percent by temperature")
    for name in ("benchmark", "metric"):
        table.add_column(name)
    for temperature in temperatures:
        table.add_column(f"{temperature:g}", justify="right")
    for benchmark, metrics in found.figures.items():
        for metric, by_temperature in metrics.items():
            best = found.best(benchmark, metric)
            cells = [
                Text(f"{100 * by_temperature[t].value:.1f}", style="bold" if t in best else "")
                if t in by_temperature
                else ""
                for t in temperatures
            ]
            table.add_row(benchmark, metric, *cells)
    return table
