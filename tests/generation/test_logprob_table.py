"""Log-probabilities side by side: a list of entries in a fraction of their memory."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.generation.logprob_table import LogprobTable, TokenLogprobs

LIKELIHOODS = st.floats(max_value=0.0, allow_nan=False)
ENTRIES = st.lists(
    st.builds(
        TokenLogprobs,
        st.integers(0, 2**40),
        LIKELIHOODS,
        st.lists(st.tuples(st.integers(0, 2**40), LIKELIHOODS), max_size=3).map(tuple),
    )
)


@given(ENTRIES, ENTRIES, st.integers(0, 9), st.integers(-9, 9), st.integers(-9, 9))
def test_it_is_a_list(
    first: list[TokenLogprobs], more: list[TokenLogprobs], length: int, start: int, end: int
) -> None:
    table = LogprobTable(first)
    table.truncate(length)
    table.extend(more)
    wanted = [*first[:length], *more]
    assert table == wanted and len(table) == len(wanted) and list(reversed(table)) == wanted[::-1]
    assert table[start:end] == wanted[start:end]
    assert [table[index] for index in range(-len(wanted), len(wanted))] == wanted * 2
    with pytest.raises(IndexError):
        table[len(wanted)]


def test_its_memory() -> None:
    def entries() -> Iterator[TokenLogprobs]:
        for index in range(2000):
            top = tuple((index + n + 300, -0.1 * n * math.pi) for n in range(20))
            yield TokenLogprobs(index + 300, -math.pi * index, top)

    def held_by(collection: Callable[[Iterator[TokenLogprobs]], Sequence[TokenLogprobs]]) -> int:
        tracemalloc.start()
        try:
            kept = collection(entries())
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(kept) == 2000
        return held

    assert held_by(LogprobTable) < held_by(list) / 4
