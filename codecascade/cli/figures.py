"""``correlations`` and ``sweep``: figures that are drawn from several evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli.app import app, stderr, stdout

if TYPE_CHECKING:
    from rich.table import Table

    from codecascade.evaluation.analysis.correlations import Correlations
    from codecascade.evaluation.analysis.sweep import Sweep

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command("correlations")
def correlate_languages(
    evaluations: Annotated[
        list[Path],
        typer.Argument(
            help="What `codecascade eval -o` wrote, with humaneval and multipl_e_* benchmarks in it.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw the matrices there (SVG).")
    ] = None,
    as_json: _Json = False,
) -> None:
    """How far the problems that a model solves in one language are those it solves in another."""
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


@app.command()
def sweep(
    folder: Annotated[
        Path,
        typer.Argument(help="What `codecascade eval --temperature A,B,... -o` wrote.", show_default=False),
    ],
    as_json: _Json = False,
) -> None:
    """pass@k by temperature: the table of a sweep; its picture and report are written again."""
    import json

    from codecascade.reports.sweep import write_sweep_report

    found = write_sweep_report(folder)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        stdout().print(sweep_table(found))


def sweep_table(found: Sweep) -> Table:
    """A line for each benchmark and k, a column for each temperature; the best of a line is marked."""
    from rich.text import Text

    temperatures = sorted({t for metrics in found.figures.values() for by in metrics.values() for t in by})
    table = _table(f"{found.model}, percent by temperature")
    for name in ("benchmark", "metric"):
        table.add_column(name)
    for temperature in temperatures:
        table.add_column(f"{temperature:g}", justify="right")
    for benchmark, metrics in found.figures.items():
        for metric, by in metrics.items():
            best = found.best(benchmark, metric)
            cells = [
                "" if t not in by else Text(f"{100 * by[t].value:.1f}", style="bold" if t in best else "")
                for t in temperatures
            ]
            table.add_row(benchmark, metric, *cells)
    return table


def _matrix(found: Correlations) -> Table:
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
