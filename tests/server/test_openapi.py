"""Whatever fits the description (and what nearly does) gets an answer that the description tells of."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import schemathesis
from engine_models import CODE
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, settings
from live_server import Live, live
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance
from scripted_generator import ScriptedGenerator

from codecascade.server.app import create_app
from codecascade.server.protocols.table import PROTOCOLS, protocol_of
from codecascade.server.settings import ServerSettings
from codecascade.tokens.chat import with_chat_format
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.training import train_tokenizer

EXAMPLES = int(os.environ.get("CODECASCADE_OPENAPI_EXAMPLES", "1"))
"""An address. Making bodies takes most of the time, so that a thorough run has to be asked for."""

_tokenizer = with_chat_format(add_infilling_tokens(train_tokenizer([CODE], 400, kind="llama")), "llama2")
_settings = ServerSettings(names=("tiny",))
schema = schemathesis.openapi.from_dict(create_app(ScriptedGenerator(_tokenizer), _settings).openapi())


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(lambda: ScriptedGenerator(_tokenizer), _settings) as server:
        yield server


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_breaks_the_server(case: schemathesis.Case, server: Live) -> None:
    case.call_and_validate(
        base_url=server.url,
        checks=[not_a_server_error, status_code_conformance, content_type_conformance],
    )


def test_the_description_names_every_protocol(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    tags = {
        tag
        for operations in description["paths"].values()
        for op in operations.values()
        for tag in op["tags"]
    }
    assert tags == {protocol.name for protocol in PROTOCOLS}
    completions = description["paths"]["/v1/completions"]["post"]["responses"]
    assert "422" not in completions and completions["400"]["content"]["application/json"]["example"]["error"]
    assert "422" in description["paths"]["/v1/fim/completions"]["post"]["responses"]


def test_an_address_belongs_to_the_nearest_protocol() -> None:
    names = {
        "/v1/completions": "OpenAI: completions",
        "/v1/fim/completions": "Mistral",
        "/v1/chat/completions": "OpenAI: chat",
        "/v1/health": "Tabby",
        "/api/chat": "Ollama",
        "/generate": "Text Generation Inference",
        "/infill": "llama.cpp",
        "/no/such/thing": "llama.cpp",
        "/health": "Monitoring",
    }
    assert {path: protocol_of(path).name for path in names} == names
