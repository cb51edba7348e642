"""Measuring the models of a cascade, each by its own settings. Each result is written as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import torch

from codecascade.cascade.display import RunDisplay
from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.benchmarks.selection import named_data
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.data import locate_data
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.judges.answer_judge import check_judges
from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.evaluation.running.results_file import write_results
from codecascade.evaluation.running.runner import Inputs, evaluate
from codecascade.generation.backend import Backend
from codecascade.generation.engine.generator import LocalGenerator, load_generator
from codecascade.generation.loading import quantisation
from codecascade.generation.local_backend import LocalBackend
from codecascade.generation.requests import Completion, Generator, Request
from codecascade.generation.served.opening import check_served, served_backend
from codecascade.generation.served.settings import OWN, VLLM
from codecascade.generation.served.vllm import check_installed, tensor_parallel
from codecascade.ground.choices import Precision
from codecascade.instruct.dialogues.settings import MADE
from codecascade.model.sources import config_of
from codecascade.recipe.settings import Recipe, Stage
from codecascade.reports.evaluation.report import write_evaluation_report
from codecascade.sandbox.sandbox import Sandbox
from codecascade.tokens.reference import ReferenceTokens
from codecascade.tokens.tokenizer import Tokenizer

VLLM_LOG = "vllm.log"
"""What vLLM prints while it measures a model, in the folder of the model's evaluation."""


class LazyGenerator:
    """A generator whose model is loaded at the first request. A model that is measured already is never loaded."""

    def __init__(self, name: str, precision: Precision) -> None:
        self._name, self._precision = name, precision

    @cached_property
    def _generator(self) -> LocalGenerator:
        return load_generator(self._name, precision=self._precision)

    @property
    def tokenizer(self) -> Tokenizer:
        return self._generator.tokenizer

    @property
    def context_length(self) -> int:
        return self._generator.context_length

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        return self._generator.generate(requests)

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
        return self._generator.log_probabilities(sequences)

    def reference_scores(self, references: Sequence[ReferenceTokens]) -> Iterator[tuple[int, list[float]]]:
        return self._generator.reference_scores(references)


def sandbox_for(recipe: Recipe, stages: Sequence[Stage]) -> Sandbox | None:
    """The sandbox that the benchmarks and the making of dialogues need; None if they need none.

    Raises:
        UserError: programs can't be confined on this machine, or a benchmark's data or its judge can't be found.
    """
    measured = [recipe.measured[name] for name in (*recipe.roots, *(stage.name for stage in stages))]
    names = {name for settings in measured for name in settings.benchmarks}
    needs = {need for name in names for need in BENCHMARKS[name].needs}
    for settings in measured:
        given = named_data(settings)
        for name in settings.benchmarks:
            if (data := BENCHMARKS[name].data) is not None:
                locate_data(name, data, given.get(name))
        check_judges(settings.benchmarks, settings)
    makes = any(stage.makes(kind) for stage in stages for kind in MADE)
    return Sandbox(recipe.sandbox) if makes or "sandbox" in needs else None


def measuring_precision(recipe: Recipe, name: str) -> Precision:
    """The precision in which a model of the cascade is measured: a stage's own.

    A base is measured as the stages that start from it are, if they agree; so the difference between them comes
    from training alone.
    """
    if name not in recipe.roots:
        return recipe[name].precision
    of_children = {stage.precision for stage in recipe.stage if stage.parent == name}
    return of_children.pop() if len(of_children) == 1 else "auto"


def measure(
    backend: Backend,
    settings: EvaluateSettings,
    *,
    folder: Path,
    corpus: Corpus,
    sandbox: Sandbox | None,
    display: RunDisplay,
    command: str,
    after_each: Callable[[dict[str, BenchmarkResult]], None],
) -> None:
    """Measure a model and write its report.

    Args:
        backend: the model, by the name that the reports call it.
        folder: gets the files that ``codecascade eval -o`` writes, so that models can be compared by problem.
        after_each: gets the results so far after each benchmark.
    """
    title = backend.name

    def keep(results: dict[str, BenchmarkResult]) -> None:
        write_results(folder, title, results, about=backend.describe(), command=command)
        after_each(results)

    with display.task(f"measuring {title}") as progress:
        evaluate(
            Inputs(backend, corpus=corpus, sandbox=sandbox, data=named_data(settings)),
            settings,
            folder=folder,
            again=True,
            progress=lambda at: progress(at.benchmark, at.judged, at.total),
            after_each=keep,
        )
        if settings.benchmarks:
            write_evaluation_report(folder)


@contextmanager
def measured_backend(
    model: str,
    settings: EvaluateSettings,
    precision: Precision,
    *,
    title: str,
    folder: Path,
    display: RunDisplay,
    own: Generator,
) -> Iterator[Backend]:
    """A model behind the engine that the settings name, for as long as the context is open.

    Args:
        model: what the engine loads.
        precision: of its weights and products.
        title: what the reports call it.
        folder: of its evaluation; gets the log of a server that is started.
        own: the generator of the own engine, where the settings name that.
    """
    kind = quantisation(model)
    about = {} if kind is None else {"quantisation": kind}
    if settings.engine == OWN:
        yield LocalBackend(own, title, about)
        return
    with served_backend(
        settings.engine,
        settings.server,
        model,
        title=title,
        about=about,
        precision=precision,
        log=folder / VLLM_LOG,
        say=display.say,
    ) as backend:
        yield backend


def check_engines(recipe: Recipe, stages: Sequence[Stage], bases: Mapping[str, str]) -> None:
    """See, before the work starts, that the engines are there that the models are to be measured by.

    Args:
        bases: what each model is loaded from that comes in. One that is to be made from scratch has no folder yet.

    Raises:
        UserError: vLLM is not installed, or can't serve the base, or the settings do not suit the model.
    """
    for name, base in recipe.roots.items():
        if base.evaluate.engine != OWN and base.evaluate.benchmarks and not base.random_weights:
            check_served(base.evaluate.engine, base.evaluate.server, bases[name])
    for stage in stages:
        # All stages have their base's heads.
        config = config_of(recipe.roots[recipe.root(stage)].model)
        if stage.evaluate.engine == VLLM and stage.evaluate.benchmarks:
            check_installed(stage.evaluate.server)
            if config is not None:
                tensor_parallel(stage.evaluate.server, config, torch.cuda.device_count())
