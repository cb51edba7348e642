"""Reads the questions out of what a model wrote: a numbered list, bullets, JSON, or paragraphs, with prose around.

What was asked for is a numbered list, but small models write what they like. A text is read by the first of these
forms that it has: JSON, numbered items, bullets, paragraphs. An item that the answer's end cut off is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
OWN_LIST = "holds a list that is numbered as the items are"
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
        items, left_out = _listed_items(text)
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
# A line that begins a further list: "Hard:", "## Hard".
_HEADING = re.compile(r"\n *\n[ \t]*(?:[^\n]{1,60}:[*_ ]{0,3}|#{1,6} [^\n]{1,60}|\*\*[^\n]{1,60}\*\*)\s*\Z")
# Between two items of a list; what jumps further is no item.
_WIDEST_GAP = 10
# Of a list inside of an item; what is behind a longer one counts as another list.
_LONGEST_OWN_LIST = 100
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


def _listed_items(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The items of a numbered list or of bullets; without a list, the paragraphs that ask for something.

    Second, the items of which it can't be told where they end, with the reason.
    """
    # a number or a bullet inside of a fence begins no item
    outside = _FENCED.sub(lambda fence: re.sub(r"[^\n]", "\0", fence[0]), text)
    numbered = _at_its_indentation(list(_NUMBERED.finditer(outside)))
    if numbered:
        starts, holders = _items_and_holders(text, numbered)
        items = _between(text, starts)
        return (
            [item for index, item in enumerate(items) if index not in holders],
            [(items[index], OWN_LIST) for index in holders],
        )
    if bullets := list(_BULLET.finditer(outside)):
        return _between(text, bullets), []
    paragraphs = [part.strip() for part in _PARAGRAPHS.split(text)]
    return [part for part in paragraphs if _ASKS.match(part)], []


def _at_its_indentation(matches: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    """The numbers that stand where those of the list do. What is numbered inside of an item is mostly indented.

    The list is that of the longest run that counts up by one, from one of the first numbers on: prose may be before.
    """
    best: list[int] = []
    for first in range(min(len(matches), 3)):
        run = [first]
        for index in range(first + 1, len(matches)):
            if _number(matches[index]) == _number(matches[run[-1]]) + 1 and _indentation(
                matches[index]
            ) <= _deepest(matches[first]):
                run.append(index)
        best = max(best, run, key=len)
    if not best:
        return []
    begin = matches[best[0]]
    before = [match for match in matches[: best[0]] if _number(match) < _number(begin)]
    return [match for match in (*before, *matches[best[0] :]) if _indentation(match) <= _deepest(begin)]


def _items_and_holders(text: str, matches: Sequence[re.Match[str]]) -> tuple[list[re.Match[str]], list[int]]:
    """Where items begin, and the indices of those that hold a numbered list of their own at the list's indentation.

    A list may begin with any number, as when a model goes on with one that it was shown; leave some out; have a
    number twice, or the same one before all items, as Markdown allows; and begin again ("Hard: 1. ..."). An item
    whose own list is not indented shows where the outer list goes on behind it, or by the colon that it ends with.
    """
    starts: list[re.Match[str]] = []
    holders: list[int] = []
    lowest = min(map(_number, matches))
    last_index = {_number(match): index for index, match in enumerate(matches)}
    # the number before, while that is inside of an item
    inner: int | None = None
    for index, match in enumerate(matches):
        number = _number(match)
        last = _number(starts[-1]) if starts else number
        if number > last + _WIDEST_GAP:
            continue
        if inner is not None and (number != last + 1 or (number == inner + 1 and last_index[number] > index)):
            inner = number
            continue
        inner = None
        if lowest < number <= last and (holder := _holder(starts, number, lowest)) is not None:
            # behind a list that an item held
            del starts[holder + 1 :]
            while holders and holders[-1] >= holder:
                holders.pop()
            holders.append(holder)
        elif starts and number <= last and _announces_a_list(text[starts[-1].end() : match.start()]):
            holders.append(len(starts) - 1)
            inner = number
            continue
        starts.append(match)
    return starts, holders


def _holder(starts: Sequence[re.Match[str]], number: int, lowest: int) -> int | None:
    """The last item before ``number`` in its list, if another list began behind it."""
    begun_again = False
    for index in range(len(starts) - 1, max(-1, len(starts) - 1 - _LONGEST_OWN_LIST), -1):
        if begun_again and _number(starts[index]) == number - 1:
            return index
        begun_again = begun_again or _number(starts[index]) == lowest
    return None


def _announces_a_list(item: str) -> bool:
    """Whether an item ends with a colon, and not with the heading of another list."""
    return item.rstrip(" \n*_").endswith(":") and not _PARAGRAPHS.search(item.strip())


def _deepest(first: re.Match[str]) -> int:
    """One more space than the first item has: the numbers of a list may be aligned at their ends."""
    return _indentation(first) + 1


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
    for index, (match, following) in enumerate(pairwise(starts)):
        if match.re is _NUMBERED and _number(following) <= _number(match):
            items[index] = _HEADING.sub("", items[index])
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
