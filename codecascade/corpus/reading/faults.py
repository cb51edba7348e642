"""What goes wrong in one file, and what is the machine's or the program's.

A file that can't be read is left out with its reason, and the build goes on. A full disk would make another corpus of
the same sources, and so would a mistake in this program: both end the build, with a sentence.
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
    RuntimeError,  # RecursionError, NotImplementedError, and what zipfile says of a password
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
"""What Python and the libraries raise of content that is cut, damaged, hostile or not of its kind."""

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
    """Around the reading of one file, member or row.

    Args:
        name: what a sentence calls it.

    Raises:
        UnreadableError: the file can't be read; with the reason that gets counted.
        UserError: the machine is at fault.
        RunFailed: this program is.
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
