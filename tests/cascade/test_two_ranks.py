"""Two ranks train what one does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from warm_process import CODECASCADE, WarmRanks

from codecascade.cascade.run import run_cascade
from codecascade.model.folder import load_folder
from codecascade.recipe import make_recipe, read_recipe, write_recipe


@pytest.fixture
def recipe_file(data: dict[str, Any], tmp_path: Path) -> Path:
    code, python, *_ = data["stage"]
    data["stage"] = [code | {"steps": 60, "checkpoint_every": 4, "precision": "fp32"}, python]
    write_recipe(make_recipe(data), tmp_path / "small.toml")
    return tmp_path / "small.toml"


def losses(log: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows]


@pytest.mark.distributed
def test_two_ranks_run_the_same_recipe(recipe_file: Path, tmp_path: Path) -> None:
    overrides = ["stage.code.steps=4", "stage.code.warmup_steps=0"]
    run_cascade(read_recipe(recipe_file, overrides), tmp_path / "one")
    arguments: list[object] = ["run", recipe_file, "-o", tmp_path / "two"]
    # of tokens that are kept, both make a part, and they change nothing
    for override in [*overrides, f"run.token_cache={tmp_path / 'tokens'}"]:
        arguments += ["--set", override]
    with WarmRanks(2, CODECASCADE, arguments, tmp_path / "streams", {"CUDA_VISIBLE_DEVICES": ""}) as ranks:
        assert ranks.wait() == [0, 0], ranks.messages
    one, two = (losses(tmp_path / name / "logs" / "code.jsonl") for name in ("one", "two"))
    assert [*(tmp_path / "tokens").glob("*/*.arrow")]
    assert [step for step, _ in one] == [step for step, _ in two] == [1, 2, 3, 4]
    assert [loss for _, loss in one] == pytest.approx([loss for _, loss in two], abs=1e-3)
    results = json.loads((tmp_path / "two" / "results.json").read_text())
    assert set(results["models"]) == {"base", "code", "python"}
    assert load_folder(tmp_path / "two" / "models" / "python").tokenizer.infilling is None


@pytest.mark.distributed
def test_two_ranks_agree_on_the_steps_of_a_budget_in_minutes(recipe_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments: list[object] = ["run", recipe_file, "-o", folder, "--set", "evaluate.benchmarks=[]"]
    for stage in ("code", "python"):
        arguments += ["--set", f"stage.{stage}.minutes=0.01", "--set", f"stage.{stage}.warmup_steps=0"]
    with WarmRanks(2, CODECASCADE, arguments, tmp_path / "streams", {"CUDA_VISIBLE_DEVICES": ""}) as ranks:
        assert ranks.wait() == [0, 0], ranks.messages
    used = read_recipe(folder / "recipe.toml")
    for stage in used.stage:
        assert len(losses(folder / "logs" / f"{stage.name}.jsonl")) == stage.steps
        assert stage.timed_minutes == 0.01
