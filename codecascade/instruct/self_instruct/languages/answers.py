"""What every language's answers have in common: tags, fences and characters that no program needs."""

from __future__ import annotations

import re
import unicodedata

from codecascade.evaluation.answers.replies import without_thoughts

_FENCE_LINE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)
_TICKS = re.compile(r"`{3,}")


def between_tags(answer: str, tag: str) -> str:
    """The text between ``[TAG]`` and ``[/TAG]``; all of it where there are no tags.

    The prompt may have opened the tag, and the answer may end without closing it. A closing tag counts at the
    beginning or the end of a line only, so that a string in a program may hold one.
    """
    text = without_thoughts(answer)
    name = re.escape(tag)
    opened = re.search(rf"^[ \t]*\[{name}\]", text, re.MULTILINE) or re.search(
        rf"\[{name}\][ \t]*$", text, re.M
    )
    closing = re.compile(rf"^[ \t]*\[/{name}\]|\[/{name}\][ \t]*$", re.MULTILINE)
    closed = closing.search(text)
    # What is opened behind the end of the first text belongs to another problem.
    if opened is not None and (closed is None or opened.start() < closed.start()):
        text = text[opened.end() :]
        closed = closing.search(text)
    return (text if closed is None else text[: closed.start()]).strip("\n")


def without_fences(text: str) -> str:
    """The text without the lines that open and close blocks of code."""
    return _FENCE_LINE.sub("", text)


def fenced(code: str, word: str) -> str:
    """Code as a block, with a fence that none of its lines can close."""
    longest = max((len(match[0]) for match in _TICKS.finditer(code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{word}\n{code}\n{fence}"


def control_characters(text: str) -> bool:
    """Whether a text has control characters or lone surrogates. No program needs them: they can be escaped."""
    return any(
        character not in "\n\t\r" and unicodedata.category(character) in ("Cc", "Cs") for character in text
    )
