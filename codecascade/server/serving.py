"""Runs the application: takes a port, says when it is ready, and ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from codecascade.generation.streaming import StreamingGenerator
from codecascade.ground.errors import UserError
from codecascade.server.answers.service import Service
from codecascade.server.app import create_app
from codecascade.server.http.bounded_protocol import accept_no_more, bounded_protocol
from codecascade.server.settings import ServerSettings

_BACKLOG = 1024
_TICK = 0.05
"""Seconds between two looks at whether all requests have ended."""


def taken_port(host: str, port: int) -> socket.socket:
    """A socket on ``host`` and ``port`` (0: any free one), which does not listen yet.

    Raises:
        UserError: the port is in use, or the host is not this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UserError(f"is no address of this machine ({error})", key=f"--host {host}") from None
    family, kind, number, _, address = found[0]
    listener = socket.socket(family, kind, number)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Two sockets may have a port until one of them listens.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(
            f"can't be used ({error.strerror}); another server may have it, so take another --port or --host",
            key=f"{host}:{port}",
        ) from None
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(listener: socket.socket) -> str:
    """The address for people and clients."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Drains at SIGTERM and Ctrl-C, and then returns: uvicorn would send itself the signal again.

    While it drains it listens on, and tells new requests that it is about to end. A second Ctrl-C ends at once.
    """

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._ready = service, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.draining = True
        end = time.monotonic() + self._service.limits.drain_seconds
        while self._service.running and not self.force_exit and time.monotonic() < end:
            await asyncio.sleep(_TICK)
        if not self.force_exit:
            await accept_no_more(self)
        # uvicorn waits for what is still being sent.
        self.config.timeout_graceful_shutdown = math.ceil(max(1.0, end - time.monotonic()))
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(
    app: FastAPI, settings: ServerSettings, ready: Callable[[], None] = lambda: None
) -> uvicorn.Server:
    """A uvicorn server of the application; ``run(sockets=[listener])`` runs it until it is told to end.

    Args:
        ready: called once requests are answered.
    """
    limits = settings.limits
    config = uvicorn.Config(
        app,
        http=bounded_protocol(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=math.ceil(limits.keep_alive_seconds),
        timeout_graceful_shutdown=math.ceil(limits.drain_seconds),
        backlog=_BACKLOG,
    )
    return _Server(config, app.state.service, ready)


def serve(
    generator: StreamingGenerator,
    settings: ServerSettings,
    listener: socket.socket,
    ready: Callable[[], None],
) -> None:
    """Serve a generator until SIGTERM or Ctrl-C; returns when running requests have ended, or their time is over."""
    make_server(create_app(generator, settings), settings, ready).run(sockets=[listener])
