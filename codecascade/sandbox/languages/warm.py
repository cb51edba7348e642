"""Compilers that stay: started once, confined, they compile one program after the other.

Starting a compiler costs 20 to 200 times what it then takes for a program. These read hostile *text* and never run
it. A frame is a length (4 bytes, big endian) and as many bytes; a request is two frames, the file's name and the
program; an answer is a number, -1 and one frame of complaints, or n and n times two frames, a product's name and its
bytes. All three of ours (``compilers/``) speak it.
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

_PROGRAMS_EACH = 500  # what one compiles before it is started anew: they grow
_PATIENCE = 60.0  # seconds by the clock for one program; then one that is started for it alone tries again
_LARGEST = 64 << 20  # bytes of an answer's part; more is no answer


class ConfinedProcess(Protocol):
    """A confined process that stays, such as a :class:`codecascade.sandbox.host.service.Service`."""

    stdin: BinaryIO
    stdout: BinaryIO

    def close(self) -> None:
        """End it and all that it started."""


class CompilerEnded(Exception):
    """The compiler crashed, hung or ran out of its limits over a program."""


class WarmCompilers:
    """At most ``most`` compilers of one language, started when they are needed.

    Args:
        start: starts a confined process.
        command: the compiler; its limits are those of its whole life.
        alone: limits of one that is started for one program, because another did not survive it.
        most: of them at a time.
    """

    def __init__(
        self, start: Callable[[Command], ConfinedProcess], command: Command, alone: Limits, most: int
    ) -> None:
        self._start, self._command, self._alone = start, command, alone
        self._idle: list[_Compiler] = []
        self._slots = threading.BoundedSemaphore(most)
        self._closed = False

    def compile(self, name: str, text: str) -> Mapping[str, bytes] | str:
        """The products by their names, or the compiler's complaints.

        Raises:
            CompilerEnded: it does not survive this program, twice.
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
        """End them all."""
        self._closed = True
        while self._idle:
            self._idle.pop().session.close()

    @contextlib.contextmanager
    def _borrowed(self, *, alone: bool) -> Iterator[_Compiler]:
        """A compiler of one's own; one that broke or is old does not come back."""
        if alone:
            command = replace(self._command, limits=self._alone)
            compiler = _Compiler(self._start(command), 1, self._alone.wall_seconds)
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
    """One compiler that stays."""

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
        os.set_blocking(descriptor, False)  # one that has stopped reading is not waited for
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
