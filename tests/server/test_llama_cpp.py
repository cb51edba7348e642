"""llama.cpp's addresses, as llama.vim and llama.vscode use them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from scripted_generator import ScriptedGenerator

from codecascade.server.app import create_app
from codecascade.server.settings import ServerSettings
from codecascade.tokens.tokenizer import Tokenizer

TEXT = "total + 1\n"

# As llama.vim sends it.
VIM = {
    "id_slot": 0,
    "input_prefix": "def f(a):\n",
    "input_suffix": "\nprint(f(1))\n",
    "input_extra": [],
    "prompt": "    return ",
    "n_predict": 60,
    "stop": [],
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.90,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 250,
    "response_fields": [
        "content",
        "timings/prompt_n",
        "timings/predicted_per_second",
        "truncated",
        "tokens_cached",
    ],
    "model": "",
    "lora": None,
}


def test_what_llama_vim_reads(client: TestClient, generator: ScriptedGenerator) -> None:
    response = client.post("/infill", json=VIM, headers={"Authorization": "Bearer "})
    assert response.status_code == 200
    # llama.vim's own test of a reply
    assert response.text.startswith("{") and re.search(r'"content"\s*:"', response.text)
    assert response.json().keys() == set(VIM["response_fields"])
    assert response.json()["content"] == TEXT
    request = generator.requests[0]
    assert request.editor is not None
    # The prompt of the cursor's line belongs to the prefix.
    assert request.editor.prefix == VIM["input_prefix"] + VIM["prompt"]
    assert request.editor.suffix == VIM["input_suffix"]
    assert (request.editor.min_indent, request.editor.time_limit) == (4, 0.25)
    assert (request.sampling.top_k, request.sampling.top_p, request.sampling.temperature) == (40, 0.9, 0.0)


def test_warming_the_cache_answers_with_nothing(client: TestClient, generator: ScriptedGenerator) -> None:
    warm = VIM | {"n_predict": 0, "response_fields": [""]}
    assert client.post("/infill", json=warm).text == "{}"
    assert client.post("/infill", json=VIM | {"n_predict": 0, "response_fields": []}).json()["content"] == ""
    assert all(request.sampling.max_new_tokens == 0 for request in generator.requests)


def test_several_completions_are_an_array(client: TestClient, generator: ScriptedGenerator) -> None:
    generator.text = lambda request, sample: f"sample {sample}"
    answers = client.post("/infill", json=VIM | {"n_cmpl": 3}).json()
    assert [answer["content"] for answer in answers] == ["sample 0", "sample 1", "sample 2"]
    response = client.post("/infill", json=VIM | {"n_cmpl": 1000})
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("Field 'n_cmpl': Value must be between 1 and ")


def test_fields_and_timings(client: TestClient, generator: ScriptedGenerator) -> None:
    whole = client.post("/infill", json=VIM | {"response_fields": []}).json()
    request = generator.requests[0]
    tokens = whole["tokens_predicted"]
    assert whole["stop"] is True and whole["stop_type"] == "eos" and whole["truncated"] is False
    assert whole["tokens_evaluated"] == len(request.ids)
    assert whole["tokens_cached"] == len(request.ids) + tokens
    assert whole["timings"] == {
        "cache_n": 2,
        "prompt_n": len(request.ids) - 2,
        "prompt_ms": 10.0,
        "prompt_per_token_ms": round(10 / (len(request.ids) - 2), 3),
        "prompt_per_second": round((len(request.ids) - 2) / 0.01, 3),
        "predicted_n": tokens,
        "predicted_ms": 20.0,
        "predicted_per_token_ms": round(20 / tokens, 3),
        "predicted_per_second": round(tokens / 0.02, 3),
    }
    flat = client.post(
        "/infill", json=VIM | {"response_fields": ["timings/prompt_n", "timings", "no/such"]}
    ).json()
    assert flat == {"timings/prompt_n": len(request.ids) - 2, "timings": whole["timings"]}
    stopped = client.post("/infill", json=VIM | {"response_fields": [], "stop": ["+"]}).json()
    assert (stopped["stop_type"], stopped["stopping_word"]) == ("word", "+")
    assert (
        client.post("/infill", json=VIM | {"response_fields": [], "n_predict": 1}).json()["stop_type"]
        == "limit"
    )


def test_completion_streams_in_llama_cpps_form(client: TestClient) -> None:
    response = client.post("/completion", json={"prompt": "x = ", "n_predict": 50, "stream": True})
    chunks = [json.loads(part.removeprefix("data: ")) for part in response.text.split("\n\n")[:-1]]
    assert "".join(chunk["content"] for chunk in chunks) == TEXT
    assert [chunk["stop"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["stop_type"] == "eos" and "timings" in chunks[-1]


@pytest.mark.parametrize("text", [TEXT, "size = '\U0001f600\U0001f680'\n", "a END", "a EN"])
def test_a_stream_has_the_ids_of_the_whole_answer(
    client: TestClient, generator: ScriptedGenerator, text: str
) -> None:
    """Also of tokens whose text comes later, as that of a part of a character, or never, as a stop string's."""
    generator.text = text
    body = {"prompt": "x = ", "n_predict": 50, "return_tokens": True, "stop": ["END"]}
    whole = client.post("/completion", json=body).json()
    response = client.post("/completion", json=body | {"stream": True})
    chunks = [json.loads(part.removeprefix("data: ")) for part in response.text.split("\n\n")[:-1]]
    assert [token for chunk in chunks for token in chunk["tokens"]] == whole["tokens"]
    assert "".join(chunk["content"] for chunk in chunks) == whole["content"]


def test_forms_of_a_prompt(client: TestClient, generator: ScriptedGenerator, tokenizer: Tokenizer) -> None:
    def ids(prompt: Any) -> list[tuple[int, ...]]:
        generator.requests.clear()
        response = client.post("/completion", json={"prompt": prompt, "n_predict": 5})
        assert response.status_code == 200, response.text
        assert isinstance(response.json(), list) == (len(generator.requests) > 1)
        return [request.ids for request in generator.requests]

    assert ids([1, 5, 6]) == [(1, 5, 6)]
    assert ids([1, "a = 1", 6]) == [(1, *tokenizer.encode_continuation("a = 1"), 6)]
    assert len(ids(["a", "b"])) == 2
    assert ids([[1, 5], [1, 6, 7]]) == [(1, 5), (1, 6, 7)]
    for wrong in ([], [[]], [1, [2]], [10**7], [10**7, "a"], [-1, "a"], [[-1]], None, {"a": 1}, [None]):
        assert client.post("/completion", json={"prompt": wrong}).status_code == 400


def test_probabilities_and_biases(client: TestClient, generator: ScriptedGenerator) -> None:
    body = {"prompt": "x", "n_probs": 1, "logit_bias": [[5, 1.5], [6, False]], "n_predict": 20}
    answer = client.post("/completion", json=body).json()
    entry = answer["completion_probabilities"][0]
    assert entry["logprob"] == -0.25 and entry["top_logprobs"][0]["id"] == entry["id"]
    assert generator.requests[0].sampling.logit_bias == ((5, 1.5), (6, float("-inf")))
    for wrong in ([[5]], [["word", 1]], [[5, "x"]], [[5, True]], [[10**7, 1]], [[5, 1]] * 2000):
        assert client.post("/completion", json=body | {"logit_bias": wrong}).status_code == 400


def test_tokenize_and_back(client: TestClient, tokenizer: Tokenizer) -> None:
    text = "def f(a): return '☃</s>'"
    found = client.post("/tokenize", json={"content": text}).json()
    assert found["tokens"] == tokenizer.encode(text) and found["count"] == len(found["tokens"])
    assert not set(found["tokens"]) & tokenizer.special_ids
    assert client.post("/detokenize", json={"tokens": found["tokens"]}).json()["content"] == text
    with_bos = client.post("/tokenize", json={"content": text, "add_special": True}).json()["tokens"]
    assert with_bos == [tokenizer.bos_id, *found["tokens"]]
    pieces = client.post("/tokenize", json={"content": text, "with_pieces": True}).json()["tokens"]
    data = b"".join(
        piece["piece"].encode() if isinstance(piece["piece"], str) else bytes(piece["piece"])
        for piece in pieces
    )
    assert data.decode().lstrip() == text
    assert client.post("/tokenize", json={"prompt": "a"}).json()["count"] >= 1
    assert client.post("/tokenize", json={}).status_code == 400
    for wrong in (10**9, tokenizer.vocab_size):
        refused = client.post("/detokenize", json={"tokens": [*found["tokens"], wrong]})
        assert (
            refused.status_code == 400
            and f"no token has the id {wrong}" in refused.json()["error"]["message"]
        )


def test_apply_template_and_props(client: TestClient) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    prompt = client.post("/apply-template", json={"messages": messages}).json()["prompt"]
    assert prompt.startswith("<s>") and "[INST] Hello [/INST]" in prompt
    messages.append({"role": "assistant", "content": "def add"})
    assert client.post("/apply-template", json={"messages": messages}).json()["prompt"].endswith("def add")
    props = client.get("/props").json()
    assert props["default_generation_settings"]["n_ctx"] == 128 and props["chat_template"]
    assert client.get("/health").json() == {"status": "ok"}


def test_errors_have_llama_cpps_form(client: TestClient) -> None:
    response = client.post("/completion", json={"prompt": "x" * 5000})
    error = response.json()["error"]
    assert response.status_code == error["code"] == 400
    assert error["type"] == "exceed_context_size_error"
    assert error["n_ctx"] == 128 and error["n_prompt_tokens"] > 128
    for body in ({"prompt": "x", "grammar": "root ::= x"}, {"prompt": "x", "n_predict": "many"}, {}):
        error = client.post("/completion", json=body).json()["error"]
        assert error["code"] == 400 and error["type"] == "invalid_request_error" and error["message"]


def test_an_editors_long_file_is_cut_and_said_so(client: TestClient, generator: ScriptedGenerator) -> None:
    lines = "".join(f"first_{number} = {number}\n" for number in range(300))
    body = VIM | {"input_prefix": lines, "input_suffix": "\n" + lines, "response_fields": []}
    answer = client.post("/infill", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["truncated"] is True
    request = generator.requests[0]
    assert len(request.ids) < 128
    prompt = generator.tokenizer.decode_continuation(request.ids) + request.required.decode()
    # What is near the cursor stays.
    assert prompt.endswith("first_299 = 299\n    return ") and "first_0 = 0" in prompt
    # The stops know the whole file.
    assert request.editor is not None and request.editor.prefix == lines + "    return "


@pytest.mark.parametrize("lines", ["single", "block", "any"])
def test_an_editor_says_how_many_lines_it_wants(
    client: TestClient, generator: ScriptedGenerator, lines: str
) -> None:
    assert client.post("/infill", json=VIM | {"editor_lines": lines}).status_code == 200
    assert generator.requests[0].editor is not None and generator.requests[0].editor.lines == lines
    assert client.post("/infill", json=VIM | {"editor_lines": "two"}).status_code == 400


def test_other_files_stand_before_the_prompt(client: TestClient, generator: ScriptedGenerator) -> None:
    extra = [
        {"text": f"chunk_{number} = {number}\n", "filename": f"{number}.py", "time": 1}
        for number in range(30)
    ]
    answer = client.post("/infill", json=VIM | {"input_extra": extra, "response_fields": []}).json()
    request = generator.requests[0]
    prompt = generator.tokenizer.decode_continuation(request.ids)
    assert "--- snippet ---" in prompt and "chunk_29 = 29" in prompt
    assert prompt.index("chunk_29") < prompt.index("def f(a)")
    # Not all fit, and the newest are the last ones; the file itself is whole.
    assert "chunk_0 =" not in prompt and answer["truncated"] is False
    assert len(request.ids) < 128


def test_a_model_that_can_not_infill_says_so(plain_tokenizer: Tokenizer) -> None:
    app = create_app(ScriptedGenerator(plain_tokenizer), ServerSettings(names=("plain",)))
    with TestClient(app) as client:
        response = client.post("/infill", json=VIM)
        assert response.status_code == 501 and response.json()["error"]["type"] == "not_supported_error"
        assert client.post("/completion", json={"prompt": "x"}).status_code == 200
        chat = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}]})
        assert chat.status_code == 400


@pytest.mark.parametrize("path", ["/infill", "/completion", "/tokenize", "/detokenize", "/apply-template"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff\xfe{}", b'"text"', b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000],
    ids=lambda body: repr(body[:12]),
)
def test_bodies_that_are_none(client: TestClient, path: str, body: bytes) -> None:
    response = client.post(path, content=body)
    assert response.status_code == 400
    assert response.json()["error"]["message"]
