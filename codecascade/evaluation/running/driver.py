"""Does a benchmark's work: asks for the samples that are not there yet, runs their programs, keeps what comes.

Nothing is done twice. An answer is in the journal before its program runs, and a verdict as soon as it is known; a
run that was killed at any moment goes on behind them. Programs run while other answers are generated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from codecascade.evaluation.running.execution import Execution, verdict_on
from codecascade.evaluation.running.journal import Journal
from codecascade.evaluation.running.work import BenchmarkWork
from codecascade.evaluation.task import SampleRow, Task
from codecascade.generation.backend import Backend, TextCompletion
from codecascade.ground.errors import RunFailed
from codecascade.sandbox.sandbox import Sandbox

TOO_LONG = "the prompt does not fit into the model's context"


_UNKNOWN: SampleRow = {"passed": None, "outcome": None, "detail": None}  # where nothing is run


@dataclass(frozen=True)
class EvaluationProgress:
    """How far a benchmark is: samples answered and judged, of ``total``, and how many of those judged are right."""

    benchmark: str
    answered: int
    judged: int
    total: int
    right: int = 0
    too_long: int = 0


def fill_journal(
    name: str,
    work: BenchmarkWork,
    journal: Journal,
    backend: Backend | None,
    sandbox: Sandbox | None,
    progress: Callable[[EvaluationProgress], None] = lambda progress: None,
) -> None:
    """Fill the journal: an answer and a verdict at every place.

    Raises:
        UserError: programs are to be run and there is no sandbox, or the model can't be asked in this way.
        RunFailed: the backend does not answer any more.
    """
    right = too_long = 0

    def tell() -> None:
        progress(EvaluationProgress(name, journal.answered, journal.judged, len(work), right, too_long))

    def keep(place: int, verdict: SampleRow) -> None:
        nonlocal right
        journal.verdict(place, verdict)
        right += is_right(verdict)
        tell()

    def judge(place: int, execution: Execution, answer: SampleRow) -> None:
        nonlocal too_long
        if answer.get("finish_reason") == "context":
            too_long += 1
            keep(place, verdict_on_unasked(work.task(place)))
        else:
            execution.add(place, work.task(place), answer["completion"])

    for place in range(len(work)):
        if journal.has_verdict(place):
            right += is_right(journal.verdict_at(place))
            too_long += journal.answer_at(place).get("finish_reason") == "context"
    tell()
    with Execution(sandbox, keep) as execution:
        for place in list(journal.unjudged()):
            judge(place, execution, journal.answer_at(place))
        for place, answer in _new_answers(work, journal, backend):
            journal.answer(place, answer)
            tell()
            judge(place, execution, answer)
    if journal.judged != len(journal):
        raise RunFailed(f"{name}: {len(journal) - journal.judged} samples were not answered; run it again")


def _new_answers(
    work: BenchmarkWork, journal: Journal, backend: Backend | None
) -> Iterator[tuple[int, SampleRow]]:
    """``(place, answer)`` for all that is not in the journal, in any order."""
    if work.given is not None:
        for place, row in enumerate(work.given.rows()):
            if not journal.has_answer(place):
                yield place, row
    elif missing := list(journal.unanswered()):
        assert backend is not None
        requests, tasks = work.requests(missing)
        for generated in backend.complete(requests):
            index = tasks[generated.request]
            yield index * work.samples + generated.sample, answer_row(work.tasks[index], generated)


def answer_row(task: Task, generated: TextCompletion) -> SampleRow:
    """The fields of a sample's row that tell what was answered; ``text`` where the completion was taken out of it."""
    completion = task.completion(generated.text, generated.finish_reason)
    row: SampleRow = {
        "completion": completion,
        "sample": generated.sample,
        "finish_reason": generated.finish_reason,
        "ended": generated.ended,
        "tokens": generated.tokens,
    }
    return row if completion == generated.text else {**row, "text": generated.text}


def verdict_on_unasked(task: Task) -> SampleRow:
    """The verdict on a prompt that was too long."""
    row = verdict_on(task, "", [])
    return {**row, "passed": False, "outcome": "not_started", "detail": TOO_LONG}


def is_right(verdict: SampleRow) -> bool:
    """Whether a sample counts as right: its tests passed or, where nothing was run, its text is the true one."""
    passed = verdict.get("passed")
    return bool(verdict.get("exact_match") if passed is None else passed)


def sample_rows(work: BenchmarkWork, journal: Journal) -> Iterator[SampleRow]:
    """The samples file: one row a place, in the order of places; fields of given samples are kept."""
    for place in range(len(work)):
        task, answer, verdict = work.task(place), journal.answer_at(place), journal.verdict_at(place)
        first = {"task_id": task.task_id, "completion": answer["completion"]}
        yield {**first, **_UNKNOWN, **answer, **task.fields, **verdict}
