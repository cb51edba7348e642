"""JSON as clients read it: compact, because llama.vim looks for ``"content":"`` without a space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


def compact(content: Any) -> bytes:
    """Half a surrogate pair, which a request may hold, is written as its escape."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode(errors="backslashreplace")


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with compact JSON."""
    return Response(compact(content), status, dict(headers or {}), media_type="application/json")


def event(content: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + compact(content) + b"\n\n"


DONE = b"data: [DONE]\n\n"


def line(content: Any) -> bytes:
    """One line of NDJSON."""
    return compact(content) + b"\n"
