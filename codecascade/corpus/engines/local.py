"""Runs the work of a build in this process and in worker processes. Every engine gives the same result."""

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
"""A function of a work folder and a task number. It writes its result to the folder and returns bytes of progress."""

_JOBS_WORTH_A_WORKER = 5
"""A worker needs one or two seconds to start, as long as reading three parts of 8 MB takes."""


class BuildEngine(Protocol):
    """What a build needs from an engine."""

    def run(self, job: BuildTask, work: Path, numbers: Sequence[int]) -> Iterator[int]:
        """Run ``job(work, number)`` for all numbers, in any order, and yield each return value."""
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
        """Stop the workers."""
        ...


class LocalEngine:
    """This process, and worker processes if there are many tasks; they live until :meth:`close`."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def run(self, job: BuildTask, work: Path, numbers: Sequence[int]) -> Iterator[int]:
        if self._pool is None and min(self.workers, len(numbers) // _JOBS_WORTH_A_WORKER) < 2:
            for number in numbers:
                yield job(str(work), number)
            return
        if self._pool is None:
            # Spawned, not forked: the workers must not inherit torch and the threads of this process.
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
                "a worker process was killed (out of memory?); run again to continue, with fewer --workers"
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
    """Block Ctrl-C in the meantime: a process that is just starting would answer it with a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_the_parent() -> None:
    """In a worker: exit when the parent exits, for whatever reason, and immediately at Ctrl-C (parts are written
    atomically)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def texts_by_number(parts: BuildParts, numbers: NDArray[np.int64]) -> Iterator[pa.Array]:
    """The texts of the documents with these (ascending) numbers, one part after the other."""
    for start, table in parts.tables():
        inside = numbers[(numbers >= start) & (numbers < start + len(table))] - start
        texts = table["text"] if len(inside) == len(table) else table["text"].take(inside)
        yield from texts.chunks


def renumbered(found: pa.Table, numbers: NDArray[np.int64]) -> pa.Table:
    """The table with each index into ``numbers`` replaced by the document number at that index."""
    removed, kept = (numbers[np.asarray(found[name])] for name in ("removed", "kept"))
    return pa.table([removed, kept, found["similarity"]], schema=found.schema)
