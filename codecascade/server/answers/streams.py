"""Responses that are sent as they come: server-sent events and NDJSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from codecascade.server.answers.service import Answer
from codecascade.server.http.compact_json import event, line
from codecascade.server.http.errors import ApiError, ErrorShape
from codecascade.server.http.logs import note

Chunks = AsyncGenerator[bytes, None]


class Stream(Response):
    """Sends chunks as they come, and closes what makes them whatever ends the response.

    An error behind the first byte can have no status any more: it is sent as a chunk of its own, after which the
    response ends, without the mark of a complete one.

    Args:
        broken: the chunk that tells of an error.
    """

    def __init__(
        self, answer: Answer, chunks: Chunks, media_type: str, broken: Callable[[ApiError], bytes]
    ) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._answer, self._chunks, self._broken = answer, chunks, broken
        self.init_headers(
            {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Content-Type": media_type}
        )

    def init_headers(self, headers: Any = None) -> None:
        """Without a length, which is not known."""
        self.raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._answer, aclosing(self._chunks) as chunks:
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await send(start)
            try:
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except ApiError as error:
                note(error=error.message)
                await send({"type": "http.response.body", "body": self._broken(error), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def events(answer: Answer, chunks: Chunks, shape: ErrorShape) -> Stream:
    """Server-sent events."""
    return Stream(answer, chunks, "text/event-stream; charset=utf-8", lambda error: event(shape(error)))


def json_in_parts(answer: Answer, chunks: Chunks, shape: ErrorShape) -> Stream:
    """One JSON object that is too large to be held; an error breaks it off, so that it can't be read as a whole."""
    return Stream(answer, chunks, "application/json", lambda error: line(shape(error)))


def lines(answer: Answer, chunks: Chunks, shape: ErrorShape) -> Stream:
    """NDJSON."""
    return Stream(answer, chunks, "application/x-ndjson", lambda error: line(shape(error)))
