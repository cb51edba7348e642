"""The report of a temperature sweep."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluations import Page, humaneval_samples, write_evaluation

from codecascade.evaluation.analysis.sweep import folder_of, read_sweep
from codecascade.ground.errors import UserError
from codecascade.reports.evaluation.report import write_evaluation_report
from codecascade.reports.sweep import write_sweep_report


def test_sweep_has_a_report_of_its_own(tmp_path: Path) -> None:
    for temperature, passed in ((0.1, 20), (0.8, 10)):
        folder = write_evaluation(
            tmp_path / f"temperature_{temperature}", {"humaneval": humaneval_samples(passed)}
        )
        write_evaluation_report(folder, pages=False)
    write_sweep_report(tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    assert page.open == []
    assert page.seen.count("svg") == 1
    assert "temperature_0.1/report.html" in page.links
    text = (tmp_path / "report.md").read_text()
    assert "| 0.1 | **33.3** (22.7–45.9) |" in text
    assert "| 0.8 | 16.7 (9.3–28.0) |" in text
    same = write_evaluation(tmp_path / "temperature_0.8", {"humaneval": humaneval_samples(20)})
    write_evaluation_report(same, pages=False)
    write_sweep_report(tmp_path)
    assert "**" not in (tmp_path / "report.md").read_text(), "no temperature is the best"


def test_a_sweep_reads_the_folders_that_it_names_and_no_others(tmp_path: Path) -> None:
    for temperature in (0.00001, 0.8, 1.0):
        write_evaluation(folder_of(tmp_path, temperature), {"humaneval": humaneval_samples()})
    for name in ("temperature_1.2.3", "temperature_.", "temperature_hot"):
        write_evaluation(tmp_path / name, {"humaneval": humaneval_samples()})
    assert list(read_sweep(tmp_path).figures["humaneval"]["pass@1"]) == [0.00001, 0.8, 1.0]


@pytest.mark.parametrize("other", [{"limit": 9}, {"seed": 5}, {"samples_per_problem": 2}])
def test_a_sweep_is_of_one_question(tmp_path: Path, other: dict[str, int]) -> None:
    """Five easy problems at one temperature and twenty hard ones at another say nothing of temperatures."""
    same = {"samples_per_problem": 1, "seed": 0, "limit": 3}
    for temperature, settings in ((0.2, same), (0.4, same), (0.8, same | other)):
        about = {"humaneval": {"settings": {"temperature": temperature} | settings}}
        write_evaluation(folder_of(tmp_path, temperature), {"humaneval": humaneval_samples()}, about=about)
    ((key, value),) = other.items()
    with pytest.raises(
        UserError, match=rf"0\.2 and 0\.8 by other settings \({key} {same[key]} and {value}\)"
    ):
        read_sweep(tmp_path)
