"""A completion ends with its block, and before a bracket that is not its own."""

from __future__ import annotations

import pytest
from editor_cases import at_cursor, complete

from codecascade.generation.editing.stops import EditorStops


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
