"""A benchmark as somebody else would add one: this file, and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field

from codecascade.evaluation.benchmark_settings import BenchmarkSettings, CommonSettings, PositiveInt
from codecascade.evaluation.data import BenchmarkData, load_records
from codecascade.evaluation.rates import mean_scores, pass_at_k_scores, rows_by_field, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import (
    Benchmark,
    EvaluationContext,
    ReportedFigure,
    SampleRow,
    Task,
    TextPrompt,
)
from codecascade.sandbox.outcome import Outcome

DATA = BenchmarkData(files=("toy.jsonl*",), licence="MIT", hub="somebody/toy", hub_files=("toy.jsonl",))


class ToySettings(BenchmarkSettings):
    """``[evaluate.toy]``."""

    key = "toy"

    problems: PositiveInt | None = Field(None, description="a subset; none: all")
    max_new_tokens: PositiveInt = Field(16, description="tokens per answer, at most")


def tasks(context: EvaluationContext) -> list[Task]:
    """A sum each."""
    own = context.own(ToySettings)
    records = load_records(
        "toy", DATA, context.data, {"task_id": str, "prompt": str, "answer": str, "kind": str}
    )
    return [
        Task(
            row["task_id"],
            TextPrompt(row["prompt"], ("\n",)),
            own.max_new_tokens,
            expected=row["answer"],
            extract=str.strip,
            judge=_judge(row["answer"]),
            fields={"kind": row["kind"]},
        )
        for _, row in subset(records, own.problems, context.seed)
    ]


def _judge(answer: str) -> Callable[[str, Sequence[Outcome]], SampleRow]:
    return lambda completion, outcomes: {
        "passed": completion == answer,
        "nearness": 1 / (1 + abs(int(completion) - int(answer))),
    }


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """``pass@1``, and ``nearness`` in all and of each kind."""
    found = pass_at_k_scores(values_by_problem(rows, "passed")["passed"])
    for kind, some in {"": rows, **rows_by_field(rows, "kind")}.items():
        found[f"nearness{'_' * bool(kind)}{kind}"] = mean_scores(
            values_by_problem(some, "nearness")["nearness"]
        )
    return found


def size(settings: CommonSettings) -> BenchmarkSize:
    """Of eight problems, unless fewer are asked for."""
    own = settings.own(ToySettings)
    return BenchmarkSize(own.problems or 8, 5, own.max_new_tokens // 2)


BENCHMARKS = (
    Benchmark(
        "toy",
        "Toy: sums",
        "pass@1",
        DATA,
        tasks=tasks,
        scores=scores,
        settings=ToySettings,
        size=size,
        columns=(ReportedFigure("nearness", "Sums, nearness"),),
        rank=5,
        examples=True,
        in_words=True,
        plain_metrics=("nearness",),
        task_ids="toy/",
    ),
)
