"""The temperature sweep (paper, Fig. 6): pass@1 is best at a low temperature, pass@100 at a high one.

A sweep is one evaluation for each temperature. Each is an ordinary folder, ``temperature_0.1`` and so on, in the
folder of the sweep.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codecascade.evaluation.analysis.evaluation_folder import read_evaluation
from codecascade.evaluation.metrics import Metric
from codecascade.ground.errors import UserError

TEMPERATURES = (0.1, 0.4, 0.6, 0.8)
"""The temperatures of the paper."""

_FOLDER = re.compile(r"temperature_(\d+(?:\.\d+)?(?:e-?\d+)?)", re.ASCII)
_PASS = re.compile(r"pass@(\d+)")


@dataclass(frozen=True)
class Sweep:
    """``figures[benchmark][metric][temperature]`` of ``model``, for metrics named pass@k, by rising temperature."""

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
        """The temperatures with the highest figure; none if all figures are equal."""
        by_temperature = self.figures[benchmark][metric]
        values = {metric.value for metric in by_temperature.values()}
        if len(values) < 2:
            return set()
        return {t for t, metric in by_temperature.items() if metric.value == max(values)}


def folder_of(root: Path, temperature: float) -> Path:
    """The folder of the evaluation at one temperature."""
    return root / f"temperature_{temperature:g}"


def read_sweep(root: Path) -> Sweep:
    """Read the evaluations in the folder ``root``.

    Raises:
        UserError: there are none, or they are of different models, problems or settings.
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
    asked: dict[str, tuple[float, dict[str, Any]]] = {}
    for temperature in sorted(found):
        evaluation = read_evaluation(found[temperature])
        models = {**models, evaluation.model: None}
        for benchmark, measured in evaluation.benchmarks.items():
            how = {key: value for key, value in measured.settings.items() if key != "temperature"}
            how["version"] = measured.version
            first, others = asked.setdefault(benchmark, (temperature, how))
            if other := sorted(key for key in how | others if how.get(key) != others.get(key)):
                key = other[0]
                raise UserError(
                    f"holds {benchmark} at temperatures {first:g} and {temperature:g} by other settings ({key} "
                    f"{others.get(key)!r} and {how.get(key)!r}), which is no sweep; measure both alike, or in "
                    "folders of their own",
                    file=root,
                )
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
