"""A client that goes cancels its request, whatever state that is in."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from live_server import Live, soon
from scripted_generator import ScriptedGenerator

from codecascade.generation.requests import Request
from codecascade.server.app import create_app
from codecascade.server.http import disconnect
from codecascade.server.settings import Limits, ServerSettings
from codecascade.tokens.tokenizer import Tokenizer

Serve = Callable[..., Live]

GAP = {"input_prefix": "a = ", "input_suffix": "\n"}
CHAT = {"messages": [{"role": "user", "content": "Hello"}]}
REQUESTS = {
    "infill": ("/infill", GAP),
    "infill, three": ("/infill", GAP | {"n_cmpl": 3}),
    "completion": ("/completion", {"prompt": "x"}),
    "completion, stream": ("/completion", {"prompt": "x", "stream": True}),
    "completions": ("/v1/completions", {"prompt": "x"}),
    "completions, stream": ("/v1/completions", {"prompt": "x", "stream": True}),
    "completions, several": ("/v1/completions", {"prompt": ["x", "y", "z"]}),
    "completions, several, stream": ("/v1/completions", {"prompt": ["x", "y", "z"], "stream": True}),
    "chat": ("/v1/chat/completions", CHAT),
    "chat, stream": ("/v1/chat/completions", CHAT | {"stream": True}),
    "fim": ("/v1/fim/completions", {"prompt": "x", "suffix": "y"}),
    "fim, stream": ("/v1/fim/completions", {"prompt": "x", "suffix": "y", "stream": True}),
    "segments": ("/v1/completions", {"segments": {"prefix": "x"}}),
    "generate": ("/api/generate", {"model": "tiny", "prompt": "x", "stream": False}),
    "generate, stream": ("/api/generate", {"model": "tiny", "prompt": "x"}),
    "ollama chat": ("/api/chat", CHAT | {"model": "tiny"}),
    "tgi": ("/generate", {"inputs": "x"}),
    "tgi, stream": ("/generate_stream", {"inputs": "x"}),
}


def close(connection: socket.socket, *, reset: bool) -> None:
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("hold", ["queued", "prefill", "decode"])
def test_every_request_is_cancelled_in_every_state(served: Serve, hold: str) -> None:
    server = served(hold=hold)
    generator = server.generator
    for number, (name, (path, body)) in enumerate(REQUESTS.items()):
        expected = len(body["prompt"]) if isinstance(body.get("prompt"), list) else 1
        generator.cancelled.clear()
        before = generator.tokens
        connection = server.raw(path, body)
        assert soon(lambda: generator.running == expected), name  # noqa: B023
        if hold == "decode":
            assert soon(lambda: generator.tokens == before + expected), name  # noqa: B023
        close(connection, reset=number % 2 == 1)
        assert soon(lambda: generator.running == 0), name
        assert generator.cancelled == [hold] * expected, name
    generator.hold = ""
    assert server.post("/v1/completions", {"prompt": "x"}).status_code == 200
    text = server.client.get("/metrics").text
    assert 'status="cancelled"' in text


def test_a_stream_is_cancelled_behind_its_first_piece(served: Serve) -> None:
    server = served(hold="decode", text="abc " * 20)
    connection = server.raw("/v1/completions", {"prompt": [1, 5], "stream": True, "max_tokens": 60})
    received = b""
    while b"data: " not in received:
        received += connection.recv(4096)
    assert server.generator.running == 1
    connection.close()
    assert soon(lambda: server.generator.running == 0)
    assert server.generator.cancelled == ["decode"]


def test_a_keep_alive_connection_is_not_cut(served: Serve) -> None:
    server = served()
    for _ in range(20):
        assert server.post("/v1/completions", {"prompt": "x"}).status_code == 200
    assert server.generator.cancelled == []


def test_a_client_that_does_not_read_is_dropped(served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer fills the sockets' buffers; the request's time ends it."""
    limits = Limits(request_seconds=0.3)
    server = served(
        ServerSettings(names=("tiny",), limits=limits), text="abc " * 40_000, context_length=10**6
    )
    monkeypatch.setattr(disconnect, "_GRACE", 0.2)
    body = {"prompt": "x", "stream": True, "max_tokens": 500_000, "logprobs": 1}
    connection = server.raw("/v1/completions", body)
    assert soon(lambda: server.generator.running == 1)
    assert soon(lambda: server.generator.running == 0)
    connection.close()


def test_a_request_that_takes_too_long_is_ended_with_an_error(served: Serve) -> None:
    limits = Limits(request_seconds=0.1)
    server = served(ServerSettings(names=("tiny",), limits=limits), hold="decode")
    response = server.post("/v1/completions", {"prompt": "x"})
    assert response.status_code == 504 and response.json()["error"]["type"] == "timeout_error"
    streamed = server.post("/v1/completions", {"prompt": "x", "stream": True}).text
    assert '"timeout_error"' in streamed and "[DONE]" not in streamed
    assert server.generator.running == 0 and len(server.generator.cancelled) == 2


@pytest.mark.parametrize("path", ["/v1/completions", "/infill"])
def test_a_generation_that_fails_is_reported_and_the_server_goes_on(served: Serve, path: str) -> None:
    server = served(raises=RuntimeError("secret reason"))
    body: dict[str, Any] = {"prompt": "x", "input_prefix": "x"}
    for after in (0, 1):
        server.generator.raises_after = after
        response = server.post(path, body)
        assert response.status_code == 500 and "secret" not in response.text
        streamed = server.post(path, body | {"stream": True})
        assert "secret" not in streamed.text and '"error"' in streamed.text
        assert streamed.status_code == (200 if after else 500)
        assert "[DONE]" not in streamed.text
    server.generator.raises = None
    assert server.post(path, body).status_code == 200


def test_what_a_handler_opened_is_closed_wherever_it_is_cancelled(tokenizer: Tokenizer) -> None:
    """Between two steps nobody may hold an answer yet."""

    async def run() -> tuple[ScriptedGenerator, int]:
        generator = ScriptedGenerator(tokenizer, hold="decode")
        app = create_app(generator, ServerSettings(names=("tiny",)))
        service = app.state.service
        opened = asyncio.Event()

        @app.post("/odd")
        async def odd() -> None:
            await service.answer([Request((5,))])
            opened.set()
            await asyncio.sleep(60)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/odd",
            "raw_path": b"/odd",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 80),
        }
        messages = [{"type": "http.request", "body": b"{}", "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await opened.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            raise AssertionError(message)

        await app(scope, receive, send)
        return generator, service.running

    generator, running = asyncio.run(run())
    assert generator.cancelled == ["decode"] and generator.running == running == 0
