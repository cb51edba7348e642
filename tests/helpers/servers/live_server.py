"""A real server on a real port, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from codecascade.generation.streaming import StreamingGenerator
from codecascade.server.app import create_app
from codecascade.server.serving import address_of, make_server, taken_port
from codecascade.server.settings import ServerSettings


@dataclass
class Live:
    """A server that runs."""

    url: str
    port: int
    generator: Any
    client: httpx.Client
    server: Any
    thread: threading.Thread

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        return self.client.post(path, json=body, **more)

    def raw(self, path: str, body: Any, **headers: str) -> socket.socket:
        """A connection on which a request was sent whose answer nobody reads yet."""
        data = json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", f"Host: localhost:{self.port}", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
        return connection


@contextmanager
def live(
    make: Callable[[], StreamingGenerator],
    settings: ServerSettings,
    port: int = 0,
    listener: socket.socket | None = None,
) -> Iterator[Live]:
    """Serve what ``make`` returns, called in the thread of the server, on a socket of its own or on ``listener``.

    Port 0 is any free one.
    """
    listener = listener or taken_port("127.0.0.1", port)
    ready = threading.Event()
    found: dict[str, Any] = {}

    def run() -> None:
        async def serve() -> None:
            found["generator"] = make()
            app = create_app(found["generator"], settings)
            found["server"] = make_server(app, settings, ready.set)
            await found["server"].serve(sockets=[listener])

        asyncio.run(serve())

    thread = threading.Thread(target=run, name="server")
    thread.start()
    assert ready.wait(120)
    url, port = address_of(listener), listener.getsockname()[1]
    try:
        with httpx.Client(base_url=url, timeout=120) as client:
            yield Live(url, port, found["generator"], client, found["server"], thread)
    finally:
        found["server"].should_exit = True
        thread.join(120)
    assert not thread.is_alive()


def soon(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Whether something becomes true, looked at often."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False
