"""A cascade on two ranks measures its models by vLLM: the stand-in that is started gives our engine's figures."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from warm_process import CODECASCADE, WarmRanks

from codecascade.cascade.run import run_cascade
from codecascade.ground.errors import UserError
from codecascade.recipe import make_recipe, read_recipe, write_recipe

STAND_IN = Path(__file__).parents[1] / "helpers" / "servers" / "vllm_stand_in.py"


@pytest.mark.distributed
def test_two_ranks_measure_by_vllm(data: dict[str, Any], tmp_path: Path) -> None:
    """The first rank starts it for the stage alone, in an environment in which it can't take itself for a rank."""
    code, *_ = data["stage"]
    served = {"engine": "vllm", "server": {"command": [sys.executable, str(STAND_IN)], "ready_minutes": 10}}
    data["evaluate"] |= {
        "benchmarks": ["validation", "infilling_heldout"],
        "infilling_heldout": {"problems": 4, "line_max_new_tokens": 8, "max_new_tokens": 8},
    }
    data["stage"] = [code | {"steps": 2, "precision": "fp32", "evaluate": served}]
    write_recipe(make_recipe(data), tmp_path / "small.toml")
    folder = tmp_path / "run"
    environment = {
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "TORCHELASTIC_RUN_ID": "mine",
    }
    with WarmRanks(
        2, CODECASCADE, ["run", tmp_path / "small.toml", "-o", folder], tmp_path / "streams", environment
    ) as ranks:
        assert ranks.wait() == [0, 0], ranks.messages
    assert ranks.messages.count("code: vLLM starts on 1 device") == 1
    assert "the stand-in for vLLM starts" in (folder / "evaluations" / "code" / "vllm.log").read_text()
    assert not (folder / "evaluations" / "base" / "vllm.log").exists()
    theirs = json.loads((folder / "results.json").read_text())["models"]
    # What our own engine says of the same models; the base's results are kept.
    again = ["stage.code.evaluate.engine=own"]
    run_cascade(read_recipe(tmp_path / "small.toml", again), folder)
    ours = json.loads((folder / "results.json").read_text())["models"]
    assert ours["base"] == theirs["base"]
    for benchmark, figures in ours["code"].items():
        for name, figure in figures.items():
            assert theirs["code"][benchmark][name]["value"] == pytest.approx(figure["value"], rel=1e-4), name
    assert ours["code"]["validation"].keys() == {"loss", "infilling_loss", "bits_per_byte"}


def test_a_program_that_is_missing_is_found_first(data: dict[str, Any], tmp_path: Path) -> None:
    data["stage"] = [data["stage"][0]]
    data["stage"][0]["evaluate"] = {"engine": "vllm", "server": {"command": ["no-such-vllm"]}}
    with pytest.raises(UserError, match="no program 'no-such-vllm': install vLLM"):
        run_cascade(make_recipe(data), tmp_path / "run")
    assert not (tmp_path / "run").exists()
