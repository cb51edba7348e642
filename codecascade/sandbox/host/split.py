"""Runs a program and its tests in two separate workers: one answers the calls, the other decides the verdict."""

from __future__ import annotations

import ast
import functools
import re
import socket
from typing import Any

from codecascade.ground.python_source import parse_module
from codecascade.sandbox.host.judges import JudgeProcess
from codecascade.sandbox.host.worker import SandboxWorker, WorkerDied
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Program

# Seconds for the tests to notice that the program has ended, where its end has decided the verdict.
_GRACE_SECONDS = 2.0
_VERDICTS = {"P": "passed", "F": "failed", "M": "out_of_memory", "T": "timed_out"}
# Imported once in the judging process if tests name them.
_KNOWN = {
    "bisect",
    "collections",
    "copy",
    "datetime",
    "decimal",
    "doctest",
    "fractions",
    "functools",
    "heapq",
}
_KNOWN |= {"itertools", "json", "math", "operator", "random", "re", "statistics", "string", "time", "typing"}
# Modules without a container that a test could pass to a program.
_HARMLESS = {"copy", "math", "random", "string", "time"}
_REACHING = {
    "exec",
    "eval",
    "compile",
    "globals",
    "locals",
    "vars",
    "open",
    "input",
    "breakpoint",
    "exit",
    "quit",
}
_REACHING |= {"getattr", "setattr", "delattr", "help", "dir", "type", "super", "memoryview"}
_IMPORT = re.compile(r"^[^\S\n]*(?:import|from)\s+([\w, ]+)", re.MULTILINE)


class JudgeDied(Exception):
    """The judging process has ended or does not answer: start another one."""


def tests_job(program: Program, limits: Limits) -> dict[str, Any]:
    """The job for the judging process."""
    text = f"{program.given}\n{program.tests}"
    return {
        "given": program.given,
        "tests": program.tests,
        "calls": program.calls,
        "modules": _modules(text),
        "leaves_nothing": can_share_process(text),
        "cpu_seconds": min(limits.cpu_seconds, 1e6),
    }


@functools.lru_cache(4096)
def _modules(text: str) -> tuple[str, ...]:
    words = {word for match in _IMPORT.finditer(text) for word in re.findall(r"\w+", match[1])}
    return tuple(sorted(words & _KNOWN))


@functools.lru_cache(4096)
def can_share_process(text: str) -> bool:
    """Whether tests can change nothing except what they create, so that other tests may follow in the same process.

    The text of tests is trusted, so this prevents accidents, not attacks. A program can only change the containers
    that the tests pass to it, so these must be the tests' own.
    """
    tree = parse_module(text)
    if tree is None:
        # Such a text is never run.
        return True
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and not {alias.name for alias in node.names} <= _HARMLESS:
            return False
        if isinstance(node, ast.ImportFrom) and node.module not in _HARMLESS:
            return False
        if isinstance(node, ast.Name) and (node.id in _REACHING or node.id.startswith("__")):
            return False
        if isinstance(node, ast.Attribute) and (
            node.attr.startswith("_") or not isinstance(node.ctx, ast.Load)
        ):
            return False
        if isinstance(node, (ast.ClassDef, ast.AsyncFunctionDef, ast.Match)):
            return False
    return True


def run_tests_apart(
    worker: SandboxWorker, judge: JudgeProcess, job: dict[str, Any], tests: dict[str, Any], limits: Limits
) -> dict[str, Any]:
    """The server's answer, with the verdict of the tests.

    Raises:
        WorkerDied: the program's worker has ended.
        JudgeDied: the judging process has ended.
    """
    its, of_tests = socket.socketpair()
    with its, of_tests:
        worker.ask(job, its.fileno())
        try:
            judge.ask(tests, of_tests.fileno())
        except WorkerDied as error:
            broken: WorkerDied | None = error
        else:
            broken = None
    if broken is not None:
        # The program ends, because the process of its tests has ended.
        worker.answer(job)
        raise JudgeDied(str(broken))
    # The program ends when its tests have ended, so waiting for it is enough. On a busy machine the verdict may come
    # seconds later. Tests that go on have a limit of CPU time themselves.
    answer = worker.answer(job)
    try:
        judged = judge.answer(_GRACE_SECONDS if answer["verdict"] else limits.longest_seconds)
    except WorkerDied as error:
        # The judging process is still busy with the answers of a program that has ended: there is no verdict.
        if not answer["verdict"]:
            raise JudgeDied(str(error)) from None
        return {**answer, "judge_died": True}
    return _together(answer, judged, limits)


def _together(answer: dict[str, Any], judged: dict[str, Any], limits: Limits) -> dict[str, Any]:
    answer["cpu_seconds"] += judged["cpu_seconds"]
    verdict = judged["verdict"]
    if verdict in _VERDICTS:
        answer["verdict"], answer["exception"] = _VERDICTS[verdict], judged["exception"]
        answer["stderr"] += judged["stderr"].encode("utf-8", "replace")
        if verdict == "T":
            answer["exception"] = f"no end after {limits.cpu_seconds:g} s of CPU time"
    elif not answer["verdict"] and not answer["ended"]:
        # It closed the connection and kept running.
        answer["verdict"], answer["exception"] = "failed", "left before its end"
    return answer
