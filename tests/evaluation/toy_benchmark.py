"""A benchmark as somebody else would add one: this file, and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field

from codecascade.evaluation.data import Data, load
from codecascade.evaluation.drawing import subset
from codecascade.evaluation.rates import answers, grouped, means, passes
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.settings import BenchmarkSettings, CommonSettings, Count
from codecascade.evaluation.size import Size
from codecascade.evaluation.task import Benchmark, EvaluationContext, Row, Shown, Task, TextPrompt
from codecascade.sandbox.outcome import Outcome

DATA = Data(files=("toy.jsonl*",), licence="MIT", hub="somebody/toy", hub_files=("toy.jsonl",))


class ToySettings(BenchmarkSettings):
    """``[evaluate.toy]``."""

    key = "toy"

    problems: Count | None = Field(None, description="a subset; none: all")
    max_new_tokens: Count = Field(16, description="tokens per answer, at most")


def tasks(context: EvaluationContext) -> list[Task]:
    """A sum each."""
    own = context.own(ToySettings)
    records = load("toy", DATA, context.data, {"task_id": str, "prompt": str, "answer": str, "kind": str})
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


def _judge(answer: str) -> Callable[[str, Sequence[Outcome]], Row]:
    return lambda completion, outcomes: {
        "passed": completion == answer,
        "nearness": 1 / (1 + abs(int(completion) - int(answer))),
    }


def scores(rows: Sequence[Row]) -> dict[str, Scores]:
    """``pass@1``, and ``nearness`` in all and of each kind."""
    found = passes(answers(rows, "passed")["passed"])
    for kind, some in {"": rows, **grouped(rows, "kind")}.items():
        found[f"nearness{'_' * bool(kind)}{kind}"] = means(answers(some, "nearness")["nearness"])
    return found


def size(settings: CommonSettings) -> Size:
    """Of eight problems, unless fewer are asked for."""
    own = settings.of(ToySettings)
    return Size(own.problems or 8, 5, own.max_new_tokens // 2)


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
        columns=(Shown("nearness", "Sums, nearness"),),
        rank=5,
        examples=True,
        in_words=True,
        plain=("nearness",),
        ids="toy/",
    ),
)
