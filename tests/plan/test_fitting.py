"""What a run asks before it begins: whether everything fits, and on which mesh."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from codecascade.ground.errors import UserError
from codecascade.plan.devices import DEVICES
from codecascade.plan.fitting import refuse_misfits, with_meshes
from codecascade.plan.plan import make_plan
from codecascade.recipe import Recipe, make_recipe
from codecascade.recipe.settings import to_data


def recipe_of(base: str, **stage: Any) -> Recipe:
    one = {
        "name": "code",
        "kind": "code",
        "parent": "base",
        "steps": 1,
        "evaluate": {"benchmarks": []},
        **stage,
    }
    return make_recipe(
        {"name": "x", "base": base, "corpus": "stdlib", "evaluate": {"benchmarks": []}, "stage": [one]}
    )


def test_what_does_not_fit_is_refused_with_the_smallest_change() -> None:
    recipe = recipe_of("llama-2-70b", activation_checkpointing="full")
    plan = make_plan(recipe, devices=8, device=DEVICES["a100-80gb"])
    with pytest.raises(
        UserError, match=r"x.toml: does not fit .* code: does not fit.* use 16 devices"
    ) as caught:
        refuse_misfits(plan, ["code"], "x.toml")
    assert "or set train = 'lora'" in str(caught.value)
    refuse_misfits(plan, [])  # it is trained already
    refuse_misfits(make_plan(recipe, devices=64, device=DEVICES["a100-80gb"]), ["code"])


def test_the_setting_that_is_named_is_enough() -> None:
    def misfits(kind: str, memory: str) -> Mapping[str, str]:
        recipe = recipe_of("llama-2-7b", batch_tokens=4 * 4096, activation_checkpointing=kind)
        return make_plan(recipe, devices=4, device=DEVICES["l40s"], memory=memory).misfits

    # of the two kinds the one of less work, where that is enough
    for memory, before, named in (
        ("32GB", "none", "selective"),
        ("30GB", "none", "full"),
        ("30GB", "selective", "full"),
    ):
        assert f"set activation_checkpointing = '{named}'" in misfits(before, memory)["code"]
        assert not misfits(named, memory)


def test_what_holds_for_several_stages_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = to_data(recipe_of("llama-2-70b", activation_checkpointing="full"))
    others = [{**data["stage"][0], "name": name, "parent": "code"} for name in ("more", "last")]
    recipe = make_recipe({**data, "stage": [*data["stage"], *others]})
    plan = make_plan(recipe, devices=8, device=DEVICES["a100-80gb"])
    assert [words for words in plan.warnings if "does not fit" in words] == [
        f"code, more, last: {plan.misfits['code']}"
    ]
    with pytest.raises(UserError, match=r"memory\. more, last: does not fit: weights[^:]*$"):
        refuse_misfits(plan, ["more", "last"])
    monkeypatch.setattr(os, "sysconf", lambda name: 1)
    with pytest.raises(UserError, match=r"memory\. code, more, last: weights[^:]*$"):
        refuse_misfits(make_plan(recipe), ["code", "more", "last"])


def test_a_model_that_is_measured_must_fit_into_a_device() -> None:
    recipe = recipe_of("llama-2-70b", activation_checkpointing="full", evaluate={"benchmarks": ["humaneval"]})
    plan = make_plan(recipe, devices=64, device=DEVICES["a100-80gb"])
    with pytest.raises(UserError, match=r"measuring code takes .* set evaluate.engine = 'vllm'"):
        refuse_misfits(plan, ["code"])
    refuse_misfits(make_plan(recipe, devices=64, device=DEVICES["b200"]), ["code"])


def test_a_machine_without_a_gpu_has_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 16 * 2**30 // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    with pytest.raises(
        UserError, match=r"code: weights, gradients and optimizer take 108 GB of this machine's 17"
    ):
        refuse_misfits(make_plan(recipe_of("llama-2-7b")), ["code"])
    refuse_misfits(make_plan(recipe_of("smollm2-135m")), ["code"])
    # 16 machines with a rank each
    refuse_misfits(make_plan(recipe_of("llama-2-7b"), devices=16), ["code"])


def test_a_run_gets_the_planned_mesh() -> None:
    recipe = recipe_of("llama-2-7b", activation_checkpointing="full")
    plan = make_plan(recipe, devices=64, device=DEVICES["a100-80gb"])
    meshed = with_meshes(recipe, plan)["code"]
    assert meshed.sharing.data_shard == -1, "the kept recipe is not bound to the number of devices"
    assert meshed.sharing.shape(64) == plan["code"].mesh
    assert with_meshes(recipe, make_plan(recipe))["code"] == recipe["code"]
