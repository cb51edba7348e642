"""What is guessed, and when guessing pays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codecascade.generation.engine.drafts import Drafter, PromptLookup, RecentTexts


def test_what_followed_the_last_tokens_is_guessed_to_follow_again() -> None:
    lookup = PromptLookup()
    assert lookup.guess([1, 2, 3, 4, 5], 9) == []
    assert lookup.guess([1, 2, 3, 4, 5, 1, 2, 3], 9) == [4, 5, 1, 2]
    lookup.learn(4, 4)
    assert lookup.guess([1, 2, 3, 4, 5, 1, 2, 3], 9) == [4, 5, 1, 2, 3]
    assert lookup.guess([1, 2, 3, 4, 5, 1, 2, 3], 2) == [4, 5]
    lookup.learn(5, 1)
    assert lookup.guess([1, 2, 3, 4, 5, 1, 2, 3], 9) == [4, 5]
    # the latest occurrence counts
    assert lookup.guess([1, 2, 3, 4, 5, 1, 2, 3, 7, 1, 2, 3], 1) == [7]


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 8))
def test_guesses_are_the_same_token_by_token_or_at_once(ids: list[int], most: int) -> None:
    growing = PromptLookup()
    for end in range(len(ids) + 1):
        found = growing.guess(ids[:end], most)
        assert found == PromptLookup().guess(ids[:end], most) and len(found) <= most
        if found:
            before = [at for at in range(3, end) if ids[at - 3 : at] == ids[end - 3 : end]]
            assert found == ids[before[-1] : end][: len(found)]


def passes(drafter: Drafter, rows: int, count: int, *, drafted_seconds: float, chosen: int) -> int:
    """How many of ``count`` passes have drafts, where a row alone takes a second without."""
    drafts = 0
    for _ in range(count):
        gain = drafter._gain(rows)
        if gain.pays:
            drafts += 1
            gain.with_drafts(chosen, drafted_seconds)
        else:
            gain.without(rows, float(rows))
    return drafts


def test_drafts_are_left_off_while_they_do_not_pay_and_tried_again() -> None:
    drafter = Drafter()
    # verified for the time of three rows, and one more token than without
    slow = passes(drafter, 8, 2_000, drafted_seconds=24.0, chosen=9)
    assert 3 <= slow < 30
    # the same machine, alone: two more tokens for half as much time again
    fast = passes(drafter, 1, 2_000, drafted_seconds=1.5, chosen=3)
    assert fast > 1_800
    # the neighbour has gone, and drafts pay with eight rows, too
    assert passes(drafter, 8, 2_000, drafted_seconds=9.0, chosen=16) > 1_000


def test_what_another_text_had_is_guessed_to_come_again() -> None:
    recent = RecentTexts()
    recent.add([1, 2, 3, 4, 5, 6, 7, 8, 9], 5)
    # as typed on from the same prompt, the prompt's end included
    assert recent.guess([0, 2, 3, 4, 5], 9) == [6, 7, 8, 9]
    assert recent.guess([4, 5, 6, 7], 1) == [8]
    assert recent.guess([9, 3, 4, 5], 9) == [] and recent.guess([6, 7, 8, 9], 9) == []
    recent.add([3, 4, 5, 6, 7, 1], 5)
    assert recent.guess([4, 5, 6, 7], 9) == [1]


def held(recent: RecentTexts) -> int:
    """Tokens of all texts that are kept for any n-gram."""
    texts = {id(text): len(text) for text, _ in recent._last.values()}
    return sum(texts.values())


def test_texts_that_are_remembered_are_bounded() -> None:
    recent = RecentTexts()
    for first in range(0, 60_000, 100):
        recent.add(range(first, first + 110), 4)
    assert held(recent) <= recent.tokens <= 1 << 14
    assert recent.guess(range(59_990, 59_994), 2) == [59_994, 59_995]
    assert recent.guess(range(10, 14), 2) == []


def test_texts_that_repeat_themselves_are_bounded_as_others() -> None:
    """As greedy texts of small models do: each has few n-grams of its own, and many tokens."""
    recent = RecentTexts()
    for number in range(200):
        recent.add([7, 7, 7, 7, 100 + number, *[5] * 1_000], 4)
    assert held(recent) <= recent.tokens <= 1 << 14
    assert recent.guess([7, 7, 7, 299], 1) == [5] and recent.guess([7, 7, 7, 100], 1) == []
    # one text that is longer than all that is kept
    recent.add(range(1 << 15), 4)
    assert held(recent) == recent.tokens == 1 << 14
    assert recent.guess(range((1 << 15) - 5, (1 << 15) - 1), 9) == [(1 << 15) - 1]
    assert recent.guess([5, 5, 5, 5], 1) == []


def test_what_is_forgotten_is_forgotten_whole() -> None:
    recent = RecentTexts()
    for first in range(0, 40_000, 1_000):
        recent.add(range(first, first + 1_000), 4)
        recent.add([3, 3, 3], 3)
    assert len(recent._last) == sum(len(text) - 4 for text in recent._texts)
