"""Compilers that stay: frames, restarts, what becomes of a program that they do not survive."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from typing import BinaryIO

import pytest

from codecascade.sandbox.languages import warm
from codecascade.sandbox.languages.cache import Compiled, CompiledPrograms
from codecascade.sandbox.languages.warm import CompilerEnded, WarmCompilers
from codecascade.sandbox.outcome import Limits, Outcome
from codecascade.sandbox.program import Command

COMMAND = Command(("compiler",), limits=Limits(cpu_seconds=1000))
ALONE = Limits(cpu_seconds=7)


def frame(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


class FakeSession:
    """Answers what ``answer`` makes of a program's text; None ends it."""

    def __init__(self, answer: Callable[[str], bytes | None]) -> None:
        given, stdin = os.pipe()
        stdout, out = os.pipe()
        self.stdin: BinaryIO = os.fdopen(stdin, "wb")
        self.stdout: BinaryIO = os.fdopen(stdout, "rb")
        self.closed, self.programs = False, 0
        self._thread = threading.Thread(target=self._serve, args=(given, out, answer), daemon=True)
        self._thread.start()

    def _serve(self, given: int, out: int, answer: Callable[[str], bytes | None]) -> None:
        with os.fdopen(given, "rb") as requests, os.fdopen(out, "wb", buffering=0) as answers:
            while size := requests.read(4):
                requests.read(struct.unpack(">I", size)[0])
                text = requests.read(struct.unpack(">I", requests.read(4))[0]).decode()
                self.programs += 1
                reply = answer(text)
                if reply is None:
                    return
                answers.write(reply)

    def close(self) -> None:
        self.stdin.close()
        self._thread.join()
        self.stdout.close()
        self.closed = True


class Starter:
    def __init__(self, answer: Callable[[str], bytes | None]) -> None:
        self.answer = answer
        self.sessions: list[FakeSession] = []
        self.limits: list[Limits] = []

    def __call__(self, command: Command) -> FakeSession:
        self.sessions.append(FakeSession(self.answer))
        self.limits.append(command.limits)
        return self.sessions[-1]


def upper(text: str) -> bytes | None:
    if text == "crash":
        return None
    if text == "wrong":
        return struct.pack(">i", -1) + frame(b"line 1: wrong")
    if text == "silent":
        return b""
    if text == "huge":
        return struct.pack(">iI", -1, 1 << 31)
    return struct.pack(">i", 1) + frame(b"out") + frame(text.upper().encode())


def test_one_compiler_compiles_all() -> None:
    start = Starter(upper)
    compilers = WarmCompilers(start, COMMAND, ALONE, 2)
    assert compilers.compile("a", "one") == {"out": b"ONE"}
    assert compilers.compile("a", "wrong") == "line 1: wrong"
    assert compilers.compile("a", "") == {"out": b""}
    assert [session.programs for session in start.sessions] == [3]
    compilers.close()
    assert start.sessions[0].closed


@pytest.mark.parametrize("text", ["crash", "huge"])
def test_a_program_that_ends_the_compiler_is_tried_alone_and_hurts_nobody(text: str) -> None:
    start = Starter(upper)
    compilers = WarmCompilers(start, COMMAND, ALONE, 2)
    with pytest.raises(CompilerEnded):
        compilers.compile("a", text)
    assert start.limits == [COMMAND.limits, ALONE]
    assert compilers.compile("a", "next") == {"out": b"NEXT"}
    assert [session.closed for session in start.sessions] == [True, True, False]
    compilers.close()


def test_a_compiler_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_PATIENCE", 0.05)
    monkeypatch.setattr(Limits, "wall_seconds", 0.05)
    compilers = WarmCompilers(Starter(upper), COMMAND, ALONE, 1)
    with pytest.raises(CompilerEnded, match="no answer in"):
        compilers.compile("a", "silent")


def test_a_program_longer_than_a_pipe_holds() -> None:
    compilers = WarmCompilers(Starter(upper), COMMAND, ALONE, 1)
    assert compilers.compile("a", "x" * 300_000) == {"out": b"X" * 300_000}
    compilers.close()


def test_a_compiler_that_broke_by_itself_costs_no_verdict() -> None:
    answers = iter([None])
    start = Starter(lambda text: next(answers, upper(text)))
    compilers = WarmCompilers(start, COMMAND, ALONE, 1)
    assert compilers.compile("a", "one") == {"out": b"ONE"}
    compilers.close()


def test_an_old_compiler_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_PROGRAMS_EACH", 2)
    start = Starter(upper)
    compilers = WarmCompilers(start, COMMAND, ALONE, 1)
    for _ in range(5):
        compilers.compile("a", "x")
    assert [(session.programs, session.closed) for session in start.sessions] == [
        (2, True),
        (2, True),
        (1, False),
    ]
    compilers.close()


def test_no_more_compilers_than_allowed() -> None:
    running, most = 0, 0
    lock = threading.Lock()
    gate = threading.Event()

    def slow(text: str) -> bytes | None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(0.05)
        with lock:
            running -= 1
        return upper(text)

    start = Starter(slow)
    compilers = WarmCompilers(start, COMMAND, ALONE, 2)
    threads = [threading.Thread(target=compilers.compile, args=("a", str(number))) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 2
    assert len(start.sessions) <= 2
    compilers.close()


def test_the_same_program_is_compiled_once() -> None:
    made: list[str] = []
    cache = CompiledPrograms()

    def make(name: str) -> Callable[[], Compiled]:
        return lambda: made.append(name) or {"out": name.encode()}  # type: ignore[func-returns-value]

    assert cache.get("a", make("a")) == cache.get("a", make("a")) == {"out": b"a"}
    assert made == ["a"]


def test_failures_of_the_machine_are_not_kept() -> None:
    cache = CompiledPrograms()
    late, wrong = Outcome("timed_out", "late"), Outcome("failed", "compile: wrong")
    assert cache.get("a", lambda: late) is late
    assert cache.get("a", lambda: wrong) is wrong
    assert cache.get("a", lambda: late) is wrong
    with pytest.raises(OSError):
        cache.get("b", lambda: (_ for _ in ()).throw(OSError()))
    assert cache.get("b", lambda: wrong) is wrong


def test_what_was_not_asked_for_goes_first() -> None:
    cache = CompiledPrograms(size=8000)
    made: list[int] = []
    for number in (1, 2, 1, 3, 1, 2):
        cache.get(number, lambda number=number: made.append(number) or {"out": bytes(2500)})  # type: ignore[misc]
    assert made == [1, 2, 3, 2]
