"""Compilers that keep running: started once, confined, they compile one program after the other.

Starting a compiler takes 20 to 200 times as long as compiling a program. The compilers read hostile *text*, and
never run it. A frame is a length (4 bytes, big endian) and that many bytes. A request is two frames: file name and
program. An answer is a number: -1 and one frame of error messages, or n and n pairs of frames, a product's name and
its content. All three of ours (``compilers/``) use this protocol.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO, Protocol

from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command

# Programs that one compiler compiles before it is replaced, because it grows.
_PROGRAMS_EACH = 500
# Seconds by the clock for one program; then a new compiler tries it alone.
_PATIENCE = 60.0
# Bytes of a part of an answer; a larger one is invalid.
_LARGEST = 64 << 20


class ConfinedProcess(Protocol):
    """A confined process that keeps running.

    Usually a :class:`~codecascade.sandbox.host.running_command.RunningCommand`.
    """

    stdin: BinaryIO
    stdout: BinaryIO

    def close(self) -> None:
        """End it and everything that it started."""


class CompilerEnded(Exception):
    """The compiler crashed, hung or exceeded its limits at a program."""


class WarmCompilers:
    """At most ``most`` compilers of one language, started when needed.

    Args:
        start: starts a confined process.
        command: the compiler; its limits apply to its whole life.
        alone: limits of a compiler that is started for one program only, after another one did not survive it.
        most: the number of compilers at a time.
    """

    def __init__(
        self, start: Callable[[Command], ConfinedProcess], command: Command, alone: Limits, most: int
    ) -> None:
        self._start, self._command, self._alone = start, command, alone
        self._idle: list[_Compiler] = []
        self._slots = threading.BoundedSemaphore(most)
        self._closed = False

    def compile(self, name: str, text: str) -> Mapping[str, bytes] | str:
        """The products by name, or the compiler's error messages.

        Raises:
            CompilerEnded: two compilers did not survive the program.
        """
        with self._slots:
            for last_try in (False, True):
                with self._borrowed(alone=last_try) as compiler:
                    try:
                        return compiler.compile(name, text)
                    except (OSError, EOFError, ValueError) as error:
                        compiler.programs_left = 0
                        if last_try:
                            raise CompilerEnded(str(error) or type(error).__name__) from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End all compilers."""
        self._closed = True
        while self._idle:
            self._idle.pop().session.close()

    @contextlib.contextmanager
    def _borrowed(self, *, alone: bool) -> Iterator[_Compiler]:
        """A compiler for exclusive use; a broken or old one is not returned to the pool."""
        if alone:
            command = replace(self._command, limits=self._alone)
            # Its own limits end it before, unless it waited for a core.
            compiler = _Compiler(self._start(command), 1, self._alone.longest_seconds)
        elif self._idle:
            compiler = self._idle.pop()
        else:
            compiler = _Compiler(self._start(self._command), _PROGRAMS_EACH, _PATIENCE)
        try:
            yield compiler
        finally:
            if compiler.programs_left > 0 and not self._closed:
                self._idle.append(compiler)
            else:
                compiler.session.close()


class _Compiler:
    """One running compiler."""

    def __init__(self, session: ConfinedProcess, programs: int, patience: float) -> None:
        self.session = session
        self.programs_left = programs
        self._patience = patience

    def compile(self, name: str, text: str) -> Mapping[str, bytes] | str:
        self.programs_left -= 1
        self._write(_frame(name) + _frame(text))
        (count,) = struct.unpack(">i", self._read(4))
        if count < 0:
            return self._part().decode("utf-8", errors="replace")
        return {self._part().decode("utf-8", errors="replace"): self._part() for _ in range(count)}

    def _part(self) -> bytes:
        (size,) = struct.unpack(">I", self._read(4))
        if size > _LARGEST:
            raise ValueError(f"an answer of {size} bytes")
        return self._read(size)

    def _write(self, data: bytes) -> None:
        descriptor = self.session.stdin.fileno()
        # A compiler that has stopped reading must not block this process.
        os.set_blocking(descriptor, False)
        rest = memoryview(data)
        while rest:
            self._wait(descriptor, select.POLLOUT)
            rest = rest[os.write(descriptor, rest) :]

    def _read(self, size: int) -> bytes:
        descriptor = self.session.stdout.fileno()
        data = bytearray()
        while len(data) < size:
            self._wait(descriptor, select.POLLIN)
            part = os.read(descriptor, min(size - len(data), 1 << 20))
            if not part:
                raise EOFError("it ended")
            data += part
        return bytes(data)

    def _wait(self, descriptor: int, event: int) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(self._patience * 1000):
            raise TimeoutError(f"no answer in {self._patience:g} s")


def _frame(text: str) -> bytes:
    content = text.encode("utf-8", errors="replace")
    return struct.pack(">I", len(content)) + content
