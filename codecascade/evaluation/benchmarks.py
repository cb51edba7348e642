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
        validation.BENCHMARKS,
        humaneval.BENCHMARKS,
        humaneval_plus.BENCHMARKS,
        mbpp.BENCHMARKS,
        (apps.BENCHMARK,),
        map(multipl_e.benchmark, multipl_e.LANGUAGES),
        infilling.BENCHMARKS,
        (multilingual_infilling.BENCHMARK, docstrings.BENCHMARK, lcc.BENCHMARK),
        key_retrieval.BENCHMARKS,
        (perplexity.BENCHMARK, gsm8k.BENCHMARK),
    )
    for benchmark in family
}
