"""One line of JSON a request, without what was asked and answered unless it is wanted."""

from __future__ import annotations

import json
import logging
import sys
import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codecascade.server.http.metrics import Metrics

logger = logging.getLogger("codecascade.server")


@dataclass
class Record:
    """What is known of the request that runs; whoever learns something adds a field."""

    id: str
    fields: dict[str, Any] = field(default_factory=dict)


current: ContextVar[Record | None] = ContextVar("current", default=None)


def note(**fields: Any) -> None:
    """Add fields to the line of the request that runs."""
    if (record := current.get()) is not None:
        record.fields |= fields


class RequestLog:
    """Writes the line when a request ends, counts it, and gives it an id (``X-Request-Id``)."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = Record(uuid.uuid4().hex)
        status: int | None = None
        complete = False
        started = time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", record.id.encode())]
                message = {**message, "headers": headers}
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                complete = True

        token = current.set(record)
        try:
            await self._app(scope, receive, sending)
        finally:
            current.reset(token)
            route = scope.get("route")
            path = getattr(route, "path", None) or "other"
            self._metrics.request_ended(path, status if complete else None)
            client = scope.get("client")
            logger.info(
                "request",
                extra={
                    "fields": {
                        "id": record.id,
                        "client": client[0] if client else None,
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "complete": complete,
                        "seconds": round(time.perf_counter() - started, 4),
                        **record.fields,
                    }
                },
            )


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up_logs() -> None:
    """Log to standard error as JSON: our lines, and uvicorn's warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name, level in (("codecascade.server", logging.INFO), ("uvicorn.error", logging.WARNING)):
        log = logging.getLogger(name)
        log.handlers = [handler]
        log.setLevel(level)
        log.propagate = False
    logging.getLogger("uvicorn.access").disabled = True
