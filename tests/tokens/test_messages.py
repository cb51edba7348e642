"""Which turns are left of a dialogue that has become too long."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from codecascade.tokens.messages import Message, latest_turns

ROLES = st.lists(st.sampled_from(["system", "user", "assistant"]), max_size=12)


@given(roles=ROLES, limit=st.integers(0, 13))
def test_as_few_turns_as_possible_are_left_out(roles: list[str], limit: int) -> None:
    messages = [Message(role, str(index)) for index, role in enumerate(roles)]

    def fit(kept: Sequence[Message]) -> bool:
        return len(kept) <= limit

    kept = latest_turns(messages, fit)
    system = messages[:1] if roles[:1] == ["system"] else []
    later = [index for index, role in enumerate(roles) if role == "user" and index > len(system)]
    possible = [[*system, *messages[index:]] for index in later] or [messages]
    assert kept == next((each for each in possible if fit(each)), possible[-1])


def test_a_greeting_before_the_first_question_is_left_out() -> None:
    messages = [Message("assistant", "Hello!"), Message("user", "Who are you?")]
    assert latest_turns(messages, lambda kept: len(kept) < 2) == messages[1:]


def test_a_long_dialogue_is_not_copied_for_each_of_its_turns() -> None:
    """A server takes ten thousand messages, which would be 400 MB."""
    messages = [Message("user", "a")] * 10_000
    tracemalloc.start()
    kept = latest_turns(messages, lambda kept: len(kept) < 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(kept) == 2 and peak < 2_000_000
