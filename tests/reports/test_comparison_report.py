"""The pages of a comparison, of folders that anybody may have made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from evaluations import sample, write_evaluation

from codecascade.evaluation.analysis.compare import Comparison, compare
from codecascade.evaluation.analysis.differences import MetricDifference
from codecascade.evaluation.metrics import Metric
from codecascade.reports.comparison import difference_row, write_comparison


def of_tests(folder: Path, tests: int) -> Comparison:
    """A comparison of one benchmark with so many figures."""
    rows = [sample(f"HumanEval/{n}", n < 4) for n in range(10)]
    for name in ("a", "b"):
        write_evaluation(folder / name, {"humaneval": rows}, model=name)
    found = compare(folder / "a", folder / "b")
    benchmark = found.benchmarks[0]
    return replace(found, benchmarks=(replace(benchmark, differences=benchmark.differences * tests),))


@pytest.mark.parametrize(
    ("tests", "expected"), [(1, "0.05"), (19, "1"), (40, "2"), (195, "10"), (200, "10"), (40_000, "2,000")]
)
def test_what_chance_would_find_is_a_plain_number(tests: int, expected: str, tmp_path: Path) -> None:
    write_comparison(of_tests(tmp_path, tests), tmp_path)
    for page in ("comparison.md", "comparison.html"):
        assert f"of which about {expected} would fall below 0.05" in (tmp_path / page).read_text()


def test_the_difference_of_a_single_text_has_no_interval() -> None:
    one = MetricDifference("loss", *[Metric(2.0, 2.0, 2.0, 1)] * 2, Metric(-0.1, -0.1, -0.1, 1), 1.0, "test")
    row = difference_row(one)
    assert (row["first_interval"], row["second_interval"], row["interval"]) == ("–", "–", "no interval")
