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
    assert lines.line() == "generating: 4 of 164 in 30 s, 8.0 a minute, about 20 min left"
    for _ in range(86):
        lines.advance()
    assert lines.line() == "generating: 90 of 164 in 30 s, 3.0 a second, about 25 s left"


def test_a_line_is_said_while_nothing_is_finished_and_none_afterwards() -> None:
    assert INTERVAL <= 15
    said: list[str] = []
    twice = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 2:
            twice.set()

    with ProgressLines("generating", 9, say, interval=0.005):
        assert twice.wait(10)
    count = len(said)
    assert all(line.startswith("generating: 0 of 9") for line in said)
    assert threading.Event().wait(0.02) is False and len(said) == count


def test_the_thread_ends_with_an_error_of_the_work() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError), ProgressLines("generating", 9, print):
        raise ValueError
    assert threading.active_count() == before
