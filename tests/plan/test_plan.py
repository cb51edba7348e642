"""The plan of a recipe: exact where it can be, and a warning or an error where the recipe can't run."""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from one_stage_recipe import one_stage

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.cost import evaluation_tokens
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.ground.errors import UserError
from codecascade.ground.format import show_bytes
from codecascade.plan.devices import unknown_device
from codecascade.plan.display import plan_json
from codecascade.plan.plan import StagePlan, make_plan
from codecascade.plan.sizes import parse_bytes
from codecascade.recipe import Recipe, make_recipe, read_recipe
from codecascade.recipe.settings import to_data

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(
    ("size", "parameters"),
    [
        ("7b", {"code": 6_738_546_688, "long-context": 6_738_546_688, "python": 6_738_415_616}),
        ("13b", {"code": 13_016_028_160, "instruct": 13_016_028_160, "python-long-context": 13_015_864_320}),
        ("34b", {"code": 33_743_970_304, "instruct": 33_743_970_304, "python": 33_743_970_304}),
        ("70b", {"code": 68_976_910_336, "instruct": 68_976_910_336, "python": 68_976_910_336}),
    ],
)
def test_the_papers_families(size: str, parameters: dict[str, int]) -> None:
    recipe = read_recipe(RECIPES / f"code-llama-{size}.toml")
    plan = make_plan(recipe, devices=64, memory="80GB")
    stages = {stage.name: stage for stage in plan.stages}
    assert {name: stages[name].parameters for name in parameters} == parameters
    code = stages["code"]
    tokens = 10**12 if size == "70b" else 5 * 10**11
    assert code.steps == math.ceil(tokens / 2**22)
    assert code.tokens == code.steps * 2**22
    assert code.flops is not None
    assert code.parameters is not None
    assert 6 * code.parameters * tokens < code.flops < 6.7 * code.parameters * tokens
    assert any("corpora/code-llama" in warning for warning in plan.warnings)
    assert not any("does not fit" in warning for warning in plan.warnings)


def test_json_is_the_contracts() -> None:
    plan = make_plan(read_recipe(RECIPES / "code-llama-7b.toml"), devices=8)
    data = json.loads(plan_json(plan))
    assert set(data) == {"stages", "warnings"}
    keys = {"name", "kind", "parent", "parameters", "tokens", "steps", "flops", "memory_per_device"}
    assert all(set(stage) >= keys for stage in data["stages"])
    for stage in data["stages"]:
        assert math.prod(stage["mesh"].values()) == 8
        assert sum(stage["memory"]["step"].values()) == stage["memory_per_device"]
        assert all(phase in stage["memory"] for phase in ("load", "save", "measuring", "checkpoint_host"))
    assert [stage["name"] for stage in data["stages"]] == [
        "code",
        "long-context",
        "python",
        "python-long-context",
        "instruct",
    ]


def state(stage: StagePlan) -> int:
    """Bytes of a device that hold weights, gradients and moments."""
    assert stage.memory is not None
    return stage.memory.step.state


def test_memory_is_shared_out() -> None:
    recipe = read_recipe(RECIPES / "code-llama-7b.toml")
    memory = [state(make_plan(recipe, devices=devices).stages[0]) for devices in (1, 8, 64)]
    assert memory[0] == 16 * 6_738_546_688
    assert memory[0] / 8 < memory[1] < memory[0] / 4
    assert memory[2] < memory[1]


def test_what_does_not_fit_is_warned_of() -> None:
    recipe = read_recipe(RECIPES / "code-llama-70b.toml")
    warnings = make_plan(recipe, devices=8, memory="80GB").warnings
    assert any(
        warning.startswith(
            "code, long-context, python, instruct: does not fit: weights, gradients and optimizer"
        )
        for warning in warnings
    )
    recipe = one_stage(steps=1, micro_batch_rows=16)
    (warning,) = [w for w in make_plan(recipe, memory="8GB").warnings if w.startswith("code:")]
    assert "set activation_checkpointing = 'full'" in warning


def applied(recipe: Recipe, stage: str, remedy: str) -> tuple[Recipe, int | None]:
    """The recipe with one ``set a = x and b = y`` or ``use N devices and set ...`` of a warning, and N."""
    devices = re.search(r"use (\d+) devices", remedy)
    text = remedy.partition("set ")[2]
    data = to_data(recipe)
    table = next(one for one in data["stage"] if one["name"] == stage)
    for change in filter(None, text.split(" and ")):
        key, value = tomllib.loads(change).popitem()
        assert table.get(key) != value, "it is set already"
        table[key] = value
    return make_recipe(data), int(devices[1]) if devices else None


def too_large(recipe: Recipe, devices: int, memory: str) -> list[str]:
    warnings = make_plan(recipe, devices=devices, memory=memory).warnings
    return [warning for warning in warnings if f"a device, of {show_bytes(parse_bytes(memory))}; " in warning]


@pytest.mark.parametrize("memory", ["1GB", "3GB", "24GB"])
@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("set_already", [{}, {"activation_checkpointing": "full"}, {"train": "lora"}])
@pytest.mark.parametrize("rows", [1, 16])
def test_advice_that_is_followed_makes_it_fit(
    memory: str, devices: int, set_already: dict[str, Any], rows: int
) -> None:
    """By the plan's own count; and nothing is advised that is set already."""
    for base, length in (("smollm2-135m", 2048), ("code-llama-7b", 16_384)):
        recipe = one_stage(
            base=base,
            steps=1,
            sequence_length=length,
            batch_tokens=64 * length,
            micro_batch_rows=rows,
            **set_already,
        )
        for warning in too_large(recipe, devices, memory):
            stage, _, advice = warning.partition(": ")
            advice = advice.partition("; ")[2]
            if "are not enough" in advice:
                everything = {"activation_checkpointing": "full", "micro_batch_rows": 1, "train": "lora"}
                spared = {**to_data(recipe)["stage"][0], **everything}
                whole = make_recipe({**to_data(recipe), "stage": [spared]})
                assert too_large(whole, devices, memory)
                continue
            for remedy in advice.split(" or "):
                changed, number = applied(recipe, stage, remedy)
                assert not too_large(changed, number or devices, memory), remedy


@pytest.mark.parametrize("size", ["7b", "13b", "34b", "70b"])
def test_advice_for_the_shipped_recipes(size: str) -> None:
    recipe = read_recipe(RECIPES / f"code-llama-{size}.toml")
    for warning in too_large(recipe, 8, "80GB"):
        stages, _, advice = warning.partition(": ")
        for remedy in advice.partition("; ")[2].split(" or "):
            for stage in stages.split(", "):
                changed, number = applied(recipe, stage, remedy)
                left = [one.partition(": ")[0].split(", ") for one in too_large(changed, number or 8, "80GB")]
                assert not any(stage in names for names in left), remedy


def test_lora_and_checkpointing_save_memory() -> None:
    full = make_plan(one_stage(steps=1)).stages[0]
    lora = make_plan(one_stage(steps=1, train="lora")).stages[0]
    slim = make_plan(one_stage(steps=1, activation_checkpointing="full")).stages[0]
    assert state(lora) < state(full) / 4
    assert (slim.memory_per_device or 0) < (full.memory_per_device or 0)
    assert (lora.flops or 0) == pytest.approx((full.flops or 0) * 2 / 3)


def test_rows_of_a_vocabulary() -> None:
    smollm2 = make_plan(one_stage(steps=1)).stages[0].parameters
    assert smollm2 is not None
    assert smollm2 == 134_515_008 + (49_216 - 49_152) * 576  # four tokens, padded to a multiple of 64 rows
    assert make_plan(one_stage(steps=1, infilling={"rate": 0.0})).stages[0].parameters == 134_515_008
    code_llama = make_plan(one_stage(base="code-llama-7b", steps=1)).stages[0]
    assert code_llama.parameters == 6_738_546_688, "it has its infilling tokens already"


def test_a_base_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    plan = make_plan(one_stage(base=str(tmp_path / "absent"), tokens=10**7))
    (stage,) = plan.stages
    assert (stage.steps, stage.tokens) == (3, 3 * 2**22)
    assert stage.parameters is stage.flops is stage.memory_per_device is None
    assert any("absent" in warning for warning in plan.warnings)


def test_shape_from_a_folder_without_weights(tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    recipe = one_stage(base=str(tmp_path), steps=2, sequence_length=64, batch_tokens=128)
    (stage,) = make_plan(recipe).stages
    rows, layer = 384, 4 * 32 * 32 + 3 * 32 * 64 + 2 * 32
    assert stage.parameters == 2 * rows * 32 + 2 * layer + 32


def test_what_cannot_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        make_plan(one_stage(steps=1, sequence_length=16_384), file="x.toml")
    assert str(caught.value).startswith(
        "x.toml: stage[0].sequence_length: is 16,384, but 'base' has 8,192 positions"
    )
    with pytest.raises(
        UserError, match=r"stage\[0\].batch_tokens: 12,288 tokens are 3 rows .* 5 devices can't share"
    ):
        make_plan(one_stage(steps=1, batch_tokens=3 * 4096), devices=5)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError, match="'gpt2' models are not supported"):
        make_plan(one_stage(base=str(tmp_path), steps=1))


def test_long_context_makes_room_for_its_children() -> None:
    top = {"name": "x", "base": "smollm2-135m", "corpus": "stdlib"}
    long = {"name": "long", "kind": "long_context", "parent": "base", "steps": 1}
    child = {"name": "more", "kind": "python", "parent": "long", "steps": 1, "sequence_length": 16_384}
    make_plan(make_recipe({**top, "stage": [long, child]}))
    with pytest.raises(UserError, match="'base' has 8,192"):
        make_plan(make_recipe({**top, "stage": [long, child | {"parent": "base"}]}))


def test_minutes_become_steps_only_at_a_known_speed() -> None:
    recipe = one_stage(minutes=5, batch_tokens=8192)
    plan = make_plan(recipe)
    assert (plan["code"].steps, plan["code"].minutes) == (None, 5)
    assert not any("minutes" in warning for warning in plan.warnings)
    (fast,) = make_plan(recipe, device_flops=1e13).stages
    assert fast.steps is not None
    assert fast.seconds == pytest.approx(300, rel=0.05)


def test_a_machine_without_bf16_instructions_has_minutes_of_its_own() -> None:
    recipe = one_stage(minutes=5, minutes_fp32=15, batch_tokens=8192)
    device = replace(unknown_device(), flops=1e13)
    for one, minutes in ((device, 5), (replace(device, fp32=True), 15)):
        (stage,) = make_plan(recipe, device=one).stages
        assert stage.minutes == minutes
        assert stage.seconds == pytest.approx(60 * minutes, rel=0.05)
    asked = one_stage(minutes=5, minutes_fp32=15, batch_tokens=8192, precision="fp32")
    assert make_plan(asked, device=device).stages[0].minutes == 15


def test_evaluation_grows_with_its_settings() -> None:
    small = one_stage(steps=1, evaluate={"benchmarks": ["humaneval"], "humaneval": {"problems": 10}}).evaluate
    assert evaluation_tokens(small)[1] > 0
    stage = one_stage(steps=1, evaluate={"benchmarks": ["humaneval"], "humaneval": {"problems": 20}})[
        "code"
    ].evaluate
    assert evaluation_tokens(stage)[1] == 20 * round(0.7 * 512)
    assert evaluation_tokens(one_stage(steps=1, evaluate={"benchmarks": []})["code"].evaluate) == (0, 0)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_a_cost(name: str) -> None:
    read, written = evaluation_tokens(EvaluateSettings(benchmarks=(name,)))
    assert read > 0 and (written > 0) == (BENCHMARKS[name].score is None)
    if BENCHMARKS[name].score is None and name != "key_retrieval":
        few = evaluation_tokens(EvaluateSettings(benchmarks=(name,), limit=10))
        assert 0 < few[0] < read and 0 < few[1] < written
    if not BENCHMARKS[name].greedy and BENCHMARKS[name].score is None:
        more = evaluation_tokens(EvaluateSettings(benchmarks=(name,), samples_per_problem=400))
        assert more[0] == read and more[1] >= 2 * written, "the samples of a prompt share its reading"
