"""What was cut once is not changed by cutting it again: given samples are scored as generated ones."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from codecascade.evaluation.answers.replies import program_in, without_thoughts
from codecascade.evaluation.answers.texts import cut_at_stops, first_nonblank_line

_PIECES = [
    "def f(v):\n    return v\n",
    "def g():\n    pass\n",
    "import math\n",
    "```python\n",
    "```\n",
    "Sure, it's this:\n",
    "f(1)\n",
    "    return 1\n",
    '"""\n',
    "\n",
]
_replies = st.lists(st.sampled_from(_PIECES), max_size=8).map("".join)


@given(st.text("ab\n}", max_size=30), st.lists(st.text("ab\n}", min_size=1, max_size=3), max_size=4))
def test_a_text_is_cut_once(text: str, stops: list[str]) -> None:
    once = cut_at_stops(text, stops)
    assert (
        cut_at_stops(once, stops) == once
        and text.startswith(once)
        and not any(stop in once for stop in stops)
    )
    assert first_nonblank_line(first_nonblank_line(text)) == first_nonblank_line(text)


@settings(deadline=None)
@given(_replies)
def test_an_answer_is_its_own_answer(reply: str) -> None:
    once = program_in(reply, {"f"})
    if "def f" in once:
        assert program_in(once, {"f"}) == once
    assert without_thoughts(once) == once
