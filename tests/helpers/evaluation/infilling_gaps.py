"""Gaps for tests of infilling, and models that fill them in."""

from __future__ import annotations

from typing import Any

from codecascade.evaluation.benchmarks.infilling.problems import InfillingProblem

TASKS = [
    InfillingProblem(
        f"t{number}", f"a = {number}\n", f"b = a + {number}\n", "c = b\n", f"\nassert c == {2 * number}\n"
    )
    for number in range(4)
]


def answering(tokenizer: Any, oracle: Any, middles: dict[str, str]) -> Any:
    """An oracle for TASKS that finds the task by its prefix."""
    return oracle(tokenizer, lambda prompt: next(text for key, text in middles.items() if key in prompt))
