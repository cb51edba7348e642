"""What a recipe says of a study: other bases, copied settings, stages that train nothing, comparisons."""

from __future__ import annotations

import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from codecascade.ground.errors import UserError
from codecascade.plan.plan import make_plan
from codecascade.recipe import make_recipe, read_recipe, recipe_names
from codecascade.recipe.difference import difference
from codecascade.recipe.named import recipe_file
from codecascade.recipe.settings import BASE, Stage, to_data
from codecascade.recipe.shapes import look_at_bases, model_shapes

STUDIES = [name for name in recipe_names() if name.startswith("studies/")]


@pytest.fixture
def data() -> dict[str, Any]:
    """Two seeds of a tiny model from scratch, two arms each, and one question."""
    return {
        "name": "arms",
        "base": "tiny",
        "corpus": "stdlib",
        "tokenizer": {"vocabulary": 512},
        "bases": {"seed-1": {"random_weights": True, "seed": 1}},
        "evaluate": {"benchmarks": ["validation"], "infilling": {"problems": 5}},
        "stage": [
            {
                "name": "plain",
                "kind": "code",
                "parent": "base",
                "tokens": 4096,
                "batch_tokens": 512,
                "sequence_length": 128,
                "infilling": {"rate": 0.0, "spm_share": 0.25},
                "mixture": [{"source": "code", "share": 1.0}],
            },
            {"name": "filled", "like": "plain", "same_data_as": "plain", "infilling": {"rate": 0.9}},
            {"name": "plain-1", "like": "plain", "parent": "seed-1", "steps": 3},
        ],
        "compare": [
            {
                "name": "cost",
                "question": "Does it cost?",
                "groups": {"without": "plain", "with": ["filled"]},
                "figures": ["validation.loss", {"benchmark": "validation", "expects": "alike"}],
            }
        ],
    }


def test_a_stage_copies_what_another_one_says(data: dict[str, Any]) -> None:
    recipe = make_recipe(data)
    plain, filled, seeded = recipe.stage
    assert (filled.tokens, filled.sequence_length, filled.learning_rate) == (4096, 128, plain.learning_rate)
    assert (filled.infilling.rate, filled.infilling.spm_share) == (0.9, 0.25), "tables are merged key by key"
    assert (seeded.steps, seeded.tokens) == (3, None), "a length of its own replaces the copied one"
    data["stage"][0] |= {"steps": 77, "timed_minutes": 30.0}
    del data["stage"][0]["tokens"]
    plain, filled, seeded = make_recipe(data).stage
    assert (filled.steps, filled.timed_minutes, seeded.timed_minutes) == (77, 30, None)
    assert all("like" not in stage for stage in to_data(recipe)["stage"])
    assert make_recipe(to_data(recipe)) == recipe


def test_the_data_of_a_stage_that_has_those_of_another_are_the_others(data: dict[str, Any]) -> None:
    """Data are drawn by the name of the stage whose data they are, so that a chain ends at its first stage."""
    data["stage"].append({"name": "again", "like": "plain", "same_data_as": "filled"})
    data["stage"].append({"name": "once-more", "like": "again", "same_data_as": "again"})
    recipe = make_recipe(data)
    assert [recipe[name].same_data_as for name in ("filled", "again", "once-more")] == ["plain"] * 3
    assert make_recipe(to_data(recipe)) == recipe


def test_a_change_of_the_first_stage_reaches_its_copies(data: dict[str, Any], tmp_path: Path) -> None:
    recipe = read_recipe("studies/infilling-cost", ["stage.plain-0.tokens=32768", "base=tiny"])
    assert {stage.tokens for stage in recipe.stage} == {32_768}
    assert {base.model for base in recipe.roots.values()} == {"tiny"}, "the bases are of the recipe's base"


def test_every_base_has_its_shape_and_its_settings(data: dict[str, Any]) -> None:
    data["bases"]["wide"] = {
        "model": "smollm2-135m",
        "random_weights": True,
        "tokenizer": {"vocabulary": 1000},
        "evaluate": {"benchmarks": [], "infilling": {"heal": False}},
    }
    data["stage"].append({"name": "wider", "like": "plain", "parent": "wide"})
    recipe = make_recipe(data)
    assert [*recipe.roots] == [BASE, "seed-1", "wide"]
    seeded, wide = recipe.bases.values()
    assert seeded.tokenizer == recipe.tokenizer and seeded.evaluate == recipe.evaluate
    settings = wide.evaluate.model_dump()["infilling"]
    assert (settings["problems"], settings["heal"]) == (5, False)
    warnings: list[str] = []
    shapes = model_shapes(recipe, look_at_bases(recipe, warnings))
    assert not warnings
    assert (shapes["plain"].hidden_size, shapes["wider"].hidden_size) == (64, 576)
    assert shapes["wider"].vocab_size == 1024
    plan = make_plan(recipe)
    assert plan.base_parameters["wide"] != plan.base_parameters[BASE]
    assert [model.name for model in plan.evaluations] == [
        BASE,
        "seed-1",
        "wide",
        *(s.name for s in recipe.stage),
    ]


def test_an_untrained_stage_changes_the_positions_alone(data: dict[str, Any]) -> None:
    long = {"name": "long", "kind": "long_context", "parent": "plain", "steps": 0, "rope_scaling_factor": 4}
    data["stage"].append({**long, "sequence_length": 1024, "batch_tokens": 1024, "rope_theta": 1e4})
    recipe = make_recipe(data)
    shape = model_shapes(recipe, look_at_bases(recipe, []))["long"]
    assert shape.rope_scaling is not None
    assert (shape.rope_scaling.kind, shape.rope_scaling.factor) == ("linear", 4)
    assert (shape.max_position_embeddings, shape.rope_theta) == (1024, 1e4)
    planned = make_plan(recipe)["long"]
    assert (planned.steps, planned.tokens, planned.flops) == (0, 0, 0)


@pytest.mark.parametrize(("key", "more"), [("max_position_embeddings", 2048), ("sequence_length", None)])
def test_a_stage_can_not_be_longer_than_its_models_window(
    data: dict[str, Any], key: str, more: int | None
) -> None:
    long = {"name": "long", "kind": "long_context", "parent": "plain", "steps": 1, "rope_theta": 1e4}
    long |= {"sequence_length": 1024, "batch_tokens": 1024, "max_position_embeddings": more}
    data["stage"].append(long)
    recipe = make_recipe(data)
    base = look_at_bases(recipe, [])[BASE]
    windowed = replace(base, config=replace(base.config, model_type="mistral", sliding_window=1023))
    with pytest.raises(UserError, match="its window, 1023") as caught:
        model_shapes(recipe, {BASE: windowed}, "recipe.toml")
    assert caught.value.key is not None and caught.value.key.endswith(f"].{key}")
    wider = replace(base, config=replace(windowed.config, sliding_window=4096))
    assert model_shapes(recipe, {BASE: wider})["long"].max_position_embeddings == (more or 1024)


def test_a_run_goes_on_with_more_bases_and_other_questions_only(data: dict[str, Any]) -> None:
    old = make_recipe(data)
    more = {**data, "bases": {**data["bases"], "seed-2": {"random_weights": True, "seed": 2}}, "compare": []}
    assert difference(old, make_recipe(more)) is None
    assert difference(make_recipe(more), old) == "bases.seed-2 is missing in the recipe"
    other = {**data, "bases": {"seed-1": {"random_weights": True, "seed": 7}}}
    assert difference(old, make_recipe(other)) == "bases.seed-1.seed 1, now 7"


def test_a_stage_is_identified_by_its_own_base_alone(data: dict[str, Any]) -> None:
    old = make_recipe(data)
    changed = make_recipe({**data, "bases": {"seed-1": {"random_weights": True, "seed": 7}}})
    assert old.identity(old["plain"]) == changed.identity(changed["plain"])
    assert old.identity(old["plain-1"]) != changed.identity(changed["plain-1"])
    without = {key: value for key, value in data.items() if key not in ("bases", "compare")}
    alone = make_recipe({**without, "stage": data["stage"][:2]})
    assert alone.identity(alone["plain"]) == old.identity(old["plain"]), "as before there were bases"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["stage"][1].update(like="plane"),
            "stage[1].like: no stage before this one is called 'plane'",
        ),
        (
            lambda d: d["stage"][2].update(parent="seed-2"),
            "stage[2].parent: no stage before this one is called",
        ),
        (lambda d: d["stage"][1].update(same_data_as="filled"), "stage[1].same_data_as: no stage before"),
        (
            lambda d: d["stage"][1].update(seed=3),
            "stage[1].same_data_as: 'plain' has another mixture or seed, or other dialogues, and so other data",
        ),
        (
            lambda d: d["stage"][1].update(rope_scaling_factor=4),
            "stage[1].rope_scaling_factor: only a long_context stage changes it",
        ),
        (
            lambda d: d["stage"].append({"name": "seed-1", "like": "plain"}),
            "'seed-1' is the name of one of [bases]",
        ),
        (
            lambda d: d["bases"].update(base={"seed": 1}),
            "bases.base: 'base' is the name of the recipe's base",
        ),
        (lambda d: d["bases"]["seed-1"].update(sed=1), "bases.seed-1.sed: unknown key; did you mean 'seed'"),
        (
            lambda d: d["bases"]["seed-1"].update(random_weights=False, tokenizer="X"),
            "bases.seed-1: has a tokenizer, which is for random_weights = true",
        ),
        (lambda d: d["tokenizer"].update(model="X"), "tokenizer: must have either a vocabulary"),
        (
            lambda d: d["compare"][0]["groups"].update({"with": "fillet"}),
            "compare[0].groups.with: no stage and no base is called 'fillet'; did you mean 'filled'",
        ),
        (
            lambda d: d["compare"][0]["groups"].update({"with": ["filled", "plain-1"]}),
            "compare[0].groups: must have as many models each, one at least (got without 1, with 2)",
        ),
        (lambda d: d["compare"][0].update(groups={"a": "plain"}), "compare[0].groups: needs two groups"),
        (
            lambda d: d["compare"][0].update(figures=["validatio.loss"]),
            "compare[0].figures[0]: there is no benchmark 'validatio'",
        ),
        (
            lambda d: d["compare"][0].update(figures=[{"benchmark": "validation", "expect": "alike"}]),
            "compare[0].figures[0].expect: unknown key; did you mean 'expects'",
        ),
        (
            lambda d: d["compare"][0].update(settings_differ=["infilling.hea"]),
            "compare[0].settings_differ: there is no setting 'infilling.hea'; did you mean 'infilling.heal'",
        ),
        (lambda d: d["compare"].append(d["compare"][0]), "compare[1].name: 'cost' is the name of another"),
        (lambda d: d.update(stage=[], bases={}), "stage: must be a list that is not empty"),
    ],
)
def test_mistakes_are_named(data: dict[str, Any], change: Any, message: str) -> None:
    change(data)
    with pytest.raises(UserError) as raised:
        make_recipe(data, "x.toml")
    assert str(raised.value).startswith("x.toml: ")
    assert message in str(raised.value)


def test_a_figure_that_is_not_measured_is_a_warning(data: dict[str, Any]) -> None:
    """Whoever measures less than the recipe says is not refused."""
    data["compare"][0]["figures"].append("humaneval")
    assert (
        "compare[0].figures[2]: can't be compared, for plain, filled are not measured by 'humaneval'"
        in make_plan(make_recipe(data)).warnings
    )


def test_the_papers_findings_are_there() -> None:
    assert {name.rpartition("/")[2] for name in STUDIES} >= {
        "infilling-cost",
        "infilling-rate",
        "from-scratch",
        "natural-language",
        "python-stage",
        "long-context",
        "long-context-short-inputs",
        "spm-healing",
    }


@pytest.mark.parametrize("name", [*STUDIES, "instruct-study"])
def test_a_study_asks_its_question_and_names_the_papers_answer(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.compare
    for question in recipe.compare:
        assert question.paper and question.source and question.question.endswith("?")
        trained = [recipe[model] for model in question.members if model not in recipe.roots]
        assert len({stage.total_steps for stage in trained if stage.total_steps}) <= 2


@pytest.mark.parametrize("name", [*STUDIES, "your-code-study"])
def test_the_short_form_of_a_study_can_be_planned(name: str) -> None:
    """The command in the recipe's head runs it with tiny models."""
    lines = recipe_file(name).read_text(encoding="utf-8").splitlines()
    head = " ".join(line.lstrip("# ").removesuffix("\\") for line in lines if line.startswith("#"))
    words = shlex.split(head[head.index(f"codecascade run {name} -o runs/try") :])
    changes = [value for option, value in pairwise(words) if option == "--set"]
    assert changes
    recipe = read_recipe(name, changes)
    plan = make_plan(recipe)
    if "base=tiny" in changes:
        assert all(stage.parameters is not None and stage.parameters < 10**6 for stage in plan.stages)
    assert sum(stage.tokens or 0 for stage in plan.stages) < 10**6


def test_another_length_than_that_of_the_copied_stage() -> None:
    first = {
        "name": "a",
        "kind": "code",
        "parent": "base",
        "minutes": 4,
        "minutes_fp32": 12,
        "most_passes": 3,
    }
    more = [
        {"name": "same", "like": "a"},
        {"name": "tokens", "like": "a", "tokens": 9000},
        {"name": "minutes", "like": "a", "minutes": 1},
        {"name": "fp32", "like": "a", "minutes_fp32": 9},
    ]
    recipe = make_recipe({"name": "x", "base": "tiny", "corpus": "stdlib", "stage": [first, *more]})
    lengths = {s.name: (s.tokens, s.minutes, s.minutes_fp32, s.most_passes) for s in recipe.stage}
    assert lengths == {
        "a": (None, 4, 12, 3),
        "same": (None, 4, 12, 3),
        "tokens": (9000, None, None, None),
        "minutes": (None, 1, None, 3),
        "fp32": (None, 4, 9, 3),
    }


def test_the_arms_of_your_code_differ_in_one_setting() -> None:
    recipe = read_recipe("your-code-study")
    reference = recipe["editor"]
    free = {"name", "same_data_as", "evaluate", "warmup_steps"}

    def changed(one: Stage, other: Stage) -> set[str]:
        before, after = ({**data.pop("infilling"), **data} for data in map(to_data, (one, other)))
        return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} - free

    assert changed(read_recipe("your-code").stage[0], reference) == {
        "tokens",
        "minutes",
        "minutes_fp32",
        "most_passes",
        "sequence_length",
    }
    assert recipe["short"].sequence_length == read_recipe("your-code").stage[0].sequence_length
    gaps = {"whole_line_share", "editor_share"}
    assert changed(recipe["small-batches"], reference) == {*gaps, "too_long"}
    arms = [stage for stage in recipe.stage if stage.same_data_as and stage is not reference]
    assert len(arms) == 14 and {arm.same_data_as for arm in arms} == {"small-batches"}
    for arm in arms:
        found = changed(recipe["neighbours"] if arm.name == "imports" else reference, arm)
        assert len(found) == 1 or found in (gaps, {"lora_rank", "lora_alpha"})


def test_the_arms_of_infilling_differ_in_infilling_and_seeds_alone() -> None:
    recipe = read_recipe("studies/infilling-rate")
    free = {"name", "parent", "seed", "same_data_as", "infilling", "evaluate"}
    arms = [{key: value for key, value in to_data(s).items() if key not in free} for s in recipe.stage]
    assert len(arms) == 15 and all(arm == arms[0] for arm in arms)
    for seed in range(3):
        names = [f"{arm}-{seed}" for arm in ("half", "most", "all", "psm", "spm")]
        assert {recipe[name].same_data_as or name for name in names} == {f"half-{seed}"}
        assert {recipe[name].seed for name in names} == {seed}
