from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.console import Console

from codecascade.cascade.run import run_cascade
from codecascade.ground.files.reading import read_json
from codecascade.recipe import read_recipe

RECIPES = Path(__file__).parents[2] / "recipes"


SHORTER = (
    "evaluate.validation.documents=6",
    "evaluate.infilling_heldout.problems=2",
    "evaluate.key_retrieval.lengths=[256]",
    "evaluate.key_retrieval.examples=1",
    "stage.python.steps=2",
    "stage.long-context.steps=2",
    "stage.instruct.steps=2",
)
"""The recipe as it is shipped is run by `make package`, which continuous integration calls, too."""


@pytest.mark.slow
def test_the_smoke_recipe_does_what_it_says(tmp_path: Path) -> None:
    """It mines dialogues of real functions, so it breaks where a corpus has none."""
    recipe = read_recipe(RECIPES / "smoke.toml", list(SHORTER))
    console = Console(file=open(os.devnull, "w"), record=True, width=100)  # noqa: SIM115
    assert run_cascade(recipe, tmp_path / "run", console=console)
    measured = read_json(tmp_path / "run" / "results.json")["models"]
    assert list(measured) == ["base", *(stage.name for stage in recipe.stage)]
    for name, results in measured.items():
        assert set(recipe.evaluate.benchmarks) <= set(results), name
    loss = {name: results["validation"]["loss"]["value"] for name, results in measured.items()}
    assert loss["base"] > loss["code"] + 1, "it learns something"
    dialogues = (tmp_path / "run" / "dialogues" / "instruct" / "dialogues.jsonl").read_text().splitlines()
    assert len(dialogues) == 20
