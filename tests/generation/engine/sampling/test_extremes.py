"""Settings at the ends of what numbers hold mean what they say, or are refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codecascade.generation.engine.sampling.sampler import SamplingRow, choose
from codecascade.generation.engine.sampling.token_counts import TokenCounts, penalise
from codecascade.generation.requests import SamplingParams
from codecascade.ground.errors import UserError

MOST = torch.finfo(torch.float32).max
ANY = st.floats(-MOST, MOST)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", 1e300),
        ("repetition_penalty", 3.5e38),
        ("presence_penalty", 1e39),
        ("frequency_penalty", -1e39),
        ("logit_bias", ((1, 1e39),)),
        ("logit_bias", ((1, -1e39),)),
    ],
)
def test_what_float32_does_not_hold_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(UserError, match="must be") as caught:
        SamplingParams(**{key: value})
    assert caught.value.key == key


@given(
    repetition=st.floats(0, MOST, exclude_min=True),
    presence=ANY,
    frequency=ANY,
    logits=st.lists(st.one_of(st.floats(-100, 100, width=32), st.just(-torch.inf)), min_size=4, max_size=4),
)
def test_penalties_give_numbers_and_what_is_ruled_out_stays_out(
    repetition: float, presence: float, frequency: float, logits: list[float]
) -> None:
    params = SamplingParams(
        repetition_penalty=repetition, presence_penalty=presence, frequency_penalty=frequency
    )
    counts = TokenCounts([0])
    for token in (1, 1, 2):
        counts.add(token)
    after = torch.tensor([logits])
    penalise(after, [(0, params, counts)])
    expected = torch.tensor([logits])
    assert not after.isnan().any() and not after.isposinf().any()
    assert torch.equal(after.isneginf(), expected.isneginf())
    assert after[0, 3] == expected[0, 3]


@pytest.mark.parametrize("top_k", [2**31, 2**63, 10**30])
def test_more_tokens_than_a_vocabulary_has_are_all(top_k: int) -> None:
    logits = torch.arange(6.0)[None]
    rows = [SamplingRow(SamplingParams(temperature=1.0, top_k=each), 0.01) for each in (0, top_k)]
    first, second = choose(logits.repeat(2, 1), rows, 6).tokens.tolist()
    assert first == second < 5


def test_the_hottest_temperature_is_near_to_no_preference() -> None:
    rows = [SamplingRow(SamplingParams(temperature=MOST), (n + 0.5) / 4) for n in range(4)]
    assert choose(torch.tensor([[5.0, -5.0, 0.0, 9.0]]).repeat(4, 1), rows, 4).tokens.tolist() == [0, 1, 2, 3]
