"""Runs the code inside a program's own process and reports how it went, so that the code can't forge the report.

The code shares this interpreter: it can find every object (through frames, ``gc``) and replace every name. So the
lines that report are one code object without any look-up: the functions it calls are its constants, it has no line
numbers that a trace function could jump to, and it calls Python code only through C. Nor does it decide alone. For
a pass it must wait for a token at a certain position on the C stack. The server knows this position from before the
program began (:mod:`codecascade.sandbox.inside.watch`). A call from within the program is deeper in the stack, and
gets no token.

Messages on descriptor 3: ``B`` begin (answered), ``D`` done (answered with the token), ``P`` + token passed, ``F``
+ text failed, ``M`` + text out of memory, ``X`` + text could not start.
"""

from __future__ import annotations

import _io
import atexit
import builtins
import gc
import os
import sys

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, NoReturn

    Job = dict[str, Any]

CHANNEL = 3
TOKEN_BYTES = 16
_E2BIG = 7
FILE = "program.py"

# Calls use __call__, because the compiler warns of a constant that is called. The quoted names are replaced by the
# functions and objects themselves (_with_constants).
_STEPS = """
"$write".__call__(3, b"B")
"$read".__call__(3, 16)
try:
    "$exec".__call__("$source", "$names")
    "$settrace".__call__(None)
    "$setprofile".__call__(None)
    "$restore".__call__("$builtins")
    "$set".__call__("__builtins__", "$module")
    "$exec".__call__("$tests", "$names")
    "$end".__call__()
except "$MemoryError":
    "$out_of_memory".__call__()
    "$exit".__call__(1)
except "$BaseException" as error:
    "$failed".__call__(error)
    if not "$leaving".__bool__():
        "$exit".__call__(1)
if "$getpid".__call__() != "$pid":
    "$exit".__call__(0)
"$write".__call__(3, b"D")
"$write".__call__(3, b"P" + "$read".__call__(3, 16))
"$exit".__call__(0)
"""


def compile_steps() -> CodeType:
    """Compile the steps, once in the server."""
    code: CodeType = compile(_STEPS, "<sandbox>", "exec")
    return code.replace(co_linetable=b"")


def run_python(
    steps: CodeType, job: Job, path: list[str], builtins_before: tuple[tuple[str, object], ...]
) -> NoReturn:
    """Run a job's source and tests. Never returns."""
    write, leave, get_pid, me = os.write, os._exit, os.getpid, os.getpid()
    show_error = sys.__excepthook__
    # Where the output is compared outside, exit status 0 is a normal end.
    leaving = job["by_status"]

    def failed(error: BaseException) -> None:
        if get_pid() != me:
            # A child that the program forked must not report.
            leave(0)
        if isinstance(error, SystemExit) and leaving and error.code in (None, 0):
            try:
                end()
                return
            except BaseException as another:
                error = another
        if not isinstance(error, SystemExit):
            try:
                trace = error.__traceback__
                while trace is not None and trace.tb_frame.f_code.co_filename in ("<sandbox>", __file__):
                    trace = trace.tb_next
                error.__traceback__ = trace
                show_error(type(error), error, trace)
            except BaseException:
                # The text of an exception may be hostile code.
                pass
        text = exception_line(error)
        flush()
        write(CHANNEL, b"F" + text.encode("utf-8", "backslashreplace"))
        leave(0)

    def out_of_memory() -> None:
        if get_pid() == me:
            flush()
            write(CHANNEL, b"MMemoryError")
        leave(0)

    sys.path[:] = path
    sys.argv[:] = [FILE]
    names = module(job["name"], job["source"])
    try:
        source = compile(job["source"], FILE, "exec", dont_inherit=True)
        tests = compile(job["tests"], "tests.py", "exec", dont_inherit=True)
    except BaseException as error:
        failed(error)
        leave(1)
    constants = {
        "$write": write,
        "$read": os.read,
        "$exec": exec,
        "$source": source,
        "$tests": tests,
        "$names": names,
        "$settrace": sys.settrace,
        "$setprofile": sys.setprofile,
        "$restore": vars(builtins).update,
        "$builtins": builtins_before if job["restores"] else (),
        "$set": names.__setitem__,
        "$module": builtins,
        "$end": end,
        "$MemoryError": MemoryError,
        "$BaseException": BaseException,
        "$out_of_memory": out_of_memory,
        "$failed": failed,
        "$leaving": leaving,
        "$getpid": get_pid,
        "$pid": me,
        "$exit": leave,
    }
    try:
        exec(_with_constants(steps, constants), {"__builtins__": {}})
    finally:
        # Only reached if the program has closed the channel.
        leave(1)


def _with_constants(steps: CodeType, constants: dict[str, object]) -> CodeType:
    swapped = tuple(
        constants.get(value, value) if isinstance(value, str) else value for value in steps.co_consts
    )
    return steps.replace(co_consts=swapped)


def module(name: str, source: str) -> dict[str, object]:
    """The namespace of a new module in ``sys.modules``."""
    module = type(sys)(name)
    sys.modules[name] = module
    names = vars(module)
    names["__builtins__"] = builtins
    # Tracebacks and inspect find the source lines here.
    names["__loader__"] = _SourceLoader(source)
    return names


class _SourceLoader:
    """A minimal loader for ``linecache``."""

    def __init__(self, source: str) -> None:
        self._source = source

    def get_source(self, _: str) -> str:
        return self._source


def end() -> None:
    """Do what an interpreter does at its end: wait for threads, call exit functions, flush."""
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    # What the program opened and left open. All objects of before are frozen, and so in no list.
    flush(*(each for each in gc.get_objects() if issubclass(type(each), _io._IOBase)))


def flush(*files: Any) -> None:
    """Flush everything that was printed, also to ``files``."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__, *files):
        try:
            stream.flush()
        except BaseException:
            # The stream is closed, or was replaced by the program.
            continue


def exception_line(error: BaseException) -> str:
    """The last line of a traceback. The exception's text may be hostile code."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    try:
        return f"{type(error).__name__}: {text}"[:2000] if text else type(error).__name__
    except BaseException:
        return "an exception that can't be shown"


def run_command(job: Job) -> NoReturn:
    """Replace this process by the job's command. Never returns.

    If a command of the machine can't be executed, the machine lacks it: the outcome is "not started". A command in
    the job's own folder was produced by somebody, so it counts as failed; so do arguments that are too long.
    """
    command = job["argv"][0]
    try:
        os.execvpe(command, job["argv"], {**os.environ, **job["environment"]})
    except (OSError, ValueError) as error:
        is_own = "/" in command and not command.startswith("/")
        kind = "F" if is_own or isinstance(error, ValueError) or error.errno == _E2BIG else "X"
        why = error.strerror if isinstance(error, OSError) else error
        os.write(
            CHANNEL, f"{kind}{command}: can't be executed: {why}"[:2000].encode("utf-8", "backslashreplace")
        )
    os._exit(127)
