"""A benchmark's result from a full journal: its files of tasks and samples, figures, notes and conditions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from codecascade.evaluation.data import is_packaged
from codecascade.evaluation.judges.answer_judge import AnswerJudge
from codecascade.evaluation.running.conditions import conditions
from codecascade.evaluation.running.driver import reference_fields, sample_rows
from codecascade.evaluation.running.execution import SHARED
from codecascade.evaluation.running.inputs import Inputs
from codecascade.evaluation.running.journal import Journal
from codecascade.evaluation.running.result import (
    BenchmarkResult,
    StoredRows,
    answered_problems,
    judge_prompt_file,
    samples_file,
    tasks_file,
)
from codecascade.evaluation.running.work import BenchmarkWork, task_rows
from codecascade.evaluation.scores import metrics_of
from codecascade.evaluation.task import Benchmark, EvaluationContext, Task, was_asked
from codecascade.ground.files.atomic import atomic_write
from codecascade.ground.files.json_lines import write_jsonl


def summarise(
    benchmark: Benchmark,
    context: EvaluationContext,
    folder: Path,
    work: BenchmarkWork,
    journal: Journal,
    inputs: Inputs,
    source: str,
    judged_by: AnswerJudge | None = None,
    references: Journal | None = None,
) -> BenchmarkResult:
    """Write the files of tasks and samples from a journal that is full, and make the figures of them.

    Args:
        source: where the problems come from.
        judged_by: what judged the answers, if tests and rules of the tasks did not.
        references: a full journal of the probabilities of the reference answers, if they were measured.
    """
    name = benchmark.name
    write_jsonl(tasks_file(folder, name), task_rows(work.tasks))
    write_jsonl(samples_file(folder, name), sample_rows(work, journal, reference_fields(references, work)))
    samples = StoredRows(samples_file(folder, name))
    about = {
        "tasks": len({task.task_id for task in work.tasks}) - work.missing(),
        "tasks_total": work.tasks_total,
        "missing": work.missing(),
        "samples": len(work),
        "conditions": conditions(
            work,
            samples,
            model=context.model,
            backend=inputs.backend,
            sandbox=inputs.sandbox,
            source=source,
            published=_published(benchmark, context),
            judged_by=None if judged_by is None else judged_by.label,
        ),
        "tokens": 0 if work.given is not None else sum(row["tokens"] for row in samples),
    }
    if judged_by is not None:
        about["judge"] = judged_by.label
        if prompt := judged_by.judge.shown():
            path = judge_prompt_file(folder, name)
            atomic_write(path, prompt)
            about["judge_prompt"] = str(path.relative_to(folder))
    if in_process := sum(row.get("tests") == SHARED for row in samples):
        about["tests_in_process"] = in_process
    return BenchmarkResult(
        name,
        metrics_of(benchmark.scores(samples), context.seed),
        answered_problems(folder, name),
        [*benchmark.notes(samples, context), *_notes(benchmark, samples, work, context, judged_by)],
        # It is open from the first answer to the last reference.
        round(journal.seconds, 2),
        about,
    )


def _published(benchmark: Benchmark, context: EvaluationContext) -> dict[str, Task] | None:
    """All published problems, to compare those of a file that the user named with.

    None if no file was named, or no installed package carries the published problems.
    """
    if context.data is None or benchmark.data is None or not is_packaged(benchmark.data):
        return None
    assert benchmark.tasks is not None
    settings = context.settings
    if benchmark.settings is not None and "problems" in benchmark.settings.model_fields:
        own = settings.own(benchmark.settings)
        settings = settings.with_own(own.model_copy(update={"problems": None}))
    everything = dataclasses.replace(context, data=None, settings=settings)
    return {task.task_id: task for task in benchmark.tasks(everything)}


def _notes(
    benchmark: Benchmark,
    samples: StoredRows,
    work: BenchmarkWork,
    context: EvaluationContext,
    judged_by: AnswerJudge | None,
) -> list[str]:
    notes = []
    if judged_by is not None:
        notes.append(f"judged by {judged_by.label}.")
        if unread := sum(bool(row.get("unjudged")) for row in samples):
            notes.append(
                f"{unread:,} of {len(samples):,} replies of the judge could not be read; those answers are in no "
                "figure."
            )
    if missing := work.missing():
        notes.append(
            f"{missing} of {work.tasks_total} tasks have no sample in the file; the figures are over the others."
        )
    if work.given is not None and work.given.skipped:
        notes.append(
            f"{work.given.skipped} samples of the file are of tasks that the benchmark does not have: skipped."
        )
    too_long = sum(not was_asked(row) for row in samples)
    if too_long:
        length = context.model.context_length
        of_tokens = f" of {length:,} tokens" if length else ""
        subject = "sample" if too_long == 1 else "samples"
        notes.append(
            f"{too_long:,} {subject} could not be made, for the prompt does not fit into the model's context"
            f"{of_tokens}; they {'count as failed' if benchmark.unasked_fail else 'are in no figure'}."
        )
    shared = {row["task_id"] for row in samples if row.get("tests") == SHARED}
    if shared:
        subject = "1 task's tests" if len(shared) == 1 else f"The tests of {len(shared):,} tasks"
        notes.append(
            f"{subject} can't run apart from the program, in whose process they ran: a hostile program could fool "
            "them."
        )
    return notes
