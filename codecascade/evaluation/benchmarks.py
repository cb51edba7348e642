"""The one table of benchmarks: a new one is a file that ends in ``BENCHMARKS``, and a line here."""

from __future__ import annotations

from codecascade.evaluation import (
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
