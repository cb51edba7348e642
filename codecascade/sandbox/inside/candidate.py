"""The process of a program whose tests run in another process (:mod:`codecascade.sandbox.inside.judge`).

It answers the calls of the tests. The program controls this interpreter, so nothing here can be trusted: every
answer is treated as a value of the program's choice. The process contains no test, and has no channel on which it
could claim a pass.

Messages begin with their length (8 bytes, little-endian). Each request has 8 random bytes, which its answer must
repeat. Requests: ``M`` or ``P`` and the marshalled or pickled ``(function, arguments, named arguments, CPU
seconds)``; ``N`` and the number of an iterator whose next item is wanted; ``R`` alone: whether the program has run.
Answers: ``V`` and a value, ``E`` and an exception, ``S`` at the end of an iterator. If the program itself failed,
every answer is ``X`` and its exception.
"""

from __future__ import annotations

import _io
import _signal  # type: ignore[import-not-found]
import builtins
import marshal
import os
import sys
import time

from codecascade.sandbox.inside import verdict as runner
from codecascade.sandbox.inside import wire
from codecascade.sandbox.inside.values import form, writing

# Defined here, because importing typing would cost memory in every program's process.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Job = dict[str, Any]

NAME_BYTES = 8
# Characters of an exception's text, and of a traceback.
_SHOWN = 2_000


_RUN = b"V" + writing.encode(None)


class _TooSlow(BaseException):
    """A call has used up its CPU time."""


def run_candidate(job: Job, path: list[str]) -> NoReturn:
    """Run a job's source, then answer calls until the connection is closed. Never returns."""
    leave, me = os._exit, os.getpid()
    try:
        sys.path[:] = path
        sys.argv[:] = ["program.py"]
        program = _Program(job["name"], job["source"])
        arrival = wire.arrival(runner.CHANNEL)
        started = _answer(b"", lambda: program.start(job["source"]), program)
        failure = b"X" + started[1:] if started.startswith(b"E") else b""
        while True:
            # The process may be killed while it waits.
            runner.flush()
            if os.getpid() != me:
                # A child that the program forked must not answer.
                break
            arrival()
            message = wire.read(runner.CHANNEL)
            if message is None:
                break
            answer = message[:NAME_BYTES] + failure if failure else program.ask(message)
            if os.getpid() != me:
                break
            runner.flush()
            wire.write(runner.CHANNEL, answer)
    finally:
        leave(0)


_REHEARSAL = """
def f(numbers, text="", **more):
    numbers.append(1)
    return [sorted(numbers), (text, 1.5, True), {"a": None, 2: {3}}] if more else text
def g(n):
    return [n, n + 1]
"""


def rehearse_calls() -> None:
    """Let the server do once what its forks will do, so that they inherit the interpreter's caches."""
    program = _Program("rehearsal", _REHEARSAL)
    _answer(bytes(NAME_BYTES), lambda: program.start(_REHEARSAL), program)
    calls: list[Any] = [
        ("f", ([3, 2], "x"), {}, None),
        ("f", ([2.5], "y"), {"more": 1}, None),
        ("g", (1,), {}, None),
    ]
    for call in [*calls * 12, ("g", ("",), {}, None)]:
        program.ask(bytes(NAME_BYTES) + b"M" + marshal.dumps(call))
    del sys.modules["rehearsal"]


class _Program:
    """The program's namespace, and the iterators that it returned."""

    def __init__(self, name: str, source: str) -> None:
        self.names = runner.module(name, source)
        self.iterators: list[Any] = []

    def start(self, source: str) -> None:
        exec(compile(source, runner.FILE, "exec", dont_inherit=True), self.names)

    def keep(self, iterator: Any) -> int:
        self.iterators.append(iterator)
        return len(self.iterators) - 1

    def ask(self, message: bytes) -> bytes:
        """The answer to one request."""
        tag, kind, body = (
            message[:NAME_BYTES],
            message[NAME_BYTES : NAME_BYTES + 1],
            message[NAME_BYTES + 1 :],
        )
        if kind == b"R":
            return tag + _RUN
        if kind == b"N":
            iterator = self.iterators[int(body)]
            return _answer(tag, lambda: next(iterator), self, ends=True)
        name, positional, named, seconds = _load(kind, body)
        arguments, _ = form.mutable_arguments(positional, named)
        before = [form.contents(each) for each in arguments]

        def call() -> Any:
            return self.function(name)(*positional, **named)

        return _answer(
            tag, call if seconds is None else lambda: _within(seconds, call), self, arguments, before
        )

    def function(self, name: str) -> Any:
        """The object that a name of the program refers to."""
        if name in self.names:
            return self.names[name]
        if hasattr(builtins, name):
            return getattr(builtins, name)
        raise NameError(f"name {name!r} is not defined")


def _load(kind: bytes, body: bytes) -> Any:
    if kind == b"M":
        return marshal.loads(body)
    import pickle

    return pickle.loads(body)


def _answer(
    tag: bytes, call: Any, program: _Program, arguments: Any = (), before: Any = (), *, ends: bool = False
) -> bytes:
    try:
        try:
            return tag + b"V" + writing.encode(call(), arguments, before, program.keep)
        except StopIteration:
            if ends:
                return tag + b"S"
            raise
    except BaseException as error:
        return tag + b"E" + _exception(error, arguments, before)


def _exception(error: BaseException, arguments: Any, before: Any) -> bytes:
    """An exception as a value: type, builtin base types, text, traceback, arguments."""
    try:
        bases = [each.__name__ for each in type(error).__mro__ if each.__module__ == "builtins"]
        text = str(error)[:_SHOWN]
    # The text of an exception may be hostile code.
    except BaseException:
        bases, text = ["Exception"], ""
    head = [type(error).__name__, bases, text, _traceback(error)]
    try:
        return writing.encode([*head, list(error.args)], arguments, before)
    except BaseException:
        return writing.encode([*head, None])


def _traceback(error: BaseException) -> str:
    """The traceback as Python shows it, with the program's own lines only."""
    shown, real = _io.StringIO(), sys.stderr
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, writing.__file__):
            trace = trace.tb_next
        error.__traceback__ = trace
        sys.stderr = shown
        sys.__excepthook__(type(error), error, trace)
    except BaseException:
        pass
    finally:
        sys.stderr = real
    return shown.getvalue()[-_SHOWN:]


def _within(seconds: float, call: Any) -> Any:
    """Call with a limit on CPU time. A hostile program can evade this limit, but not that of the whole program."""

    def stop(*_: object) -> None:
        raise _TooSlow(f"a call takes longer than {seconds:g} s of CPU time")

    started = time.process_time()
    _signal.signal(_signal.SIGPROF, stop)
    _signal.setitimer(_signal.ITIMER_PROF, seconds)
    try:
        result = call()
    finally:
        _signal.setitimer(_signal.ITIMER_PROF, 0)
    if time.process_time() - started > seconds:
        stop()
    return result
