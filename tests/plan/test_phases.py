"""What a stage takes besides its steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from rich.console import Console
from tiny_run import LENGTH, CountingStream, tiny_model

from codecascade.plan.devices import Device, this_device
from codecascade.plan.display import plan_tables
from codecascade.plan.memory.phases import stage_memory
from codecascade.plan.memory.step import step_memory
from codecascade.plan.plan import make_plan
from codecascade.recipe import Recipe, make_recipe
from codecascade.training.checkpoints.tensors import local_bytes, tensors_of
from codecascade.training.learner import Learner
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.settings import MeshShape

ALONE = World(0, 1, torch.device("cpu"), None)


def recipe_of(base: str = "smollm2-135m", **stage: Any) -> Recipe:
    one = {"name": "code", "kind": "code", "parent": "base", "steps": 2, "infilling": {"rate": 0.0}, **stage}
    evaluate: dict[str, Any] = {"benchmarks": []}
    return make_recipe({"name": "x", "base": base, "corpus": "stdlib", "evaluate": evaluate, "stage": [one]})


@pytest.mark.parametrize("train", ["all", "lora"])
def test_the_copy_of_a_checkpoint_is_what_a_checkpoint_holds(train: str) -> None:
    stage = recipe_of(
        train=train, precision="fp32", sequence_length=LENGTH, batch_tokens=4 * LENGTH, lora_rank=4
    )["code"]
    model, mesh = tiny_model(), MeshShape(1, 1, 1, 1)
    step = step_memory(model.config, stage, mesh)
    planned = stage_memory(model.config, stage, mesh, step, per_machine=8).checkpoint_host
    learner = Learner(model, stage, 2, ALONE)
    learner.step(CountingStream().batch(range(4)), 1)
    tensors = tensors_of(learner.model, learner.optimizer.adamw)
    copied = local_bytes(tensors) - local_bytes(tensors["random"])
    # besides, AdamW counts the steps of each weight
    assert planned == pytest.approx(copied, rel=0.02)


def test_ranks_of_a_machine_make_their_copies_at_once() -> None:
    def copies(devices: int, **stage: Any) -> int:
        memory = make_plan(recipe_of(**stage), devices=devices, chooses=False)["code"].memory
        assert memory is not None
        return memory.checkpoint_host

    assert copies(8) == pytest.approx(copies(1), rel=1e-6)
    # two machines share it
    assert copies(16) == pytest.approx(copies(1) / 2, rel=1e-6)
    assert copies(1, async_checkpoints=False) == 0


def shown(recipe: Recipe, device: Device) -> str:
    console = Console(width=1000)
    with console.capture() as captured:
        console.print(plan_tables(make_plan(recipe, device=device)))
    return captured.get()


def test_a_machine_without_room_for_the_copy_is_told_what_happens() -> None:
    here = this_device(timed=False)
    assert here.host_memory is not None and here.host_memory > 1e8
    assert "its copy takes at most 1.61 GB" in shown(recipe_of(), replace(here, host_memory=10**12))
    small = shown(recipe_of(), replace(here, host_memory=2 * 10**9))
    assert "of which it has 2 GB: where there is no room, training waits" in small
    without = shown(recipe_of(async_checkpoints=False), replace(here, host_memory=2 * 10**9))
    assert "a checkpoint" not in without
