"""In how many ways a true middle can be written and ended, and that their probabilities add up."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codecascade.evaluation.benchmarks.heldout.ways import written_ways
from codecascade.evaluation.running.driver import reference_row
from codecascade.generation.backend import ReferenceScores
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

LAYOUTS = ("psm", "spm", "left_to_right")
CODE = st.text("ab(),:= \n\r\té", max_size=30)


@pytest.fixture(scope="module")
def llama() -> Tokenizer:
    return add_infilling_tokens(train_tokenizer([inspect.getsource(inspect)], 600, kind="llama"))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prefix=CODE, middle=CODE.filter(bool), suffix=CODE, layout=st.sampled_from(LAYOUTS))
@pytest.mark.parametrize("kind", ["llama", "bytes"])
def test_each_way_writes_the_middle_and_one_token_that_goes_beyond(
    tokenizer: Any, llama: Any, kind: str, prefix: str, middle: str, suffix: str, layout: str
) -> None:
    tokens = tokenizer if kind == "bytes" else llama
    ended, *others = written_ways(tokens, prefix, middle, suffix, layout)
    assert ended.ends and not any(way.ends for way in others) and len(others) <= 2
    assert bool(others) == bool(suffix)
    end = tokens.end_of_document_id if layout == "left_to_right" else tokens.infilling.end
    assert ended.ids[-1] == end

    def text(ids: tuple[int, ...]) -> bytes:
        return b"".join(map(tokens.token_bytes, ids))

    written = text(ended.ids)
    assert written.endswith(middle.encode())
    following = suffix.encode()
    for way in others:
        behind = text(way.ids)[len(written) :]
        last = tokens.token_bytes(way.ids[-1])
        assert text(way.ids).startswith(written) and behind and following.startswith(behind)
        assert len(last) >= len(behind), "one token goes beyond the middle"
    ways = [way.ids for way in (ended, *others)]
    for one in ways:
        assert not any(other is not one and other[: len(one)] == one for other in ways)


def test_a_sign_and_the_line_break_behind_it_may_be_one_token(tokenizer: Any) -> None:
    line, goes_on = "x = 1", "\n\n    y = 2\n"
    found = written_ways(tokenizer, "def f():\n    ", line, goes_on, "psm")
    ends = [b"".join(map(tokenizer.token_bytes, way.ids[-1:])) for way in found]
    assert ends[0] == b"" and b"\n" in ends[1:]


def test_the_probabilities_of_the_ways_add_up() -> None:
    ways = [ReferenceScores((math.log(0.5), math.log(0.1)), ends=True), ReferenceScores((math.log(0.2),))]
    row = reference_row(ways)
    assert math.exp(-row["answer_nats"]) == pytest.approx(0.05 + 0.2)
    assert math.exp(-row["reference_nats"]) == pytest.approx(0.05) and row["reference_tokens"] == 2
    assert math.exp(-row["end_nats"]) == pytest.approx(0.1)
    # No way of them can be told from impossible: their sum is, too, and no error.
    assert reference_row([ReferenceScores((-2000.0,)), ReferenceScores((-2001.0,))])["answer_nats"] < 2000.0
