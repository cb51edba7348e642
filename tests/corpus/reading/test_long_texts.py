"""Texts of one sign again and again: to tell what they are takes time in proportion to their length."""

from __future__ import annotations

import re

import pytest
from work import grows_linearly

from codecascade.corpus.reading.content_rules import CONTENT_RULES, language_by_content, language_by_mode_line
from codecascade.corpus.reading.licenses import license_from_header, license_from_text

_REPEATED = [
    "\n",
    " \n",
    " ",
    "\t",
    "# ",
    "a",
    "a(",
    "class a ",
    "public ",
    "shared ",
    "a.b",
    "x = ",
    "$a",
    "<",
    "-*- ",
    "vim:",
    "-*-a; ",
]


@pytest.mark.parametrize("piece", _REPEATED)
def test_no_text_takes_quadratic_time_to_tell(piece: str) -> None:
    """Fifty thousand empty lines took a minute for each extension that languages share."""

    def tell(text: str) -> None:
        for extension in CONTENT_RULES:
            language_by_content(text, extension, "c")
        language_by_mode_line(text)
        license_from_header(text)
        license_from_text(text)

    assert grows_linearly(tell, lambda size: (piece * size)[:size], size=12_500)


def test_quadratic_time_is_noticed() -> None:
    quadratic = re.compile(r"^\s*a", re.MULTILINE)
    assert not grows_linearly(quadratic.search, lambda size: "\n" * size, size=5_000)


def test_empty_lines_before_a_sign_are_passed_over() -> None:
    assert language_by_content("\n" * 40_000 + "  namespace a { class B; }", ".h", "c") == "c++"
    assert language_by_content("\n \n\t@interface X\n", ".h", "c") == "objective-c"
