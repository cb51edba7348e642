"""A process that runs tests and never holds the code that they test.

It is a confined command (:mod:`codecascade.sandbox.judges` starts it) in a zone of its own, and forks once a program.
The fork runs the tests; each of the functions that they test is a stand-in that sends its arguments to the program's
process (:mod:`codecascade.sandbox.candidate`) and gives back what comes, as plain values. Nothing that a program can
do to its interpreter, its memory or its process is done to this one.

Jobs come on descriptor 0, each with the descriptor that leads to the program: ``given`` (trusted text that is run
first), ``tests``, ``calls`` (names of the program's functions), ``cpu_seconds``. The answer holds ``verdict`` (``P``
passed, ``F`` failed, ``M`` out of memory, ``G``: the program has gone, ``T`` timed out), ``exception``, ``stderr``,
``cpu_seconds``.
"""

from __future__ import annotations

import _io
import _socket
import ctypes
import gc
import marshal
import os
import resource
import sys

from codecascade.sandbox import frames, runner, values

TYPE_CHECKING = False  # as typing's, whose import every program's process would carry along
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any, NoReturn

    Job = dict[str, Any]

_PR_SET_DUMPABLE = 4
_REMEMBERED = 512  # tests that are kept compiled
_MOST = values.LARGEST + 4096
_TAG_BYTES = 8
_FILE = "tests.py"
_SHOWN = 4_000


def main(path: list[str]) -> None:
    """Answer jobs until nobody asks any more."""
    # No process without capabilities can look into this one or its forks.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    control = _socket.socket(fileno=os.dup(0))
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(2, 1)  # so that what tests print is no answer
    sys.path[:] = path
    sys.argv[:] = [_FILE]
    compiled: dict[tuple[str, str], tuple[CodeType, CodeType]] = {}
    gc.disable()
    while True:
        job, link = frames.receive_job(control)
        if job is None:
            return
        try:
            code = _compiled(compiled, job)
        except BaseException as error:
            os.close(link)
            reply = {"verdict": "F", "exception": runner.describe(error), "stderr": "", "cpu_seconds": 0.0}
        else:
            reply = _judged(job, code, link, control)
        frames.send(control.fileno(), reply)


def _compiled(known: dict[tuple[str, str], tuple[CodeType, CodeType]], job: Job) -> tuple[CodeType, CodeType]:
    key = (job["given"], job["tests"])
    if key not in known:
        for name in job["modules"]:
            __import__(name)  # once here, not in each fork
        if len(known) == _REMEMBERED:
            del known[next(iter(known))]
        given = compile(job["given"], "given.py", "exec", dont_inherit=True)
        known[key] = given, compile(job["tests"], _FILE, "exec", dont_inherit=True)
        gc.freeze()
    return known[key]


def _judged(job: Job, code: tuple[CodeType, CodeType], link: int, control: _socket.socket) -> dict[str, Any]:
    """Fork, and read what the fork says."""
    answer, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            os.close(answer)
            _Judge(link, told, job).run(job, code)
        finally:
            os._exit(1)
    os.close(told)
    os.close(link)
    parts = []
    while data := os.read(answer, 65536):
        parts.append(data)
    os.close(answer)
    _, status, usage = os.wait4(pid, 0)
    text = b"".join(parts).decode("utf-8", "replace")
    exception, _, stderr = text[1:].partition("\0")
    # Killed: over its own limit on CPU time, or by a program of the same user. Neither is a pass.
    verdict = text[:1] or ("T" if os.WIFSIGNALED(status) and os.WTERMSIG(status) in _OVER_TIME else "F")
    return {
        "verdict": verdict,
        "exception": exception or None if text else "the tests left before their end",
        "stderr": stderr,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


_OVER_TIME = (9, 24)  # SIGKILL at the hard limit, SIGXCPU


class _Judge:
    """The fork: runs one program's tests."""

    def __init__(self, link: int, told: int, job: Job) -> None:
        self.link, self.told = link, told
        seconds = int(job["cpu_seconds"]) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # tests start no process, none can be left over

    def run(self, job: Job, code: tuple[CodeType, CodeType]) -> NoReturn:
        gc.enable()
        given, tests = code
        try:
            names = runner.module("__main__", job["tests"])
            if job["given"]:
                exec(given, names)
            for name in job["calls"]:
                names[name] = self.stand_in(name)
            self.answer(bytes(_TAG_BYTES), ())
            exec(tests, names)
        except MemoryError:
            self.end("M", "MemoryError")
        except BaseException as error:
            self.end("F", runner.describe(error), _traceback(error))
        self.end("P")

    def end(self, verdict: str, exception: str = "", stderr: str = "") -> NoReturn:
        """Say how it went; that is the last thing."""
        text = f"{verdict}{exception}\0{stderr}".encode("utf-8", "backslashreplace")
        while text:
            text = text[os.write(self.told, text) :]
        os._exit(0)

    def stand_in(self, name: str) -> Any:
        """What the tests call instead of one of the program's functions.

        ``stand_in.within(seconds)`` is the same with a limit on the CPU time of each call.
        """

        def function(*arguments: Any, **named: Any) -> Any:
            return self.call(name, arguments, named, None)

        def within(seconds: float) -> Callable[..., Any]:
            return lambda *arguments, **named: self.call(name, arguments, named, seconds)

        function.__name__ = function.__qualname__ = name
        function.within = within  # type: ignore[attr-defined]
        return function

    def call(
        self, name: str, arguments: tuple[Any, ...], named: dict[str, Any], seconds: float | None
    ) -> Any:
        """What the program's function gives back, or an exception that it raised."""
        own, known = values.survey((arguments, named))
        call = (name, arguments, named, seconds)
        return self.ask(b"M" + marshal.dumps(call) if known else b"P" + _pickled(call, name), own)

    def ask(self, message: bytes, own: list[Any] | tuple[()] = ()) -> Any:
        tag = os.urandom(_TAG_BYTES)
        try:
            frames.write(self.link, tag + message)
        except OSError:
            self.end("G")
        return self.answer(tag, own)

    def answer(self, tag: bytes, own: list[Any] | tuple[()]) -> Any:
        """What comes back; whatever is no answer to what was asked is the end."""
        try:
            data = frames.read(self.link, _MOST)
            if data is None:
                self.end("G")
            if data[:_TAG_BYTES] != tag:
                self.end("F", "answered what was not asked")
            kind, content = data[_TAG_BYTES : _TAG_BYTES + 1], data[_TAG_BYTES + 1 :]
            if kind == b"S" and not content:
                return _END
            value = values.decode(content, own, lambda number: _Iterator(self, number))
            if kind == b"V":
                return value
            error = _exception(value)
        except OSError:
            self.end("G")
        except (ValueError, MemoryError) as problem:  # Malformed is a ValueError
            self.end("F", f"answered with what is no value ({problem})")
        raise error


_END = object()


class _Iterator:
    """An iterator of the program's, asked for an item at a time."""

    def __init__(self, judge: _Judge, number: int) -> None:
        self._judge, self._number = judge, number

    def __iter__(self) -> _Iterator:
        return self

    def __next__(self) -> Any:
        item = self._judge.ask(b"N%d" % self._number)
        if item is _END:
            raise StopIteration
        return item

    def __reduce__(self) -> Any:
        return iter, (list(self),)


def _pickled(call: tuple[Any, ...], name: str) -> bytes:
    """For arguments of the standard library's types, in the one direction in which pickle is safe."""
    import pickle

    try:
        return pickle.dumps(call)
    except Exception as error:
        raise TypeError(f"an argument of {name}() can't be handed to the program ({error})") from None


_EXCEPTIONS = {
    name: value
    for name, value in vars(runner.builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def _exception(told: Any) -> BaseException:
    """An exception of the type and with the text that the program's has."""
    try:
        name, bases, text, trace, arguments = told
        base = next((_EXCEPTIONS[each] for each in bases if each in _EXCEPTIONS), Exception)
        trace, text = str(trace), str(text)
    except (TypeError, ValueError):
        raise values.Malformed("no exception") from None
    error: BaseException | None = None
    if isinstance(arguments, list):
        try:
            error = base(*arguments)
            if name != base.__name__ or str(error) != text:
                error = None
        except Exception:
            error = None
    if error is None:
        kind = type(str(name)[:200].replace("\0", ""), (base,), {"__str__": lambda self: text})
        error = kind.__new__(kind, *(arguments if isinstance(arguments, list) else (text,)))
    error.__cause__ = None
    _TRACES[id(error)] = error, trace
    return error


_TRACES: dict[int, tuple[BaseException, str]] = {}


def _traceback(error: BaseException) -> str:
    """As Python shows it, after that of the program if the exception is the program's."""
    shown, real = _io.StringIO(), sys.stderr
    before = _TRACES.get(id(error), (None, ""))[1]
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code is _Judge.run.__code__:
            trace = trace.tb_next
        error.__traceback__ = trace
        sys.stderr = shown
        if not before:
            sys.__excepthook__(type(error), error, trace)
    except BaseException:
        pass
    finally:
        sys.stderr = real
    return (before or shown.getvalue())[-_SHOWN:]
