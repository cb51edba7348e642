"""The report of a temperature sweep (paper, Fig. 6): ``report.md`` and ``report.html`` above its evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codecascade.evaluation import plots
from codecascade.evaluation.rendering import bounds, figure, render
from codecascade.evaluation.sweep import Sweep, folder_of, read_sweep
from codecascade.files import atomic_write


def write_sweep_report(root: Path) -> None:
    """Write the report of the evaluations ``temperature_<T>`` below ``root``.

    Raises:
        UserError: there are none, or they are of different models.
    """
    sweep = read_sweep(root)
    view = {
        "sweep": sweep,
        "plot": plots.temperature_sweep(sweep) if sweep.figures else "",
        "benchmarks": [_benchmark(sweep, name, root) for name in sweep.figures],
    }
    for name in ("md", "html"):
        atomic_write(root / f"report.{name}", render(f"sweep.{name}", view))


def _benchmark(sweep: Sweep, name: str, root: Path) -> dict[str, Any]:
    metrics = sweep.figures[name]
    temperatures = sorted({temperature for by in metrics.values() for temperature in by})
    rows = []
    for temperature in temperatures:
        cells = [
            {
                "text": figure(found.value, metric),
                "interval": bounds(found, metric),
                "best": sweep.best(name, metric) == temperature,
            }
            if (found := by.get(temperature))
            else None
            for metric, by in metrics.items()
        ]
        report = folder_of(root, temperature) / "report.html"
        href = f"{report.parent.name}/{report.name}" if report.exists() else ""
        rows.append((f"{temperature:g}", href, cells))
    return {"name": name, "metrics": list(metrics), "rows": rows}
