from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codecascade.tokens.healing import HealingConstraint, heal, heal_infilling, unhealed_text
from codecascade.tokens.infilling import add_infilling_tokens, infilling_prompt
from codecascade.tokens.tokenizer import Tokenizer

from .conftest import texts


def write(tokenizer: Tokenizer, kept: list[int], required: bytes, wanted: list[int]) -> bytes:
    """Continue with ``wanted`` ids, as far as healing constrains them; fails where one is not allowed."""
    constraint, generated = HealingConstraint(tokenizer, required), b""
    for token in wanted:
        allowed = constraint.allowed(generated)
        if allowed is None:
            break
        assert token in allowed
        generated += tokenizer.token_bytes(token)
    assert constraint.allowed(generated) is None
    assert generated.startswith(required)
    return generated


@given(prompt=texts)
def test_nothing_is_lost_and_the_original_is_always_allowed(tokenizer: Tokenizer, prompt: str) -> None:
    ids = [*tokenizer.bos(), *tokenizer.encode(prompt)]
    kept, required = heal(tokenizer, ids)
    assert ids[: len(kept)] == kept
    assert b"".join(map(tokenizer.token_bytes, ids[len(kept) :])) == required
    write(tokenizer, kept, required, ids[len(kept) :])


@given(prompt=texts, more=st.text(min_size=1))
@example(prompt="x = enu", more="merate(y)")
@example(prompt="def f(x):\n    ", more="return x")
@example(prompt="def f(x):\n", more="    return x")
def test_the_text_tokenised_whole_is_allowed(tokenizer: Tokenizer, prompt: str, more: str) -> None:
    """Where the kept ids begin the whole text's ids, the whole text's next ids are what may come."""
    kept, required = heal(tokenizer, tokenizer.encode(prompt))
    whole = tokenizer.encode(prompt + more)
    if whole[: len(kept)] == kept and required:
        write(tokenizer, kept, required, whole[len(kept) :])


def test_a_newline_and_its_indent_are_one_token_again(byte_level: Tokenizer) -> None:
    prompt, whole = "def f(x):\n", "def f(x):\n        return x"
    kept, required = heal(byte_level, byte_level.encode(prompt))
    assert required.endswith(b"\n")
    assert byte_level.encode(whole)[: len(kept)] == kept
    allowed = HealingConstraint(byte_level, required).allowed(b"")
    assert allowed is not None and byte_level.encode(whole)[len(kept)] in allowed


def test_several_steps_where_the_required_bytes_end_inside_a_token(byte_level: Tokenizer) -> None:
    """A cursor after an indent: the whole text has newline + 7 spaces, then space + word."""
    kept, required = heal(byte_level, byte_level.encode("x:\n        "))
    assert required == b"\n        "
    first, second = byte_level.encode("x:\n        return")[len(kept) :]
    constraint = HealingConstraint(byte_level, required)
    pieces = byte_level.token_bytes
    assert (pieces(first), pieces(second)) == (b"\n       ", b" return")
    assert first in (constraint.allowed(b"") or [])
    after = constraint.allowed(pieces(first)) or []
    assert second in after and all(pieces(token).startswith(b" ") for token in after)
    assert constraint.allowed(pieces(first) + pieces(second)) is None


@pytest.mark.parametrize("owed", [b"return", b" ", b"\n    ", "☺".encode(), "日".encode()[:2], b"\xff" * 3])
def test_allowed_is_exactly_what_agrees(tokenizer: Tokenizer, owed: bytes) -> None:
    allowed = HealingConstraint(tokenizer, b"ab" + owed).allowed(b"ab")
    expected = {
        token
        for token, piece in enumerate(tokenizer.pieces)
        if piece and (piece.startswith(owed) or owed.startswith(piece))
    }
    assert allowed is not None and len(allowed) == len(set(allowed)) and set(allowed) == expected


@given(prompt=texts)
def test_the_tail_is_the_longest_that_a_token_goes_beyond(tokenizer: Tokenizer, prompt: str) -> None:
    ids = tokenizer.encode(prompt)
    _, required = heal(tokenizer, ids)
    tails = [
        b"".join(map(tokenizer.token_bytes, ids[start:])) for start in range(max(0, len(ids) - 30), len(ids))
    ]
    fitting = [
        t for t in tails if any(len(piece) > len(t) and piece.startswith(t) for piece in tokenizer.pieces)
    ]
    assert required == (max(fitting, key=len) if fitting else b"")


def test_special_tokens_are_a_wall(tokenizer: Tokenizer) -> None:
    psm = infilling_prompt(tokenizer, "def f(x):\n    ", "\n")
    assert heal(tokenizer, psm) == (psm, b"")
    spm = infilling_prompt(tokenizer, "re", "\n", format="spm")
    kept, required = heal(tokenizer, spm)
    assert kept[-1] == tokenizer.infilling.middle and required.endswith(b"re")
    assert heal(tokenizer, []) == ([], b"")
    assert heal(tokenizer, [tokenizer.end_of_document_id]) == ([tokenizer.end_of_document_id], b"")


def test_nothing_required_leaves_everything_free(tokenizer: Tokenizer) -> None:
    assert HealingConstraint(tokenizer, b"").allowed(b"") is None


@given(prefix=texts, suffix=texts, other=texts, layout=st.sampled_from(["psm", "spm"]))
def test_an_infilling_prompt_is_healed_at_the_end_of_its_prefix(
    tokenizer: Tokenizer, prefix: str, suffix: str, other: str, layout: str
) -> None:
    own = infilling_prompt(tokenizer, prefix, suffix, format=layout)
    around = [*tokenizer.encode(other), *own]
    kept, required = heal_infilling(tokenizer, around, layout)
    if layout == "spm":
        assert (kept, required) == heal(tokenizer, around)
        assert unhealed_text(tokenizer, kept, required) == tokenizer.decode(around)
        return
    # as the vocabulary writes it
    prefix = tokenizer.decode(tokenizer.encode(prefix))
    shown = unhealed_text(tokenizer, *heal_infilling(tokenizer, own, layout))
    assert shown == prefix + tokenizer.decode_continuation(tokenizer.encode_continuation(suffix))
    # all but the end of the prefix is as it was
    at, taken = around.index(tokenizer.infilling.suffix), len(around) - len(kept)
    assert kept == [*around[: at - taken], *around[at:]]
    stays = [*own[: own.index(tokenizer.infilling.prefix) + 1], *tokenizer.encode(prefix)][: -taken or None]
    assert stays[-1] == tokenizer.infilling.prefix or prefix.startswith(tokenizer.decode(stays))
    # what the middle begins with is the end of the prefix, in whole characters
    assert prefix.endswith(required.decode())
    if stays[-1] == tokenizer.infilling.prefix:
        assert required.decode() == prefix


@pytest.mark.parametrize("text", ["x = '数は値", "# हिन्दी हिन", "k\n👩\u200d", "a ☺"])
def test_no_character_is_divided_between_prefix_and_middle(byte_level: Tokenizer, text: str) -> None:
    tokenizer = add_infilling_tokens(byte_level)
    for end in range(1, len(text) + 1):
        kept, required = heal_infilling(tokenizer, infilling_prompt(tokenizer, text[:end], "\n"), "psm")
        assert text[:end].endswith(required.decode())
        assert "\ufffd" not in tokenizer.decode(kept)


def test_without_infilling_tokens_there_is_no_such_prompt(byte_level: Tokenizer) -> None:
    with pytest.raises(ValueError, match="without infilling tokens"):
        heal_infilling(byte_level, [1, 2], "psm")
