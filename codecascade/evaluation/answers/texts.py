"""Extracts an answer from text that a model wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TAG = re.compile(r"(?:python3?|py)?[ \t]*\r?\n", re.IGNORECASE)
FENCE = "\n```"
"""A stop string for code that is continued: a model that was taught to chat closes it as in a reply, with the fence
of a Markdown block. What follows is hardly ever code.
"""
_NUMBER = re.compile(r"(?:(?<!\d)-)?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
# What ends a reply, where a server leaves it in.
_LAST_TOKENS = (
    *("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|endoftext|>", "<|end_of_text|>"),
    *("</s>", "<eos>", "<end_of_turn>", "<｜end▁of▁sentence｜>", "<|END_OF_TURN_TOKEN|>", "[/INST]"),
)


def without_language_tag(code: str) -> str:
    """The text after an opening fence, without the language's name and the line break after it."""
    tag = _TAG.match(code)
    return code[tag.end() :] if tag else code


def cut_at_stops(text: str, stops: Sequence[str]) -> str:
    """A text up to the first of the stop strings. A text that was cut before stays as it is."""
    return text[: min((position for stop in stops if (position := text.find(stop)) >= 0), default=len(text))]


def first_line(text: str) -> str:
    """The text up to its first line break."""
    return text.partition("\n")[0]


def first_nonblank_line(text: str) -> str:
    """The first line that is not blank, without white space around it; "" if there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def last_number(text: str) -> str | None:
    """The last number of a text as plain digits: without ``$``, thousands separators, and zeros at a fraction's
    end.
    """
    numbers: list[str] = _NUMBER.findall(text)
    if not numbers:
        return None
    digits = numbers[-1].replace("$", "").replace(",", "")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def without_last_tokens(reply: str) -> str:
    """A reply without the control tokens at its end, which would be no Python; unchanged if there are none."""
    kept = end = len(reply)
    while True:
        while end and reply[end - 1].isspace():
            end -= 1
        last = next((token for token in _LAST_TOKENS if reply.endswith(token, 0, end)), None)
        if last is None:
            return reply[:kept]
        kept = end = end - len(last)
