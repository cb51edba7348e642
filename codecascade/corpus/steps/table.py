"""The table of all steps of a build, in order. Whatever names, runs, counts or shows steps uses this table.

A step over batches sees one batch of documents at a time; its entry has the function that creates it. The other
steps see all candidates or all documents at once, and :func:`codecascade.corpus.build.build_corpus` calls them. The
name of a step appears in ``dropped.parquet``, ``manifest.json`` and on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from codecascade.corpus.reading import read_step as reading
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.sources import candidates, sampling
from codecascade.corpus.steps import decontamination, exact_dedup, filters, natural_language, near
from codecascade.corpus.steps.decontamination import BenchmarkIndex
from codecascade.corpus.steps.redaction import redaction
from codecascade.corpus.steps.step import BatchFunction, ReadyStep

BatchFunctionFactory = Callable[[CorpusSettings, BenchmarkIndex], BatchFunction | None]
"""Creates the function of a step from the settings; None: they switch the step off."""

REASON_SLOT = "{reason}"


class CorpusStep(NamedTuple):
    """An entry of the table of steps."""

    name: str
    """Unique; for ``dropped.parquet``, the manifest and the page."""
    result: str
    """What is left after the step, as the datasheet says it after the step's name."""
    factory: BatchFunctionFactory | None = None
    """For a step over batches; None: the build calls the step."""
    samples: str | None = None
    """The heading under which the page shows samples that the step dropped; None: it shows none.

    :data:`REASON_SLOT` in it is replaced by the reason, so that each reason has a heading of its own. Without it,
    the reason is shown beside each sample.
    """


STEPS: tuple[CorpusStep, ...] = (
    CorpusStep(candidates.FIND, "files and rows with a known language"),
    CorpusStep(sampling.STEP, "those that the settings let in"),
    CorpusStep(reading.STEP, "could be read as text"),
    CorpusStep(
        filters.STEP,
        "look like code or prose that somebody wrote",
        lambda settings, _: filters.filter_step(settings),
        samples=REASON_SLOT,
    ),
    CorpusStep(
        redaction.STEP,
        "after keys and addresses were replaced",
        lambda settings, _: redaction.redact_batch if settings.redact else None,
    ),
    CorpusStep(
        decontamination.STEP,
        "hold no benchmark text",
        lambda _, benchmarks: decontamination.benchmark_step(benchmarks),
        samples="holds a benchmark text",
    ),
    CorpusStep(
        natural_language.STEP,
        "with what was made of docstrings and documentation",
        lambda settings, _: natural_language.natural_language_step(
            docstrings=settings.include_docstrings, share_of_code=sampling.derived_share(settings)
        ),
    ),
    CorpusStep(exact_dedup.STEP, "differ in more than white space"),
    CorpusStep(near.STEP, "have no near-duplicate that stays"),
)


def document_steps(settings: CorpusSettings, benchmarks: BenchmarkIndex) -> list[ReadyStep]:
    """The steps over batches, in order, created from the settings; they run after reading."""
    made = [(step.name, step.factory(settings, benchmarks)) for step in STEPS if step.factory is not None]
    return [ReadyStep(name, run) for name, run in made if run is not None]


def step_names() -> tuple[str, ...]:
    """The names of all steps, in order."""
    return tuple(step.name for step in STEPS)


def step_result(name: str) -> str:
    """What is left after a step, in words; "" for a step that this version does not have."""
    return next((step.result for step in STEPS if step.name == name), "")


def sample_headings() -> dict[str, str]:
    """The heading of the samples for each step that shows dropped samples on the page."""
    return {step.name: step.samples for step in STEPS if step.samples is not None}
