"""Runs the programs of answers while others are generated, and judges the answers by what became of them."""

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
"""Answers that wait to be run; then whoever makes them waits."""

_IDLE_SECONDS = 0.5
"""After so long without a new answer, what the sandbox still holds is waited for."""


_RECENT = 20_000
"""Verdicts that are remembered: the same completion of the same task is run once."""

SHARED = "in the program's process"
"""``tests`` of a row whose tests could not run apart from the program, which a hostile one may then fool."""

_SHOWN = 2_000
"""Characters of a failed program's standard error, from its end, that are kept for a reader."""

_Key = tuple[int, bytes]


@dataclass
class _Job:
    task: Task
    completion: str
    places: list[int]
    programs: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    verdict: SampleRow | None = None


class Execution:
    """A thread that feeds the sandbox.

    Args:
        sandbox: None if nothing is to be run; then only answers without programs can be judged.
        keep: called with a place and its verdict, from this thread or the caller's.
    """

    def __init__(self, sandbox: Sandbox | None, keep: Callable[[int, SampleRow], None]) -> None:
        self._sandbox = sandbox
        self._keep = keep
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_WAITING)
        self._recent: OrderedDict[_Key, _Job] = OrderedDict()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._stopped = False

    def __enter__(self) -> Execution:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Wait for all verdicts; after an exception, only for the programs that run."""
        self._stopped = kind is not None
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
        if kind is None:
            self._check()

    def add(self, place: int, task: Task, completion: str) -> None:
        """Judge a completion, at once if it needs no program, else as soon as the sandbox has run it."""
        self._check()
        if task.programs is None:
            self._keep(place, verdict_on(task, completion, []))
            return
        if self._sandbox is None:
            raise UserError("runs programs; needs a sandbox", key=task.task_id)
        key = id(task), blake2b(completion.encode(errors="surrogatepass"), digest_size=16).digest()
        with self._lock:
            before = self._recent.get(key)
            if before is not None and before.verdict is None:
                before.places.append(place)
                return
        if before is not None and before.verdict is not None:
            self._keep(place, before.verdict)
            return
        job = _Job(task, completion, [place])
        with self._lock:
            self._recent[key] = job
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="execution", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    # ---- in the thread

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._stopped or self._error is not None:
                continue  # whoever waits for room in the queue must not wait for ever
            try:
                self._burst(job)
            except BaseException as error:
                self._error = error

    def _burst(self, job: _Job) -> None:
        """Run what comes, until nothing comes for a moment."""
        assert self._sandbox is not None
        running: deque[_Job] = deque()
        for outcome in self._sandbox.run_many(self._programs(job, running)):
            running[0].outcomes.append(outcome)
            if len(running[0].outcomes) == running[0].programs:
                self._finish(running.popleft())

    def _programs(self, job: _Job | None, running: deque[_Job]) -> Iterator[Program]:
        while job is not None and not self._stopped:
            assert job.task.programs is not None
            programs = list(job.task.programs(job.completion))
            job.programs = len(programs)
            if programs:
                running.append(job)
                yield from programs
            else:
                self._finish(job)
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                return
        if job is None:
            self._jobs.put(None)  # the end, to be met again outside

    def _finish(self, job: _Job) -> None:
        verdict = verdict_on(job.task, job.completion, job.outcomes)
        with self._lock:
            job.verdict = verdict
        job.completion, job.outcomes = "", []
        for place in job.places:
            self._keep(place, verdict)


def verdict_on(task: Task, completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
    """What the verdict adds to a sample's row."""
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
