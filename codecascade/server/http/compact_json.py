"""JSON as clients read it: compact, because llama.vim looks for ``"content":"`` without a space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def compact(content: Any) -> bytes:
    """Half a surrogate pair, which a request may hold, is written as its escape.

    So are the characters that end a line for some readers of streams: Python's clients split by them.
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_LINE_ENDS).encode(errors="backslashreplace")


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
