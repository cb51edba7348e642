"""What every language's answers have in common: tags, fences and characters that no program needs."""

from __future__ import annotations

import re
import unicodedata

from codecascade.evaluation.answers.replies import without_thoughts

_FENCE_LINE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)


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
    if opened is not None:
        text = text[opened.end() :]
    closed = re.search(rf"^[ \t]*\[/{name}\]|\[/{name}\][ \t]*$", text, re.MULTILINE)
    return (text if closed is None else text[: closed.start()]).strip("\n")


def without_fences(text: str) -> str:
    """The text without the lines that open and close blocks of code."""
    return _FENCE_LINE.sub("", text)


def control_characters(text: str) -> bool:
    """Whether a text has control characters or lone surrogates. No program needs them: they can be escaped."""
    return any(
        character not in "\n\t\r" and unicodedata.category(character) in ("Cc", "Cs") for character in text
    )
