"""What of a file around the cursor a prompt has room for."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from codecascade.server.requests.fitting import fitted
from codecascade.tokens.tokenizer import Tokenizer

TEXTS = st.lists(
    st.sampled_from(["a = 1\n", "\n", "    return x", "é☃", "\r\n", "while first and second:\n"])
).map("".join)


def test_any_file_is_cut_to_about_the_room(tokenizer: Tokenizer) -> None:
    @settings(max_examples=200)
    @given(TEXTS, TEXTS, st.integers(-5, 60))
    # Less than no room is none, on both sides.
    @example(prefix="", suffix="a = 1\n" * 50, room=-1)
    @example(prefix="a = 1\n" * 50, suffix="a = 1\n" * 50, room=-5)
    def check(prefix: str, suffix: str, room: int) -> None:
        before, after = fitted(tokenizer, prefix, suffix, room)
        # The text next to the cursor stays.
        assert prefix.endswith(before) and suffix.startswith(after)
        # Some tokens more, for what was cut is encoded anew; the prompt's builder is exact.
        size = len(tokenizer.encode(before)) + len(tokenizer.encode_continuation(after))
        assert size <= max(room, 1) + 12
        whole = len(tokenizer.encode(prefix)) + len(tokenizer.encode_continuation(suffix))
        assert whole > room or (before, after) == (prefix, suffix)

    check()


def test_neither_side_starves(tokenizer: Tokenizer) -> None:
    lines = "".join(f"value_{number} = {number}\n" for number in range(500))
    before, after = fitted(tokenizer, lines, lines, 200)
    size = len(tokenizer.encode_continuation(after))
    assert 25 <= size <= 60 and 100 <= len(tokenizer.encode(before)) <= 160
    assert before.endswith("value_499 = 499\n") and before.startswith("value_")
    assert after.startswith("value_0 = 0\n") and after.endswith("\n")
    # What one does not need, the other has.
    before, after = fitted(tokenizer, "x = ", lines, 200)
    assert before == "x = " and len(tokenizer.encode_continuation(after)) > 150


def test_a_long_line_beside_the_cursor_is_cut_rather_than_left_out(tokenizer: Tokenizer) -> None:
    line = f"DATA = '{'a1' * 1500}'"
    for end in ("\n", "\n    "):
        before, after = fitted(tokenizer, f"import os\n\n{line}{end}", f"\n{line}\nx = 1\n", 200)
        assert len(before) > 50 and f"{line}{end}".endswith(before)
        assert len(after) > 20 and f"\n{line}".startswith(after)
