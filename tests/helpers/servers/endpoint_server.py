"""An OpenAI-compatible server for tests, over real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """An OpenAI-compatible server whose behaviour a test chooses.

    ``behave(number, body)`` is called for the ``number``-th request; it returns ``(status, content)``, or the word
    ``hang``, ``drop`` (in the middle of the answer), ``close`` (before it) or ``garbage``.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str | None] = []
        self.behave: Callable[[int, dict[str, Any]], Any] = lambda number, body: (200, answered(body))
        self.models: Any = (200, {"data": [{"id": "small"}, {"id": "other", "max_model_len": 2048}]})
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None: ...

            def do_GET(self) -> None:
                server.keys.append(self.headers.get("Authorization"))
                self._send(*server.models)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.requests.append((self.path, body))
                    number = len(server.requests)
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                what = server.behave(number, body)
                with server._lock:
                    server.at_once -= 1
                if what == "hang":
                    server._over.wait(120)
                    self.close_connection = True
                elif what == "close":
                    self.close_connection = True
                elif what == "drop":
                    self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"choices": [')
                    self.close_connection = True
                elif what == "garbage":
                    self._send(200, "<html>")
                else:
                    self._send(*what)

            def _send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


def answered(body: dict[str, Any], text: str = "", **choice: Any) -> dict[str, Any]:
    """A reply that repeats the end of the prompt, or says ``text``."""
    if "messages" in body:
        said = {"message": {"role": "assistant", "content": text or body["messages"][-1]["content"]}}
    else:
        said = {"text": text or body["prompt"]}
    return {
        "choices": [{"index": 0, "finish_reason": "stop", **said, **choice}],
        "usage": {"completion_tokens": 5},
    }
