"""Bytes to text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from codecascade.corpus.reading.legacy_encodings import best_encoding


class UnreadableError(Exception):
    """Something whose text can't be had; the message is the reason that gets counted."""


_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COOKIE = re.compile(rb"[^\w\n]+[^\n]*?coding[:=][ \t]*[\"']?([-\w.]+)")
"""Of the first two lines, where they are comments: PEP 263, Ruby, Emacs."""
_VIM = re.compile(rb"\b(?:vim?|ex):[^\n]*\bf(?:ile)?enc(?:oding)?=([-\w.]+)")
_MARKUP = re.compile(rb"(?i)(?:charset|encoding)\s*=?\s*[\"']?\s*([-\w.:]+)")
"""XML, HTML, CSS."""
_LOOKED_THROUGH = 2048
"""Bytes at the beginning and at the end where a declaration may stand."""
_LEGACY = re.compile(
    r"(?:iso8859|iso2022|cp\d|koi8|mac[_-]|gb|big5|shift_jis|euc_|johab|tis_620|hz|ptcp154|kz1048)"
)
"""Python's names of what a declaration may name; others (``undefined``, ``punycode``, ``utf-7``) say nothing."""
_WIDER = {
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "cp950",
}
"""What is written under an encoding's name holds characters of its successor, as browsers know."""

_SEVEN_BITS = (
    (re.compile(rb"\x1b\$[@B].*?\x1b\([BJ]", re.DOTALL), "iso2022_jp_2"),
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
)
"""Encodings of ASCII alone, told by how they change over to another alphabet, and back."""
_ESCAPED = re.compile("[\udc80-\udcff]+")
_LEAST_WHOLE = 3
"""Characters; two bytes of another encoding may look like one of UTF-8."""

_END_OF_FILE = b"\x1a"
"""What ends a text of CP/M and DOS."""
_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f\v\x1b") + b"\x7f"
_MOST_CONTROL = 0.01


class DecodedText(NamedTuple):
    """A text, and what its bytes were taken for."""

    text: str
    encoding: str


def decoded(data: bytes) -> DecodedText:
    """Text by its byte order mark, as UTF-8, by what it says itself, or by what it would be a text of.

    UTF-8 with some odd bytes among its characters, as lists of names that grew for long are, is read as such; the odd
    bytes are Windows' Western European. The rest is
    :func:`codecascade.corpus.reading.legacy_encodings.best_encoding`'s.

    Raises:
        UnreadableError: binary, or in no encoding that can be told.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strictly(data, encoding)
    # what follows this mark may still hold odd bytes, as any UTF-8 may
    data = data.removeprefix(codecs.BOM_UTF8)
    for sign, encoding in _SEVEN_BITS:
        if b"\x1b$" in data and sign.search(data):
            with suppress(UnreadableError):
                return _strictly(data, encoding)
    if is_binary(data.removesuffix(_END_OF_FILE)):
        raise UnreadableError("binary")
    try:
        return DecodedText(data.decode(), "utf-8")
    except UnicodeDecodeError:
        pass
    if (text := _mostly_utf_8(data)) is not None:
        return DecodedText(text, "utf-8 and cp1252")
    for encoding in _declared(data):
        with suppress(UnreadableError):
            return _strictly(data, encoding)
    best = best_encoding(data)
    if best is None:
        raise UnreadableError("unknown encoding")
    return _strictly(data, best)


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


def _declared(data: bytes) -> Iterator[str]:
    """The encodings that a text says it is in, as far as they are older ones."""
    head, tail = data[:_LOOKED_THROUGH], data[-_LOOKED_THROUGH:]
    cookies = (_COOKIE.match(line) for line in head.split(b"\n", 2)[:2] if not line[:1].isalnum())
    said = [*cookies, _VIM.search(head), _VIM.search(tail)]
    if head.lstrip()[:1] in (b"<", b"@"):
        said.append(_MARKUP.search(head))
    for match in filter(None, said):
        try:
            name = codecs.lookup(match[1].decode("ascii", "replace")).name
        except (LookupError, ValueError):
            continue
        if _LEGACY.match(name):
            yield _WIDER.get(name, name)


def _mostly_utf_8(data: bytes) -> str | None:
    """UTF-8 in which at least two thirds of what is beyond ASCII is whole; none if it isn't."""
    text = data.decode("utf-8", "surrogateescape")
    odd = [char for char in text if char >= "\x80"] if not text.isascii() else []
    broken = sum("\udc80" <= char <= "\udcff" for char in odd)
    if len(odd) - broken < max(2 * broken, _LEAST_WHOLE):
        return None
    return _ESCAPED.sub(_western, text)


def _western(run: re.Match[str]) -> str:
    """Odd bytes as Windows' Western European; of those that it leaves open, the sign for what can't be read."""
    return run[0].encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def _strictly(data: bytes, encoding: str) -> DecodedText:
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        raise UnreadableError("unknown encoding") from None
    if "\0" in text:
        raise UnreadableError("binary")
    return DecodedText(text, encoding)
