"""The scores behind a finished evaluation's figures, which its benchmarks make again of the samples' rows."""

from __future__ import annotations

import math

from codecascade.evaluation.analysis.folder import MeasuredBenchmark
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.scores import Scores

_TEXTS = frozenset({"completion", "text", "detail", "stderr", "stdout"})


def scores_of(measured: MeasuredBenchmark) -> dict[str, Scores]:
    """By metric what each problem contributed.

    A figure is not there if the rows give another one than ``results.json`` has: one of the two was edited, or is of
    another measurement. Nothing is there of a benchmark that this version does not have.
    """
    benchmark = BENCHMARKS.get(measured.name)
    # Long texts are left out, for all rows are held at once.
    rows = [{name: value for name, value in row.items() if name not in _TEXTS} for row in measured.rows()]
    if benchmark is None or not rows:
        return {}
    try:
        found = benchmark.scores(rows)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return {}  # a field is missing or of another type: rows of another tool, or of an older version
    return {name: scores for name, scores in found.items() if _agrees(scores, measured, name)}


def _agrees(scores: Scores, measured: MeasuredBenchmark, name: str) -> bool:
    stored = measured.metrics.get(name)
    return (
        stored is not None
        and len(scores.keys) > 0
        and math.isclose(scores.figure, stored.value, rel_tol=1e-6, abs_tol=1e-9)
    )
