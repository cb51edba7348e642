"""Reads the questions out of what a model wrote: a numbered list, bullets, JSON, or paragraphs, with prose around.

What was asked for is a numbered list, but small models write what they like. A text is read by the first of these
forms that it has: JSON, numbered items, bullets, paragraphs. An item that the answer's end cut off is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from codecascade.instruct.self_instruct.questions.cleaning import (
    SHORTEST,
    clean_question,
    readable,
    why_no_question,
)

MOST_CHARACTERS = 200_000
"""Of an answer; what a model writes beyond is not read."""
UNFINISHED = "cut off by the limit of tokens"
QUESTION_KEYS = ("question", "problem", "task", "prompt", "instruction", "text", "description", "statement")
"""The keys of a JSON object that may hold the question, the likeliest first."""


@dataclass(frozen=True)
class ParsedQuestions:
    """The questions of one answer, and its items that are none: ``(text, reason)``."""

    questions: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def parse_questions(answer: str, *, finished: bool = True) -> ParsedQuestions:
    """The questions that an answer holds, in its order.

    Args:
        finished: False if the answer ended at the limit of tokens, so that its last item may be half an item.
    """
    text = readable(answer[:MOST_CHARACTERS])
    left_out: list[tuple[str, str]] = []
    items = _json_items(text)
    if items is None:
        items = _listed_items(text)
        if items and (not finished or len(answer) > MOST_CHARACTERS):
            left_out.append((items.pop(), UNFINISHED))
    questions = []
    for item in items:
        question = clean_question(item)
        reason = why_no_question(question)
        if reason is None:
            questions.append(question)
        else:
            left_out.append((question, reason))
    return ParsedQuestions(tuple(questions), tuple(left_out))


# ---- lists and paragraphs

_NUMBERED = re.compile(
    r"^ {0,3}[#>*_ ]{0,8}"
    r"(?:(?:question|problem|task|exercise|q) ?#?(?P<named>\d{1,4})\b[*_]{0,3}"
    r"|\(?(?P<plain>\d{1,4})(?:[.):\]](?!\d)[*_]{0,3}|\ufe0f?\u20e3))"
    r" *(?:[.):–—-][*_]{0,3}(?=\s|$))? *",
    re.IGNORECASE | re.MULTILINE,
)
_BULLET = re.compile(r"^ {0,3}[-*+•‣–] +", re.MULTILINE)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
# Numbers between two items of a list that may be nowhere.
_MOST_LEFT_OUT = 3
_PARAGRAPHS = re.compile(r"\n *\n")
# How a paragraph begins that asks for something.
_ASKS = re.compile(
    r"\W{0,3}(?:write|implement|create|define|design|given|develop|build|complete|return|compute|calculate|find|"
    r"determine|check|count|convert|you (?:are|have|need)|your task|how (?:can|do|would)|how many|what is|can you|"
    r"please|suppose|consider|let)\b",
    re.IGNORECASE,
)


def without_mark(line: str) -> str:
    """A line without the number or the bullet that it begins with."""
    mark = _NUMBERED.match(line) or _BULLET.match(line)
    return line[mark.end() :] if mark else line


def _listed_items(text: str) -> list[str]:
    """The items of a numbered list or of bullets; without a list, the paragraphs that ask for something."""
    # a number or a bullet inside of a fence begins no item
    outside = _FENCED.sub(lambda fence: re.sub(r"[^\n]", "\0", fence[0]), text)
    starts = _counting_up(list(_NUMBERED.finditer(outside))) or list(_BULLET.finditer(outside))
    if starts:
        return _between(text, starts)
    paragraphs = [part.strip() for part in _PARAGRAPHS.split(text)]
    return [part for part in paragraphs if _ASKS.match(part)]


def _counting_up(matches: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    """The numbers of the list itself: those that count up, whatever is numbered inside of an item.

    They are written as the first one is ("Question 1", "(1)", "1."), and no deeper. A list may begin with any number,
    as when a model goes on with a list that it was shown, and leave out a few that are nowhere. It may also have the
    same number in front of every item, as Markdown allows.
    """
    best: list[re.Match[str]] = []
    for first in matches[:3]:
        # one more space than the first item has: the numbers of a list may be aligned at their ends
        deepest, notation = _indentation(first) + 1, _notation(first)
        alike = [
            match for match in matches if _indentation(match) <= deepest and _notation(match) == notation
        ]
        last_place = {_number(match): place for place, match in enumerate(alike)}
        chain = [first]
        for place in range(alike.index(first) + 1, len(alike)):
            number, skipped = _number(alike[place]), range(_number(chain[-1]) + 1, _number(alike[place]))
            follows = number > _number(chain[-1]) and len(skipped) <= _MOST_LEFT_OUT
            if follows and all(last_place.get(other, -1) < place for other in skipped):
                chain.append(alike[place])
        best = max(best, chain, key=len)
    if len(best) == 1 and len({_number(match) for match in matches}) == 1:
        return list(matches)
    return best


def _notation(match: re.Match[str]) -> tuple[bool, bool]:
    """How a number is written: with a word, in brackets."""
    return match["named"] is not None, match[0].lstrip("#>*_ ").startswith("(")


def _indentation(match: re.Match[str]) -> int:
    return len(match[0]) - len(match[0].lstrip(" "))


def _number(match: re.Match[str]) -> int:
    return int(match["named"] or match["plain"])


def _between(text: str, starts: Sequence[re.Match[str]]) -> list[str]:
    """The texts between the starts of the items.

    Where all other items are one paragraph, so is the last, if that can be a question: what follows it is prose that
    ends the answer.
    """
    ends = [*(match.start() for match in starts[1:]), len(text)]
    items = [text[match.end() : end].strip("\n") for match, end in zip(starts, ends, strict=True)]
    if len(items) > 1 and not any(_PARAGRAPHS.search(item.strip()) for item in items[:-1]):
        first = _PARAGRAPHS.split(items[-1].strip(), maxsplit=1)[0]
        if why_no_question(clean_question(first)) is None:
            items[-1] = first
    return items


# ---- JSON

_JSON_START = re.compile(r"^ *([\[{])", re.MULTILINE)
_DECODER = json.JSONDecoder(strict=False)


def _json_items(text: str) -> list[str] | None:
    """The questions of a JSON text, also of one that is cut off or stands in prose; None if there is none.

    What is cut off is no item.
    """
    start = _JSON_START.search(text)
    if start is None or _NUMBERED.search(text, 0, start.start()) or _BULLET.search(text, 0, start.start()):
        # brackets inside of another list belong to an example
        return None
    found = list(_values(text, start.start(1)))
    if not found and (inner := text.find("[", start.start(1))) >= 0:
        found = list(_values(text, inner + 1))
    questions = [question for value in found for question in _texts_in(value)]
    return questions if any(len(question) >= SHORTEST for question in questions) else None


def _values(text: str, position: int) -> Iterator[Any]:
    """The JSON values that follow each other from ``position``, up to one that is damaged or cut off."""
    while True:
        while position < len(text) and text[position] in " \n,":
            position += 1
        try:
            value, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            return
        yield value


def _texts_in(value: Any, depth: int = 0) -> list[str]:
    """The questions in a JSON value, however they are wrapped."""
    if isinstance(value, str):
        return [value]
    if depth > 4:
        return []
    if isinstance(value, list):
        return [text for entry in value for text in _texts_in(entry, depth + 1)]
    if isinstance(value, dict):
        lowered = {str(key).lower(): entry for key, entry in value.items()}
        for key in QUESTION_KEYS:
            if isinstance(entry := lowered.get(key), str):
                return [entry]
        # an object around the list, or one with the questions under numbers
        nested = [entry for entry in value.values() if isinstance(entry, list | dict)]
        return [text for entry in nested or value.values() for text in _texts_in(entry, depth + 1)]
    return []
