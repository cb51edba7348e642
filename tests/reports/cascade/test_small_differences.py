"""What is called better is written with the digits that show it, never as 0 or as two figures that look the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cascade_runs import lines, losses, model
from rich.console import Console

from codecascade.evaluation.analysis.compare import compare
from codecascade.evaluation.analysis.gains import ModelGains
from codecascade.reports.cascade.headline import headlines
from codecascade.reports.cascade.report import summary, table_columns, write_report
from codecascade.reports.cascade.run_report import ModelReport, RunReport
from codecascade.reports.comparison import difference_row, write_comparison


@pytest.fixture
def models(tmp_path: Path) -> tuple[ModelReport, ModelReport]:
    """A stage whose losses are 0.05 % below those of its base, which is certain: each document's are."""
    base, code = (
        model(tmp_path, name, {"validation": losses(scale)})
        for name, scale in (("base", 1.0), ("code", 0.9995))
    )
    return base, code


ZERO = re.compile(r"(?<![\d.])[+−]?0\.0+(?!\d)")


def test_a_run_shows_the_difference_that_it_calls_better(
    tmp_path: Path, models: tuple[ModelReport, ModelReport]
) -> None:
    report = RunReport("run", "small", models, code="your code")
    write_report(report, tmp_path)
    text = (tmp_path / "report.md").read_text()
    told = [line for line in text.splitlines() if "better" in line or line.startswith(("**Yes", "**Prob"))]
    assert len(told) >= 2
    for line in told:
        assert not ZERO.search(line), line
        if pair := re.search(r"([\d.]+) → ([\d.]+)", line):
            assert pair[1] != pair[2]
    for name in ("Bits per byte", "Validation loss"):
        row = next(line for line in text.splitlines() if line.startswith(f"| {name}"))
        before, after = re.findall(r"\| \**([\d.]+)\** \(", row)
        assert before != after and "**" in row
    console = Console(width=200, record=True)
    for shown in summary(report, tmp_path):
        console.print(shown)
    assert "better" in console.export_text()


def test_a_surprise_is_not_one_of_0_percent(tmp_path: Path) -> None:
    def rows(nats: float) -> list[dict[str, object]]:
        return [each | {"answer_nats": nats + n / 100, "bytes": 10} for n, each in enumerate(gaps)]

    gaps = lines({"psm": range(20)})
    base, code = (
        model(tmp_path, name, {"infilling_heldout": rows(nats)})
        for name, nats in (("base", 5.0), ("code", 4.99))
    )
    gains = ModelGains(tmp_path / "evaluations")
    first = headlines(table_columns([base, code]), [base, code], gains)[0]
    assert first.verdict == "better" and "surprises it 0.2 % less" in first.meaning


def test_a_comparison_shows_the_difference_that_it_calls_better(
    tmp_path: Path, models: tuple[ModelReport, ModelReport]
) -> None:
    found = compare(*(tmp_path / "evaluations" / each.name for each in models))
    for difference in found.benchmarks[0].differences:
        row = difference_row(difference)
        assert row["verdict"] == "better"
        assert row["first"] != row["second"] and not ZERO.search(row["difference"])
        assert row["difference"].startswith("−") and row["first_interval"].count("–") == 1
    write_comparison(found, tmp_path)
    for page in ("comparison.md", "comparison.html"):
        assert row["difference"] in (tmp_path / page).read_text()
