"""Which text of a reply is the program, where programs read and print: functions that another block calls."""

from __future__ import annotations

import pytest

from codecascade.evaluation.answers.replies import program_in

SOLVE = "import sys\nsys.setrecursionlimit(10**6)\ndef solve():\n    n = int(input())\n    print(2 * n)\n"
CALL, GUARD = "solve()\n", "if __name__ == '__main__':\n    solve()\n"
WHOLE = "n = int(input())\nprint(2 * n)\n"
HELPER = "def twice(n):\n    return 2 * n\n"
THREAD = "import threading\nthread = threading.Thread(target=solve)\nthread.start()\n"


def reply(*blocks: str) -> str:
    return "and then\n".join(f"```python\n{block}```\n" for block in blocks)


@pytest.mark.parametrize("call", [CALL, GUARD, THREAD, "for _ in range(int(input())):\n    solve()\n"])
def test_a_call_in_a_block_of_its_own_belongs_to_the_function(call: str) -> None:
    assert program_in(reply(SOLVE, call)) == SOLVE + call
    assert program_in(reply(WHOLE, SOLVE, call)) == SOLVE + call, "the last one"
    assert program_in(reply(SOLVE, "x = [1]\n", call, "3\n")) == SOLVE + call
    # One that prints what it knows.
    shows = "def solve():\n    print(42)\n"
    assert program_in(reply(shows, CALL)) == shows + CALL


def test_what_is_read_in_a_function_and_printed_in_another_block_is_one_program() -> None:
    reads = "def ask():\n    return int(input())\n"
    assert program_in(reply(reads, "print(2 * ask())\n")) == reads + "print(2 * ask())\n"


def test_helpers_and_a_call_in_blocks_of_their_own_are_one_program() -> None:
    solve = SOLVE.replace("2 * n", "twice(n)")
    assert program_in(reply(HELPER, solve, CALL)) == HELPER + solve + CALL


@pytest.mark.parametrize(
    "program",
    [
        WHOLE,
        SOLVE + CALL,
        SOLVE + GUARD,
        SOLVE + THREAD,
        "import sys\nwrite = sys.stdout.write\nwrite(sys.stdin.read())\n",
        "show, ask = print, input\ndef unused():\n    pass\nshow(ask())\n",
        "class Task:\n    def run(self):\n        print(input())\nTask().run()\n",
    ],
)
def test_a_program_that_runs_stays_as_it_is(program: str) -> None:
    for after in ("print(solve())\n", "unused()\n", "Task\n", "def solve():\n    return input(), print()\n"):
        assert program_in(reply(program, after)) == program


def test_functions_that_nobody_calls_are_taken_where_there_is_nothing_else() -> None:
    assert program_in(reply(SOLVE)) == SOLVE
    assert program_in(reply(SOLVE, "print(other(3))\n")) == SOLVE
