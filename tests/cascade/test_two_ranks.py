"""Two ranks train what one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codecascade.cascade.run import run_cascade
from codecascade.model.folder import load_folder
from codecascade.recipe import make_recipe, read_recipe, write_recipe

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def recipe_file(data: dict[str, Any], tmp_path: Path) -> Path:
    code, python, *_ = data["stage"]
    data["stage"] = [code | {"steps": 60, "checkpoint_every": 4, "precision": "fp32"}, python]
    write_recipe(make_recipe(data), tmp_path / "small.toml")
    return tmp_path / "small.toml"


def losses(log: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows]


def test_two_ranks_run_the_same_recipe(recipe_file: Path, tmp_path: Path) -> None:
    overrides = ["stage.code.steps=4", "stage.code.warmup_steps=0"]
    run_cascade(read_recipe(recipe_file, overrides), tmp_path / "one")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "codecascade", "run", str(recipe_file), "-o", str(tmp_path / "two")]
    for override in overrides:
        command += ["--set", override]
    finished = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stderr
    one, two = (losses(tmp_path / name / "logs" / "code.jsonl") for name in ("one", "two"))
    assert [step for step, _ in one] == [step for step, _ in two] == [1, 2, 3, 4]
    assert [loss for _, loss in one] == pytest.approx([loss for _, loss in two], abs=1e-3)
    results = json.loads((tmp_path / "two" / "results.json").read_text())
    assert set(results["models"]) == {"base", "code", "python"}
    assert load_folder(tmp_path / "two" / "models" / "python").tokenizer.infilling is None
