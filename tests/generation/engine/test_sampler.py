from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codecascade.generation.engine.sampler import choose, nucleus
from codecascade.generation.requests import SamplingParams
from codecascade.ground.errors import UserError


def test_the_token_that_crosses_the_mass_stays() -> None:
    probabilities = torch.tensor([[0.1, 0.5, 0.15, 0.25]])
    assert nucleus(probabilities, torch.tensor([0.6])).tolist() == [[0.0, 0.5, 0.0, 0.25]]
    # The mass before the second token is exactly 0.5: it does not exceed top_p, so the token stays.
    assert nucleus(probabilities, torch.tensor([0.5]))[0].count_nonzero() == 2
    assert nucleus(probabilities, torch.tensor([0.49]))[0].count_nonzero() == 1
    assert nucleus(probabilities, torch.tensor([1.0])).tolist() == probabilities.tolist()


def test_temperature_and_nucleus_are_of_each_row() -> None:
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log().expand(4, 4)
    temperature = torch.tensor([0.0, 1.0, 1.0, 0.5])
    top_p = torch.tensor([1.0, 1.0, 0.6, 1.0])
    uniforms = torch.full((4,), 0.05, dtype=torch.float64)
    # Greedy; the first tenth is token 0; without tokens 0 and 2 it is 1; at 0.5 token 0 has 0.01 / 0.345 = 0.029.
    assert choose(logits, temperature, top_p, uniforms).tolist() == [1, 0, 1, 1]


@given(st.lists(st.integers(-32, 32), min_size=2, max_size=12), st.floats(0.05, 1), st.floats(0.2, 3))
def test_sampling_is_the_inverse_of_the_distribution(
    quarters: list[int], top_p: float, temperature: float
) -> None:
    """A fine grid of draws gives each token the share that the definition of the nucleus gives it."""
    logits = torch.tensor(quarters, dtype=torch.float64) / 4
    probabilities = torch.softmax(logits / temperature, -1)
    kept, mass, near_edge = [], 0.0, False
    for token in sorted(range(len(quarters)), key=lambda token: -probabilities[token].item()):
        near_edge |= abs(mass - top_p) < 1e-4
        if mass > top_p and probabilities[token] < 0.999 * probabilities[kept[-1]]:
            break
        kept.append(token)
        mass += probabilities[token].item()
    grid = (torch.arange(512, dtype=torch.float64) + 0.5) / 512
    drawn = choose(
        logits.float().expand(512, -1), torch.full((512,), temperature), torch.full((512,), top_p), grid
    )
    shares = torch.bincount(drawn, minlength=len(quarters)) / 512
    for token in range(len(quarters)):
        expected = probabilities[token].item() / mass if token in kept else 0.0
        assert near_edge or shares[token].item() == pytest.approx(expected, abs=1 / 256 + 1e-4)


def test_forbidden_tokens_are_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0]]).expand(3, 4)
    uniforms = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert choose(logits, torch.ones(3), torch.ones(3), uniforms).tolist() == [1, 3, 3]


@pytest.mark.parametrize(
    "wrong", [{"max_new_tokens": 0}, {"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.5}]
)
def test_impossible_settings_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        SamplingParams(**wrong)
