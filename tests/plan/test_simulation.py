"""The estimate of a step's memory and traffic beside a simulated step: real model, real parallelisation, no data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.model.rope import frequencies
from codecascade.plan.memory.step import step_memory
from codecascade.plan.plan import make_plan
from codecascade.plan.simulation.simulated import SimulatedStep
from codecascade.plan.simulation.stages import simulate_stages
from codecascade.plan.simulation.step import simulate_step
from codecascade.plan.traffic import traffic
from codecascade.recipe import make_recipe
from codecascade.recipe.settings import Recipe, Stage

LARGE_LAYERS = LlamaConfig(
    vocab_size=4096,
    hidden_size=1024,
    intermediate_size=2816,
    num_hidden_layers=2,
    num_attention_heads=8,
    num_key_value_heads=4,
    head_dim=128,
    max_position_embeddings=8192,
)
"""In the proportions of a large model, where no part is small."""
MEMORY = 80 * 10**9


def stage_of(parallel: dict[str, Any], *, rows: int, length: int = 512, **settings: Any) -> Stage:
    one = {
        "name": "code",
        "kind": "code",
        "parent": "base",
        "steps": 1,
        "batch_tokens": rows * length,
        "sequence_length": length,
        "parallel": parallel,
        **settings,
    }
    return make_recipe({"name": "x", "base": "smollm2-135m", "corpus": "stdlib", "stage": [one]}).stage[0]


@pytest.mark.parametrize(
    ("parallel", "rows", "settings"),
    [
        ({"data_shard": 8}, 16, {}),
        (
            {"data_replicate": 2, "data_shard": 4, "context": 2, "tensor": 2},
            8,
            {"activation_checkpointing": "full"},
        ),
    ],
    ids=["two micro-batches", "all kinds of parallelism"],
)
def test_the_estimate_is_within_a_tenth(
    parallel: dict[str, int], rows: int, settings: dict[str, Any]
) -> None:
    stage = stage_of(parallel, rows=rows, **settings)
    devices = 1
    for count in parallel.values():
        devices *= count
    simulated = simulate_step(LARGE_LAYERS, stage, devices, memory=MEMORY)
    mesh = stage.sharing.shape(devices)
    estimate = step_memory(LARGE_LAYERS, stage, mesh, MEMORY)
    assert estimate.total == pytest.approx(simulated.total, rel=0.1)
    for kind in ("weights", "moments"):
        assert getattr(estimate, kind) == pytest.approx(simulated.peak[kind], rel=0.02)
    sent = traffic(LARGE_LAYERS, stage, mesh, MEMORY)
    assert sent.total == pytest.approx(sum(simulated.sent.values()), rel=0.1)


def test_a_simulation_leaves_nothing_behind() -> None:
    stage = stage_of({"data_shard": 2}, rows=2, length=64)
    small = LlamaConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
    )
    steps = [simulate_step(small, stage, 2) for _ in range(2)]
    assert steps[0] == steps[1]
    assert not dist.is_initialized()
    angles = frequencies(small.head_dim, small.rope_theta, None, torch.device("cpu"))
    assert angles.tolist()[0] == 1.0, "a real tensor"


def two_stages() -> Recipe:
    top = {"name": "x", "base": "smollm2-135m", "corpus": "stdlib"}
    first = {"name": "code", "kind": "code", "parent": "base", "steps": 1, "infilling": {"rate": 0.0}}
    return make_recipe({**top, "stage": [first, {**first, "name": "more", "parent": "code"}]})


def test_stages_whose_steps_are_alike_are_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def simulate(config: LlamaConfig, stage: Stage, devices: int, **_: Any) -> SimulatedStep:
        asked.append((stage.name, devices))
        return SimulatedStep({"weights": 1}, 1, {})

    monkeypatch.setattr("codecascade.plan.simulation.stages.simulate_step", simulate)
    recipe = two_stages()
    said: list[str] = []
    say: Callable[[str], None] = said.append
    found = simulate_stages(recipe, make_plan(recipe, devices=8), progress=say)
    assert list(found) == ["code", "more"]
    assert asked == [("code", 8)]
    assert said[-1] == "more: a step is like that of code"
    with pytest.raises(UserError, match="--only: there is no stage 'cod'; did you mean 'code'"):
        simulate_stages(recipe, make_plan(recipe, devices=8), only="cod", progress=say)
