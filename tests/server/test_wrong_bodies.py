"""Bodies that are nearly right: whatever is wrong, the answer is an error in the protocol's form, and no crash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scripted_generator import ScriptedGenerator

from codecascade.server.http.errors import ApiError
from codecascade.server.protocols.table import protocol_of
from codecascade.server.requests.body import Body

MESSAGES = [{"role": "system", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}]
COMMON = {
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["x"],
    "seed": 3,
    "n": 1,
    "stream": False,
}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": COMMON
    | {
        "prompt": "a",
        "suffix": "b",
        "logprobs": 1,
        "best_of": 1,
        "logit_bias": {"5": 1},
        "stream_options": {},
        "stop_token_ids": [7],
        "min_tokens": 1,
        "return_token_ids": True,
    },
    "/v1/chat/completions": COMMON
    | {"messages": MESSAGES, "logprobs": True, "top_logprobs": 1, "response_format": {"type": "text"}},
    "/v1/fim/completions": {"prompt": "a", "suffix": "b", "max_tokens": 5, "random_seed": 1, "stop": "x"},
    "/infill": {
        "input_prefix": "a",
        "input_suffix": "b",
        "input_extra": [{"text": "c", "filename": "d"}],
        "prompt": "e",
        "n_predict": 3,
        "n_cmpl": 2,
        "n_indent": 4,
        "t_max_predict_ms": 10,
        "response_fields": ["content"],
        "editor_lines": "single",
        "logit_bias": [[5, 1.0]],
        "samplers": ["infill"],
    },
    "/completion": {
        "prompt": [1, "a"],
        "n_predict": 3,
        "n_probs": 1,
        "seed": -1,
        "stop": [],
        "json_schema": {},
    },
    "/tokenize": {"content": "a", "add_special": True, "with_pieces": False},
    "/detokenize": {"tokens": [1, 2]},
    "/apply-template": {"messages": MESSAGES},
    "/api/generate": {
        "model": "tiny",
        "prompt": "a",
        "suffix": "b",
        "system": "c",
        "raw": False,
        "stream": False,
        "format": "",
        "options": {"num_predict": 3, "temperature": 0.1, "stop": ["x"], "seed": 1, "top_k": 4},
    },
    "/api/chat": {"model": "tiny", "messages": MESSAGES, "stream": False, "options": {}},
    "/api/show": {"model": "tiny"},
    "/generate": {
        "inputs": "a",
        "parameters": {
            "max_new_tokens": 3,
            "stop": ["x"],
            "truncate": 5,
            "grammar": {"type": "json", "value": {"type": "object"}},
        },
    },
    "/generate_stream": {"inputs": "a", "parameters": {"max_new_tokens": 3, "temperature": 0.5}},
}
SCORED = {
    "prompt": ["a", "b"],
    "max_tokens": 0,
    "echo": True,
    "logprobs": 1,
    "allowed_token_ids": [7, 8],
    "ignore_eos": True,
}
STRUCTURED = {
    "prompt": "a",
    "structured_outputs": {"choice": ["a", "b"]},
    "guided_json": None,
    "return_tokens_as_token_ids": True,
}
SEGMENTS = {
    "language": "python",
    "segments": {
        "prefix": "a",
        "suffix": "b",
        "declarations": [{"filepath": "c", "body": "d", "score": 1.0}],
    },
}
CASES = [*BODIES.items(), *(("/v1/completions", body) for body in (SCORED, STRUCTURED, SEGMENTS))]

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 1, 2**31, 2**63, 10**30, -(10**30)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["", "\ud800", "\x00", "</s>", "▁<PRE>", "a" * 3000, "tiny", "json"]),
    st.lists(
        st.one_of(st.integers(), st.text(max_size=3), st.none(), st.lists(st.integers(), max_size=2)),
        max_size=3,
    ),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.recursive(st.none(), lambda inner: st.lists(inner, max_size=2), max_leaves=3),
)


def paths(value: Any, start: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a body, itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [start, *(path for key, part in inner for path in paths(part, (*start, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = put(value[path[0]], path[1:], new)
    return changed


@pytest.mark.parametrize(("path", "body"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_the_body_as_it_is_is_right(client: TestClient, path: str, body: dict[str, Any]) -> None:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(("path", "body"), CASES, ids=lambda value: value if isinstance(value, str) else "")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_body_is_answered_or_refused(
    client: TestClient, generator: ScriptedGenerator, path: str, body: dict[str, Any], data: st.DataObject
) -> None:
    for _ in range(data.draw(st.integers(1, 2))):
        where = data.draw(st.sampled_from(paths(body)))
        body = put(body, where, data.draw(ODD))
        if not isinstance(body, dict):
            break
    generator.requests.clear()
    response = client.post(path, content=json.dumps(body))
    assert response.status_code in (200, 400, 404, 422, 501), response.text
    if response.status_code == 200:
        assert all(0 <= token < generator.tokenizer.vocab_size for r in generator.requests for token in r.ids)
        return
    assert not generator.requests
    shape = protocol_of(path).error
    wanted = shape(ApiError(response.status_code, "", details=response.json().get("detail", ())))
    assert response.json().keys() >= wanted.keys()
    assert len(response.content) < 10_000


def test_what_is_wrong_with_a_body_that_is_no_json_is_said(client: TestClient) -> None:
    error = client.post("/v1/completions", content='{"prompt": "x"').json()["error"]
    assert error["message"] == "the body is not JSON: Expecting ',' delimiter at character 14"
    assert error["param"] is None
    assert "at character 1" in client.post("/infill", content="{x").json()["error"]["message"]
    for content, said in (
        ('{"prompt": ' + "[" * 100_000 + "]" * 100_000 + "}", "is nested too deeply"),
        ('{"prompt": ' + '{"a": ' * 50_000 + "1" + "}" * 50_000 + "}", "is nested too deeply"),
        ('{"prompt": "x", "seed": ' + "9" * 6_000 + "}", "number with too many digits"),
        (b'{"prompt": "\xff"}', "is not JSON in UTF-8"),
        (b"\x1f\x8b\x08", "is not JSON in UTF-8"),
    ):
        for path in ("/v1/completions", "/infill"):
            answer = client.post(path, content=content)
            assert answer.status_code == 400 and said in answer.json()["error"]["message"], answer.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat", "/apply-template"])
def test_messages_that_call_tools_are_refused_by_name(client: TestClient, path: str) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
    former = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    for messages in (
        [MESSAGES[1], call, MESSAGES[1]],
        [MESSAGES[1], former, MESSAGES[1]],
        [MESSAGES[1], {"role": "tool", "content": "1"}, MESSAGES[1]],
    ):
        answer = client.post(path, json={"model": "tiny", "messages": messages})
        assert answer.status_code == 400 and "tool" in answer.text
    none = [MESSAGES[1], {"role": "assistant", "content": "a", "tool_calls": []}, MESSAGES[1]]
    assert client.post(path, json={"model": "tiny", "messages": none, "stream": False}).status_code == 200


@pytest.mark.parametrize(
    ("key", "call"),
    [
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}),
        ("function_call", {"name": "f"}),
    ],
)
def test_calls_that_are_wanted_are_refused_and_offers_are_passed_over(
    client: TestClient, key: str, call: Any
) -> None:
    functions = [{"name": "f", "parameters": {"type": "object"}}]
    body = {"messages": MESSAGES, "functions": functions}
    answer = client.post("/v1/chat/completions", json=body | {key: call})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == key
    for none in ("auto", "none", None):
        assert client.post("/v1/chat/completions", json=body | {key: none}).status_code == 200


def _all_bodies(body: type[Body] = Body) -> Iterator[type[Body]]:
    for each in body.__subclasses__():
        yield each
        yield from _all_bodies(each)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat", "/apply-template"])
@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([{"role": "user", "content": [{}] * 6_000}] * 2, "12,000 parts of messages"),
        ([{"role": "user", "content": "x"}] * 10_001, "10,001 messages"),
    ],
    ids=["parts", "messages"],
)
def test_parts_are_counted_before_they_are_read(
    client: TestClient, path: str, messages: Any, told: str
) -> None:
    """Each becomes an object: five million of them, in 16 MB, took a minute and 3 GB."""
    response = client.post(path, json={"model": "tiny", "messages": messages})
    assert response.status_code == 400
    assert f"has {told}; at most 10,000 are read" in response.text


@pytest.mark.parametrize(
    "many", [[{}] * 3000, [[[]]] * 3000, {str(n): [] for n in range(3000)}], ids=range(3)
)
def test_a_long_list_of_mistakes_is_a_few_errors(many: Any) -> None:
    """Each would take some kB, and there can be millions of them in a body."""
    for body in _all_bodies():
        for name, field in body.model_fields.items():
            try:
                body.model_validate({field.alias or name: many})
            except ValidationError as error:
                assert error.error_count() < 50, f"{body.__name__}.{name}"
            except ApiError as error:
                assert "at most" in str(error), f"{body.__name__}.{name}"
