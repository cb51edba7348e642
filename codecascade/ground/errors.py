"""The three ways in which a command can end early, and the exit code of each.

Library code raises these exceptions. Only :mod:`codecascade.cli` turns them into text and exit codes.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

# Unicode categories: controls, format characters (they can reverse a line), lone surrogates, line separators.
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_LONGEST = 4000


class UserError(Exception):
    """A mistake that the user can correct: exit code 2, one sentence, no traceback.

    The text is ``file: key: what is wrong; what to do``. Any part of it may come from a file that somebody else
    wrote, so it is made :func:`printable` and a very long text is shortened.
    """

    def __init__(self, message: str, *, file: str | Path | None = None, key: str | None = None) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.key = key
        place = [one_line(part) for part in (self.file, key) if part]
        sentence = ": ".join(part for part in (*place, printable(message)) if part)
        half = _LONGEST // 2
        # The end of a long message says what is wrong, so the middle is cut out.
        super().__init__(
            sentence if len(sentence) <= _LONGEST else f"{sentence[:half]} ... {sentence[-half:]}"
        )


class RunFailed(Exception):
    """The work started and failed for a reason that is not the user's mistake: exit code 1."""


class Stopped(BaseException):
    """A signal stopped the work, and its state was saved: exit code 128 + ``signum``.

    It can be raised within any line, also of a library, and must not be taken for a mistake of that line: like
    KeyboardInterrupt it is no Exception. (It is no KeyboardInterrupt, which click turns into its own exit.)
    """

    def __init__(self, signum: int, message: str = "stopped; run the same command again to continue") -> None:
        self.signum = signum
        super().__init__(message)

    @property
    def exit_code(self) -> int:
        return 128 + self.signum


def printable(text: str) -> str:
    """``text`` with escapes in place of characters that would change a terminal; line ends and tabs are kept.

    >>> print(printable("a\\x1b[31m"))
    a\\x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in _UNPRINTABLE
        else _escaped(character)
        for character in text
    )


def one_line(text: str) -> str:
    """``text`` as :func:`printable` makes it, without line ends: a name in a file can't look like a further message.

    >>> one_line("a\\nb")
    'a\\\\nb'
    """
    return printable(text).replace("\n", "\\n")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
