"""One turn of a dialogue, and which turns are left of one that has become too long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """One turn of a dialogue; ``role`` is "system", "user" or "assistant"."""

    role: str
    content: str


def latest_turns(messages: Sequence[Message], fit: Callable[[Sequence[Message]], bool]) -> list[Message]:
    """A dialogue that is too long, without as few of its oldest turns as possible.

    A system message at its beginning stays. So does the last turn, even if it does not fit alone.

    Args:
        fit: whether there is room for such a part of the dialogue.
    """
    system = [message for message in messages[:1] if message.role == "system"]
    turns = [index for index in range(len(system) + 1, len(messages)) if messages[index].role == "user"]

    def since(turn: int) -> list[Message]:
        return [*system, *messages[turn:]]

    if not turns:
        return list(messages)
    return since(turns[bisect_left(turns, True, hi=len(turns) - 1, key=lambda turn: fit(since(turn)))])
