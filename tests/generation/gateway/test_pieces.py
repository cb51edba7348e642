"""Texts of events, wherever a character is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.generation.gateway.pieces import WholeCharacters, piece_of
from codecascade.generation.transport import NoReplyError

TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("\U0001f642\U00010000a")))


@given(TEXTS, st.integers(1, 5))
def test_a_text_is_whole_however_its_utf_16_is_cut(text: str, size: int) -> None:
    units = text.encode("utf-16-le")
    cut = [
        units[at : at + 2 * size].decode("utf-16-le", "surrogatepass")
        for at in range(0, len(units), 2 * size)
    ]
    characters = WholeCharacters()
    found = [characters.push(json.loads(json.dumps(piece))) for piece in cut]
    assert "".join(found) == text
    for piece in found:
        piece.encode()


@pytest.mark.parametrize("choice", [{}, {"text": None}, {"text": ""}, {"message": None}, {"delta": None}])
def test_an_event_that_leaves_out_what_is_not_there_says_nothing(choice: dict[str, None]) -> None:
    assert not piece_of({"choices": [{"index": 0, **choice}]}, None).is_progress
    assert piece_of({"choices": [{"index": 0, **choice, "finish_reason": "stop"}]}, None).is_progress


@pytest.mark.parametrize("reason", [None, "stop"])
def test_an_event_of_a_chat_is_none(reason: str | None) -> None:
    with pytest.raises(NoReplyError):
        piece_of({"choices": [{"delta": {"content": "a"}, "finish_reason": reason}]}, None)
