"""The three ways in which a command can end early, and the exit code of each.

Library code raises these; only :mod:`codecascade.cli` turns them into text and exit codes.
"""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """Something that the user can mend: exit code 2, one sentence, no traceback.

    Written as ``file: key: what is wrong; what to do``.
    """

    def __init__(self, message: str, *, file: str | Path | None = None, key: str | None = None) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.key = key
        super().__init__(": ".join(part for part in (self.file, key, message) if part))


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
