"""The server over the real engine, with a tiny random model; and the command."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from engine_models import CODE, tiny_model
from live_server import Live, live, soon
from tiny_models import save_tiny_model

from codecascade.cli import main
from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.engine.service import EngineService
from codecascade.generation.requests import SamplingParams, completion_request, infilling_request
from codecascade.model.llama import Llama
from codecascade.server.settings import Limits, ServerSettings
from codecascade.tokens.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Llama:
    return tiny_model(tokenizer, context=512)


@pytest.fixture(scope="module")
def server(tokenizer: Tokenizer, model: Llama) -> Iterator[Live]:
    settings = ServerSettings(names=("tiny",), limits=Limits(clients=64))
    with live(lambda: EngineService(Engine(model, tokenizer, chunk_tokens=16), "tiny"), settings) as server:
        yield server


def test_texts_are_the_engines(server: Live, tokenizer: Tokenizer, model: Llama) -> None:
    wanted = SamplingParams(12)
    requests = [
        completion_request(tokenizer, "def merge(first", wanted),
        infilling_request(tokenizer, "def merge(first", " return result\n", wanted),
    ]
    completion, middle = (
        answer.text
        for answer in sorted(LocalGenerator(model, tokenizer).generate(requests), key=lambda a: a.request)
    )
    sampling = {"max_tokens": 12, "temperature": 0}
    body = {"prompt": "def merge(first"} | sampling
    assert server.post("/v1/completions", body).json()["choices"][0]["text"] == completion
    stream = server.post("/v1/completions", body | {"stream": True}).text
    chunks = [json.loads(line[6:]) for line in stream.split("\n\n") if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == completion
    body |= {"suffix": " return result\n", "editor_stops": False}
    assert server.post("/v1/completions", body).json()["choices"][0]["text"] == middle
    gap = {
        "input_prefix": "def merge(",
        "prompt": "first",
        "input_suffix": " return result\n",
        "n_predict": 12,
    }
    assert server.post("/infill", gap | {"editor_stops": False}).json()["content"] == middle


def test_many_at_once_get_what_each_would_alone(server: Live) -> None:
    def ask(number: int) -> str:
        body = {"prompt": CODE[number : number + 40], "max_tokens": 10, "seed": number, "top_p": 0.9}
        text: str = server.post("/v1/completions", body).json()["choices"][0]["text"]
        return text

    alone = [ask(number) for number in range(12)]
    together: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda n=n: together.update({n: ask(n)}))
        for n in range(12)  # type: ignore[misc]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(12)] == alone


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_frees_the_engine(server: Live, stream: bool) -> None:
    assert soon(lambda: server.generator.load().running + server.generator.load().waiting == 0)
    body = {"prompt": [5] * 400, "max_tokens": 100, "n": 8, "temperature": 1, "stream": stream}
    connections = [server.raw("/v1/completions", body) for _ in range(6)]
    assert soon(lambda: server.generator.load().running > 0)
    for connection in connections:
        connection.close()
    assert soon(lambda: server.generator.load().running + server.generator.load().waiting == 0)
    assert server.post("/v1/completions", {"prompt": "x", "max_tokens": 2}).status_code == 200


def test_warming_the_cache_makes_the_next_prompt_short(server: Live) -> None:
    gap = {
        "input_prefix": CODE,
        "input_suffix": "\nprint(1)\n",
        "response_fields": ["timings/cache_n", "content"],
    }
    warm = server.post("/infill", gap | {"n_predict": 0}).json()
    assert warm == {"timings/cache_n": 0, "content": ""}
    assert server.post("/infill", gap | {"n_predict": 4}).json()["timings/cache_n"] > 50


def test_everything_that_can_be_asked_for_is_done(server: Live) -> None:
    body: dict[str, Any] = {
        "prompt": "def merge(",
        "max_tokens": 6,
        "n": 2,
        "best_of": 3,
        "logprobs": 3,
        "top_k": 5,
        "min_p": 0.01,
        "repetition_penalty": 1.2,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
        "logit_bias": {"7": -100, "8": 1e300},
        "stop": ["\n\n"],
    }
    assert server.post("/v1/completions", body).status_code == 200
    extremes = {"temperature": 1e-320, "top_k": 10**30, "logit_bias": {"8": -1e300}, "seed": -(10**30)}
    assert server.post("/v1/completions", body | extremes).status_code == 200


def test_a_schema_is_kept_to(server: Live) -> None:
    pytest.importorskip("llguidance")
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    body = {
        "messages": [{"role": "user", "content": "x"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        "max_tokens": 60,
    }
    response = server.post("/v1/chat/completions", body)
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    if choice["finish_reason"] == "stop":
        assert json.loads(choice["message"]["content"]).keys() == {"ok"}


class TestCommand:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny-model")

    def run(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "codecascade", "serve", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        )

    def test_it_says_where_it_is_answers_and_ends(self, folder: Path, tmp_path: Path) -> None:
        keys = tmp_path / "keys"
        keys.write_text("the-key\n")
        keys.chmod(0o600)
        with self.run(
            folder,
            "--port",
            0,
            "--api-key-file",
            keys,
            "--context",
            100,
            "--alias",
            "mine",
            "--weights",
            "int8",
        ) as child:
            try:
                assert child.stdout is not None and child.stderr is not None
                line = child.stderr.readline()
                found = re.fullmatch(
                    r"mine is served at (http://127\.0\.0\.1:\d+) \(ready in [\d.]+ s; "
                    r"weights in (\w+), asked for: [\d.]+ kB\b.*\)\n",
                    line,
                )
                assert found is not None and found[2] == "int8", line
                url = found[1]
                body = {"prompt": "def ", "max_tokens": 5}
                headers = {"Authorization": "Bearer the-key"}
                with httpx.Client(base_url=url, timeout=120) as client:
                    assert client.post("/v1/completions", json=body).status_code == 401
                    assert client.post("/v1/completions", json=body, headers=headers).status_code == 200
                    model = client.get("/v1/models", headers=headers).json()["data"][0]
                    assert (model["id"], model["max_model_len"]) == ("mine", 100)
                    # DNS rebinding
                    assert client.get("/health", headers={"Host": "evil.example"}).status_code == 403
                child.send_signal(signal.SIGTERM)
                out, _ = child.communicate(timeout=120)
            finally:
                child.kill()
        assert child.returncode == 0
        for name in (
            "browser",
            "llama.vim",
            "llama.vscode",
            "Continue",
            "Tabby",
            "llm-vscode",
            "twinny",
            "curl",
        ):
            assert name in out
        assert f"{url}/infill" in out and 'model: "mine"' in out

    @pytest.mark.parametrize("mistake", ["port", "model", "no model", "keys", "context", "memory", "weights"])
    def test_mistakes_are_sentences(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mistake: str
    ) -> None:
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "config.json").write_text("{")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            arguments, named = {
                "port": ([folder, "--port", port], f"127.0.0.1:{port}"),
                "model": ([broken, "--port", 0], "config.json"),
                "no model": ([tmp_path / "none", "--port", 0], "none"),
                "keys": ([folder, "--port", 0, "--api-key-file", tmp_path / "no keys"], "no keys"),
                "memory": ([folder, "--port", 0, "--context", 10**15], "--context: there is memory for"),
                "context": ([folder, "--port", 0, "--context", 1], "--context"),
                "weights": ([folder, "--port", 0, "--weights", "int4"], "mlp.down_proj"),
            }[mistake]
            with pytest.raises(SystemExit) as end:
                main(["serve", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert end.value.code == 2 and out == ""
        assert named in err and "Traceback" not in err
