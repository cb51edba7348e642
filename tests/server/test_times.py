"""How long a server waits for what a client sends."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
from live_server import Live, soon

from codecascade.server.settings import Limits, ServerSettings

Serve = Callable[..., Live]


class TestTimes:
    @pytest.mark.parametrize("sent", [b"", b"POST /infill HTTP/1.1\r\nHost: localhost\r\n"])
    def test_a_head_that_does_not_come_ends_the_connection(self, served: Serve, sent: bytes) -> None:
        server = served(ServerSettings(names=("tiny",), limits=Limits(header_seconds=0.15)))
        with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
            connection.sendall(sent)
            assert _ends(connection)

    def test_a_head_that_drips_ends_the_connection(self, served: Serve) -> None:
        server = served(ServerSettings(names=("tiny",), limits=Limits(header_seconds=0.2)))
        with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\n")
            start = time.monotonic()
            ended = False
            while not ended and time.monotonic() - start < 120:
                try:
                    connection.sendall(b"X-Slow: 1\r\n")
                    connection.settimeout(0.02)
                    ended = connection.recv(1) == b""
                except TimeoutError:
                    continue
                except ConnectionError:
                    ended = True
            assert ended

    def test_a_body_that_does_not_come_is_told(self, served: Serve) -> None:
        server = served(ServerSettings(names=("tiny",), limits=Limits(body_seconds=0.15)))
        with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
            connection.sendall(b"POST /infill HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            answer = _read(connection)
        assert answer.startswith(b"HTTP/1.1 408 ") and b'"code":408' in answer

    def test_a_client_that_leaves_within_its_body_is_forgotten(self, served: Serve) -> None:
        server = served()
        with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
            connection.sendall(b"POST /infill HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert soon(lambda: not server.server.server_state.tasks)
        assert not server.generator.requests

    def test_the_head_of_a_second_request_is_waited_for(self, served: Serve) -> None:
        # time enough for the first head, which does come
        server = served(ServerSettings(names=("tiny",), limits=Limits(header_seconds=1)))
        with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while b'"ok"}' not in answer:
                piece = connection.recv(4096)
                assert piece, answer
                answer += piece
            connection.sendall(b"GET /health HTTP/1.1\r\n")
            assert _ends(connection)


def _read(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(4096):
        data += piece
    return data


def _ends(connection: socket.socket) -> bool:
    try:
        return _read(connection) == b""
    except ConnectionError:
        return True
