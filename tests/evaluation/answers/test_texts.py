from __future__ import annotations

import pytest

from codecascade.evaluation.answers.texts import cut_at_stops, first_nonblank_line, last_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 18.", "18"),
        ("She pays $1,234.50 in all.", "1234.5"),
        ("so 5 - 8 = -3", "-3"),
        ("from 10-15", "15"),
        ("It is 12.00 dollars", "12"),
        ("-$7", "-7"),
        ("no number", None),
        ("#### 70,000", "70000"),
        ("half, or 0.5", "0.5"),
    ],
)
def test_the_last_number(text: str, number: str | None) -> None:
    assert last_number(text) == number


def test_the_first_line_that_is_not_blank() -> None:
    assert (
        first_nonblank_line("\n   \n  Return it. \nMore.") == "Return it."
        and first_nonblank_line(" \n") == ""
    )


@pytest.mark.parametrize("text", ["", "a\n}\n", "a\n} b", "a\n\n}\nb\n}"])
def test_what_is_cut_stays_as_it_is(text: str) -> None:
    once = cut_at_stops(text, ("\n}", "b"))
    assert (
        cut_at_stops(once, ("\n}", "b")) == once
        and text.startswith(once)
        and "b" not in once
        and "\n}" not in once
    )
