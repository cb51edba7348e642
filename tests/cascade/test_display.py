"""What a run says where there is no terminal."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from codecascade.cascade import display
from codecascade.cascade.display import RunDisplay
from codecascade.generation.progress_lines import ProgressLines


def test_a_long_task_says_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()

    class Hasty(ProgressLines):
        def __init__(self, *given: object, **more: object) -> None:
            super().__init__(*given, **more, interval=0.005)  # type: ignore[arg-type]

        def say(self, text: str) -> None:
            super().say(text)
            said.set()

    monkeypatch.setattr(display, "ProgressLines", Hasty)
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
                assert said.wait(10)
            assert line in out.getvalue()
