"""What clients are told while the model is being loaded: 503, and to come back.

The port listens from the start, so that an editor that was faster than the model gets an answer rather than silence.
A thread answers there until the model is loaded; then the application takes the same socket over. Connections that
come between the two wait in its queue; one that has come before gets its answer first.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from codecascade.server.app import refuse
from codecascade.server.http.bounded_protocol import accept_no_more, bounded_protocol
from codecascade.server.http.disconnect import CancelOnDisconnect
from codecascade.server.http.errors import ApiError
from codecascade.server.settings import Limits

_SECONDS = 5.0
"""For the thread to end; it needs a fraction of one."""
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta http-equiv="refresh" content="1">
<meta name="color-scheme" content="light dark"><title>codecascade</title>
<p>The model is being loaded.</p>
</html>
"""


@contextmanager
def answers_while_loading(listener: socket.socket, limits: Limits) -> Iterator[None]:
    """Answer 503 on a socket that listens, as long as the body of the ``with`` runs.

    SIGTERM ends the process with 0 there, as it does later.
    """
    config = _config(limits)
    # Its modules are imported here: in the thread they would wait for what else is being imported.
    config.load()
    server = _Server(config)
    # The server closes the socket that it is given.
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener.dup()]}, name="while loading", daemon=True
    )
    thread.start()
    try:
        with ends_at_sigterm():
            yield
    finally:
        server.should_exit = True
        thread.join(_SECONDS)


class _Server(uvicorn.Server):
    """Answers what it has accepted before it ends."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await accept_no_more(self)
        await super().shutdown(sockets)


def _config(limits: Limits) -> uvicorn.Config:
    application: ASGIApp = CancelOnDisconnect(_answer, limits, refuse)
    return uvicorn.Config(
        application,
        http=bounded_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/" and b"text/html" in dict(scope["headers"]).get(b"accept", b""):
        headers = {"Retry-After": "1", "Cache-Control": "no-store", "Connection": "close"}
        await HTMLResponse(_PAGE, 503, headers)(scope, receive, send)
    else:
        # llama.cpp's words, which llama.vscode knows.
        await refuse(scope, send, ApiError(503, "Loading model"))


@contextmanager
def ends_at_sigterm() -> Iterator[None]:
    """SIGTERM ends the process with 0, where nobody else handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
