"""The description at ``/openapi.json``: what FastAPI derives, with the statuses and errors that are true here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from codecascade.server.http.errors import ApiError
from codecascade.server.protocols.table import protocol_of

_REFUSED = {
    400: "The body is not JSON, a value is not allowed, or the prompt is longer than the context.",
    401: "A key is missing or wrong.",
    403: "A web page of another origin asks, or the server is addressed by a name that is not its own.",
    404: "There is no such model.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    429: "So many requests wait that this one is refused.",
    500: "The server failed; its log has the reason.",
    501: "The model was not trained for infilling.",
    503: "The server loads its model, is shutting down, or holds as many bodies as it has memory for.",
    504: "The answer took too long.",
}
_WITHOUT_BODY = (401, 403, 404, 500, 503)


def describe(app: FastAPI) -> None:
    """Give the application its description."""
    derive = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = derive()
            description.setdefault("components", {})["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            description["security"] = [{"bearer": []}, {"key": []}, {}]
            for path, operations in description["paths"].items():
                for operation in operations.values():
                    _add_errors(path, operation)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_errors(path: str, operation: dict[str, Any]) -> None:
    protocol = protocol_of(path)
    responses = operation["responses"]
    has_body = "requestBody" in operation
    if "200" in responses and has_body:
        # The form depends on what is asked for: a whole answer, events, or lines.
        responses["200"]["content"] = {
            kind: {} for kind in ("application/json", "text/event-stream", "application/x-ndjson")
        }
    elif "200" in responses:
        responses["200"].pop("content", None)
    responses.pop("422", None)
    if path == "/v1/events":
        responses["204"] = {"description": "Taken, and forgotten."}
        responses.pop("200", None)
    statuses = [*_REFUSED, protocol.invalid] if has_body else list(_WITHOUT_BODY)
    for status in sorted(set(statuses)):
        example = protocol.error(ApiError(status, _REFUSED.get(status, "The body has the wrong form.")))
        responses[str(status)] = {
            "description": _REFUSED.get(status, "The body has the wrong form."),
            "content": {"application/json": {"example": example, "schema": {"type": "object"}}},
        }
