"""The steps of a build, in their order: whoever names, runs, counts or shows them asks here.

Steps over batches see one batch of documents at a time; their entry has what makes them. The others see all
candidates or all documents at once, and :func:`codecascade.corpus.build.build_corpus` calls them where they belong.
A step's name is what ``dropped.parquet``, ``manifest.json`` and the page have of it.
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
"""What a step does to a batch under these settings; None: they switch it off."""

REASON_SLOT = "{reason}"


class CorpusStep(NamedTuple):
    """What the rest of the package knows of one step."""

    name: str
    """For the account, the manifest and the page; for people, and unique."""
    result: str
    """What there is after it, as the datasheet says it behind the step's name."""
    factory: BatchFunctionFactory | None = None
    """Of a step over batches; None: the build calls it."""
    samples: str | None = None
    """The heading under which the page shows some texts that the step left out; None: it shows none.

    :data:`REASON_SLOT` in it stands for the reason, so that each gets a heading of its own; without it, the reason stands
    beside each text.
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
    """Everything that happens to documents one batch at a time, after reading."""
    made = [(step.name, step.factory(settings, benchmarks)) for step in STEPS if step.factory is not None]
    return [ReadyStep(name, run) for name, run in made if run is not None]


def step_names() -> tuple[str, ...]:
    """Of all steps, in their order."""
    return tuple(step.name for step in STEPS)


def step_result(name: str) -> str:
    """What there is after a step; nothing of a step that this version does not have."""
    return next((step.result for step in STEPS if step.name == name), "")


def sample_headings() -> dict[str, str]:
    """By the name of each step that has some of what it left out on the page: the heading for that."""
    return {step.name: step.samples for step in STEPS if step.samples is not None}
