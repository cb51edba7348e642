"""A client that closes its connection cancels what it asked for, whatever state that is in.

Editors cancel in no other way. So it is done once, around the whole application: the request's body is read, then the
application runs as a task beside a watch on the connection. When the connection closes, the task is cancelled: a
request that is queued, in the middle of its prefill, decoding, streaming or not is closed by the same ``finally``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codecascade.server.http.errors import ApiError
from codecascade.server.settings import Limits

logger = logging.getLogger("codecascade.server")

Refuse = Callable[[Scope, Send, ApiError], Awaitable[None]]
"""Answers a request with an error in the form of its protocol."""

Close = Callable[[], Awaitable[None]]
_closed_at_end: ContextVar[list[Close] | None] = ContextVar("closed_at_end", default=None)

_GRACE = 5.0
"""Seconds beyond the request's time in which an error may still be sent."""


def close_at_end(close: Close) -> None:
    """Have ``close`` called when the request that runs ends, however it ends.

    A cancel may come between any two steps, also where nobody holds what was opened.
    """
    if (closing := _closed_at_end.get()) is not None:
        closing.append(close)


class Disconnected(Exception):
    """The client has gone."""


class CancelOnDisconnect:
    """Reads the body within its limits, and ends the application's work when the client goes.

    Args:
        refuse: sends an error; the connection is closed after it, since a body may be left unread.
    """

    def __init__(self, app: ASGIApp, limits: Limits, refuse: Refuse) -> None:
        self._app, self._limits, self._refuse = app, limits, refuse
        # bytes of all bodies that are there
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            await self._answer(scope, receive, send, body)
        finally:
            self._held -= len(body)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: bytearray) -> None:
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                await self._read(scope, receive, body)
        except Disconnected:
            return
        except TimeoutError:
            error = ApiError(408, f"the body was not there within {self._limits.body_seconds:g} seconds")
            await self._refuse(scope, send, error)
            return
        except ApiError as error:
            await self._refuse(scope, send, error)
            return
        try:
            await self._run(scope, receive, send, bytes(body))
        except asyncio.CancelledError:
            # The time to drain is over. Nobody else cancels the task of a connection.
            _abort(scope)

    async def _read(self, scope: Scope, receive: Receive, body: bytearray) -> None:
        most = self._limits.body_bytes
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > most:
            raise ApiError(413, f"the body has {int(declared):,} bytes; at most {most:,} are read")
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            body += part
            self._held += len(part)
            if len(body) > most:
                raise ApiError(413, f"the body has more than {most:,} bytes")
            if self._held > self._limits.all_body_bytes:
                raise ApiError(
                    503, "the requests that are being answered fill the server's memory; try again"
                )
            if not message.get("more_body", False):
                return

    async def _run(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        gone = asyncio.Event()
        first, started, answered = True, False, False

        async def replay() -> Message:
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()

        async def sending(message: Message) -> None:
            nonlocal started, answered
            started = True
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        async def application() -> None:
            closing: list[Close] = []
            _closed_at_end.set(closing)
            try:
                await self._app(scope, replay, sending)
            except Exception:
                logger.exception("a request failed")
                if started:
                    _abort(scope)
                else:
                    error = ApiError(500, "the server failed to answer; its log has the reason")
                    await self._refuse(scope, sending, error)
            finally:
                for close in closing:
                    await close()

        _name_as_json(scope)
        work = asyncio.create_task(application())
        watcher = asyncio.create_task(watch())
        longest = self._limits.request_seconds + _GRACE
        try:
            await asyncio.wait({work, watcher}, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
            if answered:
                # A server calls a finished response a closed connection, too.
                await asyncio.wait({work}, timeout=_GRACE)
            if work.done():
                await work
            elif not watcher.done():
                _abort(scope)  # a client that does not read its answer
        finally:
            for task in (work, watcher):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            with contextlib.suppress(asyncio.CancelledError):
                await watcher


def _abort(scope: Scope) -> None:
    """Close the connection without waiting for what is not yet sent."""
    abort = scope.get("state", {}).get("abort")
    if abort is not None:
        abort()


def _name_as_json(scope: Scope) -> None:
    """A POST's body is JSON, whatever the client calls it: curl says that it is a form."""
    if scope["method"] == "POST":
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        scope["headers"] = [*headers, (b"content-type", b"application/json")]
