"""Every recipe that comes with codecascade can be read, planned, and written without a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from codecascade.plan.plan import make_plan
from codecascade.recipe import make_recipe, read_recipe, recipe_names, write_recipe
from codecascade.recipe.settings import to_data


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name.rpartition("/")[2]
    plan = make_plan(recipe)
    assert len(plan.stages) == len(recipe.stage)
    write_recipe(recipe, tmp_path / "again.toml")
    assert read_recipe(tmp_path / "again.toml") == make_recipe(to_data(recipe)) == recipe


@pytest.mark.parametrize("size", ["7b", "13b", "34b", "70b"])
def test_the_papers_instruct_models_have_the_papers_data(size: str) -> None:
    stage = read_recipe(f"code-llama-{size}")["instruct"]
    assert [source.kind for source in stage.dialogue_sources] == ["self-instruct", "files"]
    made = stage.self_instruct
    assert made is not None
    assert (made.questions, made.question.batch, made.tests, made.solutions) == (52_000, 50, 5, 10)
    assert (made.select, made.drop_vacuous, made.question.difficulties) == (
        "first_passing",
        False,
        ("easy", "medium"),
    )
    asker, teacher = made.asker_of(stage.parent), made.teacher_of(stage.parent)
    assert asker.model == "meta-llama/Llama-2-70b-chat-hf"
    assert teacher.model == (None if size == "7b" else "codellama/CodeLlama-7b-hf")
    assert teacher.stage == ("long-context" if size == "7b" else None)
    (cost,) = make_plan(read_recipe(f"code-llama-{size}"), device_flops=1e15).dialogues
    assert cost.seconds is not None, "the shapes of both teachers are known without the hub"
    assert cost.programs == 520_000


def test_the_study_gives_every_arm_the_same_budget_and_makes_its_data_once() -> None:
    recipe = read_recipe("instruct-study", ["self_instruct.teacher=models/qwen"])
    arms = [recipe[name] for name in ("self", "mined", "both", "neither")]
    kept = (
        "tokens",
        "batch_tokens",
        "sequence_length",
        "learning_rate",
        "warmup_steps",
        "lora_rank",
        "parent",
    )
    assert len({tuple(getattr(arm, key) for key in kept) for arm in arms}) == 1
    assert [arm.makes("self-instruct") for arm in arms] == [True, False, True, False]
    assert [arm.makes("mined") for arm in arms] == [False, True, True, False]
    assert arms[0].self_instruct == arms[2].self_instruct is not None
    rehearsal = [{i.source: i.share for i in arm.mixture if i.source != "dialogues"} for arm in arms]
    assert rehearsal[0] == rehearsal[1] == rehearsal[2]
    ratio = {source: share / rehearsal[0][source] for source, share in rehearsal[3].items()}
    assert len({round(value, 9) for value in ratio.values()}) == 1, "the same rehearsal, and nothing else"
    assert len({arm.infilling for arm in arms}) == 1
