"""The length of a run, its settings' checks, and the learning rate over it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from codecascade.training.schedule import default_warmup, learning_rate_factor
from codecascade.training.settings import TrainingSettings


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings(
        **{"sequence_length": 128, "batch_tokens": 512, "learning_rate": 3e-4, **changes}  # type: ignore[arg-type]
    )


def test_a_budget_in_tokens_is_rounded_up_to_whole_steps() -> None:
    assert settings(tokens=1024).total_steps == 2
    assert settings(tokens=1025).total_steps == 3
    assert settings(steps=7).total_steps == 7


def test_a_budget_in_minutes_becomes_steps_on_a_machine() -> None:
    timed = settings(minutes=2)
    assert timed.total_steps is None
    resolved = timed.with_step_seconds(7.0)
    assert (resolved.steps, resolved.minutes, resolved.total_steps) == (17, None, 17)
    assert TrainingSettings(**resolved.model_dump()) == resolved
    assert settings(minutes=0.01).with_step_seconds(60).total_steps == 1
    assert settings(minutes=1, warmup_steps=100).with_step_seconds(6).warmup_steps == 9
    assert settings(steps=3).with_step_seconds(1) == settings(steps=3)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, "exactly one of steps, tokens and minutes"),
        ({"steps": 3, "tokens": 5}, "steps, tokens"),
        ({"steps": 3, "batch_tokens": 500}, "multiple of sequence_length"),
        ({"steps": 10, "warmup_steps": 10}, "warmup_steps"),
        ({"steps": 0}, "steps"),
        ({"steps": 1, "learning_rat": 1}, "learning_rat"),
    ],
)
def test_what_can_not_run_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        settings(**changes)


def test_rate_rises_linearly_then_falls_to_its_end() -> None:
    factors = [learning_rate_factor(step, 100, 10, 1 / 30) for step in range(1, 101)]
    assert factors[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert factors[-1] == pytest.approx(1 / 30)
    assert learning_rate_factor(55, 100, 10, 0.2) == pytest.approx(0.6)  # half way: between peak and end


@given(steps=st.integers(1, 5000), ratio=st.floats(0, 1))
def test_rate_stays_between_zero_and_the_peak(steps: int, ratio: float) -> None:
    warmup = default_warmup(steps)
    assert warmup < steps
    factors = [
        learning_rate_factor(step, steps, warmup, ratio) for step in {1, warmup + 1, steps // 2 + 1, steps}
    ]
    assert all(0 < factor <= 1 or ratio == 0 for factor in factors)
    assert learning_rate_factor(steps, steps, warmup, ratio) == pytest.approx(
        ratio if steps > 1 else factors[0]
    )


def test_paper_warms_up_for_a_thousand_steps() -> None:
    assert default_warmup(1_000_000) == 1000
    assert default_warmup(1000) == 20
    assert default_warmup(40) == 0


@pytest.mark.parametrize("key", ["lora_rank", "lora_alpha"])
def test_low_rank_updates_are_not_forgotten_in_silence(key: str) -> None:
    with pytest.raises(ValidationError, match=rf"{key} \(8\) is of low-rank updates; set train = 'lora'"):
        settings(steps=7, **{key: 8})
    for train in ("lora", "all"):
        assert getattr(settings(steps=7, train=train, **{key: 8}), key) == 8
    assert settings(**settings(steps=7).model_dump()) == settings(steps=7)
