from __future__ import annotations

import threading

import pytest

from codecascade.generation.progress_lines import INTERVAL, ProgressLines


def test_lines_have_the_rate_and_the_time_left() -> None:
    now = [100.0]
    lines = ProgressLines("generating", 164, print, clock=lambda: now[0])
    now[0] = 130.0
    assert lines.line() == "generating: 0 of 164 in 30 s"
    for _ in range(4):
        lines.advance()
    assert lines.line() == "generating: 4 of 164 in 30 s, 8.0 a minute"
    for _ in range(86):
        lines.advance()
    assert lines.line() == "generating: 90 of 164 in 30 s, 3.0 a second, about 25 s left"


def test_what_is_answered_together_is_not_promised_by_the_first_answer() -> None:
    """Twenty-four prompts are read before one is answered; the answers then come one after the other."""
    now = [0.0]
    lines = ProgressLines("generating", 480, print, clock=lambda: now[0])
    now[0] = 120.0
    lines.advance()
    assert lines.line() == "generating: 1 of 480 in 2 min, 0.5 a minute"
    for at in (130.0, 140.0, 150.0):
        now[0] = at
        lines.advance()
    assert lines.line().endswith("1.6 a minute, about 1 h 19 min left")
    lines.begin("judging", 480)
    now[0] += 10.0
    lines.advance()
    assert not lines.time_left, "the work before has another rate"


def test_one_by_one_the_time_left_is_that_of_the_ones_before() -> None:
    now = [0.0]
    lines = ProgressLines("files", 1000, print, clock=lambda: now[0])
    for at in range(1, 5):
        now[0] = 60.0 * at
        lines.advance()
    assert lines.time_left == "about 16 h 36 min left"


def test_a_line_is_said_while_nothing_is_finished_and_none_afterwards() -> None:
    assert INTERVAL <= 15
    said: list[str] = []
    twice = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 2:
            twice.set()

    with ProgressLines("generating", 9, say, interval=0.005):
        assert twice.wait(120)
    count = len(said)
    assert all(line.startswith("generating: 0 of 9") for line in said)
    assert threading.Event().wait(0.02) is False and len(said) == count


def test_the_thread_ends_with_an_error_of_the_work() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError), ProgressLines("generating", 9, print):
        raise ValueError
    assert threading.active_count() == before


def test_a_line_is_due_an_interval_after_the_last_one_whoever_said_it() -> None:
    now, said = [0.0], []
    lines = ProgressLines("measuring", 40, said.append, clock=lambda: now[0])
    for second in range(1, 61):
        now[0] = second
        lines.say_if_due()
        if second == 20:
            lines.say("a tenth is done")
            lines.update(4, 40, "2 right")
    assert said == [
        "measuring: 0 of 40 in 15 s",
        "a tenth is done",
        "measuring: 4 of 40 in 35 s, 6.9 a minute, about 5 min 15 s left, 2 right",
        "measuring: 4 of 40 in 50 s, 4.8 a minute, about 7 min 30 s left, 2 right",
    ]


def test_what_was_done_before_is_in_no_rate() -> None:
    now = [0.0]
    lines = ProgressLines("humaneval", 0, print, clock=lambda: now[0])
    lines.begin("mbpp", 500, 400)
    now[0] = 10.0
    assert lines.line() == "mbpp: 400 of 500 in 10 s"
    lines.update(450, 500)
    assert lines.line() == "mbpp: 450 of 500 in 10 s, 5.0 a second, about 10 s left"


def test_what_took_no_time_is_in_no_rate_whenever_it_comes() -> None:
    now = [0.0]
    lines = ProgressLines("answers", 0, print, clock=lambda: now[0])
    lines.begin("tests", 100, 40, skipped=40)
    assert not lines.has_rate and not lines.time_left
    now[0] = 10.0
    lines.update(50, 100, skipped=40)
    assert lines.has_rate and lines.time_left == "about 50 s left"
    lines.update(80, 100, skipped=70)
    assert lines.line() == "tests: 80 of 100 in 10 s, 1.0 a second, about 20 s left"
    lines.update(100, 100, skipped=70)
    assert not lines.time_left


def test_work_without_a_unit_or_an_end() -> None:
    now = [0.0]
    lines = ProgressLines("corpus", 0, print, in_percent=True, clock=lambda: now[0])
    now[0] = 10.0
    lines.update(0, 0, "find")
    assert lines.line() == "corpus: 10 s, find"
    lines.update(25, 100)
    assert lines.line() == "corpus: 25% in 10 s, about 30 s left"
