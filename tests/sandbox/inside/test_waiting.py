"""How long a program has waited for a core: never more than the time that has passed, and no sleep."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.sandbox.inside import waiting
from codecascade.sandbox.inside.waiting import WaitingTime
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox

SECOND = 1_000_000_000


@dataclass
class _Thread:
    """Of a simulated kernel: what a thread does in each moment. It sleeps (s), runs (r) or waits for a core (w);
    with a space it does not exist. It has waited as long as it had when it last got a core."""

    life: str

    def delay(self, now: int) -> int:
        past = self.life[:now].strip()
        return past.count("w") - (len(past) - len(past.rstrip("w")))

    def wants_core(self, now: int) -> bool:
        return self.life[max(0, now - 1)] in "rw"


def _waited(lives: list[str], looks: list[int]) -> list[float]:
    """What is measured at each look."""
    threads, measured = dict(enumerate(map(_Thread, lives))), WaitingTime()

    def look(now: int) -> float:
        with pytest.MonkeyPatch.context() as patch:
            alive = [number for number, thread in threads.items() if thread.life[now - 1] != " "]
            patch.setattr(waiting, "_threads", lambda _: alive)
            patch.setattr(waiting, "_delay", lambda number: threads[number].delay(now) * SECOND)
            patch.setattr(waiting, "_wants_core", lambda number: threads[number].wants_core(now))
            return measured.look([1])

    return list(map(look, looks))


@st.composite
def _lives(draw: st.DrawFn) -> tuple[list[str], list[int]]:
    end = draw(st.integers(1, 30))
    lives = []
    for _ in range(draw(st.integers(1, 4))):
        born = draw(st.integers(0, end - 1))
        life = draw(st.text("srw", min_size=end - born, max_size=end - born))
        gone = draw(st.integers(0, end - born))
        lives.append(" " * born + life[:gone] + " " * (end - born - gone))
    return lives, sorted(draw(st.sets(st.integers(1, end), min_size=1)))


@given(_lives())
def test_never_more_than_the_moments_in_which_some_thread_waited(drawn: tuple[list[str], list[int]]) -> None:
    lives, looks = drawn
    for now, seconds in zip(looks, _waited(lives, looks), strict=True):
        assert seconds <= sum("w" in moment for moment in zip(*(life[:now] for life in lives), strict=True))


@given(st.text("srw", min_size=1, max_size=30), st.data())
def test_one_thread_is_measured_exactly(life: str, data: st.DataObject) -> None:
    life += "r"
    looks = sorted(data.draw(st.sets(st.integers(1, len(life)))) | {len(life)})
    assert _waited([life], looks)[-1] == life.count("w")


def test_processes_that_follow_each_other_are_added_up_and_threads_beside_each_other_are_not() -> None:
    assert _waited(["wwr   ", "   wwr"], [1, 2, 3, 4, 5, 6])[-1] == 4
    assert _waited(["wwwr", "wwwr"], [1, 2, 3, 4])[-1] == 3
    # One that sleeps while it waits for a child, and goes on.
    assert _waited(["wrsssswr", "  wwrs  "], list(range(1, 9)))[-1] == 4


def test_a_kernel_that_does_not_tell_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    read = waiting._read
    monkeypatch.setattr(waiting, "_read", lambda path: b"" if path.endswith("schedstat") else read(path))
    assert WaitingTime().look([os.getpid()]) == 0
    assert WaitingTime().look([2**22 + 1]) == 0


def test_a_program_that_waits_for_a_core_is_not_ended_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    if not waiting._read("/proc/self/schedstat").split()[1:]:
        pytest.skip("this kernel does not tell how long a thread waits for a core")
    cores = os.sched_getaffinity(0)
    monkeypatch.setattr(Limits, "wall_seconds", 0.4)
    with Sandbox("weak", workers=1) as sandbox:
        # The workers that start from here on, and what keeps them waiting, share one core.
        os.sched_setaffinity(0, {min(cores)})
        burners: list[subprocess.Popen[bytes]] = []
        try:
            assert sandbox.run("pass").passed
            # In sessions of their own: some kernels share a core among sessions.
            burner = [sys.executable, "-Sc", "while True: pass"]
            burners = [subprocess.Popen(burner, start_new_session=True) for _ in range(4)]
            time.sleep(0.05)
            needs = "import time\nwhile time.process_time() < 0.2: pass"
            apart = Program(
                "def f():\n    " + needs.replace("\n", "\n    ") + "\n    return 6", tests="assert f() == 6"
            )
            for program in (Program(needs), apart):
                outcome = sandbox.run(program, timeout=2)
                assert outcome.passed, outcome
            assert outcome.wall_seconds > 0.4, "it did not wait"
            asleep = sandbox.run("import time\ntime.sleep(1000)", timeout=2)
            assert asleep.outcome == "timed_out" and asleep.wall_seconds < 2
            # It waits most of the time, and yet not without an end.
            monkeypatch.setattr(Limits, "longest_seconds", 0.8)
            endless = sandbox.run("while True: pass", timeout=2)
            assert endless.outcome == "timed_out" and "clock" in (endless.exception or ""), endless
        finally:
            os.sched_setaffinity(0, cores)
            for each in burners:
                each.kill()
                each.wait()
