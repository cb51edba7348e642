"""``correlations`` and ``sweep``: figures from several evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli import options
from codecascade.cli.app import app, stderr, stdout
from codecascade.cli.options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from codecascade.evaluation.analysis.correlations import LanguageCorrelations
    from codecascade.evaluation.analysis.sweep import Sweep


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
    """Tell how far a model solves the same problems in one programming language as in another.

    With -o, the matrices are also drawn.
    """
    import json

    from codecascade.evaluation.analysis.correlations import correlations
    from codecascade.ground.files import atomic_write

    found = correlations(evaluations)
    if output is not None:
        from codecascade.reports.plots import correlations as draw

        atomic_write(output, draw(found))
        stderr().print(f"{output}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps([each.to_json() for each in found], indent=2))
        return
    for each in found:
        stdout().print(_matrix(each))


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
    """Show a sweep's table, pass@k by temperature, and write its picture and report again."""
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
    table = _table(f"{found.model}, percent by temperature")
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


def _matrix(found: LanguageCorrelations) -> Table:
    table = _table(f"{found.name}, Pearson's coefficient of problems' scores")
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


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(title=title, box=box.SIMPLE, title_justify="left")
