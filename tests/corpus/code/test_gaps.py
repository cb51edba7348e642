"""Which lines are code, and what gaps are drawn from a file."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from codecascade.corpus.code.code_lines import code_lines
from codecascade.corpus.code.gaps import Gap, GapDrawer, GapKind, drawn_gap
from codecascade.corpus.code.grammars import GRAMMARS, grammar_of
from codecascade.corpus.code.structure import bodies, has_parser, parses

PYTHON = '''#!/usr/bin/env python
"""Of two
lines."""

import os  # for paths


def first(items: list[int]) -> int:
    """One line."""
    # a comment alone
    total = sum(
        items
    )
    if total > 3:
        total -= 1
        print(total)
    else:
        total = 0

    return total


class Box:
    """A box."""

    @property
    def size(self) -> int:
        return 3
'''
SOURCES = {
    "javascript": "// begins\nfunction add(first, second) {\n  let total = first;\n  if (second) {\n"
    "    total += second;\n    total += 0;\n  }\n  return total;\n}\n",
    "typescript": "/* begins\n * here */\nexport function add(first: number): number {\n"
    "  const total = first;\n  while (total) {\n    log(total);\n    total();\n  }\n  return total;\n}\n",
    "java": "class Adder {\n  // adds\n  int add(int first) {\n    int total = first;\n"
    "    for (;;) {\n      total++;\n      total--;\n    }\n  }\n}\n",
    "go": "package main\n\nfunc add(first int) int {\n\ttotal := first\n\tfor i := 0; i < 3; i++ {\n"
    "\t\ttotal += i\n\t\ttotal++\n\t}\n\treturn total\n}\n",
    "rust": "// adds\nfn add(first: i32) -> i32 {\n    let mut total = first;\n    if total > 1 {\n"
    "        total += 1;\n        total += 2;\n    }\n    total\n}\n",
    "c": "#include <stdio.h>\nint add(int first)\n{\n  int total = first;\n  while (total) {\n"
    "    total--;\n    first++;\n  }\n  return total;\n}\n",
    "c++": "int Adder::add(int first) {\n  int total = first;\n  if (total) {\n"
    "    total--;\n    first++;\n  }\n  return total;\n}\n",
    "c#": "class Adder {\n  int Add(int first) {\n    var total = first;\n    if (total > 1) {\n"
    "      total--;\n      first++;\n    }\n    return total;\n  }\n}\n",
    "ruby": "# adds\ndef add(first)\n  total = first\n  if first\n    total += 1\n    total += 2\n"
    "  end\n  total\nend\n",
    "php": "<?php\nfunction add($first) {\n  $total = $first;\n  if ($total) {\n"
    "    $total--;\n    $first++;\n  }\n  return $total;\n}\n",
    "shell": "#!/bin/sh\nadd() {\n  total=1\n  for each in a b; do\n    total=$((total + 1))\n    echo $each\n"
    "  done\n  echo $total\n}\n",
}


def drawer(text: str, language: str = "python", seed: int = 0, most: int = 600) -> GapDrawer:
    return GapDrawer(text, language, f"file.{language}", random.Random(seed), most_characters=most)


def all_gaps(text: str, kind: GapKind, language: str = "python", **options: Any) -> list[Gap]:
    of_file = drawer(text, language, **options)
    return list(iter(lambda: of_file.draw(kind), None))


def test_comments_docstrings_brackets_and_lone_words_are_no_lines_of_code() -> None:
    assert [PYTHON[line.start : line.end] for line in code_lines(PYTHON, "python")] == [
        "import os  # for paths",
        "def first(items: list[int]) -> int:",
        "total = sum(",
        "items",
        "if total > 3:",
        "total -= 1",
        "print(total)",
        "total = 0",
        "return total",
        "class Box:",
        "@property",
        "def size(self) -> int:",
        "return 3",
    ]


@pytest.mark.parametrize("language", SOURCES)
def test_every_language_has_lines_without_a_grammar(language: str) -> None:
    source = SOURCES[language]
    found = [source[line.start : line.end] for line in code_lines(source, language)]
    assert len(found) >= 6 and not any(line.startswith(("//", "/*", "* ", "}", "#!", "# ")) for line in found)
    assert "end" not in found and "done" not in found


def test_a_line_is_masked_from_its_indentation_to_its_end() -> None:
    gaps = all_gaps(PYTHON, "line")
    assert len(gaps) == 13 and gaps != sorted(gaps, key=lambda gap: gap.start), "in no order"
    assert {PYTHON[gap.start : gap.end] for gap in gaps} >= {"print(total)", "items"}
    assert all(PYTHON[gap.end] == "\n" for gap in gaps)
    assert all(not PYTHON[: gap.start].rpartition("\n")[2].strip() for gap in gaps)


def test_cursors_are_at_borders_of_tokens_mostly() -> None:
    text = "result = alpha.beta(gamma_delta)\n"
    cursors = [gap.start for seed in range(300) for gap in all_gaps(text, "rest", seed=seed)]
    borders = {6, 7, 8, 9, 14, 15, 19, 20}
    assert borders < set(cursors) and {0, 32, 31} & set(cursors) == set(), (
        "something stands before, and more than a bracket behind"
    )
    inside = sum(cursor not in borders for cursor in cursors) / len(cursors)
    assert 0.1 < inside < 0.3
    assert all_gaps("pass\n", "rest", seed=3) in (
        [],
        [Gap("rest", 2, 4)],
        [Gap("rest", 1, 4)],
        [Gap("rest", 3, 4)],
    )


def test_blocks_are_whole_statements() -> None:
    shown = {
        PYTHON[gap.start : gap.end] for seed in range(40) for gap in all_gaps(PYTHON, "block", seed=seed)
    }
    assert "total -= 1\n        print(total)" in shown and "total = sum(\n        items\n    )" in shown
    assert "total = 0" in shown, "the block of a statement may be one line"
    assert "return 3" not in shown and "return total" not in shown, "one line of a longer body is no block"
    assert all(text.count("\n") < 8 for text in shown)
    assert not any(text.startswith(('"""', "else")) for text in shown)


def test_functions_are_whole_bodies_without_their_docstrings() -> None:
    gaps = all_gaps(PYTHON, "function")
    shown = sorted(PYTHON[gap.start : gap.end] for gap in gaps)
    assert [text.splitlines()[0] for text in shown] == ["return 3", "total = sum("]
    assert shown[1].endswith("return total") and all_gaps(PYTHON, "function", most=30) != gaps


def test_spans_begin_anywhere_in_code_and_hold_some() -> None:
    gaps = all_gaps(PYTHON, "span", most=40)
    assert 5 < len(gaps) <= 13 and all(0 < gap.end - gap.start <= 40 for gap in gaps)


@pytest.mark.parametrize("language", SOURCES)
def test_grammars_give_blocks_and_bodies(language: str) -> None:
    pytest.importorskip("tree_sitter")
    source = SOURCES[language]
    assert has_parser(language) and parses(source, language) and not parses(source + "}} ((", language)
    functions = [source[gap.start : gap.end] for gap in all_gaps(source, "function", language)]
    assert len(functions) == 1 and "total" in functions[0].splitlines()[0], functions
    assert "total" in functions[0].splitlines()[-1] or functions[0].splitlines()[-1].strip() == "}"
    blocks = {
        source[gap.start : gap.end]
        for seed in range(9)
        for gap in all_gaps(source, "block", language, seed=seed)
    }
    inner = [
        text for text in blocks if text.count("\n") == 1 and text.splitlines()[1].startswith((" ", "\t"))
    ]
    assert inner, blocks


@pytest.mark.parametrize("language", SOURCES)
def test_without_grammars_there_are_lines_and_spans(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "codecascade.corpus.code.grammars._parser"
    monkeypatch.setattr(name, lambda grammar: None)
    assert not has_parser(language) and parses("(", language) is None and bodies("x", language) == []
    assert (
        all_gaps(SOURCES[language], "block", language)
        == all_gaps(SOURCES[language], "function", language)
        == []
    )
    for kind in ("line", "rest", "span"):
        assert all_gaps(SOURCES[language], kind, language)


def test_what_does_not_parse_has_no_bodies() -> None:
    assert bodies("def f(:\n", "python") == [] == bodies("x = 1\ry = 2\n", "python")
    assert parses("def f(:\n", "python") is False and grammar_of("cobol") is None
    deep = "{" * 30_000
    for language in GRAMMARS:
        assert bodies(deep, language) == []


def test_windows_line_ends_are_no_part_of_a_middle() -> None:
    text = PYTHON.replace("\n", "\r\n")
    for kind in ("line", "rest", "block", "function"):
        for gap in all_gaps(text, kind):
            assert text[gap.start : gap.end] == text[gap.start : gap.end].rstrip()
    assert len(all_gaps(text, "function")) == 2


def test_one_gap_of_a_file_is_of_a_kind_by_its_weight() -> None:
    wanted: tuple[GapKind, ...] = ("line", "rest", "block", "function")
    drawn = [drawn_gap(PYTHON, "python", "a.py", random.Random(seed), wanted) for seed in range(600)]
    kinds = Counter(gap.kind for gap in drawn if gap is not None)
    assert kinds.total() == 600 and kinds.keys() == {*wanted}
    shares = [kinds[kind] / 600 for kind in wanted]
    assert shares == pytest.approx([1 / 3, 1 / 3, 1 / 6, 1 / 6], abs=0.06)
    # Where there are no statements to be known, the other kinds get their share.
    unknown = [drawn_gap(PYTHON, "cobol", "a.cob", random.Random(seed), wanted) for seed in range(100)]
    assert {gap.kind for gap in unknown if gap is not None} == {"line", "rest"}
    assert drawn_gap("# a comment", "python", "a.py", random.Random(0), wanted) is None
    short = [
        drawn_gap(PYTHON, "python", "a.py", random.Random(seed), wanted, longest=9) for seed in range(50)
    ]
    assert all(gap is not None and gap.end - gap.start <= 9 for gap in short)
