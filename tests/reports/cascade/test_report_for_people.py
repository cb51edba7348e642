"""What a reader does with a run's report: call its commands, and read what the models wrote."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from cascade_runs import lines, model, of_gaps
from evaluations import Page

from codecascade.ground.format import said_of_blank
from codecascade.reports.cascade.report import write_report
from codecascade.reports.cascade.run_report import RunReport
from codecascade.reports.evaluation.report import write_evaluation_report


def written(folder: Path, right: range = range(30), completion: str | None = None) -> tuple[str, str]:
    """``report.html`` as a reader sees it, and ``report.md``; ``completion`` is all that a stage answered."""
    base = model(folder, "base", {"infilling_heldout": lines({"left_to_right": range(15)})})
    rows = lines({"spm": right})
    if completion is not None:
        rows = [{**row, "completion": completion} for row in rows]
    stage = model(folder, "code", {"infilling_heldout": rows})
    for name in ("base", "code"):
        (folder / "evaluations" / name / "report.html").touch()
    report = RunReport("tiny", "small-base", (base, stage), code="your code", command="codecascade run tiny")
    write_report(report, folder)
    return Page((folder / "report.html").read_text()).text, (folder / "report.md").read_text()


def test_commands_can_be_called_where_the_run_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page, markdown = written(Path("my runs") / "it's")
    for text in (page, markdown):
        found = re.search(r"codecascade serve (?:'[^'\n]*'|\S)+?(?=`|\s)", text)
        assert found and shlex.split(found[0]) == ["codecascade", "serve", "my runs/it's/models/code"]
    compare = re.search(r"codecascade compare .*?(?= shows)", page)
    assert compare and shlex.split(compare[0])[2:] == [
        "my runs/it's/evaluations/base",
        "my runs/it's/evaluations/code",
    ]


@pytest.mark.parametrize("completion", ["", " " * 700, "\n", " \n\t\n"])
def test_answers_without_anything_to_see_are_named_alike(tmp_path: Path, completion: str) -> None:
    said = said_of_blank(completion)
    page, markdown = written(tmp_path, completion=completion)
    assert page.count(said) == 6 and markdown.count(f"\n- code (right): {said}\n") > 0
    assert markdown.count(said) == 6 and " " * 300 not in page


@pytest.mark.parametrize("completion", ["  \n    x = 77\n", f"{' ' * 700}x = 77"])
def test_an_answer_is_shown_from_where_there_is_something_to_see(tmp_path: Path, completion: str) -> None:
    page, markdown = written(tmp_path, completion=completion)
    assert page.count("x = 77") == markdown.count("x = 77`") == 6
    assert "(white space alone)" not in page + markdown


def test_examples_are_called_what_they_are(tmp_path: Path) -> None:
    """Beside the lines, of which the examples are, other gaps were asked."""
    models = []
    for name, right in (("base", ()), ("code", range(20))):
        rows = of_gaps("psm", right, 9.0)
        rows = [{**row, "kind": "line" if number < 3 else "rest"} for number, row in enumerate(rows)]
        models.append(model(tmp_path, name, {"infilling_heldout": rows}))
    write_report(RunReport("tiny", "small-base", tuple(models)), tmp_path)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "Of these 3 lines (3 gained, 0 lost, 0 right in both, 0 wrong in both) 3 are shown" in text
        assert "Over all 60 gaps" in text


def test_the_page_of_a_problem_names_white_space_too(tmp_path: Path) -> None:
    written(tmp_path, completion="   ")
    folder = tmp_path / "evaluations" / "code"
    write_evaluation_report(folder)
    page = (folder / "problems" / "infilling_heldout" / "001.html").read_text()
    assert "(white space alone)" in page and "(nothing)" not in page
