"""A JSON array of dialogues, read object by object: such a file may have hundreds of megabytes."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import IO

from codecascade.ground.errors import UserError
from codecascade.ground.format import show_bytes
from codecascade.instruct.dialogues.row import (
    LONGEST_ROW,
    DuplicateKey,
    Row,
    checked_depth,
    json_error,
    unique_keys,
)

_CHUNK = 1 << 20
_UNSURE = 3
_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys)
_ANY_KEYS = json.JSONDecoder()


def array_rows(file: IO[bytes], address: str) -> Iterator[Row]:
    """The elements of the array that ``file`` holds. Their lines are those in which they begin.

    Raises:
        UserError: the text is no JSON array. What is behind the fault can't be read, so there is no row for it.
    """
    text = _Text(file, address)
    text.take("[")
    if text.next_sign() == "]":
        text.take("]")
    else:
        while True:
            text.next_sign()
            yield text.row()
            if text.next_sign() == "]":
                text.take("]")
                break
            text.take(",")
    if text.next_sign():
        raise UserError("has more text after the array", file=text.location)


class _Text:
    """The text of a file, of which only what is being read is in memory."""

    def __init__(self, file: IO[bytes], address: str) -> None:
        self._file, self._address = file, address
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._position, self._ended = "", 0, False
        self.line = 1

    @property
    def location(self) -> str:
        return f"{self._address}:{self.line}"

    def next_sign(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            while self._position < len(self._text):
                sign = self._text[self._position]
                if sign not in _SPACE:
                    return sign
                self.line += sign == "\n"
                self._position += 1
            if not self._more(_CHUNK):
                return ""

    def take(self, sign: str) -> None:
        """Go past ``sign``, which must come next."""
        if (found := self.next_sign()) != sign:
            what = repr(found) if found else "the end of the file"
            raise UserError(f"is not valid JSON ({sign!r} is missing before {what})", file=self.location)
        self._position += 1

    def row(self) -> Row:
        """The value that comes next."""
        location, line, size = self.location, self.line, _CHUNK
        while True:
            try:
                row, end = self._decoded(location)
            except json.JSONDecodeError as error:
                # It may be that its end is not read yet. Twice as much each time: so all is read twice at most.
                if len(self._text) - self._position > LONGEST_ROW:
                    reason = f"no value of at most {show_bytes(LONGEST_ROW)} begins here"
                    raise UserError(f"is not valid JSON ({reason})", file=location) from None
                if not self._more(size):
                    raise UserError(f"is not valid JSON ({error.msg})", file=location) from None
                size *= 2
                continue
            # a number may go on in the next chunk, by "e-1" for example
            if end + _UNSURE <= len(self._text) or not self._more(_CHUNK):
                self.line += self._text.count("\n", self._position, end)
                self._position = end
                return Row(location, line, row.value, row.error)

    def _decoded(self, location: str) -> tuple[Row, int]:
        """The value that comes next, and where it ends. Raises JSONDecodeError where the text has no whole value."""
        try:
            value, end = _DECODER.raw_decode(self._text, self._position)
        except DuplicateKey as error:
            _, end = _ANY_KEYS.raw_decode(self._text, self._position)
            return Row(location, self.line, error=json_error(error, location)), end
        except json.JSONDecodeError:
            raise
        except (RecursionError, ValueError) as error:
            # nothing tells where such a value ends
            raise json_error(error, location) from None
        try:
            return Row(location, self.line, checked_depth(value, location)), end
        except UserError as error:
            return Row(location, self.line, error=error), end

    def _more(self, size: int) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        data = self._file.read(size)
        self._ended = not data
        try:
            text = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            reason = f"is not UTF-8 text ({error.reason}); write it anew as UTF-8"
            raise UserError(f"in or after this line the file {reason}", file=self.location) from None
        self._text = self._text[self._position :] + text
        self._position = 0
        return True
