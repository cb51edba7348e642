"""Inside a program's own process: run the code, then say how it went, so that the code can't say it instead.

The code shares this interpreter; whatever is an object here it can find (frames, ``gc``) and whatever is a name it
can replace. So the lines that report are one code object that looks nothing up: the functions it calls are its
constants, it has no line numbers that a trace function could jump to, and it calls Python code only through C. And
it does not decide alone: for a pass it must wait for a token at a place on the C stack that the server, which looks
from outside, knows from before the program began (:mod:`codecascade.sandbox.inside.watch`); whoever calls from within
the program is deeper in the stack, and gets none.

Messages on descriptor 3, each answered or not by the server: ``B`` begins (answered), ``D`` done (answered with the
token), ``P`` + token passed, ``F`` + text failed, ``M`` + text out of memory, ``X`` + text could not start.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys

TYPE_CHECKING = False  # as typing's, whose import every program's process would carry along
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, NoReturn

    Job = dict[str, Any]

CHANNEL = 3
TOKEN_BYTES = 16
_E2BIG = 7
FILE = "program.py"

# Calls go through __call__: a constant that is no function would have the compiler warn. The names between quotes
# become the functions and objects themselves (_with_constants).
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


def prepare() -> CodeType:
    """The steps, compiled once in the server."""
    code: CodeType = compile(_STEPS, "<sandbox>", "exec")
    return code.replace(co_linetable=b"")


def run_python(
    steps: CodeType, job: Job, path: list[str], builtins_before: tuple[tuple[str, object], ...]
) -> NoReturn:
    """Run a job's source and tests. Never returns."""
    write, leave, get_pid, me = os.write, os._exit, os.getpid, os.getpid()
    show_error = sys.__excepthook__
    leaving = job["stdin"] is not None  # its output is compared outside: exit status 0 is an end like another

    def failed(error: BaseException) -> None:
        if get_pid() != me:
            leave(0)  # a child that the program forked has no say
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
                pass  # its own text may be hostile
        text = describe(error)
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
        leave(1)  # only here where the program has closed the channel


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
    names["__loader__"] = _SourceLoader(source)  # where tracebacks and inspect find the lines
    return names


class _SourceLoader:
    """Just enough of a loader for ``linecache``."""

    def __init__(self, source: str) -> None:
        self._source = source

    def get_source(self, _: str) -> str:
        return self._source


def end() -> None:
    """What an interpreter does at its end: wait for threads, call what was registered, flush."""
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    flush()


def flush() -> None:
    """Let nothing printed stay behind."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue  # closed or replaced: nothing of ours


def describe(error: BaseException) -> str:
    """The last line of a traceback; the exception's own text may be hostile."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    try:
        return f"{type(error).__name__}: {text}"[:2000] if text else type(error).__name__
    except BaseException:
        return "an exception that can't be shown"


def run_command(job: Job) -> NoReturn:
    """Become the job's command. Never returns.

    A command of the machine that can't be executed is the machine's lack: it could not start. One in the job's own
    folder is somebody's product, and has failed; so have arguments that are too long, which come from its text.
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
