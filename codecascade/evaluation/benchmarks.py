"""The one table of benchmarks: a new one is a file that ends in ``BENCHMARKS``, and a line here."""

from __future__ import annotations

from codecascade.evaluation import humaneval, infilling, key_retrieval, mbpp, validation
from codecascade.evaluation.task import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for family in (validation, humaneval, mbpp, infilling, key_retrieval)
    for benchmark in family.BENCHMARKS
}
