"""Jobs to a zone and answers from it: marshalled (both ends are the same interpreter), preceded by their length.

No program's process holds this descriptor, so what comes out of it was written by the server.
"""

from __future__ import annotations

import marshal
import os

TYPE_CHECKING = False  # as typing's, whose import every program's process would carry along
if TYPE_CHECKING:
    from typing import Any


def send(descriptor: int, message: dict[str, Any]) -> None:
    """Write one message.

    Raises:
        OSError: the other end has gone.
    """
    content = marshal.dumps(message)
    view = memoryview(len(content).to_bytes(8, "little") + content)
    while view:
        view = view[os.write(descriptor, view) :]


def receive(descriptor: int) -> dict[str, Any] | None:
    """Read one message; None at the end."""
    head = _read(descriptor, 8)
    content = _read(descriptor, int.from_bytes(head, "little")) if head else None
    if content is None:
        return None
    message: dict[str, Any] = marshal.loads(content)
    return message


def _read(descriptor: int, size: int) -> bytes | None:
    data = os.read(descriptor, size)
    if len(data) == size:
        return data
    parts = bytearray(data)
    while data and len(parts) < size:
        data = os.read(descriptor, size - len(parts))
        parts += data
    return bytes(parts) if len(parts) == size else None
