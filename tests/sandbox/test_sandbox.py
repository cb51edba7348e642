"""Programs that behave and programs that fail: outcomes, output, order, files."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import pytest

from codecascade.ground.errors import UserError
from codecascade.sandbox import sandbox as module
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox


@pytest.mark.parametrize(
    ("program", "verdict", "exception"),
    [
        ("x = 1 + 1\nassert x == 2", "passed", None),
        ("assert 1 == 2, 'not so'", "failed", "AssertionError: not so"),
        ("raise KeyError('k')", "failed", "KeyError: 'k'"),
        ("def f(:", "failed", "SyntaxError"),
        ("x = '\0'", "failed", "SyntaxError"),
        ("import sys\nsys.exit(0)", "failed", "SystemExit: 0"),
        ("exit()", "failed", "SystemExit"),
        ("import os\nos._exit(0)", "failed", "left before its end"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "killed", "signal 9"),
        ("import os\nos.abort()", "killed", "signal 6"),
        ("while True: pass", "timed_out", "CPU"),
        ("x = bytearray(10**12)", "out_of_memory", "MemoryError"),
        ("def f(n): return f(n + 1)\nf(0)", "failed", "RecursionError"),
        (
            "import sys\nsys.setrecursionlimit(10**8)\nclass A:\n  def __repr__(s): return repr(s)\nrepr(A())",
            None,
            None,
        ),
        ("import math\nmath.factorial(10**8)", "timed_out", "CPU"),
        ("10 ** 10 ** 10", "timed_out", "CPU"),
        ("'\\ud800'.encode()", "failed", "UnicodeEncodeError"),
        ("class E(Exception):\n  def __str__(s): raise s\nraise E()", "failed", "E"),
        ("raise BaseException", "failed", "BaseException"),
        ("import os, time\nos.kill(os.getpid(), 2)\ntime.sleep(9)", "failed", "KeyboardInterrupt"),
        ("import os\nif os.fork() == 0: raise ValueError('a child has no say')", "passed", None),
        ("import threading\nthreading.Thread(target=print, args=('x',)).start()", "passed", None),
    ],
)
def test_verdicts(sandbox: Sandbox, program: str, verdict: str | None, exception: str | None) -> None:
    outcome = sandbox.run(program, timeout=0.3)
    assert outcome.outcome == (verdict or outcome.outcome), outcome
    assert verdict or not outcome.passed
    if exception is not None:
        assert exception in (outcome.exception or "")


def test_output_and_time_are_reported(sandbox: Sandbox) -> None:
    outcome = sandbox.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsum(range(3_000_000))")
    assert (outcome.stdout, outcome.stderr) == ("out\n", "err\n")
    assert 0.01 < outcome.cpu_seconds < outcome.wall_seconds + 0.5


def test_a_traceback_shows_the_program_alone(best: Sandbox) -> None:
    outcome = best.run("def f():\n    return 1 / 0\nf()")
    assert outcome.stderr.splitlines()[1:] == [
        '  File "program.py", line 3, in <module>',
        '  File "program.py", line 2, in f',
        "ZeroDivisionError: division by zero",
    ]


def test_what_is_printed_at_the_very_end_is_there(best: Sandbox) -> None:
    program = (
        "import atexit, sys, threading, time\n"
        "atexit.register(lambda: print('registered'))\n"
        "written = threading.Event()\n"
        "threading.Thread(target=lambda: (written.wait(), time.sleep(0.05), print('thread'))).start()\n"
        "sys.stdout.write('main,')\n"
        "written.set()"
    )
    outcome = best.run(program)
    assert (outcome.outcome, outcome.stdout) == ("passed", "main,thread\nregistered\n")


@pytest.mark.parametrize(
    "program",
    [
        "import atexit, io\nsys.stdout = io.StringIO()\nprint(6)\n"
        "atexit.register(lambda: sys.__stdout__.write(sys.stdout.getvalue()))",
        "out = open(1, 'w', closefd=False)\nout.write('\\n')\nsys.stdout.write('6')",
        "import io\nout = io.BufferedWriter(io.FileIO(1, 'w'))\nprint = lambda x: out.write(b'6\\n')\nprint(6)",
        "out = os.fdopen(1, 'w')\nout.write('6\\n')\nsys.exit()",
    ],
)
def test_what_a_program_has_written_is_there_after_its_end(best: Sandbox, program: str) -> None:
    outcome = best.run(Program(f"import os, sys\n{program}", stdin=""))
    assert (outcome.outcome, outcome.stdout) == ("passed", "6\n"), outcome


def test_output_is_cut(sandbox: Sandbox) -> None:
    outcome = sandbox.run("while True: print('x' * 10_000)", timeout=0.2)
    assert outcome.outcome == "timed_out"
    assert len(outcome.stdout) == Limits().output_bytes and outcome.stdout_is_full
    more = sandbox.run(Program("print('x' * 1_500_000)", output_bytes=2_000_000))
    assert len(more.stdout) == 1_500_001 and not more.stdout_is_full
    quiet_end = sandbox.run("import sys\nsys.stderr.write('y' * 3_000_000)")
    assert quiet_end.passed and len(quiet_end.stderr) == Limits().output_bytes


def test_input_makes_leaving_an_end(best: Sandbox) -> None:
    program = "import sys\nprint(sum(map(int, sys.stdin.read().split())))\nsys.exit({})"
    assert best.run(Program(program.format(0), stdin="1 2\n3")).stdout == "6\n"
    assert best.run(Program(program.format(""), stdin="")).passed
    assert best.run(Program(program.format(1), stdin="1")).outcome == "failed"
    at_once = "import os\nprint(6, flush=True)\nos._exit({})"
    assert best.run(Program(at_once.format(0), stdin="1")).passed
    left = best.run(Program(at_once.format(3), stdin="1"))
    assert (left.outcome, left.exception, left.exit_status) == ("failed", "exit status 3", None)
    for end in (program.format(0), at_once.format(0)):
        assert not best.run(end).passed, "nothing else judges it"
        assert not best.run(Program(end, stdin="1", tests="assert False")).passed, "its tests were skipped"
    assert (
        best.run(Program("print(open('/dev/stdin').read() + input.__name__)", stdin="é")).stdout == "éinput\n"
    )


def test_files_are_there_and_nothing_stays(sandbox: Sandbox) -> None:
    files = {"data/deep/numbers.txt": "4 2", "helper.py": "VALUE = 7\n", "raw": b"\xff"}
    program = (
        "import helper, os\n"
        "assert open('data/deep/numbers.txt').read() == '4 2' and helper.VALUE == 7\n"
        "assert open('raw', 'rb').read() == bytes([255])\n"
        "open('data/more', 'w').write('x' * 1000)\nos.remove('raw')"
    )
    assert sandbox.run(Program(program, files=files)).passed
    assert sandbox.run("import os\nassert os.listdir('.') == [], os.listdir('.')").passed


@pytest.mark.parametrize("name", ["../escaped", "/etc/passwd", "a/../../b", "."])
def test_file_names_stay_inside(best: Sandbox, name: str) -> None:
    with pytest.raises(UserError, match="relative name"):
        best.run(Program("pass", files={name: "x"}))


def test_files_that_can_not_be_written_are_a_failure(sandbox: Sandbox) -> None:
    for files in ({"a": "", "a/b": ""}, {"x" * 300: ""}, {"x\0": ""}, {"a/" * 3000 + "x": ""}):
        outcome = sandbox.run(Program("pass", files=files))
        assert outcome.outcome == "failed" and "files can't be written" in (outcome.exception or ""), outcome
        assert sandbox.run("import os\nassert os.listdir('.') == []").passed


@pytest.mark.parametrize(
    "limits", [{"timeout": 0}, {"timeout": math.nan}, {"memory_mb": 0}, {"memory_mb": 1 << 60}]
)
def test_no_time_or_memory_is_a_mistake(best: Sandbox, limits: dict[str, float]) -> None:
    with pytest.raises(UserError, match="must be"):
        best.run("pass", **limits)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="must be"):
        best.run(Program("pass", timeout=0))


def test_unknown_language(best: Sandbox) -> None:
    with pytest.raises(UserError, match="brainfuck"):
        best.run(Program("+", language="brainfuck"))


def test_tests_run_with_the_builtins_as_they_were(best: Sandbox) -> None:
    source = "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.print = None\ndef double(x): return 3 * x"
    for also in ("", "\n__builtins__ = {'abs': lambda x: 0}", "\nglobals()['__builtins__'] = {'abs': len}"):
        outcome = best.run(Program(source + also, tests="assert abs(double(2) - 4) < 1e-6"))
        assert (outcome.outcome, outcome.exception) == ("failed", "AssertionError")
    assert best.run(Program("def double(x): return 2 * x", tests="assert double(2) == 4")).passed
    assert best.run(Program("def f(): pass", tests="assert (")).outcome == "failed"


@pytest.mark.parametrize(
    "way",
    [
        "import re\nre.enum.bltns.abs = lambda x: 0",
        "import ｂuiltins as b\nb.abs = lambda x: 0",
        'from typing import get_type_hints\nclass A: x: \'\\x5f\\x5fimport\\x5f\\x5f("b\\x75iltins").\\x5f\\x5fdict'
        "\\x5f\\x5f.update(abs=lambda x: 0)'\nget_type_hints(A)",
        "import types\ncompiled = compile('import b\\x75iltins as b\\nb.abs = lambda x: 0', '', 'ex' 'ec')\n"
        "types.FunctionType(compiled, {})()",
    ],
)
def test_whatever_way_leads_to_the_builtins_is_seen(best: Sandbox, way: str) -> None:
    source = f"{way}\nassert abs(-3) == 0\ndef double(x): return 3 * x"
    outcome = best.run(Program(source, tests="assert abs(double(2) - 4) < 1e-6"))
    assert (outcome.outcome, outcome.exception) == ("failed", "AssertionError"), outcome
    assert not best.run(Program(f"{way}\nassert abs(-3) == 3")).passed, "the way leads nowhere"


def test_under_another_name_the_main_guard_stays_shut(best: Sandbox) -> None:
    source = "if __name__ == '__main__':\n    raise SystemExit(0)"
    assert best.run(Program(source, name="completion")).passed
    assert not best.run(Program(source)).passed


def test_environment_is_empty(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    with Sandbox(workers=1, confinement=sandbox.confinement) as fresh:
        outcome = fresh.run("import os\nprint(sorted(os.environ))")
    assert outcome.stdout == "['HOME', 'LC_ALL', 'PATH', 'TMPDIR']\n"


def test_programs_do_not_see_each_other(best: Sandbox) -> None:
    assert best.run("import builtins, sys, math\nbuiltins.left = math.left = sys.modules['left'] = 1").passed
    assert best.run(
        "import math, sys\nassert not hasattr(math, 'left') and 'left' not in sys.modules\nleft"
    ).exception


def test_each_program_draws_its_own_random_numbers(best: Sandbox) -> None:
    numbers = {best.run(f"import random\nprint(random.random())\n# {i}").stdout for i in range(3)}
    assert len(numbers) == 3


def test_run_many_keeps_the_order(sandbox: Sandbox) -> None:
    programs = [f"import time\ntime.sleep({0.05 * (i % 3)})\nprint({i})" for i in range(12)]
    assert [int(outcome.stdout) for outcome in sandbox.run_many(programs)] == list(range(12))


def test_run_many_takes_no_more_than_it_needs(best: Sandbox) -> None:
    taken = []

    def programs() -> object:
        for i in range(10_000):
            taken.append(i)
            yield f"x = {i}"

    outcomes = best.run_many(programs())
    assert next(outcomes).passed
    outcomes.close()
    assert len(taken) < 200


def test_equal_programs_share_a_run(best: Sandbox) -> None:
    program = Program("import os\nprint(os.urandom(8).hex())")
    shared = [outcome.stdout for outcome in best.run_many([program, "pass", program])]
    assert shared[0] == shared[2]
    single = [outcome.stdout for outcome in best.run_many([program, "pass", program], share=False)]
    assert single[0] != single[2]


def test_the_time_limit_of_a_program_is_its_own(best: Sandbox) -> None:
    outcome = best.run(Program("while True: pass", timeout=0.1), timeout=1000)
    assert outcome.outcome == "timed_out" and "0.1 s of CPU" in (outcome.exception or "")


def test_sleeping_ends_at_the_wall_clock(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "wall_seconds", 0.3)
    outcome = sandbox.run("import time\ntime.sleep(1000)", timeout=5)
    assert outcome.outcome == "timed_out"
    assert "clock" in (outcome.exception or "")


def test_a_busy_machine_does_not_change_a_verdict(best: Sandbox) -> None:
    """A program that needs 0.2 s of its 0.6 s of CPU, among programs that want all cores."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    program = "import time\nwhile time.process_time() < 0.2: pass"
    try:
        started = time.monotonic()
        outcomes = list(best.run_many([program] * 2, timeout=0.6, share=False))
        assert all(outcome.passed for outcome in outcomes), (outcomes, time.monotonic() - started)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def test_strict_refuses_where_nothing_confines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "best_confinement", lambda: "none")
    with pytest.raises(UserError, match="--sandbox=weak"):
        Sandbox()
    with Sandbox("weak", workers=1) as weak:
        assert weak.run("print(1)").passed
        assert weak.run("while True: pass", timeout=0.1).outcome == "timed_out"
