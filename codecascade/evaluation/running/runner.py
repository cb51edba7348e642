"""Runs benchmarks one after the other and keeps each result as soon as it is there."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.benchmarks.table import BENCHMARKS, check_names
from codecascade.evaluation.data import data_origin, is_packaged
from codecascade.evaluation.running.conditions import conditions
from codecascade.evaluation.running.contamination import contamination
from codecascade.evaluation.running.driver import EvaluationProgress, fill_journal, sample_rows
from codecascade.evaluation.running.execution import SHARED
from codecascade.evaluation.running.journal import Journal
from codecascade.evaluation.running.result import (
    BenchmarkResult,
    StoredRows,
    answered_problems,
    samples_file,
    tasks_file,
)
from codecascade.evaluation.running.settings_used import shown_settings, used_settings
from codecascade.evaluation.running.work import (
    BenchmarkWork,
    generated_work,
    given_work,
    layouts_in,
    task_rows,
)
from codecascade.evaluation.scores import metrics_of
from codecascade.evaluation.settings import CommonSettings
from codecascade.evaluation.task import (
    Benchmark,
    EvaluatedModel,
    EvaluationContext,
    SampleRow,
    Task,
    was_asked,
)
from codecascade.generation.backend import Backend
from codecascade.generation.local_backend import LocalBackend
from codecascade.generation.requests import Scorer
from codecascade.ground.errors import UserError
from codecascade.ground.files import content_digest, remove_leftovers
from codecascade.ground.json_lines import write_jsonl
from codecascade.sandbox.sandbox import Sandbox

_log = logging.getLogger(__name__)
_PLACES = ("address",)
"""Of what a backend tells about itself: where it happened to be, not what it is."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What benchmarks are measured with, beside the settings.

    Attributes:
        backend: the model; None where given samples are scored.
        samples: by benchmark, a file of samples that are scored instead of a model's answers.
        complete: refuse one that has no sample of some task.
        skip_unknown: leave out samples of tasks that the benchmark does not have.
        contamination: look for the problems in the training part of the corpus.
        data: by benchmark, a local file or folder of its data.
    """

    backend: Backend | None = None
    samples: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    complete: bool = False
    skip_unknown: bool = False
    corpus: Corpus | None = None
    contamination: bool = False
    sandbox: Sandbox | None = None
    data: Mapping[str, Path] = dataclasses.field(default_factory=dict)


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
    as each ends, and keeps each sample in ``folder/unfinished/<benchmark>.jsonl`` as it comes; called again after a
    stop, it does only what is missing. A folder belongs to one model.

    Args:
        again: measure a benchmark again that was measured with other settings, rather than refuse to.
        after_each: called with the results so far when a benchmark has ended, or was there already.

    Raises:
        UserError: there is no such benchmark, something that it needs is missing (data, corpus, sandbox), or the
            folder holds results that were made with something else (and not ``again``).
        RunFailed: the model does not answer any more.
    """
    check_names(settings.benchmarks, "benchmarks")
    for place in (folder, samples_file(folder, "").parent, tasks_file(folder, "").parent):
        remove_leftovers(place)
    results: dict[str, BenchmarkResult] = {}
    for name in settings.benchmarks:
        benchmark = BENCHMARKS[name]
        made_with = _made_with(benchmark, inputs, settings)
        result = BenchmarkResult.load(folder, name, made_with=made_with, again=again)
        if result is None:
            _log.info("measuring %s", name)
            result = _measure(benchmark, inputs, settings, folder, made_with, again, progress)
        _remove_journal(folder, name)  # here, for a stop may come between the result and this
        if inputs.contamination and inputs.corpus is not None:
            result = _searched(result, inputs.corpus, folder, made_with)
        results[name] = result
        after_each(results)
    return results


def _measure(
    benchmark: Benchmark,
    inputs: Inputs,
    settings: CommonSettings,
    folder: Path,
    made_with: SampleRow,
    again: bool,
    progress: Callable[[EvaluationProgress], None],
) -> BenchmarkResult:
    context = _context(benchmark, inputs, settings, progress)
    if benchmark.score is not None:
        result = _score(benchmark, context, folder)
    else:
        work = _work(benchmark, context, inputs)
        header = {**made_with, "problems": work.digest()}
        with Journal(_journal_file(folder, benchmark.name), len(work), header, again=again) as journal:
            fill_journal(benchmark.name, work, journal, inputs.backend, inputs.sandbox, progress)
            result = _summed_up(benchmark, context, folder, work, journal, inputs)
    about = {
        "title": benchmark.title,
        "metric": benchmark.metric,
        "higher_is_better": benchmark.higher_is_better,
        "settings": shown_settings(benchmark, settings, given=benchmark.name in inputs.samples),
        "source": _source(benchmark, inputs.data.get(benchmark.name)),
        "licence": benchmark.licence,
        **result.about,
    }
    result = dataclasses.replace(result, about=about)
    result.save(folder, made_with=made_with)
    return result


def _source(benchmark: Benchmark, given: Path | None) -> str:
    """Where the problems come from, in this very run."""
    if benchmark.data is not None:
        return data_origin(benchmark.name, benchmark.data, given)
    return benchmark.source if given is None else given.name


def _published(benchmark: Benchmark, context: EvaluationContext) -> dict[str, Task] | None:
    """All problems of the package that carries the data, where other data were named; None if that is not known."""
    if context.data is None or benchmark.data is None or not is_packaged(benchmark.data):
        return None
    assert benchmark.tasks is not None
    settings = context.settings
    if benchmark.settings is not None and "problems" in benchmark.settings.model_fields:
        own = settings.own(benchmark.settings)
        settings = settings.with_own(own.model_copy(update={"problems": None}))
    return {
        task.task_id: task
        for task in benchmark.tasks(dataclasses.replace(context, data=None, settings=settings))
    }


def _searched(result: BenchmarkResult, corpus: Corpus, folder: Path, made_with: SampleRow) -> BenchmarkResult:
    """With what of the benchmark the corpus's training documents hold, looked up if it is not known yet."""
    searched = corpus.documents("train", "code").fingerprint
    known = result.about.get("contamination")
    path = tasks_file(folder, result.name)
    if (known is not None and known["fingerprint"] == searched) or not path.exists():
        return result
    _log.info("looking for %s in the corpus", result.name)
    found = {**contamination(StoredRows(path), corpus), "fingerprint": searched}
    result = dataclasses.replace(result, about={**result.about, "contamination": found})
    result.save(folder, made_with=made_with)
    return result


def _score(benchmark: Benchmark, context: EvaluationContext, folder: Path) -> BenchmarkResult:
    assert benchmark.score is not None
    started = time.monotonic()
    scored = benchmark.score(context)
    write_jsonl(samples_file(folder, benchmark.name), scored.rows)
    about = {"tasks": len(scored.rows), "tasks_total": len(scored.rows)}
    seconds = round(time.monotonic() - started, 2)
    return BenchmarkResult(benchmark.name, scored.metrics, notes=scored.notes, seconds=seconds, about=about)


def _work(benchmark: Benchmark, context: EvaluationContext, inputs: Inputs) -> BenchmarkWork:
    assert benchmark.tasks is not None
    tasks = benchmark.tasks(context)
    if not tasks:
        raise UserError("there are no problems in its data", key=benchmark.name)
    samples = inputs.samples.get(benchmark.name)
    if samples is None:
        return generated_work(benchmark, tasks, context.settings)
    return given_work(benchmark, tasks, samples, complete=inputs.complete, skip_unknown=inputs.skip_unknown)


def _summed_up(
    benchmark: Benchmark,
    context: EvaluationContext,
    folder: Path,
    work: BenchmarkWork,
    journal: Journal,
    inputs: Inputs,
) -> BenchmarkResult:
    """Figures from a journal that is full; the samples file is written on the way."""
    name = benchmark.name
    write_jsonl(tasks_file(folder, name), task_rows(work.tasks))
    write_jsonl(samples_file(folder, name), sample_rows(work, journal))
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
            source=_source(benchmark, context.data),
            published=_published(benchmark, context),
        ),
        "tokens": 0 if work.given is not None else sum(row["tokens"] for row in samples),
    }
    if in_process := sum(row.get("tests") == SHARED for row in samples):
        about["tests_in_process"] = in_process
    return BenchmarkResult(
        name,
        metrics_of(benchmark.scores(samples), context.seed),
        answered_problems(folder, name),
        [*benchmark.notes(samples, context), *_notes(benchmark, samples, work, context)],
        round(journal.seconds, 2),
        about,
    )


def _notes(
    benchmark: Benchmark, samples: StoredRows, work: BenchmarkWork, context: EvaluationContext
) -> list[str]:
    notes = []
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
        size = context.model.context_length
        of = f" of {size:,} tokens" if size else ""
        what = "sample" if too_long == 1 else "samples"
        notes.append(
            f"{too_long:,} {what} could not be made, for the prompt does not fit into the model's context{of}; "
            f"they {'count as failed' if benchmark.unasked_fail else 'are in no figure'}."
        )
    shared = {row["task_id"] for row in samples if row.get("tests") == SHARED}
    if shared:
        what = "1 task's tests" if len(shared) == 1 else f"The tests of {len(shared):,} tasks"
        notes.append(
            f"{what} can't run apart from the program, in whose process they ran: a hostile program could fool them."
        )
    return notes


def _context(
    benchmark: Benchmark,
    inputs: Inputs,
    settings: CommonSettings,
    progress: Callable[[EvaluationProgress], None],
) -> EvaluationContext:
    backend = inputs.backend
    model = EvaluatedModel()
    samples = inputs.samples.get(benchmark.name)
    if samples is not None and (layouts := layouts_in(samples)) is not None:
        model = EvaluatedModel(infilling_formats=layouts)
    if backend is not None:
        generator = backend.generator if isinstance(backend, LocalBackend) else None
        model = EvaluatedModel(
            backend.name,
            backend.context_length,
            backend.infilling_formats,
            backend.is_chat,
            backend.count_tokens,
            None if generator is None else generator.tokenizer,
            generator if isinstance(generator, Scorer) else None,
        )
    return EvaluationContext(
        settings,
        model,
        inputs.data.get(benchmark.name),
        inputs.corpus,
        inputs.sandbox,
        lambda done, of: progress(EvaluationProgress(benchmark.name, done, done, of)),
    )


def _journal_file(folder: Path, name: str) -> Path:
    return folder / "unfinished" / f"{name}.jsonl"


def _remove_journal(folder: Path, name: str) -> None:
    path = _journal_file(folder, name)
    path.unlink(missing_ok=True)
    with suppress(OSError):  # another benchmark's is there, or there was none
        path.parent.rmdir()


# ---- what a result depends on


def _made_with(benchmark: Benchmark, inputs: Inputs, settings: CommonSettings) -> dict[str, Any]:
    """What a stored result depends on: model, settings that concern the benchmark, its data and corpus."""
    backend = inputs.backend
    made_with: dict[str, Any] = {}
    if backend is not None:
        made_with["model"] = backend.name
        made_with |= {key: value for key, value in backend.describe().items() if key not in _PLACES}
    elif (samples := inputs.samples.get(benchmark.name)) is not None:
        made_with["samples"] = content_digest(samples)
    made_with |= used_settings(benchmark, settings)
    if (path := inputs.data.get(benchmark.name)) is not None:
        made_with["data"] = content_digest(path)
    if inputs.corpus is not None and benchmark.needs & {"corpus", "files", "filler"}:
        made_with["corpus"] = inputs.corpus.documents("heldout", "code").fingerprint
    return made_with
