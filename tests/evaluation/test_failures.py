"""Why samples failed, in the report's words, and what is kept of each problem."""

from __future__ import annotations

import pytest
from evaluations import sample

from codecascade.evaluation.failures import gather, kind, ordered, table


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"passed": True, "outcome": "passed"}, "passed"),
        ({"passed": False, "outcome": "failed", "detail": "AssertionError: 3 != 4"}, "wrong answer"),
        ({"passed": False, "outcome": "failed", "detail": "AssertionError"}, "wrong answer"),
        ({"passed": False, "outcome": "failed", "detail": "IndentationError: unindent"}, "syntax error"),
        ({"passed": False, "outcome": "failed", "detail": "decimal.InvalidOperation: x"}, "InvalidOperation"),
        ({"passed": False, "outcome": "failed", "detail": "NameError: name 'x'"}, "NameError"),
        ({"passed": False, "outcome": "failed", "detail": "left before its end"}, "left early"),
        ({"passed": False, "outcome": "failed", "detail": "exit status 3"}, "other failure"),
        ({"passed": False, "outcome": "failed", "detail": None}, "other failure"),
        ({"passed": False, "outcome": "timed_out"}, "time-out"),
        ({"passed": False, "outcome": "out_of_memory", "detail": "MemoryError"}, "out of memory"),
        ({"passed": False, "outcome": "killed"}, "killed"),
        ({"passed": None, "outcome": "not_started", "detail": "g++ is not installed"}, "not run"),
        ({"passed": False, "outcome": "not_started", "finish_reason": "context"}, "prompt too long"),
        ({"passed": None, "exact_match": False}, "wrong answer"),
        ({"passed": None, "exact_match": True}, "passed"),
        ({"bleu": 0.4}, ""),
    ],
)
def test_kinds(row: dict[str, object], expected: str) -> None:
    assert kind(row) == expected


def test_problems_are_counted_and_equal_answers_shown_once() -> None:
    rows = [sample("a", n == 150, completion=f"x = {n // 50}\n", sample=n) for n in range(200)]
    rows += [sample("b", False, "NameError: x", format=layout) for layout in ("psm", "spm")]
    problems = gather(rows)
    assert list(problems) == [("a", ""), ("b", "psm"), ("b", "spm")]
    first = problems["a", ""]
    assert (first.samples, first.passed, first.kind) == (200, 1, "passed")
    assert [(answer.kind, answer.count) for answer in first.answers] == [
        ("wrong answer", 50),
        ("wrong answer", 50),
        ("wrong answer", 50),
        ("passed", 1),
        ("wrong answer", 49),
    ]
    assert table(problems.values()) == {"wrong answer": 199, "passed": 1, "NameError": 2}


def test_a_new_kind_of_answer_is_kept_however_late() -> None:
    rows = [sample("a", False, completion=f"x = {n}\n") for n in range(50)]
    rows += [sample("a", False, "NameError: x"), sample("a", True)]
    answers = gather(rows)["a", ""].answers
    assert len(answers) == 6
    assert {answer.kind for answer in answers} == {"wrong answer", "NameError", "passed"}


def test_order_of_kinds() -> None:
    kinds = ["not run", "ValueError", "passed", "time-out", "KeyError", "syntax error", "wrong answer"]
    assert ordered(kinds) == [
        "passed",
        "wrong answer",
        "syntax error",
        "KeyError",
        "ValueError",
        "time-out",
        "not run",
    ]
