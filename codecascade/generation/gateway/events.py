"""Server-sent events, read as they come."""

from __future__ import annotations

import codecs

from codecascade.generation.transport import LARGEST, NoReplyError


class EventReader:
    """Cuts a stream of bytes into the data of its events, wherever the pieces of the stream end.

    A byte order mark at its beginning is no part of it. Of the fields only ``data`` is read; the others, and
    comments, say nothing here.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._is_first = True

    def push(self, piece: bytes) -> list[bytes]:
        """The data of the events that are whole now.

        Raises:
            NoReplyError: an event is larger than a whole answer may be.
        """
        found: list[bytes] = []
        if self._after_return and piece:
            # the line feed of a line's end that was cut in two
            piece, self._after_return = piece.removeprefix(b"\n"), False
        self._after_return = piece.endswith(b"\r")
        lines = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines[:-1]:
            self._line += line
            event = self._end_line()
            if event is not None:
                found.append(event)
        self._line += lines[-1]
        if self._size + len(self._line) > LARGEST:
            raise NoReplyError(f"an event of more than {LARGEST >> 20} MB", reached=True)
        return found

    def _end_line(self) -> bytes | None:
        line = bytes(self._line)
        self._line.clear()
        if self._is_first:
            line, self._is_first = line.removeprefix(codecs.BOM_UTF8), False
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
                self._size += len(value)
            return None
        event = b"\n".join(self._data) if self._data else None
        self._data, self._size = [], 0
        return event
