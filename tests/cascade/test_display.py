"""What a run says where there is no terminal."""

from __future__ import annotations

import io
import threading
from itertools import count

import pytest
from rich.console import Console

from codecascade.cascade import display
from codecascade.cascade.dialogues import display as self_instruct_display
from codecascade.cascade.dialogues.display import SelfInstructDisplay
from codecascade.cascade.display import RunDisplay
from codecascade.generation.progress_lines import ProgressLines
from codecascade.instruct.self_instruct.progress import SelfInstructProgress
from codecascade.training.logs import StepReport


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Is set with each line of progress, which come at once."""
    said = threading.Event()

    class Hasty(ProgressLines):
        def __init__(self, *given: object, **more: object) -> None:
            # No machine is slow by this clock.
            ticks = count()
            super().__init__(*given, **more, interval=0.005, clock=lambda: next(ticks) / 1000)  # type: ignore[arg-type]

        def say(self, text: str) -> None:
            super().say(text)
            said.set()

    for module in (display, self_instruct_display):
        monkeypatch.setattr(module, "ProgressLines", Hasty)
    return said


def test_making_dialogues_says_how_many_answers_and_questions_there_are(said: threading.Event) -> None:
    out = io.StringIO()
    with RunDisplay(Console(file=out, width=200)).self_instruct("chat") as shown:
        for at, line in (
            (SelfInstructProgress("questions", 3, 12, read=5), "chat: questions: 3 of 12"),
            (SelfInstructProgress("questions", 3, 12, read=5), "the teacher's answers: 5"),
            (SelfInstructProgress("answers", 7, 60), "chat: tests and solutions: 7 of 60"),
            (SelfInstructProgress("answers", 40, 60, kept=0, settled=1), "0 of 1 question kept"),
        ):
            shown.progress(at)
            out.truncate(0)
            for _ in range(3):
                said.clear()
                assert said.wait(120)
            assert line in out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_known_answers_count_for_no_rate(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """Neither those that are read first, nor those that are found out to be not needed."""
    now = [0.0]

    class Timed(ProgressLines):
        def __init__(self, *given: object, **more: object) -> None:
            super().__init__(*given, **more, clock=lambda: now[0])  # type: ignore[arg-type]

    monkeypatch.setattr(self_instruct_display, "ProgressLines", Timed)
    shown = SelfInstructDisplay(Console(file=io.StringIO(), force_terminal=terminal))
    for second, done, skipped in ((0, 0, 0), (3, 500, 500), (5, 600, 600), (25, 620, 600), (25, 650, 630)):
        now[0] = second
        shown.progress(SelfInstructProgress("answers", done, 1000, skipped=skipped))
    assert shown.lines.line() == (
        "tests and solutions: 650 of 1,000 in 20 s, 1.0 a second, about 5 min 50 s left"
    )
    assert shown.lines.time_left == "about 5 min 50 s left"


def test_a_long_task_says_lines(said: threading.Event) -> None:
    out = io.StringIO()
    with RunDisplay(Console(file=out)).task("measuring code") as progress:
        for description, done, total, line in (
            ("find", 0, 0, "measuring code: 0 s, find"),
            ("humaneval", 0, 164, "measuring code: humaneval: 0% in 0 s"),
            ("humaneval", 41, 164, "measuring code: humaneval: 25% in 0 s, about "),
        ):
            progress(description, done, total)
            out.truncate(0)
            for _ in range(3):
                said.clear()
                assert said.wait(120)
            assert line in out.getvalue()


def test_a_stage_of_weeks_says_each_minute_how_far_it_is() -> None:
    text = io.StringIO()
    with RunDisplay(Console(file=text, width=200)).training("code") as step_ended:
        for step in range(1001, 1010):
            step_ended(StepReport(step, 100_000, step, 2.0, 1e-4, 25.0 * step, 25.0, 1.0, 0.5, 1.0, {}))
    lines = text.getvalue().splitlines()
    assert [line.split()[2] for line in lines] == ["1,001", "1,004", "1,007"]
