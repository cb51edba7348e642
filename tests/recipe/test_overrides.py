"""``--set KEY=VALUE``: one setting changed, and every mistake in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from codecascade.ground.errors import UserError
from codecascade.recipe import read_recipe
from codecascade.recipe.difference import difference


def test_set(recipe_file: Path) -> None:
    recipe = read_recipe(
        recipe_file,
        [
            "base=models/my model",
            'corpus=["stdlib", "installed"]',
            "stage.code.tokens=100000",
            "stage.chat.steps=7",
            "stage.long.infilling.rate=0.25",
            "stage.long.evaluate.infilling.problems=all",
            "evaluate.seed=3",
            "sandbox=weak",
        ],
    )
    assert recipe.base == "models/my model"
    assert recipe.corpus == ("stdlib", "installed")
    assert recipe["code"].tokens == 100_000
    assert (recipe["chat"].steps, recipe["chat"].minutes) == (7, None)
    assert recipe["long"].infilling.rate == 0.25
    assert recipe["long"].evaluate.infilling.problems is None
    assert recipe["code"].evaluate.seed == recipe.evaluate.seed == 3
    assert recipe.sandbox == "weak"


def test_names_with_dots_are_reached(recipe_file: Path) -> None:
    text = recipe_file.read_text().replace('name = "chat"', 'name = "code.v2"')
    base = '\n[bases."a.b"]\nmodel = "m"\n[bases.a]\nmodel = "m"\n'
    recipe_file.write_text(text + base)
    changes = ["stage.code.v2.steps=7", "stage.code.tokens=9000", "bases.a.b.seed=5", "bases.a.seed=6"]
    recipe = read_recipe(recipe_file, changes)
    assert (recipe["code.v2"].steps, recipe["code"].tokens) == (7, 9000)
    assert (recipe.bases["a.b"].seed, recipe.bases["a"].seed) == (5, 6)


def test_another_length_replaces_the_minutes_of_machines_without_bf16(recipe_file: Path) -> None:
    both = ["stage.chat.minutes=4", "stage.chat.minutes_fp32=12"]
    assert read_recipe(recipe_file, both)["chat"].minutes_fp32 == 12
    again = read_recipe(recipe_file, [*both, "stage.chat.minutes=1"])["chat"]
    assert (again.minutes, again.minutes_fp32) == (1, None)
    older = read_recipe(recipe_file, [*both, "stage.chat.steps=1", "stage.chat.minutes_fp32=12"])
    assert older["chat"].minutes_fp32 is None, "what an earlier version left in a run's recipe"
    assert difference(older, read_recipe(recipe_file, ["stage.chat.steps=1"])) is None
    for key in ("minutes_fp32", "timed_minutes", "most_passes"):
        with pytest.raises(UserError, match=rf"{key}: must be <= 1000000000"):
            read_recipe(recipe_file, [*both, f"stage.chat.{key}=1e307"])


def test_most_passes_go_with_minutes(recipe_file: Path) -> None:
    both = ["stage.code.minutes=4", "stage.code.most_passes=3"]
    assert read_recipe(recipe_file, [*both, "stage.code.minutes=1"])["code"].most_passes == 3
    assert read_recipe(recipe_file, [*both, "stage.code.tokens=9000"])["code"].most_passes is None
    with pytest.raises(UserError, match=r"most_passes: is not used: the stage has no `minutes`"):
        read_recipe(recipe_file, ["stage.code.most_passes=3"])
    for some in ('granularity="function"', "min_characters=9", "max_characters=9999"):
        mixture = f'stage.code.mixture=[{{source="code", share=1.0, {some}}}]'
        with pytest.raises(UserError, match="needs a source of which all documents are read"):
            read_recipe(recipe_file, [*both, mixture])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set seed: must be key=value"),
        ("=3", "--set =3: must be key=value"),
        ("stage.cde.steps=3", "there is no stage 'cde'; did you mean 'code'?"),
        ("stage.code=3", "must be stage.NAME.KEY"),
        ("seed.x=3", ": seed.x: unknown key; there are "),
        ("sede=3", "sede: unknown key; did you mean 'seed'?"),
        ("stage.code.tokens=-1", "stage[0].tokens: must be > 0 (got -1)"),
        ("stage.code.tokens=" + "9" * 401, "stage[0].tokens: must be "),
        (".".join("a" * 3000) + "=1", "its tables are nested too deeply"),
        ("evaluate." + ".".join("a" * 3000) + "=1", "its tables are nested too deeply"),
        ('corpus="a\\u0000b"', "corpus[0]: has a character that no path can have, NUL (got 'a\\x00b')"),
        ("bases=3", "bases: must be a table (got 3)"),
        ("tokenizer.vocabulary=1", "tokenizer.vocabulary: must be >= 260 (got 1)"),
        ("tokenizer.vocabulary=9e18", "tokenizer.vocabulary: must be <= 4194304 (got 9000000000000000000)"),
    ],
)
def test_set_mistakes(recipe_file: Path, override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_recipe(recipe_file, [override])
    expected = message if override != "seed.x=3" else "seed"
    assert expected in str(caught.value)
