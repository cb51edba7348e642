"""Bytes to text."""

from __future__ import annotations

import codecs
import io
import tokenize

from charset_normalizer import from_bytes


class UnreadableError(Exception):
    """Something whose text can't be had; the message is the reason that gets counted."""


_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LIKELY = ["cp1252", "cp1251", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "koi8_r"]
"""What source code comes in, where it isn't UTF-8. Fewer candidates make fewer wrong guesses about little text."""

_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f\v\x1b") + b"\x7f"
_MOST_CONTROL = 0.01
_EXAMINED = 65_536


def decode(data: bytes, language: str = "") -> str:
    """Text by its byte order mark, as UTF-8, by a Python file's declaration (PEP 263), or by its statistics.

    Raises:
        UnreadableError: binary, or in no encoding that can be told.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strictly(data, encoding)
    if is_binary(data):
        raise UnreadableError("binary")
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    try:
        if language == "python":
            declared, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            return data.decode(declared)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        pass
    best = from_bytes(_around_the_first_odd_byte(data), cp_isolation=_LIKELY, steps=3).best()
    if best is None:
        raise UnreadableError("unknown encoding")
    return _strictly(data, best.encoding)


def is_binary(data: bytes) -> bool:
    """Whether it holds a NUL, or more than one control character in a hundred bytes."""
    if b"\0" in data:
        return True
    return len(data) - len(data.translate(None, _CONTROL)) > _MOST_CONTROL * len(data)


def is_utf_16_or_32(beginning: bytes) -> bool:
    """Whether a file of ASCII at its beginning, as JSON is, is written in one of these: by its mark or its zeros."""
    return beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)) or (
        b"\0" in beginning[:4]
    )


def _around_the_first_odd_byte(data: bytes) -> bytes:
    if len(data) <= _EXAMINED:
        return data
    first = next(place for place, byte in enumerate(data) if byte >= 128)
    start = data.rfind(b"\n", 0, max(first - _EXAMINED // 2, 0)) + 1  # never in the middle of a character
    return data[start : start + _EXAMINED]


def _strictly(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        raise UnreadableError("unknown encoding") from None
    if "\0" in text:
        raise UnreadableError("binary")
    return text
