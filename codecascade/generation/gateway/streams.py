"""Streamed answers with limits: each part that brings a text on comes within a deadline, or the answer has failed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2

from codecascade.generation.gateway.events import EventReader
from codecascade.generation.openai_server import PASSING, Refused
from codecascade.generation.replies import Body, is_over_context, message_of, redirect_of, retry_after
from codecascade.generation.transport import (
    TROUBLE,
    NoReplyError,
    SilentError,
    new_client,
    plain,
    whole_reply,
)

_DONE = b"[DONE]"


class Busy(Exception):
    """The server answers later, perhaps.

    Attributes:
        status: of HTTP.
        wait: seconds that it asks to wait.
    """

    def __init__(self, status: int, message: str, wait: float) -> None:
        self.status, self.wait = status, wait
        super().__init__(f"{status}: {message}")


class Deadline:
    """When an answer has failed; whoever reads it moves the time on where there was progress."""

    def __init__(self, seconds: float) -> None:
        self._at = asyncio.get_running_loop().time() + seconds

    def extend(self, seconds: float) -> None:
        """To so many seconds from now."""
        self._at = asyncio.get_running_loop().time() + seconds

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Ends what waits inside with a SilentError."""
        try:
            async with asyncio.timeout_at(self._at):
                yield
        except (TimeoutError, httpx2.TimeoutException):
            raise SilentError("no further part of an answer in time", reached=True) from None
        except TROUBLE as error:
            raise NoReplyError(plain(str(error)) or type(error).__name__) from None


class StreamedTransport:
    """Connections to a server, on the event loop of those who ask.

    Args:
        headers: of every request.
    """

    def __init__(self, connections: int, headers: Mapping[str, str]) -> None:
        self._client = new_client(connections, headers)

    async def events(self, url: str, body: Body, deadline: Deadline) -> AsyncGenerator[Body, None]:
        """The events of a streamed answer to a POST, until the server says that it is done.

        Closing the generator closes the connection, by which servers know that nobody wants the rest.

        Raises:
            Busy: the server may answer the same request later.
            Refused: it will not answer it.
            NoReplyError: it can't be reached, breaks off, is silent, or sends what is no stream of events.
        """
        request = self._client.build_request(
            "POST", url, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        async with deadline.watch():
            response = await self._client.send(request, stream=True)
        try:
            self._client.cookies.clear()
            if response.status_code != 200:
                async with deadline.watch():
                    reply = await whole_reply(response)
                message = message_of(reply)
                if reply.status in PASSING and not is_over_context(message):
                    raise Busy(reply.status, message, retry_after(reply.headers))
                there = redirect_of(reply)
                raise Refused(reply.status, message if there is None else f"sends to {there}")
            if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
                raise NoReplyError("an answer that is no stream of events", reached=True)
            reader, pieces = EventReader(), response.aiter_raw()
            while True:
                async with deadline.watch():
                    piece = await anext(pieces, None)
                if piece is None:
                    raise NoReplyError("the answer breaks off", reached=True)
                for data in reader.push(piece):
                    if data.strip() == _DONE:
                        return
                    yield _event(data)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _event(data: bytes) -> Body:
    """What an event says.

    Raises:
        NoReplyError: it is no object, or reports an error that may pass.
        Refused: it reports another error.
    """
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        raise NoReplyError(f"an event that is no JSON: {plain(data.decode(errors='replace'), 100)}") from None
    if not isinstance(event, dict):
        raise NoReplyError("an event that is no object", reached=True)
    error = event.get("error")
    if error is None:
        return event
    about = error if isinstance(error, dict) else {"message": error}
    said, code = plain(str(about.get("message")), 500), about.get("code")
    if type(code) is int and 400 <= code < 500 and code not in PASSING:
        raise Refused(code, said)
    raise NoReplyError(f"the server reports an error: {said}", reached=True)
