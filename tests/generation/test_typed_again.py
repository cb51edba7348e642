"""What the suffix has already is not typed again."""

from __future__ import annotations

import pytest
from editor_cases import at_cursor, complete

from codecascade.generation.editing.stops import EditorStops
from codecascade.generation.editor_stops import EditorStopper

CLASSES = """\
class A:
    def first(self):
        x = self.x
        if x:
            return x
        ¦

    def second(self):
        if self.y:
            return x
        else:
            return None
        }
"""


@pytest.mark.parametrize(
    "middle",
    ["return x", "if y:\n            return x\n        else:\n            y = 1\n        return x", "}"],
)
def test_a_line_that_recurs_far_below_is_no_repetition(middle: str) -> None:
    assert complete(at_cursor(CLASSES, language="python", lines="any"), middle + "\n")[0] == middle + "\n"


@pytest.mark.parametrize("lines", ["block", "any"])
@pytest.mark.parametrize("again", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "change", [lambda line: line, lambda line: line.replace(" = ", "="), lambda line: line + "  "]
)
def test_the_first_lines_of_the_suffix_are_never_typed_again(again: int, lines: str, change: object) -> None:
    lines_after = ["first = 1", "second = 2", "", "third = call(first, second)", "return third", "x", "y", ""]
    stops = at_cursor("def f():\n    ¦\n    " + "\n    ".join(lines_after), lines=lines)
    typed = "zero = 0\n" + "\n".join(change(line) for line in stops.suffix.split("\n")[1 : again + 1])
    for rest in ("", "\n", "\n    something_else = 3\n") if again > 1 else ("", "\n"):
        completion, stopped_by = complete(stops, typed + rest)
        assert (completion, stopped_by) == ("zero = 0", "suffix")


@pytest.mark.parametrize("line", [")", "}", "end", "]", "});", '"""'])
def test_lines_that_only_close_are_not_typed_twice_and_not_lost(line: str) -> None:
    stops = EditorStops("begin\n    ", f"\n{line}\nmore = 1\n", lines="any")
    assert complete(stops, f"x = 1\n{line}")[0] == "x = 1"
    deeper = f"x = 1\n    {line}"
    assert complete(stops, deeper)[0] == deeper


def test_the_same_line_may_come_twice() -> None:
    """Rows of data and statements that are repeated in earnest."""
    stops = EditorStops("x = [\n    ", "\n    0,\n    0,\n]\n", "python")
    assert complete(stops, "0,\n    0,")[0] == "0,\n    0,"
    stops = EditorStops("def f():\n    ", "\n    step(1)\n    stop()\n", "python")
    assert complete(stops, "step(1)\n    go()")[0] == "step(1)\n    go()"


@pytest.mark.parametrize(
    ("text", "middle"),
    [
        ("foo(¦)\nbar()\n", "a, b"),
        ("foo(¦, c)\nbar()\n", "a, b"),
        ('print("hello ¦")\nbar()\n', "world"),
        ("retur¦\nbar()\n", "n x"),
        ("x = [1, ¦];\nbar();\n", "2, 3"),
        ("if (a) { b(¦); }\nbar();\n", "c(d)"),
        ("names = {'a': 1, ¦}\n", "'b': (2, 3)"),
        ("def f(¦):\n    return a\n", "a: list[int] = ()"),
    ],
)
@pytest.mark.parametrize("lines", ["block", "single"])
def test_the_rest_of_the_cursors_line_is_not_typed_again(text: str, middle: str, lines: str) -> None:
    stops = at_cursor(text, lines=lines)
    rest = stops.suffix.split("\n")[0]
    for typed in (middle, middle + rest, middle + stops.suffix):
        assert complete(stops, typed)[0] == middle


@pytest.mark.parametrize("late", [False, True])
def test_line_breaks_at_the_end_are_not_typed_twice(late: bool) -> None:
    now = [0.0]
    stops = EditorStops("def f(x):\n    ", "\n\n\ndef g():\n", time_limit=0.5)
    stopper = EditorStopper(stops, clock=lambda: now[0])
    given = stopper.push("return x")
    now[0] = float(late)
    given += stopper.push("\n\n\n") + stopper.finish()
    assert given == "return x"
    # A line of its own has its line break.
    assert complete(EditorStops("", "\n\n\ndef g():\n"), "import math\n")[0] == "import math\n"


def test_a_closing_tag_of_the_suffix_is_not_typed_again() -> None:
    stops = at_cursor("<ul>\n    <li>One</li>\n    ¦\n  </ul>\n</body>\n</html>\n", language="html")
    assert complete(stops, "</ul>\n</body>\n</html>\n")[0] == ""
    assert complete(stops, "<li>Two</li>\n  </ul>\n</body>\n")[0] == "<li>Two</li>"
