"""Chooses problems, with the answers of all models of a run, that show what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.running.result import AnsweredProblem
from codecascade.reports.cascade.run_report import ModelReport


def chosen_examples(models: Sequence[ModelReport]) -> list[dict[str, Any]]:
    """Problems that all models answered: two that only the last model solves, not the first; one that it does not."""
    ranked = sorted(BENCHMARKS.values(), key=lambda benchmark: benchmark.rank)
    for benchmark in (each.name for each in ranked if each.examples):
        measured = [model for model in models if benchmark in model.results]
        if len(measured) < 2:
            continue
        by_task = [
            {example.task_id: example for example in model.results[benchmark].examples} for model in measured
        ]
        shared = [task for task in by_task[-1] if all(task in answers for answers in by_task)]
        gained = [task for task in shared if by_task[-1][task].correct and not by_task[0][task].correct]
        missed = [task for task in shared if not by_task[-1][task].correct]
        chosen = sorted(gained, key=lambda task: _effort(by_task[-1][task]), reverse=True)[:2] + missed[:1]
        return [
            {
                "task_id": task,
                "before": tail(by_task[-1][task].prompt, 14),
                # Shown to the reader, although a base that can't infill did not see it.
                "after": head(by_task[-1][task].suffix, 8),
                "expected": by_task[-1][task].expected,
                "answers": [
                    {"model": model, "text": answers[task].completion, "correct": answers[task].correct}
                    for model, answers in zip(measured, by_task, strict=True)
                ],
            }
            for task in chosen
        ]
    return []


def _effort(example: AnsweredProblem) -> int:
    """How good an example is: longer lines are better, up to what fits a line of the page."""
    length = len(example.expected.strip())
    return length if length <= 70 else 0


def tail(text: str, lines: int) -> str:
    """The last lines of a text."""
    return "\n".join(text.split("\n")[-lines:])


def head(text: str, lines: int) -> str:
    """The first lines of a text."""
    return "\n".join(text.split("\n")[:lines])
