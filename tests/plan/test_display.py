"""A plan as the terminal shows it."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from one_stage_recipe import one_stage
from rich.console import Console

from codecascade.evaluation.cost import evaluation_tokens
from codecascade.plan.devices import DEVICES
from codecascade.plan.display import plan_tables
from codecascade.plan.plan import RecipePlan, make_plan
from codecascade.recipe import read_recipe

RECIPES = Path(__file__).parents[2] / "recipes"


def shown(plan: RecipePlan, width: int = 1000) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(plan_tables(plan))
    return console.export_text()


def shipped(recipe: str, **options: Any) -> str:
    return shown(make_plan(read_recipe(RECIPES / recipe), **{"devices": 64, **options}))


def test_tree_and_warnings() -> None:
    text = shipped("code-llama-7b.toml")
    names = [line.split()[1] for line in text.splitlines() if "└" in line]
    assert names == ["code", "long-context", "instruct", "python", "python-long-context"], (
        "below its own parent"
    )
    assert "    └ instruct" in text
    assert "warning: corpus: there is no corpora/code-llama" in text


def test_the_table_says_which_speed_its_times_are_for() -> None:
    assert "312 TFLOP/s a device" in shipped("code-llama-7b.toml", device_flops=312e12)
    assert "TFLOP/s" not in shipped("code-llama-7b.toml")


def test_devices_without_a_name_get_no_times_but_the_way_to_name_them() -> None:
    """They are not taken for this machine's CPU."""
    text = shipped("code-llama-7b.toml")
    assert "no times are given, because the devices are not named; assumed are 8 in a machine" in text
    assert "Name them with --device: a100-40gb, a100-80gb, a100-40gb-pcie, a100-80gb-pcie, h100," in text
    assert "no times" not in shipped("code-llama-7b.toml", device=DEVICES["h100"])


def test_the_table_shows_meshes_memory_by_kind_and_passes() -> None:
    plan = make_plan(read_recipe(RECIPES / "code-llama-34b.toml"), devices=128, device=DEVICES["a100-80gb"])
    text = shown(plan, 80)
    assert "…" not in text, "nothing is cut off on a terminal of 80 columns"
    joined = " ".join(text.split())
    assert "mesh of long-context, python-long-context: data_replicate" in joined
    assert "64 rows of 16,384 can't be shared by 128 devices" in joined
    assert "weights gradients moments activations comm. logits sent" in joined
    assert "code reads (estimates): code 425B tokens, about 1.49 TB of text" in joined
    assert "(the corpus is not built yet, so the number of passes is not known)" in joined
    assert "at most, besides steps: to load" in joined


def test_no_time_is_shown_as_nothing() -> None:
    text = shipped("smoke.toml", device_flops=1e15, devices=1)
    assert "< 1 s" in text
    assert " 0 s" not in text


def test_budgets_in_minutes() -> None:
    recipe = one_stage(minutes=5, batch_tokens=8192)
    budgets = "budgets in minutes: code 5; their steps are "
    assert f"{budgets}not known until a run has timed one" in shown(make_plan(recipe))
    assert f"{budgets}estimates until a run has timed one" in shown(make_plan(recipe, device_flops=1e13))
    limited = one_stage(minutes=5, most_passes=3)
    absent = one_stage(minutes=5, most_passes=3, base="models/absent")
    for each in (limited, absent):
        assert "budgets in minutes: code 5 (or 3 passes, if they take less)" in shown(make_plan(each))
    assert "budgets" not in shown(make_plan(one_stage(steps=5)))


def test_the_table_shows_what_measuring_costs() -> None:
    recipe = one_stage(steps=1, evaluate={"benchmarks": ["gsm8k"], "limit": 10})
    assert [(each.name, each.read, each.written) for each in make_plan(recipe).evaluations] == [
        ("base", *evaluation_tokens(recipe.evaluate)),
        ("code", 10_000, 1_500),
    ]
    assert "code 10k read and 1.5k written, 10 s" in shown(make_plan(recipe, device_flops=1e12))
    nothing = one_stage(steps=1, evaluate={"benchmarks": []})
    assert [each.read + each.written for each in make_plan(nothing).evaluations][1:] == [0]


def test_little_room_is_said() -> None:
    a100 = DEVICES["a100-80gb"]
    text = shipped("code-llama-34b.toml", device=a100)
    assert "little room: code, python, instruct take up to 79.6 GB of 80 GB" in text
    assert "--memory 76GB plans with more room" in text
    assert "little room" not in shipped("code-llama-34b.toml", device=a100, memory="76GB")
    assert "memory is not compared" in shipped("code-llama-34b.toml", device_flops=3e14)
