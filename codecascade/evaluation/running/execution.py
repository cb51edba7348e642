"""Runs the programs of answers while other answers are generated, and judges the answers by their outcomes."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from codecascade.evaluation.task import SampleRow, Task
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox

_WAITING = 256
"""How many answers may wait to be run. If there are more, generation waits."""

_IDLE_SECONDS = 0.5
"""After this time without a new answer, the programs that are in the sandbox are waited for."""

_RECENT = 20_000
"""How many verdicts are remembered, so that the same completion of the same task is run once."""

SHARED = "in the program's process"
"""The field ``tests`` of a row whose tests ran in the process of the program. A hostile program could fool them."""

_SHOWN = 2_000
"""How many characters of a failed program's standard error, counted from its end, are kept for a reader."""

_Key = tuple[int, bytes]


@dataclass
class _PendingAnswer:
    """An answer that is to be judged, and the samples that have this same answer."""

    task: Task
    completion: str
    sample_indices: list[int]
    programs: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    verdict: SampleRow | None = None


class Execution:
    """A thread that gives programs to the sandbox.

    Args:
        sandbox: None if nothing is to be run. Then only answers without programs can be judged.
        keep: called with a sample's index and its verdict, from this thread or from the caller's.
    """

    def __init__(self, sandbox: Sandbox | None, keep: Callable[[int, SampleRow], None]) -> None:
        self._sandbox = sandbox
        self._keep = keep
        self._queue: queue.Queue[_PendingAnswer | None] = queue.Queue(_WAITING)
        self._recent: OrderedDict[_Key, _PendingAnswer] = OrderedDict()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._stopped = False

    def __enter__(self) -> Execution:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Wait for all verdicts; after an exception, only for the programs that are running."""
        self._stopped = kind is not None
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        if kind is None:
            self._check()

    def add(self, sample_index: int, task: Task, completion: str) -> None:
        """Judge a completion: at once if nothing is run, else when the sandbox has run its programs."""
        self._check()
        if task.programs is None:
            self._keep(sample_index, verdict_on(task, completion, []))
            return
        if self._sandbox is None:
            raise UserError("runs programs; needs a sandbox", key=task.task_id)
        key = id(task), blake2b(completion.encode(errors="surrogatepass"), digest_size=16).digest()
        with self._lock:
            before = self._recent.get(key)
            if before is not None and before.verdict is None:
                before.sample_indices.append(sample_index)
                return
        if before is not None and before.verdict is not None:
            self._keep(sample_index, before.verdict)
            return
        answer = _PendingAnswer(task, completion, [sample_index])
        with self._lock:
            self._recent[key] = answer
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="execution", daemon=True)
            self._thread.start()
        self._queue.put(answer)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    # ---- in the thread

    def _work(self) -> None:
        while (answer := self._queue.get()) is not None:
            if self._stopped or self._error is not None:
                # The queue is emptied, because a caller may wait for room in it.
                continue
            try:
                self._run_from(answer)
            except BaseException as error:
                self._error = error

    def _run_from(self, answer: _PendingAnswer) -> None:
        """Run this answer's programs and those of the answers that follow, until none follows for a moment."""
        assert self._sandbox is not None
        running: deque[_PendingAnswer] = deque()
        for outcome in self._sandbox.run_many(self._programs(answer, running)):
            running[0].outcomes.append(outcome)
            if len(running[0].outcomes) == running[0].programs:
                self._finish(running.popleft())

    def _programs(self, answer: _PendingAnswer | None, running: deque[_PendingAnswer]) -> Iterator[Program]:
        while answer is not None and not self._stopped:
            assert answer.task.programs is not None
            programs = list(answer.task.programs(answer.completion))
            answer.programs = len(programs)
            if programs:
                running.append(answer)
                yield from programs
            else:
                self._finish(answer)
            try:
                answer = self._queue.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                return
        if answer is None:
            # The end of the queue is put back for the loop in `_work`.
            self._queue.put(None)

    def _finish(self, answer: _PendingAnswer) -> None:
        verdict = verdict_on(answer.task, answer.completion, answer.outcomes)
        with self._lock:
            answer.verdict = verdict
        answer.completion, answer.outcomes = "", []
        for sample_index in answer.sample_indices:
            self._keep(sample_index, verdict)


def verdict_on(task: Task, completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
    """The verdict on a completion: the fields that it adds to the sample's row."""
    row: dict[str, Any] = {}
    if outcomes:
        first = next((outcome for outcome in outcomes if not outcome.passed), outcomes[0])
        row = {"passed": first.passed, "outcome": first.outcome, "detail": first.exception}
        if first.stderr and not first.passed:
            row["stderr"] = first.stderr[-_SHOWN:]
        if any(outcome.tests_apart is False for outcome in outcomes):
            row["tests"] = SHARED
    if task.judge is not None:
        row |= task.judge(completion, outcomes)
    return row
