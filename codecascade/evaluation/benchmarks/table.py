"""The one table of benchmarks: a new one is a file that ends in ``BENCHMARKS``, and a line here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from codecascade.errors import UserError
from codecascade.evaluation.benchmarks import (
    apps,
    docstrings,
    gsm8k,
    humaneval,
    humaneval_plus,
    infilling,
    key_retrieval,
    lcc,
    mbpp,
    multilingual_infilling,
    multipl_e,
    perplexity,
    validation,
)
from codecascade.evaluation.task import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for family in (
        validation,
        humaneval,
        humaneval_plus,
        mbpp,
        apps,
        multipl_e,
        infilling,
        multilingual_infilling,
        docstrings,
        lcc,
        key_retrieval,
        perplexity,
        gsm8k,
    )
    for benchmark in family.BENCHMARKS
}


def check_names(names: Iterable[str], key: str) -> None:
    """See that the table has each of ``names``.

    Args:
        key: where a reader wrote them: an option, a key of a recipe.

    Raises:
        UserError: there is no such benchmark; it names the nearest.
    """
    for name in names:
        if name not in BENCHMARKS:
            near = difflib.get_close_matches(name, BENCHMARKS, n=1)
            hint = f"did you mean {near[0]}?" if near else "codecascade eval --list shows them"
            raise UserError(f"there is no benchmark {name!r}; {hint}", key=key)
