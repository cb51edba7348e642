"""The table of benchmarks. A new benchmark is a file that defines ``BENCHMARKS``, and a line here."""

from __future__ import annotations

from collections.abc import Iterable

from codecascade.evaluation.benchmark_settings import BenchmarkSettings
from codecascade.evaluation.benchmarks.code import apps, humaneval, humaneval_plus, mbpp, mbpp_plus, multipl_e
from codecascade.evaluation.benchmarks.heldout import heldout
from codecascade.evaluation.benchmarks.infilling import docstrings, infilling
from codecascade.evaluation.benchmarks.infilling import multilingual as multilingual_infilling
from codecascade.evaluation.benchmarks.language_modelling import by_language, docstring_bodies, validation
from codecascade.evaluation.benchmarks.long_context import key_retrieval, lcc, perplexity
from codecascade.evaluation.benchmarks.reasoning import gsm8k
from codecascade.evaluation.benchmarks.repository import completion as repository_completion
from codecascade.evaluation.benchmarks.repository import crosscodeeval, repobench
from codecascade.evaluation.benchmarks.safety import (
    bold,
    false_refusals,
    malicious,
    toxigen,
    truthfulqa,
    truthfulqa_mc,
)
from codecascade.evaluation.task import Benchmark
from codecascade.ground.errors import UserError
from codecascade.ground.nearest import nearest

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for family in (
        validation,
        by_language,
        docstring_bodies,
        humaneval,
        humaneval_plus,
        mbpp,
        mbpp_plus,
        apps,
        multipl_e,
        heldout,
        infilling,
        multilingual_infilling,
        docstrings,
        repository_completion,
        crosscodeeval,
        repobench,
        lcc,
        key_retrieval,
        perplexity,
        gsm8k,
        truthfulqa,
        truthfulqa_mc,
        toxigen,
        bold,
        false_refusals,
        malicious,
    )
    for benchmark in family.BENCHMARKS
}


def own_settings() -> dict[str, type[BenchmarkSettings]]:
    """The classes of the benchmarks' own settings, by the key of their table in ``[evaluate]``."""
    kinds = (benchmark.settings for benchmark in BENCHMARKS.values())
    return {kind.key: kind for kind in kinds if kind is not None}


def check_benchmark_names(names: Iterable[str], key: str) -> None:
    """Refuse a name that is no benchmark.

    Args:
        key: where the user wrote the names: an option, a key of a recipe.

    Raises:
        UserError: there is no such benchmark. The sentence suggests the nearest name.
    """
    for name in names:
        if name not in BENCHMARKS:
            hint = nearest(name, BENCHMARKS, "codecascade eval --list shows them")
            raise UserError(f"there is no benchmark {name!r}; {hint}", key=key)
