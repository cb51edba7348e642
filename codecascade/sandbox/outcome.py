"""The limits of a program, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from codecascade.ground.errors import UserError

Verdict = Literal["passed", "failed", "timed_out", "out_of_memory", "killed", "not_started"]


@dataclass(frozen=True)
class Limits:
    """Limits of one program; they apply to all its processes together, unless stated otherwise.

    CPU time decides whether a program took too long. The wall clock (``2 * cpu_seconds + 10``) is only a backstop
    for programs that sleep, so that a busy machine does not change a verdict: it stands still while the program waits
    for a core, as far as the kernel tells. Nothing runs longer than ``longest_seconds``.

    Attributes:
        cpu_seconds: CPU time.
        memory_mb: memory.
        processes: processes and threads at a time.
        file_mb: size of each file.
        scratch_mb: size of the program's folder.
        output_bytes: kept bytes of standard output and of standard error; the rest is read and dropped.
        address_space: whether to limit the reserved memory of each process to ``memory_mb``, too. False for
            runtimes that reserve far more than they use (the JVM, node): then only resident memory counts.

    Raises:
        UserError: the time is not positive, or the memory is impossible.
    """

    cpu_seconds: float = 10.0
    memory_mb: int = 2048
    processes: int = 64
    file_mb: int = 64
    scratch_mb: int = 256
    output_bytes: int = 1_000_000
    address_space: bool = True

    def __post_init__(self) -> None:
        if not self.cpu_seconds > 0:
            raise UserError(f"a program's CPU seconds must be > 0 (got {self.cpu_seconds:g})")
        if not 0 < self.memory_mb < 1 << 40:
            raise UserError(f"a program's memory must be some megabytes (got {self.memory_mb})")

    @property
    def wall_seconds(self) -> float:
        return 2 * self.cpu_seconds + 10

    @property
    def longest_seconds(self) -> float:
        """By the clock, waits for a core included."""
        return 10 * self.wall_seconds


@dataclass(frozen=True)
class Outcome:
    """What became of a program.

    ``passed`` means that it ran to its last line; an early exit is ``failed``, whatever the exit status. For a
    command, or a program that is judged by its output alone, ``passed`` means exit status 0. ``exception`` is the
    last line of a traceback (``AssertionError: ...``), or what else ended the program. ``stdout`` and ``stderr`` have
    at most ``Limits.output_bytes`` bytes each; ``stdout_is_full`` says that ``stdout`` has so many, so that its end
    may be missing. ``tests_apart`` says whether its tests ran in a process of their own; None if it has no tests.
    ``exit_status`` (None if a signal ended it) and ``files`` are set for commands.
    """

    outcome: Verdict
    exception: str | None = None
    stdout: str = ""
    stderr: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    exit_status: int | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    tests_apart: bool | None = None
    stdout_is_full: bool = False

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"
