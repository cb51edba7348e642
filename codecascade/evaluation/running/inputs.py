"""What benchmarks are measured with, besides the settings: the model, the corpus, the sandbox, data and samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.data import data_origin
from codecascade.evaluation.judges.answer_judge import AnswerJudge
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.running.driver import EvaluationProgress
from codecascade.evaluation.running.settings_used import version_of
from codecascade.evaluation.running.work import layouts_in
from codecascade.evaluation.task import Benchmark, EvaluatedModel, EvaluationContext
from codecascade.generation.backend import Backend
from codecascade.generation.endpoint import Endpoint
from codecascade.generation.local_backend import LocalBackend
from codecascade.generation.requests import Scorer
from codecascade.ground.files.atomic import content_digest
from codecascade.ground.files.paths import expanded
from codecascade.sandbox.sandbox import Sandbox

_NOT_IDENTITY = ("address", "engine version")
"""Keys of a backend's description that say where the server was and its version, not what the model is."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What benchmarks are measured with, besides the settings.

    Attributes:
        backend: the model; None if samples files are scored.
        samples: by benchmark, a file of samples that is scored in place of a model's answers.
        complete: refuse a samples file that has no sample of some task.
        skip_unknown: leave out samples of tasks that the benchmark does not have.
        contamination: search the training part of the corpus for the benchmarks' problems.
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


def made_with(
    benchmark: Benchmark, inputs: Inputs, used: Mapping[str, Any], judged_by: AnswerJudge | None = None
) -> dict[str, Any]:
    """All that a stored result depends on. A result is measured again if any of it differs.

    Args:
        used: the settings that concern the benchmark (:func:`..settings_used.used_settings`).
        judged_by: what judges the answers, if tests and rules of the tasks do not.
    """
    found: dict[str, Any] = {}
    if inputs.backend is not None:
        found["model"] = inputs.backend.name
        found |= {k: value for k, value in inputs.backend.describe().items() if k not in _NOT_IDENTITY}
    elif (samples := inputs.samples.get(benchmark.name)) is not None:
        found["samples"] = content_digest(samples)
    found |= {**used, **version_of(benchmark)}
    kind = benchmark.settings
    for name in () if kind is None else sorted(kind.named_files):
        setting = name if kind is None else f"{kind.key}.{name}"
        named = expanded(used.get(setting) or "")
        if named.is_file():
            found[f"content of {setting}"] = content_digest(named)
    if (path := inputs.data.get(benchmark.name)) is not None:
        found["data"] = content_digest(path)
    if inputs.corpus is not None and benchmark.needs & {"corpus", "files", "filler"}:
        found["corpus"] = inputs.corpus.documents("heldout", "code").fingerprint
        if benchmark.shows_trained(used):
            found["trained files"] = inputs.corpus.documents("train", "code").fingerprint
    if judged_by is not None:
        found |= judged_by.judge.identity()
    return found


def context_for(
    benchmark: Benchmark,
    inputs: Inputs,
    settings: CommonSettings,
    progress: Callable[[EvaluationProgress], None],
) -> EvaluationContext:
    """What the benchmark makes its tasks with."""
    return EvaluationContext(
        settings,
        _model(benchmark, inputs),
        inputs.data.get(benchmark.name),
        inputs.corpus,
        inputs.sandbox,
        lambda done, total: progress(EvaluationProgress(benchmark.name, done, done, total)),
    )


def _model(benchmark: Benchmark, inputs: Inputs) -> EvaluatedModel:
    """What tasks may depend on of the model, or of the model that made a samples file."""
    backend = inputs.backend
    if backend is not None:
        generator = backend.generator if isinstance(backend, LocalBackend) else None
        return EvaluatedModel(
            backend.name,
            backend.context_length,
            backend.infilling_formats,
            backend.is_chat,
            backend.count_tokens,
            None if generator is None else generator.tokenizer,
            generator if isinstance(generator, Scorer) else None,
            counts_remotely=isinstance(backend, Endpoint),
        )
    samples = inputs.samples.get(benchmark.name)
    if samples is not None and (layouts := layouts_in(samples)) is not None:
        with_suffix = tuple(name for name in layouts if name != LEFT_TO_RIGHT)
        return EvaluatedModel(infilling_formats=with_suffix, left_to_right=LEFT_TO_RIGHT in layouts)
    return EvaluatedModel()


def source_of(benchmark: Benchmark, inputs: Inputs) -> str:
    """Where the problems of this run come from."""
    given = inputs.data.get(benchmark.name)
    if benchmark.data is not None:
        return data_origin(benchmark.name, benchmark.data, given)
    return benchmark.source if given is None else given.name
