"""Where completions at a cursor end. ``¦`` is the cursor; the file's true text is what a perfect model would type."""

from __future__ import annotations

import pytest
from editor_cases import FILES, at_cursor, complete
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codecascade.generation.editing.stops import EditorStops
from codecascade.generation.editor_stops import EditorStopper
from codecascade.ground.errors import UserError

# ---- the example

LOOP = """\
def total(prices):
    result = 0
    for price in prices:
        ¦
    return result


def average(prices):
    return total(prices) / len(prices)
"""


@pytest.mark.parametrize(
    "typed",
    [
        "result += price\n    return result\n\n\ndef average(prices):\n    return total(prices) / len(prices)\n",
        "result += price\n    return result\n\n\ndef main():\n    print(total([1]))\n\n\nmain()\n``",
        "result += price\n    return result",
        "result += price\n\n    return result\n",
        "result += price\n        return result\n        def average(prices):\n",
        "result += price\n```\nThis adds the price.",
        "```python\nresult += price\n```\n",
        "result += price\n\n\n\n\n\n\n",
    ],
)
@pytest.mark.parametrize("language", ["python", None])
def test_one_line_is_left_of_a_completion_that_runs_on(typed: str, language: str | None) -> None:
    completion, _ = complete(at_cursor(LOOP, language=language), typed)
    assert completion.rstrip("\n") == "result += price"


# ---- the true text

Middle = tuple[str, int, int]


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def middles(text: str) -> list[Middle]:
    """``(kind, start, end)`` of what a cursor may be asked for in a file: lines, parts of them, blocks, bodies."""
    found: list[Middle] = []
    lines = text.splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines) + 1)]
    bodies = [number for number, line in enumerate(lines) if line.strip()]
    for number in bodies:
        line, start = lines[number].rstrip("\n"), starts[number]
        found.append(("line", start + indent(line), start + len(line)))
        found.append(("line with its break", start, starts[number + 1]))
        found += [
            ("rest of the line", start + at, start + len(line))
            for at in range(indent(line) + 1, len(line), 5)
        ]
        below = [other for other in bodies if other > number]
        inner: list[int] = []
        for other in below:
            closes = lines[other].strip()[0] in ")]}" or lines[other].strip() == "end"
            if indent(lines[other]) > indent(line):
                inner.append(other)
            elif closes and indent(lines[other]) == indent(line):
                last = starts[other] + len(lines[other]) - 1
                found.append(("statement", start + indent(line), last))
                break
            else:
                break
        if inner and line.rstrip().endswith((":", "{", "do")):
            last = starts[inner[-1]] + len(lines[inner[-1]]) - 1
            found.append(("body", start + len(line), last))
            if line.endswith(":"):
                found.append(("statement", start + indent(line), last))
    return found


@pytest.mark.parametrize("language", FILES)
@pytest.mark.parametrize("known", [True, False])
def test_the_true_middle_is_left_whole_and_cut_where_the_suffix_begins(language: str, known: bool) -> None:
    text = FILES[language]
    wrong = []
    cases = middles(text)
    assert len({kind for kind, _, _ in cases}) >= 4 and len(cases) > 60
    for kind, start, end in cases:
        middle, suffix = text[start:end], text[end:]
        stops = EditorStops(text[:start], suffix, language if known else None)
        for typed in (middle, middle + suffix):
            completion, _ = complete(stops, typed)
            if completion != middle:
                wrong.append((kind, middle, completion, typed == middle))
    assert not wrong


def test_a_single_line_ends_with_its_line() -> None:
    for language, text in FILES.items():
        for kind, start, end in middles(text):
            if kind in ("line", "rest of the line"):
                stops = EditorStops(text[:start], text[end:], language, "single")
                assert complete(stops, text[start:])[0] == text[start:end]


def test_a_single_line_may_begin_with_the_break_that_the_prefix_lacks() -> None:
    stops = at_cursor("if x:¦\ny = 2\n", lines="single")
    assert complete(stops, "\n    x = 1\n    z = 3\n") == ("\n    x = 1", "line")
    assert complete(at_cursor("¦y = 2\n", lines="single"), "x = 1\nz = 2\n") == ("x = 1\n", "line")
    assert complete(at_cursor("x = ¦\r\ny = 2\r\n", lines="single"), "1\r\nz") == ("1", "line")


# ---- time


def test_the_time_limit_acts_once_a_line_break_was_typed() -> None:
    now = [0.0]
    stopper = EditorStopper(EditorStops("x = ", "", lines="any", time_limit=0.5), clock=lambda: now[0])
    now[0] = 7.0  # the wait for the first text does not count
    given = stopper.push("f(1, ")
    now[0] = 9.0
    given += stopper.push("2)")
    assert stopper.stopped_by is None
    given += stopper.push("\ny")
    assert (given, stopper.stopped_by) == ("f(1, 2)\ny", "time")
    assert stopper.push("z") == stopper.finish() == ""


# ---- whatever comes

BITS = (
    """x;return x;foo(;);};{;];";';#;//;/*;*/;\"\"\";```;`;def f():;else:;end;0,;é;\\;class A:;self.x = 1"""
)


words = st.sampled_from(["\n", "\n\n", "\r\n", "    ", "\t", " ", *BITS.split(";")])


texts = st.lists(words, max_size=25).map("".join)


@settings(deadline=None, max_examples=150)
@given(
    texts,
    texts,
    texts,
    st.sampled_from(["single", "block", "any"]),
    st.lists(st.integers(1, 9), min_size=1),
    st.booleans(),
)
@example("", "", "{\n```", "block", [1], False)
@example("", "\n", "x = 1\n\n  ```\ny", "any", [2], True)
@example("", '    \n"\n', "", "any", [1], False)
@example("", "    \n)\n", "    \n)\n", "single", [1], False)
def test_how_the_text_is_split_changes_nothing(
    prefix: str, suffix: str, typed: str, lines: str, sizes: list[int], guessed: bool
) -> None:
    stops = EditorStops(
        prefix, suffix, None if guessed else "javascript", lines, min_indent=1 if guessed else None
    )
    typed += suffix[:40]
    whole = complete(stops, typed)
    assert complete(stops, typed, sizes=tuple(sizes)) == whole == complete(stops, typed, sizes=(1,))
    assert whole[0] in typed
    if "```" not in typed:
        assert typed.startswith(whole[0])


def test_the_work_is_linear_in_the_text() -> None:
    """A line without end, and lines without number: what is kept back stays small where nothing is repeated."""
    stopper = EditorStopper(EditorStops("x = [", "]\n" + "y = 1\n" * 1000, "python"))
    given = sum(len(stopper.push("word, ")) for _ in range(4_000))
    assert given > 20_000
    given += sum(len(stopper.push(f"a{number},\n    ")) for number in range(4_000))
    assert given > 40_000


@pytest.mark.parametrize(
    ("key", "value"), [("min_indent", -1), ("time_limit", -0.5), ("time_limit", float("nan"))]
)
def test_impossible_stops_are_refused_by_name(key: str, value: float) -> None:
    with pytest.raises(UserError, match=key):
        EditorStops("", "", **{key: value})


@pytest.mark.parametrize(
    ("prefix", "suffix", "middle"),
    [
        ('def f():\n    "', '"\n    Text.\n    """\n', '"'),
        ("def f():\n    ", "'\n    Text.\n    '''\n    return 1\n", "''"),
        ('def f():\n    ""', '"Text."""\n    return 1\n', ""),
        # Half a word and the line below it are the suffix's.
        ('f(\n    "', 'rds",\n)\nprint(1)\n', "wo"),
        ('raise Error(\n    "use the tok', 'art."\n)\n', "enizer p"),
    ],
)
def test_quotes_and_words_that_the_cursor_cuts(prefix: str, suffix: str, middle: str) -> None:
    stops = EditorStops(prefix, suffix, "python")
    assert complete(stops, middle)[0] == middle
    assert complete(stops, middle + suffix)[0] == middle


def test_a_string_that_is_closed_already_is_not_closed_again() -> None:
    assert complete(EditorStops('x = "abc', '"\ny = 1\n', "python"), 'def"')[0] == "def"
    assert complete(EditorStops('"""Text', '"""\ny = 1\n', "python"), ' ends."""')[0] == " ends."
