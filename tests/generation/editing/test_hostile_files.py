"""Files of any form around the cursor: the work before the first token grows with their length."""

from __future__ import annotations

import pytest
from work import grows_linearly

from codecascade.corpus.code.syntax import syntax_of
from codecascade.generation.editing.blocks import defines
from codecascade.generation.editing.brackets import BracketBudget
from codecascade.generation.editing.cutter import Cutter
from codecascade.generation.editing.stops import EditorStops

UNITS = (
    "(",
    "[(",
    "{\n",
    "    {\n",
    "\n",
    " ",
    " (",
    "a(b, ",
    "(1, 'abc'), ",
    "]",
    ")]",
    "]\n",
    "    )\n",
    "//",
    "x = 1\n",
)


@pytest.mark.parametrize("before", UNITS)
def test_a_cutter_is_made_in_linear_time(before: str) -> None:
    def make(text: str) -> None:
        for after in ("]" * len(text), "\n" + "    )" * (len(text) // 5), text, f"\n{text}"):
            Cutter(EditorStops(text, after))

    assert grows_linearly(make, lambda size: before * (size // len(before)), size=4_000)


@pytest.mark.parametrize("unit", [*UNITS, "f(x) ", "a;"])
def test_lines_are_looked_at_in_linear_time(unit: str) -> None:
    def look(text: str) -> None:
        defines(text)
        syntax_of(None, text)

    assert grows_linearly(look, lambda size: unit * (size // len(unit)), size=10_000)


def test_a_definition_is_known_whatever_its_language() -> None:
    assert defines("    public static int f(int x, int y) {") and not defines(
        f"int f(int x{', int y' * 500}) {{"
    )


def test_the_outermost_of_very_many_brackets_are_forgotten() -> None:
    budget = BracketBudget("(" * 150, ")" * 30, syntax_of("python", ""))
    for _ in range(70):
        budget.push(")")
        assert not budget.is_overdrawn
    budget.push(")")
    assert budget.is_overdrawn
