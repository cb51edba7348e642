"""Keeps compiled programs in memory, because samples repeat at low temperatures."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future

from codecascade.sandbox.outcome import Outcome

# Products by name, or the outcome of a failed compilation.
Compiled = Mapping[str, bytes] | Outcome


class CompiledPrograms:
    """At most ``size`` bytes of compiled programs; the least recently used ones are dropped first.

    Two requests for the same program at the same time share one compilation.
    """

    def __init__(self, size: int = 256 << 20) -> None:
        self._size, self._used = size, 0
        self._futures: OrderedDict[Hashable, Future[Compiled]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Compiled]) -> Compiled:
        """The entry under ``key``; ``make`` creates it if necessary."""
        with self._lock:
            future = self._futures.get(key)
            if mine := future is None:
                future = self._futures[key] = Future()
            else:
                self._futures.move_to_end(key)
        if not mine:
            return future.result()
        try:
            compiled = make()
        except BaseException as error:
            with self._lock:
                del self._futures[key]
            future.set_exception(error)
            raise
        future.set_result(compiled)
        self._keep(key, compiled)
        return compiled

    def _keep(self, key: Hashable, compiled: Compiled) -> None:
        with self._lock:
            # Problems of the machine (a time-out, lack of memory) are not kept: the next try may succeed.
            if isinstance(compiled, Outcome) and compiled.outcome != "failed":
                del self._futures[key]
                return
            self._used += _bytes(compiled)
            while self._used > self._size:
                oldest = next(iter(self._futures))
                if not self._futures[oldest].done():
                    break
                self._used -= _bytes(self._futures.pop(oldest).result())


def _bytes(compiled: Compiled) -> int:
    if isinstance(compiled, Outcome):
        return len(compiled.stdout) + len(compiled.stderr) + 1000
    return sum(map(len, compiled.values())) + 1000
