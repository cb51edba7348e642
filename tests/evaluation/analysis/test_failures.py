"""Why samples failed, in the report's words, and what is kept of each problem."""

from __future__ import annotations

import pytest
from evaluations import sample

from codecascade.evaluation.analysis.failures import (
    count_kinds,
    ordered_kinds,
    outcome_kind,
    outcomes_by_problem,
)


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
    assert outcome_kind(row) == expected


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("program: program.cpp:14: int main(): Assertion `candidate((0)) == (1)' failed.", "wrong answer"),
        ("compile: program.cpp:9:15: error: expected primary-expression before ';' token", "syntax error"),
        ("terminate called after throwing an instance of 'std::out_of_range'", "out_of_range"),
        ("java.lang.AssertionError", "wrong answer"),
        ("java.lang.ArrayIndexOutOfBoundsException: Index 5 out of bounds", "ArrayIndexOutOfBoundsException"),
        ("Parse error: Unclosed '{' on line 7", "syntax error"),
        ("Fatal error: Uncaught Exception: Test failed!", "wrong answer"),
        ("Fatal error: Uncaught TypeError: f(): Argument #1 must be of type int", "TypeError"),
        ("AssertionError [ERR_ASSERTION]: Expected values to be strictly equal", "wrong answer"),
        ("TypeError [ERR_INVALID_ARG_TYPE]: The argument", "TypeError"),
        ("SyntaxError: Unexpected token ';'", "syntax error"),
        ("Debug.Assert", "wrong answer"),
        ("System.IndexOutOfRangeException: Index was outside the bounds", "IndexOutOfRangeException"),
        ("exit status 1", "wrong answer"),
        ("program.sh: line 11: `    if then fi ('", "syntax error"),
        ("program.sh: line 11: nosuchcommand: command not found", "other failure"),
        ("Execution of program.pl aborted due to compilation errors.", "syntax error"),
        ("Error in test_humaneval() : isTRUE(all.equal(candidate(0, 1), 1)) is not TRUE", "wrong answer"),
        ("Error: unexpected '}' in:", "syntax error"),
    ],
)
def test_kinds_in_other_languages(detail: str, expected: str) -> None:
    assert outcome_kind({"passed": False, "outcome": "failed", "detail": detail}) == expected


@pytest.mark.parametrize(
    ("complaint", "expected"),
    [
        ("program.cpp:1:13: error: expected ‘}’ at end of input", "syntax error"),
        ("program.cpp:1:14: error: stray ‘@’ in program", "syntax error"),
        ('program.cpp:1:24: error: missing terminating " character', "syntax error"),
        ("program.cpp:1:91: error: ‘x’ was not declared in this scope", "compile error"),
        (
            "program.cpp:1:31: error: invalid conversion from ‘const char*’ to ‘int’ [-fpermissive]",
            "compile error",
        ),
        ("collect2: error: ld returned 1 exit status", "compile error"),
        ("line 1: ';' expected", "syntax error"),
        ("line 3: class, interface, enum, or record expected", "syntax error"),
        ("line 1: reached end of file while parsing", "syntax error"),
        ("line 1: invalid method declaration; return type required", "syntax error"),
        ("line 1: missing return statement", "compile error"),
        ("line 6: cannot find symbol; symbol: variable expected; location: class Problem", "compile error"),
        ("line 1: incompatible types: java.lang.String cannot be converted to int", "compile error"),
        ("program.cs(3,9): error CS1002: ; expected", "syntax error"),
        ("program.cs(3,9): error CS1525: Unexpected symbol `}'", "syntax error"),
        ("program.cs(3,9): error CS0161: `P.F(int)': not all code paths return a value", "compile error"),
        ("program.cs(3,9): error CS1501: No overload for method `F' takes `2' arguments", "compile error"),
        ("line 1: TS1005: ';' expected.", "syntax error"),
        ("line 3: TS2322: Type 'string' is not assignable to type 'number'.", "compile error"),
        ("line 3: TS2554: 2 arguments expected", "compile error"),
        ("./program.go:5:2: syntax error: unexpected newline, expected comma or )", "syntax error"),
        ("vet: ./program_test.go:5:1: expected declaration, found x", "syntax error"),
        ('./program.go:3:8: "os" imported and not used', "compile error"),
        ("./program_test.go:4:1: missing return", "compile error"),
        ("error: expected one of `!` or `::`, found `=`", "syntax error"),
        ("error: this file contains an unclosed delimiter", "syntax error"),
        ("error[E0382]: borrow of moved value: `s`", "compile error"),
        ("error[E0061]: this function takes 1 argument but 2 arguments were expected", "compile error"),
        ("error: cannot find macro `foo` in this scope", "compile error"),
        ("error: linking with `cc` failed: exit status: 1", "compile error"),
        ("the compiler did not survive the program: it ended", "compile error"),
    ],
)
def test_a_compile_error_is_no_syntax_error(complaint: str, expected: str) -> None:
    assert outcome_kind({"passed": False, "outcome": "failed", "detail": f"compile: {complaint}"}) == expected


def test_problems_are_counted_and_equal_answers_shown_once() -> None:
    rows = [sample("a", n == 150, completion=f"x = {n // 50}\n", sample=n) for n in range(200)]
    rows += [sample("b", False, "NameError: x", format=layout) for layout in ("psm", "spm")]
    problems = outcomes_by_problem(rows)
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
    assert count_kinds(problems.values()) == {"wrong answer": 199, "passed": 1, "NameError": 2}


def test_a_new_kind_of_answer_is_kept_however_late() -> None:
    rows = [sample("a", False, completion=f"x = {n}\n") for n in range(50)]
    rows += [sample("a", False, "NameError: x"), sample("a", True)]
    answers = outcomes_by_problem(rows)["a", ""].answers
    assert len(answers) == 6
    assert {answer.kind for answer in answers} == {"wrong answer", "NameError", "passed"}


def test_order_of_kinds() -> None:
    kinds = [
        "not run",
        "ValueError",
        "compile error",
        "passed",
        "time-out",
        "KeyError",
        "syntax error",
        "wrong answer",
    ]
    assert ordered_kinds(kinds) == [
        "passed",
        "wrong answer",
        "syntax error",
        "compile error",
        "KeyError",
        "ValueError",
        "time-out",
        "not run",
    ]
