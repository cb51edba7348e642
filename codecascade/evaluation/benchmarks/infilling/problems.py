"""Infilling problems: functions with a masked part. They are read from published files, or made here.

Published files (Bavarian et al. 2022) mask one line, several lines or any span of HumanEval's solutions. The problems
with one line can be made from HumanEval itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from codecascade.evaluation.benchmarks.code.humaneval import HumanEvalProblem
from codecascade.evaluation.data import Record, require_field
from codecascade.sandbox.program import IMPORTED, Program
from codecascade.sandbox.splitting import TOGETHER, split_tests


@dataclass(frozen=True)
class InfillingProblem:
    """A text ``prefix + middle + suffix`` whose middle is masked.

    Attributes:
        test: code that tests the text; empty if it can't be run.
        entry_point: the function that ``test`` calls, if that is all that it needs of the text. Then it runs in
            another process than the text.
    """

    task_id: str
    prefix: str
    middle: str
    suffix: str
    test: str = ""
    entry_point: str | None = None

    @property
    def text(self) -> str:
        return self.prefix + self.middle + self.suffix

    def program(self, middle: str) -> Program:
        apart = TOGETHER if self.entry_point is None else split_tests(self.test, self.text, self.entry_point)
        source = self.prefix + middle + self.suffix
        return Program(source, name=IMPORTED, tests=self.test, calls=apart.calls, given=apart.given)


def single_line_problems(problems: Iterable[HumanEvalProblem]) -> list[InfillingProblem]:
    """A problem for each line of each canonical solution that is not blank: 1,033 for all of HumanEval.

    Task ids, prefixes, middles and suffixes equal those of the published ``HumanEval-SingleLineInfilling``. (Its
    prefixes have a blank line before the first line of a body.)
    """
    return [
        InfillingProblem(
            f"SingleLineInfilling/{problem.task_id}/L{number}",
            problem.prompt + "\n".join(lines[:number]) + "\n",
            line + "\n",
            "\n".join(lines[number + 1 :]),
            problem.check,
            entry_point=problem.entry_point,
        )
        for problem in problems
        for lines in [problem.canonical_solution.split("\n")]
        for number, line in enumerate(lines)
        if line.strip()
    ]


def published_problems(records: Iterable[Record], kind: str) -> list[InfillingProblem]:
    """The problems of one ``kind`` in a published file. Their task ids begin with the kind (``SingleLine``).

    Raises:
        UserError: a record is malformed.
    """
    fields = ("task_id", "prompt", "suffix", "canonical_solution", "test", "entry_point")
    records = list(records)
    for location, row in records:
        for field in fields:
            require_field(row, field, str, location)
    return [
        InfillingProblem(
            row["task_id"],
            row["prompt"],
            row["canonical_solution"],
            row["suffix"],
            f"\n{row['test']}\ncheck({row['entry_point']})\n",
            entry_point=row["entry_point"],
        )
        for _, row in records
        if row["task_id"].startswith(f"{kind}Infilling")
    ]
