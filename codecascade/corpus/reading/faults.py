"""Separates the faults of one file from those of the machine and of this program.

An unreadable file is left out with a reason, and the build continues. A full disk, or a bug in this program, would
silently produce a different corpus from the same sources, so both end the build with an error.
"""

from __future__ import annotations

import binascii
import csv
import errno
import lzma
import re
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.ground.errors import RunFailed, UserError

FILE_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    MemoryError,
    # RuntimeError includes RecursionError, NotImplementedError and zipfile's complaint about a password.
    RuntimeError,
    SyntaxError,
    binascii.Error,
    csv.Error,
    lzma.LZMAError,
    pa.ArrowException,
    re.error,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What Python and the libraries raise for content that is truncated, damaged, hostile or of another type."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)


def check_machine(error: BaseException) -> None:
    """Raises:
    UserError: the error is not the file's but that of a full disk or of too many open files.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL:
        raise UserError(
            "the disk is full; make room and run again (nothing is lost)", file=tempfile.gettempdir()
        ) from error
    if number in _TOO_MANY_OPEN:
        raise UserError("too many files are open on this machine; raise `ulimit -n` and run again") from error


@contextmanager
def file_errors(name: str) -> Iterator[None]:
    """Turns the errors of reading one file, member or row into :class:`UnreadableError`.

    Args:
        name: the file's name for messages.

    Raises:
        UnreadableError: the file can't be read; the message is the reason for ``dropped.parquet``.
        UserError: the machine is at fault.
        RunFailed: this program has a bug.
    """
    try:
        yield
    except (UnreadableError, UserError, RunFailed):
        raise
    except FILE_ERRORS as error:
        check_machine(error)
        raise UnreadableError(f"unreadable ({type(error).__name__})") from error
    except Exception as error:
        raise RunFailed(
            f"{name}: reading it shows a mistake in codecascade ({type(error).__name__}: {str(error)[:200]}); "
            "please report it, and leave this file out until it is mended"
        ) from error
