"""Who does the work: this process and its worker processes, or a Ray cluster. The result is the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codecascade.corpus.engines.parts import BuildParts
from codecascade.corpus.steps.near import remove_near_duplicates
from codecascade.ground.errors import RunFailed

BuildTask = Callable[[str, int], int]
"""A function of a work folder and a number that leaves its result in the folder; returns bytes, for the progress."""

_JOBS_WORTH_A_WORKER = 5
"""A worker takes a second or two to start, as much as three parts of 8 MB take to read."""


class BuildEngine(Protocol):
    """What a build needs of whoever works for it."""

    def run(self, job: BuildTask, work: Path, numbers: Sequence[int]) -> Iterator[int]:
        """Do ``job(work, number)`` for all numbers in any order, and yield what each returns."""
        ...

    def near_duplicates(
        self,
        parts: BuildParts,
        numbers: NDArray[np.int64],
        ranks: NDArray[np.int64],
        threshold: float,
        work: Path,
    ) -> pa.Table:
        """:func:`codecascade.corpus.steps.near.remove_near_duplicates` of the documents ``numbers`` (ascending)."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class LocalEngine:
    """This process and, for many jobs, worker processes, which live until :meth:`close`."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def run(self, job: BuildTask, work: Path, numbers: Sequence[int]) -> Iterator[int]:
        if self._pool is None and min(self.workers, len(numbers) // _JOBS_WORTH_A_WORKER) < 2:
            for number in numbers:
                yield job(str(work), number)
            return
        if self._pool is None:
            # not forked: what this process holds (torch, threads) must not be copied into them
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=multiprocessing.get_context("spawn"), initializer=_follow_the_parent
            )
        try:
            with _interrupts_later():
                futures = [self._pool.submit(job, str(work), number) for number in numbers]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise RunFailed(
                "a worker process was killed (out of memory?); run again to go on, with fewer --workers"
            ) from None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def near_duplicates(
        self,
        parts: BuildParts,
        numbers: NDArray[np.int64],
        ranks: NDArray[np.int64],
        threshold: float,
        work: Path,
    ) -> pa.Table:
        found = remove_near_duplicates(
            texts_by_number(parts, numbers),
            pa.array(ranks),
            threshold=threshold,
            workers=self.workers,
            folder=work,
        )
        return renumbered(found, numbers)


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back: a process that starts meanwhile would tell of it in a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_the_parent() -> None:
    """In a worker: end when the parent does, however it ends, and at once at Ctrl-C (a part is whole or absent)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def texts_by_number(parts: BuildParts, numbers: NDArray[np.int64]) -> Iterator[pa.Array]:
    """The texts of these (ascending) numbers, part by part."""
    for start, table in parts.tables():
        inside = numbers[(numbers >= start) & (numbers < start + len(table))] - start
        texts = table["text"] if len(inside) == len(table) else table["text"].take(inside)
        yield from texts.chunks


def renumbered(found: pa.Table, numbers: NDArray[np.int64]) -> pa.Table:
    """Places among ``numbers`` as the numbers that stand there."""
    removed, kept = (numbers[np.asarray(found[name])] for name in ("removed", "kept"))
    return pa.table([removed, kept, found["similarity"]], schema=found.schema)
