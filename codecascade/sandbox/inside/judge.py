"""A process that runs tests and never contains the code that they test.

It is a confined command in a worker of its own (:mod:`codecascade.sandbox.host.judges` starts it). Each function
that the tests call is a stand-in that sends its arguments to the program's process
(:mod:`codecascade.sandbox.inside.candidate`) and returns the answer as plain values. So nothing that a program does
to its interpreter, memory or process affects the tests::

    main       restarts the test runner when it dies, and gives the program that it died at a verdict
      runner   runs tests without side effects (``leaves_nothing``), those of one program after another's
        fork   runs other tests, of one program only

Jobs arrive on descriptor 0, each with the descriptor that leads to the program: ``given`` (trusted text to run
first), ``tests``, ``calls`` (names of the program's functions), ``modules`` (to import in advance),
``leaves_nothing``, ``cpu_seconds``. The answer has ``verdict`` (``P`` passed, ``F`` failed, ``M`` out of memory,
``G`` the program has ended, ``T`` timed out), ``exception``, ``stderr``, ``cpu_seconds``.
"""

from __future__ import annotations

import _io
import _signal  # type: ignore[import-not-found]
import _socket
import ctypes
import gc
import marshal
import os
import resource
import sys
import time

from codecascade.sandbox.inside import verdict as runner
from codecascade.sandbox.inside import wire
from codecascade.sandbox.inside.values import form, reading
from codecascade.sandbox.inside.values.exceptions import SHOWN, rebuilt_exception

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any, NoReturn

    Job = dict[str, Any]
    Code = tuple[CodeType, CodeType]

_PR_SET_DUMPABLE = 4
# Tests that are kept compiled.
_REMEMBERED = 512
# After so many programs, or with so much memory, a new test runner is started.
_MOST_PROGRAMS, _MOST_KILOBYTES = 2_000, 256 << 10
_MOST = form.LARGEST + 4096
_TAG_BYTES = 8
_FILE = "tests.py"
_OVER_TIME = (_signal.SIGPROF, _signal.SIGXCPU)


def main(path: list[str]) -> None:
    """Answer jobs until the connection is closed."""
    # Only processes with capabilities can inspect this one and its forks.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    control = _socket.socket(fileno=os.dup(0))
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    # So that the output of tests is not taken for an answer.
    os.dup2(2, 1)
    sys.path[:] = path
    sys.argv[:] = [_FILE]
    gc.freeze()
    while True:
        pid = os.fork()
        if pid == 0:
            _TestRunner(control).work()
        _, status, usage = os.wait4(pid, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return
        if os.WIFSIGNALED(status) or os.WEXITSTATUS(status) != _WORN_OUT:
            wire.send(control.fileno(), _died(status, usage))


_WORN_OUT = 3


def _died(status: int, usage: resource.struct_rusage) -> dict[str, Any]:
    """The answer if the process that ran the tests died."""
    over = os.WIFSIGNALED(status) and os.WTERMSIG(status) in _OVER_TIME
    exception = None if over else "the tests left before their end"
    seconds = usage.ru_utime + usage.ru_stime
    return {"verdict": "T" if over else "F", "exception": exception, "stderr": "", "cpu_seconds": seconds}


class _TestRunner:
    """Runs the tests of many programs, until it is worn out."""

    def __init__(self, control: _socket.socket) -> None:
        self.control = control
        self.compiled: dict[tuple[str, str], Code] = {}

    def work(self) -> NoReturn:
        leave = os._exit
        try:
            for _ in range(_MOST_PROGRAMS):
                job, link = wire.receive_job(self.control)
                if job is None:
                    leave(0)
                wire.send(self.control.fileno(), self.answer(job, link))
                if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > _MOST_KILOBYTES:
                    break
            leave(_WORN_OUT)
        finally:
            leave(1)

    def answer(self, job: Job, link: int) -> dict[str, Any]:
        started = time.process_time()
        try:
            code = self.compile(job)
        except BaseException as error:
            os.close(link)
            verdict = ("F", runner.exception_line(error), "")
        else:
            if not job["leaves_nothing"]:
                return _forked(job, code, link, self.control)
            _signal.setitimer(_signal.ITIMER_PROF, job["cpu_seconds"])
            verdict = _Judge(link).run(job, code)
            _signal.setitimer(_signal.ITIMER_PROF, 0)
            os.close(link)
        seconds = time.process_time() - started
        return {
            "verdict": verdict[0],
            "exception": verdict[1] or None,
            "stderr": verdict[2],
            "cpu_seconds": seconds,
        }

    def compile(self, job: Job) -> Code:
        key = (job["given"], job["tests"])
        if key not in self.compiled:
            for name in job["modules"]:
                # Once here, not in each fork.
                __import__(name)
            if len(self.compiled) == _REMEMBERED:
                del self.compiled[next(iter(self.compiled))]
            given = compile(job["given"], "given.py", "exec", dont_inherit=True)
            self.compiled[key] = given, compile(job["tests"], _FILE, "exec", dont_inherit=True)
        return self.compiled[key]


def _forked(job: Job, code: Code, link: int, control: _socket.socket) -> dict[str, Any]:
    """Run the tests in a fork; returns its answer."""
    answer, answer_in = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            os.close(answer)
            seconds = int(job["cpu_seconds"]) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            # Tests can start no process, so none can be left over.
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            text = "\0".join(_Judge(link).run(job, code)).encode("utf-8", "backslashreplace")
            while text:
                text = text[os.write(answer_in, text) :]
        finally:
            os._exit(0)
    os.close(answer_in)
    os.close(link)
    parts = []
    while data := os.read(answer, 65536):
        parts.append(data)
    os.close(answer)
    _, status, usage = os.wait4(pid, 0)
    died = _died(status, usage)
    if not parts:
        return died
    verdict, exception, stderr = b"".join(parts).decode("utf-8", "replace").split("\0", 2)
    return {**died, "verdict": verdict, "exception": exception or None, "stderr": stderr}


class _Ended(BaseException):
    """Ends the tests once the verdict is known; tests can't change it by catching this."""


class _Judge:
    """Runs the tests of one program."""

    def __init__(self, link: int) -> None:
        self.link, self.arrival = link, wire.arrival(link)
        self.asked = False
        self.verdict: tuple[str, str, str] | None = None
        # Tracebacks of the program, by the identity of the exception that was rebuilt from it.
        self.traces: dict[int, tuple[BaseException, str]] = {}

    def run(self, job: Job, code: Code) -> tuple[str, str, str]:
        """Verdict, exception, traceback."""
        given, tests = code
        names = runner.module("__main__", job["tests"])
        try:
            if job["given"]:
                exec(given, names)
            for name in job["calls"]:
                names[name] = self.stand_in(name, names.get(name))
            exec(tests, names)
            if not self.asked:
                self.ask(b"R")
            verdict = ("P", "", "")
        except BaseException as error:
            verdict = self.verdict_of(error, self.traceback(error))
        names.clear()
        return self.verdict or verdict

    def verdict_of(self, error: BaseException, trace: str) -> tuple[str, str, str]:
        """The verdict for an exception of the tests, or of the program before them."""
        if isinstance(error, MemoryError):
            return "M", "MemoryError", ""
        return "F", runner.exception_line(error).replace("\0", " "), trace

    def end(self, verdict: str, exception: str = "") -> NoReturn:
        """Set the verdict; it can't be changed afterwards."""
        self.verdict = self.verdict or (verdict, exception, "")
        raise _Ended

    def stand_in(self, name: str, reference: object) -> Any:
        """The function that tests call instead of the program's; it has the docstring of ``reference``.

        ``stand_in.within(seconds)`` is the same with a CPU time limit for each call.
        """

        def function(*arguments: Any, **named: Any) -> Any:
            return self.call(name, arguments, named, None)

        def within(seconds: float) -> Callable[..., Any]:
            return lambda *arguments, **named: self.call(name, arguments, named, seconds)

        function.__doc__ = getattr(reference, "__doc__", None)
        function.__name__ = function.__qualname__ = name
        function.within = within  # type: ignore[attr-defined]
        return function

    def call(
        self, name: str, arguments: tuple[Any, ...], named: dict[str, Any], seconds: float | None
    ) -> Any:
        """Call the program's function; returns its result or raises its exception."""
        own, known = form.mutable_arguments(arguments, named)
        call = (name, arguments, named, seconds)
        return self.ask(_copied(call, name, known), own)

    def ask(self, message: bytes, own: list[Any] | tuple[()] = (), *, ends: bool = False) -> Any:
        """The answer to a request; ``_END`` only if an iterator may be at its end."""
        if self.verdict is not None:
            raise _Ended
        self.asked = True
        tag = os.urandom(_TAG_BYTES)
        try:
            wire.write(self.link, tag + message)
        except OSError:
            self.end("G")
        return self.answer(tag, own, ends)

    def answer(self, tag: bytes, own: list[Any] | tuple[()], ends: bool) -> Any:
        """Receive an answer. Anything that does not fit the request ends the tests."""
        try:
            self.arrival()
            data = wire.read(self.link, _MOST)
            if data is None:
                self.end("G")
            if data[:_TAG_BYTES] != tag:
                self.end("F", "answered what was not asked")
            kind, content = data[_TAG_BYTES : _TAG_BYTES + 1], data[_TAG_BYTES + 1 :]
            if kind == b"S" and not content and ends:
                return _END
            value = reading.decode(content, own, lambda number: _Iterator(self, number))
            if kind == b"V":
                return value
            error, trace = rebuilt_exception(value)
            if kind == b"X":
                self.verdict = self.verdict_of(error, trace)
                raise _Ended
        except OSError:
            self.end("G")
        # Malformed is a ValueError.
        except (ValueError, MemoryError) as problem:
            self.end("F", f"answered with what is no value ({problem})")
        self.traces[id(error)] = error, trace
        raise error

    def traceback(self, error: BaseException) -> str:
        """The traceback as Python shows it; for an exception of the program, the program's traceback."""
        if id(error) in self.traces:
            return self.traces[id(error)][1]
        shown, real = _io.StringIO(), sys.stderr
        try:
            trace = error.__traceback__
            while trace is not None and trace.tb_frame.f_code is _Judge.run.__code__:
                trace = trace.tb_next
            error.__traceback__ = trace
            sys.stderr = shown
            sys.__excepthook__(type(error), error, trace)
        except BaseException:
            # The text of an exception may be hostile code.
            pass
        finally:
            sys.stderr = real
        return shown.getvalue()[-SHOWN:]


_END = object()


class _Iterator:
    """An iterator of the program; items are requested one by one."""

    def __init__(self, judge: _Judge, number: int) -> None:
        self._judge, self._number = judge, number

    def __iter__(self) -> _Iterator:
        return self

    def __next__(self) -> Any:
        item = self._judge.ask(b"N%d" % self._number, ends=True)
        if item is _END:
            raise StopIteration
        return item

    def __reduce__(self) -> Any:
        return iter, (list(self),)


def _copied(call: tuple[Any, ...], name: str, known: bool) -> bytes:
    """A call as bytes. marshal and pickle are safe in this direction: the tests are trusted."""
    if known:
        try:
            return b"M" + marshal.dumps(call)
        except ValueError:
            # A set of a type that marshal does not know.
            pass
    import pickle

    try:
        return b"P" + pickle.dumps(call)
    except Exception as error:
        raise TypeError(f"an argument of {name}() can't be handed to the program ({error})") from None
