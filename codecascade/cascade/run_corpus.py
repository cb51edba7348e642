"""A run's corpus: a folder of shards that the recipe names, or one that is built in the run's folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from codecascade.cascade.benchmark_texts import benchmark_texts, in_words
from codecascade.cascade.run_folder import RunFolder
from codecascade.corpus.build import build_corpus
from codecascade.corpus.corpus import Corpus, is_corpus
from codecascade.corpus.engines.local import LocalEngine
from codecascade.corpus.fingerprints import request_fingerprint
from codecascade.corpus.steps.decontamination import BenchmarkTexts
from codecascade.evaluation.benchmarks.heldout.small import small_corpus_warning
from codecascade.evaluation.benchmarks.selection import named_data
from codecascade.ground.files.paths import expanded
from codecascade.recipe.settings import Recipe

logger = logging.getLogger(__name__)


def corpus_folder(recipe: Recipe, run: RunFolder) -> Path:
    """Where the corpus is, or will be once it is built."""
    named = expanded(recipe.corpus[0])
    return named if len(recipe.corpus) == 1 and is_corpus(named) else run.corpus


def needs_sources(recipe: Recipe, run: RunFolder) -> bool:
    """Whether the corpus is still to be built.

    One that this run has read stays, whatever becomes of its sources, and wherever they or the run have moved to:
    the run could not go on with another.
    """
    folder = corpus_folder(recipe, run)
    if folder != run.corpus:
        return False
    if not is_corpus(folder):
        return True
    request = request_fingerprint(recipe.corpus, recipe.corpus_build)
    return not run.inputs.exists() and Corpus.open(folder).manifest.request != request


def run_benchmark_texts(recipe: Recipe) -> BenchmarkTexts:
    """The texts of all benchmarks that are here, and of those that the run uses."""
    settings = recipe.measured.values()
    given: dict[str, Path] = {}
    for each in settings:
        given |= named_data(each)
    return benchmark_texts(in_use=[name for one in settings for name in one.benchmarks], given=given)


def build_run_corpus(recipe: Recipe, run: RunFolder, progress: Callable[[str, int, int], None]) -> None:
    """Build ``RUN/corpus`` of the recipe's sources, without the texts of the benchmarks that the run uses.

    Raises:
        UserError: a source is missing, or nothing in the sources is usable.
    """
    benchmarks = run_benchmark_texts(recipe)
    if said := in_words(benchmarks):
        logger.warning("corpus: %s", said)
    build_corpus(
        recipe.corpus,
        run.corpus,
        recipe.corpus_build,
        benchmarks=benchmarks,
        engine=LocalEngine(os.cpu_count() or 1),
        progress=progress,
    )
    if (small := small_corpus_warning(Corpus.open(run.corpus))) is not None:
        logger.warning("corpus: %s %s", run.corpus, small)
