"""How long a run is said to take: by FLOPs where steps are long, by a timed step where they are short."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from codecascade.cascade import budget
from codecascade.cascade.budget import say_how_long
from codecascade.cascade.display import RunDisplay
from codecascade.plan.plan import make_plan
from codecascade.plan.traffic import UTILISATION
from codecascade.recipe import make_recipe

DEVICE_FLOPS = 1e12


class FakeTimer:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked: list[str] = []

    def step_seconds(self, stage: Any) -> float:
        self.asked.append(stage.name)
        return self.seconds


def said(data: dict[str, Any], timer: FakeTimer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(budget, "this_device_flops", lambda: DEVICE_FLOPS)
    recipe = make_recipe(data)
    console = Console(file=io.StringIO(), width=300)
    say_how_long(recipe.stage, make_plan(recipe), timer, RunDisplay(console))  # type: ignore[arg-type]
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_short_steps_are_timed(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Small models use a device badly: by their FLOPs alone nothing would be ahead."""
    data["stage"] = [data["stage"][0] | {"steps": 1000}]
    timer = FakeTimer(0.5)
    text = said(data, timer, monkeypatch)
    assert timer.asked == ["code"]
    assert "ahead: about 8 min 20 s of training (code) and" in text
    assert "about a minute or less of training" in said(data, FakeTimer(0.001), monkeypatch)


def test_nothing_is_said_to_take_no_time(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert " 0 s" not in said(data, FakeTimer(1e-9), monkeypatch)


def test_long_steps_are_estimated(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """To time one would cost minutes."""
    data |= {"base": "smollm2-135m"}
    del data["tokenizer"]
    steps, tokens = 7, 2**20
    data["stage"] = [{**data["stage"][0], "steps": steps, "sequence_length": 2048, "batch_tokens": tokens}]
    timer = FakeTimer(0.5)
    text = said(data, timer, monkeypatch)
    assert timer.asked == []
    step_flops = make_plan(make_recipe(data))["code"].step_flops
    assert step_flops is not None
    hours = steps * step_flops / (DEVICE_FLOPS * UTILISATION) / 3600
    assert f"ahead: about {int(hours)} h" in text
