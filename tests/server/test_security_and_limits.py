"""Keys, foreign web pages, sizes, times and numbers."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from live_server import Live, soon
from scripted_generator import ScriptedGenerator

from codecascade.generation.streaming import QueueFull
from codecascade.ground.errors import UserError
from codecascade.server.app import create_app
from codecascade.server.http.security import Keys, is_open_to_others, read_keys
from codecascade.server.settings import Limits, ServerSettings
from codecascade.tokens.tokenizer import Tokenizer

Serve = Callable[..., Live]


@pytest.fixture
def guarded(generator: ScriptedGenerator) -> Iterator[TestClient]:
    settings = ServerSettings(names=("tiny",), keys=("first-key", "second-key"))
    with TestClient(create_app(generator, settings)) as client:
        yield client


class TestKeys:
    @pytest.mark.parametrize("name", ["Authorization", "X-API-Key"])
    @pytest.mark.parametrize("key", ["first-key", "second-key"])
    def test_each_key_opens(self, guarded: TestClient, name: str, key: str) -> None:
        value = f"Bearer {key}" if name == "Authorization" else key
        assert guarded.get("/v1/models", headers={name: value}).status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer first-ke"},
            {"Authorization": "Bearer first-key2"},
            {"Authorization": "Basic first-key"},
            {"Authorization": "first-key"},
            {"X-API-Key": ""},
            {"X-API-Key": "FIRST-KEY"},
            {"Authorization": b"Bearer \xff\xfe"},
        ],
        ids=str,
    )
    def test_nothing_else_does(self, guarded: TestClient, generator: ScriptedGenerator, headers: Any) -> None:
        routes = {
            "/v1/completions": lambda error: error["error"]["code"] == "invalid_api_key",
            "/v1/chat/completions": lambda error: error["error"]["type"] == "authentication_error",
            "/infill": lambda error: (
                error["error"] == {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}
            ),
            "/v1/fim/completions": lambda error: error["object"] == "error",
            "/api/generate": lambda error: isinstance(error["error"], str),
            "/generate": lambda error: error["error_type"],
        }
        for path, has_its_form in routes.items():
            response = guarded.post(
                path, json={"prompt": "x", "inputs": "x", "model": "tiny"}, headers=headers
            )
            assert response.status_code == 401 and has_its_form(response.json()), path
            assert response.headers["www-authenticate"] == "Bearer"
        for path in ("/v1/models", "/metrics", "/props", "/openapi.json", "/docs", "/v1/health", "/nothing"):
            assert guarded.get(path, headers=headers).status_code == 401, path
        assert not generator.requests

    def test_health_needs_none(self, guarded: TestClient) -> None:
        assert guarded.get("/health").json() == {"status": "ok"}

    def test_a_key_is_compared_whole(self) -> None:
        keys = Keys(["a" * 40])
        assert keys.accepts([(b"x-api-key", b"a" * 40)])
        assert not keys.accepts([(b"x-api-key", b"a" * 39)])
        assert not keys.accepts([(b"authorization", b"bearer" + b"a" * 40)])
        # Of two headers one is enough, as Continue sends both.
        assert keys.accepts([(b"authorization", b"Bearer "), (b"x-api-key", b"a" * 40)])

    def test_a_file_and_the_environment_give_keys(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "keys"
        file.write_text("# of the team\n\n  one \ntwo\none\n")
        monkeypatch.setenv("CODECASCADE_API_KEYS", "three, four")
        assert read_keys(file) == ("three", "four", "one", "two")
        monkeypatch.delenv("CODECASCADE_API_KEYS")
        assert read_keys(None) == ()

    @pytest.mark.parametrize("content", ["", "# nothing\n", "two words\n", "schlüssel\n"])
    def test_a_file_without_a_key_is_a_mistake(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "keys"
        file.write_text(content)
        with pytest.raises(UserError, match=str(file)):
            read_keys(file)
        with pytest.raises(UserError):
            read_keys(tmp_path / "no such file")

    def test_a_file_that_others_may_read_is_said_so(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text("the-key\n")
        for mode, is_open in ((0o600, False), (0o400, False), (0o640, True), (0o644, True), (0o622, False)):
            file.chmod(mode)
            assert is_open_to_others(file) == is_open, oct(mode)


class TestWebPages:
    @pytest.mark.parametrize(
        ("origin", "allowed"),
        [
            ("http://localhost:3000", True),
            ("http://127.0.0.1", True),
            ("http://[::1]:8080", True),
            ("vscode-webview://abc", True),
            ("https://evil.example", False),
            ("http://localhost.evil.example", False),
            ("http://localhost:3000.evil.example", False),
            ("null", False),
        ],
    )
    def test_only_pages_of_this_machine_may_ask(
        self, client: TestClient, generator: ScriptedGenerator, origin: str, allowed: bool
    ) -> None:
        headers = {"Origin": origin}
        response = client.post("/infill", json={"input_prefix": "x"}, headers=headers)
        assert response.status_code == (200 if allowed else 403)
        assert ("access-control-allow-origin" in response.headers) == allowed
        assert bool(generator.requests) == allowed
        preflight = client.options(
            "/v1/chat/completions",
            headers=headers
            | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"},
        )
        assert preflight.status_code == (200 if allowed else 400)

    def test_others_can_be_allowed(self, generator: ScriptedGenerator) -> None:
        for origins in (("https://good.example",), ("*",)):
            app = create_app(generator, ServerSettings(names=("tiny",), origins=origins))
            with TestClient(app) as client:
                headers = {"Origin": "https://good.example"}
                assert client.post("/tokenize", json={"content": "x"}, headers=headers).status_code == 200
                other = client.post(
                    "/tokenize", json={"content": "x"}, headers={"Origin": "https://goodXexample"}
                )
                assert other.status_code == (200 if origins == ("*",) else 403)

    @pytest.mark.parametrize(
        ("host", "origin", "keys", "allowed"),
        [
            ("192.168.1.5:8012", "http://192.168.1.5:8012", (), True),
            ("[fe80::1]:8012", "http://[fe80::1]:8012", (), True),
            ("gpu-box:8012", "http://gpu-box:8012", (), True),
            # Another page of the same machine is another page.
            ("192.168.1.5:8012", "http://192.168.1.5:8013", (), False),
            ("192.168.1.5:8012", "http://evil.example", (), False),
            # Whoever owns a name can give it this machine's address, but has no key.
            ("evil.example:8012", "http://evil.example:8012", (), False),
            ("code.example", "https://code.example", ("key",), True),
            ("code.example", "https://evil.example", ("key",), False),
        ],
    )
    def test_the_servers_own_page_may_use_it_under_any_address(
        self, generator: ScriptedGenerator, host: str, origin: str, keys: tuple[str, ...], allowed: bool
    ) -> None:
        app = create_app(generator, ServerSettings(names=("tiny",), keys=keys))
        with TestClient(app) as client:
            headers = {"Host": host, "Origin": origin, "X-API-Key": "key"}
            response = client.post("/tokenize", json={"content": "x"}, headers=headers)
            assert response.status_code == (200 if allowed else 403)

    def test_errors_can_be_read_by_allowed_pages(self, client: TestClient) -> None:
        response = client.post("/infill", content=b"{", headers={"Origin": "http://localhost:3000"})
        assert response.status_code == 400 and "access-control-allow-origin" in response.headers

    def test_a_name_that_is_not_ours_is_refused(self, generator: ScriptedGenerator) -> None:
        settings = ServerSettings(names=("tiny",), hosts=("localhost", "127.0.0.1", "[::1]"))
        with TestClient(create_app(generator, settings)) as client:
            for host in ("localhost:8080", "127.0.0.1", "[::1]:80", "LOCALHOST"):
                assert client.get("/health", headers={"Host": host}).status_code == 200
            for host in ("evil.example:8080", "localhost.evil.example", "", "localhost:80@evil"):
                assert client.get("/health", headers={"Host": host}).status_code == 403


class TestSizes:
    def test_a_body_that_is_too_large_is_refused(self, served: Serve) -> None:
        server = served(ServerSettings(names=("tiny",), limits=Limits(body_bytes=1000)))
        large = {"prompt": "x" * 2000}
        assert server.post("/v1/completions", large).status_code == 413
        # Without a length, in chunks.
        chunks = (json.dumps(large).encode()[n : n + 100] for n in range(0, 2000, 100))
        response = server.client.post("/infill", content=chunks)
        assert response.status_code == 413 and response.json()["error"]["code"] == 413
        assert server.post("/v1/completions", {"prompt": "x"}).status_code == 200

    def test_all_bodies_together_have_a_bound(self, served: Serve) -> None:
        limits = Limits(body_bytes=1000, all_body_bytes=1500)
        server = served(ServerSettings(names=("tiny",), limits=limits), hold="decode")
        held = server.raw("/v1/completions", {"prompt": "x" * 20, "user": "y" * 900})
        assert soon(lambda: server.generator.running == 1)
        refused = server.post("/infill", {"input_prefix": "x", "filler": "y" * 700})
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["type"] == "unavailable_error"
        held.close()
        assert soon(lambda: server.generator.running == 0)
        server.generator.hold = ""
        assert soon(
            lambda: server.post("/infill", {"input_prefix": "x", "filler": "y" * 700}).status_code == 200
        )

    def test_a_prompts_and_an_answers_tokens(self, generator: ScriptedGenerator) -> None:
        limits = Limits(prompt_tokens=10, max_tokens=8)
        with TestClient(create_app(generator, ServerSettings(names=("tiny",), limits=limits))) as client:
            response = client.post("/v1/completions", json={"prompt": [5] * 11, "max_tokens": 1})
            assert response.status_code == 400 and "10 here" in response.text
            response = client.post("/v1/completions", json={"prompt": [5] * 10, "max_tokens": 9})
            assert response.status_code == 400 and "at most 8" in response.text
            assert (
                client.post("/v1/completions", json={"prompt": [5] * 10, "max_tokens": 8}).status_code == 200
            )
            # Where a client leaves the number to the server, it is the server's.
            client.post("/completion", json={"prompt": [5]})
            assert generator.requests[-1].sampling.max_new_tokens == 8

    @pytest.mark.parametrize("path", ["/v1/completions", "/completion", "/api/generate", "/generate"])
    def test_a_giant_text_is_refused_without_being_encoded(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        def encode(*arguments: object, **named: object) -> list[int]:
            raise AssertionError("was encoded")

        text = "x" * 2_000_000
        monkeypatch.setattr(Tokenizer, "encode_continuation", encode)
        monkeypatch.setattr(Tokenizer, "encode", encode)
        body = {"prompt": text, "inputs": text, "model": "tiny", "truncate": False, "raw": True}
        response = client.post(path, json=body)
        assert response.status_code == 400 and "at least" in response.text


class TestNumbers:
    def test_more_than_the_most_clients_are_refused_and_then_served(self, served: Serve) -> None:
        settings = ServerSettings(names=("tiny",), limits=Limits(clients=3))
        server = served(settings, hold="decode")
        connections = [server.raw("/v1/completions", {"prompt": "x"}) for _ in range(3)]
        assert soon(lambda: server.generator.running == 3)
        refused = server.post("/v1/completions", {"prompt": "x"})
        assert refused.status_code == 429 and refused.headers["retry-after"]
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert server.client.get("/health").status_code == 200
        connections.pop().close()
        assert soon(lambda: server.generator.running == 2)
        connections.append(server.raw("/v1/completions", {"prompt": "x"}))
        assert soon(lambda: server.generator.running == 3)
        for connection in connections:
            connection.close()
        assert soon(lambda: server.generator.running == 0)

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_full_queue_is_said_with_a_status(
        self, client: TestClient, generator: ScriptedGenerator, stream: bool
    ) -> None:
        generator.raises = QueueFull()
        for path in ("/v1/completions", "/infill", "/api/generate", "/generate", "/v1/fim/completions"):
            body = {"prompt": "x", "inputs": "x", "input_prefix": "x", "model": "tiny", "stream": stream}
            response = client.post(path, json=body)
            assert response.status_code == 429 and response.headers["retry-after"] == "1", path
            assert "too many" in response.text

    def test_what_the_generator_refuses_is_the_clients_mistake(
        self, client: TestClient, generator: ScriptedGenerator
    ) -> None:
        generator.raises = UserError("is not possible", key="top_k")
        error = client.post("/v1/completions", json={"prompt": "x", "stream": True})
        assert error.status_code == 400 and error.json()["error"]["param"] == "top_k"

    def test_connections(self, served: Serve) -> None:
        server = served(ServerSettings(names=("tiny",), limits=Limits(connections=4)))
        server.client.get("/health")
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(10)]
        assert soon(lambda: sum(map(_is_closed, idle)) >= 6)
        for connection in idle:
            connection.close()
        assert soon(lambda: server.client.get("/health").status_code == 200)


def _is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
