"""The three ways in which a command can end early, and the exit code of each.

Library code raises these; only :mod:`codecascade.cli` turns them into text and exit codes.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

# Control characters, those that change the direction of a line, halves of surrogate pairs, and odd line ends.
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_LONGEST = 4000


class UserError(Exception):
    """Something that the user can mend: exit code 2, one sentence, no traceback.

    Written as ``file: key: what is wrong; what to do``. Any part may come from a file that somebody else wrote: its
    text is made :func:`printable`, and cut where it is longer than any sentence.
    """

    def __init__(self, message: str, *, file: str | Path | None = None, key: str | None = None) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.key = key
        sentence = printable(": ".join(part for part in (self.file, key, message) if part))
        half = _LONGEST // 2
        # what is wrong stands at the end
        super().__init__(
            sentence if len(sentence) <= _LONGEST else f"{sentence[:half]} ... {sentence[-half:]}"
        )


class RunFailed(Exception):
    """The work ran and failed for a reason that is not a mistake of the user's: exit code 1."""


class Stopped(Exception):
    """A signal asked the work to stop, and its state is saved: exit code 128 + ``signum``."""

    def __init__(self, signum: int, message: str = "stopped; run the same command again to continue") -> None:
        self.signum = signum
        super().__init__(message)

    @property
    def exit_code(self) -> int:
        return 128 + self.signum


def printable(text: str) -> str:
    """``text`` with escapes for what would change a terminal in place of standing there; line ends and tabs stay.

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


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
