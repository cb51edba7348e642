"""The page at ``/docs``: everything that the description has, and nothing from elsewhere."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient

from codecascade.server.api_page import operations, type_of
from codecascade.server.protocols.table import PROTOCOLS


def test_every_address_and_field_is_on_it(client: TestClient) -> None:
    page = client.get("/docs").text
    groups = operations(client.get("/openapi.json").json())
    assert set(groups) == {protocol.name for protocol in PROTOCOLS}
    for found in (each for group in groups.values() for each in group):
        assert f'id="{found.anchor}"' in page and found.summary.replace("'", "&#39;") in page
        for field in found.fields:
            assert f"<code>{field.name}</code>" in page
    (infill,) = [each for each in groups["llama.cpp"] if each.path == "/infill"]
    assert {"input_prefix", "input_suffix", "input_extra", "n_predict"} <= {
        field.name for field in infill.fields
    }
    assert {"200", "400", "501"} <= {status for status, _ in infill.statuses}


def test_it_fetches_nothing(client: TestClient) -> None:
    answer = client.get("/docs")
    assert not re.search(r"<script|<link|<img|@import|https?://|url\(", answer.text)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'nonce-")
    nonce = re.search(r"'nonce-([^']+)'", policy)
    assert nonce is not None and f'<style nonce="{nonce[1]}">' in answer.text
    assert client.get("/docs").headers["content-security-policy"] != policy
    # FastAPI's own pages would ask a server of somebody else for their scripts.
    assert client.get("/redoc").status_code == 404


def test_types_are_words() -> None:
    schemas = {"Part": {"type": "object", "properties": {"text": {"type": "string"}}}}
    nested = {"type": "array", "items": {"$ref": "#/components/schemas/Part"}}
    assert type_of(nested, schemas) == "list of {text: string}"
    assert (
        type_of({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]}, {}) == "number > 0"
    )
