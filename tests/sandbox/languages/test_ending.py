"""Where the line goes that says that the tests were reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from work import grows_linearly

from codecascade.sandbox.languages.ending import halves, in_main
from codecascade.sandbox.languages.language import Language, Toolchain
from codecascade.sandbox.languages.table import LANGUAGES, language_named
from codecascade.sandbox.languages.toolchains.cpp import header_comes_first
from codecascade.sandbox.languages.toolchains.java import main_class
from codecascade.sandbox.outcome import Limits

MAIN = r"\bmain\s*\("
# What tokens begin with or escape, and what statements and heads of functions consist of.
UNITS = (
    *(
        "\n",
        " ",
        "\\",
        '"',
        '\\"',
        '"\\"',
        "/*",
        "/* ",
        "*/",
        "//;",
        ";/*",
        ";//",
        'R"(',
        'R"a(',
        ')"',
        'r#"',
    ),
    *("r#", "#", '"""\n', '"""', '\\"""\n', '""" ', '@"', '@$"', '""', "`", "'", "'\\", "'a", "{", "}", "{}"),
    *(";", "return ", ";return ", "return;", "; ", ";\n", "main(", "main ", "\nmain", "void ", "void Main"),
    *("func ", "func Test", "os.exit(", ")", ") ", "os.exit()\n", "\npackage ", "package a", "\nclass "),
    *("\npublic ", "a ", "a.", "?>", "\n#include <a>", "if (x) { return 1; }"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int main() { a(); }", "int main() { a(); \nX\n}"),
        ("int main() {\n  a();\n}\nvoid b() {}\n", "int main() {\n  a();\n\nX\n}\nvoid b() {}\n"),
        ("int main() { if (a) { b(); } }", "int main() { if (a) { b(); } \nX\n}"),
        ("int main() { return 0; }", "int main() { X return 0; }"),
        ("int main() { a(); return 0; // done\n}", "int main() { a(); X return 0; // done\n}"),
        (
            "int main() { a(); /* } */\n  return f(1, 2);\n}",
            "int main() { a(); /* } */\n  X return f(1, 2);\n}",
        ),
        # A return that is only one of two ways out is not the end.
        ("int main() { if (a) return 1; }", "int main() { if (a) return 1; \nX\n}"),
        ('int main() { a("}", \'}\', "\\"}"); } // }', 'int main() { a("}", \'}\', "\\"}"); \nX\n} // }'),
        (
            'int main() { a(R"x(} )" )x"); b(1\'000\'000); }',
            'int main() { a(R"x(} )" )x"); b(1\'000\'000); \nX\n}',
        ),
        (
            'void main(String[] a) { b("""\n  } " "\n"""); }',
            'void main(String[] a) { b("""\n  } " "\n"""); \nX\n}',
        ),
        ('void main() { a(@"c:\\"); /* " */ }', 'void main() { a(@"c:\\"); /* " */ \nX\n}'),
        ('int main() { a(); return f("; } {"); }', 'int main() { a(); X return f("; } {"); }'),
        ("int main() { a(); /* ; return 0; */ }", "int main() { a(); /* ; return 0; */ \nX\n}"),
        ("int main() { a('\\\\'); \\\n b(); }", "int main() { a('\\\\'); \\\n b(); \nX\n}"),
        ('void main() { b("""\n  } \\""" { \\\\"""); }', 'void main() { b("""\n  } \\""" { \\\\"""); \nX\n}'),
        ("int main() { a(); /* }", None),
        # The last one: a model's own stands before the tests'.
        ("int main() { a(); }\nint main() { b(); }", "int main() { a(); }\nint main() { b(); \nX\n}"),
        ("int domain(int x) { return x; }", None),
        ("int main() { a();", None),
        ("int main();", None),
        ("", None),
    ],
)
def test_the_line_is_the_last_statement_of_main(text: str, expected: str | None) -> None:
    assert in_main(text, MAIN, "X") == expected


@given(st.text(alphabet="{}\"'/*\\\n;ar() main", max_size=80))
def test_any_text_before_main_leaves_the_line_in_it(text: str) -> None:
    tests = "\nint main() {\n  check();\n}\n"
    assert in_main(text + tests, MAIN, "X") == text + "\nint main() {\n  check();\n\nX\n}\n"


@pytest.mark.parametrize("language", [language.name for language in LANGUAGES])
def test_the_finished_text_never_shows_the_token(language: str) -> None:
    token = "0123456789abcdef" * 2
    text = "int main() { }\nfn main() { }\nvoid Main() { }\nvoid main() { }\nfunc TestX() { }\n"
    finished = language_named(language).finish(text, token)
    assert finished is not None
    first, second = halves(token)
    assert token not in finished and first in finished and second in finished


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_hostile_texts_are_finished_and_planned_in_linear_time(language: Language, tmp_path: Path) -> None:
    def prepare(text: str) -> None:
        language.plan(language.finish(text, "token" * 4) or text, tools, Limits())

    (tmp_path / "codecascade.jar").touch()
    tools = Toolchain("1", defaultdict(str), built=str(tmp_path))
    for unit in UNITS:
        # The beginning of the function with the tests, in all languages, and its end.
        for before, behind in (
            ("func TestX() { void Main() { int main() {\n", "\n}}}"),
            ("fn main() {\n", ""),
        ):
            make = _repeated(unit, before, behind)
            assert grows_linearly(prepare, make, size=10_000), (before, unit, behind)


def _repeated(unit: str, before: str, behind: str) -> Callable[[int], str]:
    return lambda size: before + unit * (size // len(unit)) + behind


def test_backslashes_in_a_text_block_that_never_ends_take_no_time() -> None:
    assert in_main('void main() { a("""\n' + "\\" * 60 + "\n", MAIN, "X") is None


@pytest.mark.parametrize("language", ["php"])
def test_text_behind_a_closing_tag_is_opened_again(language: str) -> None:
    finish = language_named(language).finish
    assert "\n<?php echo" in (finish("<?php f(); ?>\n", "ab") or "")
    assert "<?php echo" not in (finish("<?php f(); ?> text", "ab") or "")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("#include <bits/stdc++.h>\n", True),
        ("// a\n/* b */ #include<assert.h>\n# include <bits/stdc++.h>\nint x;", True),
        ("#define int long\n#include <bits/stdc++.h>\n", False),
        ("int x;\n#include <bits/stdc++.h>\n", False),
        ("#include <vector>\n", False),
        ("/* " * 5000 + "#include <bits/stdc++.h>", False),
    ],
)
def test_the_compiled_header_is_used_where_nothing_comes_before_it(text: str, first: bool) -> None:
    assert header_comes_first(text) is first


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("class Problem {\n  static class Inner {}\n  public static void main(String[] a) {}\n}", "Problem"),
        ("class A {}\npublic final class B {\n  public static void main(String[] a) {}\n}\nclass C {}", "B"),
        ("package a.b;\nclass B { static void main(String[] a) {} }", "a.b.B"),
        ("no class at all", "Problem"),
    ],
)
def test_java_runs_the_class_that_holds_main(text: str, name: str) -> None:
    assert main_class(text) == name
