"""The application: the protocols of the table, and what stands around all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope, Send

import codecascade
from codecascade.generation.streaming import StreamingGenerator
from codecascade.server.answers.service import Service
from codecascade.server.api_page import add_api_page
from codecascade.server.http.disconnect import CancelOnDisconnect
from codecascade.server.http.errors import ApiError, error_response
from codecascade.server.http.logs import RequestLog, note
from codecascade.server.http.security import Guard, Keys, origin_pattern
from codecascade.server.openapi import describe
from codecascade.server.playground.page import add_playground, public_addresses
from codecascade.server.protocols.table import PROTOCOLS, protocol_of
from codecascade.server.settings import ServerSettings

_LONGEST_KEY = 100


def create_app(generator: StreamingGenerator, settings: ServerSettings) -> FastAPI:
    """An application that serves ``generator`` in every protocol; it closes the generator when it ends.

    ``app.state.service`` is its :class:`~codecascade.server.answers.service.Service`.
    """
    service = Service(generator, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.draining = True
        await generator.close()

    app = FastAPI(
        title="codecascade",
        version=codecascade.__version__,
        description="A code model in the protocols that editors speak. All bodies are JSON.",
        lifespan=lifespan,
        redirect_slashes=False,
        # FastAPI's pages load their scripts from the internet.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    for protocol in PROTOCOLS:
        app.include_router(protocol.routes(service), tags=[protocol.name])
    describe(app)
    add_api_page(app)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _wrong_body)
    app.add_exception_handler(HTTPException, _http_error)
    public = [address for protocol in PROTOCOLS for address in protocol.public]
    add_playground(app)
    public += public_addresses()
    origins = origin_pattern(settings.origins)
    # The last one added is the first that sees a request.
    app.add_middleware(CancelOnDisconnect, limits=settings.limits, refuse=refuse)
    app.add_middleware(
        Guard,
        keys=Keys(settings.keys),
        hosts=settings.hosts,
        origins=origins,
        public=public,
        refuse=refuse,
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"] if origins is None else [],
        allow_origin_regex=None if origins is None else origins.pattern,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["X-Request-Id"],
    )
    app.add_middleware(RequestLog, metrics=service.metrics)
    return app


async def refuse(scope: Scope, send: Send, error: ApiError) -> None:
    """Answer without the application; the connection ends with it, for a body may be left unread."""
    note(error=error.message)
    response = error_response(error, protocol_of(scope["path"]).error)
    response.headers["Connection"] = "close"

    async def nothing() -> dict[str, object]:
        return {"type": "http.disconnect"}

    await response(scope, nothing, send)


def _said(request: Request, error: ApiError) -> Response:
    note(error=error.message)
    return error_response(error, protocol_of(request.url.path).error)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _said(request, error)


async def _wrong_body(request: Request, error: Exception) -> Response:
    """What is wrong with a body, without repeating it."""
    assert isinstance(error, RequestValidationError)
    details = [
        {
            "loc": [part if isinstance(part, int) else part[:_LONGEST_KEY] for part in found["loc"]],
            "msg": str(found["msg"]),
            "type": str(found["type"]),
        }
        for found in error.errors()[:8]
    ]
    where = ".".join(str(part) for part in details[0]["loc"] if part != "body")
    message = f"{where}: {details[0]['msg']}" if where else str(details[0]["msg"])
    if details[0]["type"] == "json_invalid":
        reason = error.errors()[0].get("ctx", {}).get("error", "wrong syntax")
        where, message = "", f"the body is not JSON: {reason} at character {where}"
    status = protocol_of(request.url.path).invalid
    return _said(request, ApiError(status, message, where or None, details=details))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        message = f"there is nothing at {request.url.path}"
    elif error.status_code == 405:
        message = f"{request.method} is not allowed at {request.url.path}"
    elif error.status_code == 400:
        message = _unread(error.__cause__)
    else:
        message = str(error.detail)
    return _said(request, ApiError(error.status_code, message, headers=error.headers or {}))


def _unread(cause: BaseException | None) -> str:
    """Why a body could not be read that has no wrong character in it."""
    if isinstance(cause, RecursionError):
        return "the body is nested too deeply"
    if isinstance(cause, ValueError) and not isinstance(cause, UnicodeError):
        # Python reads integers of at most 4,300 digits
        return "the body holds a number with too many digits"
    return "the body is not JSON in UTF-8"
