"""The scores behind a finished evaluation's figures. Its benchmarks make them again from the samples' rows."""

from __future__ import annotations

import math

from codecascade.evaluation.analysis.evaluation_folder import MeasuredBenchmark
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.scores import Scores

_TEXTS = frozenset({"completion", "text", "detail", "stderr", "stdout"})


def scores_of(measured: MeasuredBenchmark) -> dict[str, Scores]:
    """For each metric what each problem contributed.

    A metric is left out if the rows give another figure than ``results.json`` has: one of the two was edited, or is
    of another measurement. All are left out of a benchmark that this version does not know.
    """
    benchmark = BENCHMARKS.get(measured.name)
    # Long texts are left out, because all rows are in memory at once.
    rows = [{name: value for name, value in row.items() if name not in _TEXTS} for row in measured.rows()]
    if benchmark is None or not rows:
        return {}
    try:
        found = benchmark.scores(rows)
        return {name: scores for name, scores in found.items() if _agrees(scores, measured, name)}
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        # A field is missing, of another type or beyond all numbers: rows of another tool, or of an older version.
        return {}


def _agrees(scores: Scores, measured: MeasuredBenchmark, name: str) -> bool:
    stored = measured.metrics.get(name)
    return (
        stored is not None
        and scores.values.shape == (len(scores.keys),)
        and len(scores.keys) > 0
        and math.isclose(scores.figure, stored.value, rel_tol=1e-6, abs_tol=1e-9)
    )
