"""Whatever a name holds, a reader of the Markdown sees it as text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from evaluations import sample, write_evaluation
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from codecascade.evaluation.analysis.compare import compare
from codecascade.ground.errors import printable
from codecascade.reports.comparison import write_comparison
from codecascade.reports.evaluation.report import write_evaluation_report
from codecascade.reports.markdown import block, code, escaped, fence_for, info
from codecascade.reports.rendering import render

READER = MarkdownIt("commonmark").enable("table")
WORDS = [
    "#",
    "# ",
    "- ",
    "1. ",
    "2) ",
    ">",
    "`",
    "```",
    "|",
    "\n",
    "\n\n",
    "<script>",
    "</b>",
    "[a](b)",
    "[a]:",
    "![",
    "*",
]
WORDS += [
    "_",
    "__",
    "\\",
    "&lt;",
    "    ",
    "~~~",
    "---",
    "===",
    "a",
    " ",
    "<http://a.b>",
    "\x1b[1m",
    "\u202e",
    "\r",
]
JOINERS = "\u200c\u200d\u00ad"
WORDS += [*JOINERS]
texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=8).map("".join)


def kinds(tokens: Iterable[Token]) -> set[str]:
    found = set()
    for token in tokens:
        found.add(token.type)
        found |= kinds(token.children or ())
    return found


def words(tokens: Iterable[Token]) -> str:
    """What a reader sees."""
    return "".join(
        token.content
        if token.type in ("text", "code_inline", "text_special")
        else words(token.children or ())
        for token in tokens
    )


def as_text(text: str) -> str:
    lines = " ".join(text.replace("\r", "\n").split("\n"))
    return " ".join("".join(each if each in JOINERS else printable(each) for each in lines).split())


@given(texts)
@example("\\")
@example("- a")
def test_a_text_stays_a_text(text: str) -> None:
    line = f"a | b {escaped(text)}"
    table = READER.parse(f"| {escaped(text)} | z |\n| --- | --- |\n| b | {escaped(text)} |\n")
    assert kinds(table) == kinds(READER.parse("| a | z |\n| --- | --- |\n| b | c |\n")), line
    assert (
        " ".join(words(table).split()) == " ".join(f"{as_text(text)}zb{as_text(text)}".split())
        or not text.strip()
    )
    for before in ("", "- ", "## ", "**a** "):
        tokens = READER.parse(f"{before}{escaped(text) or 'a'}\n")
        assert kinds(tokens) - {"text_special"} <= kinds(READER.parse(f"{before}a\n")), before
        if as_text(text):
            assert "".join(words(tokens).split()) == "".join((before.strip("-#* ") + as_text(text)).split())


@given(texts)
def test_code_stays_code(text: str) -> None:
    tokens = READER.parse(f"a {code(text)} b\n")
    if as_text(text):
        assert kinds(tokens) <= {"paragraph_open", "inline", "text", "code_inline", "paragraph_close"}
        assert words(tokens).split() == ["a", *as_text(text).split(), "b"]
    fence = fence_for([text])
    fenced = READER.parse(f"{fence}{info(text)}\n{block(text)}\n{fence}\n\nafter\n")
    assert fenced[0].type == "fence" and "paragraph_open" in kinds(fenced[1:])


def test_windows_line_ends_are_line_ends() -> None:
    assert block("def f():\r\n    x = 1\r\n") == "def f():\n    x = 1\n"
    assert code("y\r") == "`y`" and code("a\r\nb") == "`a b`"
    assert escaped("a\r\nb") == "a b"


@pytest.mark.parametrize(
    "word",
    [
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
        "\U0001f468\u200d\U0001f469",
    ],
)
def test_joiners_of_words_and_signs_stay(word: str) -> None:
    assert escaped(word) == block(word) == word and code(word) == f"`{word}`"


HOSTILE = "<script>alert(1)</script>\n# head\n| x | `b` [c](javascript:d) \x1b[31m \u202e"


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    about = {
        "humaneval": {
            "title": HOSTILE,
            "notes": [HOSTILE],
            "source": HOSTILE,
            "licence": HOSTILE,
            "command": HOSTILE,
            "judge": HOSTILE,
        }
    }
    return [
        write_evaluation(
            tmp_path / name,
            {"humaneval": [sample(f"{HOSTILE} {n}", n < solved, stderr=HOSTILE) for n in range(9)]},
            model=name + HOSTILE,
            about=about,
        )
        for name, solved in (("a", 1), ("b", 9))
    ]


def test_reports_of_foreign_folders_are_inert(folders: list[Path], tmp_path: Path) -> None:
    write_evaluation_report(folders[0])
    write_comparison(compare(*folders), tmp_path)
    for page in (folders[0] / "report.md", tmp_path / "comparison.md"):
        text = page.read_text()
        tokens = READER.parse(text)
        assert not kinds(tokens) & {"html_block", "html_inline", "link_open", "image"}, page
        headings = [tokens[at + 1] for at, token in enumerate(tokens) if token.type == "heading_open"]
        assert not any(words([each]).startswith("head") for each in headings)
        assert "\x1b" not in text and "\u202e" not in text and "alert(1)" in text
    for page in (folders[0] / "report.html", tmp_path / "comparison.html", *folders[0].glob("problems/*/*")):
        assert "<script>" not in page.read_text() and "\u202e" not in page.read_text(), page


def test_what_turns_text_round_is_written_out() -> None:
    view = {"sweep": {"model": "a\u202eb"}, "benchmarks": [], "plot": ""}
    for page in ("sweep.md", "sweep.html"):
        assert "a\\u202eb" in render(page, view)
