"""Decodes bytes to text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from codecascade.corpus.reading.legacy_encodings import best_encoding


class UnreadableError(Exception):
    """Content that can't be read as text; the message is the reason for ``dropped.parquet``."""


_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COOKIE = re.compile(rb"[^\w\n]+[^\n]*?coding[:=][ \t]*[\"']?([-\w.]+)")
"""A coding comment in the first two lines: PEP 263, Ruby, Emacs."""
_VIM = re.compile(rb"\b(?:vim?|ex):[^\n]*\bf(?:ile)?enc(?:oding)?=([-\w.]+)")
_MARKUP = re.compile(rb"(?i)(?:charset|encoding)\s*=?\s*[\"']?\s*([-\w.:]+)")
"""A declaration in XML, HTML or CSS."""
_LOOKED_THROUGH = 2048
"""Bytes at the beginning and at the end of a file that are searched for a declaration."""
_LEGACY = re.compile(
    r"(?:iso8859|iso2022|cp\d|koi8|mac[_-]|gb|big5|shift_jis|euc_|johab|tis_620|hz|ptcp154|kz1048)"
)
"""Python names of the encodings that a declaration is trusted for; others (``undefined``, ``utf-7``) are ignored."""
_WIDER = {
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "cp950",
}
"""Encodings whose files often contain characters of a larger encoding; it is used instead, as browsers do."""

_SEVEN_BITS = (
    (re.compile(rb"\x1b\$[@B].*?\x1b\([BJ]", re.DOTALL), "iso2022_jp_2"),
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
)
"""Encodings that use ASCII bytes only; they are known by their escape sequences."""
_ESCAPED = re.compile("[\udc80-\udcff]+")
_BROKEN = re.compile(r"[\udce0-\udcef][\udc80-\udcbf]|[\udcf0-\udcf4][\udc80-\udcbf]{1,2}|[\udc80-\udcff]")
"""A byte that is not UTF-8, or the beginning of a character whose last byte is cut off."""
_NEAR_BROKEN = re.compile(r"[^\0-\x7f\udc80-\udcff]{0,2}[\udc80-\udcff]+[^\0-\x7f\udc80-\udcff]{0,2}")
_SMALL_CYRILLIC = re.compile(rb"[\xe0-\xef][\xa0-\xaf]{2}")
"""Three small letters of cp866, as those of many a Russian word, which are UTF-8, too."""
_LEAST_WHOLE = 2
"""Bytes that continue a character of UTF-8 needed for :func:`_mostly_utf_8`: those of two characters of two bytes,
or of one of three. In another encoding, two bytes may look like one character."""

_END_OF_FILE = b"\x1a"
"""The byte that ends a text file in CP/M and DOS."""
_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f\v\x1b") + b"\x7f"
_MOST_CONTROL = 0.01


class DecodedText(NamedTuple):
    """A text, and the encoding it was decoded from."""

    text: str
    encoding: str


def decoded(data: bytes) -> DecodedText:
    """Decode a file: by its byte order mark, as UTF-8, by the encoding it declares, or by the most plausible one.

    Marks at its beginning and DOS's end of a file are no part of the text. Where all lines end as on old Macs, by a
    carriage return alone, they end by a newline here.

    UTF-8 with a few invalid bytes, as in lists of names that grew over years, is read as UTF-8; the invalid bytes
    are read as Windows-1252. Other texts without a declaration are decoded by
    :func:`codecascade.corpus.reading.legacy_encodings.best_encoding`.

    Raises:
        UnreadableError: it is binary, or no encoding fits.
    """
    text, encoding = _decoded(data)
    text = text.lstrip("\ufeff").removesuffix("\x1a")
    if "\r" in text and "\n" not in text:
        text = text.replace("\r", "\n")
    return DecodedText(text, encoding)


def _decoded(data: bytes) -> DecodedText:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strictly(data, encoding)
    # A file with this mark may still contain invalid bytes.
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
    """Whether the data contains a NUL byte, or more than 1 % control characters."""
    if b"\0" in data:
        return True
    return len(data) - len(data.translate(None, _CONTROL)) > _MOST_CONTROL * len(data)


def is_utf_16_or_32(beginning: bytes) -> bool:
    """Whether a file that begins with ASCII, as JSON does, is UTF-16 or UTF-32: by its mark or its zero bytes."""
    return beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)) or (
        b"\0" in beginning[:4]
    )


def _declared(data: bytes) -> Iterator[str]:
    """The legacy encodings that a text declares."""
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
    """The text, if the characters of valid UTF-8 outweigh what is none; None otherwise.

    A character weighs as much as it has bytes behind its first one, for each fits by chance more rarely. Nothing
    weighs what is beside a broken byte, for in Shift JIS, GBK or EUC-KR some bytes of a word look like UTF-8.
    """
    text = data.decode("utf-8", "surrogateescape")
    rest = _SMALL_CYRILLIC.sub(b"", _NEAR_BROKEN.sub("", text).encode())
    weight = len(rest) - len(rest.decode())
    if weight < max(2 * len(_BROKEN.findall(text)), _LEAST_WHOLE):
        return None
    return _ESCAPED.sub(_western, text)


def _western(run: re.Match[str]) -> str:
    """Invalid bytes read as Windows-1252; undefined ones become the replacement character."""
    return run[0].encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def _strictly(data: bytes, encoding: str) -> DecodedText:
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        raise UnreadableError("unknown encoding") from None
    if "\0" in text:
        raise UnreadableError("binary")
    return DecodedText(text, encoding)
