"""How vLLM is started, and what is found before it is."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_models import save_tiny_model

from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.generation.served.opening import check_served, served_backend
from codecascade.generation.served.settings import ServerSettings
from codecascade.generation.served.vllm import command_line, environment_for, tensor_parallel
from codecascade.ground.errors import RunFailed, UserError
from codecascade.model.presets import PRESETS

STAND_IN = Path(__file__).parents[2] / "helpers" / "servers" / "vllm_stand_in.py"
SMALL = replace(PRESETS["tiny"], num_attention_heads=16, num_key_value_heads=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def line(settings: ServerSettings, devices: int = 1, **changed: Any) -> list[str]:
    given = {"name": "n", "port": 7, "precision": "bf16", **changed}
    return command_line(settings, "FOLDER", SMALL, devices=devices, **given)


def test_the_command_line() -> None:
    words = line(ServerSettings(command=("uv", "run", "vllm"), arguments=("--max-num-seqs", "64")), devices=8)
    assert words[:5] == ["uv", "run", "vllm", "serve", "FOLDER"] and words[-2:] == ["--max-num-seqs", "64"]
    given = dict(zip(words[5::2], words[6::2], strict=True))
    assert given["--tensor-parallel-size"] == "8" and given["--dtype"] == "bfloat16"
    # Other users of the machine can't reach it, and a request has no defaults of the folder's.
    assert given["--host"] == "127.0.0.1" and given["--generation-config"] == "vllm"
    assert "--max-model-len" not in given


def test_a_context_beyond_the_models_own_makes_its_positions_longer() -> None:
    words = line(ServerSettings(context=SMALL.max_position_embeddings * 2))
    overrides = json.loads(words[words.index("--hf-overrides") + 1])
    assert overrides == {"max_position_embeddings": SMALL.max_position_embeddings * 2}
    assert "--hf-overrides" not in line(ServerSettings(context=SMALL.max_position_embeddings))


def test_as_many_devices_as_divide_the_heads() -> None:
    assert [tensor_parallel(ServerSettings(), SMALL, devices) for devices in (0, 1, 3, 6, 8, 12, 99)] == [
        *(1, 1, 2, 4, 8, 8, 16)
    ]
    assert tensor_parallel(ServerSettings(tensor_parallel=4), SMALL, 1) == 4
    with pytest.raises(UserError, match="16 heads of the model, and divide its 4 heads") as error:
        tensor_parallel(ServerSettings(tensor_parallel=3), SMALL, 8)
    assert error.value.key == "evaluate.server.tensor_parallel"


def test_it_is_no_rank_of_the_training() -> None:
    given = {"PATH": "/bin", "RANK": "0", "MASTER_ADDR": "a", "TORCHELASTIC_RUN_ID": "1", "VLLM_USE_V1": "1"}
    assert environment_for("k", given) == {"PATH": "/bin", "VLLM_USE_V1": "1", "VLLM_API_KEY": "k"}


def test_what_is_missing_is_found_before_anything_starts(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no program 'no-such-program': install vLLM"):
        check_served("vllm", ServerSettings(command=("no-such-program",)), str(folder))
    with pytest.raises(UserError, match="codecascade convert smollm2-135m FOLDER --to hf"):
        check_served("vllm", ServerSettings(command=("sh",)), "smollm2-135m")
    check_served("http://localhost:1", ServerSettings(), "smollm2-135m")


def test_what_ends_at_once_is_told_with_its_log(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_STAND_IN", "crash")
    settings = ServerSettings(command=(sys.executable, str(STAND_IN)), ready_minutes=2)
    log = tmp_path / "vllm.log"
    with (
        pytest.raises(RunFailed, match=r"(?s)status 1.*vllm.log.*Free memory on device"),
        served_backend(
            "vllm", settings, str(folder), title="code", about={}, precision="fp32", log=log
        ) as backend,
    ):
        assert not log.exists()
        assert backend.describe() == {"engine": "vllm"} and backend.is_chat
        list(backend.generator.log_probabilities([[1, 2]]))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "vlm"}, "must be 'own', 'vllm' or a server's address"),
        ({"engine": "vllm", "server": {"prompts": "text"}}, "must be 'ids' for vLLM"),
        ({"engine": "http://a", "server": {"prompts": "text"}}, "must be 'ids' for validation"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((UserError, ValueError), match=message):
        EvaluateSettings(**settings)
    kept = EvaluateSettings(engine="http://a", benchmarks=("humaneval",), server={"prompts": "text"})  # type: ignore[arg-type]
    assert kept.server.prompts == "text"
