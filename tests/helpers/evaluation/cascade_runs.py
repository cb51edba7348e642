"""Small runs with the evaluation of each model, as a cascade leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluations import HOSTILE, Rows, write_evaluation

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.evaluation.scores import metrics_of
from codecascade.reports.cascade.run_report import ModelReport

LINES = 60
"""Gaps of a benchmark of lines."""


def lines(right: Mapping[str, Sequence[int]], first_line: bool = True) -> Rows:
    """Rows of gaps that were asked in some layouts; in each the numbered ones are right."""
    return [
        {
            "task_id": f"gap/{n}",
            "completion": HOSTILE if n % 2 else f"    x = {n}\n",
            "format": layout,
            "exact_match": n in numbers,
            "passed": None,
            "ended": True,
        }
        for layout, numbers in right.items()
        for n in range(LINES)
    ]


def of_gaps(layout: str, right: Sequence[int], nats: float) -> list[dict[str, object]]:
    """Gaps of 20 bytes, which are lines, and whose true middles and ends cost about so many nats."""
    return [
        {**row, "kind": "line", "bytes": 20, "answer_nats": nats + n % 3}
        for n, row in enumerate(lines({layout: right}))
    ]


def losses(scale: float) -> Rows:
    """Rows of documents, whose losses are ``scale`` times those of the base."""
    return [
        {"task_id": f"d{n}", "nats": scale * (50 + 9 * n % 40), "tokens": 100, "bytes": 300}
        for n in range(30)
    ]


def solved(numbers: Sequence[int], problems: int = 40) -> Rows:
    """Rows of HumanEval."""
    return [{"task_id": f"HumanEval/{n}", "completion": "", "passed": n in numbers} for n in range(problems)]


def model(
    folder: Path,
    name: str,
    rows: Mapping[str, Rows],
    *,
    settings: Mapping[str, Any] | None = None,
    **about: Any,
) -> ModelReport:
    """A model of the run in ``folder``, with its evaluation there."""
    figures = {benchmark: metrics_of(BENCHMARKS[benchmark].scores(of)) for benchmark, of in rows.items()}
    gaps = [
        {
            "task_id": f"gap/{n}",
            "prompt": f"def f{n}():\n",
            "suffix": "    return x\n",
            "expected": f"    x = {n}\n",
        }
        for n in range(LINES)
    ]
    write_evaluation(
        folder / "evaluations" / name,
        rows,
        model=name,
        metrics=figures,
        about={
            benchmark: {
                "metric": BENCHMARKS[benchmark].metric,
                "higher_is_better": BENCHMARKS[benchmark].higher_is_better,
                "settings": {"infilling.first_line": True, "infilling.layouts": [], **(settings or {})},
            }
            for benchmark in rows
        },
        tasks={benchmark: gaps for benchmark in rows if benchmark.startswith("infilling")},
    )
    results = {benchmark: BenchmarkResult(benchmark, of) for benchmark, of in figures.items()}
    parent = None if name == "base" else "base"
    return ModelReport(name, parent, "base" if parent is None else "code", results=results, **about)
