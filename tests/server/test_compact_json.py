"""JSON that any client can split into lines."""

from __future__ import annotations

import json

from codecascade.server.http.compact_json import compact, event, line


def test_no_text_ends_a_line() -> None:
    """Python's clients split streams by every character that ends a line for ``str.splitlines``."""
    text = "a\u2028b\u2029c\x85d\ne\rf\ud83d"
    for written in (compact({"content": text}), event({"content": text}), line({"content": text})):
        assert len(written.decode().splitlines()) == 1 + written.startswith(b"data: ")
        assert json.loads(written.decode().removeprefix("data: ")) == {"content": text}
