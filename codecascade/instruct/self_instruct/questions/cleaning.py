"""One question: a text without marks, labels and answers, and whether it can be a question at all."""

from __future__ import annotations

import inspect
import re
import unicodedata

SHORTEST, LONGEST = 20, 2500
"""Characters of a question."""
FEWEST_WORDS = 4

TOO_SHORT, TOO_LONG, ONLY_CODE = "too short", "too long", "only code"

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]{2,}")
_LABEL = re.compile(
    r"^\W{0,4}(?:question|problem|task|exercise|prompt|problem statement) ?#?\d{0,3}\W{0,3}:\W{0,3}",
    re.IGNORECASE,
)
_LEVEL = re.compile(
    r"^\W{0,3}(?:difficulty\W{1,3}|level\W{1,3})?\b(?:easy|medium|hard|difficult|beginner|intermediate)\b"
    r"(?: *[\])*_:.–—-]+)+ *",
    re.IGNORECASE,
)
# From here on an item answers its own question, or tells about it.
_ANSWER = re.compile(
    r"^[#>*_ ]{0,6}(?:"
    r"(?:sample |example |python |possible |reference |here is (?:a|the|one) )?(?:solution|answer|implementation)"
    r"|python code|(?:sample |unit )?test(?:s| cases?)?|difficulty|topics?|level|explanation"
    r")\b[^\n:]{0,40}:"
    r"|^ *(?:def|class) \w+[^\n]*:[ ]*\n[ ]+(?!\"\"\"|''')",
    re.IGNORECASE | re.MULTILINE,
)
_CODE_SPAN = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_BOLD = re.compile(r"(?<!\*)\*\*(?=\S)([^*\n]+)(?<=\S)\*\*(?!\*)")
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»"}
_UNREADABLE = ("Cc", "Cs", "Cf", "Co", "Cn")


def readable(text: str) -> str:
    """``text`` with usual line ends, and without control characters, half characters and direction marks."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    if text.isprintable():
        return text
    return "".join(one for one in text if one == "\n" or unicodedata.category(one) not in _UNREADABLE)


def clean_question(item: str) -> str:
    """A question without the marks of its list, without labels, and without an answer that follows it."""
    text = _unmarked(inspect.cleandoc(item).strip())
    if answer := _ANSWER.search(text):
        text = text[: answer.start()]
        # the fence of the answer was opened before it
        if text.count("```") % 2:
            text = text[: text.rindex("```")]
    text = text.strip()
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in text.split("\n")))


def _unmarked(text: str) -> str:
    """``text`` without Markdown's bold marks outside of code, and without the labels in front."""
    parts = _CODE_SPAN.split(text)
    text = "".join(
        part if number % 2 else _BOLD.sub(r"\1", part).replace("**", "") for number, part in enumerate(parts)
    )
    for mark in (_LABEL, _LEVEL, _LABEL):
        text = mark.sub("", text.strip(), count=1)
    return text


def why_no_question(question: str) -> str | None:
    """Why a text can't be a question; None if it can."""
    if len(question) > LONGEST:
        return TOO_LONG
    if len(question) < SHORTEST or len(question.split()) < FEWEST_WORDS:
        return TOO_SHORT
    return ONLY_CODE if len(_WORD.findall(_FENCED.sub(" ", question))) < FEWEST_WORDS else None
