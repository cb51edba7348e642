"""What a program may use, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["passed", "failed", "timed_out", "out_of_memory", "killed", "not_started"]


@dataclass(frozen=True)
class Limits:
    """What one program may use.

    CPU time decides whether a program took too long; the wall clock (``2 * cpu_seconds + 10``) is only a backstop
    for programs that sleep, so that a busy machine does not change a verdict.
    """

    cpu_seconds: float = 10.0
    memory_mb: int = 2048
    processes: int = 64
    file_mb: int = 64
    output_bytes: int = 1_000_000

    @property
    def wall_seconds(self) -> float:
        return 2 * self.cpu_seconds + 10


@dataclass(frozen=True)
class Program:
    """What is run: its text, its language, what it reads, and its limit in CPU seconds (None: the default)."""

    source: str
    language: str = "python"
    stdin: str | None = None
    timeout: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a program.

    ``passed`` means that it ran to its last line; leaving early, with whatever exit status, is ``failed``.
    ``exception`` is the last line of a traceback (``AssertionError: ...``), or what else ended the program.
    ``stdout`` and ``stderr`` hold at most ``Limits.output_bytes`` bytes each.
    """

    outcome: Verdict
    exception: str | None = None
    stdout: str = ""
    stderr: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"
