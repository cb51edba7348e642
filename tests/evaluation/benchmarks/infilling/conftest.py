from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from infilling_gaps import TASKS

from codecascade.evaluation.benchmarks.infilling.gaps import infilling_tasks
from codecascade.evaluation.benchmarks.infilling.problems import InfillingProblem
from codecascade.evaluation.benchmarks.table import BENCHMARKS


@pytest.fixture
def score(measure: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``infilling_single_line`` with TASKS as its problems."""

    def run(generator: Any, tasks: list[InfillingProblem] = TASKS, **inputs: Any) -> Any:
        changed = dataclasses.replace(
            BENCHMARKS["infilling_single_line"], tasks=lambda context: infilling_tasks(tasks, context)
        )
        monkeypatch.setitem(BENCHMARKS, "infilling_single_line", changed)
        return measure("infilling_single_line", generator, **inputs)

    return run
