"""uvicorn's HTTP protocol with a bound on the time and the number of connections that say nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import Server, ServerState

from codecascade.server.settings import Limits

_UNASKED_SECONDS = 0.5
"""How long a connection whose request has not come holds up the end: it may be on its way, or never come."""
_TICK = 0.02


class BoundedProtocol(H11Protocol):
    """Closes a connection whose request's head does not come in time, and those beyond the most that are kept open.

    The application finds ``abort`` in its state, which closes the connection at once.
    """

    limits = Limits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "abort": self._abort}, _loop)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._abort()
        else:
            self._expect_head()

    @property
    def waits(self) -> bool:
        """For the head of a request: of the first, or of one that has begun to come."""
        return self._timer is not None

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_timer()
        elif self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        # A request that was sent before this answer begins in here.
        self._stop_timer()
        super().on_response_complete()

    def _expect_head(self) -> None:
        self._timer = self.loop.call_later(self.limits.header_seconds, self._abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


def bounded_protocol(limits: Limits) -> type[BoundedProtocol]:
    """The protocol with these limits; uvicorn makes one for each connection."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits})


async def accept_no_more(server: Server) -> None:
    """Stop listening, and give the connections that were accepted, and wait for a request, the time to send it.

    uvicorn ends connections whose request was not read yet without an answer, as if the server had crashed.
    """
    # What waits in the queue of the socket is accepted.
    await asyncio.sleep(_TICK)
    for listening in server.servers:
        listening.close()
    end = time.monotonic() + _UNASKED_SECONDS
    # A connection that was just accepted is known one turn of the loop later.
    await asyncio.sleep(_TICK)
    while (
        not server.force_exit and time.monotonic() < end and any(map(_waits, server.server_state.connections))
    ):
        await asyncio.sleep(_TICK)


def _waits(connection: object) -> bool:
    return isinstance(connection, BoundedProtocol) and connection.waits
