"""Step 4: runs solutions on their tests in the sandbox, beside generation, and keeps every verdict."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from codecascade.ground.files.keyed_journal import KeyedJournal, digest_of
from codecascade.instruct.self_instruct.languages.form import LanguageForm
from codecascade.instruct.self_instruct.triplets import Solution, UnitTests
from codecascade.sandbox.outcome import Outcome, Verdict
from codecascade.sandbox.sandbox import Sandbox

_MOST_TIMEOUTS = 2
"""After so many tests without an end, a solution's other tests are not run."""
_LONGEST_DETAIL = 300
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")
# They say nothing about the program, so they are not kept, and the next start runs it again.
_NO_VERDICT = frozenset({"not_started", "killed"})
# The limits are those of one run. Tests that pass alone may reach them together, which says nothing against any.
_REACHED_TOGETHER = frozenset({"timed_out", "out_of_memory"})


@dataclass(frozen=True)
class Judged:
    """What running one program on assertions showed.

    Attributes:
        verdicts: one for each assertion; None: not run, because earlier ones took too long.
        detail: what the first assertion that failed said.
        cpu_seconds: of all runs together.
    """

    verdicts: tuple[Verdict | None, ...]
    detail: str = ""
    cpu_seconds: float = 0.0


class Execution:
    """Judges programs on the cores of this machine while others are generated. No program is run twice.

    Args:
        cpu_seconds, memory_mb: limits of one run.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        journal: KeyedJournal,
        language: LanguageForm,
        *,
        cpu_seconds: float,
        memory_mb: int,
    ) -> None:
        self._sandbox, self._journal, self._language = sandbox, journal, language
        self._cpu_seconds, self._memory_mb = cpu_seconds, memory_mb
        self._pool = ThreadPoolExecutor(sandbox.workers, thread_name_prefix="self-instruct")
        self._waiting: dict[str, Future[Judged]] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._counted: set[str] = set()
        self.cpu_seconds = 0.0

    def __enter__(self) -> Execution:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        self._pool.shutdown(cancel_futures=True)

    def judge(self, code: str, assertions: Sequence[str], entry_point: str) -> Future[Judged]:
        """Run a program on all assertions; if that fails, on each one by itself.

        A program passes if it does on all of them in one run, or on each of them where only the limits of a run stood
        in the way.
        """
        digest = digest_of(
            self._language.name, code, list(assertions), entry_point, self._cpu_seconds, self._memory_mb
        )
        with self._lock:
            if (waiting := self._waiting.get(digest)) is not None:
                return waiting
            future: Future[Judged]
            if (known := self._journal.find(f"programs/{digest}", digest)) is not None:
                future = Future()
                judged = Judged(tuple(known["verdicts"]), known["detail"], known["cpu"])
                future.set_result(judged)
                self._done(digest, judged)
            else:
                self._waiting[digest] = future = self._pool.submit(
                    self._run, digest, code, tuple(assertions), entry_point
                )
        return future

    def judge_solution(self, solution: Solution, tests: UnitTests) -> Future[Judged]:
        """:meth:`judge` for a solution that holds a program."""
        return self.judge(solution.code, tests.assertions, tests.entry_point)

    def _run(self, digest: str, code: str, assertions: tuple[str, ...], entry_point: str) -> Judged:
        judged = self._judged(code, assertions, entry_point)
        if _NO_VERDICT.isdisjoint(judged.verdicts):
            value: dict[str, Any] = {
                "verdicts": list(judged.verdicts),
                "detail": judged.detail,
                "cpu": round(judged.cpu_seconds, 4),
            }
            self._journal.keep(f"programs/{digest}", digest, value)
        with self._lock:
            self._done(digest, judged)
        return judged

    def _done(self, digest: str, judged: Judged) -> None:
        self._waiting.pop(digest, None)
        if digest not in self._counted:
            self._counted.add(digest)
            self.cpu_seconds += judged.cpu_seconds

    def _judged(self, code: str, assertions: tuple[str, ...], entry_point: str) -> Judged:
        whole = self._outcome(code, assertions, entry_point)
        if whole.passed or len(assertions) == 1:
            return Judged((whole.outcome,) * len(assertions), _detail(whole), whole.cpu_seconds)
        verdicts: list[Verdict | None] = []
        detail, seconds = "", whole.cpu_seconds
        for assertion in assertions:
            if self._closed or verdicts.count("timed_out") >= _MOST_TIMEOUTS:
                verdicts.append("killed" if self._closed else None)
                continue
            outcome = self._outcome(code, (assertion,), entry_point)
            verdicts.append(outcome.outcome)
            detail = detail or _detail(outcome)
            seconds += outcome.cpu_seconds
        all_pass_alone = all(verdict == "passed" for verdict in verdicts)
        if all_pass_alone and whole.outcome not in _REACHED_TOGETHER:
            # Each test passes alone and not behind the others: the program keeps something between its calls.
            return Judged((whole.outcome,) * len(assertions), _detail(whole), seconds)
        return Judged(tuple(verdicts), detail, seconds)

    def _outcome(self, code: str, assertions: Sequence[str], entry_point: str) -> Outcome:
        if self._closed:
            return Outcome("killed")
        program = self._language.program(code, assertions, entry_point)
        return self._sandbox.run(program, timeout=self._cpu_seconds, memory_mb=self._memory_mb)


def _detail(outcome: Outcome) -> str:
    """What went wrong, without what differs between two runs, such as the addresses of objects."""
    if outcome.passed:
        return ""
    return _ADDRESS.sub("0x...", outcome.exception or outcome.outcome)[:_LONGEST_DETAIL]
