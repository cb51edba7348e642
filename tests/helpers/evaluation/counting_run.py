"""Measures by a slow model; every answer and every program run is written down. It is there to be killed.

``counting_run.py FOLDER LOG DATA LINES`` stands still when so many lines are written, and waits for its end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.runner import Inputs, evaluate
from codecascade.generation.backend import TextCompletion, TextRequest
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Program


class Slow:
    """Answers one sample after the other, in a shuffled order of samples, as a batch does."""

    name = "slow"
    context_length = 4096
    infilling_formats = ()
    is_chat = False

    def __init__(self, log: Path, seconds: float) -> None:
        self.log, self.seconds = log, seconds

    def count_tokens(self, text: str) -> int:
        return len(text)

    def describe(self) -> dict[str, str]:
        return {"precision": "fp32"}

    def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
        for index, request in reversed(list(enumerate(requests))):
            for number in sorted(request.numbers, key=lambda number: number * 7 % 5):
                time.sleep(self.seconds)
                note(self.log, f"answered {request.prompt.prompt.split('(')[0]} {number}")
                yield TextCompletion(index, number, f"    return a + {number}  # {request.sampling.seed}\n")


class Counting:
    """Runs nothing: a program passes if it adds its own function's number."""

    confinement = "none"

    def __init__(self, log: Path, seconds: float) -> None:
        self.log, self.seconds = log, seconds

    def run_many(self, programs: Iterable[Program]) -> Iterator[Outcome]:
        for program in programs:
            name, number = program.source.split("(")[0], program.source.split("a + ")[1].split(" ")[0]
            time.sleep(self.seconds)
            note(self.log, f"ran {name} {number}")
            yield Outcome("passed" if name.endswith(f"_{number}") else "failed")


def note(log: Path, line: str) -> None:
    with open(log, "a") as file:
        file.write(line + "\n")


class Held(Slow):
    """Stands still when the log has so many lines, until the process is ended."""

    def __init__(self, log: Path, lines: int) -> None:
        super().__init__(log, 0.005)
        self.lines = lines

    def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
        for completion in super().complete(requests):
            yield completion
            while self.log.read_text().count("\n") >= self.lines:
                time.sleep(0.01)


def measure(folder: Path, log: Path, data: Path, model: Slow | None = None, **changed: object) -> None:
    settings = EvaluateSettings(benchmarks=("humaneval",), samples_per_problem=5, **changed)
    model = model or Slow(log, 0.0)
    inputs = Inputs(model, sandbox=Counting(log, model.seconds), data={"humaneval": data})
    evaluate(inputs, settings, folder=folder)


if __name__ == "__main__":
    folder, log, data = map(Path, sys.argv[1:4])
    measure(folder, log, data, Held(log, int(sys.argv[4])))
