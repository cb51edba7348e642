"""Mistral, Tabby, Ollama, Text Generation Inference and the metrics."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from scripted_generator import ScriptedGenerator

TEXT = "total + 1\n"


class TestMistral:
    body: ClassVar[dict[str, Any]] = {
        "model": "tiny",
        "prompt": "def f(a):\n    return ",
        "suffix": "\nprint(1)\n",
    }

    def test_the_answer_has_the_form_of_a_chat(
        self, client: TestClient, generator: ScriptedGenerator
    ) -> None:
        answer = client.post("/v1/fim/completions", json=self.body).json()
        assert answer["object"] == "chat.completion"
        assert answer["choices"][0]["message"]["content"] == TEXT
        assert generator.requests[0].editor is not None
        assert generator.requests[0].sampling.temperature == 0

    def test_it_streams(self, client: TestClient) -> None:
        response = client.post("/v1/fim/completions", json=self.body | {"stream": True})
        parts = response.text.split("\n\n")
        assert parts[-2:] == ["data: [DONE]", ""]
        chunks = [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]
        assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == TEXT
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop" and chunks[-1]["usage"]["total_tokens"]

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"prompt": None}, 422),
            ({"temperature": "x"}, 422),
            ({"model": "codestral-latest"}, 400),
            ({"prompt": "a " * 3000}, 400),
        ],
    )
    def test_errors(self, client: TestClient, change: dict[str, Any], status: int) -> None:
        response = client.post("/v1/fim/completions", json=self.body | change)
        assert response.status_code == status
        if status == 422:
            assert response.json()["detail"][0].keys() == {"loc", "msg", "type"}
        else:
            assert response.json()["object"] == "error" and response.json()["message"]


class TestTabby:
    body: ClassVar[dict[str, Any]] = {
        "language": "python",
        "segments": {
            "prefix": "def f(a):\n    return ",
            "suffix": "\n",
            "filepath": "a.py",
            "declarations": [{"filepath": "b.py", "body": "def other(): pass", "score": 0.5}],
            "clipboard": "x",
        },
        "user": "me",
        "temperature": 0.3,
    }

    def test_segments(self, client: TestClient, generator: ScriptedGenerator) -> None:
        answer = client.post("/v1/completions", json=self.body).json()
        assert answer["choices"] == [{"index": 0, "text": TEXT}] and answer["id"].startswith("cmpl-")
        request = generator.requests[0]
        assert request.editor is not None and request.editor.language == "python"
        assert request.sampling.temperature == 0.3
        del answer
        client.post("/v1/completions", json={"segments": {"prefix": "x"}, "temperature": None})
        # Tabby's default, not OpenAI's.
        assert generator.requests[1].sampling.temperature == 0.1

    def test_the_prompt_can_be_seen(self, client: TestClient) -> None:
        body = self.body | {"debug_options": {"return_prompt": True}}
        assert "def f(a)" in client.post("/v1/completions", json=body).json()["debug_data"]["prompt"]

    def test_errors(self, client: TestClient) -> None:
        for change in ({"segments": {}}, {"segments": {"prefix": 5}}, {"mode": "next_edit_suggestion"}):
            response = client.post("/v1/completions", json=self.body | change)
            assert response.status_code == 400 and response.json()["error"]["message"]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_health(self, client: TestClient, method: str) -> None:
        health = client.request(method, "/v1/health").json()
        assert health["model"] == "tiny" and health["version"]["git_describe"].startswith("v")

    def test_the_rest(self, client: TestClient) -> None:
        assert client.get("/v1beta/server_setting").json() == {"disable_client_side_telemetry": True}
        assert client.post("/v1/events", json={"type": "view"}).status_code == 204


class TestOllama:
    def test_generate_streams_by_default(self, client: TestClient) -> None:
        response = client.post("/api/generate", json={"model": "tiny", "prompt": "x", "raw": True})
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in response.text.splitlines()]
        assert "".join(line["response"] for line in lines) == TEXT
        assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
        last = lines[-1]
        assert last["done_reason"] == "stop" and last["eval_count"] > 0
        assert last["total_duration"] == last["prompt_eval_duration"] + last["eval_duration"] + 1_000_000

    def test_a_suffix_fills_a_gap(self, client: TestClient, generator: ScriptedGenerator) -> None:
        body = {"model": "tiny:latest", "prompt": "a = ", "suffix": "\n", "stream": False}
        assert client.post("/api/generate", json=body).json()["response"] == TEXT
        assert generator.requests[0].editor is not None

    def test_a_prompt_is_a_message_unless_it_is_raw(
        self, client: TestClient, generator: ScriptedGenerator
    ) -> None:
        body = {"model": "tiny", "prompt": "Hello", "system": "Short.", "stream": False}
        client.post("/api/generate", json=body)
        client.post("/api/generate", json=body | {"raw": True})
        first, second = (generator.tokenizer.decode_continuation(r.ids) for r in generator.requests)
        assert "[INST]" in first and "Short." in first and "[INST]" not in second

    def test_options(self, client: TestClient, generator: ScriptedGenerator) -> None:
        options = {
            "num_predict": 3,
            "temperature": 0.5,
            "top_k": 7,
            "seed": 9,
            "stop": ["\n"],
            "num_ctx": 4096,
        }
        body = {"model": "tiny", "prompt": "x", "raw": True, "stream": False, "options": options}
        answer = client.post("/api/generate", json=body).json()
        assert answer["done_reason"] == "length"
        request = generator.requests[0]
        sampling = request.sampling
        assert (sampling.max_new_tokens, sampling.temperature, sampling.top_k, sampling.seed) == (
            3,
            0.5,
            7,
            9,
        )
        assert request.stop == ("\n",)

    def test_chat(self, client: TestClient, generator: ScriptedGenerator) -> None:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "format": "json"}
        lines = [json.loads(line) for line in client.post("/api/chat", json=body).text.splitlines()]
        assert "".join(line["message"]["content"] for line in lines) == TEXT
        assert generator.requests[0].grammar is not None

    def test_long_prompts_are_cut_unless_they_may_not_be(
        self, client: TestClient, generator: ScriptedGenerator
    ) -> None:
        body = {"model": "tiny", "prompt": "a + b\n" * 300, "raw": True, "stream": False}
        assert client.post("/api/generate", json=body).json()["truncated"] is True
        # What is asked for has room behind it, up to half of the context.
        for asked, room in ((16, 128 - 16), (500, 64)):
            client.post("/api/generate", json=body | {"options": {"num_predict": min(asked, 128)}})
            assert room - 4 < len(generator.requests[-1].ids) <= room
        assert client.post("/api/generate", json=body | {"truncate": False}).status_code == 400
        # A message that is too long alone loses its beginning.
        answer = client.post(
            "/api/generate", json={**body, "raw": False, "options": {"num_predict": 16}}
        ).json()
        assert answer["truncated"] is True and 64 < len(generator.requests[-1].ids) <= 128 - 16
        assert "a + b\n" in generator.tokenizer.decode_continuation(generator.requests[-1].ids)
        turns = [
            {"role": role, "content": f"{role} {number} says"}
            for number in range(60)
            for role in ("user", "assistant")
        ]
        turns = [{"role": "system", "content": "Be short."}, *turns, {"role": "user", "content": "the end"}]
        chat = {"model": "tiny", "messages": turns, "stream": False, "options": {"num_predict": 16}}
        assert client.post("/api/chat", json=chat).json()["truncated"] is True
        prompt = generator.tokenizer.decode_continuation(generator.requests[-1].ids)
        assert "Be short." in prompt and "the end" in prompt and "user 0 says" not in prompt
        # One more turn would have been too long.
        assert len(generator.requests[-1].ids) > 128 / 2
        assert client.post("/api/chat", json=chat | {"truncate": False}).status_code == 400

    def test_an_empty_request_loads_the_model(self, client: TestClient, generator: ScriptedGenerator) -> None:
        assert client.post("/api/generate", json={"model": "tiny"}).json()["done_reason"] == "load"
        assert client.post("/api/chat", json={"model": "tiny", "messages": []}).json()["done"] is True
        assert not generator.requests

    def test_what_clients_ask_before(self, client: TestClient) -> None:
        assert client.get("/api/tags").json()["models"][0]["name"] == "tiny"
        shown = client.post("/api/show", json={"name": "tiny"}).json()
        # Continue looks for it.
        assert ".Suffix" in shown["template"] and "insert" in shown["capabilities"]
        assert client.get("/api/version").json()["version"].count(".") == 2

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("/api/generate", {"model": "other", "prompt": "x"}, 404),
            ("/api/generate", {"prompt": "x"}, 400),
            ("/api/generate", {"model": "tiny", "prompt": 5}, 400),
            ("/api/generate", {"model": "tiny", "prompt": "x", "images": ["x"]}, 400),
            ("/api/generate", {"model": "tiny", "prompt": "x", "format": "xml"}, 400),
            ("/api/chat", {"model": "tiny", "messages": [{"role": "tool", "content": "x"}]}, 400),
            ("/api/show", {"model": "other"}, 404),
            ("/api/nothing", {}, 404),
        ],
    )
    def test_errors_are_a_string(self, client: TestClient, path: str, body: Any, status: int) -> None:
        response = client.post(path, json=body)
        assert response.status_code == status
        assert isinstance(response.json()["error"], str) and response.json().keys() == {"error"}


class TestTextGenerationInference:
    def test_generate(self, client: TestClient, generator: ScriptedGenerator) -> None:
        body = {
            "inputs": "x = ",
            "parameters": {"max_new_tokens": 40, "details": True, "return_full_text": True},
        }
        answer = client.post("/generate", json=body).json()
        assert answer["generated_text"] == "x = " + TEXT
        assert answer["details"]["finish_reason"] == "eos_token"
        # The prompt's last space was taken back, and is the first token's.
        assert "".join(token["text"] for token in answer["details"]["tokens"]) == " " + TEXT
        assert generator.requests[0].sampling.temperature == 0

    def test_truncate_keeps_the_end(self, client: TestClient, generator: ScriptedGenerator) -> None:
        body = {"inputs": "a + b\n" * 300, "parameters": {"truncate": 20}}
        assert client.post("/generate", json=body).json()["truncated"] is True
        assert len(generator.requests[0].ids) <= 20
        assert client.post("/generate", json={"inputs": "a + b\n" * 300}).status_code == 400

    def test_stream(self, client: TestClient) -> None:
        response = client.post("/generate_stream", json={"inputs": "x = "})
        chunks = [json.loads(part.removeprefix("data: ")) for part in response.text.split("\n\n")[:-1]]
        assert "".join(chunk["token"]["text"] for chunk in chunks) == TEXT
        assert [chunk["generated_text"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert chunks[-1]["generated_text"] == TEXT

    def test_clients_that_show_what_is_not_special_show_all(
        self, client: TestClient, generator: ScriptedGenerator
    ) -> None:
        generator.text = "a EN"
        response = client.post("/generate_stream", json={"inputs": "x = ", "parameters": {"stop": ["END"]}})
        tokens = [
            json.loads(part.removeprefix("data: "))["token"] for part in response.text.split("\n\n")[:-1]
        ]
        assert "".join(token["text"] for token in tokens if not token["special"]) == "a EN"

    def test_errors(self, client: TestClient) -> None:
        for body in ({}, {"inputs": 5}, {"inputs": "x", "parameters": {"top_p": 2}}):
            response = client.post("/generate", json=body)
            assert response.status_code == 422
            assert response.json().keys() == {"error", "error_type"}


def test_metrics_can_be_read_by_prometheus(client: TestClient) -> None:
    client.post("/v1/completions", json={"prompt": "x", "max_tokens": 20})
    client.post("/v1/completions", json={})
    client.get("/nothing/like/it")
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert {
        "llamacpp:tokens_predicted",
        "llamacpp:requests_processing",
        "vllm:num_requests_running",
    } <= families.keys()
    (count,) = (
        sample.value
        for sample in families["vllm:time_to_first_token_seconds"].samples
        if sample.name.endswith("_count")
    )
    assert count == 1
    requests = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for sample in families["codecascade_requests"].samples
        if sample.name.endswith("_total")
    }
    assert requests[("/v1/completions", "200")] == 1 and requests[("/v1/completions", "400")] == 1
    # Addresses that are not there make no metrics of their own.
    assert requests[("other", "404")] == 1
