"""Many strings are found in a text as a regular expression of all would find them, but in linear time."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from work import grows_linearly

from codecascade.tokens.templates.control_text import _CONTENT, _refuse_half_written
from codecascade.tokens.templates.literals import Affixes, Literals

_words = st.text("ab<", max_size=5)


@given(st.lists(_words, max_size=6), st.text("ab<x", max_size=30))
def test_the_longest_at_each_position_is_found(words: list[str], text: str) -> None:
    pattern = "|".join(map(re.escape, sorted(filter(None, words), key=len, reverse=True))) or "(?!)"
    assert list(Literals(words).find(text)) == [match.span() for match in re.finditer(pattern, text)]


@given(st.lists(_words, max_size=6), _words.filter(bool))
def test_beginnings_and_ends(words: list[str], text: str) -> None:
    affixes = Affixes(words)
    assert affixes.begins(text) == any(word.startswith(text) for word in words)
    assert affixes.ends(text) == any(word.endswith(text) for word in words)


def test_finding_takes_time_that_grows_with_the_text() -> None:
    """Also where there are as many strings as characters."""
    assert grows_linearly(
        lambda text: list(Literals(text[start : start + 12] for start in range(len(text))).find(text)),
        lambda size: "".join(f"<{number}>" for number in range(size // 5)),
        size=10_000,
    )


def test_many_control_tokens_around_many_messages_take_linear_time() -> None:
    def check(frame: str) -> None:
        _refuse_half_written({f"<|{word:x>40}|>" for word in frame.split()}, {"<", ">"}, [frame])

    assert grows_linearly(
        check, lambda size: "".join(f"{number} {_CONTENT}x\n" for number in range(size)), size=100
    )
