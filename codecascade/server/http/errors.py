"""What went wrong with a request, and the form in which each protocol says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from codecascade.ground.errors import printable
from codecascade.server.http.compact_json import json_response

Body = dict[str, Any]

_LONGEST = 1000
"""Characters of a message; it may hold a part of the request."""

_DEFAULT_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    500: "server_error",
    501: "not_supported_error",
    503: "unavailable_error",
    504: "timeout_error",
}


@dataclass
class ApiError(Exception):
    """A request that is refused, or an answer that broke off.

    Attributes:
        status: the HTTP status.
        message: for people.
        parameter: the field of the body that is wrong.
        code: OpenAI's word for the reason, where it has one.
        kind: the error's type; None: what is usual for the status.
        details: pydantic's list of what is wrong with a body: ``loc``, ``msg``, ``type``.
        numbers: fields that llama.cpp adds, such as ``n_ctx``.
        headers: of the response.
    """

    status: int
    message: str
    parameter: str | None = None
    code: str | None = None
    kind: str | None = None
    details: Sequence[Body] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.message)
        self.message = printable(self.message[:_LONGEST])

    @property
    def type(self) -> str:
        return self.kind or _DEFAULT_KINDS.get(self.status, "invalid_request_error")


ErrorShape = Callable[[ApiError], Body]
"""A protocol's body for an error."""


def openai(error: ApiError) -> Body:
    """``detail`` is FastAPI's list, which llm-ls looks for at this address."""
    body: Body = {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.parameter,
            "code": error.code,
        }
    }
    details = error.details or [
        {"loc": [error.parameter or "body"], "msg": error.message, "type": error.type}
    ]
    return body | {"detail": [dict(detail) for detail in details]}


def llama_cpp(error: ApiError) -> Body:
    """llama.cpp's server, which has a type of its own for a prompt that is too long."""
    too_long = error.code == "context_length_exceeded"
    kind = "exceed_context_size_error" if too_long else error.type
    return {"error": {"code": error.status, "message": error.message, "type": kind, **error.numbers}}


def mistral(error: ApiError) -> Body:
    """Mistral gives 422 with a list where a body has the wrong form, else an object."""
    if error.details:
        return {"detail": [dict(detail) for detail in error.details]}
    return {
        "object": "error",
        "message": error.message,
        "type": error.type,
        "param": error.parameter,
        "code": error.code,
    }


def ollama(error: ApiError) -> Body:
    """A string."""
    return {"error": error.message}


def text_generation_inference(error: ApiError) -> Body:
    """TGI's error, with its types."""
    types = {400: "validation", 413: "validation", 422: "validation", 429: "overloaded"}
    return {"error": error.message, "error_type": types.get(error.status, "generation")}


def error_response(error: ApiError, shape: ErrorShape) -> Response:
    """The whole response; a refusal for want of room says when to try again."""
    headers = dict(error.headers)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in (429, 503):
        headers.setdefault("Retry-After", "1")
    return json_response(shape(error), status=error.status, headers=headers)
