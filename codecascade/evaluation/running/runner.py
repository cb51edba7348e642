"""Measures one model by several benchmarks, one after the other, and stores each result as soon as it is known.

For each benchmark: find the settings that concern it and what its result depends on, and use the stored result if
there is one. Else make the tasks (:mod:`.work`), get answers and verdicts (:mod:`.driver`), and compute the figures
(:mod:`.summary`).
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.benchmarks.table import BENCHMARKS, check_benchmark_names
from codecascade.evaluation.judges.answer_judge import AnswerJudge, judge_for
from codecascade.evaluation.running.contamination import contamination
from codecascade.evaluation.running.driver import (
    EvaluationProgress,
    fill_journal,
    fill_references,
    has_references,
)
from codecascade.evaluation.running.inputs import Inputs, context_for, made_with, source_of
from codecascade.evaluation.running.journal import Journal, JournalRow
from codecascade.evaluation.running.result import BenchmarkResult, StoredRows, samples_file, tasks_file
from codecascade.evaluation.running.settings_used import shown_settings, used_settings, version_of
from codecascade.evaluation.running.summary import summarise
from codecascade.evaluation.running.work import BenchmarkWork, generated_work, given_work
from codecascade.evaluation.task import Benchmark, EvaluationContext
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import remove_leftovers
from codecascade.ground.files.json_lines import write_jsonl

__all__ = ["Inputs", "evaluate"]

_log = logging.getLogger(__name__)


def evaluate(
    inputs: Inputs,
    settings: CommonSettings,
    *,
    folder: Path,
    again: bool = False,
    progress: Callable[[EvaluationProgress], None] = lambda progress: None,
    after_each: Callable[[dict[str, BenchmarkResult]], None] = lambda results: None,
) -> dict[str, BenchmarkResult]:
    """Measure one model by every benchmark of ``settings``.

    Writes ``folder/<benchmark>.json``, ``folder/samples/<benchmark>.jsonl`` and ``folder/tasks/<benchmark>.jsonl``
    as each benchmark ends. Each sample is kept in ``folder/unfinished/<benchmark>.jsonl`` as it comes, so that a call
    after a stop does only what is missing. A folder belongs to one model.

    Args:
        again: measure a benchmark again that was measured with other settings, instead of refusing to.
        after_each: called with the results so far when a benchmark has ended, or its result was there already.

    Raises:
        UserError: there is no such benchmark, something that it needs is missing (data, corpus, sandbox), or the
            folder holds results that were made with something else (and not ``again``).
        RunFailed: the model does not answer any more.
    """
    check_benchmark_names(settings.benchmarks, "benchmarks")
    for written in (folder, samples_file(folder, "").parent, tasks_file(folder, "").parent):
        remove_leftovers(written)
    results: dict[str, BenchmarkResult] = {}
    for name in settings.benchmarks:
        benchmark = BENCHMARKS[name]
        used = used_settings(benchmark, settings)
        shown = shown_settings(benchmark, used, given=name in inputs.samples)
        judged_by = judge_for(benchmark, settings)
        header = made_with(benchmark, inputs, used, judged_by)
        result = BenchmarkResult.load(folder, name, made_with=header, again=again)
        if result is None:
            _log.info("measuring %s", name)
            context = context_for(benchmark, inputs, settings, progress)
            result = _measure(benchmark, inputs, context, folder, header, again, progress, judged_by)
            about = {
                "title": benchmark.title,
                "metric": benchmark.metric,
                "higher_is_better": benchmark.higher_is_better,
                "settings": shown,
                "licence": benchmark.licence,
                **result.about,
            }
            result = dataclasses.replace(result, about=about)
            result.save(folder, made_with=header)
        # What a result was made with has it already.
        result = dataclasses.replace(result, about={**result.about, **version_of(benchmark)})
        # A stop may have come between the saving of the result and the removal of its journal.
        _remove_journal(folder, name)
        if inputs.contamination and inputs.corpus is not None:
            result = _with_contamination(result, inputs.corpus, folder, header)
        results[name] = result
        after_each(results)
    return results


def _measure(
    benchmark: Benchmark,
    inputs: Inputs,
    context: EvaluationContext,
    folder: Path,
    header: JournalRow,
    again: bool,
    progress: Callable[[EvaluationProgress], None],
    judged_by: AnswerJudge | None,
) -> BenchmarkResult:
    """Measure a benchmark that has no result yet; ``header`` is what the result depends on."""
    if benchmark.score is not None:
        result = _score(benchmark, context, folder)
        return dataclasses.replace(result, about={**result.about, "source": source_of(benchmark, inputs)})
    work = _work(benchmark, context, inputs, judged_by)
    header = {**header, "problems": work.digest()}
    with ExitStack() as opened:
        journal = opened.enter_context(
            Journal(_journal_file(folder, benchmark.name), len(work), header, again=again)
        )
        references: Journal | None = None
        if has_references(work, context.model):
            path = _journal_file(folder, f"{benchmark.name}.references")
            # What an earlier version has scored is scored anew: it knew one way to write an answer.
            own = {**header, "references": "each way"}
            references = opened.enter_context(Journal(path, len(work.tasks), own, again=True))
        fill_journal(
            benchmark.name, work, journal, inputs.backend, inputs.sandbox, progress, judged_by, references
        )
        if references is not None:
            fill_references(benchmark.name, work, references, context.model, progress)
        source = source_of(benchmark, inputs)
        result = summarise(benchmark, context, folder, work, journal, inputs, source, judged_by, references)
    return dataclasses.replace(result, about={"source": source, **result.about})


def _score(benchmark: Benchmark, context: EvaluationContext, folder: Path) -> BenchmarkResult:
    """The result of a benchmark that scores texts instead of asking for answers."""
    assert benchmark.score is not None
    started = time.monotonic()
    scored = benchmark.score(context)
    write_jsonl(samples_file(folder, benchmark.name), scored.rows)
    about = {"tasks": len(scored.rows), "tasks_total": len(scored.rows)}
    seconds = round(time.monotonic() - started, 2)
    return BenchmarkResult(benchmark.name, scored.metrics, notes=scored.notes, seconds=seconds, about=about)


def _work(
    benchmark: Benchmark, context: EvaluationContext, inputs: Inputs, judged_by: AnswerJudge | None
) -> BenchmarkWork:
    assert benchmark.tasks is not None
    tasks = benchmark.tasks(context)
    if not tasks:
        raise UserError("there are no problems in its data", key=benchmark.name)
    samples = inputs.samples.get(benchmark.name)
    if samples is None:
        work = generated_work(benchmark, tasks, context.settings)
    else:
        work = given_work(
            benchmark, tasks, samples, complete=inputs.complete, skip_unknown=inputs.skip_unknown
        )
    if judged_by is not None:
        judged_by.expect(work, tasks)
    return work


def _with_contamination(
    result: BenchmarkResult, corpus: Corpus, folder: Path, header: JournalRow
) -> BenchmarkResult:
    """The result with what the corpus's training documents contain of the benchmark.

    The corpus is searched only if the result does not say yet what this corpus contains.
    """
    fingerprint = corpus.documents("train", "code").fingerprint
    known = result.about.get("contamination")
    path = tasks_file(folder, result.name)
    if (known is not None and known["fingerprint"] == fingerprint) or not path.exists():
        return result
    _log.info("looking for %s in the corpus", result.name)
    found = {**contamination(StoredRows(path), corpus), "fingerprint": fingerprint}
    result = dataclasses.replace(result, about={**result.about, "contamination": found})
    result.save(folder, made_with=header)
    return result


def _journal_file(folder: Path, name: str) -> Path:
    return folder / "unfinished" / f"{name}.jsonl"


def _remove_journal(folder: Path, name: str) -> None:
    path = _journal_file(folder, name)
    path.unlink(missing_ok=True)
    _journal_file(folder, f"{name}.references").unlink(missing_ok=True)
    # The folder stays if another benchmark's journal is in it.
    with suppress(OSError):
        path.parent.rmdir()
