"""What a kind stands for (specification, section 6), and the paper's recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.analysis.paper import TABLE_5, TABLE_18, TABLES
from codecascade.evaluation.benchmarks.safety.toxigen import ToxiGenSettings
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.running.settings_used import used_settings
from codecascade.evaluation.statements import departures
from codecascade.recipe import Recipe, make_recipe, read_recipe

RECIPES = Path(__file__).parents[2] / "recipes"


def tree(*stages: dict[str, Any]) -> Recipe:
    base = {"name": "x", "base": "tiny", "corpus": "stdlib"}
    return make_recipe({**base, "stage": [{"steps": 100_000, **stage} for stage in stages]})


CODE = {"name": "code", "kind": "code", "parent": "base"}
PYTHON = {"name": "python", "kind": "python", "parent": "code"}
LONG = {"name": "long", "kind": "long_context", "parent": "code"}
CHAT = {"name": "chat", "kind": "instruct", "parent": "code", "dialogues": "mined"}


def test_kinds() -> None:
    recipe = tree(CODE, PYTHON, LONG, CHAT)
    rates = [stage.learning_rate for stage in recipe.stage]
    assert rates == [3e-4, 1e-4, 2e-5, 2e-5]
    assert [stage.batch_tokens for stage in recipe.stage] == [4_194_304, 4_194_304, 2_097_152, 524_288]
    assert [stage.sequence_length for stage in recipe.stage] == [4096, 4096, 16_384, 4096]
    assert [stage.rope_theta for stage in recipe.stage] == [None, None, 1e6, None]
    assert [stage.infilling.rate for stage in recipe.stage] == [0.9, 0.0, 0.9, 0.9]
    assert all(stage.infilling.spm_share == 0.5 for stage in recipe.stage)
    assert all(stage.min_ratio == pytest.approx(1 / 30) for stage in recipe.stage)
    assert all((stage.beta1, stage.beta2, stage.weight_decay) == (0.9, 0.95, 0.1) for stage in recipe.stage)
    shares = [{item.source: item.share for item in stage.mixture} for stage in recipe.stage]
    assert shares[0] == shares[2] == {"code": 0.85, "natural_language_code": 0.08, "natural_language": 0.07}
    assert shares[1] == {
        "python": 0.75,
        "code": 0.10,
        "natural_language_code": 0.10,
        "natural_language": 0.05,
    }
    assert shares[3] == {"dialogues": 0.92, "code": 0.06, "natural_language": 0.02}


@pytest.mark.parametrize(
    ("kind", "steps", "warmup"),
    [
        ("code", 119_210, 1000),
        ("code", 10_000, 1000),
        ("code", 40, 4),
        ("python", 23_842, 476),
        ("python", 100_000, 1000),
        ("python", 40, 0),
    ],
)
def test_warm_up(kind: str, steps: int, warmup: int) -> None:
    recipe = tree({"name": "a", "kind": kind, "parent": "base", "steps": steps})
    assert recipe["a"].warmup_steps == warmup


def test_from_the_parent() -> None:
    recipe = tree(
        CODE
        | {"infilling": {"rate": 0.4, "middle_weight": 3.0}, "mixture": [{"source": "rust", "share": 1.0}]},
        PYTHON,
        LONG | {"infilling": {"spm_share": 0.1}},
        LONG | {"name": "long2", "parent": "python"},
        CHAT | {"parent": "python"},
    )
    assert recipe["long"].infilling.model_dump() == {
        **recipe["code"].infilling.model_dump(),
        "spm_share": 0.1,
    }
    assert recipe["long"].mixture == recipe["code"].mixture
    assert recipe["long2"].infilling.rate == recipe["chat"].infilling.rate == 0.0
    assert recipe["long2"].mixture == recipe["python"].mixture


def test_evaluation_is_the_recipes_unless_the_stage_says_otherwise() -> None:
    recipe = make_recipe(
        {
            "name": "x",
            "base": "tiny",
            "corpus": "stdlib",
            "seed": 7,
            "evaluate": {"benchmarks": ["validation"], "humaneval": {"problems": "all"}},
            "stage": [CODE | {"steps": 9, "evaluate": {"validation": {"documents": 3}}}],
        }
    )
    assert recipe.evaluate.seed == recipe["code"].evaluate.seed == recipe["code"].seed == 7
    assert recipe["code"].evaluate.benchmarks == ("validation",)
    assert recipe["code"].evaluate.validation.documents == 3


def test_a_stage_with_another_judge_takes_nothing_of_the_first() -> None:
    judge = {"judge": "llm", "judge_endpoint": "http://127.0.0.1:1", "judge_model": "big", "problems": 9}
    stages = [
        CODE | {"steps": 9, "name": "by-rule", "evaluate": {"toxigen": {"judge": "rule"}}},
        CODE | {"steps": 9, "name": "by-llm", "evaluate": {"toxigen": {"judge_model": "small"}}},
    ]
    recipe = make_recipe(
        {"name": "x", "base": "tiny", "corpus": "stdlib", "evaluate": {"toxigen": judge}, "stage": stages}
    )
    by_rule, by_model = (recipe[name].evaluate.own(ToxiGenSettings) for name in ("by-rule", "by-llm"))
    assert (by_rule.judge_endpoint, by_rule.judge_model, by_rule.problems) == (None, None, 9)
    assert (by_model.judge_endpoint, by_model.judge_model) == ("http://127.0.0.1:1", "small")


def test_rehearsal_shares_become_the_mixture() -> None:
    recipe = tree(CODE, CHAT | {"rehearsal_code": 0.2, "rehearsal_natural_language": 0.0})
    assert {item.source: item.share for item in recipe["chat"].mixture} == {"dialogues": 0.8, "code": 0.2}


@pytest.mark.parametrize(
    ("size", "code_rate", "code_tokens", "long_batch", "long_steps"),
    [
        ("7b", 3e-4, 500e9, 2**21, {"long-context": 3000, "python-long-context": 10_000}),
        ("13b", 3e-4, 500e9, 2**21, {"long-context": 10_000, "python-long-context": 10_000}),
        ("34b", 1.5e-4, 500e9, 2**20, {"long-context": 11_000, "python-long-context": 11_000}),
        ("70b", 1.5e-4, 1e12, 2**20, {"long-context": 10_000}),
    ],
)
def test_the_papers_recipes(
    size: str, code_rate: float, code_tokens: float, long_batch: int, long_steps: dict[str, int]
) -> None:
    recipe = read_recipe(RECIPES / f"code-llama-{size}.toml")
    code, python, chat = recipe["code"], recipe["python"], recipe["instruct"]
    assert (code.learning_rate, code.tokens, code.batch_tokens, code.sequence_length) == (
        code_rate,
        code_tokens,
        2**22,
        4096,
    )
    assert code.warmup_steps == 1000
    assert code.infilling.rate == (0.0 if size == "34b" else 0.9)
    assert (python.parent, python.learning_rate, python.tokens, python.infilling.rate) == (
        "code",
        1e-4,
        100e9,
        0,
    )
    assert python.keep_infilling_tokens == (size in ("34b", "70b"))
    long = {stage.name: stage for stage in recipe.stage if stage.kind == "long_context"}
    assert {name: stage.steps for name, stage in long.items()} == long_steps
    for stage in long.values():
        assert (stage.rope_theta, stage.max_position_embeddings, stage.learning_rate) == (1e6, 16_384, 2e-5)
        assert (stage.sequence_length, stage.batch_tokens) == (16_384, long_batch)
        assert stage.infilling == recipe[stage.parent].infilling
        assert stage.mixture == recipe[stage.parent].mixture
    assert recipe["long-context"].parent == "code"
    assert chat.parent == ("python" if size == "70b" else "long-context")
    assert (chat.tokens, chat.batch_tokens) == (5e9, 524_288)
    shares = {item.source: item.share for item in chat.mixture}
    assert shares == {"dialogues": 0.92, "code": 0.06, "natural_language": 0.02}


@pytest.mark.parametrize("size", ["7b", "13b", "34b", "70b"])
def test_the_papers_recipes_measure_what_the_paper_does(size: str) -> None:
    """The models that its tables have are measured by all of a table's benchmarks, and by its protocol."""
    recipe = read_recipe(RECIPES / f"code-llama-{size}.toml")
    final = {"Code Llama": "long-context", "Code Llama - Instruct": "instruct"}
    final["Code Llama - Python"] = "python" if size == "70b" else "python-long-context"
    final["Llama 2"] = "base"
    measured = {"base": recipe.evaluate} | {stage.name: stage.evaluate for stage in recipe.stage}
    for table in TABLES:
        if table is TABLE_5 or table is TABLE_18:
            continue
        for row in table.rows:
            family, _, model_size = row.model.rpartition(" ")
            if model_size.lower() == size and family in final:
                names = {
                    column.benchmark
                    for column, value in zip(table.columns, row.values, strict=False)
                    if value is not None
                }
                assert names <= set(measured[final[family]].benchmarks), f"{table.number}: {row.model}"
    for settings in measured.values():
        assert not settings.heal and not settings.infilling.heal and settings.infilling.problems is None
        assert settings.limit is None and settings.samples_per_problem == 1
    if size in ("7b", "13b"):
        assert {"humaneval_sampled", "mbpp_sampled"} <= set(recipe["code"].evaluate.benchmarks)
        assert recipe["code"].evaluate.temperature == 0.1
        assert {"lcc", "infilling_random_span"} <= set(recipe["code"].evaluate.benchmarks)


def test_a_run_by_the_papers_recipe_has_no_mark_that_could_be_helped() -> None:
    """Nothing departs from the paper's protocol but what can't be had, and HumanEval in the chat format."""
    recipe = read_recipe(RECIPES / "code-llama-7b.toml")
    for settings in (recipe.evaluate, *(stage.evaluate for stage in recipe.stage)):
        for name in settings.benchmarks:
            if (stated := BENCHMARKS[name].paper_protocol) is not None:
                asked = {"asked_in_chat": name == "mbpp_zero_shot"}
                found = departures(stated, used_settings(BENCHMARKS[name], settings) | asked)
                ours = [
                    each for each in found if not each.startswith("our choices, for the paper says nothing")
                ]
                assert ours == list(stated.always), name
