"""Reads a program's file as its language does."""

from __future__ import annotations

import codecs
import io
import tokenize
from pathlib import Path

from codecascade.ground.errors import UserError
from codecascade.sandbox.languages.table import PYTHON

# Bytes.
_LARGEST = 16 << 20


def read_program(path: Path, language: str) -> str:
    """The text of a program's file.

    A Python file is decoded as Python does it: by its byte order mark or its coding comment (PEP 263), else as
    UTF-8. In other languages it must be UTF-8. Nothing is changed in it: marks and line ends are left to the
    compilers.

    Raises:
        UserError: it can't be read, is too large for a program, or has an encoding that Python does not accept.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"can't be read ({getattr(error, 'strerror', None) or error})", file=path) from None
    if len(data) > _LARGEST:
        raise UserError(f"is larger than a program may be ({_LARGEST >> 20} MB)", file=path)
    if language == PYTHON:
        return _as_python(data, path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"is not UTF-8 (byte {data[error.start]:#04x} at {error.start}); convert it first (iconv -t utf-8)",
            file=path,
        ) from None


def _as_python(data: bytes, path: Path) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError("is UTF-16, which Python does not read; convert it first (iconv -t utf-8)", file=path)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        # A codec that is no text encoding (rot13) raises LookupError, too.
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UserError(f"Python can't decode it: {said}", file=path) from None
