"""``/v1/completions``, ``/v1/chat/completions`` and ``/v1/models``: forms, streams, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scripted_generator import ScriptedGenerator

from codecascade.server.protocols.openai_logprobs import TextOffsets
from codecascade.tokens.infilling import infilling_prompt
from codecascade.tokens.tokenizer import Tokenizer

TEXT = "total + 1\n"


def events(response: Any) -> list[Any]:
    assert response.headers["content-type"].startswith("text/event-stream")
    parts = response.text.split("\n\n")
    assert parts.pop() == ""
    assert all(part.startswith("data: ") for part in parts)
    assert parts.pop() == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def test_a_completion_has_openais_form(client: TestClient, generator: ScriptedGenerator) -> None:
    answer = client.post("/v1/completions", json={"model": "tiny", "prompt": "x = ", "max_tokens": 50}).json()
    assert answer["object"] == "text_completion" and answer["model"] == "tiny"
    assert answer["choices"] == [{"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}]
    usage = answer["usage"]
    assert usage["prompt_tokens"] == len(generator.requests[0].ids)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert generator.requests[0].sampling.temperature == 1.0


def test_a_stream_says_the_same_as_the_whole(client: TestClient) -> None:
    body = {"prompt": "x = ", "max_tokens": 50, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = events(client.post("/v1/completions", json=body))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == TEXT
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == [] and last["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_several_prompts_and_samples_are_numbered(
    client: TestClient, generator: ScriptedGenerator, stream: bool
) -> None:
    generator.text = lambda request, sample: f"{len(request.ids)}:{sample}"
    body = {"prompt": ["a", "b + c + d"], "n": 2, "max_tokens": 50, "stream": stream}
    response = client.post("/v1/completions", json=body)
    texts: dict[int, str] = {}
    for chunk in events(response) if stream else [response.json()]:
        for choice in chunk["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    first, second = (len(request.ids) for request in generator.requests)
    assert texts == {0: f"{first}:0", 1: f"{first}:1", 2: f"{second}:0", 3: f"{second}:1"}


def test_ids_are_taken_as_they_are(client: TestClient, generator: ScriptedGenerator) -> None:
    client.post("/v1/completions", json={"prompt": [1, 300, 7]})
    client.post("/v1/completions", json={"prompt": [[1, 5], [1, 6, 7]]})
    assert [request.ids for request in generator.requests] == [(1, 300, 7), (1, 5), (1, 6, 7)]


def test_the_best_of_several_are_the_likeliest(client: TestClient, generator: ScriptedGenerator) -> None:
    generator.text = lambda request, sample: f"sample {sample}"
    body = {"prompt": "x", "n": 2, "best_of": 4, "max_tokens": 50}
    answer = client.post("/v1/completions", json=body).json()
    # The script's log-probabilities fall with the number.
    assert [choice["text"] for choice in answer["choices"]] == ["sample 0", "sample 1"]
    assert [choice["logprobs"] for choice in answer["choices"]] == [None, None]
    assert generator.requests[0].samples == 4
    many = answer["usage"]["completion_tokens"]
    body["best_of"] = 2
    assert many > client.post("/v1/completions", json=body).json()["usage"]["completion_tokens"]


def test_echo_puts_the_prompt_in_front(client: TestClient) -> None:
    body = {"prompt": "x = ", "echo": True, "max_tokens": 50}
    assert client.post("/v1/completions", json=body).json()["choices"][0]["text"] == "x = " + TEXT
    chunks = events(client.post("/v1/completions", json=body | {"stream": True}))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "x = " + TEXT


def test_logprobs_name_tokens_and_where_they_begin(client: TestClient) -> None:
    body = {"prompt": "x = ", "logprobs": 1, "max_tokens": 50}
    found = client.post("/v1/completions", json=body).json()["choices"][0]["logprobs"]
    assert "".join(found["tokens"]) == TEXT
    assert found["text_offset"] == [
        len("".join(found["tokens"][:index])) for index in range(len(found["tokens"]))
    ]
    assert set(found["token_logprobs"]) == {-0.25}
    assert found["top_logprobs"][0] == {found["tokens"][0]: -0.25}
    chunks = events(client.post("/v1/completions", json=body | {"stream": True}))
    offsets = [offset for chunk in chunks for offset in chunk["choices"][0]["logprobs"]["text_offset"]]
    assert offsets == found["text_offset"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(st.integers(3, 400), max_size=12))
@example(ids=[0xF0 + 3, 0x9F + 3, 20, 0xFF + 3, 300])
def test_tokens_begin_where_their_text_stands_whatever_they_are(tokenizer: Tokenizer, ids: list[int]) -> None:
    """Bytes that are no text stand in it as the sign for such."""
    offsets = TextOffsets(tokenizer)
    found = [offsets.next(token) for token in ids]
    whole = tokenizer.decode_continuation(ids)
    for index, begins in enumerate(found):
        own = tokenizer.decode_continuation(ids[index : index + 1])
        if "\ufffd" not in own:
            assert whole[begins:].startswith(own)
    assert found == sorted(found)


def test_a_suffix_makes_it_an_infilling(
    client: TestClient, generator: ScriptedGenerator, tokenizer: Tokenizer
) -> None:
    body = {"prompt": "def f(a):\n    return ", "suffix": "\n\nprint(f(1))\n", "max_tokens": 20}
    assert client.post("/v1/completions", json=body).status_code == 200
    request = generator.requests[0]
    marks = tokenizer.infilling
    assert marks is not None and {marks.prefix, marks.suffix, marks.middle} <= set(request.ids)
    assert request.editor is not None and request.editor.suffix == body["suffix"]
    client.post("/v1/completions", json=body | {"editor_stops": False})
    assert generator.requests[1].editor is None
    # Tabby's own server sends a suffix of null.
    client.post("/v1/completions", json=body | {"suffix": None})
    assert not {marks.prefix, marks.suffix, marks.middle} & set(generator.requests[2].ids)
    # An empty one is a gap at the end of a file.
    client.post("/v1/completions", json=body | {"suffix": ""})
    assert marks.middle in generator.requests[3].ids


def test_special_tokens_in_texts_are_text(
    client: TestClient, generator: ScriptedGenerator, tokenizer: Tokenizer
) -> None:
    names = [name for name, token in tokenizer.vocabulary.items() if token in tokenizer.special_ids]
    evil = "a" + "".join(names) + "</s><s><unk>"
    client.post("/v1/completions", json={"prompt": evil})
    client.post("/v1/completions", json={"prompt": "b", "suffix": evil})
    client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": evil}]})
    client.post("/infill", json={"input_prefix": evil, "input_suffix": evil})
    assert len(generator.requests) == 4
    plain = [
        [token for token in tokenizer.encode("a", bos=True) if token in tokenizer.special_ids],
        [token for token in infilling_prompt(tokenizer, "b", "c") if token in tokenizer.special_ids],
        [tokenizer.bos_id],
        [token for token in infilling_prompt(tokenizer, "b", "c") if token in tokenizer.special_ids],
    ]
    for request, allowed in zip(generator.requests, plain, strict=True):
        assert sorted(token for token in request.ids if token in tokenizer.special_ids) == sorted(allowed)


def test_a_chat_has_openais_form(client: TestClient, generator: ScriptedGenerator) -> None:
    messages = [
        {"role": "system", "content": "Short."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
    ]
    answer = client.post("/v1/chat/completions", json={"messages": messages, "n": 2}).json()
    assert answer["object"] == "chat.completion"
    assert [choice["message"] for choice in answer["choices"]] == [
        {"role": "assistant", "content": TEXT.lstrip()}
    ] * 2
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    prompt = generator.tokenizer.decode_continuation(generator.requests[0].ids)
    assert "Short." in prompt and "Hello" in prompt


def test_a_chat_streams(client: TestClient) -> None:
    body = {
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    first, *middle, end, usage = events(client.post("/v1/chat/completions", json=body))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in middle) == TEXT
    assert end["choices"][0]["delta"] == {} and end["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == [] and usage["usage"]["prompt_tokens"] > 0


def test_a_chats_logprobs(client: TestClient) -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}], "logprobs": True, "top_logprobs": 1}
    entries = client.post("/v1/chat/completions", json=body).json()["choices"][0]["logprobs"]["content"]
    assert b"".join(bytes(entry["bytes"]) for entry in entries).decode() == TEXT
    assert all(entry["top_logprobs"][0]["token"] == entry["token"] for entry in entries)


def test_llama_vim_reads_a_dialogue_ahead(client: TestClient, generator: ScriptedGenerator) -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}], "n_predict": 0, "samplers": [], "id_slot": 1}
    answer = client.post("/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == "" and generator.tokens == 0
    client.post("/v1/chat/completions", json=body | {"n_predict": -1})
    assert generator.requests[-1].sampling.max_new_tokens == 128


def test_a_reply_that_was_begun_is_gone_on_with(client: TestClient, generator: ScriptedGenerator) -> None:
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "def f("}]
    assert client.post("/v1/chat/completions", json={"messages": messages}).status_code == 200
    request = generator.requests[0]
    prompt = generator.tokenizer.decode_continuation(request.ids) + request.required.decode()
    assert prompt.endswith("def f(")


def test_response_formats_become_grammars(client: TestClient, generator: ScriptedGenerator) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    for form in (
        {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        {"type": "json_object"},
    ):
        body = {"messages": [{"role": "user", "content": "Hello"}], "response_format": form}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
    first, second = (request.grammar for request in generator.requests)
    assert first is not None and first.kind == "json_schema" and json.loads(first.text) == schema
    assert second is not None and second.kind == "json_object"


def test_a_seed_is_kept_and_else_drawn(client: TestClient, generator: ScriptedGenerator) -> None:
    for seed in (7, None, None):
        client.post("/v1/completions", json={"prompt": "x", "seed": seed})
    first, second, third = (request.sampling.seed for request in generator.requests)
    assert first == 7 and second != third


def test_the_models(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["tiny", "codellama-tiny"]
    assert listed["data"][0]["max_model_len"] == 128
    assert client.get("/v1/models/tiny").json()["object"] == "model"
    assert client.get("/v1/models/other").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "parameter"),
    [
        ({}, 400, "prompt"),
        ({"prompt": 5}, 400, "prompt"),
        ({"prompt": "x", "temperature": "hot"}, 400, "temperature"),
        ({"prompt": "x", "temperature": 3}, 400, "temperature"),
        ({"prompt": "x", "max_tokens": -1}, 400, "max_tokens"),
        ({"prompt": "x", "max_tokens": 10**9}, 400, "max_tokens"),
        ({"prompt": "x", "max_tokens": True}, 400, "max_tokens"),
        ({"prompt": "x", "n": 0}, 400, "n"),
        ({"prompt": "x", "n": 10**6}, 400, "n"),
        ({"prompt": ["x"] * 1000}, 400, "n"),
        ({"prompt": []}, 400, "prompt"),
        ({"prompt": [10**6]}, 400, "prompt"),
        ({"prompt": [-1]}, 400, "prompt"),
        ({"prompt": [1], "suffix": "x"}, 400, "prompt"),
        ({"prompt": "x", "n": 2, "best_of": 1}, 400, "best_of"),
        ({"prompt": "x", "n": 1, "best_of": 2, "stream": True}, 400, "best_of"),
        ({"prompt": "x", "stop": ["a"] * 1000}, 400, "stop"),
        ({"prompt": "x", "stop": "a" * 100_000}, 400, "stop"),
        ({"prompt": "x", "stop": [""]}, 400, "stop"),
        ({"prompt": "x", "logprobs": 50}, 400, "logprobs"),
        ({"prompt": "x", "logit_bias": {"many": 1}}, 400, "logit_bias"),
        ({"prompt": "x", "logit_bias": {str(10**6): 1}}, 400, "logit_bias"),
        ({"prompt": "x", "top_p": 0}, 400, "top_p"),
        ({"prompt": "x", "model": "gpt-9"}, 404, "model"),
        ({"prompt": "x" * 5000}, 400, "prompt"),
        ({"prompt": "a b c d " * 10_000, "suffix": "x"}, 400, "prompt"),
        ({"prompt": "x", "response_format": {"type": "xml"}}, 400, "response_format"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_named(
    client: TestClient, generator: ScriptedGenerator, body: dict[str, Any], status: int, parameter: str
) -> None:
    response = client.post("/v1/completions", json=body)
    error = response.json()["error"]
    assert response.status_code == status, error
    assert (error["param"] or "").startswith(parameter), error
    assert error["message"] and len(error["message"]) < 1200
    assert not generator.requests
    # llm-ls reads this list.
    detail = response.json()["detail"]
    assert detail[0].keys() == {"loc", "msg", "type"}


def test_a_prompt_over_the_context_is_refused_with_numbers_or_cut_where_asked(
    client: TestClient, generator: ScriptedGenerator
) -> None:
    long = "a + b\n" * 200
    response = client.post("/v1/completions", json={"prompt": long})
    tokens = len(generator.tokenizer.encode(long, bos=True))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert "128 tokens" in response.json()["error"]["message"] and f"{tokens} in the prompt" in response.text
    answer = client.post("/v1/completions", json={"prompt": long, "truncate_prompt_tokens": 50}).json()
    assert answer["truncated"] is True
    request = generator.requests[0]
    assert request.ids[0] == generator.tokenizer.bos_id
    kept = generator.tokenizer.decode_continuation(request.ids).encode() + request.required
    assert long.encode().endswith(kept.lstrip())
    assert len(request.ids) <= 50


def test_a_dialogue_over_the_context_loses_its_oldest_turns_where_asked(
    client: TestClient, generator: ScriptedGenerator
) -> None:
    turns = [{"role": role, "content": f"{role} " * 12} for role in ("user", "assistant") * 6]
    messages = [*turns, {"role": "user", "content": "and now?"}]
    refused = client.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 4})
    assert refused.status_code == 400 and refused.json()["error"]["code"] == "context_length_exceeded"
    body = {"messages": messages, "max_tokens": 4, "truncate_prompt_tokens": -1}
    answer = client.post("/v1/chat/completions", json=body).json()
    assert answer["truncated"] is True and len(generator.requests[-1].ids) < 128
    assert "and now?" in generator.tokenizer.decode(generator.requests[-1].ids)
    assert (
        "truncated" not in client.post("/v1/chat/completions", json=body | {"messages": messages[-1:]}).json()
    )
    assert client.post("/v1/chat/completions", json=body | {"truncate_prompt_tokens": 50}).status_code == 400


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([], 400),
        ([{"role": "tool", "content": "x"}], 400),
        ([{"role": "king", "content": "x"}], 400),
        ([{"content": "x"}], 400),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], 400),
        ([{"role": "user", "content": "x"}, {"role": "user", "content": "y"}], 400),
        ([{"role": "user", "content": "x" * 9000}], 400),
    ],
)
def test_a_dialogue_that_is_none(client: TestClient, messages: Any, status: int) -> None:
    response = client.post("/v1/chat/completions", json={"messages": messages})
    assert response.status_code == status and response.json()["error"]["message"]


def test_developer_is_the_newer_name_of_system(client: TestClient, generator: ScriptedGenerator) -> None:
    turn = {"role": "user", "content": "Hello"}
    for role in ("system", "developer"):
        messages = [{"role": role, "content": "Be short."}, turn]
        assert client.post("/v1/chat/completions", json={"messages": messages}).status_code == 200
    assert generator.requests[0].ids == generator.requests[1].ids
