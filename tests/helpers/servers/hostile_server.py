"""A server that sends whatever a test wants, byte by byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

Answer = bytes | Callable[[socket.socket, threading.Event], None]

MODELS = b'{"data": [{"id": "small"}]}'


class HostileServer:
    """Sends ``models`` to each GET and ``answer`` to each POST: bytes as they are, or what a function sends."""

    def __init__(self) -> None:
        self.models: Answer = http(MODELS)
        self.answer: Answer = http(b'{"choices": [{"text": "x"}]}')
        self.asked = 0
        self.heads: list[bytes] = []
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            self.heads.append(head)
            head, _, body = head.partition(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            left = (int(length[0].partition(b":")[2]) if length else 0) - len(body)
            while left > 0:
                left -= len(connection.recv(65536))
            self.asked += 1
            answer = self.answer if head.startswith(b"POST") else self.models
            if isinstance(answer, bytes):
                connection.sendall(answer)
            else:
                answer(connection, self._over)

    def stop(self) -> None:
        self._over.set()
        self._socket.close()


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer of HTTP that closes the connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def dripped(
    start: bytes, drop: bytes, seconds: float = 0.02
) -> Callable[[socket.socket, threading.Event], None]:
    """A beginning, and then the same few bytes again and again, without end."""

    def send(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(seconds):
            connection.sendall(drop)

    return send


def poured(start: bytes, piece: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """A beginning, and then as much as the other side takes."""

    def send(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.is_set():
            connection.sendall(piece)

    return send


def answered(content: Any) -> bytes:
    """Bytes of a JSON text as they are, as an answer."""
    return http(content if isinstance(content, bytes) else content.encode())
