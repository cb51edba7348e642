"""Fills a benchmark's journal: asks for the samples that are missing, runs their programs, keeps the verdicts.

Nothing is done twice. An answer is written to the journal before its program runs, and a verdict as soon as it is
known. A run that was killed at any moment continues from there. Programs run while other answers are generated.

How likely a model finds the reference answers is kept in a journal of its own, in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from codecascade.evaluation.judges.answer_judge import AnswerJudge
from codecascade.evaluation.running.execution import Execution, verdict_on
from codecascade.evaluation.running.journal import Journal
from codecascade.evaluation.running.work import BenchmarkWork
from codecascade.evaluation.task import EvaluatedModel, ReferenceTokens, SampleRow, Task, was_asked
from codecascade.generation.backend import Backend, ReferenceScores, TextCompletion
from codecascade.generation.requests import Scorer
from codecascade.ground.errors import RunFailed
from codecascade.sandbox.sandbox import Sandbox

_REFERENCES = 256
"""Tasks whose references are in memory at a time, as tokens."""

TOO_LONG = "the prompt does not fit into the model's context"

# The fields of a verdict that every row has, also where nothing is run.
_UNKNOWN: SampleRow = {"passed": None, "outcome": None, "detail": None}


@dataclass(frozen=True)
class EvaluationProgress:
    """How far a benchmark is: how many of ``total`` samples are answered, judged, right, and not asked (too long)."""

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
    judged_by: AnswerJudge | None = None,
    references: Journal | None = None,
) -> None:
    """Give every sample of the journal an answer and a verdict.

    Args:
        references: gets how likely the reference answers are that the backend can score with the prompts; the rest is
            left to :func:`fill_references`. None: they are not wanted.
        judged_by: judges the answers when all of them are there; None if tests and rules of the tasks do.

    Raises:
        UserError: there are programs to run and no sandbox, or the model can't be asked in this way.
        RunFailed: the backend does not answer any more.
    """
    right = too_long = 0
    waiting: list[int] = []

    def report() -> None:
        progress(EvaluationProgress(name, journal.answered, journal.judged, len(work), right, too_long))

    def keep(sample_index: int, verdict: SampleRow) -> None:
        nonlocal right
        journal.verdict(sample_index, verdict)
        right += counts_as_right(verdict)
        report()

    def judge(sample_index: int, execution: Execution, answer: SampleRow) -> None:
        nonlocal too_long
        if was_asked(answer) and judged_by is not None:
            waiting.append(sample_index)
        elif was_asked(answer):
            execution.add(sample_index, work.task(sample_index), answer["completion"])
        else:
            too_long += 1
            task = work.task(sample_index)
            unasked = (
                verdict_on_unasked(task) if judged_by is None else judged_by.verdict_on_unasked(TOO_LONG)
            )
            keep(sample_index, unasked)

    for sample_index in range(len(work)):
        if journal.has_verdict(sample_index):
            right += counts_as_right(journal.verdict_at(sample_index))
            too_long += not was_asked(journal.answer_at(sample_index))
    report()
    with Execution(sandbox, keep) as execution:
        for sample_index in list(journal.unjudged()):
            judge(sample_index, execution, journal.answer_at(sample_index))
        for sample_index, answer in _new_answers(work, journal, backend, references):
            journal.answer(sample_index, answer)
            report()
            judge(sample_index, execution, answer)
    if judged_by is not None:
        for sample_index, verdict in judged_by.verdicts(work, journal, waiting):
            keep(sample_index, verdict)
    if journal.judged != len(journal):
        raise RunFailed(f"{name}: {len(journal) - journal.judged} samples were not answered; run it again")


def _new_answers(
    work: BenchmarkWork, journal: Journal, backend: Backend | None, references: Journal | None
) -> Iterator[tuple[int, SampleRow]]:
    """``(sample_index, answer)`` for every sample without an answer in the journal, in any order."""
    if work.given is not None:
        for sample_index, row in enumerate(work.given.rows()):
            if not journal.has_answer(sample_index):
                yield sample_index, row
    elif missing := list(journal.unanswered()):
        assert backend is not None
        requests, tasks = work.requests(
            missing, lambda task: references is not None and not references.has_answer(task)
        )
        for generated in backend.complete(requests):
            index = tasks[generated.request]
            if references is not None and generated.references and not references.has_answer(index):
                references.answer(index, reference_row(generated.references))
            yield index * work.samples + generated.sample, answer_row(work.tasks[index], generated)


def answer_row(task: Task, generated: TextCompletion) -> SampleRow:
    """The fields of a sample's row that record the answer. ``text`` is what the model wrote, if it is not the
    completion.
    """
    completion = task.completion(generated.text, generated.finish_reason)
    row: SampleRow = {
        "completion": completion,
        "sample": generated.sample,
        "finish_reason": generated.finish_reason,
        "ended": generated.ended,
        "tokens": generated.tokens,
    }
    if task.observe is not None:
        row |= task.observe(generated.text, generated.finish_reason)
    return row if completion == generated.text else {**row, "text": generated.text}


def verdict_on_unasked(task: Task) -> SampleRow:
    """The verdict on a prompt that does not fit the model's context."""
    row = verdict_on(task, "", [])
    return {**row, "passed": False, "outcome": "not_started", "detail": TOO_LONG}


def counts_as_right(verdict: SampleRow) -> bool:
    """Whether a sample counts as right: its tests passed or, if there were none, its text equals the reference."""
    passed = verdict.get("passed")
    return bool(verdict.get("exact_match") if passed is None else passed)


def sample_rows(
    work: BenchmarkWork, journal: Journal, more: Callable[[int], SampleRow] = lambda sample_index: {}
) -> Iterator[SampleRow]:
    """The rows of the samples file, in the order of samples. The fields of given samples are kept.

    Args:
        more: what else a sample's row has, by its index.
    """
    for sample_index in range(len(work)):
        task = work.task(sample_index)
        answer, verdict = journal.answer_at(sample_index), journal.verdict_at(sample_index)
        first = {"task_id": task.task_id, "completion": answer["completion"]}
        yield {**first, **_UNKNOWN, **answer, **task.fields, **verdict, **more(sample_index)}


# ---- reference answers ------------------------------------------------------------------------------------------


def has_references(work: BenchmarkWork, model: EvaluatedModel) -> bool:
    """Whether the tasks have references, and the model tells probabilities."""
    if work.given is not None or model.scorer is None or model.tokenizer is None:
        return False
    return any(task.references is not None for task in work.tasks)


def fill_references(
    name: str,
    work: BenchmarkWork,
    journal: Journal,
    model: EvaluatedModel,
    progress: Callable[[EvaluationProgress], None],
) -> None:
    """Give the tasks that have none the fields that the model's probabilities of their references add to their rows.

    They are empty for a task without a reference, and for one whose prompt and reference do not fit the context.

    Args:
        journal: of as many entries as there are tasks; each has an answer and no verdict.
    """
    assert model.scorer is not None and model.tokenizer is not None
    missing = list(journal.unanswered())
    for start in range(0, len(missing), _REFERENCES):
        references: dict[int, Sequence[ReferenceTokens]] = {}
        for index in missing[start : start + _REFERENCES]:
            make = work.tasks[index].references
            found = () if make is None else make(model.tokenizer)
            fitting = [each for each in found if len(each.ids) <= (model.context_length or len(each.ids))]
            if fitting and fitting[0] is found[0]:
                references[index] = fitting
            else:
                journal.answer(index, {})
        for index, row in _scored(model.scorer, references):
            journal.answer(index, row)
            done = len(work) + journal.answered
            progress(EvaluationProgress(name, done, done, len(work) + len(journal)))


def reference_fields(journal: Journal | None, work: BenchmarkWork) -> Callable[[int], SampleRow]:
    """The fields of a sample's row, by the index of the sample."""
    if journal is None:
        return lambda sample_index: {}
    return lambda sample_index: journal.answer_at(sample_index // work.samples)


def _scored(
    scorer: Scorer, references: dict[int, Sequence[ReferenceTokens]]
) -> Iterator[tuple[int, SampleRow]]:
    # The ways of one task stand together, so that an engine reads what they begin with once.
    ways = [(index, way, each) for index, found in references.items() for way, each in enumerate(found)]
    scored: dict[int, dict[int, ReferenceScores]] = {}
    for place, scores in scorer.reference_scores([each for _, _, each in ways]):
        index, way, reference = ways[place]
        of_task = scored.setdefault(index, {})
        of_task[way] = ReferenceScores(tuple(scores), reference.ends)
        if len(of_task) == len(references[index]):
            yield index, reference_row([of_task[each] for each in sorted(of_task)])


def reference_row(ways: Sequence[ReferenceScores]) -> SampleRow:
    """The fields that the probability of a reference answer adds to a sample's row.

    Args:
        ways: the answer in each way to write it, of which there is at least one. All go on from the same prompt, and
            none begins with another, so that their probabilities add up.
    """
    first, sums = ways[0].logprobs, [sum(way.logprobs) for way in ways]
    row: SampleRow = {
        "reference_nats": -sums[0],
        "reference_tokens": len(first),
        "answer_nats": -float(np.logaddexp.reduce(sums)),
    }
    return {**row, "end_nats": -first[-1]} if ways[0].ends else row
