"""Texts of events, wherever a character is cut."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from codecascade.generation.gateway.pieces import WholeCharacters

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
