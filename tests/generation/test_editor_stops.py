"""Where completions at a cursor end. ``¦`` is the cursor; the file's true text is what a perfect model would type."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecascade.generation.editor_stops import EditorStopper, EditorStops
from codecascade.ground.errors import UserError

PYTHON = '''\
import math


def total(prices):
    """Sum what is there."""
    result = 0
    for price in prices:
        result += price
    return result


class Basket:
    def __init__(self, owner):
        self.owner = owner
        self.prices = []

    def add(self, price):
        if price < 0:
            raise ValueError("no price")
        else:
            self.prices.append(price)
        return self

    @property
    def size(self):
        return len(self.prices)


def main():
    basket = Basket("me").add(1).add(
        2,
    )
    print(total(basket.prices), math.pi)


if __name__ == "__main__":
    main()
'''
GO = """\
package main

import "fmt"

// Total adds.
func Total(prices []int) int {
\tresult := 0
\tfor _, price := range prices {
\t\tresult += price
\t}
\treturn result
}

func main() {
\tbasket := []int{
\t\t1,
\t\t2,
\t}
\tif len(basket) == 0 {
\t\treturn
\t} else {
\t\tfmt.Println("none)")
\t}
\tfmt.Println(Total(basket))
}
"""
JAVASCRIPT = """\
// (a list
export class Basket {
  constructor(owner) {
    this.owner = owner;
    this.prices = [];
  }

  add(price) {
    this.prices.push(price);
    return this;
  }

  each(callback) {
    this.prices.forEach((price) => {
      callback(price, `${price} :(`);
    });
  }
}

const basket = new Basket("me");
basket.add(1);
basket.each((price) => console.log(price));
"""
JAVA = """\
package shop;

public class Basket {
    private final List<Integer> prices = new ArrayList<>();

    public Basket add(int price) {
        if (price < 0) {
            throw new IllegalArgumentException("no price :(");
        }
        prices.add(price);
        return this;
    }

    /** How many. */
    public int size() {
        return prices.size();
    }
}
"""
RUBY = """\
class Basket
  attr_reader :prices

  def initialize(owner)
    @owner = owner
    @prices = []
  end

  def add(price)
    raise ArgumentError if price < 0

    @prices << price
    self
  end

  def each
    @prices.each do |price|
      yield price
    end
  end
end
"""
C = """\
#include <stdio.h>

static int total(const int *prices, int n)
{
    int result = 0;
    for (int i = 0; i < n; i++) {
#ifdef LOUD
        printf("%d\\n", prices[i]);
#endif
        result += prices[i];
    }
    return result;
}

int main(void)
{
    int prices[] = {1, 2};
    printf("(%d\\n", total(prices, 2));
    return 0;
}
"""
FILES = {"python": PYTHON, "go": GO, "javascript": JAVASCRIPT, "java": JAVA, "ruby": RUBY, "c": C}


def complete(stops: EditorStops, text: str, *, sizes: tuple[int, ...] = ()) -> tuple[str, str | None]:
    """The completion that is left of ``text``, pushed in parts of ``sizes`` (the last one again and again)."""
    stopper = EditorStopper(stops)
    given, at = [], 0
    while at < len(text) and stopper.stopped_by is None:
        size = sizes[min(len(given), len(sizes) - 1)] if sizes else len(text)
        given.append(stopper.push(text[at : at + size]))
        at += size
    given.append(stopper.finish())
    assert stopper.push("more") + stopper.finish() == "" or stopper.stopped_by is None
    return "".join(given), stopper.stopped_by


def at_cursor(text: str, **how: object) -> EditorStops:
    prefix, suffix = text.split("¦")
    return EditorStops(prefix, suffix, **how)


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


# ---- the suffix typed again

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


# ---- brackets


def test_a_bracket_that_nothing_opened_ends_the_completion() -> None:
    stops = at_cursor("function f() {\n  g(¦\n}\n", language="javascript")
    assert complete(stops, "(a), {b: [1]}) ]") == ("(a), {b: [1]}) ", "brackets")
    assert complete(stops, '":)", /* ) */ 1);\n}') == ('":)", /* ) */ 1);', "brackets")


@pytest.mark.parametrize(
    ("text", "typed", "middle"),
    [
        ('def f(x):\n    """¦"""\n    return g(x)\n', 'Double it."""\n    return 2 * x\n', "Double it."),
        (
            'def f(x):\n    """¦"""\n    return g(x)\n',
            '\n    Double it.\n    """\n    return 2 * x\n',
            "\n    Double it.\n    ",
        ),
        (
            'def f(x):\n    """Double it.\n\n    ¦\n    """\n    return g(x)\n',
            'Args:\n        x: a number.\n    """\n    return 2 * x\n',
            "Args:\n        x: a number.",
        ),
        ("/**\n * ¦\n */\nfunction f(x) {}\n", "Doubles it.\n */\nfunction g(x) {\n", "Doubles it."),
        ('def f(x):\n    """Doub¦ it."""\n    return g(x)\n', 'le it."""\n    return 2 * x\n', "le"),
        ("const s = `a ${¦} c`;\n", "x ? `b` : ``", "x ? `b` : ``"),
        ('x = """a¦"""\ny = 1\n', 'b""" + """c', 'b""" + """c'),
    ],
)
def test_a_text_that_the_suffix_ends_is_not_ended_before(text: str, typed: str, middle: str) -> None:
    stops = at_cursor(text, language="javascript" if "function" in text or "`" in text else "python")
    assert complete(stops, typed)[0] == complete(stops, typed, sizes=(1,))[0] == middle


def test_a_prefix_that_begins_in_a_text_does_no_harm() -> None:
    """An editor sends the lines around the cursor: here the quotes before the cursor end a docstring."""
    stops = at_cursor(
        '    what it gives.\n    """\n    ¦\n\n\ndef g():\n    """Other."""\n', language="python"
    )
    typed = 'def inner():\n        """Help."""\n        return 1'
    assert complete(stops, typed)[0] == typed


def test_brackets_that_the_suffix_leaves_open_may_be_closed() -> None:
    typed = "\n  return 1;\n}"
    assert (
        complete(at_cursor("function f() {¦\n\nfunction g() {\n}\n", language="javascript"), typed)[0]
        == typed
    )
    assert (
        complete(at_cursor("function f() {¦\n}\n\nfunction g() {\n}\n", language="javascript"), typed)[0]
        == typed[:-2]
    )


def test_the_top_of_the_file_may_be_missing() -> None:
    """An editor sends the lines around the cursor: what the suffix closes may be opened above them."""
    stops = at_cursor("    if (a) {\n      ¦\n    b();\n  }\n}\n", language="java")
    assert complete(stops, "c();\n    }\n    b();\n")[0] == "c();\n    }"


# ---- blocks


def test_a_line_indented_less_ends_the_completion() -> None:
    stops = at_cursor("def f():\n    if x:\n        ¦\n")
    assert complete(stops, "a()\n        b()\n    c()\n") == ("a()\n        b()", "indentation")
    text = 'a("""\nno code\n""")\n        b(\n  1)'
    assert complete(stops, text)[0] == text


def test_min_indent_counts_letters_as_llama_cpp_does() -> None:
    stops = EditorStops("func f() {\n\t\t", "\n", "go", "any", min_indent=2)
    assert complete(stops, "a()\n\t\tb()\n\tc()\n") == ("a()\n\t\tb()", "indentation")


def test_a_block_ends_where_a_definition_of_its_own_begins() -> None:
    typed = "def a(self):\n        pass\n\n    # another\n    def b(self):\n        pass\n"
    assert complete(at_cursor("class A:\n    ¦\n"), typed) == ("def a(self):\n        pass", "blank")
    typed = "x = 1\n\nimport y\n\n\ndef f():\n    pass\n"
    assert complete(at_cursor("¦", language="python"), typed) == ("x = 1\n\nimport y", "blank")
    typed = "  a() {\n    return 1;\n  }\n\n  b() {\n  }\n"
    assert (
        complete(at_cursor("class A {\n¦\n}\n", language="javascript"), typed)[0]
        == typed[: typed.index("\n\n")]
    )


def test_branches_belong_to_the_block_that_the_cursors_line_begins() -> None:
    typed = "\n        a()\n    except E:\n        b()\n    finally:\n        c()\n    d()\n"
    completion, stopped_by = complete(at_cursor("def f():\n    try:¦\n"), typed)
    assert completion == typed[: typed.index("\n    d")] and stopped_by == "block"


def test_prose_has_no_blocks() -> None:
    text = "    Some words :)\n\n\n\n\n\nand more)\n"
    assert complete(at_cursor("# Title\n\n    - ¦\n", language="markdown"), text)[0] == text.rstrip("\n")


def test_fences_in_a_file_that_has_some_are_text() -> None:
    typed = "```python\nx = 1\n```\n\nmore"
    assert complete(at_cursor("Text\n```\na\n```\n\n¦\n", language="markdown"), typed)[0] == typed


# ---- time


def test_the_time_limit_acts_once_a_line_break_was_typed() -> None:
    now = [0.0]
    stopper = EditorStopper(EditorStops("x = ", "", time_limit=0.5), clock=lambda: now[0])
    now[0] = 7.0  # the wait for the first text does not count
    given = stopper.push("f(1, ")
    now[0] = 9.0
    given += stopper.push("2)")
    assert stopper.stopped_by is None
    given += stopper.push("\ny")
    assert (given, stopper.stopped_by) == ("f(1, 2)\ny", "time")
    assert stopper.push("z") == stopper.finish() == ""


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
