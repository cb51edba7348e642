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


# ---- within a line, within a paragraph, below a header


@pytest.mark.parametrize(
    ("text", "language", "typed", "middle"),
    [
        # the cursor's line goes on behind the cursor: more lines would tear it apart
        ("<a>¦ or not</a>\n<p>b</p>\n", "html", "buy<br>\n</body>\n</html>\n", "buy<br>"),
        ("total = ¦ + shipping\nprint(total)\n", "python", "price\nshow(price)\n", "price"),
        ("const a = b¦ || fallback;\nf(a);\n", "javascript", ".c;\nf(b);\n", ".c;"),
        # unless a bracket is open, or what follows are closing brackets, as editors write them
        ("x = f(¦, key)\n", "python", "[\n    1,\n]", "[\n    1,\n]"),
        ("app.get('/', (req, res) => {¦});\n", "javascript", "\n  a();\n  b();\n", "\n  a();\n  b();\n"),
        # and the rest of the line, typed again, is left out as always
        ("total = ¦ + shipping\nprint(total)\n", "python", "price + shipping\nprint(x)\n", "price"),
        # though only the next line may tell
        ("    import ¦nfig,\n    Model,\n", "python", "(Coonfig,\n    Model,\n", "(Coo"),
        ("x = f(¦t)\ny = 2\n", "python", "first, last)\ny = 2\n", "first, las"),
    ],
)
def test_a_completion_within_a_line_ends_with_it(text: str, language: str, typed: str, middle: str) -> None:
    stops = at_cursor(text, language=language)
    assert complete(stops, typed)[0] == complete(stops, typed, sizes=(1,))[0] == middle


@pytest.mark.parametrize(
    ("typed", "middle"),
    [
        ("Shop</h1>\n</body>\n", "Shop"),
        ("a <b>good</b> shop</p>", "a <b>good</b> shop"),
        ("a <br/> shop</title>\n", "a <br/> shop"),
        ("1 </ 2", "1 "),
        ("a <b>shop</b>", "a <b>shop</b>"),
    ],
)
def test_a_tag_that_the_suffix_closes_is_not_closed(typed: str, middle: str) -> None:
    stops = at_cursor("<title>¦</title>\n<p>a</p>\n", language="html")
    assert complete(stops, typed)[0] == complete(stops, typed, sizes=(1,))[0] == middle


def test_a_line_before_another_one_is_no_part_of_it() -> None:
    """The cursor is before the first letter of a line, where new ones may be typed."""
    stops = at_cursor("def f():\n    ¦return x\n", language="python")
    assert complete(stops, "x = 1\n    x += 2\n    ")[0] == "x = 1\n    x += 2\n    "


def test_a_blank_line_ends_what_is_in_the_middle_of_a_paragraph() -> None:
    typed = "GROUP BY name;\n\nSELECT name\nFROM orders"
    text = "SELECT name, COUNT(*)\nFROM orders\n¦\nORDER BY COUNT(*) DESC;\n"
    assert complete(at_cursor(text, language="sql"), typed) == ("GROUP BY name;", "blank")
    # between paragraphs another one may come
    text = "SELECT name, COUNT(*)\nFROM orders;\n\n¦\n\nSELECT 1;\n"
    typed = typed.replace("GROUP BY name", "SELECT 2")
    assert complete(at_cursor(text, language="sql"), typed)[0] == typed


@pytest.mark.parametrize(
    ("text", "language", "typed"),
    [
        ("class A\n  def f(x)\n    ¦\n  end\nend\n", "ruby", "def f(x)\n      @x = x\n    end"),
        ("def f(a,\n      b):\n    pass\ndef g(x):\n    ¦\n", "python", "def  g(x):\n    return x\n"),
        ("int f(int x) {\n  ¦\n}\n", "c", "int f(int x) {\n  return x;\n"),
        ("def g(x):\n¦", "python", "\ndef g(x):"),
    ],
)
def test_the_line_that_begins_a_definition_is_not_typed_again(text: str, language: str, typed: str) -> None:
    stops = at_cursor(text, language=language)
    assert complete(stops, typed) == complete(stops, typed, sizes=(1,)) == ("", "prefix")


def test_what_only_begins_like_the_line_above_stays() -> None:
    for text, typed in (
        ("def g(x):\n    ¦\n", "def g(x, y):\n        return y"),
        ("    i += 1\n    ¦\n", "i += 1"),
    ):
        assert complete(at_cursor(text, language="python"), typed)[0] == typed
