"""How the page is served, without a browser."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient
from scripted_generator import ScriptedGenerator

from codecascade.server.app import create_app
from codecascade.server.playground.page import STATIC
from codecascade.server.settings import ServerSettings
from codecascade.tokens.tokenizer import Tokenizer


def test_the_policy_lets_the_page_run_its_own_files_only(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/html")
    policy = dict(
        part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'" and policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    nonce = re.search(r'name="style-nonce" content="([\w-]{20,})"', response.text)
    assert nonce and f"'nonce-{nonce[1]}'" in policy["style-src"]
    assert nonce[1] not in client.get("/").text
    assert client.head("/").status_code == 200


def test_its_files_are_asked_for_anew_and_sent_when_they_changed(client: TestClient) -> None:
    for file in STATIC.iterdir():
        response = client.get(f"/playground/{file.name}")
        assert response.content == file.read_bytes()
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-content-type-options"] == "nosniff"
        again = client.get(f"/playground/{file.name}", headers={"If-None-Match": response.headers["etag"]})
        assert again.status_code == 304


def test_the_page_needs_no_key_and_all_else_does(generator: ScriptedGenerator) -> None:
    with TestClient(create_app(generator, ServerSettings(names=("tiny",), keys=("key",)))) as client:
        page = client.get("/")
        assert page.status_code == 200
        for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert client.get(f"/{address}").status_code == 200, address
        for address in ("/v1/models", "/props", "/playground", "/playground/../app.py", "/playground/x"):
            assert client.get(address).status_code == 401, address
        assert client.post("/", headers={"X-API-Key": "key"}).status_code == 405


@pytest.mark.parametrize("path", ["/playground/x", "/playground/", "/playground/..%2fpage.py", "/x"])
def test_what_is_not_there_is_said_as_everywhere(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404 and response.json()["error"]["code"] == 404


def test_other_methods_of_other_addresses_are_refused_as_before(client: TestClient) -> None:
    assert client.get("/infill").status_code == 405


class TestWhatThePageAsks:
    def test_the_formats_that_there_are(
        self, client: TestClient, generator: ScriptedGenerator, plain_tokenizer: Tokenizer
    ) -> None:
        assert client.get("/props").json()["infilling_formats"] == ["psm", "spm"]
        generator.tokenizer = plain_tokenizer
        assert client.get("/props").json()["infilling_formats"] == []

    def test_the_format_is_obeyed(self, client: TestClient, generator: ScriptedGenerator) -> None:
        marks = generator.tokenizer.infilling
        assert marks is not None
        for layout, last in (("psm", marks.middle), ("spm", None)):
            body = {"input_prefix": "a = ", "input_suffix": "\nb", "format": layout}
            assert client.post("/infill", json=body).status_code == 200
            ids = generator.requests[-1].ids
            assert (ids[-1] == marks.middle) == (last is not None)
            assert ids.index(marks.suffix) < ids.index(marks.middle)
        refused = client.post("/infill", json={"input_prefix": "a", "format": "msp"})
        assert refused.status_code == 400 and "psm or spm" in refused.json()["error"]["message"]

    def test_the_language_reaches_the_stops(self, client: TestClient, generator: ScriptedGenerator) -> None:
        client.post("/infill", json={"input_prefix": "a", "language": "go"})
        editor = generator.requests[-1].editor
        assert editor is not None and editor.language == "go"
