"""A benchmark's judge at work: it judges the answers of a journal, and is refused in time if it can't."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.judges.judge import ExpectedSample, Judge, JudgedAnswer, Judgement, Judging
from codecascade.evaluation.judges.settings import JudgeSettings
from codecascade.evaluation.judges.table import make_judge
from codecascade.evaluation.running.journal import Journal
from codecascade.evaluation.running.work import BenchmarkWork
from codecascade.evaluation.task import Benchmark, SampleRow, Task, was_asked
from codecascade.ground.errors import UserError

_AT_ONCE = 256
"""How many answers a judge is given at a time. Their verdicts are kept one by one."""


@dataclass(frozen=True)
class AnswerJudge:
    """A benchmark's judge, with what the benchmark wants judged."""

    judging: Judging
    judge: Judge

    @property
    def label(self) -> str:
        """What judges, as it stands beside the figures."""
        return self.judge.label

    def expect(self, work: BenchmarkWork, tasks: Sequence[Task]) -> None:
        """See that the judge can judge all of the work. ``tasks`` are all tasks of the benchmark.

        Raises:
            UserError: it is not there, or can't.
        """
        self.judge.check()
        self.judge.expect(work_samples(work), frozenset(task.task_id for task in tasks))

    def verdict_on_unasked(self, detail: str) -> SampleRow:
        """The verdict on a prompt that does not fit the model's context: the answer is in no figure.

        Args:
            detail: a sentence that says so.
        """
        return {**self.judging.row(Judgement(None, detail), {}), "unjudged": False}

    def verdicts(
        self, work: BenchmarkWork, journal: Journal, sample_indices: Sequence[int]
    ) -> Iterator[tuple[int, SampleRow]]:
        """The verdicts on answers of the journal, with the indices of their samples."""
        for start in range(0, len(sample_indices), _AT_ONCE):
            some = sample_indices[start : start + _AT_ONCE]
            answers = [_answer(work.task(index), journal.answer_at(index), index) for index in some]
            for index, judgement in self.judge.judge(answers):
                yield index, self.judging.row(judgement, work.task(index).fields)


def _answer(task: Task, row: Mapping[str, Any], index: int) -> JudgedAnswer:
    return JudgedAnswer(index, task.task_id, row.get("sample", 0), row["completion"], task.facts)


def work_samples(work: BenchmarkWork) -> Iterator[ExpectedSample]:
    """The samples that there will be. A prompt that does not fit into the context is among them."""
    if work.given is not None:
        for index, row in zip(work.given.tasks, work.given.rows(), strict=True):
            if was_asked(row):
                yield ExpectedSample(work.tasks[index].task_id, row["sample"])
        return
    for task in work.tasks:
        for number in range(work.samples):
            yield ExpectedSample(task.task_id, number)


def judge_for(benchmark: Benchmark, settings: CommonSettings) -> AnswerJudge | None:
    """The judge of a benchmark by the settings; None if its answers are not judged.

    Raises:
        UserError: there is no such judge, or a setting that it needs is missing.
    """
    if benchmark.judging is None:
        return None
    if benchmark.settings is None or not issubclass(benchmark.settings, JudgeSettings):
        raise TypeError(f"{benchmark.name}: the settings of a judged benchmark must be JudgeSettings")
    return AnswerJudge(benchmark.judging, make_judge(benchmark.judging, settings.own(benchmark.settings)))


def check_judges(names: Iterable[str], settings: CommonSettings) -> None:
    """See that the judges of these benchmarks are there, before a model is loaded or trained.

    Raises:
        UserError: one is not.
    """
    for name in names:
        try:
            judge = judge_for(BENCHMARKS[name], settings)
            if judge is not None:
                judge.judge.check()
        except UserError as error:
            raise UserError(error.message, file=error.file, key=error.key or name) from None
