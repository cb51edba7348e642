"""Which turns are left of a dialogue that has become too long."""

from __future__ import annotations

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
    users = [index for index, role in enumerate(roles) if role == "user"]
    if len(users) < 2:
        assert kept == messages
        return
    system = messages[:1] if roles[0] == "system" else []
    possible = [[*system, *messages[index:]] for index in users[1:]]
    assert kept == next((each for each in possible if fit(each)), possible[-1])
