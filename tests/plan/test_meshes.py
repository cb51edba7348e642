"""How the work is divided over devices: which meshes are possible, which one is chosen, and why."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from one_stage_recipe import one_stage

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.model.sources import config_of
from codecascade.plan.choosing import choose_mesh
from codecascade.plan.device_counts import numbers_near
from codecascade.plan.devices import DEVICES, device_named, this_device
from codecascade.plan.memory.step import step_memory
from codecascade.plan.mesh import can_have, meshes
from codecascade.plan.plan import make_plan
from codecascade.plan.traffic import step_seconds, traffic
from codecascade.recipe import read_recipe
from codecascade.training.parallel.settings import MeshShape

RECIPES = Path(__file__).parents[2] / "recipes"
A100 = DEVICES["a100-80gb"]


def shape_of(preset: str) -> LlamaConfig:
    config = config_of(preset)
    assert config is not None
    return config


@pytest.mark.parametrize("size", ["7b", "13b", "34b", "70b"])
@pytest.mark.parametrize("devices", [64, 128, 256, 512])
def test_the_papers_sizes_fit_on_80_gb(size: str, devices: int) -> None:
    recipe = read_recipe(RECIPES / f"code-llama-{size}.toml")
    plan = make_plan(recipe, devices=devices, device=A100)
    assert not set(plan.misfits) - {"measuring"}
    for stage, planned in zip(recipe.stage, plan.stages, strict=True):
        assert planned.mesh is not None and planned.config is not None
        assert planned.mesh.devices == devices
        assert can_have(planned.config, stage, planned.mesh)
        assert planned.memory_per_device is not None and planned.memory_per_device <= 80 * 10**9


@pytest.mark.parametrize("size", ["34b", "70b"])
def test_rows_that_are_too_few_are_shared_by_devices(size: str) -> None:
    """The long-context batch has 64 rows."""
    recipe = read_recipe(RECIPES / f"code-llama-{size}.toml")
    for devices in (128, 256, 512):
        choice = make_plan(recipe, devices=devices, device=A100)["long-context"].choice
        assert choice is not None
        assert choice.mesh.rows_shared_by >= devices // 64
        assert "64 rows of 16,384 can't be shared" in choice.reasons[0]


def test_a_model_that_fits_into_a_machine_is_replicated() -> None:
    """Then only sums of gradients go through the network. A model that does not fit is sharded over more."""
    small = make_plan(read_recipe(RECIPES / "code-llama-7b.toml"), devices=64, device=A100)["code"]
    large = make_plan(read_recipe(RECIPES / "code-llama-70b.toml"), devices=64, device=A100)["code"]
    assert small.mesh is not None and large.mesh is not None
    assert small.mesh.data_replicate > 1
    assert small.mesh.shards * small.mesh.tensor == 8
    assert large.mesh.shards * large.mesh.tensor > 8


def test_the_chosen_mesh_is_the_fastest_but_for_a_twentieth() -> None:
    recipe = read_recipe(RECIPES / "code-llama-70b.toml")
    stage, config = recipe["long-context"], shape_of("code-llama-70b")
    choice = choose_mesh(config, stage, 128, A100)
    assert choice is not None and A100.flops is not None and A100.memory is not None

    def seconds(mesh: MeshShape) -> float:
        return step_seconds(config, stage, mesh, A100, A100.flops or 1)

    fitting = [
        mesh
        for mesh in meshes(config, stage, 128, 8)
        if step_memory(config, stage, mesh, A100.memory).total <= A100.memory
    ]
    assert len(fitting) > 3
    assert seconds(choice.mesh) <= min(map(seconds, fitting)) / 0.95**3


def test_a_recipe_may_fix_the_mesh() -> None:
    recipe = one_stage(base="code-llama-7b", steps=1, parallel={"tensor": 4, "data_replicate": 2})
    choice = make_plan(recipe, devices=32, device=A100)["code"].choice
    assert choice is not None
    assert choice.mesh == MeshShape(2, 4, 1, 4)
    assert choice.reasons == ("fixed by the recipe",)


@pytest.mark.parametrize(
    ("parallel", "devices", "message"),
    [
        ({"tensor": 5}, 10, r"5 ranks can't share the model's num_attention_heads, 32"),
        ({"tensor": 3}, 8, r"3 ranks can't share .*num_attention_heads, 32, evenly; use a divisor of 32"),
        ({"context": 3}, 8, r"context 3 .*= 3 ranks do not divide the 8 ranks"),
        ({"data_shard": 4, "tensor": 4}, 8, r"16 ranks, but this run has 8 ranks"),
    ],
)
def test_a_fixed_mesh_that_can_not_be(parallel: dict[str, Any], devices: int, message: str) -> None:
    recipe = one_stage(base="code-llama-7b", steps=1, parallel=parallel)
    with pytest.raises(UserError, match=rf"x.toml: stage\[0\].parallel.*{message}"):
        make_plan(recipe, devices=devices, device=A100, file="x.toml")


def test_a_fixed_mesh_that_does_not_fit_names_the_smallest_change() -> None:
    recipe = one_stage(
        base="llama-2-70b",
        steps=1,
        parallel={"data_shard": 8, "data_replicate": 8},
        activation_checkpointing="full",
    )
    plan = make_plan(recipe, devices=64, device=A100)
    assert plan.misfits["code"].endswith("leave out [parallel]")


def test_traffic_of_known_cases() -> None:
    stage = one_stage(base="llama-2-7b", steps=1, batch_tokens=64 * 4096, infilling={"rate": 0.0}).stage[0]
    config = shape_of("llama-2-7b")
    parameters, tables = config.num_parameters(), 2 * 32_000 * 4096
    alone = traffic(config, stage, MeshShape(1, 1, 1, 1))
    assert alone.total == 0
    sharded = traffic(config, stage, MeshShape(1, 64, 1, 1))
    once = 2 * (2 * parameters - tables) + 4 * parameters
    assert sharded.shard == pytest.approx(63 / 64 * once, rel=1e-6)
    assert sharded.total == sharded.shard
    replicated = traffic(config, stage, MeshShape(8, 8, 1, 1))
    assert replicated.shard == pytest.approx(7 / 8 * once, rel=1e-6)
    assert replicated.replicate == pytest.approx(2 * 7 / 8 * 4 * parameters / 8, rel=1e-6)
    assert traffic(config, stage, MeshShape(1, 32, 2, 1)).context > 0
    assert traffic(config, stage, MeshShape(1, 32, 1, 2)).tensor > 0


def test_devices_by_name() -> None:
    assert device_named("H100").memory == 80 * 10**9
    with pytest.raises(UserError, match=r"--device: there is no device 'h10'.*h100"):
        device_named("h10")
    assert device_named("A100 80GB") == device_named("a100-80gb")
    with pytest.raises(UserError, match=r"'a100' .*did you mean 'a100-40gb' or 'a100-80gb'"):
        device_named("a100")
    with pytest.raises(UserError, match=r"'h100-80gb' .*did you mean 'h100' or 'h100-pcie'"):
        device_named("h100-80gb")
    with pytest.raises(UserError, match=r"'tpu' .*it has a100-40gb, .* and here"):
        device_named("tpu")
    here = this_device(timed=False)
    assert here.flops is None
    for device in DEVICES.values():
        assert device.memory and device.flops and device.source
        assert device.between < device.within, "links in a machine are faster than the network"


def test_times_are_of_the_named_device_only() -> None:
    recipe = read_recipe(RECIPES / "code-llama-7b.toml")
    unknown = make_plan(recipe, devices=128)
    assert all(stage.seconds is None for stage in unknown.stages)
    slow = make_plan(recipe, devices=128, device=A100)["code"].seconds
    fast = make_plan(recipe, devices=128, device=DEVICES["h100"])["code"].seconds
    assert slow is not None and fast is not None
    assert 2 < slow / fast < 4


@pytest.mark.parametrize("devices", [7, 96, 100])
def test_a_number_of_devices_that_can_share_the_work_is_named(devices: int) -> None:
    recipe = read_recipe(RECIPES / "code-llama-34b.toml")
    with pytest.raises(UserError, match=rf"1,024 rows .* {devices} devices can't share") as caught:
        make_plan(recipe, devices=devices, device=A100)
    named = re.search(r"use (\d+) or (\d+) devices", str(caught.value))
    assert named is not None
    assert int(named[1]) < devices < int(named[2])
    for number in named.groups():
        make_plan(recipe, devices=int(number), device=A100)


def test_the_advised_numbers_keep_a_fixed_mesh() -> None:
    fixed = one_stage(base="code-llama-7b", steps=1, batch_tokens=24 * 4096, parallel={"context": 4})
    shapes = {"code": shape_of("code-llama-7b")}
    near = numbers_near(fixed, shapes, 24, 20, A100)
    assert near == [16, 24], "groups of 4 devices, whose number divides 24 rows"


def test_ranks_on_cpus_only_shard() -> None:
    recipe = one_stage(steps=1, batch_tokens=8 * 4096)
    planned = make_plan(recipe, devices=4, chooses=False)["code"]
    assert planned.mesh == MeshShape(1, 4, 1, 1)
    with pytest.raises(UserError, match="8 rows of 4,096, which 3 ranks can't share evenly"):
        make_plan(recipe, devices=3, chooses=False)


def test_a_gpu_of_this_machine_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on it then chooses what the plan for the named device shows."""
    properties = SimpleNamespace(name="NVIDIA H100 80GB HBM3", total_memory=85_045_280_768)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: properties)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: properties.name)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: not properties.name.startswith("Tesla"))
    here, named = this_device(timed=False), DEVICES["h100"]
    assert here.memory == pytest.approx(named.memory, rel=0.01)
    assert (here.flops, here.within, here.between) == (named.flops, named.within, named.between)
    names = {"NVIDIA A100-SXM4-80GB": "a100-80gb", "NVIDIA H100 PCIe": "h100-pcie", "NVIDIA L4": "l4"}
    for name, known in names.items():
        properties.name = name
        assert this_device(timed=False).flops == DEVICES[known].flops
    for name in ("Unheard Of 1", "NVIDIA L40"):
        properties.name = name
        assert this_device(timed=False).flops is None
    assert not this_device(timed=False).fp32
    properties.name = "Tesla P4"
    assert this_device(timed=False).fp32
