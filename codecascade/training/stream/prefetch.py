"""Batches prepared ahead of the training, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Protocol

from codecascade.training.stream.stream import Batch

DEPTH = 2
"""The number of batches made ahead."""


class _Stream(Protocol):
    def batch(self, rows: range) -> Batch: ...
    def state_dict(self, rows: range) -> dict[Any, Any]: ...


class Prefetcher:
    """The batches of ``rows``, made two ahead of their use. Each of ``workers`` threads makes a part of the rows.

    The batches are the same for any number of workers. With 0 workers a batch is made when it is asked for.
    :meth:`next` raises an exception of a worker. Nothing else may use the stream until :meth:`close`.
    """

    def __init__(self, stream: _Stream, rows: range, *, workers: int = 1) -> None:
        self._stream, self._rows = stream, rows
        self._consumed = stream.state_dict(rows)
        count = min(workers, len(rows))
        bounds = [len(rows) * number // count for number in range(count + 1)] if count else []
        self._workers = [_Worker(self._make, rows[start:end]) for start, end in pairwise(bounds)]

    def next(self) -> Batch:
        """The next batch of all rows."""
        made = [worker.take() for worker in self._workers] or [self._make(self._rows)]
        for _, state in made:
            self._consumed |= state
        return Batch.join([batch for batch, _ in made])

    def state_dict(self) -> dict[Any, Any]:
        """The stream's state after the last batch that :meth:`next` gave. Batches made ahead do not count."""
        return dict(self._consumed)

    def close(self) -> None:
        """Wait for the threads to end."""
        for worker in self._workers:
            worker.close()

    def _make(self, rows: range) -> tuple[Batch, dict[Any, Any]]:
        return self._stream.batch(rows), self._stream.state_dict(rows)


class _Worker:
    """One thread that makes the batches of some rows, in order."""

    def __init__(self, make: Callable[[range], tuple[Batch, dict[Any, Any]]], rows: range) -> None:
        self._make, self._rows = make, rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stream")
        self._ahead = deque(self._thread.submit(make, rows) for _ in range(DEPTH))

    def take(self) -> tuple[Batch, dict[Any, Any]]:
        made = self._ahead.popleft().result()
        self._ahead.append(self._thread.submit(self._make, self._rows))
        return made

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
