"""The temperature sweep (paper, Fig. 6): pass@1 wants a low temperature, pass@100 a high one.

A sweep is one evaluation a temperature, each an ordinary folder (``temperature_0.1`` ...) below the sweep's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codecascade.evaluation.analysis.folder import read_evaluation
from codecascade.evaluation.metrics import Metric
from codecascade.ground.errors import UserError

TEMPERATURES = (0.1, 0.4, 0.6, 0.8)
"""The paper's."""

_FOLDER = re.compile(r"temperature_(\d+(?:\.\d+)?(?:e-?\d+)?)", re.ASCII)
_PASS = re.compile(r"pass@(\d+)")


@dataclass(frozen=True)
class Sweep:
    """``figures[benchmark][metric][temperature]`` of ``model``, for metrics named pass@k; temperatures ascend."""

    model: str
    figures: dict[str, dict[str, dict[float, Metric]]]

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "benchmarks": {
                benchmark: {
                    metric: {f"{temperature:g}": figure.to_json() for temperature, figure in by.items()}
                    for metric, by in metrics.items()
                }
                for benchmark, metrics in self.figures.items()
            },
        }

    def best(self, benchmark: str, metric: str) -> set[float]:
        """The temperatures that give the highest figure; none where all give the same."""
        by = self.figures[benchmark][metric]
        values = {metric.value for metric in by.values()}
        return {t for t, metric in by.items() if metric.value == max(values)} if len(values) > 1 else set()


def folder_of(root: Path, temperature: float) -> Path:
    """Where the evaluation at one temperature is."""
    return root / f"temperature_{temperature:g}"


def read_sweep(root: Path) -> Sweep:
    """What the evaluations below ``root`` come to.

    Raises:
        UserError: there are none, or they are of different models.
    """
    found = _folders(root)
    if not found:
        raise UserError(
            "holds no sweep (folders temperature_<T>); make one with: codecascade eval MODEL --benchmark humaneval "
            f"--temperature {','.join(f'{temperature:g}' for temperature in TEMPERATURES)} -o {root}",
            file=root,
        )
    figures: dict[str, dict[str, dict[float, Metric]]] = {}
    models: Mapping[str, None] = {}
    for temperature in sorted(found):
        evaluation = read_evaluation(found[temperature])
        models = {**models, evaluation.model: None}
        for benchmark, measured in evaluation.benchmarks.items():
            for metric, figure in measured.metrics.items():
                if _PASS.fullmatch(metric) and figure.is_measured:
                    figures.setdefault(benchmark, {}).setdefault(metric, {})[temperature] = figure
    if len(models) > 1:
        raise UserError(f"is of several models ({', '.join(models)}), which is no sweep", file=root)
    return Sweep(next(iter(models)), figures)


def _folders(root: Path) -> dict[float, Path]:
    return {
        float(match[1]): path
        for path in root.glob("temperature_*")
        if (match := _FOLDER.fullmatch(path.name)) and (path / "results.json").exists()
    }
