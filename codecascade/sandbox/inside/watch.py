"""Watches one program from the server's process: its output, verdict, limits and end."""

from __future__ import annotations

import os
import select
import time

from codecascade.sandbox.inside.verdict import CHANNEL, TOKEN_BYTES
from codecascade.sandbox.inside.waiting import WaitingTime

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from codecascade.sandbox.inside.usage import ResourceUsage

    Reply = dict[str, Any]

FORGED = "claimed to have passed before its end"
# The versions of CPython on which the distances below were measured.
MEASURED_PYTHONS = ((3, 11), (3, 12), (3, 13))
# Bytes of stack. The C library's read uses 40 more if there are threads. A call from within the program, which exec
# runs, is at least 640 deeper (CPython 3.11; 3.12: 704; 3.13: 752); a finaliser without Python code is 504 deeper.
_SAME_DEPTH = 128
# Seconds between two looks at what the processes use.
_FIRST_LOOK, _TICK = 0.02, 0.05
# Seconds between two looks at where the program waits; sleeping costs less than one more look.
_MOMENT = 1e-5
_CORES = os.cpu_count() or 1
_FINAL = {b"F": "failed", b"M": "out_of_memory", b"X": "not_started"}


class HarnessGone(Exception):
    """The host process waits for no answer any more."""


class ProgramWatch:
    """Watches one program while it runs.

    Args:
        pid: the program's first process.
        out, err: the descriptors of its output.
        channel: the descriptor of its verdict.
        limits: of the job; seconds may be infinite.
        control: readable or closed when the host process has ended.
        link: for a program whose tests run elsewhere, the connection to them; the watch ends when they close it.
            The channel then only says whether the program could start, and is read at the end.
        others: returns all processes of the program, including the first.
        usage: counts what they use.
    """

    def __init__(
        self,
        pid: int,
        out: int,
        err: int,
        channel: int,
        limits: dict[str, Any],
        control: int,
        others: Callable[[], list[int]],
        usage: ResourceUsage,
        link: int = -1,
    ) -> None:
        self.pid, self.channel, self.limits, self.processes, self.usage = pid, channel, limits, others, usage
        self.outputs = {out: bytearray(), err: bytearray()}
        self.token = b""
        # The message that is still to be answered.
        self.awaited = b""
        # The descriptor of /proc/PID/syscall, which shows where the program waits.
        self.syscall_file = -1
        # The stack pointer at the program's beginning.
        self.stack: int | None = None
        self.verdict = ""
        self.exception: str | None = None
        self.control = control
        self.poll = select.poll()
        if link < 0:
            self.poll.register(channel, select.POLLIN)
        else:
            self.poll.register(link, 0)

    def follow(self) -> None:
        """Watch until the program has ended, has reported its verdict, or exceeds a limit."""
        started = time.monotonic()
        cpu_limit, wall_limit = self.limits["cpu_seconds"], self.limits["wall_seconds"]
        waiting = WaitingTime()
        poll, end = self.poll, os.pidfd_open(self.pid)
        poll.register(end, select.POLLIN)
        poll.register(self.control, select.POLLHUP)
        for descriptor in self.outputs:
            poll.register(descriptor, select.POLLIN)
        try:
            look_at = started + _FIRST_LOOK
            while True:
                wait = 0.001 if self.awaited else max(0.001, look_at - time.monotonic())
                for descriptor, _ in poll.poll(wait * 1000):
                    if descriptor == self.control:
                        raise HarnessGone
                    if descriptor in self.outputs:
                        self._read(descriptor)
                    elif descriptor == self.channel:
                        self._listen()
                    else:
                        self._listen_to_the_last()
                        return
                if self.awaited:
                    self._answer_when_it_waits()
                now = time.monotonic()
                if now >= look_at and not self.verdict:
                    processes = self.processes()
                    cpu, excess = self.usage.look(self.pid, processes)
                    # Processes that have no limit stay for hours.
                    waited = waiting.look(processes) if wall_limit < 1e9 else 0.0
                    if excess is not None:
                        self._end("out_of_memory", excess)
                    if cpu >= cpu_limit:
                        self._end("timed_out", f"no end after {cpu_limit:g} s of CPU time")
                    elif now - started > min(wall_limit + waited, self.limits["longest_seconds"]):
                        self._end("timed_out", f"no end after {wall_limit:g} s by the clock")
                    look_at = now + min(_TICK, max(0.005, (cpu_limit - cpu) / _CORES))
                if self.verdict:
                    return
        finally:
            os.close(end)
            if self.syscall_file >= 0:
                os.close(self.syscall_file)

    def drain(self) -> None:
        """Read what is left in the pipes after all writers are dead."""
        for descriptor in self.outputs:
            os.set_blocking(descriptor, False)
            try:
                while self._read(descriptor):
                    pass
            except BlockingIOError:
                pass

    def _end(self, verdict: str, exception: str | None) -> None:
        if not self.verdict:
            self.verdict, self.exception = verdict, exception

    def _read(self, descriptor: int) -> bool:
        """Keep the first bytes of an output; read and drop the rest."""
        data = os.read(descriptor, 65536)
        if not data:
            self._forget(descriptor)
            return False
        kept = self.outputs[descriptor]
        room = self.limits["output_bytes"] - len(kept)
        if room > 0:
            kept += data[:room]
        return True

    def _forget(self, descriptor: int) -> None:
        try:
            self.poll.unregister(descriptor)
        except KeyError:
            # It was unregistered before.
            pass

    # --- the verdict ---

    def _listen_to_the_last(self) -> None:
        """Read the messages that were sent before the process ended."""
        os.set_blocking(self.channel, False)
        try:
            while not self.verdict and self._listen():
                pass
        except BlockingIOError:
            pass

    def _listen(self) -> bool:
        """Handle one message of the program's process; see :mod:`codecascade.sandbox.inside.verdict`."""
        try:
            message = os.read(self.channel, 8192)
        except ConnectionResetError:
            message = b""
        if not message:
            self._forget(self.channel)
            return False
        kind, text = message[:1], message[1:]
        if self.awaited:
            # A program that waits for an answer sends nothing, so somebody else sent this.
            self._end("failed", FORGED)
        elif kind == b"B" if self.stack is None else kind == b"D":
            self.awaited = kind
            self._answer_when_it_waits(looks=20)
        elif kind == b"P" and self.token and text == self.token:
            self._end("passed", None)
        # A program that has begun did start.
        elif kind in _FINAL and (kind != b"X" or self.stack is None):
            self._end(_FINAL[kind], text.decode("utf-8", "replace") or None)
        else:
            self._end("failed", FORGED)
        return True

    def _waits_at(self) -> int | None:
        """The stack pointer of the program's first thread, which should be waiting for an answer.

        None: it does not wait yet. 0: this kernel does not tell.
        """
        try:
            if self.syscall_file < 0:
                self.syscall_file = os.open(f"/proc/{self.pid}/syscall", os.O_RDONLY | os.O_CLOEXEC)
            words = os.pread(self.syscall_file, 200, 0).split()
        except OSError:
            return 0
        # Number, six arguments, stack pointer, program counter; fewer words while it is in no call.
        if len(words) == 9 and int(words[1], 16) == CHANNEL and int(words[3], 16) == TOKEN_BYTES:
            return int(words[7], 16)
        return None

    def _answer_when_it_waits(self, looks: int = 1) -> None:
        """Answer a waiting program: with the token if it waits where its beginning did; a beginning gets zeros."""
        for _ in range(looks):
            stack_pointer = self._waits_at()
            if stack_pointer is not None:
                break
            time.sleep(_MOMENT)
        else:
            # A busy machine, or other threads of the program: look again in the next turn.
            return
        if self.awaited == b"B":
            self.stack = stack_pointer
            answer = bytes(TOKEN_BYTES)
        elif 0 <= (self.stack or 0) - stack_pointer <= _SAME_DEPTH:
            answer = self.token = os.urandom(TOKEN_BYTES)
        else:
            self._end("failed", FORGED)
            return
        self.awaited = b""
        try:
            os.write(self.channel, answer)
        except OSError:
            # The program has ended.
            pass
