"""What ``eval`` says while it runs, and its list of benchmarks at two widths."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from codecascade.cli.measure.evaluation_display import EvaluationDisplay, benchmarks_table, results_table
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import wilson
from codecascade.evaluation.running.driver import EvaluationProgress
from codecascade.evaluation.running.result import BenchmarkResult


@pytest.mark.parametrize(
    ("right", "too_long", "answered", "line"),
    [
        (0, 0, 5, "humaneval: 5 of 10"),
        (2, 0, 5, "humaneval: 5 of 10, 40.0% right"),
        (0, 3, 5, "humaneval: 5 of 10, 3 too long"),
        (2, 3, 7, "humaneval: 5 of 10 (+2 to be run), 40.0% right, 3 too long"),
    ],
)
def test_where_there_is_no_terminal_progress_is_lines(
    right: int, too_long: int, answered: int, line: str
) -> None:
    out = io.StringIO()
    with EvaluationDisplay(Console(file=out), ["humaneval"], "model") as display:
        display.progress(EvaluationProgress("humaneval", answered, 5, 10, right, too_long))
        display.progress(EvaluationProgress("humaneval", answered, 5, 10, right, too_long))
    assert out.getvalue().splitlines() == [line], "and each only once"


def test_what_a_judge_says_is_not_called_right() -> None:
    out = io.StringIO()
    with EvaluationDisplay(Console(file=out), ["toxigen"], "model") as display:
        display.progress(EvaluationProgress("toxigen", 5, 4, 10, 4))
    assert out.getvalue().splitlines() == ["toxigen: 4 of 10 (+1 to be judged)"]


def test_while_nothing_is_judged_a_line_comes_every_15_seconds() -> None:
    out, now = io.StringIO(), [0.0]
    with EvaluationDisplay(
        Console(file=out), ["humaneval", "mbpp"], "model", clock=lambda: now[0]
    ) as display:
        for second in range(1, 47):
            now[0] = second
            if second == 5:
                display.progress(EvaluationProgress("humaneval", 0, 0, 164))
            if second == 25:
                display.progress(EvaluationProgress("humaneval", 9, 5, 164, 2))
            display.lines.say_if_due()
        display.progress(EvaluationProgress("mbpp", 450, 450, 500))
        now[0] = 61
        display.lines.say_if_due()
    said = out.getvalue().splitlines()
    assert said[0] == "humaneval: 0 of 164 in 10 s"
    assert said[1].startswith("humaneval: 5 of 164 in 25 s, 12.0 a minute, 4 to be run")
    assert said[1].endswith("40.0% right") and said[2].startswith("humaneval: 5 of 164 in 40 s")
    assert said[3:] == ["mbpp: 450 of 500", "mbpp: 450 of 500 in 15 s"]


def test_the_list_of_benchmarks_fits_a_hundred_columns() -> None:
    def lines(width: int) -> list[str]:
        out = io.StringIO()
        Console(file=out, width=width).print(benchmarks_table({}, corpus=False, width=width))
        return out.getvalue().splitlines()

    narrow, wide = lines(100), lines(150)
    assert max(map(len, narrow)) <= 100 and len(narrow) <= len(BENCHMARKS) + 2
    for name, benchmark in BENCHMARKS.items():
        [line] = [line for line in narrow if line.split()[:1] == [name]]
        assert benchmark.licence in line
        assert any(name in line and benchmark.title[:25] in line for line in wide)


def test_of_a_model_that_can_not_infill_no_figure_is_0() -> None:
    """What it does left to right is told, and that it could not be asked for the rest."""
    metrics = {"exact_match_left_to_right": wilson(1, 4), "pass@1_left_to_right": wilson(2, 4)}
    results = {
        "infilling_single_line": BenchmarkResult("infilling_single_line", metrics),
        "humaneval": BenchmarkResult("humaneval", {"pass@1": wilson(1, 4)}),
    }
    out = io.StringIO()
    console = Console(file=out, width=120)
    console.print(results_table("model", results))
    with EvaluationDisplay(console, list(results), "model") as display:
        display.done(results)
    text = out.getvalue()
    rows = [[part.strip() for part in line.strip("│").split("│")] for line in text.splitlines()]
    assert ["infilling_single_line", "exact_match", "—", "can't be asked to infill", ""] in rows
    assert ["", "exact_match_left_to_right", "25.0%", "4.6% to 69.9%", "4"] in rows
    assert ["humaneval", "pass@1", "25.0%", "4.6% to 69.9%", "4"] in rows
    assert "infilling_single_line: exact_match left to right 25.0% (4.6% to 69.9%), 0 s" in text


def test_what_was_not_run_is_no_zero() -> None:
    figures = {"retrieved": wilson(1, 4), "2000@0": wilson(0, 0)}
    out = io.StringIO()
    results = {"key_retrieval": BenchmarkResult("key_retrieval", figures)}
    Console(file=out, width=120).print(results_table("model", results))
    rows = [[part.strip() for part in line.strip("│").split("│")] for line in out.getvalue().splitlines()]
    assert ["", "2000@0", "not run", "", "0"] in rows
