"""What is not one protocol's: hostile chat templates, ids, addresses that are not there."""

from __future__ import annotations

import time

import pytest
from fastapi.testclient import TestClient
from scripted_generator import ScriptedGenerator

from codecascade.server import app as application
from codecascade.server.settings import ServerSettings
from codecascade.tokens.tokenizer import Tokenizer


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(10000000000) %}{% for j in range(10000000000) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 10000000000 }}",
        "{{ ''.__class__.__mro__ }}{{ messages.__class__.__base__.__subclasses__() }}",
        "{{ raise_exception('no') }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 1 / 0 }}",
    ],
    ids=lambda template: template[:20],
)
def test_a_hostile_chat_template_costs_one_answer(
    generator: ScriptedGenerator, tokenizer: Tokenizer, template: str
) -> None:
    generator.tokenizer = tokenizer.with_chat_template(template)
    with TestClient(application.create_app(generator, ServerSettings(names=("tiny",)))) as client:
        start = time.monotonic()
        for path in ("/v1/chat/completions", "/api/chat", "/apply-template"):
            body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
            response = client.post(path, json=body)
            assert response.status_code == 400, response.text
            assert response.json()["error"]
        assert time.monotonic() - start < 60
        assert client.post("/v1/completions", json={"prompt": "x"}).status_code == 200


def test_each_answer_has_an_id_of_its_own(client: TestClient) -> None:
    ids = {client.get("/health").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/no/such", 404),
        ("GET", "/infill", 405),
        ("DELETE", "/v1/completions", 405),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/completions/", 404),
        ("HEAD", "/", 200),
        ("HEAD", "/health", 200),
    ],
)
def test_addresses(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    if status >= 400:
        assert response.json()["error"]
