"""A constraint on the text, under every name and at every address that has one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from scripted_generator import ScriptedGenerator

from codecascade.generation.grammar import Grammar

SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
WANTED = Grammar("json_schema", json.dumps(SCHEMA))
CHAT = {"messages": [{"role": "user", "content": "x"}]}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "x"},
    "/v1/chat/completions": CHAT,
    "/completion": {"prompt": "x"},
}
FIELDS: dict[str, tuple[dict[str, Any], Grammar]] = {
    "OpenAI": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
        WANTED,
    ),
    "OpenAI, any object": ({"response_format": {"type": "json_object"}}, Grammar("json_object")),
    "llama.cpp in OpenAI's": ({"response_format": {"type": "json_object", "schema": SCHEMA}}, WANTED),
    "llama.cpp": ({"json_schema": SCHEMA}, WANTED),
    "vLLM": ({"structured_outputs": {"json": SCHEMA}}, WANTED),
    "vLLM, as text": ({"structured_outputs": {"json": json.dumps(SCHEMA)}}, WANTED),
    "vLLM, any object": ({"structured_outputs": {"json_object": True}}, Grammar("json_object")),
    "vLLM, expression": ({"structured_outputs": {"regex": "[a-z]+"}}, Grammar("regex", "[a-z]+")),
    "vLLM, choice": (
        {"structured_outputs": {"choice": ["a.b", "c"]}},
        Grammar("regex", r"(?:a\.b)|(?:c)"),
    ),
    "vLLM, grammar": ({"structured_outputs": {"grammar": 'start: "a"'}}, Grammar("lark", 'start: "a"')),
    "vLLM, old": ({"guided_json": SCHEMA}, WANTED),
    "vLLM, old, expression": ({"guided_regex": "[a-z]+"}, Grammar("regex", "[a-z]+")),
    "vLLM, old, choice": ({"guided_choice": ["a"]}, Grammar("regex", "(?:a)")),
    "vLLM, old, grammar": ({"guided_grammar": 'start: "a"'}, Grammar("lark", 'start: "a"')),
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("name", FIELDS)
def test_every_name_works_at_every_address(
    client: TestClient, generator: ScriptedGenerator, path: str, name: str
) -> None:
    fields, wanted = FIELDS[name]
    response = client.post(path, json=BODIES[path] | fields)
    assert response.status_code == 200, response.text
    assert generator.requests[-1].grammar == wanted


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", {"model": "tiny", "prompt": "x", "format": SCHEMA}),
        ("/api/chat", CHAT | {"model": "tiny", "format": SCHEMA}),
        ("/generate", {"inputs": "x", "parameters": {"grammar": {"type": "json", "value": SCHEMA}}}),
        (
            "/generate",
            {
                "inputs": "x",
                "parameters": {"grammar": {"type": "json_schema", "value": {"name": "a", "schema": SCHEMA}}},
            },
        ),
    ],
)
def test_ollama_and_tgi_have_their_own(
    client: TestClient, generator: ScriptedGenerator, path: str, body: dict[str, Any]
) -> None:
    assert client.post(path, json=body).status_code == 200
    assert generator.requests[-1].grammar == WANTED


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"json_schema": SCHEMA, "guided_regex": "a"}, "one constraint"),
        ({"grammar": 'root ::= "a"'}, "GBNF"),
        ({"guided_json": "{"}, "no JSON schema"),
        ({"guided_json": "[1]"}, "no JSON schema"),
        ({"structured_outputs": {"choice": []}}, "at least 1 item"),
        ({"structured_outputs": {}}, "json, json_object, regex, choice, grammar"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "no constraint that is known"),
        ({"structured_outputs": {"regex": None, "jsn": SCHEMA}}, "no constraint that is known"),
        ({"response_format": {"type": "json_schema"}}, "with a schema"),
        ({"response_format": {"type": "structural_tag"}}, "structural_tag"),
        ({"guided_regex": " "}, "must not be empty"),
    ],
)
def test_what_is_no_constraint_is_refused(
    client: TestClient, generator: ScriptedGenerator, path: str, fields: dict[str, Any], said: str
) -> None:
    response = client.post(path, json=BODIES[path] | fields)
    assert response.status_code == 400 and said in response.json()["error"]["message"]
    assert not generator.requests


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "x", "suffix": "y", "json_schema": SCHEMA}),
        ("/v1/completions", {"segments": {"prefix": "x", "suffix": "y"}, "json_schema": SCHEMA}),
        ("/infill", {"input_prefix": "x", "input_suffix": "y", "guided_json": SCHEMA}),
        ("/api/generate", {"model": "tiny", "prompt": "x", "suffix": "y", "format": SCHEMA}),
    ],
)
def test_a_gap_takes_none(
    client: TestClient, generator: ScriptedGenerator, path: str, body: dict[str, Any]
) -> None:
    """Rather than to leave it out, and answer what was not asked for."""
    assert client.post(path, json=body).status_code == 400
    assert not generator.requests


def test_a_schema_of_any_depth_is_refused_in_a_sentence(client: TestClient) -> None:
    for depth in (50, 500, 900, 940, 960, 990):
        schema = '{"items": ' * depth + "{}" + "}" * depth
        body = f'{{"prompt": "a", "guided_json": {schema}}}'
        assert client.post("/v1/completions", content=body).status_code in (200, 400)
