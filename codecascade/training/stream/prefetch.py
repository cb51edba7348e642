"""Batches prepared ahead of the training, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Protocol

from codecascade.training.stream.stream import Batch

DEPTH = 2  # batches ahead


class _Stream(Protocol):
    def batch(self, rows: range) -> Batch: ...
    def state_dict(self, rows: range) -> dict[Any, Any]: ...


class Prefetcher:
    """The batches of ``rows``, two ahead of their use; each of ``workers`` threads makes a part of the rows.

    The batches are the same for any number of workers (0: none is made before it is asked for). An exception in a
    worker comes out of :meth:`next`. The stream must not be used by others until :meth:`close`.
    """

    def __init__(self, stream: _Stream, rows: range, *, workers: int = 1) -> None:
        self._stream, self._rows = stream, rows
        self._consumed = stream.state_dict(rows)
        count = min(workers, len(rows))
        bounds = [len(rows) * number // count for number in range(count + 1)] if count else []
        self._lanes = [_Lane(self._make, rows[start:end]) for start, end in pairwise(bounds)]

    def next(self) -> Batch:
        """The next batch of all rows."""
        made = [lane.take() for lane in self._lanes] or [self._make(self._rows)]
        for _, state in made:
            self._consumed |= state
        return Batch.join([batch for batch, _ in made])

    def state_dict(self) -> dict[Any, Any]:
        """The stream's state after the last batch that :meth:`next` gave, whatever has been made ahead."""
        return dict(self._consumed)

    def close(self) -> None:
        """Wait for the threads to end."""
        for lane in self._lanes:
            lane.close()

    def _make(self, rows: range) -> tuple[Batch, dict[Any, Any]]:
        return self._stream.batch(rows), self._stream.state_dict(rows)


class _Lane:
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
