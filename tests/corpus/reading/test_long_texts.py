"""Texts of one sign again and again: to tell what they are takes time in proportion to their length."""

from __future__ import annotations

import time

import pytest

from codecascade.corpus.reading.content import CONTENT_RULES, language_by_content, language_by_mode_line
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
    text = (piece * 50_000)[:50_000]
    began = time.monotonic()
    for extension in CONTENT_RULES:
        language_by_content(text, extension, "c")
    language_by_mode_line(text)
    license_from_header(text)
    license_from_text(text + piece * 10)
    assert time.monotonic() - began < 5


def test_empty_lines_before_a_sign_are_passed_over() -> None:
    assert language_by_content("\n" * 40_000 + "  namespace a { class B; }", ".h", "c") == "c++"
    assert language_by_content("\n \n\t@interface X\n", ".h", "c") == "objective-c"
