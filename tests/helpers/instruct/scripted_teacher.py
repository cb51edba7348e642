"""A teacher whose every answer is known beforehand, and runs with it, also as a process that can be killed."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any

from codecascade.generation.backend import ChatPrompt, TextCompletion, TextPrompt, TextRequest
from codecascade.instruct.self_instruct import pipeline
from codecascade.instruct.self_instruct.progress import ProgressFunction
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.summary import Summary
from codecascade.instruct.self_instruct.triplets import Question, QuestionsMade
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox

Answerer = Callable[[str, str, int], str]
"""``(step, the question's text, sample) -> answer``; the step is ``tests`` or ``solutions``."""


def asked_about(request: TextRequest) -> tuple[str, str]:
    """The step of a request, and the question that it is about."""
    prompt = request.prompt
    if isinstance(prompt, ChatPrompt):
        text = prompt.messages[-1].content + "\n" + prompt.prefill
    else:
        assert isinstance(prompt, TextPrompt)
        text = prompt.prompt
    problem = text.rpartition("Problem: ")[2]
    step = "tests" if problem.rstrip().endswith("[TESTS]") else "solutions"
    return step, problem.partition("\n")[0]


class ScriptedTeacher:
    """See :class:`~codecascade.generation.backend.Backend`.

    Args:
        answer: what it writes.
        log: a line for each sample that it is asked for.
        seconds: for each of its answers.
        lines: where the log has so many, it stands still until the process is ended.
    """

    context_length = 4096
    infilling_formats = ()

    def __init__(
        self,
        answer: Answerer,
        *,
        name: str = "scripted",
        is_chat: bool = True,
        log: Path | None = None,
        seconds: float = 0.0,
        lines: float = inf,
    ) -> None:
        self.lines = lines
        self.answer, self.name, self.is_chat = answer, name, is_chat
        self.log, self.seconds = log, seconds
        self.requests: list[TextRequest] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def describe(self) -> dict[str, str]:
        return {"revision": "1"}

    def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
        self.requests += requests
        for index, request in enumerate(requests):
            step, question = asked_about(request)
            for number in request.numbers:
                time.sleep(self.seconds)
                if self.log is not None:
                    with open(self.log, "a") as log:
                        log.write(f"{step} {question} {number} {request.sampling.seed}\n")
                    while self.log.read_text().count("\n") >= self.lines:
                        time.sleep(0.01)
                text = self.answer(step, question, number)
                yield TextCompletion(index, number, text, tokens=len(text.split()))


class InstantSandbox:
    """Runs Python programs and their assertions in this process, and counts them: nothing here is hostile."""

    workers = 2

    def __init__(self, log: Path | None = None) -> None:
        self.programs: list[Program] = []
        self.log = log

    def run(self, program: Program, *, timeout: float, memory_mb: int) -> Outcome:
        self.programs.append(program)
        if self.log is not None:
            with open(self.log, "a") as log:
                log.write(f"run {program.source!r} {program.tests!r}\n")
        names: dict[str, Any] = {"__name__": "solution"}
        try:
            exec(program.source + "\n" + program.tests, names)
        except BaseException as error:
            return Outcome("failed", f"{type(error).__name__}: {error}")
        return Outcome("passed")


def questions(count: int, text: str = "Write a function that adds {n} to twice a number.") -> list[Question]:
    topics = ("numbers", "texts")
    return [Question(f"q{n}", text.format(n=n), topic=topics[n % 2], difficulty="easy") for n in range(count)]


def number_in(question: str) -> int:
    found = re.search(r"\d+", question)
    assert found is not None
    return int(found[0])


def adds(step: str, question: str, sample: int) -> str:
    """Right tests; of the solutions the first is no program, the second fits the shown test only, the third is right.

    Every fourth question has no right solution, and every fifth no tests.
    """
    n = number_in(question)
    if step == "tests":
        if n % 5 == 4:
            return "I can't think of any."
        lines = [f"assert add_{n}({value}) == {2 * value + n}" for value in (0, 1, -1, 10, 25)]
        return "\n".join(f"# Test case {i}:\n{line}" for i, line in enumerate(lines, 1)) + "\n[/TESTS]"
    if sample == 0:
        return "It adds.\n[/PYTHON]"
    if sample == 1:
        return f"def add_{n}(value):\n    return {n}\n[/PYTHON]"
    if sample == 2 and n % 4 != 3:
        return f"```python\ndef add_{n}(value):\n    return 2 * value + {n}\n\nprint(add_{n}(3))\n```"
    return f"def add_{n}(value):\n    return 2 * value - {n}  # {sample}\n"


def run(
    out: Path,
    teacher: ScriptedTeacher,
    asked: Sequence[Question],
    sandbox: Any = None,
    progress: ProgressFunction = lambda progress: None,
    **settings: Any,
) -> Summary:
    """Self-instruct with given questions."""
    made = QuestionsMade(tuple(asked), {"prompts": 0, "parsed": len(asked)})
    before = pipeline.make_questions
    pipeline.make_questions = lambda *arguments: made
    try:
        return pipeline.run_self_instruct(
            SelfInstructSettings(**settings),
            pipeline.Backends(teacher),
            InstantSandbox() if sandbox is None else sandbox,
            out,
            progress=progress,
        )
    finally:
        pipeline.make_questions = before


def main(out: str, log: str, seconds: str, lines: str) -> None:
    """A run in a process of its own, with the real sandbox and a log of what it asks."""
    with Sandbox("weak", workers=2) as sandbox:
        teacher = ScriptedTeacher(adds, log=Path(log), seconds=float(seconds), lines=float(lines))
        run(Path(out), teacher, questions(12), sandbox, solutions=4, group=5, least_tests=2)


if __name__ == "__main__":
    main(*sys.argv[1:])
