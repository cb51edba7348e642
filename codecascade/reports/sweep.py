"""The report of a temperature sweep (paper, Fig. 6): pages, a picture and JSON, in the folder of its evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codecascade.evaluation.analysis.sweep import Sweep, folder_of, read_sweep
from codecascade.evaluation.notation import format_interval, format_metric
from codecascade.ground.files.atomic import atomic_write, write_json
from codecascade.reports import plots
from codecascade.reports.rendering import render


def write_sweep_report(root: Path) -> Sweep:
    """Write ``report.md``, ``report.html``, ``sweep.json`` and ``sweep.svg`` into the folder of a sweep.

    Args:
        root: has the evaluations, in folders ``temperature_<T>``.

    Raises:
        UserError: there are none, or they are of different models.
    """
    sweep = read_sweep(root)
    picture = plots.temperature_sweep(sweep) if sweep.figures else ""
    write_json(root / "sweep.json", sweep.to_json())
    if picture:
        atomic_write(root / "sweep.svg", picture)
    view = {
        "sweep": sweep,
        "plot": picture,
        "benchmarks": [_benchmark(sweep, name, root) for name in sweep.figures],
    }
    for name in ("md", "html"):
        atomic_write(root / f"report.{name}", render(f"sweep.{name}", view))
    return sweep


def _benchmark(sweep: Sweep, name: str, root: Path) -> dict[str, Any]:
    metrics = sweep.figures[name]
    temperatures = sorted(
        {temperature for by_temperature in metrics.values() for temperature in by_temperature}
    )
    rows = []
    for temperature in temperatures:
        cells = [
            {
                "text": format_metric(found, metric),
                "interval": format_interval(found, metric),
                "best": temperature in sweep.best(name, metric),
            }
            if (found := by_temperature.get(temperature))
            else None
            for metric, by_temperature in metrics.items()
        ]
        report = folder_of(root, temperature) / "report.html"
        href = f"{report.parent.name}/{report.name}" if report.exists() else ""
        rows.append((f"{temperature:g}", href, cells))
    return {"name": name, "metrics": list(metrics), "rows": rows}
