"""The report says what it was given, escapes it, and marks only what moved beyond its intervals."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from cascade_runs import lines, losses, model
from evaluations import Page, write_evaluation
from rich.console import Console

from codecascade.evaluation.analysis.gains import ModelGains
from codecascade.evaluation.analysis.paper import TABLES
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import Metric, bootstrap_ratio, wilson
from codecascade.evaluation.running.result import AnsweredProblem, BenchmarkResult
from codecascade.reports.cascade.columns import all_columns
from codecascade.reports.cascade.report import (
    change,
    interval_verdict,
    summary,
    table_columns,
    write_report,
)
from codecascade.reports.cascade.run_report import ModelReport, RunReport
from codecascade.reports.plots import running_mean

HOSTILE = "<script>alert('x')</script> & `code`"


def results(filled: int, loss: float, suffix: str = "    return x\n") -> dict[str, BenchmarkResult]:
    examples = [
        AnsweredProblem(f"heldout/{n}", f"def f{n}():\n", HOSTILE, n < filled, suffix, "    x = 1\n")
        for n in range(8)
    ]
    exact = {"exact_match": wilson(filled, 100), "ended": wilson(90, 100)}
    keys = {"accuracy": wilson(12, 16), "512@0": wilson(8, 8), "512@0.4": wilson(4, 8)}
    return {
        "infilling_heldout": BenchmarkResult(
            "infilling_heldout", exact, examples, notes=["made of held-out functions"]
        ),
        "validation": BenchmarkResult("validation", {"loss": Metric(loss, loss - 0.1, loss + 0.1, 50)}),
        "key_retrieval": BenchmarkResult("key_retrieval", keys),
    }


@pytest.fixture
def report(tmp_path: Path) -> RunReport:
    log = tmp_path / "code.jsonl"
    log.write_text(
        "".join(json.dumps({"step": n, "tokens": 100 * n, "loss": 2 - n / 10}) + "\n" for n in range(1, 9))
    )
    return RunReport(
        "tiny",
        "a <base>",
        (
            ModelReport("base", None, "base", results=results(0, 2.0, suffix=""), evaluation_seconds=5),
            ModelReport(
                "code",
                "base",
                "code",
                {"learning rate": "1e-4"},
                ("a demonstration",),
                results(40, 1.5),
                log,
                800,
                8,
                61.0,
            ),
            ModelReport(
                "python", "code", "python", results=results(41, 1.95), tokens=800, steps=8, seconds=3700.0
            ),
        ),
        corpus={"documents": "12"},
        notes=("The base is an instruct model already.",),
        versions={"torch": "2"},
        command="codecascade run tiny.toml",
    )


def printed(report: RunReport, folder: Path) -> str:
    console = Console(width=200, record=True, file=StringIO())
    for part in summary(report, folder):
        console.print(part)
    return console.export_text()


def test_a_terminal_shows_the_figures(report: RunReport, tmp_path: Path) -> None:
    text = printed(report, tmp_path)
    (line,) = [line for line in text.splitlines() if "Held-out gaps filled, %" in line]
    assert line.split()[-3:] == ["0.0", "40.0", "41.0"] and "31.9–50.8" in text


@pytest.mark.parametrize(
    ("right", "said", "answer"),
    [
        (range(5, 50), "better", "Yes"),
        (range(3), "worse", "No"),
        (range(1, 16), "no difference found", "Not shown"),
    ],
)
def test_a_terminal_ends_with_the_headline_and_the_answer(
    tmp_path: Path, right: range, said: str, answer: str
) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": lines({"left_to_right": range(15)})})
    stage = model(tmp_path, "code", {"infilling_heldout": lines({"spm": right})})
    text = printed(RunReport("tiny", "small-base", (base, stage), code="your code"), tmp_path)
    assert "base → code, by paired tests:" in text
    (line,) = [line for line in text.splitlines() if "Held-out gaps filled: 25.0 % (left to right) →" in line]
    assert line.rstrip().endswith(said)
    assert f"Should I use it? {answer}" in text and text.index(said) < text.index("Should I use it?")


def test_what_was_measured_on_nothing_is_not_shown(report: RunReport) -> None:
    results = {"humaneval": BenchmarkResult("humaneval", {"pass@1": wilson(0, 0)})}
    model = replace(report.models[0], results=results)
    assert table_columns([model]) == []


def test_a_figure_over_no_problems_is_not_run_beside_one_that_was_measured(
    report: RunReport, tmp_path: Path
) -> None:
    measured, unmeasured = (
        replace(model, results={"humaneval": BenchmarkResult("humaneval", {"pass@1": metric})})
        for model, metric in zip(report.models[:2], (wilson(3, 4), wilson(0, 0)), strict=True)
    )
    write_report(replace(report, models=(measured, unmeasured)), tmp_path)
    (line,) = [
        line for line in (tmp_path / "report.md").read_text().splitlines() if "HumanEval pass@1" in line
    ]
    assert "75.0 (" in line and "not run" in line and "0.0" not in line.replace("75.0", "")


def test_page_is_whole_and_inert(report: RunReport, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    assert page.open == []
    assert "script" not in page.seen
    assert "a <base>" in page.text
    for fact in (
        "40.0",
        "The base is an instruct model already.",
        "a demonstration (code)",
        "12",
        "1 min 1 s",
    ):
        assert fact in page.text, fact
    # Tree, intervals, losses, keys.
    assert page.seen.count("svg") >= 4


def test_markdown_table(report: RunReport, tmp_path: Path) -> None:
    own = tmp_path / "evaluations" / "code" / "report.html"
    own.parent.mkdir(parents=True)
    own.touch()
    write_report(report, tmp_path)
    text = (tmp_path / "report.md").read_text()
    lines = text.splitlines()
    (head,) = [line for line in lines if line.startswith("| | base")]
    assert head == "| | base | [code](evaluations/code/report.html) | python |"
    (filled,) = [line for line in lines if line.startswith("| Held-out gaps filled, %")]
    assert "**40.0** (30.9–49.8)" in filled.split("|")[3]
    (loss,) = [line for line in lines if line.startswith("| Validation loss |")]
    assert "**1.500** (1.400–1.600)" in loss.split("|")[3]
    assert head.count("|") == filled.count("|") == loss.count("|")
    assert "infilling_heldout: made of held-out functions (base, code, python)" in text


def test_only_separate_intervals_count_as_change() -> None:
    loss = next(column for column in all_columns() if column.metric == "loss")
    exact = next(column for column in all_columns() if column.metric == "exact_match")
    low, overlapping, high = Metric(1, 0.9, 1.1, 9), Metric(1.15, 1.05, 1.25, 9), Metric(2, 1.9, 2.1, 9)
    assert interval_verdict(exact, low, high) == "better"
    assert interval_verdict(loss, low, high) == "worse"
    assert interval_verdict(exact, high, low) == "worse"
    assert interval_verdict(exact, low, overlapping) == ""


def test_a_paired_test_sees_what_intervals_hide(report: RunReport, tmp_path: Path) -> None:
    def losses(model: str, scale: float) -> None:
        rows = [{"task_id": f"d{n}", "nats": scale * (50 + 9 * n), "tokens": 100} for n in range(30)]
        loss = bootstrap_ratio([row["nats"] for row in rows], [100] * 30)
        write_evaluation(
            tmp_path / "evaluations" / model,
            {"validation": rows},
            model=model,
            metrics={"validation": {"loss": loss}},
            about={"validation": {"higher_is_better": False}},
        )

    base, code, python = report.models
    loss = next(column for column in all_columns() if column.metric == "loss")
    exact = next(column for column in all_columns() if column.metric == "exact_match")
    losses("base", 1.0)
    losses("python", 0.99)
    gains = ModelGains(tmp_path / "evaluations")
    assert change(base, python, loss, gains) == "better"
    # No folder of its own: by the intervals.
    assert change(base, code, loss, gains) == "better"
    # Not compared: by the intervals.
    assert change(base, python, exact, gains) == "better"
    assert change(base, python, loss, ModelGains(tmp_path / "nowhere")) == ""


@pytest.fixture
def cannot_infill(report: RunReport) -> RunReport:
    """A base without infilling tokens that writes 25 of 100 lines left to right."""
    base = report.models[0]
    metrics = {"exact_match_left_to_right": wilson(25, 100)}
    filled = {**base.results, "infilling_heldout": BenchmarkResult("infilling_heldout", metrics)}
    spm = BenchmarkResult(
        "infilling_heldout", {"exact_match": wilson(40, 100), "exact_match_psm": wilson(30, 100)}
    )
    stages = [
        replace(model, results={**model.results, "infilling_heldout": spm}) for model in report.models[1:]
    ]
    return replace(report, models=(replace(base, results=filled), *stages))


def test_a_base_that_can_not_be_asked_is_not_called_0(cannot_infill: RunReport, tmp_path: Path) -> None:
    write_report(cannot_infill, tmp_path)
    lines = (tmp_path / "report.md").read_text().splitlines()
    (filled,) = [line for line in lines if line.startswith("| Held-out gaps filled, % |")]
    assert [part.strip() for part in filled.split("|")[2:4]] == [
        "25.0 (17.5–34.3) left to right",
        # Not bold: without the answers there is no paired test.
        "40.0 (30.9–49.8)",
    ]
    (psm,) = [line for line in lines if line.startswith("| Held-out gaps filled, PSM, % |")]
    assert psm.split("|")[2].strip() == "–"
    assert not any(line.startswith("| Fillings that end") for line in lines)
    page = Page((tmp_path / "report.html").read_text())
    assert "0.0 %" not in page.text and "Held-out gaps filledbase" not in page.text
    (line,) = [
        line for line in printed(cannot_infill, tmp_path).splitlines() if "Held-out gaps filled, %" in line
    ]
    assert line.split()[-5:] == ["left", "to", "right", "40.0", "40.0"]


def test_filling_in_is_marked_against_what_the_base_writes_left_to_right(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": lines({"left_to_right": range(15)})})
    stage = model(
        tmp_path, "code", {"infilling_heldout": lines({"spm": range(40), "left_to_right": range(9)})}
    )
    write_report(RunReport("tiny", "b", (base, stage)), tmp_path)
    rows = (tmp_path / "report.md").read_text().splitlines()
    (filled,) = [row for row in rows if row.startswith("| Held-out gaps filled, % |")]
    assert "left to right" in filled.split("|")[2] and filled.split("|")[3].strip().startswith("**66.7**")
    (kept,) = [row for row in rows if row.startswith("| Held-out gaps filled, left to right, % |")]
    assert kept.split("|")[3].strip().endswith("↓"), "what the base could do better is told as well"


def test_the_papers_figures_have_columns() -> None:
    found = {(column.benchmark, column.metric) for column in all_columns()}
    assert len(found) == len(all_columns())
    for table in TABLES:
        for column in table.columns:
            # Infillings are shown by layout, keys in a picture, groups of people in a model's own report.
            if column.benchmark and not table.otherwise_shown:
                assert (column.benchmark, column.metrics[0]) in found
    for name, benchmark in BENCHMARKS.items():
        assert (name, benchmark.metric) in found
    for layout in ("", "_psm", "_spm"):
        for name in ("infilling_single_line", "infilling_multi_line", "infilling_random_span"):
            assert (name, f"pass@1{layout}") in found


def test_running_mean_starts_at_the_first_value() -> None:
    assert running_mean([3.0] * 20) == pytest.approx([3.0] * 20)
    assert running_mean([1.0, 5.0])[0] == 1.0


def test_a_run_without_results_still_has_a_report(tmp_path: Path) -> None:
    models = (
        ModelReport("base", None, "base"),
        ModelReport("code", "base", "code", steps=3, tokens=30, seconds=1),
    )
    write_report(RunReport("bare", "b", models), tmp_path)
    assert "code" in (tmp_path / "report.md").read_text()


def test_a_run_that_was_stopped_in_its_first_stage_says_so(report: RunReport, tmp_path: Path) -> None:
    write_report(replace(report, models=report.models[:1]), tmp_path)
    for page in ("report.html", "report.md"):
        assert "a <base> before any stage" in html.unescape((tmp_path / page).read_text())


def test_fewer_is_better_where_the_benchmark_says_so() -> None:
    """Of figures in the paper's tables too: a rise of toxicity must not be shown as an improvement."""
    directions = {(column.benchmark, column.metric): column.higher_is_better for column in all_columns()}
    assert directions["toxigen", "toxic"] is directions["false_refusals", "false_refusals"] is False
    assert directions["malicious", "complied"] is directions["validation", "loss"] is False
    assert directions["truthfulqa", "true_and_informative"] is directions["humaneval", "pass@1"] is True
    assert not any("@" in metric for benchmark, metric in directions if benchmark in ("toxigen", "bold"))


def test_a_model_is_marked_against_the_base_that_it_was_made_of(tmp_path: Path) -> None:
    """Where models of other bases are in the run, the run's first base says nothing about them."""
    right = {"base": 5, "other": 50, "a": 50, "b": 52}
    models = [
        replace(
            model(tmp_path, name, {"infilling_heldout": lines({"psm": range(count)})}),
            parent={"a": "base", "b": "other"}.get(name),
        )
        for name, count in right.items()
    ]
    report = RunReport("tiny", "x", tuple(models))
    write_report(report, tmp_path)
    (row,) = [
        line
        for line in (tmp_path / "report.md").read_text().splitlines()
        if line.startswith("| Held-out gaps filled, %")
    ]
    marked = ["**" in cell for cell in row.split("|")[2:-1]]
    assert marked == [False, False, True, False]


def test_a_headline_of_another_stage_names_it(tmp_path: Path) -> None:
    """The last stage is not measured by all benchmarks."""
    measured = {"infilling_heldout": lines({"psm": range(9)}), "validation": losses(1.0)}
    base, code = (model(tmp_path, name, measured) for name in ("base", "code"))
    python = model(tmp_path, "python", {"validation": losses(0.9)})
    text = printed(RunReport("tiny", "x", (base, code, python)), tmp_path)
    assert "base → code, by paired tests:" in text
    (line,) = [line for line in text.splitlines() if "Bits per byte: " in line]
    assert line.endswith("better (base → python)")
    (line,) = [line for line in text.splitlines() if "Held-out gaps filled: " in line]
    assert line.endswith("no difference found")
