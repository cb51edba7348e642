"""The report and the datasheet of a self-instruct folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_teacher import ScriptedTeacher, adds, number_in, questions, run

from codecascade.ground.errors import UserError
from codecascade.instruct.self_instruct.triplets import DroppedQuestion, Question
from codecascade.reports.markdown import fence_for
from codecascade.reports.self_instruct.report import write_self_instruct_report


def pages(folder: Path) -> dict[str, str]:
    write_self_instruct_report(folder, command="codecascade self-instruct MODEL")
    return {name: (folder / name).read_text() for name in ("report.md", "report.html", "datasheet.md")}


def test_the_pages_say_what_came_of_it(tmp_path: Path) -> None:
    run(tmp_path, ScriptedTeacher(adds), questions(12), solutions=4)
    found = pages(tmp_path)
    report = found["report.md"]
    assert "7 dialogues of 12 questions" in report
    for line in (
        "| with tests | 10 | 83.3% |",
        "| kept | 7 | 58.3% |",
        "| no solution passed the tests | 3 |",
        "| the teacher wrote no usable tests | 2 |",
        "| held no program with the function | 10 | 25.0% |",
        "| numbers | 6 | 5 | 83% |",
        "| all tests must pass (the paper) | in use | keeps 7 questions |",
        "- tests and solutions: 24 prompts of",
        "- tests and solutions by scripted (revision 1)",
        "codecascade self-instruct MODEL",
    ):
        assert line in report, line
    assert "def add_" in report and "# shown to the model" in report
    assert "\n\n\n\n" not in report
    page = found["report.html"]
    assert page.count("<h2>") >= 8 and "58.3%" in page
    sheet = found["datasheet.md"]
    assert "7 dialogues of one question" in sheet and "No person has checked" in sheet


HOSTILE = "<script>alert(1)</script> | pipe ````\x1b[31m \u202e end"


def hostile(step: str, question: str, sample: int) -> str:
    n = number_in(question)
    if step == "tests":
        return f"assert f_{n}(1) == '<b>```'\nassert f_{n}(2) == '<i>'"
    return f"def f_{n}(x):\n    '''<script> ``` '''\n    return '<b>```' if x == 1 else '<i>'"


def test_what_a_model_wrote_changes_no_page(tmp_path: Path) -> None:
    asked = [Question("q1", f"1 {HOSTILE}", topic=HOSTILE, seed={"license": "MIT"})]
    run(tmp_path, ScriptedTeacher(hostile), asked, solutions=1)
    found = pages(tmp_path)
    assert "<script>" not in found["report.html"].replace("<script>", "", 0).split("<main>")[1]
    assert "&lt;script&gt;" in found["report.html"]
    for page in found.values():
        assert "\x1b" not in page and "\u202e" not in page
    assert "`````text" in found["report.md"], "a longer fence than any in the text"
    assert "- MIT: 1" in found["datasheet.md"]


def test_questions_that_left_are_shown_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import scripted_teacher

    dropped = tuple(DroppedQuestion(f"Sort {n} lists.", "contaminated", "mbpp") for n in range(9))
    original = scripted_teacher.QuestionsMade
    monkeypatch.setattr(
        scripted_teacher,
        "QuestionsMade",
        lambda made, counts: original(made, counts, dropped, ("not checked: x",)),
    )
    run(tmp_path, ScriptedTeacher(adds), questions(1), solutions=3)
    report = pages(tmp_path)["report.md"]
    assert "### a benchmark has them" in report
    assert report.count("lists. (mbpp)") == 4
    assert "- Not checked: x." in report


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"summary\.json"):
        write_self_instruct_report(tmp_path)
    (tmp_path / "summary.json").write_text('{"request": 1}')
    with pytest.raises(UserError, match="is not the summary"):
        write_self_instruct_report(tmp_path)


def test_a_fence_is_longer_than_any_inside() -> None:
    assert fence_for(["a", "b"]) == "```"
    assert fence_for(["a ```` b"]) == "`````"
