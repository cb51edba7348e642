"""Sends jobs to a worker and receives answers: marshalled (both ends are the same interpreter), with their length.

No program's process has such a descriptor, so only the server can have written an answer. What a program itself
writes is read as bytes (:func:`read`), with a limit.
"""

from __future__ import annotations

import _socket
import marshal
import os
import select

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Few messages are longer, and the buffer of a read is allocated in advance.
_AT_ONCE = 4096


def send(descriptor: int, message: dict[str, Any]) -> None:
    """Write one message.

    Raises:
        OSError: the other end is closed.
    """
    write(descriptor, marshal.dumps(message))


def send_job(control: _socket.socket, message: dict[str, Any], link: int) -> None:
    """Write one message, and pass a descriptor with its first byte.

    Raises:
        OSError: the other end is closed.
    """
    content = marshal.dumps(message)
    data = len(content).to_bytes(8, "little") + content
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, link.to_bytes(4, "little"))]
    sent = control.sendmsg([data], rights)
    while sent < len(data):
        sent += control.send(memoryview(data)[sent:])


def receive(descriptor: int) -> dict[str, Any] | None:
    """Read one message; None at the end."""
    content = read(descriptor)
    if content is None:
        return None
    message: dict[str, Any] = marshal.loads(content)
    return message


def receive_job(control: _socket.socket) -> tuple[dict[str, Any] | None, int]:
    """Read one message, and the descriptor that came with its first byte (-1: none)."""
    head, extra, _, _ = control.recvmsg(8, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    link = int.from_bytes(extra[0][2][:4], "little") if extra else -1
    if len(head) < 8:
        head += (_read(control.fileno(), 8 - len(head)) or b"") if head else b""
    content = _read(control.fileno(), int.from_bytes(head, "little")) if len(head) == 8 else None
    return (None if content is None else marshal.loads(content)), link


def write(descriptor: int, content: bytes) -> None:
    """Write bytes, preceded by their length."""
    view = memoryview(len(content).to_bytes(8, "little") + content)
    while view:
        view = view[os.write(descriptor, view) :]


def arrival(descriptor: int) -> Callable[[], object]:
    """A function that waits until there is something to read.

    A process that blocks in a socket's ``read`` itself is also woken each time the other end has read something.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return poll.poll


def read(descriptor: int, most: int = 1 << 62) -> bytes | None:
    """Read what :func:`write` wrote; None at the end. Each message must be answered before the next one is written.

    Raises:
        ValueError: the message is longer than ``most``, or more follows it.
    """
    data = os.read(descriptor, _AT_ONCE)
    if len(data) < 8:
        rest = _read(descriptor, 8 - len(data)) if data else None
        if rest is None:
            return None
        data += rest
    size = int.from_bytes(data[:8], "little")
    if size > most or len(data) - 8 > size:
        raise ValueError(f"{len(data) - 8:,} of {size:,} bytes")
    if len(data) - 8 == size:
        return data[8:]
    rest = _read(descriptor, size + 8 - len(data))
    return None if rest is None else data[8:] + rest


def as_input(content: bytes | None) -> int:
    """A descriptor from which ``content`` can be read."""
    if not content:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    descriptor = os.memfd_create("stdin")
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _read(descriptor: int, size: int) -> bytes | None:
    data = os.read(descriptor, size)
    if len(data) == size:
        return data
    parts = bytearray(data)
    while data and len(parts) < size:
        data = os.read(descriptor, size - len(parts))
        parts += data
    return bytes(parts) if len(parts) == size else None
